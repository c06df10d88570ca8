//! Sweeps: what they take, what they leave, and when those in the background run.

use std::time::Duration;

use larder_pool::SweepReport;

use super::ground::{World, kinds, millis_of, row};

fn swept(report: SweepReport) -> (usize, bool) {
    (report.removed, report.is_cut_short)
}

/// Contract: P35 (partial: on the caller's thread)
#[test]
fn a_sweep_takes_the_expired_up_to_its_limit() {
    for (entries, eviction) in kinds() {
        let mut world = World::of(entries, eviction);
        for id in 0..10 {
            world.insert_for(id, 10 + id);
        }
        world.insert(10);
        world.insert_for(11, 5_000);
        assert_eq!(swept(world.pool.sweep(100)), (0, false), "nothing has expired");
        world.pass(20);
        assert_eq!(swept(world.pool.sweep(0)).0, 0);
        assert_eq!(swept(world.pool.sweep(3)), (3, true));
        assert_eq!(swept(world.pool.sweep(100)), (7, false));
        let mut left = world.left("expired");
        left.sort_unstable();
        assert_eq!(left, (0..10).collect::<Vec<_>>(), "each once, under {eviction:?}");
        assert_eq!(world.pool.len(), 2);
        assert!(world.pool.contains(&10) && world.pool.contains(&11));
    }
}

/// Contract: P35 (partial: looked at again)
#[test]
fn a_sweep_takes_nothing_whose_time_has_changed_meanwhile() {
    let mut world = World::with(|builder| builder.capacity_entries(300));
    world.insert_for(1, 10);
    world.insert_for(2, 10);
    world.insert_for(3, 10);
    world.insert_for(4, 10);
    world.insert_idle(5, 10);
    world.pass(9);
    world.insert_for(1, 10);
    world.insert(2);
    world.pool.remove(&3);
    world.pool.batch().insert(row(4, 1)).commit().unwrap();
    assert!(world.pool.get(&5).is_some());
    world.told();
    world.pass(5);
    assert_eq!(swept(world.pool.sweep(100)), (0, false));
    world.pass(5);
    assert_eq!(swept(world.pool.sweep(100)).0, 2);
    let told = world.told();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.contains(&super::ground::Told::Removed(1, "expired")));
    assert!(told.contains(&super::ground::Told::Removed(5, "idle")));
    world.pass(1_000_000);
    assert_eq!(swept(world.pool.sweep(100)), (0, false));
    assert_eq!(world.pool.len(), 2);
}

/// Contract: P35 (partial: in the background)
#[test]
fn the_background_sweeps_at_each_interval_and_first_after_one() {
    let mut world = World::with(|builder| builder.sweep_every(millis_of(100)));
    world.insert_for(1, 10);
    world.insert_for(2, 150);
    world.insert(3);
    world.told();
    world.runtime.advance(millis_of(100) - Duration::from_nanos(1));
    assert_eq!(
        (world.pool.len(), world.told()),
        (3, vec![]),
        "not before the first interval is over"
    );
    world.runtime.advance(Duration::from_nanos(1));
    assert_eq!(world.left("expired"), [1]);
    world.runtime.advance(millis_of(99));
    assert_eq!(world.pool.len(), 2, "expired, and not yet swept");
    world.runtime.advance(millis_of(1));
    assert_eq!(world.left("expired"), [2]);
    world.insert_for(4, 1_000);
    world.runtime.advance(millis_of(900));
    world.insert_for(4, 1_000);
    world.runtime.advance(millis_of(900));
    assert!(world.pool.contains(&4), "it was stored anew");
    world.runtime.advance(millis_of(200));
    assert_eq!(world.left("expired"), [4]);
    assert!(world.pool.contains(&3));
}

/// More than one step takes at once, over all distances in time, and each leaves in the sweep after its end.
///
/// Contract: P35 (partial: far ends)
#[test]
fn sweeps_find_ends_at_every_distance() {
    let mut world = World::with(|builder| builder.capacity_entries(3_000));
    // From a millisecond to 12 days.
    let ends: Vec<u64> = (0..31).map(|power| 1 << power).collect();
    for (id, end) in (0_u64..).zip(ends.iter().cycle().take(1_500)) {
        world.insert_for(id, *end);
    }
    world.told();
    let mut now = 0;
    for (at, end) in (0_u64..).zip(&ends) {
        world.pass(end - now - 1);
        assert_eq!(world.pool.sweep(usize::MAX).removed, 0, "before {end}");
        world.pass(1);
        now = *end;
        let expected: Vec<u64> = (0..1_500).filter(|id| id % 31 == at).collect();
        assert_eq!(
            swept(world.pool.sweep(usize::MAX)),
            (expected.len(), false),
            "at {end}"
        );
        let mut left = world.left("expired");
        left.sort_unstable();
        assert_eq!(left, expected);
    }
    assert!(world.pool.is_empty());
}

/// Timers that are looked at when 100 of `entries` have expired one after the other, in a sweep for each.
fn looked_at(entries: u64) -> Vec<usize> {
    let world = World::with(|builder| builder.capacity_entries(entries));
    (0..entries).for_each(|id| match id {
        0..100 => world.insert_for(id, 3 * (id + 1)),
        100..200 => world.insert_for(id, 3_600_000 + id),
        // Far apart, so that none of them comes nearer meanwhile.
        _ => world.insert_for(id, 86_400_000 + 1_000 * id),
    });
    let sweep = |_| {
        world.pass(3);
        let report = world.pool.sweep(usize::MAX);
        assert_eq!(swept(report), (1, false));
        report.timers
    };
    (0..100).map(sweep).collect()
}

/// A sweep costs what has expired, whether a thousand entries have deadlines or fifty thousand.
///
/// Contract: P35
#[test]
fn a_sweep_looks_at_as_few_among_many_as_among_few() {
    let few = looked_at(1_000);
    assert_eq!(few, looked_at(50_000));
    assert!(few.iter().sum::<usize>() <= 800, "{few:?}");
    assert!(few.iter().all(|timers| *timers >= 1), "who leaves is looked at");
}
