//! Stamps that never go back, journals, and entries that come back from disk.

use std::sync::Arc;

use larder_core::{Fence, Journal, Last, Position, Raised, Reason, Stamp, StampRuns, Target, TargetHash};
use larder_testkit::SimClock;

use super::doubles::{Log, Table, by_hand, fence, invalidate_others, key, live_lane, one_shard, tag, user};

fn stamp(number: u64) -> Stamp {
    Stamp::new(number).unwrap()
}

/// Contract: F16
#[test]
fn the_floor_lifts_the_clock_and_never_lowers_it() {
    let fence = fence();
    fence.raise_floor(stamp(1_000));
    assert!(fence.stamp() > stamp(1_000));
    assert!(fence.invalidate(&user(1), by_hand()) > stamp(1_000));
    let before = fence.stamp();
    fence.raise_floor(stamp(10));
    assert!(fence.stamp() >= before);
    assert!(fence.pin(&[user(1)]).unwrap().started() >= before);
    // What a damaged file says cannot exhaust the clock.
    fence.raise_floor(Stamp::MAX);
    let highest = fence.invalidate(&user(1), by_hand());
    assert!(highest > Stamp::FLOOR_MAX);
    assert_eq!(
        Stamp::new(highest.get()),
        Some(highest),
        "a part can read its own stamps back"
    );
    let pin = fence.pin(&[user(1)]).unwrap();
    assert!(pin.is_fresh());
    fence.invalidate(&user(1), by_hand());
    assert!(!pin.is_fresh());
}

/// What lies on disk was filled below the floor; what this run invalidated before it knew of that is later.
///
/// Contract: F16, F17
#[test]
fn what_this_run_has_invalidated_is_later_than_what_lies_on_disk() {
    let fence = fence();
    fence.invalidate(&user(1), by_hand());
    fence.invalidate(&Target::namespace("shop").unwrap(), by_hand());
    let disk = fence.journal(Table::left_by_earlier_run(&[], stamp(900)));
    fence.raise_floor(stamp(1_000));
    assert!(disk.restore(stamp(900), &[user(1)]).is_none());
    assert!(disk.restore(stamp(900), &[tag("red")]).is_none(), "its namespace");
    assert!(disk.restore(stamp(900), &[user(2)]).is_some());
    let Last::At(last) = fence.last(&user(1)) else {
        panic!("it is in the ring")
    };
    assert!(last.stamp > stamp(1_000));
}

/// Contract: F16
#[test]
fn what_has_left_the_ring_is_stamped_anew_as_well() {
    let fence = one_shard(&SimClock::new());
    fence.invalidate(&user(1), by_hand());
    invalidate_others(&fence, 1_024);
    fence.raise_floor(stamp(5_000));
    let last = fence.last(&user(1));
    assert!(
        matches!(last, Last::Before(before) if before > stamp(5_000)),
        "{last:?}"
    );
    assert!(
        fence.resume(fence.run(), stamp(5_000), &[user(2)]).is_none(),
        "nobody knows what was lost"
    );
}

/// Nothing was lost, so nothing is stamped anew: zero stays zero.
///
/// Contract: F16
#[test]
fn a_fence_that_has_lost_nothing_claims_no_loss_after_a_floor() {
    let fence = fence();
    let table = Arc::new(Table::default());
    let _disk = fence.journal(Arc::clone(&table) as Arc<dyn Journal>);
    fence.raise_floor(stamp(5_000));
    assert!(matches!(fence.last(&user(1)), Last::Never));
    assert_eq!(table.stamps_of(&Target::Everything), []);
}

/// Contract: F16
#[test]
fn raising_the_floor_again_changes_no_answer() {
    let fence = fence();
    fence.invalidate(&user(1), by_hand());
    fence.raise_floor(stamp(1_000));
    let stamp_of = |fence: &Fence| match fence.last(&user(1)) {
        Last::At(last) => last.stamp,
        other => panic!("it is in the ring: {other:?}"),
    };
    let first = stamp_of(&fence);
    let pin = fence.pin(&[user(1)]).unwrap();
    // In any order of parts: the same, a lower one, a higher one.
    fence.raise_floor(stamp(1_000));
    fence.raise_floor(stamp(500));
    assert_eq!(stamp_of(&fence), first);
    assert!(pin.is_fresh());
    fence.raise_floor(stamp(2_000));
    assert!(stamp_of(&fence) > stamp(2_000));
    assert!(pin.is_fresh(), "it was taken after the invalidation");
    fence.invalidate(&user(1), by_hand());
    assert!(!pin.is_fresh());
}

/// Contract: F16, F19
#[test]
fn the_journal_hears_of_what_is_stamped_anew_and_of_the_stamps_left_out() {
    let fence = one_shard(&SimClock::new());
    let table = Arc::new(Table::default());
    let _disk = fence.journal(Arc::clone(&table) as Arc<dyn Journal>);
    fence.invalidate(&user(1), by_hand());
    fence.raise_floor(stamp(1_000));
    let stamps = table.stamps_of(&user(1));
    assert_eq!(stamps.len(), 2);
    assert!(stamps[1] > stamp(1_000), "{stamps:?}");
    assert!(
        table.complete_to() > stamp(1_000),
        "no stamp is missing: {:?}",
        table.told()
    );
    assert_eq!(table.complete_to(), fence.stamp());
    // Once something is lost, everything must count as invalidated.
    invalidate_others(&fence, 1_024);
    fence.raise_floor(stamp(9_000));
    assert!(
        table
            .stamps_of(&Target::Everything)
            .iter()
            .any(|stamp| stamp.get() > 9_000)
    );
    assert_eq!(table.complete_to(), fence.stamp());
}

/// A fence that has gone on from 100, a journal that knows all of it, and an entry filled at 50.
fn warm() -> (Fence, Arc<Table>, larder_core::Journaled) {
    let fence = fence();
    fence.raise_floor(stamp(100));
    let table = Table::left_by_earlier_run(&[], stamp(100));
    let disk = fence.journal(Arc::clone(&table) as Arc<dyn Journal>);
    (fence, table, disk)
}

/// Contract: F17
#[test]
fn an_entry_from_disk_gets_a_pin_as_of_when_it_was_filled() {
    let (fence, _table, disk) = warm();
    let pin = disk.restore(stamp(50), &[user(1), tag("red")]).unwrap();
    assert_eq!(pin.started(), stamp(50));
    assert!(pin.is_fresh());
    assert_eq!(fence.stats().cells, 5);
    fence.invalidate(&tag("red"), by_hand());
    assert!(!pin.is_fresh());
    assert!(disk.restore(stamp(50), &[tag("red")]).is_none());
    assert!(
        disk.restore(fence.stamp(), &[tag("red")]).is_some(),
        "filled after it"
    );
}

/// Contract: F17
#[test]
fn restore_asks_the_journal_for_each_target_and_parent() {
    for (invalidated, restored) in [
        (user(1), false),
        (Target::collection("user").unwrap(), false),
        (Target::Everything, false),
        (user(2), true),
        (Target::namespace("shop").unwrap(), true),
    ] {
        let fence = fence();
        fence.raise_floor(stamp(100));
        let table = Table::left_by_earlier_run(&[(&invalidated, stamp(51))], stamp(100));
        let disk = fence.journal(table);
        assert_eq!(
            disk.restore(stamp(50), &[user(1)]).is_some(),
            restored,
            "{invalidated}"
        );
        assert!(
            disk.restore(stamp(51), &[user(1)]).is_some(),
            "filled when {invalidated} was over"
        );
        assert_eq!(fence.stats().cells, 0);
    }
}

/// The journal has not heard of it: the ring has.
///
/// Contract: F17
#[test]
fn restore_asks_the_ring() {
    let (fence, table, disk) = warm();
    table.stall();
    fence.invalidate(&Target::collection("user").unwrap(), by_hand());
    assert_eq!(table.last(Target::collection("user").unwrap().hash()), None);
    assert!(disk.restore(stamp(50), &[user(1)]).is_none());
    assert!(disk.restore(stamp(50), &[tag("red")]).is_some());
}

/// The ring has lost it, and the journal claims to know of all and does not: a cell that somebody holds knows.
///
/// Contract: F17
#[test]
fn restore_asks_the_cell() {
    let fence = one_shard(&SimClock::new());
    fence.raise_floor(stamp(100));
    let table = Table::left_by_earlier_run(&[], stamp(100_000));
    let disk = fence.journal(Arc::clone(&table) as Arc<dyn Journal>);
    table.stall();
    let holder = fence.pin(&[user(1)]).unwrap();
    fence.invalidate(&user(1), by_hand());
    invalidate_others(&fence, 1_024);
    assert!(disk.restore(stamp(100), &[user(2)]).is_some());
    assert!(disk.restore(stamp(100), &[user(1)]).is_none());
    drop(holder);
}

/// Contract: F17, F18
#[test]
fn restore_needs_a_journal_that_knows_what_the_ring_has_lost() {
    let fence = one_shard(&SimClock::new());
    fence.raise_floor(stamp(100));
    let table = Table::left_by_earlier_run(&[], stamp(100));
    let disk = fence.journal(Arc::clone(&table) as Arc<dyn Journal>);
    invalidate_others(&fence, 2_000);
    assert!(
        disk.restore(stamp(50), &[user(1)]).is_some(),
        "lost by the ring, known to the journal"
    );
    table.stall();
    invalidate_others(&fence, 1_024);
    assert!(
        disk.restore(stamp(50), &[user(1)]).is_some(),
        "what it lacks is still in the ring"
    );
    invalidate_others(&fence, 1);
    assert!(
        disk.restore(stamp(50), &[user(1)]).is_none(),
        "one has left that it lacks"
    );
}

/// Contract: F18
#[test]
fn entries_below_the_journals_floor_are_retired() {
    let (fence, table, disk) = warm();
    let retired = fence.invalidate(&user(1), by_hand());
    table.forget_up_to(retired);
    let before = stamp(retired.get() - 1);
    assert!(
        disk.restore(before, &[tag("red")]).is_none(),
        "whatever it depends on"
    );
    assert!(disk.restore(retired, &[user(1)]).is_some());
}

/// A file may be damaged: a pin that starts after the clock would outlive invalidations.
///
/// Contract: F16, F17
#[test]
fn an_entry_from_the_future_is_not_restored() {
    let (fence, _table, disk) = warm();
    let ahead = stamp(fence.stamp().get() + 1);
    assert!(disk.restore(ahead, &[user(1)]).is_none());
    assert!(disk.restore(Stamp::MAX, &[user(1)]).is_none());
    assert!(disk.restore(fence.stamp(), &[user(1)]).is_some());
}

/// Contract: F19
#[test]
fn a_journal_hears_of_every_invalidation_before_it_returns() {
    let fence = fence();
    let lane = live_lane(&fence, Log::new(1, 1), 1);
    let table = Arc::new(Table::default());
    let disk = fence.journal(Arc::clone(&table) as Arc<dyn Journal>);
    let direct = fence.invalidate(&user(1), by_hand());
    assert_eq!(table.stamps_of(&user(1)), [direct]);
    let cause = lane.cause(Position::new(7), None, Reason::new("commit"));
    let recorded = fence.invalidate(&tag("red"), cause);
    let expected = Raised::Target {
        hash: tag("red").hash(),
        stamp: recorded,
        commit: Some((lane.source(), Position::new(7))),
    };
    assert_eq!(table.told().last(), Some(&expected));
    assert_eq!(table.complete_to(), fence.stamp());
    drop(disk);
    fence.invalidate(&user(1), by_hand());
    assert_eq!(table.stamps_of(&user(1)), [direct], "detached with its handle");
}

/// Contract: F19
#[test]
fn a_late_journal_is_first_given_the_ring() {
    let fence = one_shard(&SimClock::new());
    let one = fence.invalidate(&user(1), by_hand());
    let two = fence.invalidate(&tag("red"), by_hand());
    let table = Arc::new(Table::default());
    let disk = fence.journal(Arc::clone(&table) as Arc<dyn Journal>);
    assert_eq!(table.stamps_of(&user(1)), [one]);
    assert_eq!(table.stamps_of(&tag("red")), [two]);
    assert_eq!(table.stamps_of(&Target::Everything), [], "nothing was lost");
    assert_eq!(table.complete_to(), fence.stamp());
    assert!(disk.restore(stamp(1), &[user(1)]).is_none());
    assert!(disk.restore(stamp(1), &[user(2)]).is_some());
    assert!(
        disk.restore(Stamp::ZERO, &[user(2)]).is_none(),
        "no entry that may be believed has it"
    );
}

/// Contract: F19
#[test]
fn a_late_journal_is_given_everything_if_the_ring_has_lost_something() {
    let fence = one_shard(&SimClock::new());
    let lost = fence.invalidate(&user(1), by_hand());
    let kept = fence.invalidate(&user(2), by_hand());
    invalidate_others(&fence, 1_023);
    let table = Arc::new(Table::default());
    let disk = fence.journal(Arc::clone(&table) as Arc<dyn Journal>);
    assert_eq!(
        table.stamps_of(&Target::Everything),
        [lost],
        "up to what was lost"
    );
    assert_eq!(table.stamps_of(&user(2)), [kept]);
    assert_eq!(table.complete_to(), fence.stamp());
    assert!(
        disk.restore(Stamp::ZERO, &[tag("red")]).is_none(),
        "it may be the one that was lost"
    );
    assert!(disk.restore(lost, &[tag("red")]).is_some());
    assert!(disk.restore(lost, &[user(2)]).is_none());
}

/// Contract: F17
#[test]
fn each_part_restores_by_its_own_journal() {
    let fence = fence();
    fence.raise_floor(stamp(100));
    let ended = Table::left_by_earlier_run(&[(&user(1), stamp(60))], stamp(100));
    let other = Table::left_by_earlier_run(&[], stamp(100));
    let (ended, other) = (fence.journal(ended), fence.journal(other));
    assert!(ended.restore(stamp(50), &[user(1)]).is_none());
    assert!(other.restore(stamp(50), &[user(1)]).is_some());
}

/// Contract: F17
#[test]
fn regression_24_a_disk_opened_after_the_first_invalidations_serves_none_of_them() {
    let fence = fence();
    fence.invalidate(&user(1), by_hand());
    fence.invalidate(&tag("red"), by_hand());
    // The disk tier opens: its limit first, then its journal, then its entries.
    fence.raise_floor(stamp(50_000));
    let disk = fence.journal(Table::left_by_earlier_run(
        &[(&user(3), stamp(40_000))],
        stamp(50_000),
    ));
    assert!(disk.restore(stamp(45_000), &[user(1)]).is_none());
    assert!(disk.restore(stamp(45_000), &[key("front"), tag("red")]).is_none());
    assert!(disk.restore(stamp(45_000), &[user(2)]).is_some());
    assert!(disk.restore(stamp(39_999), &[user(3)]).is_none());
    assert!(disk.restore(stamp(40_000), &[user(3)]).is_some());
}

/// Contract: F18
#[test]
fn a_journal_counts_only_stamps_below_which_none_is_missing() {
    let target = |number| Raised::Target {
        hash: TargetHash::EVERYTHING,
        stamp: stamp(number),
        commit: None,
    };
    let skipped = |first, last| Raised::Skipped {
        first: stamp(first),
        last: stamp(last),
    };
    let mut runs = StampRuns::default();
    for (raised, complete_to) in [
        (target(2), 0),
        (target(1), 2),
        (skipped(6, 9), 2),
        (skipped(4, 7), 2),
        (target(5), 2),
        (target(3), 9),
        (target(3), 9),
        (skipped(1, 8), 9),
        (skipped(5, 12), 12),
        (skipped(20, 30), 12),
        (skipped(20, 22), 12),
        (skipped(13, 19), 30),
    ] {
        runs.note(&raised);
        assert_eq!(runs.complete_to(), stamp(complete_to), "after {raised:?}");
    }
    assert_eq!(StampRuns::new(stamp(7)).complete_to(), stamp(7));
}
