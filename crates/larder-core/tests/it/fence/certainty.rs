//! Whether this node may believe that it has heard everything, by a clock that the test moves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use larder_core::{Certainty, Clock, Fence, LaneState, Optional};
use larder_testkit::SimClock;

use super::doubles::{LaggingClock, Log, builder, catch_up, live_lane};

const MAIN: Log = Log::new(1, 1);
const OTHER: Log = Log::new(2, 1);
const FRESHNESS: Duration = Duration::from_secs(2);

/// What the fence says, whichever way it is asked.
fn certainty(fence: &Fence) -> Certainty {
    let certainty = fence.certainty();
    assert_eq!(fence.is_sure(), certainty == Certainty::Sure, "{certainty:?}");
    certainty
}

fn unsure(since: larder_core::Moment, state: LaneState) -> Certainty {
    Certainty::Unsure { since, state }
}

/// Contract: F23
#[test]
fn without_lanes_a_fence_is_sure() {
    let fence = builder(&SimClock::new()).build().unwrap();
    assert_eq!(certainty(&fence), Certainty::Sure);
}

/// Contract: F23
#[test]
fn a_lane_is_unsure_from_its_start_until_it_has_caught_up_and_has_a_lease() {
    let clock = SimClock::new();
    let fence = builder(&clock).build().unwrap();
    let started = clock.monotonic();
    let lane = fence.lane(MAIN.source).unwrap();
    clock.advance(FRESHNESS);
    assert_eq!(lane.state(), LaneState::Starting);
    assert_eq!(certainty(&fence), unsure(started, LaneState::Starting));
    lane.begin(&MAIN.head(5, &[]));
    lane.lease(clock.monotonic() + FRESHNESS);
    assert_eq!(
        certainty(&fence),
        unsure(started, LaneState::Starting),
        "it has not caught up"
    );
    catch_up(&lane, MAIN, 5);
    assert_eq!(lane.state(), LaneState::Live);
    assert_eq!(certainty(&fence), Certainty::Sure);
}

/// Contract: F23
#[test]
fn a_lane_without_any_lease_is_unsure_since_it_began() {
    let clock = SimClock::new();
    let fence = builder(&clock).build().unwrap();
    let lane = live_lane(&fence, MAIN, 5);
    let began = clock.monotonic();
    clock.advance(FRESHNESS);
    assert_eq!(certainty(&fence), unsure(began, LaneState::Lagging));
    lane.set_state(LaneState::Suspect);
    assert!(
        matches!(certainty(&fence), Certainty::Unsure { since, state: LaneState::Suspect } if since >= began)
    );
}

/// Contract: F23
#[test]
fn a_lease_ends_by_the_clock_alone() {
    let clock = SimClock::new();
    let fence = builder(&clock).build().unwrap();
    let lane = live_lane(&fence, MAIN, 5);
    let until = clock.monotonic() + FRESHNESS;
    lane.lease(until);
    assert_eq!(certainty(&fence), Certainty::Sure);
    clock.advance(FRESHNESS - Duration::from_nanos(1));
    assert_eq!(
        (certainty(&fence), lane.state()),
        (Certainty::Sure, LaneState::Live)
    );
    clock.advance(Duration::from_nanos(1));
    assert_eq!(certainty(&fence), unsure(until, LaneState::Lagging));
    assert_eq!(lane.state(), LaneState::Lagging);
    clock.advance(FRESHNESS);
    lane.set_state(LaneState::Suspect);
    assert_eq!(
        certainty(&fence),
        unsure(until, LaneState::Suspect),
        "since the lease was over"
    );
    // Caught up again: the lease counts from when that was asked for.
    catch_up(&lane, MAIN, 6);
    lane.lease(clock.monotonic() + FRESHNESS);
    assert_eq!(
        (certainty(&fence), lane.state()),
        (Certainty::Sure, LaneState::Live)
    );
}

/// Contract: F23
#[test]
fn a_lease_is_never_shortened() {
    let clock = SimClock::new();
    let fence = builder(&clock).build().unwrap();
    let lane = live_lane(&fence, MAIN, 5);
    lane.lease(clock.monotonic() + FRESHNESS);
    lane.lease(clock.monotonic());
    clock.advance(FRESHNESS / 2);
    assert_eq!(certainty(&fence), Certainty::Sure);
}

/// Contract: F23
#[test]
fn a_gap_is_unsure_whatever_the_lease_until_it_is_closed() {
    let clock = SimClock::new();
    let fence = builder(&clock).build().unwrap();
    let lane = live_lane(&fence, MAIN, 5);
    lane.lease(clock.monotonic() + FRESHNESS);
    clock.advance(FRESHNESS / 4);
    let found = clock.monotonic();
    lane.set_state(LaneState::Gap);
    clock.advance(FRESHNESS / 4);
    lane.set_state(LaneState::Gap);
    assert_eq!(certainty(&fence), unsure(found, LaneState::Gap));
    catch_up(&lane, MAIN, 6);
    assert_eq!(lane.state(), LaneState::Gap, "only its flush closes it");
    lane.flushed();
    lane.set_state(LaneState::Live);
    assert_eq!(
        (certainty(&fence), lane.state()),
        (Certainty::Sure, LaneState::Live)
    );
}

/// Contract: F23
#[test]
fn the_lane_that_is_unsure_for_the_longest_is_named() {
    let clock = SimClock::new();
    let fence = builder(&clock).build().unwrap();
    let (main, other) = (live_lane(&fence, MAIN, 5), live_lane(&fence, OTHER, 5));
    let start = clock.monotonic();
    main.lease(start + FRESHNESS);
    other.lease(start + FRESHNESS / 2);
    clock.advance(FRESHNESS * 2);
    main.set_state(LaneState::Suspect);
    assert_eq!(
        certainty(&fence),
        unsure(start + FRESHNESS / 2, LaneState::Lagging)
    );
    other.lease(clock.monotonic() + FRESHNESS);
    assert_eq!(certainty(&fence), unsure(start + FRESHNESS, LaneState::Suspect));
    main.lease(clock.monotonic() + FRESHNESS);
    assert_eq!(certainty(&fence), Certainty::Sure);
}

/// Contract: F23
#[test]
fn an_optional_lane_makes_nobody_unsure() {
    let clock = SimClock::new();
    let fence = builder(&clock).build().unwrap();
    let (main, other) = (live_lane(&fence, MAIN, 5), fence.lane(OTHER.source).unwrap());
    main.lease(clock.monotonic() + FRESHNESS);
    assert!(matches!(
        certainty(&fence),
        Certainty::Unsure {
            state: LaneState::Starting,
            ..
        }
    ));
    other.set_optional(Optional::Yes);
    assert_eq!(certainty(&fence), Certainty::Sure);
    other.set_state(LaneState::Gap);
    assert_eq!(certainty(&fence), Certainty::Sure);
    clock.advance(FRESHNESS);
    assert!(
        matches!(
            certainty(&fence),
            Certainty::Unsure {
                state: LaneState::Lagging,
                ..
            }
        ),
        "of the other one"
    );
    main.lease(clock.monotonic() + FRESHNESS);
    other.set_optional(Optional::No);
    assert!(matches!(
        certainty(&fence),
        Certainty::Unsure {
            state: LaneState::Gap,
            ..
        }
    ));
}

/// Contract: F23
#[test]
fn a_lane_whose_follower_is_gone_runs_out() {
    let clock = SimClock::new();
    let fence = builder(&clock).build().unwrap();
    let lane = live_lane(&fence, MAIN, 5);
    let until = clock.monotonic() + FRESHNESS;
    lane.lease(until);
    drop(lane);
    assert_eq!(certainty(&fence), Certainty::Sure);
    clock.advance(FRESHNESS);
    assert_eq!(certainty(&fence), unsure(until, LaneState::Lagging));
    let now = clock.monotonic();
    let _again = fence.lane(MAIN.source).unwrap();
    assert_eq!(certainty(&fence), unsure(now, LaneState::Starting));
}

/// Contract: F23
#[test]
fn asking_costs_one_coarse_reading_of_the_clock() {
    let clock = LaggingClock::new();
    let fence = Fence::builder()
        .clock(Arc::<LaggingClock>::clone(&clock))
        .build()
        .unwrap();
    let reads = || {
        (
            clock.coarse_reads.load(Ordering::Relaxed),
            clock.exact_reads.load(Ordering::Relaxed),
        )
    };
    let before = reads();
    assert_eq!(certainty(&fence), Certainty::Sure);
    assert_eq!(reads(), before, "without lanes there is nothing to compare");
    let lane = live_lane(&fence, MAIN, 5);
    lane.lease(clock.time.monotonic() + FRESHNESS);
    let before = reads();
    assert_eq!(fence.certainty(), Certainty::Sure);
    assert_eq!(reads(), (before.0 + 1, before.1));
    assert!(fence.is_sure());
    assert_eq!(reads(), (before.0 + 2, before.1));
}

/// The coarse clock is late, and the lease was believed for as long after its end.
///
/// Contract: F23, O70
#[test]
fn a_lease_ends_in_time_though_the_coarse_clock_is_late() {
    let clock = LaggingClock::new();
    let fence = Fence::builder()
        .clock(Arc::<LaggingClock>::clone(&clock))
        .build()
        .unwrap();
    let lane = live_lane(&fence, MAIN, 5);
    let until = clock.time.monotonic() + FRESHNESS;
    lane.lease(until);
    clock.time.advance_monotonic(FRESHNESS - Duration::from_nanos(1));
    assert_eq!(certainty(&fence), Certainty::Sure, "to the end");
    clock.time.advance_monotonic(Duration::from_nanos(1));
    assert_eq!(certainty(&fence), unsure(until, LaneState::Lagging));
}
