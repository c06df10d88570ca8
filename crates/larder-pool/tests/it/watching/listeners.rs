//! Listeners on one thread: what they hear, when, and what they may do.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use larder_pool::limits::LISTENER_QUEUE_MAX;
use larder_pool::{Capacity, Changed, OnConflict, Pool, PoolBuilder, Reason, WeakPool};

use crate::bounds::ground::{Row, World, millis_of, row};

/// What was heard: the sequence, the id, the version before, the one now, and why it left.
type Heard = (u64, u64, Option<u64>, Option<u64>, Option<&'static str>);

/// Takes down what it hears, and does something of its own before it returns.
#[derive(Clone)]
struct Ear {
    heard: Arc<Mutex<Vec<Heard>>>,
    pool: Arc<OnceLock<WeakPool<Row>>>,
    is_inside: Arc<AtomicBool>,
}

impl Ear {
    fn new() -> Self {
        Ear {
            heard: Arc::default(),
            pool: Arc::default(),
            is_inside: Arc::default(),
        }
    }

    fn hear(&self, change: &Changed<'_, Row>, answer: impl FnOnce(&Pool<Row>)) {
        assert!(
            !self.is_inside.swap(true, Ordering::SeqCst),
            "a call within a call"
        );
        let id = change.new.or(change.old).unwrap().id;
        let versions = [change.old, change.new].map(|row| row.map(|row| row.version));
        let reason = change.reason.map(|reason| reason.as_str());
        let heard = (change.sequence, id, versions[0], versions[1], reason);
        self.heard.lock().unwrap().push(heard);
        if let Some(pool) = self.pool.get().and_then(WeakPool::upgrade) {
            answer(&pool);
        }
        self.is_inside.store(false, Ordering::SeqCst);
    }

    fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

/// A world with a listener that answers changes.
fn answering(
    build: impl FnOnce(PoolBuilder<Row>) -> PoolBuilder<Row>,
    answer: impl Fn(&Pool<Row>, &Changed<'_, Row>) + Send + Sync + 'static,
) -> (World, Ear) {
    let ear = Ear::new();
    let own = ear.clone();
    let listener = move |change: &Changed<'_, Row>| own.hear(change, |pool| answer(pool, change));
    let world = World::with(|builder| build(builder).listener(listener));
    ear.pool.set(world.pool.downgrade()).ok().unwrap();
    (world, ear)
}

/// Contract: P123 (partial: what is heard)
#[test]
fn a_listener_hears_what_each_id_was_and_is_and_why_it_left() {
    let (world, ear) = answering(
        |builder| builder.capacity_entries(3),
        |pool, change| {
            if let Some(new) = change.new {
                assert!(Arc::ptr_eq(new, &pool.peek(&new.id).unwrap()), "it has happened");
            }
            assert!(pool.sequence() >= change.sequence);
        },
    );
    let pool = &world.pool;
    pool.insert(row(1, 1)).unwrap();
    pool.insert(row(1, 2)).unwrap();
    pool.update(&1, |_| row(1, 3)).unwrap();
    pool.invalidate(&1, Reason::Saved);
    let expected = [
        (1, 1, None, Some(1), None),
        (2, 1, Some(1), Some(2), None),
        (3, 1, Some(2), Some(3), None),
        (4, 1, Some(3), None, Some("saved")),
    ];
    assert_eq!(ear.take(), expected);
    world.insert_for(1, 5);
    pool.insert_many([row(2, 1), row(3, 1)]).unwrap();
    world.pass(5);
    ear.take();
    pool.insert(row(1, 4)).unwrap();
    let at = pool.sequence();
    let expected = [
        (at, 1, Some(0), None, Some("expired")),
        (at, 1, None, Some(4), None),
    ];
    assert_eq!(ear.take(), expected, "what is dead is no old value of what comes");
    pool.insert(row(4, 1)).unwrap();
    let at = at + 1;
    let expected = [
        (at, 2, Some(1), None, Some("evicted")),
        (at, 4, None, Some(1), None),
    ];
    assert_eq!(ear.take(), expected);
    pool.clear(Reason::Deleted);
    let mut cleared = ear.take();
    cleared.sort_unstable();
    let expected = [(3, 1), (1, 4), (4, 1)].map(|(id, was)| (at + 1, id, Some(was), None, Some("deleted")));
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(cleared, expected, "each id once");
    assert_eq!(pool.stats().listener_panics, 0);
}

/// Each call of a listener into the pool has happened when it returns, is heard after the present call is over, and in the
/// order of commits, by all listeners alike.
///
/// Contract: P123 (partial: calls of a listener)
#[test]
fn what_a_listener_changes_is_heard_after_it_has_returned() {
    let other = Ear::new();
    let own = other.clone();
    let (world, ear) = answering(
        move |builder| {
            let listener = move |change: &Changed<'_, Row>| own.hear(change, |_| {});
            let builder = builder
                .on_conflict(OnConflict::Update)
                .time_to_live(millis_of(1_000));
            builder.listener(listener)
        },
        |pool, change| {
            let Some(new) = change.new.filter(|new| new.version == 1) else {
                return;
            };
            let before = pool.sequence();
            match new.id {
                1 => drop(pool.insert(row(100, 2)).unwrap()),
                2 => drop(
                    pool.batch()
                        .insert(row(101, 2))
                        .remove(&100)
                        .insert(row(102, 2))
                        .commit()
                        .unwrap(),
                ),
                3 => drop(pool.remove(&101)),
                4 => drop(pool.update(&1, |_| row(1, 2)).unwrap()),
                5 => assert_eq!(pool.retain(|row| row.id != 102), 1),
                6 => pool.set_capacity(Capacity::of_entries(5)).unwrap(),
                7 => assert_eq!(pool.clear(Reason::Manual), 5),
                // Two at once, the second of which is answered again.
                _ => {
                    pool.insert(row(200, 2)).unwrap();
                    pool.insert(row(1, 1)).unwrap();
                }
            }
            assert!(pool.sequence() > before, "it has happened when the call returns");
        },
    );
    (1..9).for_each(|id| drop(world.pool.insert(row(id, 1)).unwrap()));
    let heard = ear.take();
    assert_eq!(world.pool.stats().listener_panics, 0);
    assert_eq!(heard, other.take(), "both hear the same");
    assert!(
        heard.is_sorted_by_key(|heard| heard.0),
        "in the order of commits: {heard:?}"
    );
    let last = world.pool.sequence();
    let sequences: std::collections::BTreeSet<u64> = heard.iter().map(|heard| heard.0).collect();
    assert_eq!(sequences, (1..=last).collect(), "every commit");
    // Of 8, the answer 200 and 1, and of this 1 the answer 100.
    let resident = |id: &u64| world.pool.contains(id);
    assert!([8, 200, 1, 100].iter().all(resident) && world.pool.len() == 4);
    let of_one: Vec<_> = heard
        .iter()
        .filter(|heard| heard.1 == 1)
        .map(|heard| (heard.2, heard.3))
        .collect();
    assert_eq!(
        of_one,
        [
            (None, Some(1)),
            (Some(1), Some(2)),
            (Some(2), None),
            (None, Some(1))
        ]
    );
}

/// Contract: P123 (partial: panics)
#[test]
fn a_panic_of_a_listener_is_caught_and_counted_and_the_others_hear_on() {
    let other = Ear::new();
    let own = other.clone();
    let world = World::with(|builder| {
        let builder = builder.listener(|change: &Changed<'_, Row>| {
            let id = change.new.or(change.old).unwrap().id;
            assert!(id.is_multiple_of(2), "{id} is odd");
        });
        builder.listener(move |change: &Changed<'_, Row>| own.hear(change, |_| {}))
    });
    (0..5).for_each(|id| world.insert(id));
    assert_eq!(world.pool.stats().listener_panics, 2);
    assert_eq!(world.pool.clear(Reason::Manual), 5);
    assert_eq!(world.pool.stats().listener_panics, 4, "each change by itself");
    assert_eq!((other.take().len(), world.pool.len()), (10, 0));
    world.insert(2);
    assert_eq!(other.take().len(), 1);
}

/// Contract: P123 (partial: no lock held, on a writer's thread)
#[test]
fn a_listener_holds_up_nobody_but_may_wait_for_others() {
    let caller = thread::current().id();
    let (world, ear) = answering(
        |builder| builder.capacity_entries(200),
        move |pool, change| {
            if change.sequence > 1 {
                return;
            }
            assert_eq!(thread::current().id(), caller, "on the thread of who wrote");
            let _ = (
                pool.get(&1),
                pool.stats(),
                pool.explain(&1),
                pool.events(),
                pool.sample(2),
            );
            let work = || {
                pool.insert(row(2, 0)).unwrap();
                pool.insert_many([row(3, 0), row(4, 0)]).unwrap();
                let _ = (
                    pool.get(&3),
                    pool.remove(&4),
                    pool.sweep(1),
                    pool.retain(|row| row.id != 3),
                );
                pool.set_capacity(Capacity::of_entries(10)).unwrap();
            };
            // Its changes wait for this call; it does not.
            thread::scope(|scope| scope.spawn(work).join().unwrap());
        },
    );
    world.insert(1);
    assert_eq!(world.pool.stats().listener_panics, 0);
    let heard: Vec<(u64, u64)> = ear.take().iter().map(|heard| (heard.0, heard.1)).collect();
    assert_eq!(heard, [(1, 1), (2, 2), (3, 3), (3, 4), (4, 4), (5, 3)]);
}

/// A listener that changes more than the queue holds does not wait for itself.
///
/// Contract: P123 (partial: a full queue inside a listener)
#[test]
fn a_listener_may_change_more_than_its_queue_holds() {
    let changes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&changes);
    let (pool_cell, rounds) = (
        Arc::new(OnceLock::<WeakPool<Row>>::new()),
        LISTENER_QUEUE_MAX / 1_000 + 2,
    );
    let own = Arc::clone(&pool_cell);
    let pool = Pool::builder()
        .capacity_entries(1_000)
        .listener(move |change: &Changed<'_, Row>| {
            counted.fetch_add(1, Ordering::Relaxed);
            if change.sequence > 1 {
                return;
            }
            let pool = own.get().and_then(WeakPool::upgrade).unwrap();
            let rows: Vec<Arc<Row>> = (0..1_000).map(|id| Arc::new(row(id, 0))).collect();
            for _ in 0..rounds {
                pool.insert_many(rows.iter().map(Arc::clone)).unwrap();
            }
        })
        .build()
        .unwrap();
    pool_cell.set(pool.downgrade()).ok().unwrap();
    pool.insert(row(0, 1)).unwrap();
    assert_eq!(changes.load(Ordering::Relaxed), 1 + rounds * 1_000);
    assert_eq!(pool.stats().listener_panics, 0);
}
