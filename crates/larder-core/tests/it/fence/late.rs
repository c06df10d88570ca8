//! Targets that are known only after the load, and the bounded memory that they are checked against.

use larder_core::limits::PIN_TARGETS_MAX;
use larder_core::{Last, Run, Stamp, Target, TooOld};
use larder_testkit::SimClock;

use super::doubles::{by_hand, fence, invalidate_others, key, one_shard, tag, user};

/// Contract: F10
#[test]
fn late_targets_join_a_pin_that_nothing_has_happened_to() {
    let fence = fence();
    fence.invalidate(&tag("red"), by_hand());
    let mut pin = fence.pin(&[key("list")]).unwrap();
    fence.invalidate(&tag("blue"), by_hand());
    pin.extend(&[tag("red"), user(1), user(2)]).unwrap();
    assert!(pin.is_fresh());
    for late in [
        user(1),
        user(2),
        tag("red"),
        Target::collection("user").unwrap(),
        key("list"),
    ] {
        let mut pin = fence.pin(&[key("list")]).unwrap();
        pin.extend(&[tag("red"), user(1), user(2)]).unwrap();
        fence.invalidate(&late, by_hand());
        assert!(!pin.is_fresh(), "{late}");
    }
}

/// The cell of a late target that somebody else holds knows of the invalidation, and so does the ring where nobody does.
///
/// Contract: F10
#[test]
fn a_late_target_invalidated_during_the_load_is_refused() {
    for held_by_another in [false, true] {
        for invalidated in [tag("red"), Target::namespace("shop").unwrap(), Target::Everything] {
            let fence = fence();
            let other = held_by_another.then(|| fence.pin(&[tag("red")]).unwrap());
            // Not in the namespace, and not dead by itself: everything is asked about before the late target is.
            let mut pin = fence.pin(&[user(1)]).unwrap();
            fence.invalidate(&invalidated, by_hand());
            if invalidated == Target::Everything {
                assert!(!pin.is_fresh());
            } else {
                assert_eq!(
                    pin.extend(&[tag("red")]),
                    Err(TooOld::Invalidated),
                    "{invalidated}"
                );
                assert!(!pin.is_fresh());
                assert_eq!(fence.stats().refused_too_old, 1);
            }
            drop(other);
        }
    }
}

/// The cell knows what the ring has lost: a late target is refused although the invalidation is gone from the ring.
///
/// Contract: F10, F11
#[test]
fn a_late_target_that_left_the_ring_is_refused() {
    let fence = one_shard(&SimClock::new());
    let mut pin = fence.pin(&[user(1)]).unwrap();
    fence.invalidate(&tag("red"), by_hand());
    invalidate_others(&fence, 1_024);
    assert_eq!(pin.extend(&[tag("red")]), Err(TooOld::Invalidated));
}

/// Contract: F10
#[test]
fn a_refused_pin_is_dead_for_good_and_its_clones_are_not_concerned() {
    let fence = fence();
    let mut pin = fence.pin(&[key("list")]).unwrap();
    let clone = pin.clone();
    fence.invalidate(&tag("red"), by_hand());
    assert_eq!(pin.extend(&[tag("red")]), Err(TooOld::Invalidated));
    assert!(!pin.is_fresh());
    let _ = pin.extend(&[tag("blue")]);
    let _ = pin.extend(&[]);
    assert!(!pin.is_fresh(), "nothing brings it back");
    assert!(!pin.clone().is_fresh());
    assert!(clone.is_fresh());
}

/// Contract: F10
#[test]
fn extending_one_clone_leaves_the_other_as_it_was() {
    let fence = fence();
    let mut pin = fence.pin(&[key("list")]).unwrap();
    let clone = pin.clone();
    pin.extend(&[user(1)]).unwrap();
    fence.invalidate(&user(1), by_hand());
    assert!(!pin.is_fresh());
    assert!(clone.is_fresh());
}

/// Contract: F10
#[test]
fn targets_that_the_pin_holds_already_cost_nothing_and_cannot_fail() {
    let fence = one_shard(&SimClock::new());
    let mut pin = fence.pin(&[user(1), tag("red")]).unwrap();
    let cells = fence.stats().cells;
    // So many that the ring cannot tell any more what came since.
    invalidate_others(&fence, 3_000);
    let held = [
        user(1),
        tag("red"),
        Target::collection("user").unwrap(),
        Target::Everything,
    ];
    pin.extend(&held).unwrap();
    assert!(pin.is_fresh());
    assert_eq!(fence.stats().cells, cells);
    assert_eq!(fence.stats().pins, 2);
}

/// Contract: F11
#[test]
fn the_ring_reaches_back_as_many_invalidations_as_it_holds() {
    let fence = one_shard(&SimClock::new());
    let mut pin = fence.pin(&[user(1)]).unwrap();
    invalidate_others(&fence, 1_024);
    assert_eq!(
        pin.clone().extend(&[tag("red")]),
        Ok(()),
        "all of it is still there"
    );
    invalidate_others(&fence, 1);
    assert_eq!(
        pin.extend(&[tag("red")]),
        Err(TooOld::Invalidated),
        "one has left"
    );
    let mut later = fence.pin(&[user(1)]).unwrap();
    assert_eq!(
        later.extend(&[tag("red")]),
        Ok(()),
        "nothing since its start has left"
    );
}

/// Contract: F11
#[test]
fn what_left_the_ring_only_raises_dropped() {
    let fence = one_shard(&SimClock::new());
    assert!(matches!(fence.last(&tag("red")), Last::Never));
    let stamp = fence.invalidate(&tag("red"), by_hand());
    invalidate_others(&fence, 1_023);
    assert!(matches!(fence.last(&tag("red")), Last::At(_)));
    assert!(
        matches!(fence.last(&tag("blue")), Last::Never),
        "nothing has left"
    );
    invalidate_others(&fence, 1);
    for target in [tag("red"), tag("blue")] {
        let last = fence.last(&target);
        assert!(
            matches!(last, Last::Before(before) if before == stamp),
            "{last:?}"
        );
    }
    // A resident entry needs no ring: its cell knows.
    let pin = fence.pin(&[tag("red")]).unwrap();
    invalidate_others(&fence, 5_000);
    assert!(pin.is_fresh());
}

/// Contract: F12
#[test]
fn late_targets_count_towards_the_limit() {
    let fence = fence();
    let users: Vec<Target> = (0..PIN_TARGETS_MAX as u64 - 2).map(user).collect();
    let (first, rest) = users.split_at(10);
    let mut pin = fence.pin(first).unwrap();
    pin.extend(rest).unwrap();
    assert_eq!(fence.stats().cells, PIN_TARGETS_MAX);
    assert!(pin.is_fresh());
    let expected = TooOld::TooMany {
        count: PIN_TARGETS_MAX + 1,
        max: PIN_TARGETS_MAX,
    };
    assert_eq!(pin.extend(&[user(5_000)]), Err(expected));
    assert!(!pin.is_fresh());
    assert_eq!(fence.stats().refused_too_many, 1);
}

/// The rows of a long list share a few tags. However often one is named, none of the others is left out.
///
/// Contract: F12
#[test]
fn no_late_target_is_left_out_however_often_others_are_named() {
    let fence = fence();
    for repeated in [1, 1_023, 1_024, 1_025, 1_026, 5_000] {
        let mut pin = fence.pin(&[key("list")]).unwrap();
        let mut late = vec![tag("red"); repeated];
        late.push(tag("blue"));
        pin.extend(&late).unwrap();
        assert_eq!(fence.stats().pins, 3, "each of the three is held once");
        fence.invalidate(&tag("blue"), by_hand());
        assert!(!pin.is_fresh(), "blue after {repeated} times red");
    }
}

/// Contract: F10
#[test]
fn a_load_whose_pin_was_let_go_is_resumed() {
    let fence = fence();
    fence.invalidate(&user(1), by_hand());
    let started = fence.stamp();
    fence.invalidate(&user(2), by_hand());
    let pin = fence
        .resume(fence.run(), started, &[user(1), tag("red")])
        .unwrap();
    assert_eq!(pin.started(), started);
    assert!(pin.is_fresh());
    fence.invalidate(&user(1), by_hand());
    assert!(!pin.is_fresh());
}

/// Contract: F10
#[test]
fn a_load_that_lost_is_not_resumed() {
    let fence = one_shard(&SimClock::new());
    let (run, started) = (fence.run(), fence.stamp());
    assert!(fence.resume(run, started, &[user(1)]).is_some());
    assert!(
        fence
            .resume(Run::new(run.get() ^ 1), started, &[user(1)])
            .is_none(),
        "another run"
    );
    let ahead = Stamp::new(started.get() + 1).unwrap();
    assert!(
        fence.resume(run, ahead, &[user(1)]).is_none(),
        "a stamp that was never given out"
    );
    let many: Vec<Target> = (0..2_000).map(user).collect();
    assert!(fence.resume(run, started, &many).is_none(), "too many targets");

    let holder = fence.pin(&[user(1)]).unwrap();
    fence.invalidate(&Target::collection("user").unwrap(), by_hand());
    assert!(
        fence.resume(run, started, &[user(1)]).is_none(),
        "its parent was invalidated"
    );
    assert!(fence.resume(run, started, &[tag("red")]).is_some());
    invalidate_others(&fence, 1_024);
    assert!(
        fence.resume(run, started, &[tag("red")]).is_none(),
        "the ring cannot tell any more"
    );
    assert!(fence.resume(run, fence.stamp(), &[tag("red")]).is_some());
    drop(holder);
    assert_eq!(fence.stats().cells, 0);
}
