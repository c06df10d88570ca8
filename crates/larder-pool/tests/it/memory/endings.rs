//! The end of a pool and of its background work.

use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use futures_channel::oneshot;
use larder_pool::{Changed, FetchError, FetchOptions, Loaded, PoolMetrics, Reason, TryRecvError};
use larder_testkit::poll_once;

use super::rows::{Row, World, by_others, row, target};

const SECOND: Duration = Duration::from_secs(1);

struct Deaf;

impl PoolMetrics for Deaf {}

/// A loader's future that nobody ends; when it is dropped, the test sees it.
type Endless = (oneshot::Sender<Row>, oneshot::Receiver<Row>);

fn begin_detached(world: &World, id: u64, (sender, receiver): Endless) -> oneshot::Sender<Row> {
    let options = FetchOptions::new().detach();
    let load = |_| async { Ok::<_, oneshot::Canceled>(Loaded::from(receiver.await?)) };
    let mut call = Box::pin(world.pool.get_or_fetch_with(&id, options, load));
    assert!(poll_once(call.as_mut()).is_pending());
    drop(call);
    world.runtime.run();
    sender
}

/// With a sweeper that sleeps and a load that goes on by itself: values, listener, metrics and tasks all end with the last
/// handle, not before.
///
/// Contract: P23 (partial: the last handle)
#[test]
fn the_last_handle_frees_everything_and_ends_all_background_work() {
    let (heard, metrics) = (Arc::new(()), Arc::new(Deaf));
    let (held, told) = (Arc::clone(&heard), Arc::clone(&metrics));
    let world = World::with(|pool| {
        let pool = pool.sweep_every(SECOND).metrics(told);
        pool.listener(move |_: &Changed<'_, Row>| {
            let _ = &held;
        })
    });
    let values: Vec<Weak<Row>> = (0..100)
        .map(|id| Arc::downgrade(&world.pool.insert(row(id, 1)).unwrap()))
        .collect();
    let old = Arc::downgrade(&world.pool.insert(row(0, 2)).unwrap());
    let load = begin_detached(&world, 900, oneshot::channel());
    assert_eq!((world.runtime.tasks(), world.runtime.sleepers()), (2, 1));

    let World {
        runtime,
        fence,
        pool,
        events,
        ..
    } = world;
    drop(events);
    let (other, weak) = (pool.clone(), pool.downgrade());
    drop(pool);
    runtime.run();
    assert_eq!(
        (runtime.tasks(), load.is_canceled()),
        (2, false),
        "a handle is left"
    );
    assert!(weak.upgrade().is_some_and(|pool| pool.contains(&5)) && old.upgrade().is_some());
    assert_eq!(
        values.iter().filter(|value| value.upgrade().is_some()).count(),
        99
    );

    drop(other);
    runtime.run();
    assert_eq!((runtime.tasks(), runtime.sleepers()), (0, 0));
    assert!(load.is_canceled(), "the load was dropped");
    assert!(weak.upgrade().is_none() && old.upgrade().is_none());
    assert!(values.iter().all(|value| value.upgrade().is_none()));
    assert_eq!((Arc::strong_count(&heard), Arc::strong_count(&metrics)), (1, 1));
    // The fence outlives it, and does not miss it.
    fence.invalidate(&target(5), by_others());
}

/// Readers of events get what is left, and then hear that the pool is gone, also those who wait.
///
/// Contract: P23 (partial: readers of events)
#[test]
fn readers_hear_that_the_pool_is_gone() {
    let World { pool, mut events, .. } = World::new();
    let mut waiting = pool.events();
    pool.insert(row(1, 1)).unwrap();
    assert!(waiting.try_recv().is_ok());
    let mut next = Box::pin(waiting.recv());
    assert!(poll_once(next.as_mut()).is_pending());
    drop(pool);
    assert!(matches!(
        poll_once(next.as_mut()),
        Poll::Ready(Err(larder_pool::RecvError::Closed))
    ));
    assert!(events.try_recv().is_ok());
    assert!(matches!(events.try_recv(), Err(TryRecvError::Closed)));
}

/// Contract: P23 (partial: not what stale and early loads say once the pool has stopped)
#[test]
fn shutdown_ends_the_background_and_memory_goes_on() {
    let world = World::with(|pool| pool.sweep_every(SECOND));
    let load = begin_detached(&world, 900, oneshot::channel());
    let pool = world.pool.clone();
    let mut shutdown = Box::pin(pool.shutdown());
    assert!(
        poll_once(shutdown.as_mut()).is_pending(),
        "it waits until they have ended"
    );
    assert_eq!(world.runtime.tasks(), 2);
    world.runtime.run();
    assert!(poll_once(shutdown.as_mut()).is_ready());
    assert_eq!((world.runtime.tasks(), world.runtime.sleepers()), (0, 0));
    assert!(load.is_canceled());

    // Everything in memory goes on, by every handle.
    world.pool.insert_with_ttl(row(1, 1), SECOND).unwrap();
    world.pool.insert_many([row(2, 1), row(3, 1)]).unwrap();
    assert!(world.pool.update(&2, |_| row(2, 2)).unwrap().is_some());
    assert!(world.pool.remove(&3).is_some() && world.pool.get(&2).is_some());
    world.runtime.advance(SECOND * 9);
    assert_eq!(
        (world.pool.len(), world.live(9)),
        (2, vec![(2, 2)]),
        "nobody sweeps any more"
    );
    assert_eq!(
        (world.pool.sweep(9).removed, world.pool.retain(|_| false)),
        (1, 1)
    );
    assert_eq!(world.pool.clear(Reason::Manual), 0);

    // So does a load that needs nobody in the background; what does says that it has stopped.
    let fetch = |options| {
        let load = |_| async { Ok::<_, FetchError>(row(4, 1)) };
        world
            .runtime
            .block_on(world.pool.get_or_fetch_with(&4, options, load))
    };
    assert!(matches!(
        fetch(FetchOptions::new().detach()),
        Err(FetchError::Stopped)
    ));
    assert_eq!(fetch(FetchOptions::new()).unwrap().value.unwrap().version, 1);
    assert_eq!(world.peek(4), Some(1));
    world.runtime.block_on(world.pool.shutdown());
}
