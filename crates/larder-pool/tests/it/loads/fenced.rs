//! The fence and the pool: what ends an entry, and what of a load is kept.

use larder_core::EntityName;
use larder_pool::{
    BuildError, Entity, Event, Events, InsertOptions, Key, Loaded, Namespace, Pool, Position, Reason, Tag,
    Target,
};

use super::hand::{Row, World, begun, by_hand, collection, ended, namespace, row, target, team};
use super::source::{Source, record};

/// The positions with which the events say that rows left, or that all did.
fn positions(events: &mut Events<Row>) -> Vec<u64> {
    let mut positions = Vec::new();
    while let Ok(event) = events.try_recv() {
        let reason = match event {
            Event::Removed { reason, .. } | Event::Cleared { reason, .. } => reason,
            other => panic!("{other:?}"),
        };
        match reason {
            Reason::Invalidated { position, .. } => positions.push(position.unwrap().get()),
            other => panic!("{other:?}"),
        }
    }
    positions
}

/// Contract: P44
#[test]
fn an_entry_ends_with_each_of_its_targets_before_the_invalidation_returns() {
    let lists = collection("row.lists");
    let elsewhere = Target::Tag {
        namespace: Namespace::new("shop").unwrap(),
        tag: Tag::new("front").unwrap(),
    };
    let ending = [
        (target(7), "its own"),
        (collection("row"), "the collection"),
        (team(3), "a tag of the value"),
        (elsewhere.clone(), "a tag in a namespace"),
        (lists.clone(), "what it depends on"),
        (namespace("default"), "the pool's namespace"),
        (Target::Everything, "everything"),
    ];
    let others = [
        target(8),
        collection("rows"),
        team(4),
        namespace("shop"),
        collection("row.other"),
    ];
    for (ending, what) in ending {
        let world = World::new();
        let clone = world.pool.clone();
        let options = InsertOptions::new()
            .depends_on(lists.clone())
            .tag_in("shop", "front");
        world
            .pool
            .insert_with(Row { team: 3, ..row(7, 1) }, options)
            .unwrap();
        for other in &others {
            if let Target::Namespace { namespace } = other
                && namespace.as_str() == "shop"
                && what == "a tag in a namespace"
            {
                continue;
            }
            if matches!(other, Target::Namespace { .. }) {
                // It holds one of the entry's tags.
                continue;
            }
            world.invalidate(other);
            assert_eq!(world.peek(7), Some(1), "{other:?} is none of its targets");
        }
        world.invalidate(&ending);
        assert_eq!((world.peek(7), clone.get(&7)), (None, None), "{what}");
        assert!(!world.pool.contains(&7), "{what}");
        assert_eq!(world.pool.get_many(&[7]), [None], "{what}");
        world.pool.insert(row(7, 2)).unwrap();
        assert_eq!(world.peek(7), Some(2), "{what}: what comes after it stays");
    }
}

/// Such an entry holds no pin.
///
/// Contract: P44 (partial: entries without tags)
#[test]
fn an_entry_without_tags_ends_with_what_every_entry_depends_on() {
    for (wide, what) in [
        (collection("row"), "the collection"),
        (namespace("default"), "the namespace"),
        (Target::Everything, "everything"),
    ] {
        let world = World::new();
        world.pool.insert(row(7, 1)).unwrap();
        assert_eq!(world.fetch(8, row(8, 1)), Some(1));
        for other in [collection("rows"), namespace("shop"), team(3)] {
            world.invalidate(&other);
        }
        assert_eq!((world.peek(7), world.peek(8)), (Some(1), Some(1)), "{what}");
        world.invalidate(&wide);
        assert_eq!((world.peek(7), world.pool.get(&8)), (None, None), "{what}");
        world.pool.insert(row(7, 2)).unwrap();
        assert_eq!(world.peek(7), Some(2), "{what}: what comes after it stays");
    }
}

/// Contract: P44 (partial: every pool of a fence, and pools without one)
#[test]
fn pools_of_one_fence_end_together_and_others_do_not() {
    let world = World::new();
    let fence = world.fence.clone();
    let lists: Pool<List> = Pool::builder().fence(fence).build().unwrap();
    let apart: Pool<List> = Pool::builder().build().unwrap();
    world.pool.insert(Row { team: 3, ..row(7, 1) }).unwrap();
    let options = || InsertOptions::new().depends_on(target(7)).depends_on(team(3));
    lists.insert_with(List { page: 1 }, options()).unwrap();
    apart.insert_with(List { page: 1 }, options()).unwrap();
    world.invalidate(&team(3));
    assert_eq!(
        (world.pool.get(&7).is_none(), lists.get(&1).is_none()),
        (true, true)
    );
    assert!(apart.contains(&1), "it has a fence of its own");
    lists.insert_with(List { page: 2 }, options()).unwrap();
    world.invalidate(&target(7));
    assert!(!lists.contains(&2), "a list depends on the row");
    lists.insert_with(List { page: 3 }, options()).unwrap();
    world.invalidate(&Target::Everything);
    assert!(!lists.contains(&3));
}

struct List {
    page: u64,
}

impl Entity for List {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "list"
    }

    fn id(&self) -> u64 {
        self.page
    }

    fn fields() {}
}

/// Contract: P4 (partial: two types on one fence)
#[test]
fn two_types_of_one_name_cannot_share_a_fence() {
    struct Other;
    impl Entity for Other {
        type Id = u64;
        type Fields = ();
        fn name() -> &'static str {
            "row"
        }
        fn id(&self) -> u64 {
            0
        }
        fn fields() {}
    }
    let world = World::new();
    let refused = Pool::<Other>::builder().fence(world.fence.clone()).build();
    let Err(BuildError::DuplicateName { name }) = refused else {
        panic!("{:?}", refused.map(|_| ()))
    };
    assert_eq!(name.as_str(), "row");
    let again = Pool::<Row>::builder().fence(world.fence.clone()).build();
    assert!(
        again.is_ok(),
        "another pool of the same type: {:?}",
        again.map(|_| ())
    );
    let World { fence, pool, .. } = world;
    drop((pool, again));
    assert!(
        Pool::<Other>::builder().fence(fence).build().is_ok(),
        "the name is free again"
    );
}

/// Contract: P45 (partial: all but the tag index)
#[test]
fn a_followed_source_removes_what_it_names() {
    let world = World::new();
    let source = Source::followed(&world.fence, 1);
    for id in 1..=6 {
        world
            .pool
            .insert(Row {
                team: id % 2 + 1,
                ..row(id, 1)
            })
            .unwrap();
    }
    let mut events = world.pool.events();
    source.commit(1, &[target(1), target(99)]);
    assert_eq!((world.pool.len(), world.peek(1)), (5, None));
    assert_eq!(positions(&mut events), [1]);
    source.commit(2, &[team(1)]);
    assert_eq!(
        (world.pool.len(), world.peek(2), world.peek(3)),
        (2, None, Some(1))
    );
    assert_eq!(positions(&mut events), [2, 2, 2]);
    source.commit(
        3,
        &[
            Target::key(Namespace::default(), "front").unwrap(),
            collection("other"),
            namespace("other"),
        ],
    );
    assert_eq!(world.pool.len(), 2, "none of them concerns the pool");
    source.commit(4, &[collection("row")]);
    assert_eq!((world.pool.len(), positions(&mut events)), (0, vec![4, 4]));
    for (position, wide) in [(5, namespace("default")), (6, Target::Everything)] {
        world.pool.insert(row(1, 2)).unwrap();
        assert!(events.try_recv().is_ok(), "the insert");
        source.commit(position, &[wide]);
        assert_eq!((world.pool.len(), positions(&mut events)), (0, vec![position]));
    }
}

/// Contract: P45 (partial: keys that cannot be read, and rows that come twice)
#[test]
fn regression_23_a_key_that_cannot_be_read_flushes_and_twice_is_once() {
    let world = World::new();
    let source = Source::followed(&world.fence, 1);
    world.pool.insert(row(1, 1)).unwrap();
    world.pool.insert(row(2, 1)).unwrap();
    let unreadable = Target::Entity {
        entity: EntityName::new("row").unwrap(),
        id: Key::new("seven").unwrap(),
    };
    source.commit(1, std::slice::from_ref(&unreadable));
    assert_eq!((world.peek(1), world.peek(2), world.pool.len()), (None, None, 0));

    // A second delivery of the same rows, to the sinks alone, changes nothing.
    world.pool.insert(row(1, 2)).unwrap();
    world.pool.insert(row(2, 2)).unwrap();
    source.commit(2, &[target(1)]);
    world.pool.insert(row(1, 3)).unwrap();
    let sequence = world.pool.sequence();
    for sink in world.fence.sinks() {
        drop(sink.apply(&[record(&target(1), 2)], Position::new(2)).unwrap());
    }
    assert_eq!((world.peek(1), world.pool.sequence()), (Some(3), sequence));
}

/// Contract: P45
#[test]
fn rows_that_are_applied_by_hand_raise_the_fence_first() {
    let world = World::new();
    let lists: Pool<List> = Pool::builder().fence(world.fence.clone()).build().unwrap();
    lists
        .insert_with(List { page: 1 }, InsertOptions::new().depends_on(target(7)))
        .unwrap();
    world.pool.insert(Row { team: 3, ..row(7, 1) }).unwrap();
    let (hand, load) = by_hand();
    let call = begun(world.pool.get_or_fetch(&8, load));
    let rows = [record(&target(7), 5), record(&target(8), 5)];
    world.pool.apply(&rows, Position::new(5));
    assert_eq!(world.peek(7), None);
    assert!(!lists.contains(&1), "other pools of the fence hear of it");
    hand.brings(row(8, 1));
    assert!(ended(call).unwrap().is_some());
    assert_eq!(world.peek(8), None, "the load in the air is fenced");

    // A tag ends what carries it, and leaves the rest.
    world.pool.insert(Row { team: 3, ..row(7, 2) }).unwrap();
    world.pool.insert(Row { team: 4, ..row(9, 2) }).unwrap();
    world.pool.apply(&[record(&team(3), 6)], Position::new(6));
    assert_eq!((world.pool.len(), world.peek(9)), (1, Some(2)));
    assert_eq!(world.pool.invalidate_tag(&Tag::new("team:4").unwrap()), 1);
    assert_eq!(world.pool.len(), 0);
}

/// Contract: P21 (partial: what a changed entry depends on), P44 (partial: entries that were changed)
#[test]
fn what_an_entry_was_given_outlives_its_value() {
    let change: [fn(&World); 2] = [
        |world| {
            world
                .pool
                .update(&7, |seen| Row {
                    team: 4,
                    ..row(7, seen.version + 1)
                })
                .unwrap();
        },
        |world| {
            let seen = world.pool.peek(&7).unwrap();
            world
                .pool
                .replace_if_same(
                    &seen,
                    Row {
                        team: 4,
                        ..row(7, seen.version + 1)
                    },
                )
                .unwrap();
        },
    ];
    for change in change {
        // A tag and a target, given beside the value's own tag, by a caller and by a loader.
        for is_loaded in [false, true] {
            for (ends, is_over) in [
                (tag("front"), true),
                (target(99), true),
                (team(4), true),
                (team(3), false),
            ] {
                let world = World::new();
                let first = Row { team: 3, ..row(7, 1) };
                if is_loaded {
                    world.fetch(7, Loaded::value(first).tag("front").depends_on(target(99)));
                } else {
                    let options = InsertOptions::new().tag("front").depends_on(target(99));
                    world.pool.insert_with(first, options).unwrap();
                }
                // More often than an entry may have targets: what is carried over does not pile up.
                for _ in 0..70 {
                    change(&world);
                }
                assert_eq!(world.peek(7), Some(71));
                world.invalidate(&ends);
                assert_eq!(world.peek(7).is_none(), is_over, "{ends:?}");
            }
        }
    }
}

/// A tag in the namespace `default`.
fn tag(name: &str) -> Target {
    Target::Tag {
        namespace: Namespace::default(),
        tag: Tag::new(name).unwrap(),
    }
}
