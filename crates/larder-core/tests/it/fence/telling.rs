//! What the fence tells of itself: the last invalidation of a target, what decides, and its counters.

use std::time::Duration;

use larder_core::{
    Clock, CommitSeen, Fenced, Invalidated, InvalidationsByKind, Last, Position, PrivateCode, Reason, Stamp,
    Target,
};
use larder_testkit::SimClock;

use super::doubles::{
    Log, builder, by_hand, fence, invalidate_others, key, live_lane, one_shard, row, tag, user,
};

const LOG: Log = Log::new(1, 1);

fn at(last: Last) -> Invalidated {
    match last {
        Last::At(invalidated) => invalidated,
        other => panic!("it is in the ring: {other:?}"),
    }
}

/// Contract: F26
#[test]
fn the_last_invalidation_is_told_with_all_that_is_known_of_it() {
    let clock = SimClock::new();
    let fence = builder(&clock).build().unwrap();
    let lane = live_lane(&fence, LOG, 1);
    assert!(matches!(fence.last(&user(1)), Last::Never));

    let stamp = fence.invalidate(&user(1), by_hand());
    let last = at(fence.last(&user(1)));
    assert_eq!(
        (last.stamp, last.time, last.commit),
        (stamp, clock.monotonic(), None)
    );
    assert_eq!(last.reason.as_str(), "by hand");

    clock.advance(Duration::from_secs(5));
    lane.raise(&[row(&user(1), 7).with_reason("order paid")], LOG.at(9));
    let last = at(fence.last(&user(1)));
    assert_eq!((last.stamp, last.time), (fence.stamp(), clock.monotonic()));
    assert_eq!(last.reason.as_str(), "order paid");
    let CommitSeen {
        source,
        position,
        bound,
        ..
    } = last.commit.unwrap();
    assert_eq!((source, position, bound), (LOG.source, Position::new(7), Some(9)));

    let cause = lane.cause(Position::new(8), None, Reason::new("early"));
    fence.invalidate(&user(1), cause);
    assert_eq!(at(fence.last(&user(1))).commit.unwrap().bound, None);
    assert!(
        matches!(fence.last(&Target::collection("user").unwrap()), Last::Never),
        "exactly this target"
    );
}

/// Contract: F26
#[test]
fn what_left_the_ring_is_told_as_before_a_stamp() {
    let fence = one_shard(&SimClock::new());
    let stamp = fence.invalidate(&user(1), by_hand());
    invalidate_others(&fence, 1_024);
    let last = fence.last(&user(1));
    assert!(
        matches!(last, Last::Before(before) if before >= stamp),
        "{last:?}"
    );
}

/// Contract: F26
#[test]
fn what_decides_is_the_latest_over_targets_and_parents() {
    let fence = fence();
    let users = Target::collection("user").unwrap();
    let names = |targets: &[Target]| -> Vec<String> {
        fence
            .explain(targets)
            .targets
            .iter()
            .map(|one| one.target.to_string())
            .collect()
    };
    assert_eq!(
        names(&[user(1), user(2), users.clone()]),
        ["entity:user/1", "collection:user", "everything", "entity:user/2",]
    );
    assert_eq!(fence.explain(&[user(1)]).deciding, None);
    let deciding = |targets: &[Target]| {
        let explanation = fence.explain(targets);
        explanation
            .deciding
            .map(|index| explanation.targets[index].target.clone())
    };
    fence.invalidate(&user(1), by_hand());
    assert_eq!(deciding(&[user(1), tag("red")]), Some(user(1)));
    fence.invalidate(&users, by_hand());
    assert_eq!(deciding(&[user(1), tag("red")]), Some(users.clone()));
    assert_eq!(deciding(&[tag("red")]), None);
    fence.invalidate(&tag("red"), by_hand());
    assert_eq!(deciding(&[user(1), tag("red")]), Some(tag("red")));

    assert!(
        fence
            .explain(&[user(1)])
            .targets
            .iter()
            .all(|one| one.cell.is_none()),
        "nobody depends on it"
    );
    let pin = fence.pin(&[user(1)]).unwrap();
    let stamp = fence.invalidate(&user(1), by_hand());
    let explained = fence.explain(&[user(1)]);
    assert_eq!(explained.targets[0].cell, Some(stamp));
    assert_eq!(explained.targets[1].cell, Some(Stamp::ZERO));
    assert_eq!(at(explained.targets[0].last.clone()).stamp, stamp);
    drop(pin);
    assert_eq!(fence.stats().cells, 0, "explaining holds nothing");
}

/// The ring has lost it; the cell of what depends on it has not.
///
/// Contract: F26
#[test]
fn a_cell_decides_when_the_ring_has_forgotten() {
    let fence = one_shard(&SimClock::new());
    let _pin = fence.pin(&[user(1)]).unwrap();
    let stamp = fence.invalidate(&user(1), by_hand());
    invalidate_others(&fence, 2_000);
    let explained = fence.explain(&[user(1)]);
    assert_eq!(explained.deciding, Some(0));
    assert_eq!(explained.targets[0].cell, Some(stamp));
}

/// Contract: F26
#[test]
fn invalidations_are_counted_by_kind_and_lane() {
    let fence = fence();
    let (main, other) = (live_lane(&fence, LOG, 1), live_lane(&fence, Log::new(2, 1), 1));
    let private = Target::private(PrivateCode::new(130).unwrap(), "shop", "x").unwrap();
    let kinds = [
        key("a"),
        tag("a"),
        Target::dependency("shop", "a").unwrap(),
        user(1),
        Target::collection("user").unwrap(),
        Target::namespace("shop").unwrap(),
        Target::Everything,
        private,
    ];
    for (number, target) in kinds.iter().enumerate() {
        for _ in 0..=number {
            fence.invalidate(target, by_hand());
        }
    }
    let counted = |by: InvalidationsByKind| {
        [
            by.key,
            by.tag,
            by.dependency,
            by.entity,
            by.collection,
            by.namespace,
            by.everything,
            by.private,
        ]
    };
    assert_eq!(counted(fence.stats().by_kind), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((fence.stats().by_kind.total(), fence.stats().direct), (36, 36));
    main.raise(&[row(&user(1), 1), row(&user(2), 1)], LOG.at(1));
    fence.widen(
        &Target::Everything,
        other.cause(Position::new(1), None, Reason::new("unreadable row")),
    );
    let stats = fence.stats();
    assert_eq!(counted(stats.by_kind), [1, 2, 3, 6, 5, 6, 8, 8]);
    assert_eq!(stats.by_source, [(LOG.source, 2), (Log::new(2, 1).source, 1)]);
    assert_eq!((stats.direct, stats.widenings), (36, 1));
}

/// Contract: F26
#[test]
fn refused_fills_are_counted_by_reason() {
    let fence = fence();
    let mut pin = fence.pin(&[user(1)]).unwrap();
    fence.invalidate(&user(1), by_hand());
    assert_eq!(pin.check(), Err(Fenced::Invalidated));
    fence.invalidate(&tag("red"), by_hand());
    assert!(pin.extend(&[tag("red")]).is_err());
    let mut pin = fence.pin(&[user(1)]).unwrap();
    assert_eq!(pin.check(), Ok(()));
    assert!(pin.as_of(LOG.at(1)).is_err());
    let many: Vec<Target> = (0..2_000).map(user).collect();
    assert!(fence.pin(&many).is_err());
    assert!(fence.pin(&[user(1)]).unwrap().extend(&many).is_err());
    let stats = fence.stats();
    let refused = [
        stats.refused_fenced,
        stats.refused_too_old,
        stats.refused_as_of,
        stats.refused_too_many,
    ];
    assert_eq!(refused, [1, 1, 1, 2]);
}

/// Contract: F26
#[test]
fn the_reach_of_the_ring_is_the_age_of_what_left_it_last() {
    let clock = SimClock::new();
    let fence = one_shard(&clock);
    invalidate_others(&fence, 10);
    clock.advance(Duration::from_secs(3));
    invalidate_others(&fence, 1_014);
    assert_eq!(fence.stats().ring_reach_seconds, None, "nothing has left");
    invalidate_others(&fence, 10);
    assert_eq!(fence.stats().ring_reach_seconds, Some(3.0));
    invalidate_others(&fence, 1);
    clock.advance(Duration::from_millis(500));
    assert_eq!(fence.stats().ring_reach_seconds, Some(0.5));
}

/// Contract: F26
#[test]
fn pins_are_counted_by_the_targets_they_hold() {
    let fence = fence();
    let one = fence.pin(&[user(1)]).unwrap();
    let two = fence.pin(&[user(1), tag("red")]).unwrap();
    let clone = two.clone();
    let stats = fence.stats();
    assert_eq!((stats.cells, stats.pins), (5, 5));
    assert!(stats.cell_bytes >= 5 * 40, "{}", stats.cell_bytes);
    drop((one, two, clone));
    assert_eq!(fence.stats().pins, 0);
}
