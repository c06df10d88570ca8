//! Times to idle, which each use moves, and jitter, which depends on nothing but seed, id and sequence.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use larder_pool::{InsertOptions, MissCause, Pool};
use larder_testkit::{SimClock, SimEntropy};

use super::ground::{Row, World, kinds, millis_of, row};

/// Contract: P36 (partial: idle deadlines)
#[test]
fn each_use_moves_the_idle_deadline_and_looking_does_not() {
    for (entries, eviction) in kinds() {
        let mut world = World::of(entries, eviction);
        for id in 0..4 {
            world.insert_idle(id, 100);
        }
        for round in 0..5_u64 {
            world.pass(60);
            assert!(world.pool.get(&0).is_some(), "{round} under {eviction:?}");
            assert!(world.pool.get_many([&1])[0].is_some(), "{round}");
            let call = world
                .pool
                .get_or_fetch(&2, |_| async { Err::<Row, _>("no load") });
            assert!(world.runtime.block_on(call).unwrap().is_some(), "{round}");
            assert_eq!(
                world.pool.peek(&3).is_some(),
                round == 0,
                "no use, under {eviction:?}"
            );
            assert_eq!(world.pool.contains(&3), round == 0);
        }
        assert_eq!(world.pool.sweep(10).removed, 1);
        assert_eq!(world.left("idle"), [3]);
        world.clock.advance(millis_of(100) - Duration::from_nanos(1));
        assert!((0..3).all(|id| world.pool.contains(&id)));
        world.clock.advance(Duration::from_nanos(1));
        assert!((0..3).all(|id| world.pool.get(&id).is_none()));
        assert_eq!(world.pool.stats().misses.of(MissCause::Idle), 3);
        assert_eq!(world.pool.sweep(10).removed, 3);
        assert_eq!(world.left("idle").len(), 3);
    }
}

/// Contract: P36 (partial: of two deadlines)
#[test]
fn the_earlier_of_two_deadlines_counts() {
    let mut world = World::with(|builder| {
        let builder = builder.capacity_entries(300).time_to_live(millis_of(100));
        builder.time_to_idle(millis_of(40))
    });
    world.insert(1);
    world.insert(2);
    world.insert_idle(3, 1_000);
    world.told();
    for _ in 0..3 {
        world.pass(30);
        assert!(world.pool.get(&1).is_some(), "used in time");
    }
    assert!(world.pool.get(&2).is_none(), "not used in time");
    assert_eq!(world.pool.stats().misses.of(MissCause::Idle), 1);
    assert_eq!(world.pool.sweep(10).removed, 1);
    assert_eq!(world.left("idle"), [2]);
    world.pass(10);
    assert!(world.pool.get(&1).is_none(), "uses move no time to live");
    assert!(world.pool.get(&3).is_none(), "its own time to idle was longer");
    assert_eq!(world.pool.stats().misses.of(MissCause::Expired), 2);
    world.insert(1);
    assert_eq!(world.left("expired"), [1]);
    assert!(world.pool.get(&1).is_some(), "stored anew it begins anew");
    assert_eq!(world.pool.sweep(10).removed, 1);
    assert_eq!(world.left("expired"), [3]);
}

const HOUR: Duration = Duration::from_secs(3_600);

/// The times that rows get to live which are stored in this order, in a pool of these seeds.
fn lives(seed: u64, jitter: f64, ids: &[u64]) -> Vec<Duration> {
    let pool = jittery(seed, jitter);
    let lives = ids.iter().map(|id| {
        pool.insert(row(*id, 0)).unwrap();
        time_left(&pool, *id)
    });
    lives.collect()
}

fn jittery(seed: u64, jitter: f64) -> Pool<Row> {
    let builder = Pool::builder().time_to_live(HOUR).jitter(jitter);
    let builder = builder.clock(Arc::new(SimClock::new()));
    let builder = builder.entropy(Arc::new(SimEntropy::seeded(seed)));
    builder.build().unwrap()
}

fn time_left(pool: &Pool<Row>, id: u64) -> Duration {
    let resident = pool.explain(&id).resident.unwrap();
    resident.time_left.unwrap()
}

/// Contract: P36
#[test]
fn jitter_shortens_by_a_part_that_seed_id_and_sequence_decide() {
    let ids: Vec<u64> = (0..1_000).collect();
    let one = lives(1, 0.2, &ids);
    assert_eq!(one, lives(1, 0.2, &ids), "simulations repeat");
    assert_ne!(one, lives(2, 0.2, &ids), "other seeds");
    assert!(one.iter().all(|life| *life <= HOUR && *life >= HOUR.mul_f64(0.8)));
    // Spread over the whole part, not gathered at an end of it.
    let shortest = one.iter().min().unwrap();
    let longest = one.iter().max().unwrap();
    assert!(*shortest < HOUR.mul_f64(0.81) && *longest > HOUR.mul_f64(0.99));
    let mean = one.iter().sum::<Duration>() / 1_000;
    assert!(mean > HOUR.mul_f64(0.89) && mean < HOUR.mul_f64(0.91), "{mean:?}");

    // The id decides, and the sequence: the same id stored again lives for another time.
    let again = lives(1, 0.2, &[5; 100]);
    assert!(again.iter().collect::<BTreeSet<_>>().len() > 90);
    assert_ne!(
        lives(1, 0.2, &[5, 6]),
        lives(1, 0.2, &[6, 5]),
        "it is of the id at its sequence"
    );
    // What each insert does to its own entry does not depend on who else was stored.
    let pool = jittery(1, 0.2);
    pool.insert(row(5_000, 0)).unwrap();
    pool.insert(row(1, 0)).unwrap();
    assert_eq!(time_left(&pool, 1), one[1], "the second commit, of the id 1");
    assert!(
        lives(1, 0.0, &ids).iter().all(|life| *life == HOUR),
        "without jitter"
    );
}

/// Also where the part is too small to be seen: not by a rounding, and not past the clock's range.
///
/// Contract: P36 (partial: never longer)
#[test]
fn jitter_never_lengthens_a_time_to_live() {
    for jitter in [1e-18, 1e-9, 0.5] {
        let pool = jittery(3, jitter);
        for (id, nanos) in (0..200).map(|id| (id, 400 + id)) {
            // So long that a float cannot hold it to the nanosecond.
            let time = Duration::from_secs(3_000_000_000) + Duration::from_nanos(nanos);
            pool.insert_with_ttl(row(id, 0), time).unwrap();
            assert!(
                time_left(&pool, id) <= time,
                "{jitter}: {:?}",
                time_left(&pool, id)
            );
        }
        pool.insert_with_ttl(row(1, 0), Duration::MAX).unwrap();
        assert_eq!(
            pool.explain(&1).resident.unwrap().time_left,
            None,
            "{jitter}: never"
        );
        pool.insert_with_ttl(row(2, 0), Duration::from_nanos(1)).unwrap();
        assert_eq!(
            time_left(&pool, 2),
            Duration::from_nanos(1),
            "a time to live stays one"
        );
    }
}

/// Batches and times of their own are shortened too; times to idle are not.
///
/// Contract: P36 (partial: whose times are shortened)
#[test]
fn jitter_is_of_every_time_to_live_and_of_no_time_to_idle() {
    let pool = jittery(1, 0.5);
    let rows = (0..100).map(|id| row(id, 0));
    pool.insert_many(rows).unwrap();
    let lives: BTreeSet<Duration> = (0..100).map(|id| time_left(&pool, id)).collect();
    assert!(lives.len() > 90 && lives.iter().all(|life| *life <= HOUR && *life >= HOUR / 2));

    let world = World::with(|builder| builder.jitter(0.5));
    for id in 0..50 {
        let options = InsertOptions::new().time_to_idle(millis_of(100));
        world.pool.insert_with(row(id, 0), options).unwrap();
    }
    world.pass(99);
    assert!((0..50).all(|id| world.pool.contains(&id)));
}
