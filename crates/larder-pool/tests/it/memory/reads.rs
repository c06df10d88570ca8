//! Reads, sizes, and what dead entries count for.

use std::time::Duration;

use larder_pool::{Capacity, MissCause, Reason};
use larder_testkit::{Random, for_each_seed};

use super::rows::{Told, World, by_others, row, target};

const SECOND: Duration = Duration::from_secs(1);

fn counts(world: &World) -> (u64, u64) {
    let stats = world.pool.stats();
    (stats.hits, stats.misses.total())
}

/// The one that was used least recently leaves a small pool: so it is seen what counts as a use.
///
/// Contract: P19
#[test]
fn get_is_a_use_and_looking_is_none() {
    type Read = (&'static str, bool, fn(&World));
    let reads: [Read; 6] = [
        ("get", true, |world| drop(world.pool.get(&1))),
        ("get many", true, |world| drop(world.pool.get_many(&[1, 9]))),
        ("peek", false, |world| drop(world.pool.peek(&1))),
        ("contains", false, |world| assert!(world.pool.contains(&1))),
        ("explain", false, |world| drop(world.pool.explain(&1))),
        ("nothing", false, |_| {}),
    ];
    for (what, is_use, read) in reads {
        let world = World::with(|pool| pool.capacity_entries(3));
        for id in 1..=3 {
            world.pool.insert(row(id, 1)).unwrap();
        }
        read(&world);
        let misses = u64::from(what == "get many");
        assert_eq!(counts(&world), (u64::from(is_use), misses), "{what}");
        world.pool.insert(row(4, 1)).unwrap();
        assert_eq!(world.pool.contains(&1), is_use, "{what}");
    }
}

/// The same for a time to idle: only uses move it.
///
/// Contract: P19 (partial: what counts as a use)
#[test]
fn looking_keeps_nothing_from_idling() {
    let world = World::with(|pool| pool.time_to_idle(SECOND));
    for id in 1..=3 {
        world.pool.insert(row(id, 1)).unwrap();
    }
    world.clock.advance(SECOND / 2);
    assert!(world.pool.get(&1).is_some() && world.pool.peek(&2).is_some() && world.pool.contains(&3));
    world.clock.advance(SECOND / 2);
    assert_eq!(world.live(9), [(1, 1)]);
}

/// However it died, a dead entry reads as absent, stays, and nobody is told; what takes it away tells it once.
/// (Regression 13, as far as it concerns memory: one miss for each of 100 reads, and no eviction.)
///
/// Contract: P19 (partial: dead entries), P37
#[test]
fn regression_13_reading_a_dead_entry_counts_misses_and_removes_nothing() {
    type End = (&'static str, MissCause, fn(&World));
    let ends: [End; 3] = [
        ("expired", MissCause::Expired, |world| world.clock.advance(SECOND)),
        ("idle", MissCause::Idle, |world| world.clock.advance(SECOND / 2)),
        ("invalidated", MissCause::Fenced, |world| {
            world
                .fence
                .invalidate(&larder_pool::Target::Everything, by_others());
        }),
    ];
    for (word, cause, end) in ends {
        for capacity in [4, 10_000] {
            let mut world = World::with(|pool| {
                let pool = pool.time_to_live(SECOND).capacity_entries(capacity);
                if word == "idle" {
                    pool.time_to_idle(SECOND / 2)
                } else {
                    pool
                }
            });
            world.pool.insert(row(1, 1)).unwrap();
            end(&world);
            world.told();
            let sequence = world.pool.sequence();
            for _ in 0..50 {
                assert!(world.pool.get(&1).is_none());
                assert!(world.pool.get_many(&[1])[0].is_none());
                assert!(world.pool.peek(&1).is_none() && !world.pool.contains(&1));
            }
            let stats = world.pool.stats();
            assert_eq!(
                (stats.misses.of(cause), stats.misses.total(), stats.hits),
                (100, 100, 0),
                "{word}"
            );
            assert_eq!((stats.entries, stats.removals.total()), (1, 0), "{word}");
            assert_eq!(
                (world.told(), world.pool.sequence()),
                (vec![], sequence),
                "{word}"
            );

            world.pool.insert(row(1, 2)).unwrap();
            let expected = [Told::Removed(1, word), Told::Inserted(1, 2)];
            assert_eq!(world.told(), expected, "{word}");
            let stats = world.pool.stats();
            assert_eq!(
                (stats.removals.total(), stats.removals.evicted()),
                (1, 0),
                "{word}"
            );
            assert_eq!(
                (stats.inserts, stats.updates, world.pool.len()),
                (2, 0, 1),
                "{word}"
            );
        }
    }
}

/// Expired entries that pressure takes are told once, as expired, before any that lives is evicted.
///
/// Contract: P37 (partial: pressure)
#[test]
fn regression_13_expired_entries_taken_by_pressure_are_told_once() {
    let mut world = World::with(|pool| pool.capacity_entries(100));
    for id in 0..100 {
        let time = if id < 50 { SECOND } else { SECOND * 60 };
        world.pool.insert_with_ttl(row(id, 1), time).unwrap();
    }
    world.clock.advance(SECOND * 2);
    world.told();
    for id in 100..150 {
        world.pool.insert(row(id, 1)).unwrap();
    }
    let told = world.told();
    let mut left: Vec<u64> = told
        .iter()
        .filter_map(|told| match told {
            Told::Removed(id, "expired") => Some(*id),
            Told::Inserted(..) => None,
            other => panic!("{other:?}"),
        })
        .collect();
    left.sort_unstable();
    assert_eq!(left, (0..50).collect::<Vec<_>>());
    assert_eq!(world.pool.stats().removals.expired(), 50);
}

/// Answers stand where their ids stand, whatever is asked for twice, missing or dead.
///
/// Contract: P19 (partial: `get_many` by position)
#[test]
fn get_many_answers_by_position() {
    for_each_seed(40, |seed| {
        let mut random = Random::seeded(seed);
        let world = World::with(|pool| pool.capacity_entries(1 + random.below(200)));
        for _ in 0..100 {
            let time = if random.chance(300) { SECOND } else { SECOND * 9 };
            world
                .pool
                .insert_with_ttl(row(random.below(120), random.next_u64()), time)
                .unwrap();
        }
        world.clock.advance(SECOND);
        let ids: Vec<u64> = (0..random.below(60)).map(|_| random.below(140)).collect();
        let single: Vec<_> = ids.iter().map(|id| world.peek(*id)).collect();
        let many = world.pool.get_many(&ids).into_iter();
        assert_eq!(
            many.map(|found| found.map(|row| row.version)).collect::<Vec<_>>(),
            single
        );
        let hits = u64::try_from(single.iter().flatten().count()).unwrap();
        let misses = u64::try_from(ids.len()).unwrap() - hits;
        assert_eq!(counts(&world), (hits, misses));
    });
}

/// Contract: P22 (partial: sizes)
#[test]
fn the_dead_count_until_they_leave() {
    let world = World::new();
    assert_eq!((world.pool.is_empty(), world.pool.len()), (true, 0));
    for id in 0..10 {
        world
            .pool
            .insert_with_ttl(row(id, 1), SECOND * (1 + u32::from(id < 5)))
            .unwrap();
    }
    let bytes = world.pool.weight_bytes();
    world.clock.advance(SECOND);
    assert_eq!(
        (world.pool.len(), world.pool.is_empty(), world.live(10).len()),
        (10, false, 5)
    );
    world.fence.invalidate(&target(0), by_others());
    assert_eq!(world.pool.len(), 9, "an entity's own invalidation removes it");
    let report = world.pool.sweep(3);
    assert_eq!(
        (report.removed, report.is_cut_short, world.pool.len()),
        (3, true, 6)
    );
    let report = world.pool.sweep(100);
    assert_eq!(
        (report.removed, report.is_cut_short, world.pool.len()),
        (2, false, 4)
    );
    assert_eq!(world.pool.weight_bytes() * 10, bytes * 4);
    assert_eq!(
        (world.pool.clear(Reason::Manual), world.pool.is_empty()),
        (4, true)
    );
    assert_eq!((world.pool.len(), world.pool.weight_bytes()), (0, 0));
}

/// A new capacity holds when the call returns, in both directions, for both bounds; the expired leave first; each who
/// leaves is told once, and steps that are not the whole way are never beyond the old bound.
///
/// Contract: P22
#[test]
fn a_new_capacity_is_met_before_the_call_returns() {
    for_each_seed(20, |seed| {
        let mut random = Random::seeded(seed);
        let mut world = World::with(|pool| pool.capacity_entries(1_500).event_capacity(1 << 16));
        for id in 0..1_500 {
            let time = if random.chance(100) { SECOND } else { SECOND * 60 };
            world.pool.insert_with_ttl(row(id, 1), time).unwrap();
        }
        world.clock.advance(SECOND * 2);
        let each = world.pool.weight_bytes() / 1_500;
        for _ in 0..6 {
            world.told();
            let (before, most) = (world.live(1_600), 1 + random.below(2_000));
            let entries = usize::try_from(most).unwrap();
            let by_bytes = random.chance(500);
            let capacity = if by_bytes {
                Capacity::of_bytes(u64::try_from(entries * each + each / 2).unwrap())
            } else {
                Capacity::of_entries(most)
            };
            let residents = world.pool.len();
            world.pool.set_capacity(capacity).unwrap();
            assert_eq!(world.pool.capacity(), capacity);
            assert_eq!(
                world.pool.len(),
                residents.min(entries),
                "no more leave than must"
            );
            let after = world.live(1_600);
            let told = world.told();
            assert_eq!(told.len(), residents - world.pool.len());
            let evicted = told
                .iter()
                .filter(|told| matches!(told, Told::Removed(_, "evicted")));
            assert_eq!(evicted.count(), before.len() - after.len());
            let dead_are_left = world.pool.len() > after.len();
            assert!(!dead_are_left || before == after, "the expired leave first");
            // It holds for what comes next.
            for id in 1_500..1_510 {
                world.pool.insert(row(id, 1)).unwrap();
                assert!(world.pool.len() <= entries && world.peek(id) == Some(1));
            }
        }
    });
}
