//! What overtakes a load, or a value that a caller has read: it is kept nowhere.

use std::sync::Arc;
use std::time::Duration;

use larder_core::Cause;
use larder_pool::{
    FillRejection, InsertError, InsertOptions, Loaded, Namespace, OnConflict, Reason, Tag, Target,
};

use super::hand::{Oops, Row, World, begun, by_hand, collection, ended, namespace, row, target, team, waits};
use super::source::Source;

/// What may overtake a load of row 7, and what is resident afterwards.
type Overtaker = (&'static str, fn(&World), Option<u64>);

const OVERTAKERS: [Overtaker; 13] = [
    (
        "an invalidation of the id",
        |world| world.invalidate(&target(7)),
        None,
    ),
    (
        "an invalidation of a tag",
        |world| world.invalidate(&team(3)),
        None,
    ),
    (
        "an invalidation of the collection",
        |world| world.invalidate(&collection("row")),
        None,
    ),
    (
        "an invalidation of the namespace",
        |world| world.invalidate(&namespace("default")),
        None,
    ),
    (
        "a followed source",
        |world| Source::followed(&world.fence, 1).commit(1, &[target(7)]),
        None,
    ),
    (
        "an insert",
        |world| drop(world.pool.insert(row(7, 5)).unwrap()),
        Some(5),
    ),
    (
        "an insert that has left again",
        |world| {
            world.pool.insert(row(7, 5)).unwrap();
            world.pool.remove(&7);
        },
        None,
    ),
    (
        "an insert that was evicted",
        |world| {
            world.pool.insert(row(7, 5)).unwrap();
            for id in 100..200 {
                world.pool.insert(row(id, 1)).unwrap();
            }
        },
        None,
    ),
    (
        "a removal of what is not there",
        |world| drop(world.pool.remove(&7)),
        None,
    ),
    (
        "an invalidation by the pool",
        |world| {
            world.pool.invalidate(&7, Reason::Deleted);
        },
        None,
    ),
    (
        "a clear",
        |world| {
            world.pool.clear(Reason::Manual);
        },
        None,
    ),
    (
        "a batch",
        |world| {
            let batch = world.pool.batch();
            batch.insert(row(6, 5)).remove(&7).commit().unwrap();
        },
        None,
    ),
    (
        "a batch that was evicted",
        |world| {
            world.pool.insert_many([row(6, 5), row(7, 5)]).unwrap();
            for id in 100..200 {
                world.pool.insert(row(id, 1)).unwrap();
            }
        },
        None,
    ),
];

/// Contract: P46, P20 (partial: loads in the air)
#[test]
fn regression_3_and_4_nothing_is_kept_that_was_overtaken_on_its_way() {
    for (what, overtake, after) in OVERTAKERS {
        let world = World::with(|pool| pool.capacity_entries(20));
        let (hand, load) = by_hand();
        let call = begun(world.pool.get_or_fetch(&7, load));
        overtake(&world);
        let (new, load) = by_hand();
        let later = (after.is_none()).then(|| begun(world.pool.get_or_fetch(&7, load)));
        hand.brings(Row { team: 3, ..row(7, 1) });
        let answer = ended(call).unwrap().unwrap();
        assert_eq!(
            answer.version,
            after.unwrap_or(1),
            "{what}: those who waited are answered"
        );
        assert_eq!(world.peek(7), after, "{what}: it is stored nowhere");
        if let Some(mut later) = later {
            assert!(
                waits(&mut later),
                "{what}: what is older than a call is no answer to it"
            );
            assert_eq!(new.runs(), 1, "{what}");
            new.brings(row(7, 2));
            assert_eq!(ended(later).unwrap().unwrap().version, 2, "{what}");
            assert_eq!(world.peek(7), Some(2), "{what}");
        }
        assert_eq!(world.pool.stats().flights, 0, "{what}");
    }
}

/// Contract: P46 (partial: a batch of loads)
#[test]
fn a_batch_of_loads_leaves_out_what_was_overtaken() {
    for (what, overtake, after) in OVERTAKERS {
        let world = World::with(|pool| pool.capacity_entries(20));
        let (sender, gate) = futures_channel::oneshot::channel::<()>();
        let call = begun(world.pool.get_or_fetch_many(&[7, 10_000], |_| async move {
            gate.await.ok();
            Ok::<_, Oops>(vec![Row { team: 3, ..row(7, 1) }, row(10_000, 1)])
        }));
        overtake(&world);
        sender.send(()).unwrap();
        let answers = ended(call).unwrap().ok().unwrap();
        let versions: Vec<u64> = answers.iter().flatten().map(|row| row.version).collect();
        assert_eq!(versions, [after.unwrap_or(1), 1], "{what}");
        assert_eq!(world.peek(7), after, "{what}");
    }
}

/// A load holds a pin on its id alone, which the namespace does not end.
///
/// Contract: P46 (partial: values without tags), P53 (partial: values without tags)
#[test]
fn what_every_entry_depends_on_overtakes_loads_of_values_without_tags() {
    for (wide, what) in [
        (collection("row"), "the collection"),
        (namespace("default"), "the namespace"),
        (Target::Everything, "everything"),
    ] {
        let world = World::new();
        let (hand, load) = by_hand();
        let call = begun(world.pool.get_or_fetch(&7, load));
        let (sender, gate) = futures_channel::oneshot::channel::<()>();
        let many = begun(world.pool.get_or_fetch_many(&[8, 9], |_| async move {
            gate.await.ok();
            Ok::<_, Oops>(vec![row(8, 1), row(9, 1)])
        }));
        world.invalidate(&wide);
        let (new, load) = by_hand();
        let later = begun(world.pool.get_or_fetch(&7, load));
        assert_eq!(new.runs(), 1, "{what}: what began before it is not joined");
        hand.brings(row(7, 1));
        sender.send(()).unwrap();
        assert_eq!(ended(call).unwrap().unwrap().version, 1, "{what}");
        assert_eq!(ended(many).unwrap().found().count(), 2, "{what}");
        assert_eq!(world.pool.len(), 0, "{what}");
        new.brings(row(7, 2));
        assert_eq!(ended(later).unwrap().unwrap().version, 2, "{what}");
        assert_eq!((world.peek(7), world.pool.len()), (Some(2), 1), "{what}");
    }
}

/// A load ahead of the end of a value that leaves meanwhile brings it not back.
///
/// Contract: P46 (partial: loads ahead), P71 (partial: what has left meanwhile)
#[test]
fn a_renewal_of_what_has_left_is_not_kept() {
    type Out = (&'static str, fn(&World));
    let outs: [Out; 5] = [
        ("retain", |world| {
            world.pool.retain(|row| row.id != 7);
        }),
        ("clear", |world| {
            world.pool.clear(Reason::Manual);
        }),
        ("remove", |world| drop(world.pool.remove(&7))),
        ("a batch", |world| {
            world.pool.batch().remove(&7).commit().unwrap();
        }),
        ("an invalidation", |world| world.invalidate(&target(7))),
    ];
    for (what, out) in outs {
        let seconds = Duration::from_secs;
        let world = World::with(|pool| pool.time_to_live(seconds(100)).refresh_ahead(0.5));
        assert_eq!(world.fetch(7, row(7, 1)), Some(1));
        world.runtime.advance(seconds(80));
        let (hand, load) = by_hand();
        let call = world.pool.get_or_fetch(&7, load);
        assert_eq!(ended(Box::pin(call)).unwrap().unwrap().version, 1, "{what}");
        assert_eq!(hand.runs(), 1, "{what}: it is loaded ahead");
        out(&world);
        hand.brings(row(7, 2));
        world.runtime.run();
        assert_eq!((world.peek(7), world.pool.len()), (None, 0), "{what}");
        assert_eq!(world.fetch(7, row(7, 3)), Some(3), "{what}");
    }
}

/// Contract: P47
#[test]
fn regression_16_a_fill_replaces_no_live_entry_whatever_the_rule() {
    let rules = [OnConflict::Replace, OnConflict::Reject, OnConflict::Update];
    for rule in rules {
        let world = World::with(|pool| pool.on_conflict(rule));
        let (hand, load) = by_hand();
        let call = begun(world.pool.get_or_fetch(&7, load));
        let (sender, gate) = futures_channel::oneshot::channel::<()>();
        let many = begun(world.pool.get_or_fetch_many(&[8, 9], |_| async move {
            gate.await.ok();
            Ok::<_, Oops>(vec![row(8, 1), row(9, 1)])
        }));
        let resident = world.pool.insert(row(7, 5)).unwrap();
        let other = world.pool.insert(row(8, 5)).unwrap();
        hand.brings(row(7, 1));
        sender.send(()).unwrap();
        assert!(Arc::ptr_eq(&ended(call).unwrap().unwrap(), &resident));
        let answers = ended(many).unwrap().ok().unwrap();
        assert!(Arc::ptr_eq(answers[0].as_ref().unwrap(), &other));
        assert_eq!(answers[1].as_ref().unwrap().version, 1);
        assert_eq!(
            (world.peek(7), world.peek(8), world.peek(9)),
            (Some(5), Some(5), Some(1))
        );
        let rejected = world.pool.stats().rejected_fills;
        assert_eq!(rejected.of(FillRejection::Resident), 2, "{rejected:?}");
    }
}

/// Contract: P59 (partial: tags known only then)
#[test]
fn regression_21_what_is_known_only_after_the_load_is_checked_all_the_same() {
    let world = World::new();
    let brings = [
        ("a tag", Loaded::value(row(7, 1)).tag("late")),
        ("a target", Loaded::value(row(7, 1)).depends_on(target(42))),
    ];
    for (what, brings) in brings {
        let (hand, load) = by_hand();
        let call = begun(world.pool.get_or_fetch(&7, load));
        world.invalidate(&target(42));
        world.invalidate(&Target::Tag {
            namespace: Namespace::default(),
            tag: Tag::new("late").unwrap(),
        });
        hand.brings(brings);
        assert_eq!(ended(call).unwrap().unwrap().version, 1, "{what}");
        assert_eq!(world.peek(7), None, "{what}");
    }
    let rejected = world.pool.stats().rejected_fills;
    assert_eq!(rejected.of(FillRejection::TooOld), 2, "{rejected:?}");
}

/// Contract: P59 (partial: older than the ring)
#[test]
fn a_load_older_than_the_memory_of_the_fence_is_returned_and_not_kept() {
    let world = World::new();
    let (hand, load) = by_hand();
    let call = begun(world.pool.get_or_fetch(&7, load));
    let fence = &world.fence;
    for id in 0..400_000_u64 {
        fence.invalidate(
            &Target::entity("other", id).unwrap(),
            Cause::direct(larder_core::Reason::default()),
        );
    }
    hand.brings(Loaded::value(row(7, 1)).tag("late"));
    assert_eq!(ended(call).unwrap().unwrap().version, 1);
    assert_eq!(world.peek(7), None);
    assert_eq!(world.pool.stats().rejected_fills.of(FillRejection::TooOld), 1);
}

/// Contract: P17 (partial: pins taken by hand)
#[test]
fn a_pin_taken_by_hand_tells_what_overtook_it() {
    for (what, overtake, after) in OVERTAKERS {
        let world = World::with(|pool| pool.capacity_entries(20));
        let pin = world.pool.pin(&7);
        overtake(&world);
        let options = InsertOptions::new().pin(pin).tag("team:3");
        let refused = world.pool.insert_with(row(7, 1), options);
        let Err(InsertError::Fenced { value, .. }) = refused else {
            panic!("{what}: {refused:?}")
        };
        assert_eq!(value.version, 1);
        assert_eq!(world.peek(7), after, "{what}");
        let fresh = InsertOptions::new().pin(world.pool.pin(&7));
        assert_eq!(
            world.pool.insert_with(row(7, 2), fresh).unwrap().version,
            2,
            "{what}"
        );
    }
}
