//! Entries that a load brings back as they were: they depend on what they depended on.

use std::time::Duration;

use larder_pool::{FetchError, InsertOptions, LoadContext, LoadManyContext, Loaded};

use super::hand::{Oops, Row, World, begun, ended, row, target};

/// How a load brings back the previous value of row 7, and when something that it was given ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Unchanged,
    Same,
    SameOfMany,
    Loader,
    LoaderOfMany,
    Batcher,
}

const WAYS: [Way; 6] = [
    Way::Unchanged,
    Way::Same,
    Way::SameOfMany,
    Way::Loader,
    Way::LoaderOfMany,
    Way::Batcher,
];

fn world(way: Way) -> World {
    let world = World::with(|pool| {
        let pool = pool
            .time_to_live(Duration::from_secs(10))
            .stale_on_error(Duration::from_secs(100));
        let pool = pool.loader(|load: LoadContext<Row>| async move { Ok::<_, Oops>(load.previous) });
        if way == Way::Batcher {
            pool.batcher(1, Duration::from_millis(1))
        } else {
            pool
        }
    });
    let options = InsertOptions::new().depends_on(target(99));
    world.pool.insert_with(row(7, 1), options).unwrap();
    world.runtime.advance(Duration::from_secs(11));
    world
}

async fn renew(world: &World, way: Way) -> Result<usize, FetchError> {
    let pool = &world.pool;
    Ok(match way {
        Way::Unchanged => {
            let call = pool.get_or_fetch(&7, |_| async { Ok::<_, Oops>(Loaded::unchanged()) });
            call.await?.iter().count()
        }
        Way::Same => {
            let call = pool.get_or_fetch(&7, |load| async move { Ok::<_, Oops>(load.previous) });
            call.await?.iter().count()
        }
        Way::SameOfMany => {
            let load = |load: LoadManyContext<Row>| async move { Ok::<_, Oops>(load.previous) };
            pool.get_or_fetch_many(&[7], load).await?.found().count()
        }
        Way::Loader | Way::Batcher => pool.fetch(&7).await?.iter().count(),
        Way::LoaderOfMany => pool.fetch_many(&[7]).await?.found().count(),
    })
}

/// Contract: P59 (partial: what is renewed depends on what it did), P44 (partial: renewed entries)
#[test]
fn what_is_brought_back_as_it_was_depends_on_what_it_depended_on() {
    for way in WAYS {
        let after = world(way);
        assert_eq!(after.runtime.block_on(renew(&after, way)).unwrap(), 1, "{way:?}");
        assert_eq!(after.peek(7), Some(1), "{way:?}");
        after.invalidate(&target(99));
        assert_eq!(after.peek(7), None, "{way:?}: it ended after the load");
    }
    // It ends while the load is in the air.
    let during = world(Way::SameOfMany);
    let (sender, gate) = futures_channel::oneshot::channel::<()>();
    let call = begun(during.pool.get_or_fetch_many(&[7], |load| async move {
        gate.await.ok();
        Ok::<_, Oops>(load.previous)
    }));
    during.invalidate(&target(99));
    sender.send(()).unwrap();
    assert_eq!(ended(call).unwrap().found().count(), 1, "whoever waited gets it");
    assert_eq!(during.peek(7), None);
}

/// A row whose drop panics.
struct Bomb(u64);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(self.0 == 0, "{} was dropped", self.0);
    }
}

impl larder_pool::Entity for Bomb {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "bomb"
    }

    fn id(&self) -> u64 {
        self.0
    }

    fn fields() {}
}

/// Contract: P24 (partial: several drops of what a loader brought)
#[test]
fn several_values_that_nobody_asked_for_may_panic_when_they_are_dropped() {
    let pool = larder_pool::Pool::<Bomb>::builder().build().unwrap();
    let call = pool.get_or_fetch_many(&[1], |_| async { Ok::<_, Oops>(vec![Bomb(2), Bomb(3), Bomb(4)]) });
    let many = ended(Box::pin(call)).unwrap();
    assert!(matches!(many.get(0), Some(Err(FetchError::IdMismatch { .. }))));
    assert!(pool.is_empty());
}

/// Contract: P24 (partial: weights that cannot be summed up), P39 (partial: pools without a bound on bytes)
#[test]
fn weights_beyond_all_measure_do_no_harm() {
    for weight in [1_usize << 58, 1 << 60, usize::MAX / 2, usize::MAX] {
        for eviction in larder_pool::Eviction::ALL {
            let world = World::with(|pool| {
                pool.capacity_entries(100)
                    .eviction(eviction)
                    .weigher(move |_| weight)
            });
            for id in 0..300 {
                world.pool.insert(row(id, 1)).unwrap();
                assert_eq!(world.peek(id), Some(1));
            }
            assert_eq!(world.pool.len(), 100, "{eviction:?}");
            world.pool.insert_many((300..350).map(|id| row(id, 1))).unwrap();
            assert_eq!(world.pool.clear(larder_pool::Reason::Manual), 100);
            assert_eq!((world.pool.len(), world.pool.weight_bytes()), (0, 0));
        }
    }
}
