//! Pins: what they hold, what makes them stale and what does not.

use std::slice::from_ref;

use larder_core::limits::PIN_TARGETS_MAX;
use larder_core::{Fence, Fenced, Pin, PinError, PrivateCode, Stamp, Target};
use larder_testkit::SimClock;

use super::allocations::requests_of;
use super::doubles::{by_hand, fence, invalidate_others, key, one_shard, tag, user};

/// One target of each kind, and all that an invalidation can name above it.
fn kinds_with_parents() -> Vec<(Target, Vec<Target>)> {
    let shop = Target::namespace("shop").unwrap();
    let users = Target::collection("user").unwrap();
    let private = Target::private(PrivateCode::new(200).unwrap(), "shop", "prefix").unwrap();
    let dependency = Target::dependency("shop", "rates").unwrap();
    vec![
        (user(1), vec![users.clone(), Target::Everything]),
        (tag("red"), vec![shop.clone(), Target::Everything]),
        (key("front"), vec![shop.clone(), Target::Everything]),
        (dependency, vec![shop.clone(), Target::Everything]),
        (private, vec![shop.clone(), Target::Everything]),
        (users, vec![Target::Everything]),
        (shop, vec![Target::Everything]),
        (Target::Everything, vec![]),
    ]
}

/// Contract: F1, F5
#[test]
fn a_pin_depends_on_its_target_and_on_every_parent() {
    for (target, parents) in kinds_with_parents() {
        for invalidated in parents.iter().chain([&target]) {
            let fence = fence();
            let pin = fence.pin(from_ref(&target)).unwrap();
            assert!(pin.is_fresh(), "{target} has just been pinned");
            fence.invalidate(invalidated, by_hand());
            assert!(!pin.is_fresh(), "{invalidated} was invalidated under {target}");
            let cells = fence.stats().cells;
            assert_eq!(
                cells,
                parents.len() + 1,
                "{target} and its parents have a cell each"
            );
        }
    }
}

/// Every order of targets, so that those of one parent stand together, apart, first and last.
/// Contract: F1, F4
#[test]
fn a_pin_depends_on_the_parent_of_each_target_wherever_it_stands() {
    let all: Vec<Target> = kinds_with_parents()
        .into_iter()
        .map(|(target, _)| target)
        .collect();
    for first in &all {
        for (second, third) in all
            .iter()
            .flat_map(|second| all.iter().map(move |third| (second, third)))
        {
            for invalidated in &all {
                let fence = fence();
                let targets = [first.clone(), second.clone(), third.clone()];
                let pin = fence.pin(&targets).unwrap();
                fence.invalidate(invalidated, by_hand());
                let depends = |target: &Target| {
                    std::iter::successors(Some(target.clone()), Target::parent).any(|up| up == *invalidated)
                };
                assert_eq!(
                    pin.is_fresh(),
                    !targets.iter().any(depends),
                    "{targets:?}, {invalidated} invalidated"
                );
            }
        }
    }
}

/// Contract: F1
#[test]
fn a_parent_does_not_depend_on_its_children() {
    let fence = fence();
    let users = Target::collection("user").unwrap();
    let pin = fence.pin(&[users]).unwrap();
    fence.invalidate(&user(1), by_hand());
    assert!(pin.is_fresh());
}

/// Contract: F1
#[test]
fn clones_share_the_cells_and_outlive_the_first() {
    let fence = fence();
    let pin = fence.pin(&[user(1), tag("red")]).unwrap();
    let cells = fence.stats().cells;
    let clone = pin.clone();
    assert_eq!(fence.stats().cells, cells, "a clone makes no cell");
    assert_eq!(clone.started(), pin.started());
    drop(pin);
    assert_eq!(fence.stats().cells, cells, "the clone holds them");
    fence.invalidate(&tag("red"), by_hand());
    assert!(!clone.is_fresh());
    drop(clone);
    assert_eq!(fence.stats().cells, 0);
}

/// Contract: F2
#[test]
fn a_pin_starts_at_the_clock() {
    let fence = fence();
    let first = fence.pin(&[user(1)]).unwrap();
    assert_eq!(
        first.started(),
        Stamp::new(1).unwrap(),
        "zero is no pin's that may be fresh"
    );
    let stamp = fence.invalidate(&user(2), by_hand());
    let second = fence.pin(&[user(1)]).unwrap();
    assert_eq!(second.started(), stamp);
    assert_eq!(fence.stamp(), stamp);
}

/// Contract: F3
#[test]
fn every_invalidation_has_a_stamp_of_its_own_higher_than_all_before() {
    let fence = fence();
    let mut last = fence.stamp();
    for round in 0..3_000 {
        let target = user(round % 7);
        let stamp = fence.invalidate(&target, by_hand());
        assert_eq!(stamp.get(), last.get() + 1);
        last = stamp;
    }
}

/// Contract: F3
#[test]
fn invalidating_allocates_nothing_whatever_the_ring_has_seen() {
    let fence = fence();
    let held: Vec<Pin> = (0..1_000)
        .map(|id| fence.pin(&[user(id), tag("red")]).unwrap())
        .collect();
    let (cause, red) = (by_hand(), tag("red"));
    // Each shard reserves its ring with the first invalidation that it hears of.
    invalidate_others(&fence, 10_000);
    // Three times the ring, over a number of targets that leaves and enters its table all the time.
    let targets: Vec<Target> = (0..20_000).map(user).collect();
    let (requests, ()) = requests_of(|| {
        for _ in 0..10 {
            for target in &targets {
                fence.invalidate(target, cause.clone());
            }
            fence.invalidate(&red, cause.clone());
        }
    });
    assert_eq!(requests, 0);
    assert!(held.iter().all(|pin| !pin.is_fresh()));
}

/// Contract: F3
#[test]
fn a_shard_reserves_its_ring_once_with_its_first_invalidation() {
    let (built, fence) = requests_of(|| one_shard(&SimClock::new()));
    let cause = by_hand();
    let targets: Vec<Target> = (0..200).map(user).collect();
    let invalidate = |target: &Target| requests_of(|| fence.invalidate(target, cause.clone())).0;
    let first = invalidate(&targets[0]);
    assert!(
        first <= 2,
        "{first}: the entries, and the table that finds them; {built} to build the fence"
    );
    for target in &targets[1..] {
        assert_eq!(invalidate(target), 0);
    }
}

/// Contract: F4
#[test]
fn asking_a_pin_allocates_nothing_and_a_pin_is_two_words() {
    assert_eq!(size_of::<Pin>(), 16);
    let fence = fence();
    let one = fence.pin(&[user(1)]).unwrap();
    let eight: Vec<Target> = (0..8).map(user).collect();
    let eight = fence.pin(&eight).unwrap();
    let (requests, fresh) = requests_of(|| (0..1_000).all(|_| one.is_fresh() && eight.is_fresh()));
    assert!(fresh);
    assert_eq!(requests, 0);
    fence.invalidate(&user(1), by_hand());
    let (requests, fresh) = requests_of(|| one.is_fresh() || eight.is_fresh());
    assert!(!fresh, "{one:?} {eight:?}");
    assert_eq!(requests, 0);
}

/// Contract: F4
#[test]
fn one_stale_target_of_many_is_enough_wherever_it_stands() {
    let targets: Vec<Target> = (0..9)
        .map(user)
        .chain((0..9).map(|n| key(&n.to_string())))
        .collect();
    for invalidated in &targets {
        let fence = fence();
        let pin = fence.pin(&targets).unwrap();
        fence.invalidate(invalidated, by_hand());
        assert!(!pin.is_fresh(), "{invalidated}");
    }
}

/// Contract: F5
#[test]
fn a_stale_pin_stays_stale() {
    let fence = fence();
    let pin = fence.pin(&[user(1)]).unwrap();
    fence.invalidate(&user(1), by_hand());
    fence.raise_floor(Stamp::new(10_000).unwrap());
    let newer = fence.pin(&[user(1)]).unwrap();
    invalidate_others(&fence, 2_000);
    assert!(!pin.is_fresh());
    assert!(newer.is_fresh());
    drop(newer);
    assert!(!pin.clone().is_fresh());
}

/// Contract: F5
#[test]
fn every_part_that_shares_the_fence_sees_the_invalidation() {
    let fence = fence();
    let (pool, cache) = (fence.clone(), fence.clone());
    let in_pool = pool.pin(&[user(1)]).unwrap();
    let in_cache = cache.pin(&[key("page"), user(1)]).unwrap();
    fence.invalidate(&user(1), by_hand());
    assert!(!in_pool.is_fresh());
    assert!(!in_cache.is_fresh());
}

/// Contract: F6
#[test]
fn a_later_pin_is_fresh_until_the_next_invalidation_of_its_own_targets() {
    let fence = fence();
    fence.invalidate(&user(1), by_hand());
    let pin = fence.pin(&[user(1)]).unwrap();
    invalidate_others(&fence, 100_000);
    fence.invalidate(&user(2), by_hand());
    fence.invalidate(&Target::collection("user.lists").unwrap(), by_hand());
    assert!(pin.is_fresh(), "only others were invalidated");
    fence.invalidate(&user(1), by_hand());
    assert!(!pin.is_fresh());
}

/// Contract: F7
#[test]
fn an_entry_published_after_it_lost_is_dead_on_arrival() {
    let fence = fence();
    let pin = fence.pin(&[user(1)]).unwrap();
    fence.invalidate(&user(1), by_hand());
    let published = std::sync::Mutex::new(None);
    *published.lock().unwrap() = Some(pin);
    let entry = published.into_inner().unwrap().unwrap();
    assert!(!entry.is_fresh(), "judged when read");
    assert_eq!(entry.check(), Err(Fenced::Invalidated));
    assert_eq!(fence.stats().refused_fenced, 1);
}

/// Contract: F8
#[test]
fn many_targets_are_raised_together_and_the_last_stamp_comes_back() {
    let fence = fence();
    let targets = [user(1), tag("red"), Target::namespace("other").unwrap()];
    let pins: Vec<Pin> = targets
        .iter()
        .map(|target| fence.pin(from_ref(target)).unwrap())
        .collect();
    let before = fence.stamp();
    let last = fence.invalidate_many(&targets, &by_hand());
    assert_eq!(last.get(), before.get() + 3);
    assert!(pins.iter().all(|pin| !pin.is_fresh()));
    assert_eq!(
        fence.invalidate_many([], &by_hand()),
        last,
        "nothing to raise: the clock as it is"
    );
}

/// Contract: F9
#[test]
fn a_flight_is_joined_only_while_its_pin_is_fresh() {
    let fence = fence();
    let flight = fence.pin(&[user(1)]).unwrap();
    let joins = |flight: &Pin| flight.clone().is_fresh();
    assert!(joins(&flight), "nothing has happened since it took off");
    fence.invalidate(&user(2), by_hand());
    assert!(joins(&flight), "another target");
    fence.invalidate(&user(1), by_hand());
    assert!(
        !joins(&flight),
        "who asks now would get an older value than was promised"
    );
}

/// Contract: F12
#[test]
fn a_pin_holds_as_many_targets_as_it_may_and_not_one_more() {
    let fence = fence();
    // The collection and everything are among them.
    let most: Vec<Target> = (0..PIN_TARGETS_MAX as u64 - 2).map(user).collect();
    let pin = fence.pin(&most).unwrap();
    assert_eq!(fence.stats().cells, PIN_TARGETS_MAX);
    fence.invalidate(most.last().unwrap(), by_hand());
    assert!(!pin.is_fresh());
    drop(pin);

    let more: Vec<Target> = (0..PIN_TARGETS_MAX as u64 - 1).map(user).collect();
    let refused = fence.pin(&more).unwrap_err();
    let expected = PinError::TooMany {
        count: PIN_TARGETS_MAX + 1,
        max: PIN_TARGETS_MAX,
    };
    assert_eq!(refused, expected);
    assert_eq!(fence.stats().refused_too_many, 1);
    assert_eq!(fence.stats().cells, 0, "what was refused holds nothing");
}

/// Contract: F12
#[test]
fn targets_of_many_collections_count_their_parents() {
    let fence = fence();
    let of = |count: u64| -> Vec<Target> {
        (0..count)
            .map(|n| Target::entity(format!("kind{n}"), 1).unwrap())
            .collect()
    };
    // 511 entities, 511 collections and everything make 1,023.
    assert_eq!(fence.pin(&of(511)).map(|_| ()), Ok(()));
    let refused = fence.pin(&of(512)).unwrap_err();
    assert_eq!(
        refused,
        PinError::TooMany {
            count: 1_025,
            max: 1_024
        }
    );
}

/// A target given twice is one target.
///
/// Contract: F12
#[test]
fn a_target_given_often_counts_once() {
    let fence = fence();
    let often = vec![user(1); 5_000];
    let pin = fence.pin(&often).unwrap();
    assert_eq!(fence.stats().cells, 3);
    assert_eq!(fence.stats().pins, 1);
    fence.invalidate(&user(1), by_hand());
    assert!(!pin.is_fresh());
}

/// Contract: F12
#[test]
fn what_must_not_be_cached_is_dead_and_its_flight_is_joined_by_nobody() {
    let fence = fence();
    let mut pin = fence.pin(&[user(1)]).unwrap();
    let before = pin.clone();
    pin.never_cache();
    assert!(!pin.is_fresh());
    assert!(!pin.clone().is_fresh());
    assert_eq!(pin.check(), Err(Fenced::Invalidated));
    assert!(before.is_fresh(), "a pin of somebody else is not concerned");
    // Nothing brings it back.
    let _ = pin.extend(&[user(2)]);
    let _ = pin.as_of_unknown(std::time::Duration::ZERO);
    assert!(!pin.is_fresh());
}

/// Contract: F1
#[test]
fn a_pin_without_targets_depends_on_everything() {
    let fence = fence();
    let pin = fence.pin(&[]).unwrap();
    fence.invalidate(&user(1), by_hand());
    assert!(pin.is_fresh());
    fence.invalidate(&Target::Everything, by_hand());
    assert!(!pin.is_fresh());
}

/// A load of another key is not refused for a hundred thousand invalidations during it, and neither an untagged key nor
/// one that was removed and inserted again is ever readable after its invalidation.
///
/// Contract: F6, F7, F13
#[test]
fn regression_19_a_load_loses_to_its_own_invalidations_only() {
    let fence = fence();
    let loading = fence.pin(&[key("slow")]).unwrap();
    let untagged = fence.pin(&[key("untagged")]).unwrap();
    let removed = fence.pin(&[key("moved")]).unwrap();
    assert!(
        untagged.is_fresh() && removed.is_fresh(),
        "checked before the insert"
    );
    drop(removed);
    fence.invalidate(&key("untagged"), by_hand());
    fence.invalidate(&key("moved"), by_hand());
    let reinserted = fence.resume(fence.run(), Stamp::ZERO, &[key("moved")]);
    assert!(
        reinserted.is_none(),
        "loaded before the invalidation, inserted after it"
    );
    assert!(!untagged.is_fresh());
    invalidate_others(&fence, 100_000);
    assert!(loading.is_fresh());
    assert_eq!(loading.check(), Ok(()));
}

/// Contract: O2 (partial: what the invalidation of a namespace ends, not how a batch records it)
#[test]
fn regression_21_the_flush_of_one_namespace_leaves_another_untouched() {
    let fence = fence();
    let here = fence.pin(&[key("page")]).unwrap();
    let elsewhere = fence.pin(&[Target::key("elsewhere", "page").unwrap()]).unwrap();
    let entity = fence.pin(&[user(1)]).unwrap();
    fence.invalidate(&Target::namespace("shop").unwrap(), by_hand());
    assert!(!here.is_fresh());
    assert!(elsewhere.is_fresh());
    assert!(entity.is_fresh());
}

/// Contract: F1
#[test]
fn a_pin_outlives_every_handle_of_its_fence() {
    let fence: Fence = fence();
    let pin = fence.pin(&[user(1)]).unwrap();
    let clone = pin.clone();
    drop(fence);
    assert!(pin.is_fresh());
    drop(pin);
    assert!(clone.is_fresh());
}
