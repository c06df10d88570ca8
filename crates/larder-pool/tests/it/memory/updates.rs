//! Values in place of others: computed from them, or only if they are still there.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use larder_pool::limits::UPDATE_RETRIES_MAX;
use larder_pool::{Capacity, InsertError, OnConflict, Reason, TAGS_MAX, UpdateError};

use super::rows::{Row, Told, World, row};

const SECOND: Duration = Duration::from_secs(1);

/// Contract: P21 (partial: `update`)
#[test]
fn an_update_is_computed_from_the_live_value() {
    for rule in [
        OnConflict::Replace,
        OnConflict::Reject,
        OnConflict::Update,
        OnConflict::keep_newest(),
    ] {
        let mut world = World::with(|pool| pool.on_conflict(rule));
        world.pool.insert(row(1, 5)).unwrap();
        world.pool.insert_with_ttl(row(2, 5), SECOND).unwrap();
        let updated = world
            .pool
            .update(&1, |old| row(old.id, old.version - 1))
            .unwrap()
            .unwrap();
        assert!(Arc::ptr_eq(&updated, &world.pool.get(&1).unwrap()));
        world.clock.advance(SECOND);
        for id in [2, 3] {
            let absent = world.pool.update(&id, |_| panic!("of nothing")).unwrap();
            assert!(absent.is_none());
        }
        let told = [Told::Inserted(1, 5), Told::Inserted(2, 5), Told::Updated(1, 5, 4)];
        assert_eq!(world.told(), told, "{rule:?}");
        assert_eq!((world.pool.sequence(), world.pool.stats().updates), (3, 1));
    }
}

/// Contract: P21 (partial: what an update refuses)
#[test]
fn an_update_that_is_refused_changes_nothing() {
    let mut world = World::with(|pool| {
        let pool = pool.capacity_bytes(10_000);
        pool.weigher(|row: &Row| usize::try_from(row.version).unwrap())
    });
    let seen = world.pool.insert(row(1, 1)).unwrap();
    world.told();
    let changed = world.pool.update(&1, |_| row(2, 1));
    assert!(matches!(changed, Err(UpdateError::IdChanged)));
    let too_long = "x".repeat(300);
    world.pool.insert(row(3, 1)).unwrap();
    assert_eq!(
        (world.live(9), world.told().len(), too_long.len()),
        (vec![(1, 1), (3, 1)], 1, 300)
    );
    assert!(Arc::ptr_eq(&seen, &world.pool.get(&1).unwrap()));

    let heavy = world.pool.update(&1, |_| row(1, 20_000));
    let Err(UpdateError::Refused(InsertError::TooHeavy { value, capacity, .. })) = heavy else {
        panic!("it was stored")
    };
    assert_eq!((value.version, capacity), (20_000, 10_000));
    assert_eq!(
        world.told(),
        [Told::Removed(1, "superseded")],
        "an older value must not outlive it"
    );
}

/// The tags of the new value count, and there may be too many of them.
///
/// Contract: P21 (partial: refusals as those of inserts)
#[test]
fn an_update_may_have_too_many_tags() {
    let world = World::new();
    let pool = larder_pool::Pool::<Crowded>::builder().build().unwrap();
    pool.insert(Crowded { id: 1, tags: 3 }).unwrap();
    let Err(UpdateError::Refused(error)) = pool.update(&1, |_| Crowded { id: 1, tags: 65 }) else {
        panic!("it was stored")
    };
    assert!(matches!(error, InsertError::TooManyTags { max: TAGS_MAX, .. }));
    assert_eq!(
        (error.into_value().unwrap().tags, pool.peek(&1).unwrap().tags),
        (65, 3)
    );
    assert!(world.pool.is_empty());
}

struct Crowded {
    id: u64,
    tags: u64,
}

impl larder_pool::Entity for Crowded {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "crowded"
    }

    fn id(&self) -> u64 {
        self.id
    }

    fn tags(&self, out: &mut larder_pool::TagSet) {
        (0..self.tags).for_each(|tag| out.insert(format!("t{tag}")));
    }
}

/// Somebody else is faster, so often: the closure runs again each time on what is there then.
///
/// Contract: P21 (partial: rounds)
#[test]
fn an_update_runs_again_when_it_was_overtaken_and_gives_up_in_the_end() {
    let world = World::new();
    world.pool.insert(row(1, 1_000)).unwrap();
    let mut rounds = 0;
    let updated = world.pool.update(&1, |old| {
        rounds += 1;
        if rounds < UPDATE_RETRIES_MAX {
            world.pool.insert(row(1, old.version + 1)).unwrap();
        }
        row(1, old.version + 10_000)
    });
    assert_eq!((rounds, UPDATE_RETRIES_MAX), (64, 64));
    assert_eq!(
        updated.unwrap().unwrap().version,
        11_063,
        "of the last that was there"
    );

    let mut rounds = 0;
    let contended = world.pool.update(&1, |old| {
        rounds += 1;
        world.pool.insert(row(1, old.version + 1)).unwrap();
        row(1, 0)
    });
    assert!(matches!(
        contended,
        Err(UpdateError::Contended { rounds: 64, .. })
    ));
    assert_eq!(
        (rounds, world.peek(1)),
        (64, Some(11_063 + 64)),
        "nothing of it was stored"
    );

    // It left meanwhile, whatever comes of it: there is nothing to update.
    let gone = world.pool.update(&1, |_| {
        world.pool.remove(&1);
        row(1, 0)
    });
    assert!(gone.unwrap().is_none() && world.pool.is_empty());
}

/// Threads that add one, each so often: none is lost.
///
/// Contract: P21 (partial: beside threads)
#[test]
fn updates_of_several_threads_all_count() {
    let world = World::new();
    world.pool.insert(row(1, 0)).unwrap();
    let done = thread::scope(|scope| {
        let add = || {
            let mut done = 0;
            for _ in 0..200 {
                match world.pool.update(&1, |old| row(1, old.version + 1)) {
                    Ok(Some(_)) => done += 1,
                    Err(UpdateError::Contended { .. }) => {}
                    _ => panic!("it is there"),
                }
            }
            done
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(add)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum::<u64>()
    });
    assert_eq!((world.peek(1), world.pool.stats().updates), (Some(done), done));
    assert!(done > 200);
}

/// The closure runs without a lock: others may do anything meanwhile.
///
/// Contract: P21 (partial: outside all locks)
#[test]
fn an_update_computes_outside_all_locks() {
    let world = World::new();
    world.pool.insert(row(1, 1)).unwrap();
    let pool = world.pool.clone();
    let (done, is_done) = channel();
    world
        .pool
        .update(&1, |old| {
            let (pool, done) = (pool.clone(), done.clone());
            thread::spawn(move || {
                pool.insert(row(2, 1)).unwrap();
                pool.set_capacity(Capacity::of_entries(5)).unwrap();
                pool.retain(|row| row.id != 2);
                done.send(pool.get(&1).is_some())
            });
            assert!(is_done.recv_timeout(Duration::from_secs(20)).unwrap());
            row(old.id, 2)
        })
        .unwrap();
    assert_eq!(world.live(9), [(1, 2)]);
}

/// Contract: P21 (partial: `replace_if_same`)
#[test]
fn replace_if_same_stores_only_in_place_of_what_was_seen() {
    for rule in [OnConflict::Replace, OnConflict::Reject, OnConflict::keep_newest()] {
        let mut world = World::with(|pool| pool.on_conflict(rule));
        let seen = world.pool.insert_with_ttl(row(1, 9), SECOND * 9).unwrap();
        let moved = |world: &World, seen: &Arc<Row>, resident: Option<u64>| {
            let value = Arc::new(row(1, 7));
            let Err(error) = world.pool.replace_if_same(seen, Arc::clone(&value)) else {
                panic!("it was stored")
            };
            let InsertError::Moved { resident: there, .. } = &error else {
                panic!("{error}")
            };
            assert_eq!(there.as_ref().map(|there| there.version), resident);
            assert!(Arc::ptr_eq(&error.into_value().unwrap(), &value));
        };
        moved(&world, &Arc::new(row(1, 9)), Some(9));
        let stored = world.pool.replace_if_same(&seen, row(1, 3)).unwrap();
        moved(&world, &seen, Some(3));
        assert_eq!(
            world.told(),
            [Told::Inserted(1, 9), Told::Updated(1, 9, 3)],
            "{rule:?}"
        );
        world.clock.advance(SECOND * 9);
        assert_eq!(world.peek(1), Some(3), "for the pool's time to live");
        world.pool.invalidate(&1, Reason::Saved);
        moved(&world, &stored, None);
        // Neither is what has expired, though it is the same.
        let short = world.pool.insert_with_ttl(row(1, 1), SECOND).unwrap();
        world.clock.advance(SECOND);
        moved(&world, &short, None);
        // It must be the live value of its own id: another's does not do.
        let other = world.pool.insert(row(2, 1)).unwrap();
        moved(&world, &other, None);
        assert_eq!(world.live(9), [(2, 1)]);
    }
}
