//! Building a fence, its limits, and that two of them share nothing.

use std::sync::Arc;

use larder_core::limits::{LANES_MAX, SINKS_MAX};
use larder_core::{
    Fence, FenceError, Invalidation, Last, Position, Settled, Sink, SinkError, SourceId, Stamp, Target,
};
use larder_testkit::{SimClock, SimEntropy};

use super::doubles::{Heard, Log, Table, builder, by_hand, key, live_lane, user};

fn config(option: &'static str, given: usize) -> FenceError {
    let allowed = match option {
        "shards" => "a power of two from 1 to 4,096",
        _ => "1,024 to 16,777,216",
    };
    FenceError::Config {
        option,
        given,
        allowed,
    }
}

/// Contract: F28
#[test]
fn each_wrong_option_is_refused_by_name() {
    for shards in [0, 3, 63, 8_192, usize::MAX] {
        let refused = Fence::builder().shards(shards).build().unwrap_err();
        assert_eq!(refused, config("shards", shards));
    }
    for recent_count in [0, 1_023, (1 << 24) + 1, usize::MAX] {
        let refused = Fence::builder().recent_count(recent_count).build().unwrap_err();
        assert_eq!(refused, config("recent_count", recent_count));
        assert!(refused.to_string().contains("recent_count"), "{refused}");
    }
}

/// Contract: F28
#[test]
fn several_wrong_options_are_all_named() {
    let refused = Fence::builder().shards(6).recent_count(7).build().unwrap_err();
    let expected = FenceError::Several(vec![config("shards", 6), config("recent_count", 7)]);
    assert_eq!(refused, expected);
    assert!(refused.to_string().contains("shards is 6"), "{refused}");
}

/// Contract: F28
#[test]
fn the_ends_of_each_range_are_accepted() {
    for (shards, recent_count) in [
        (1, 1_024),
        (4_096, 1_024),
        (1, 1 << 16),
        (4_096, 1 << 16),
        (64, 65_537),
    ] {
        let fence = builder(&SimClock::new())
            .shards(shards)
            .recent_count(recent_count)
            .build()
            .unwrap();
        let pin = fence.pin(&[user(1)]).unwrap();
        fence.invalidate(&user(1), by_hand());
        assert!(!pin.is_fresh());
    }
    let largest = builder(&SimClock::new())
        .shards(4_096)
        .recent_count(1 << 24)
        .build();
    assert!(largest.is_ok());
}

/// Contract: F25
#[test]
fn two_fences_share_nothing() {
    let (one, two) = (
        builder(&SimClock::new()).build().unwrap(),
        builder(&SimClock::new()).build().unwrap(),
    );
    let log = Log::new(1, 1);
    let lane = live_lane(&one, log, 5);
    let heard = Arc::new(Heard::default());
    let table: Arc<Table> = Arc::default();
    let _hook = two.drop_hook(Arc::clone(&heard) as _);
    let _disk = two.journal(Arc::clone(&table) as _);
    let (pin, before) = (two.pin(&[user(1)]).unwrap(), two.stamp());
    one.invalidate(&user(1), by_hand());
    one.invalidate(&Target::Everything, by_hand());
    one.raise_floor(Stamp::new(1_000).unwrap());
    lane.publish(&log.cursor(9), &[]);
    assert!(pin.is_fresh());
    assert_eq!(two.stamp(), before);
    assert_eq!(two.stats().by_kind.total(), 0);
    assert_eq!(two.cursors(), []);
    assert!(matches!(two.last(&user(1)), Last::Never));
    assert!(heard.targets().is_empty());
    assert_eq!(table.stamps_of(&user(1)), []);
    assert_eq!(one.stats().cells, 0);
    let _lane = two.lane(log.source).unwrap();
}

/// Contract: F25
#[test]
fn handles_are_one_fence() {
    let fence = builder(&SimClock::new()).build().unwrap();
    let clone = fence.clone();
    let pin = fence.pin(&[user(1)]).unwrap();
    drop(fence);
    clone.invalidate(&user(1), by_hand());
    assert!(!pin.is_fresh());
    assert_eq!(clone.stats().cells, 3);
}

/// With one ring entry a shard, the second of two targets pushes the first out iff they are in one shard.
fn share_a_shard(fence: &Fence, first: &Target, second: &Target) -> bool {
    fence.invalidate(first, by_hand());
    fence.invalidate(second, by_hand());
    match fence.last(first) {
        Last::At(_) => false,
        Last::Before(_) => true,
        other => panic!("it was invalidated: {other:?}"),
    }
}

/// Whoever knows how one process spreads its keys knows nothing of another.
///
/// Contract: F29
#[test]
fn keys_chosen_to_meet_in_one_process_spread_in_another() {
    let seeded = |seed| {
        let entropy = Arc::new(SimEntropy::seeded(seed));
        builder(&SimClock::new())
            .entropy(entropy)
            .shards(1_024)
            .recent_count(1_024)
            .build()
            .unwrap()
    };
    let known = seeded(1);
    let first = key("chosen");
    let chosen: Vec<Target> = (0..40_000)
        .map(|number| key(&number.to_string()))
        .filter(|target| share_a_shard(&known, &first, target))
        .collect();
    assert!(
        (20..80).contains(&chosen.len()),
        "about one in a thousand: {}",
        chosen.len()
    );

    let same = seeded(1);
    assert!(
        chosen.iter().all(|target| share_a_shard(&same, &first, target)),
        "the seed decides, and nothing else"
    );
    for seed in 2..6 {
        let other = seeded(seed);
        assert_ne!(other.run(), known.run());
        let meeting = chosen
            .iter()
            .filter(|target| share_a_shard(&other, &first, target))
            .count();
        assert!(
            meeting <= 3,
            "{meeting} of {} still meet under seed {seed}",
            chosen.len()
        );
    }
}

/// Contract: F29
#[test]
fn keys_spread_evenly_over_the_shards() {
    let fence = builder(&SimClock::new())
        .shards(1_024)
        .recent_count(1_024)
        .build()
        .unwrap();
    let targets: Vec<Target> = (0..1_024).map(user).collect();
    fence.invalidate_many(&targets, &by_hand());
    let alone = targets
        .iter()
        .filter(|target| matches!(fence.last(target), Last::At(_)))
        .count();
    // As many shards as thrown balls would hit: 1 - 1/e of them.
    assert!((600..700).contains(&alone), "{alone} of 1,024 shards were hit");
}

struct Nothing;

impl Sink for Nothing {
    fn apply(&self, _: &[Invalidation], _: Position) -> Result<Settled, SinkError> {
        Ok(Settled::at_once())
    }

    fn widen(&self, _: &Target) -> Result<Settled, SinkError> {
        Ok(Settled::at_once())
    }
}

/// Contract: F21 (partial: how many lanes and sinks a fence has)
#[test]
fn lanes_and_sinks_have_a_most() {
    let fence = builder(&SimClock::new()).build().unwrap();
    let lanes: Vec<_> = (0..LANES_MAX as u64)
        .map(|id| fence.lane(SourceId::new(id)).unwrap())
        .collect();
    let refused = fence.lane(SourceId::new(99)).unwrap_err();
    assert_eq!(refused, FenceError::TooManyLanes { max: LANES_MAX });
    drop(lanes);
    assert!(
        fence.lane(SourceId::new(99)).is_err(),
        "a lane that was let go is still one"
    );
    assert!(fence.lane(SourceId::new(3)).is_ok());

    let mut sinks: Vec<_> = (0..SINKS_MAX)
        .map(|_| fence.sink(Arc::new(Nothing)).unwrap())
        .collect();
    let refused = fence.sink(Arc::new(Nothing)).unwrap_err();
    assert_eq!(refused, FenceError::TooManySinks { max: SINKS_MAX });
    assert_eq!(fence.sinks().len(), SINKS_MAX);
    sinks.pop();
    assert!(fence.sink(Arc::new(Nothing)).is_ok());
    drop(sinks);
    assert!(fence.sinks().is_empty());
}

/// Contract: F28 (partial: the lane's option)
#[test]
fn own_commits_are_bounded_by_an_option() {
    let fence = super::doubles::fence();
    let lane = live_lane(&fence, Log::new(1, 1), 1);
    assert!(lane.set_own_commits(0).is_ok());
    assert!(lane.set_own_commits(1 << 20).is_ok());
    let refused = lane.set_own_commits((1 << 20) + 1).unwrap_err();
    assert_eq!(
        (refused.option(), refused.allowed()),
        ("own_commits", (0, 1 << 20))
    );
}
