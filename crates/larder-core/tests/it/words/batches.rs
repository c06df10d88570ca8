//! Batches: order, doubles, widening; and invalidations as delivered.

use std::collections::HashSet;

use larder_core::limits::{
    BATCH_TARGETS_MAX, COLLAPSE_COUNT, ERROR_TEXT_BYTES_MAX, REASON_BYTES_MAX, cut_at_character,
};
use larder_core::{
    Invalidation, Invalidations, Namespace, Origin, Position, PrivateCode, Reason, Target, TargetError,
    Timestamp,
};
use proptest::prelude::*;

use super::runs;

fn batch() -> Invalidations {
    Invalidations::new(Namespace::new("shop").unwrap(), "test")
}

fn texts(batch: &Invalidations) -> Vec<String> {
    batch.targets().iter().map(Target::to_string).collect()
}

/// Contract: O8, O2, O6
#[test]
fn a_batch_keeps_order_reason_and_namespace() {
    let mut batch = batch()
        .key("k")
        .and_then(|batch| batch.tag("t"))
        .and_then(|batch| batch.dependency("d"))
        .and_then(|batch| batch.entity("user", 42))
        .and_then(|batch| batch.entity_and_lists("order", (7, "a")))
        .and_then(|batch| batch.collection("team"))
        .and_then(|batch| batch.target(Target::tag("other", "x").unwrap()))
        .unwrap()
        .flush()
        .flush_everything();
    assert_eq!(batch.push(Target::key("other", "k").unwrap()), Ok(true));
    let expected = [
        "key:shop/k",
        "tag:shop/t",
        "dependency:shop/d",
        "entity:user/42",
        "entity:order/7%2Fa",
        "collection:order.lists",
        "collection:team",
        "tag:other/x",
        "namespace:shop",
        "everything",
        "key:other/k",
    ];
    assert_eq!(texts(&batch), expected);
    assert_eq!(
        (batch.len(), batch.is_empty(), batch.collapsed()),
        (11, false, false)
    );
    assert_eq!(
        (batch.reason().as_str(), batch.namespace().as_str()),
        ("test", "shop")
    );
}

/// Contract: O8
#[test]
fn the_default_batch_is_empty() {
    let batch = Invalidations::default();
    assert_eq!(
        (batch.len(), batch.is_empty(), batch.collapsed()),
        (0, true, false)
    );
    assert_eq!(
        (batch.reason().as_str(), batch.namespace().as_str()),
        ("", "default")
    );
    assert_eq!(batch, Invalidations::new(Namespace::default(), ""));
}

/// Contract: O2
#[test]
fn flush_ends_one_namespace_only() {
    let ended = batch().flush().targets().to_vec();
    assert_eq!(ended, [Target::namespace("shop").unwrap()]);
    let survives = Target::tag("other", "t").unwrap();
    assert!(
        !survives.lineage().contains(&ended[0].hash()),
        "another namespace is untouched"
    );
    assert!(
        Target::tag("shop", "t")
            .unwrap()
            .lineage()
            .contains(&ended[0].hash())
    );
    assert_eq!(batch().flush_everything().targets(), [Target::Everything]);
}

/// Contract: O1
#[test]
fn private_targets_are_never_recorded() {
    let private = Target::private(PrivateCode::new(200).unwrap(), "shop", "p").unwrap();
    let mut batch = batch();
    assert_eq!(batch.push(private.clone()), Err(TargetError::Private));
    assert!(batch.is_empty(), "the batch is as it was");
    assert_eq!(batch.target(private).err(), Some(TargetError::Private));
}

/// Contract: O8, O11
#[test]
fn a_bad_name_is_refused_at_once() {
    assert_eq!(batch().tag("").err(), Some(TargetError::Empty { part: "tag" }));
    assert_eq!(
        batch().dependency("\0").err(),
        Some(TargetError::Control { part: "dependency" })
    );
    assert_eq!(
        batch().entity("", 1).err(),
        Some(TargetError::Empty { part: "entity" })
    );
    assert_eq!(
        batch().entity_and_lists("", 1).err(),
        Some(TargetError::Empty { part: "entity" })
    );
    assert_eq!(
        batch().collection("").err(),
        Some(TargetError::Empty { part: "collection" })
    );
}

/// A batch of `count` targets of one family, made by `make`.
fn family(count: usize, make: fn(usize) -> Target) -> Invalidations {
    let mut batch = batch().collapse_count(16).unwrap();
    batch.push(Target::tag("before", "x").unwrap()).unwrap();
    for number in 0..count {
        batch.push(make(number)).unwrap();
    }
    batch.push(Target::tag("after", "x").unwrap()).unwrap();
    batch
}

/// Contract: O10 (partial: `Recorded` is of the outbox)
#[test]
fn a_family_that_grows_past_the_count_is_widened_in_its_place() {
    type Make = fn(usize) -> Target;
    let families: [(Make, &[&str]); 6] = [
        (
            |id| Target::entity("user", id).unwrap(),
            &["collection:user", "collection:user.lists"],
        ),
        (|key| Target::key("ns", key).unwrap(), &["namespace:ns"]),
        (
            |tag| Target::tag("ns", tag.to_string()).unwrap(),
            &["namespace:ns"],
        ),
        (
            |name| Target::dependency("ns", name.to_string()).unwrap(),
            &["namespace:ns"],
        ),
        (
            |name| Target::collection(name.to_string()).unwrap(),
            &["everything"],
        ),
        (
            |name| Target::namespace(name.to_string()).unwrap(),
            &["everything"],
        ),
    ];
    for (make, widened) in families {
        let at = family(16, make);
        assert_eq!((at.len(), at.collapsed()), (18, false), "at the count");
        for beyond in [17, 18, 100] {
            let beyond = family(beyond, make);
            assert!(beyond.collapsed());
            let expected = [&["tag:before/x"], widened, &["tag:after/x"]].concat();
            assert_eq!(texts(&beyond), expected, "beyond the count");
        }
    }
}

/// Contract: O10 (partial: `Recorded` is of the outbox), O9
#[test]
fn widening_keeps_first_places_and_takes_nothing_twice() {
    let ids = |mut batch: Invalidations, from: usize, to: usize| {
        for id in from..to {
            batch = batch.entity("user", id).unwrap();
        }
        batch
    };
    let small = || batch().collapse_count(16).unwrap();
    let earlier = ids(small().collection("user").unwrap(), 0, 17);
    assert_eq!(
        texts(&earlier),
        ["collection:user", "collection:user.lists"],
        "the collection was there before"
    );
    let later = ids(
        ids(small(), 0, 5).collection("user").unwrap().tag("t").unwrap(),
        5,
        17,
    );
    assert_eq!(
        texts(&later),
        ["collection:user", "collection:user.lists", "tag:shop/t"],
        "it comes to be before"
    );
    let mut again = ids(small(), 0, 17);
    assert_eq!(
        again.push(Target::entity("user", 99).unwrap()),
        Ok(false),
        "named already"
    );
    assert_eq!(
        again.push(Target::entity("users", 99).unwrap()),
        Ok(true),
        "another entity is not"
    );
    assert_eq!(again.len(), 3);
}

/// Contract: O10 (partial: `Recorded` is of the outbox)
#[test]
fn keys_tags_and_dependencies_of_a_namespace_count_together() {
    let mut batch = batch().collapse_count(16).unwrap();
    for number in 0..6 {
        batch = batch.key(number).unwrap().tag(number.to_string()).unwrap();
    }
    for number in 0..4 {
        batch = batch.dependency(number.to_string()).unwrap();
    }
    assert_eq!((batch.len(), batch.collapsed()), (16, false));
    let batch = batch
        .target(Target::tag("other", "x").unwrap())
        .unwrap()
        .dependency("one more")
        .unwrap();
    assert_eq!(texts(&batch), ["namespace:shop", "tag:other/x"]);
}

/// Contract: O10 (partial: `Recorded` is of the outbox)
#[test]
fn collapse_count_has_a_default_and_a_range() {
    assert_eq!(
        (
            COLLAPSE_COUNT.default(),
            COLLAPSE_COUNT.min(),
            COLLAPSE_COUNT.max()
        ),
        (4_096, 16, 65_536)
    );
    for refused in [0, 15, 65_537] {
        let error = batch().collapse_count(refused).expect_err("out of range");
        assert_eq!(
            (error.option(), error.given(), error.allowed()),
            ("collapse_count", refused, (16, 65_536))
        );
    }
    let mut batch = batch();
    for id in 0..4_096 {
        batch.push(Target::entity("user", id).unwrap()).unwrap();
    }
    assert_eq!((batch.len(), batch.collapsed()), (4_096, false), "at the default");
    let lowered = batch.clone().collapse_count(4_095).unwrap();
    assert_eq!(
        (lowered.len(), lowered.collapsed()),
        (2, true),
        "what is there counts when the count is set"
    );
    batch.push(Target::entity("user", 4_096).unwrap()).unwrap();
    assert_eq!((batch.len(), batch.collapsed()), (2, true), "beyond the default");
}

/// Contract: O10 (partial: `Recorded` is of the outbox)
#[test]
fn a_batch_of_many_families_is_bounded_too() {
    let wide = || batch().collapse_count(65_536).unwrap();
    let mut large = wide();
    for number in 0..BATCH_TARGETS_MAX {
        let (entity, id) = if number % 4 == 0 {
            ("order", number)
        } else {
            ("user", number)
        };
        large.push(Target::entity(entity, id).unwrap()).unwrap();
    }
    assert_eq!(
        (large.len(), large.collapsed()),
        (BATCH_TARGETS_MAX, false),
        "at the bound"
    );
    large.push(Target::tag("ns", "x").unwrap()).unwrap();
    assert!(large.collapsed());
    assert_eq!(
        large.len(),
        BATCH_TARGETS_MAX / 4 + 3,
        "the largest family is widened, the other stays"
    );
    assert_eq!(texts(&large)[..2], ["entity:order/0", "collection:user"]);
    let mut scattered = wide();
    for number in 0..=BATCH_TARGETS_MAX {
        scattered
            .push(Target::entity(format!("e{number}"), number).unwrap())
            .unwrap();
    }
    assert_eq!(texts(&scattered), ["everything"], "where every family is small");
    assert!(scattered.collapsed());
    assert_eq!(scattered.push(Target::tag("ns", "x").unwrap()), Ok(false));
}

/// Contract: O11
#[test]
fn long_texts_are_cut_at_a_character() {
    let reason = |length: usize| Reason::new("r".repeat(length));
    assert_eq!(reason(256).as_str().len(), 256);
    assert_eq!(reason(257).as_str().len(), 256);
    assert_eq!(
        Reason::new(format!("{}ü", "r".repeat(255))).as_str(),
        "r".repeat(255),
        "no half characters"
    );
    assert_eq!(
        Invalidations::new(Namespace::default(), "ü".repeat(1_000))
            .reason()
            .as_str(),
        "ü".repeat(128)
    );
    assert_eq!((REASON_BYTES_MAX, ERROR_TEXT_BYTES_MAX), (256, 1_024));
    let error = "日".repeat(1_000);
    assert_eq!(cut_at_character(&error, ERROR_TEXT_BYTES_MAX), "日".repeat(341));
    assert_eq!(cut_at_character("short", ERROR_TEXT_BYTES_MAX), "short");
}

/// Contract: O1
#[test]
fn what_is_delivered_says_where_it_comes_from() {
    let target = Target::entity("user", 42).unwrap();
    let plain = Invalidation::new(target.clone(), Position::new(7), Timestamp::from_micros(9));
    assert_eq!((plain.target(), plain.hash()), (&target, target.hash()));
    assert_eq!(
        (plain.position(), plain.recorded_at()),
        (Position::new(7), Timestamp::from_micros(9))
    );
    assert_eq!((plain.reason().as_str(), plain.origin()), ("", None));
    let origin = Origin::new("node-1", 3).unwrap();
    let full = plain.with_reason("paid").with_origin(origin.clone());
    assert_eq!((full.reason().as_str(), full.origin()), ("paid", Some(&origin)));
    assert_eq!((origin.node(), origin.run()), ("node-1", 3));
}

/// Few different targets, so that they come again and fill families.
fn few() -> impl Strategy<Value = Vec<Target>> {
    let one = (0..7_u8, 0..60_u32).prop_map(|(kind, number)| match kind {
        0 => Target::key("ns", number % 20).unwrap(),
        1 => Target::tag("ns", number.to_string()).unwrap(),
        2 | 3 => Target::entity(["user", "order"][usize::from(kind % 2)], number).unwrap(),
        4 => Target::collection(["user", "order.lists"][usize::try_from(number % 2).unwrap()]).unwrap(),
        5 => Target::namespace(["ns", "other"][usize::try_from(number % 2).unwrap()]).unwrap(),
        _ => Target::tag("other", number.to_string()).unwrap(),
    });
    prop::collection::vec(one, 0..200)
}

proptest! {
    #![proptest_config(runs(500))]

    /// Contract: O9, O8
    #[test]
    fn each_target_counts_once_at_its_first_place(targets in few()) {
        let mut batch = batch();
        let mut seen = HashSet::new();
        let mut expected = Vec::new();
        for target in targets {
            let new = seen.insert(target.clone());
            if new {
                expected.push(target.clone());
            }
            prop_assert_eq!(batch.push(target), Ok(new));
        }
        prop_assert_eq!(batch.targets(), expected);
    }

    /// Contract: O10 (partial: `Recorded` is of the outbox), O9
    #[test]
    fn widening_loses_nothing_and_repeats_nothing(targets in few(), count in 16_usize..40) {
        let mut batch = batch().collapse_count(count).unwrap();
        for target in &targets {
            batch.push(target.clone()).unwrap();
        }
        let ended: HashSet<_> = batch.targets().iter().map(Target::hash).collect();
        prop_assert_eq!(ended.len(), batch.len(), "no target stands twice");
        for target in &targets {
            prop_assert!(target.lineage().iter().any(|hash| ended.contains(hash)), "{} is lost", target);
        }
        let given: HashSet<&Target> = targets.iter().collect();
        prop_assert_eq!(batch.collapsed(), batch.targets().iter().collect::<HashSet<_>>() != given);
        for family in ["key:ns/", "entity:user/", "entity:order/", "tag:other/", "tag:ns/"] {
            let size = texts(&batch).iter().filter(|text| text.starts_with(family)).count();
            prop_assert!(size <= count, "{family} has {size}");
        }
    }
}
