//! Deadlines: when an entry is expired, when it leaves, and how that is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use larder_core::{Clock, Moment, Timestamp};
use larder_pool::{EntryState, Fence, InsertOptions, MissCause, OnConflict, Pool, Reason, Reclaim};
use larder_testkit::SimClock;

use super::ground::{Told, World, kinds, millis_of, row};

/// Contract: P32 (partial: when an entry is expired)
#[test]
fn an_entry_is_live_until_its_deadline_and_dead_at_it() {
    for (entries, eviction) in kinds() {
        let world = World::of(entries, eviction);
        world.insert_for(7, 100);
        world.clock.advance(millis_of(100) - Duration::from_nanos(1));
        // Only monotonic time counts, wherever the wall clock was put.
        world.clock.set_wall(Timestamp::from_micros(0));
        assert!(world.pool.get(&7).is_some(), "{eviction:?}");
        assert!(world.pool.contains(&7) && world.pool.peek(&7).is_some());
        assert_eq!(world.pool.explain(&7).state, EntryState::Live);
        world.clock.advance_monotonic(Duration::from_nanos(1));
        assert!(world.pool.get(&7).is_none(), "{eviction:?}");
        assert!(!world.pool.contains(&7) && world.pool.peek(&7).is_none());
        assert!(world.pool.get_many([&7])[0].is_none());
        assert_eq!(world.pool.explain(&7).state, EntryState::Expired);
        assert_eq!(world.pool.len(), 1, "who reads removes nothing");
    }
}

/// Reads move no deadline; what is stored anew has a new one, of the moment at which it was stored.
///
/// Contract: P32 (partial: set at insert)
#[test]
fn a_deadline_is_set_by_each_insert_and_by_nothing_else() {
    let world = World::with(|builder| builder.time_to_live(millis_of(100)));
    let left = |id: u64| world.pool.explain(&id).resident.unwrap().time_left;
    let row_then = world.pool.insert(row(1, 0)).unwrap();
    world.pass(60);
    let _ = (world.pool.get(&1), world.pool.get_many([&1]));
    assert_eq!(left(1), Some(millis_of(40)));
    world.pool.insert(Arc::clone(&row_then)).unwrap();
    assert_eq!(left(1), Some(millis_of(100)), "the same value, stored anew");
    world.insert_for(2, 5);
    world.pool.insert_with_ttl(row(3, 0), Duration::MAX).unwrap();
    assert_eq!((left(2), left(3)), (Some(millis_of(5)), None));
    world.pass(60);
    world
        .pool
        .update(&1, |row| super::ground::row(row.id, 1))
        .unwrap();
    assert_eq!(left(1), Some(millis_of(100)));
    world.pass(100);
    assert!(world.pool.get(&1).is_none() && world.pool.get(&3).is_some());
}

/// A clock that counts who asks it.
#[derive(Debug)]
struct Counting {
    clock: SimClock,
    asked: Arc<AtomicUsize>,
}

impl Clock for Counting {
    fn monotonic(&self) -> Moment {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.clock.monotonic()
    }

    fn coarse(&self) -> Moment {
        // Asked for the age of what is stored too, which is no matter of expiry.
        self.clock.monotonic()
    }

    fn wall(&self) -> Timestamp {
        self.clock.wall()
    }
}

/// Contract: P32
#[test]
fn the_clock_is_read_only_for_entries_that_have_a_deadline() {
    for (entries, eviction) in kinds() {
        let (clock, asked) = (SimClock::new(), Arc::new(AtomicUsize::new(0)));
        let counting = Counting {
            clock: clock.clone(),
            asked: Arc::clone(&asked),
        };
        // The fence has a clock of its own: invalidations are dated there.
        let fence = Fence::builder().clock(Arc::new(clock.clone())).build().unwrap();
        let builder = Pool::builder().capacity_entries(entries).eviction(eviction);
        let pool = builder.fence(fence).clock(Arc::new(counting)).build().unwrap();
        asked.store(0, Ordering::Relaxed);
        // Twice as many as fit, so that the pool also evicts.
        for id in 0..2 * entries {
            pool.insert(row(id, 0)).unwrap();
            assert!(pool.get(&id).is_some() && pool.peek(&id).is_some() && pool.contains(&id));
            assert!(pool.get(&(id + 1)).is_none());
        }
        pool.remove(&(2 * entries - 1));
        assert_eq!(asked.load(Ordering::Relaxed), 0, "{entries} under {eviction:?}");
        pool.insert_with_ttl(row(7, 1), millis_of(5)).unwrap();
        assert!(pool.get(&7).is_some(), "{entries} under {eviction:?}");
        assert!(pool.peek(&7).is_some());
        let before = asked.load(Ordering::Relaxed);
        assert!(before > 0, "its deadline is of the moment at which it was stored");
        clock.advance(millis_of(5));
        assert!(pool.get(&7).is_none());
        assert!(asked.load(Ordering::Relaxed) > before);
    }
}

/// Five rows that have expired, two that have not, and room for more.
fn with_expired(reclaim: Reclaim) -> World {
    let mut world = World::with(|builder| {
        let builder = builder.capacity_entries(100).on_conflict(OnConflict::Update);
        builder.reclaim(reclaim)
    });
    for id in 0..5 {
        world.insert_for(id, 10);
    }
    world.insert(10);
    world.insert_for(11, 1_000);
    world.pass(11);
    world.told();
    world
}

/// Contract: P33 (partial: without the writes that take some)
#[test]
fn what_has_expired_stays_until_something_touches_it() {
    let mut world = with_expired(Reclaim::OnDemand);
    world.insert(20);
    world.pool.update(&10, |_| row(10, 1)).unwrap();
    world.pool.remove(&11);
    world
        .pool
        .batch()
        .insert(row(21, 0))
        .remove(&20)
        .commit()
        .unwrap();
    assert_eq!(world.pool.retain(|row| row.id != 21), 1);
    assert_eq!(
        world.pool.update(&0, |_| row(0, 1)).unwrap().map(|row| row.id),
        None
    );
    assert!((0..5).all(|id| world.pool.get(&id).is_none()));
    let told = world.told();
    assert!(
        told.iter()
            .all(|told| !matches!(told, Told::Removed(_, "expired"))),
        "{told:?}"
    );
    assert_eq!(world.pool.len(), 6);

    // A write of the id itself, alone and among others.
    world.pool.insert(row(0, 7)).unwrap();
    assert_eq!(world.told(), [Told::Removed(0, "expired"), Told::Inserted(0, 7)]);
    assert!(!world.pool.invalidate(&1, Reason::Deleted));
    assert_eq!(world.told(), [Told::Removed(1, "expired")]);
    world.pool.batch().insert(row(2, 7)).remove(&3).commit().unwrap();
    let told = world.told();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.contains(&Told::Removed(2, "expired")) && told.contains(&Told::Removed(3, "expired")));
    assert_eq!(told[2], Told::Inserted(2, 7));
    // Room: the last one leaves when the pool is full, and no sooner.
    for id in 100..196 {
        world.insert(id);
    }
    assert_eq!((world.pool.len(), world.left("expired").len()), (100, 0));
    world.insert(200);
    assert_eq!(world.left("expired"), [4]);
}

/// Contract: P33
#[test]
fn each_write_takes_out_as_many_expired_ones_as_it_was_told() {
    type Write = fn(&World);
    let writes: [(&str, Write); 7] = [
        ("insert", |world| world.insert(20)),
        ("remove", |world| drop(world.pool.remove(&10))),
        ("removal of what is not there", |world| {
            drop(world.pool.remove(&99))
        }),
        ("update", |world| {
            drop(world.pool.update(&10, |_| row(10, 1)).unwrap())
        }),
        ("replacement", |world| {
            let seen = world.pool.peek(&10).unwrap();
            world.pool.replace_if_same(&seen, row(10, 1)).unwrap();
        }),
        ("batch", |world| {
            let batch = world.pool.batch().insert(row(20, 0)).insert(row(21, 0));
            batch.commit().unwrap();
        }),
        ("retain", |world| {
            assert_eq!(world.pool.retain(|row| row.id != 10), 1)
        }),
    ];
    for (what, write) in writes {
        let mut world = with_expired(Reclaim::EachWrite(2));
        write(&world);
        assert_eq!(world.left_expired(), 2, "{what}");
        world.insert(30);
        world.insert(30);
        world.insert(30);
        assert_eq!(world.left_expired(), 3, "{what}: the rest, and no live one");
        assert_eq!(world.pool.stats().removals.expired(), 5, "{what}");
    }
}

impl World {
    /// How many were told to have left because they had expired.
    fn left_expired(&mut self) -> usize {
        let told = self.told();
        let left = told
            .iter()
            .filter(|told| matches!(told, Told::Removed(_, "expired")));
        left.count()
    }
}

/// 100 reads of an expired entry are 100 misses, and neither remove nor announce it; whoever takes it then, a write of its
/// id, pressure, a sweep or a clear, announces it once.
///
/// Contract: P37
#[test]
fn regression_13_an_expired_entry_is_announced_once_however_often_it_is_read() {
    type Take = fn(&World);
    let takes: [(&str, Take); 6] = [
        ("a write", |world| world.insert(7)),
        ("a removal", |world| assert!(world.pool.remove(&7).is_none())),
        ("pressure", |world| (100..117).for_each(|id| world.insert(id))),
        ("a sweep", |world| assert_eq!(world.pool.sweep(10).removed, 1)),
        ("less capacity", |world| {
            let capacity = larder_pool::Capacity::of_entries(1);
            world.pool.set_capacity(capacity).unwrap();
        }),
        ("a batch", |world| {
            world.pool.batch().remove(&7).commit().unwrap();
        }),
    ];
    for (what, take) in takes {
        for (entries, eviction) in kinds() {
            let mut world = World::of(entries, eviction);
            world.insert(1);
            world.insert_for(7, 10);
            world.pass(11);
            world.told();
            for _ in 0..100 {
                assert!(world.pool.get(&7).is_none());
            }
            let stats = world.pool.stats();
            assert_eq!(
                (stats.misses.of(MissCause::Expired), stats.hits),
                (100, 0),
                "{what}"
            );
            assert_eq!((stats.misses.total(), stats.removals.total()), (100, 0), "{what}");
            assert_eq!(world.told(), [], "{what}");
            // Only a small pool is short of room for what comes.
            if what == "pressure" && entries > 16 {
                continue;
            }
            take(&world);
            let told = world.told();
            let expired = told.iter().filter(|told| **told == Told::Removed(7, "expired"));
            assert_eq!(expired.count(), 1, "{what} under {eviction:?}: {told:?}");
            assert_eq!(world.pool.stats().removals.expired(), 1, "{what}");
            assert_eq!(world.pool.sweep(10).removed, 0, "{what}: once");
            assert_eq!(world.told(), []);
        }
    }
}

/// Of a silent end too a reader of events hears: a value that nobody touches again is told when it goes.
///
/// Contract: P37 (partial: times to live of one insert each)
#[test]
fn a_rejected_conflict_with_an_expired_entry_is_none() {
    let mut world = World::with(|builder| builder.on_conflict(OnConflict::Reject));
    world.insert_for(7, 10);
    let options = || InsertOptions::new().on_conflict(OnConflict::Update);
    assert!(world.pool.insert(row(7, 1)).is_err());
    world.pass(10);
    world.told();
    world.pool.insert(row(7, 2)).unwrap();
    assert_eq!(world.told(), [Told::Removed(7, "expired"), Told::Inserted(7, 2)]);
    world.pool.insert_with(row(7, 3), options()).unwrap();
    assert_eq!(world.told(), [Told::Updated(7, 2, 3)]);
}
