//! Stats: what is held and what was done, the same as was reported one by one.

use std::collections::BTreeMap;
use std::io;
use std::pin::pin;
use std::sync::Barrier;
use std::thread;

use larder_core::{Cause, Target};
use larder_pool::{
    Capacity, Changed, Eviction, FetchOptions, LoadOutcome, Loaded, MissCause, OnConflict, PoolStats, Reason,
};
use larder_testkit::{Random, for_each_seed, poll_once};

use super::recorder::recorded;
use crate::bounds::ground::{Row, Told, World, kinds, millis_of, row};

/// Whatever happens, in any order: each counter is the number of reports and of events of its kind.
///
/// Contract: P122 (partial: counters of memory)
#[test]
fn counters_are_what_was_reported_one_by_one() {
    for_each_seed(40, |seed| {
        let mut random = Random::seeded(seed);
        let (eviction, capacity) = (Eviction::ALL[random.index(4)], [8, 90][random.index(2)]);
        let (mut world, recorder) = recorded(|builder| {
            let builder = builder.capacity_entries(capacity).eviction(eviction);
            builder.on_conflict(OnConflict::Update).capacity_bytes(80 * 200)
        });
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let (mut inserts, mut updates) = (0, 0);
        for _ in 0..150 {
            step(&world, &mut random);
            for line in recorder.take() {
                *counts.entry(line).or_default() += 1;
            }
            for told in world.told() {
                inserts += u64::from(matches!(told, Told::Inserted(..)));
                updates += u64::from(matches!(told, Told::Updated(..)));
            }
            let stats = world.pool.stats();
            let count = |line: &str| counts.get(line).copied().unwrap_or_default();
            assert_eq!(stats.hits, count("row hit Memory"));
            for cause in [
                MissCause::Absent,
                MissCause::Expired,
                MissCause::Idle,
                MissCause::Fenced,
            ] {
                let line = format!("row miss {}", cause.as_str());
                assert_eq!(stats.misses.of(cause), count(&line), "{line}");
            }
            for (reason, number) in by_reason(&stats) {
                assert_eq!(number, count(&format!("row removed {reason}")), "{reason}");
            }
            assert_eq!((stats.inserts, stats.updates), (inserts, updates));
            assert_eq!(
                stats.entries + stats.removals.total(),
                stats.inserts,
                "who came and did not leave"
            );
            assert_eq!(
                (stats.entries, stats.bytes),
                (world.pool.len() as u64, world.pool.weight_bytes() as u64)
            );
            assert_eq!(stats.capacity, world.pool.capacity());
        }
    });
}

fn by_reason(stats: &PoolStats) -> [(&'static str, u64); 8] {
    let removals = stats.removals;
    [
        ("manual", removals.of(Reason::Manual)),
        ("saved", removals.of(Reason::Saved)),
        ("deleted", removals.of(Reason::Deleted)),
        ("evicted", removals.evicted()),
        ("expired", removals.expired()),
        ("idle", removals.idle()),
        ("invalidated", removals.invalidated()),
        ("superseded", removals.superseded()),
    ]
}

fn step(world: &World, random: &mut Random) {
    let (pool, id) = (&world.pool, random.below(120));
    match random.below(14) {
        0..3 => world.insert(id),
        3 => world.insert_for(id, 1 + random.below(20)),
        4 => world.insert_idle(id, 1 + random.below(20)),
        5..8 => drop(pool.get(&id)),
        8 => drop(pool.get_many(&[id, id + 1])),
        9 => drop(pool.invalidate(&id, [Reason::Saved, Reason::Deleted][random.index(2)])),
        10 => world.pass(random.below(10)),
        11 => {
            let rows = (0..random.below(20)).map(|more| row(id + more, 0));
            pool.insert_many(rows).unwrap();
        }
        12 => drop(pool.sweep(3)),
        _ => match random.below(5) {
            0 => drop(pool.clear(Reason::Manual)),
            1 => drop(pool.retain(|row| row.id % 5 != id % 5)),
            2 => {
                let target = Target::collection("row").unwrap();
                world
                    .fence
                    .invalidate(&target, Cause::direct(larder_core::Reason::new("by hand")));
            }
            3 => pool
                .set_capacity(Capacity::of_entries(1 + random.below(90)))
                .unwrap(),
            _ => drop(pool.update(&id, |_| row(id, 1)).unwrap()),
        },
    }
}

/// Contract: P122 (partial: loads)
#[test]
fn loads_joins_and_answers_without_a_load_are_counted() {
    let world = World::with(|builder| {
        let builder = builder
            .negative_ttl(millis_of(50))
            .stale_on_error(millis_of(1_000));
        builder.event_capacity(2)
    });
    let fetch = |id: u64, brings: Result<Loaded<Row>, io::Error>| {
        let clock = world.clock.clone();
        let call = world.pool.get_or_fetch(&id, |_| async move {
            clock.advance(millis_of(2));
            brings
        });
        world.runtime.block_on(call).map(|row| row.is_some()).ok()
    };
    assert_eq!(fetch(1, Ok(row(1, 0).into())), Some(true));
    assert_eq!(fetch(2, Ok(Loaded::none())), Some(false));
    assert_eq!(world.pool.stats().negatives, 1);
    assert_eq!(fetch(2, Ok(row(2, 0).into())), Some(false), "remembered");
    assert_eq!(fetch(3, Err(io::Error::other("down"))), None);
    world.insert_for(4, 5);
    world.pass(5);
    assert_eq!(fetch(4, Err(io::Error::other("down"))), Some(true));
    {
        let never = |_| std::future::pending::<Result<Loaded<Row>, io::Error>>();
        let mut first = pin!(world.pool.get_or_fetch_with(&5, FetchOptions::new(), never));
        let mut second = pin!(world.pool.get_or_fetch(&5, never));
        assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
        assert_eq!((world.pool.stats().flights, world.pool.stats().joins), (1, 1));
        world.pass(7);
    }
    let stats = world.pool.stats();
    let runs = [
        LoadOutcome::Loaded,
        LoadOutcome::Failed,
        LoadOutcome::Panicked,
        LoadOutcome::TimedOut,
        LoadOutcome::Cancelled,
    ]
    .map(|outcome| stats.loads.of(outcome));
    assert_eq!((runs, stats.loads.total()), ([2, 2, 0, 0, 1], 5));
    assert_eq!(stats.loads.time(), millis_of(4 * 2 + 7));
    assert_eq!(
        (stats.stale_answers, stats.negative_answers, stats.flights),
        (1, 1, 0)
    );
}

/// Many threads count at once, and nothing is lost; what is counted of memory can be switched off, the rest goes on.
///
/// Contract: P122 (partial: striped, switched off, lag and panics)
#[test]
fn counts_of_many_threads_add_up_and_can_be_switched_off() {
    for (entries, eviction) in kinds() {
        for is_on in [true, false] {
            let mut world = World::with(|builder| {
                let builder = builder.capacity_entries(entries).eviction(eviction).stats(is_on);
                builder.event_capacity(4).listener(|change: &Changed<'_, Row>| {
                    assert!(change.reason.is_none(), "this listener wants nobody to leave");
                })
            });
            (0..10).for_each(|id| world.insert(id));
            let start = Barrier::new(4);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        start.wait();
                        for id in 0..200_u64 {
                            let _ = world.pool.get(&(id % 20));
                        }
                    });
                }
            });
            world.pool.remove(&1);
            assert!(world.events.try_recv().is_err(), "it lags");
            let stats = world.pool.stats();
            let counted = if is_on { 400 } else { 0 };
            assert_eq!(
                (stats.hits, stats.misses.of(MissCause::Absent)),
                (counted, counted),
                "{eviction:?}"
            );
            assert_eq!(
                (stats.inserts, stats.removals.of(Reason::Manual)),
                (10, 1),
                "always counted"
            );
            assert_eq!((stats.lagged_events, stats.listener_panics), (7, 1));
            assert_eq!(world.pool.config().stats, is_on);
        }
    }
}
