//! The order of commits and of events.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use larder_pool::{Capacity, OnConflict, Reason, Tag};

use super::rows::{Row, Told, World, row};

const SECOND: Duration = Duration::from_secs(1);

/// What does something is one commit, with the next number; what does nothing is none.
///
/// Contract: P26 (partial: one thread)
#[test]
fn each_commit_has_the_next_number_and_is_visible_when_its_call_returns() {
    type Step = (&'static str, u64, fn(&World));
    let steps: [Step; 18] = [
        ("insert", 1, |world| drop(world.pool.insert(row(1, 1)))),
        ("get", 0, |world| drop(world.pool.get(&1))),
        ("insert over", 1, |world| drop(world.pool.insert(row(1, 2)))),
        ("insert another", 1, |world| drop(world.pool.insert(row(2, 1)))),
        ("insert with an eviction", 1, |world| {
            drop(world.pool.insert(row(3, 1)))
        }),
        ("a batch of three", 1, |world| {
            let batch = world.pool.batch().insert(row(4, 1)).insert(row(5, 1)).remove(&3);
            batch.commit().unwrap();
        }),
        ("an empty batch", 0, |world| drop(world.pool.batch().commit())),
        ("a batch of nothing", 0, |world| {
            drop(world.pool.batch().remove(&99).commit())
        }),
        ("an update", 1, |world| drop(world.pool.update(&5, |_| row(5, 2)))),
        ("an update of nothing", 0, |world| {
            drop(world.pool.update(&99, |_| row(99, 2)))
        }),
        ("a removal", 1, |world| drop(world.pool.remove(&5))),
        ("a removal of nothing", 0, |world| drop(world.pool.remove(&5))),
        ("a refused insert", 0, |world| {
            drop(world.pool.insert_with_ttl(row(9, 1), Duration::ZERO));
        }),
        ("retain all", 0, |world| {
            assert_eq!(world.pool.retain(|_| true), 0)
        }),
        ("retain none", 1, |world| {
            assert_eq!(world.pool.retain(|_| false), 1)
        }),
        ("clear nothing", 0, |world| {
            assert_eq!(world.pool.clear(Reason::Manual), 0)
        }),
        ("sweep nothing", 0, |world| {
            assert_eq!(world.pool.sweep(9).removed, 0)
        }),
        ("a tag of nobody", 0, |world| {
            assert_eq!(world.pool.invalidate_tag(&Tag::new("x").unwrap()), 0);
        }),
    ];
    let mut world = World::with(|pool| pool.capacity_entries(2));
    assert_eq!(world.pool.sequence(), 0);
    for (what, commits, step) in steps {
        let before = world.pool.sequence();
        step(&world);
        assert_eq!(world.pool.sequence(), before + commits, "{what}");
        let told = world.told_at();
        assert!(
            told.iter().all(|(sequence, _)| *sequence == before + 1),
            "{what}: {told:?}"
        );
        assert_eq!(told.is_empty(), commits == 0, "{what}");
    }
}

/// No number comes twice, however a pool is emptied and made smaller.
///
/// Contract: P26 (partial: never again)
#[test]
fn numbers_are_not_used_again() {
    let mut world = World::new();
    for round in 0..20 {
        for id in 0..20 {
            world.pool.insert_with_ttl(row(id, round), SECOND).unwrap();
        }
        match round % 4 {
            0 => drop(world.pool.clear(Reason::Manual).to_string()),
            1 => world.pool.set_capacity(Capacity::of_entries(1 + round)).unwrap(),
            2 => world.clock.advance(SECOND * 2),
            _ => assert!(world.pool.sweep(100).removed <= 20),
        }
    }
    let told = world.told_at();
    let mut commits: Vec<u64> = told.iter().map(|(sequence, _)| *sequence).collect();
    assert!(commits.is_sorted());
    commits.dedup();
    assert_eq!(
        commits,
        (1..=world.pool.sequence()).collect::<Vec<_>>(),
        "and none is left out"
    );
}

/// Writers on several threads: their commits are numbered without a gap, events are in that order, each thread finds what
/// it wrote when its call returns, and the events replayed are what is resident.
///
/// Contract: P26
#[test]
fn the_order_of_events_is_that_of_commits_over_all_threads() {
    const THREADS: u64 = 4;
    const EACH: u64 = 150;
    let mut world = World::with(|pool| pool.on_conflict(OnConflict::Update).event_capacity(1 << 14));
    let start = Barrier::new(usize::try_from(THREADS).unwrap());
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (pool, start) = (world.pool.clone(), &start);
            scope.spawn(move || {
                start.wait();
                for step in 0..EACH {
                    let before = pool.sequence();
                    let (own, version) = (number + 100, step);
                    pool.insert(row(own, version)).unwrap();
                    assert_eq!(pool.get(&own).unwrap().version, version, "nobody else writes it");
                    let batch = pool
                        .batch()
                        .insert(row(step % 7, number))
                        .insert(row(7 + step % 5, number));
                    let sequence = batch.remove(&own).commit().unwrap().sequence;
                    assert!(sequence >= before + 2 && pool.sequence() >= sequence);
                    assert!(pool.peek(&own).is_none());
                }
            });
        }
    });
    let told = world.told_at();
    let mut commits: Vec<u64> = told.iter().map(|(sequence, _)| *sequence).collect();
    assert!(commits.is_sorted());
    commits.dedup();
    assert_eq!(commits, (1..=THREADS * EACH * 2).collect::<Vec<_>>());
    assert_eq!(world.pool.sequence(), THREADS * EACH * 2);
    assert_eq!(replayed(told), world.live(200).into_iter().collect());
}

/// What a mirror holds that has only the events.
fn replayed(told: Vec<(u64, Told)>) -> BTreeMap<u64, u64> {
    let mut mirror = BTreeMap::new();
    for (_, told) in told {
        match told {
            Told::Inserted(id, version) => drop(mirror.insert(id, version)),
            Told::Updated(id, old, new) => assert_eq!(mirror.insert(id, new), Some(old)),
            Told::Removed(id, _) => assert!(mirror.remove(&id).is_some(), "{id} left twice"),
            Told::Cleared(count, _) => {
                assert_eq!(count, mirror.len());
                mirror.clear();
            }
        }
    }
    mirror
}

/// A reader begins with the next commit, whatever was before.
///
/// Contract: P26 (partial: events), P118 (partial: where a reader starts)
#[test]
fn a_reader_begins_with_the_next_commit() {
    let world = World::new();
    world.pool.insert(row(1, 1)).unwrap();
    let mut late = world.pool.events();
    world.pool.insert(Row { team: 1, ..row(2, 1) }).unwrap();
    assert_eq!(late.try_recv().unwrap().sequence(), 2);
    assert!(late.try_recv().is_err());
}
