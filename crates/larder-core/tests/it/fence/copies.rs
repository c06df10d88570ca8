//! Loads from copies of a source, which may lag behind what this node has already applied.

use std::sync::Arc;
use std::time::Duration;

use larder_core::{Fence, Fenced, Lane, Position, Reason, Target, TooOld};
use larder_testkit::SimClock;

use super::doubles::{
    LaggingClock, Log, builder, by_hand, fence, invalidate_others, key, live_lane, one_shard, row, tag,
    this_process, user,
};

pub(super) const MAIN: Log = Log::new(1, 1);
const OTHER: Log = Log::new(2, 1);

/// Applies a commit of `log` to some targets, with the bound that its batch came with.
pub(super) fn apply(lane: &Lane, log: Log, position: u64, bound: u64, targets: &[Target]) {
    let rows: Vec<_> = targets.iter().map(|target| row(target, position)).collect();
    lane.raise(&rows, log.at(bound));
}

/// Applies a commit of this node whose bound is not known yet.
pub(super) fn apply_own(lane: &Lane, log: Log, position: u64, targets: Vec<Target>) {
    let reason = Reason::new("own");
    lane.own_commit(log.epoch, Position::new(position), None, &reason, targets)
        .publish();
}

/// Whether a load of `targets` from a copy at `point` that begins now is accepted.
pub(super) fn is_accepted(fence: &Fence, log: Log, point: u64, targets: &[Target]) -> bool {
    let mut pin = fence.pin(targets).unwrap();
    let accepted = pin.as_of(log.at(point));
    assert_eq!(
        pin.is_fresh(),
        accepted.is_ok(),
        "what is refused is dead, and only that"
    );
    accepted.is_ok()
}

/// Contract: F14
#[test]
fn a_copy_that_lacks_the_last_invalidation_of_a_target_is_refused() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 10);
    apply(&lane, MAIN, 12, 14, &[user(1), tag("red")]);
    for (point, accepted) in [(9, false), (12, false), (13, false), (14, true), (15, true)] {
        assert_eq!(is_accepted(&fence, MAIN, point, &[user(1)]), accepted, "{point}");
        assert_eq!(
            is_accepted(&fence, MAIN, point, &[user(2), tag("red")]),
            accepted,
            "{point}"
        );
    }
    assert!(
        is_accepted(&fence, MAIN, 9, &[user(2)]),
        "another row of the same collection"
    );
    assert_eq!(fence.stats().refused_as_of, 6);
}

/// Contract: F14
#[test]
fn an_invalidated_parent_refuses_an_old_copy_too() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 1);
    apply(&lane, MAIN, 1, 1, &[Target::collection("user").unwrap()]);
    apply(&lane, MAIN, 2, 2, &[Target::Everything]);
    assert!(!is_accepted(&fence, MAIN, 0, &[user(1)]));
    assert!(!is_accepted(&fence, MAIN, 1, &[user(1)]));
    assert!(
        !is_accepted(&fence, MAIN, 1, &[key("front")]),
        "everything covers it"
    );
    assert!(is_accepted(&fence, MAIN, 2, &[user(1)]));
}

/// An older invalidation with a higher bound counts as well as the last one.
///
/// Contract: F14
#[test]
fn every_invalidation_in_the_ring_counts() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 1);
    apply(&lane, MAIN, 7, 7, &[user(1)]);
    apply(&lane, MAIN, 5, 5, &[user(1)]);
    assert!(!is_accepted(&fence, MAIN, 6, &[user(1)]), "it lacks the one at 7");
    assert!(is_accepted(&fence, MAIN, 7, &[user(1)]));
}

/// Contract: F14
#[test]
fn a_source_that_is_not_followed_is_refused_by_name() {
    let fence = fence();
    let mut pin = fence.pin(&[user(1)]).unwrap();
    assert_eq!(
        pin.as_of(MAIN.at(u64::MAX)),
        Err(Fenced::NotFollowed(MAIN.source))
    );
    assert!(!pin.is_fresh());

    let lane = fence.lane(MAIN.source).unwrap();
    let mut pin = fence.pin(&[user(1)]).unwrap();
    let refused = pin.as_of(MAIN.at(u64::MAX));
    assert_eq!(
        refused,
        Err(Fenced::NotFollowed(MAIN.source)),
        "the lane has no epoch yet"
    );

    lane.begin(&MAIN.head(1, &[]));
    let foreign = Log::new(1, 9);
    let mut pin = fence.pin(&[user(1)]).unwrap();
    let refused = pin.as_of(foreign.at(u64::MAX));
    assert_eq!(
        refused,
        Err(Fenced::NotFollowed(MAIN.source)),
        "another epoch is compared with nothing"
    );
    assert!(is_accepted(&fence, MAIN, 0, &[user(1)]));
    assert_eq!(fence.stats().refused_as_of, 3);
}

/// What the source had invalidated before this node followed it is unknown, up to the head at that time.
///
/// Contract: F14
#[test]
fn a_copy_below_the_head_when_the_lane_was_made_is_refused() {
    let fence = fence();
    let _lane = live_lane(&fence, MAIN, 11);
    assert!(!is_accepted(&fence, MAIN, 9, &[user(1)]));
    assert!(is_accepted(&fence, MAIN, 10, &[user(1)]));
}

/// Contract: F14
#[test]
fn a_bound_that_left_the_ring_refuses_older_copies_for_every_target_of_the_shard() {
    let fence = one_shard(&SimClock::new());
    let lane = live_lane(&fence, MAIN, 1);
    apply(&lane, MAIN, 5, 8, &[user(1)]);
    invalidate_others(&fence, 1_023);
    assert!(
        is_accepted(&fence, MAIN, 7, &[user(2)]),
        "still in the ring: it concerns its own target only"
    );
    invalidate_others(&fence, 1);
    for target in [user(1), user(2), tag("red")] {
        assert!(
            !is_accepted(&fence, MAIN, 7, std::slice::from_ref(&target)),
            "{target}"
        );
        assert!(is_accepted(&fence, MAIN, 8, &[target]));
    }
}

/// Contract: F14
#[test]
fn lanes_and_direct_invalidations_do_not_refuse_copies_of_each_other() {
    let fence = one_shard(&SimClock::new());
    let (main, other) = (live_lane(&fence, MAIN, 1), live_lane(&fence, OTHER, 1));
    apply(&main, MAIN, 100, 100, &[user(1)]);
    fence.invalidate(&user(1), by_hand());
    assert!(is_accepted(&fence, OTHER, 0, &[user(1)]), "in the ring");
    apply(&other, OTHER, 3, 3, &[user(2)]);
    invalidate_others(&fence, 1_024);
    assert!(is_accepted(&fence, OTHER, 3, &[user(1)]), "out of the ring");
    assert!(!is_accepted(&fence, OTHER, 2, &[user(1)]));
    assert!(!is_accepted(&fence, MAIN, 99, &[user(1)]));
}

/// Contract: F14
#[test]
fn a_copy_never_makes_a_stale_pin_fresh() {
    let fence = fence();
    let _lane = live_lane(&fence, MAIN, 1);
    let mut pin = fence.pin(&[user(1)]).unwrap();
    fence.invalidate(&user(1), by_hand());
    let _ = pin.as_of(MAIN.at(1_000));
    let _ = pin.as_of_unknown(Duration::ZERO);
    assert!(!pin.is_fresh());
}

/// Late targets are checked if they are known when the copy's point is told.
///
/// Contract: F14, F10
#[test]
fn late_targets_of_a_load_from_a_copy_are_compared_too() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 1);
    apply(&lane, MAIN, 5, 5, &[tag("red")]);
    let mut pin = fence.pin(&[key("list")]).unwrap();
    pin.extend(&[tag("red")]).unwrap();
    assert_eq!(pin.as_of(MAIN.at(4)), Err(Fenced::Behind));
}

/// Targets that come after the copy was compared could have been invalidated beyond it, unseen.
///
/// Contract: F10, F14
#[test]
fn targets_cannot_be_added_once_the_copy_was_compared() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 1);
    apply(&lane, MAIN, 5, 5, &[tag("red")]);
    let mut pin = fence.pin(&[key("list")]).unwrap();
    pin.as_of(MAIN.at(4)).unwrap();
    let mut clone = pin.clone();
    assert_eq!(
        pin.extend(&[key("list"), Target::Everything]),
        Ok(()),
        "held already"
    );
    assert_eq!(pin.extend(&[tag("red")]), Err(TooOld::FromCopy));
    assert!(!pin.is_fresh(), "the pin is dead for good");
    assert!(clone.is_fresh());
    assert_eq!(
        clone.extend(&[tag("blue")]),
        Err(TooOld::FromCopy),
        "a clone is of the same load"
    );
    let mut unknown = fence.pin(&[key("list")]).unwrap();
    unknown.as_of_unknown(Duration::ZERO).unwrap();
    assert_eq!(unknown.extend(&[tag("red")]), Err(TooOld::FromCopy));
    assert_eq!(fence.stats().refused_too_old, 3);
}

/// Contract: F14
#[test]
fn a_copy_that_cannot_tell_is_refused_for_a_while_after_an_invalidation() {
    let clock = SimClock::new();
    let fence = builder(&clock).build().unwrap();
    let hold = Duration::from_secs(2);
    let is_accepted = |target: Target| {
        let mut pin = fence.pin(&[target]).unwrap();
        let accepted = pin.as_of_unknown(hold);
        assert_eq!(pin.is_fresh(), accepted.is_ok());
        accepted
    };
    assert_eq!(is_accepted(user(1)), Ok(()), "nothing was ever invalidated");
    fence.invalidate(&Target::collection("user").unwrap(), by_hand());
    for _ in 0..2 {
        assert_eq!(is_accepted(user(1)), Err(Fenced::Behind));
        assert_eq!(is_accepted(tag("red")), Ok(()));
        clock.advance(Duration::from_nanos(999_999_999));
    }
    assert_eq!(
        is_accepted(user(1)),
        Err(Fenced::Behind),
        "two nanoseconds are left"
    );
    clock.advance(Duration::from_nanos(2));
    assert_eq!(is_accepted(user(1)), Ok(()));
    assert_eq!(fence.stats().refused_as_of, 3);
}

/// Contract: F14
#[test]
fn a_copy_that_cannot_tell_is_refused_where_the_ring_does_not_reach_back() {
    let clock = SimClock::new();
    let fence = one_shard(&clock);
    let hold = Duration::from_secs(2);
    let is_accepted = || fence.pin(&[user(1)]).unwrap().as_of_unknown(hold).is_ok();
    fence.invalidate(&user(1), by_hand());
    clock.advance(Duration::from_secs(1));
    invalidate_others(&fence, 1_024);
    assert!(!is_accepted(), "what left was invalidated a second ago");
    clock.advance(Duration::from_secs(1));
    assert!(
        is_accepted(),
        "what left is two seconds old; what came later is in the ring, and is others'"
    );
    invalidate_others(&fence, 1);
    assert!(!is_accepted(), "one that is a second old has left");
}

/// The coarse clock may lag by ten milliseconds. The hold may not be shorter for that.
///
/// Contract: F14
#[test]
fn the_hold_is_not_cut_short_by_a_coarse_clock() {
    let clock = LaggingClock::new();
    let fence = Fence::builder()
        .clock(Arc::<LaggingClock>::clone(&clock))
        .build()
        .unwrap();
    let hold = Duration::from_secs(2);
    fence.invalidate(&user(1), by_hand());
    clock.time.advance(hold - Duration::from_millis(1));
    assert_eq!(
        fence.pin(&[user(1)]).unwrap().as_of_unknown(hold),
        Err(Fenced::Behind)
    );
}

/// A gap has lost invalidations: copies must include all up to the head that closes it.
///
/// Contract: F14
#[test]
fn after_a_gap_copies_below_its_head_are_refused() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 10);
    lane.begin(&MAIN.head(31, &[]));
    lane.flushed();
    assert!(!is_accepted(&fence, MAIN, 29, &[user(1)]));
    assert!(is_accepted(&fence, MAIN, 30, &[user(1)]));
}

/// Bounds of a former epoch are compared with nothing of the new one.
///
/// Contract: F14
#[test]
fn a_new_epoch_counts_from_its_own_head() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 10);
    apply(&lane, MAIN, 500, 500, &[user(1)]);
    let next = Log::new(1, 2);
    lane.begin(&next.head(4, &[MAIN.epoch]));
    lane.flushed();
    assert!(!is_accepted(&fence, next, 2, &[user(1)]));
    assert!(
        is_accepted(&fence, next, 3, &[user(1)]),
        "500 was a point of the former epoch"
    );
    assert!(!is_accepted(&fence, MAIN, 1_000, &[user(1)]));
}

/// Contract: F14
#[test]
fn regression_20_a_load_from_a_lagging_copy_or_in_a_transaction_is_not_cached() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 1);
    apply(&lane, MAIN, 1, 1, &[user(1)]);
    let mut from_replica = fence.pin(&[user(1)]).unwrap();
    assert_eq!(from_replica.as_of(MAIN.at(0)), Err(Fenced::Behind));
    let mut in_transaction = fence.pin(&[user(1)]).unwrap();
    in_transaction.never_cache();
    assert!(!from_replica.is_fresh() && !in_transaction.is_fresh());
}

/// The receipt of a nested transaction is handed over before the outer one commits, and a load in between reads the old
/// row. The follower's round ends that entry, since a plain commit is not remembered as an own one.
///
/// Contract: F5
#[test]
fn regression_23_a_commit_announced_too_early_is_not_stale_after_the_round() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 1);
    lane.set_origin(this_process());
    fence.invalidate(
        &user(1),
        lane.cause(Position::new(1), None, Reason::new("committed")),
    );
    let old = fence.pin(&[user(1)]).unwrap();
    assert!(old.is_fresh(), "loaded before the outer commit");
    lane.raise(&[row(&user(1), 1).with_origin(this_process())], MAIN.at(1));
    assert!(!old.is_fresh());
}
