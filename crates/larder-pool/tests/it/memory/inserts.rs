//! What an insert refuses, and what may be said of one.

use std::sync::Arc;
use std::time::Duration;

use larder_core::{Cursor, EntityName, Epoch, Fence, Head, Lane, Namespace, Position, SourceId, Tag};
use larder_pool::{
    AsOf, Capacity, EntryState, InsertError, InsertOptions, OnConflict, Origin, TAGS_MAX, Target,
};

use super::rows::{Row, Told, World, by_others, row, target, team};

const SECOND: Duration = Duration::from_secs(1);

/// The refusal's name, if exactly this value came back with it.
fn refused(stored: Result<Arc<Row>, InsertError<Row>>, given: &Arc<Row>) -> &'static str {
    let error = stored.err().expect("a refusal");
    let name = match &error {
        InsertError::Conflict { resident, .. } => {
            assert_eq!((resident.id, resident.version), (given.id, 1));
            "conflict"
        }
        InsertError::TooHeavy { weight, capacity, .. } => {
            assert!(weight > capacity, "{weight} is more than {capacity}");
            "too heavy"
        }
        InsertError::ZeroTtl { .. } => "zero",
        InsertError::Fenced { .. } => "fenced",
        InsertError::TooManyTags { max, .. } => {
            assert_eq!(*max, TAGS_MAX);
            "tags"
        }
        InsertError::BadTag { .. } => "bad tag",
        InsertError::Moved { resident, .. } => {
            assert_eq!(resident.as_ref().map(|resident| resident.version), Some(1));
            "moved"
        }
        other => panic!("{other}"),
    };
    assert!(!error.to_string().is_empty());
    assert!(
        Arc::ptr_eq(&error.into_value().unwrap(), given),
        "{name}: the value comes back"
    );
    name
}

/// A value that is too heavy by its version.
fn by_version(row: &Row) -> usize {
    usize::try_from(row.version).unwrap()
}

/// Contract: P15 (partial: not tiers, encoded values; ids that are too long in `identity`)
#[test]
fn what_is_refused_comes_back_and_changes_nothing() {
    let mut world = World::with(|pool| {
        let pool = pool.capacity_bytes(10_000).weigher(by_version);
        pool.on_conflict(OnConflict::Reject)
    });
    let resident = world.pool.insert(row(1, 1)).unwrap();
    let pin = world.pool.pin(&2);
    world.fence.invalidate(&target(2), by_others());
    let (sequence, bytes) = (world.pool.sequence(), world.pool.weight_bytes());
    assert_eq!(world.told().len(), 1);

    let new = InsertOptions::new;
    let other = Arc::new(row(1, 2));
    assert_eq!(refused(world.pool.insert(Arc::clone(&other)), &other), "conflict");
    assert_eq!(
        refused(world.pool.insert_with_ttl(Arc::clone(&other), SECOND), &other),
        "conflict"
    );
    assert_eq!(
        refused(world.pool.replace_if_same(&other, Arc::clone(&other)), &other),
        "moved"
    );
    let fresh = Arc::new(row(2, 1));
    let insert = |options| refused(world.pool.insert_with(Arc::clone(&fresh), options), &fresh);
    assert_eq!(insert(new().time_to_live(Duration::ZERO)), "zero");
    assert_eq!(insert(new().time_to_idle(Duration::ZERO)), "zero");
    assert_eq!(insert(new().pin(pin)), "fenced");
    assert_eq!(
        insert((0..65).fold(new(), |options, tag| options.tag(format!("t{tag}")))),
        "tags"
    );
    assert_eq!(insert(new().tag("")), "bad tag");
    let heavy = Arc::new(row(3, 20_000));
    assert_eq!(
        refused(world.pool.insert(Arc::clone(&heavy)), &heavy),
        "too heavy"
    );

    assert_eq!(
        (world.pool.sequence(), world.pool.weight_bytes()),
        (sequence, bytes)
    );
    assert_eq!((world.told(), world.live(10)), (vec![], vec![(1, 1)]));
    assert!(Arc::ptr_eq(&resident, &world.pool.get(&1).unwrap()));
}

/// The older value of an id must not outlive one that is too heavy, even where that is refused.
///
/// Contract: P15 (partial: too heavy), P41 (partial: inserts)
#[test]
fn what_is_too_heavy_takes_the_place_of_what_it_replaces_and_is_not_kept() {
    let mut world = World::with(|pool| pool.capacity_bytes(1_000).weigher(by_version));
    world.pool.insert(row(1, 1)).unwrap();
    world.pool.insert(row(2, 1)).unwrap();
    world.told();
    let heavy = Arc::new(row(1, 2_000));
    assert_eq!(
        refused(world.pool.insert(Arc::clone(&heavy)), &heavy),
        "too heavy"
    );
    assert_eq!(
        (world.told(), world.live(9)),
        (vec![Told::Removed(1, "superseded")], vec![(2, 1)])
    );
    world.pool.set_capacity(Capacity::of_bytes(3_000)).unwrap();
    world.pool.insert(heavy).unwrap();
    assert_eq!(world.live(9), [(1, 2_000), (2, 1)]);
}

/// Contract: P16
#[test]
fn an_own_time_to_live_is_instead_of_the_default() {
    let world = World::with(|pool| pool.time_to_live(Duration::from_secs(10)));
    let pool = &world.pool;
    pool.insert(row(1, 1)).unwrap();
    pool.insert_with_ttl(row(2, 1), SECOND).unwrap();
    pool.insert_with_ttl(row(3, 1), Duration::from_secs(20)).unwrap();
    pool.insert_with_ttl(row(4, 1), Duration::MAX).unwrap();
    pool.batch()
        .insert_with_ttl(row(5, 1), SECOND)
        .insert_with_ttl(row(6, 1), Duration::MAX)
        .commit()
        .unwrap();
    let zero = Arc::new(row(7, 1));
    let stored = pool.insert_with_ttl(Arc::clone(&zero), Duration::ZERO);
    assert_eq!(refused(stored, &zero), "zero");
    assert!(
        pool.batch()
            .insert_with_ttl(zero, Duration::ZERO)
            .commit()
            .is_err()
    );

    let live = || (1..=7).filter(|id| pool.contains(id)).collect::<Vec<u64>>();
    assert_eq!(live(), [1, 2, 3, 4, 5, 6]);
    world.clock.advance(SECOND - Duration::from_nanos(1_000));
    assert_eq!(live(), [1, 2, 3, 4, 5, 6]);
    world.clock.advance(Duration::from_nanos(1_000));
    assert_eq!(live(), [1, 3, 4, 6], "the end of its time is no longer within it");
    world.clock.advance(Duration::from_secs(9));
    assert_eq!(live(), [3, 4, 6]);
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(live(), [4, 6]);
    world.clock.advance(Duration::from_secs(90 * 365 * 24 * 3_600));
    assert_eq!(live(), [4, 6], "never is never");
    assert_eq!(pool.explain(&4).resident.unwrap().time_left, None);
}

/// Contract: P17 (partial: times, tags, what it depends on, the rule)
#[test]
fn an_insert_may_say_how_long_under_what_and_by_which_rule() {
    let mut world = World::new();
    let users = Target::Collection {
        name: EntityName::new("user").unwrap().collection().lists(),
    };
    let new = InsertOptions::new;
    let insert = |world: &World, id, options| drop(world.pool.insert_with(row(id, 1), options).unwrap());
    insert(&world, 1, new().time_to_live(SECOND));
    insert(&world, 2, new().time_to_idle(SECOND));
    insert(&world, 3, new().tag("front"));
    insert(&world, 4, new().tag_in("blue", "front"));
    insert(&world, 5, new().depends_on(users.clone()));
    insert(&world, 6, new().depends_on(target(99)));
    let tagged = Row { team: 3, ..row(7, 1) };
    world.pool.insert_with(tagged, new().tag("front")).unwrap();
    assert_eq!(
        world.pool.explain(&7).resident.unwrap().tags.len(),
        2,
        "its own, and the one given"
    );

    world.clock.advance(Duration::from_millis(900));
    assert!(world.pool.get(&2).is_some());
    world.clock.advance(Duration::from_millis(900));
    assert_eq!(world.live(9).len(), 6, "the one expired, the other was used");
    assert_eq!(world.pool.explain(&1).state, EntryState::Expired);
    world.clock.advance(Duration::from_millis(100));
    assert_eq!(world.pool.explain(&2).state, EntryState::Idle);

    let ends = |target: &Target, left: &[u64]| {
        world.fence.invalidate(target, by_others());
        let live: Vec<u64> = world.live(9).into_iter().map(|(id, _)| id).collect();
        assert_eq!(live, left, "{target:?}");
    };
    let tag = |namespace: &str| Target::Tag {
        namespace: Namespace::new(namespace).unwrap(),
        tag: Tag::new("front").unwrap(),
    };
    ends(&tag("green"), &[3, 4, 5, 6, 7]);
    ends(&tag("blue"), &[3, 5, 6, 7]);
    ends(&tag("default"), &[5, 6]);
    ends(&users, &[6]);
    ends(&target(99), &[]);

    // The rule of one insert is not that of the pool.
    world.pool.clear(larder_pool::Reason::Manual);
    world.told();
    insert(&world, 1, new());
    let other = Arc::new(row(1, 2));
    let stored = world
        .pool
        .insert_with(Arc::clone(&other), new().on_conflict(OnConflict::Reject));
    assert_eq!(refused(stored, &other), "conflict");
    world
        .pool
        .insert_with(other, new().on_conflict(OnConflict::Update))
        .unwrap();
    let older = world
        .pool
        .insert_with(row(1, 1), new().on_conflict(OnConflict::keep_newest()));
    assert_eq!(older.unwrap().version, 2);
    assert_eq!(world.told(), [Told::Inserted(1, 1), Told::Updated(1, 1, 2)]);
}

/// A tag of the value's own ends it too, also if tags were given.
///
/// Contract: P17 (partial: tags beside the value's own)
#[test]
fn as_many_tags_as_an_entry_may_have() {
    let world = World::new();
    let tags = |count| {
        (1..count).fold(InsertOptions::new(), |options, tag| {
            options.tag(format!("t{tag}"))
        })
    };
    let tagged = || Arc::new(Row { team: 3, ..row(1, 1) });
    world.pool.insert_with(tagged(), tags(64)).unwrap();
    world.fence.invalidate(&team(3), by_others());
    assert!(!world.pool.contains(&1));
    let value = tagged();
    let stored = world
        .pool
        .insert_with(Arc::clone(&value), tags(64).depends_on(target(9)));
    assert_eq!(refused(stored, &value), "tags", "other targets count, too");
}

/// What happened to the row since a caller took a pin, and whether what it read then may be stored.
type Since = (&'static str, bool, fn(&World));

const SINCE: [Since; 14] = [
    ("nothing", true, |_| {}),
    ("a read", true, |world| drop(world.pool.get(&1))),
    ("another id's insert", true, |world| {
        drop(world.pool.insert(row(2, 1)))
    }),
    ("another id's removal", true, |world| drop(world.pool.remove(&3))),
    ("an insert", false, |world| drop(world.pool.insert(row(1, 7)))),
    ("an insert, and it left again", false, |world| {
        drop(world.pool.insert_with_ttl(row(1, 7), SECOND));
        world.clock.advance(SECOND);
        world.pool.sweep(9);
    }),
    ("an update", false, |world| {
        drop(world.pool.update(&1, |_| row(1, 7)))
    }),
    ("a removal", false, |world| drop(world.pool.remove(&1))),
    ("a batch", false, |world| {
        drop(world.pool.batch().insert(row(1, 7)).commit())
    }),
    ("a batch that removes", false, |world| {
        drop(world.pool.batch().remove(&1).commit())
    }),
    ("clear", false, |world| {
        world.pool.clear(larder_pool::Reason::Manual);
    }),
    ("retain", false, |world| {
        world.pool.retain(|row| row.id != 1);
    }),
    ("an invalidation", false, |world| {
        world.fence.invalidate(&target(1), by_others());
    }),
    ("everything", false, |world| {
        world.fence.invalidate(&Target::Everything, by_others());
    }),
];

/// Contract: P17 (partial: pins)
#[test]
fn who_reads_by_itself_stores_only_what_nothing_has_overtaken() {
    for (what, is_stored, since) in SINCE {
        for is_tagged in [false, true] {
            let mut world = World::new();
            for id in [1, 3] {
                world.pool.insert(row(id, 1)).unwrap();
            }
            let pin = world.pool.pin(&1);
            since(&world);
            let before = (world.live(9), world.pool.sequence());
            world.told();
            let mut options = InsertOptions::new().pin(pin);
            if is_tagged {
                options = options.tag("front");
            }
            let value = Arc::new(row(1, 5));
            let stored = world.pool.insert_with(Arc::clone(&value), options);
            if is_stored {
                assert!(Arc::ptr_eq(&stored.unwrap(), &value), "{what}");
                assert_eq!((world.peek(1), world.told().len()), (Some(5), 1), "{what}");
            } else {
                assert_eq!(refused(stored, &value), "fenced", "{what}");
                assert_eq!((world.live(9), world.pool.sequence()), before, "{what}");
                assert_eq!(world.told(), [], "{what}");
            }
        }
    }
}

/// A pin of another id, or of another pool's fence, does not stand for this one's.
///
/// Contract: P17 (partial: foreign pins)
#[test]
fn a_pin_of_another_fence_is_refused() {
    let (world, other) = (World::new(), World::new());
    let value = Arc::new(row(1, 1));
    let options = InsertOptions::new().pin(other.pool.pin(&1));
    assert_eq!(
        refused(world.pool.insert_with(Arc::clone(&value), options), &value),
        "fenced"
    );
}

const SOURCE: SourceId = SourceId::new(7);
const EPOCH: Epoch = Epoch::new(1);

/// A source whose invalidations this node follows up to a position.
fn followed(fence: &Fence) -> Lane {
    let lane = fence.lane(SOURCE).unwrap();
    let cursor = Cursor::ordered(SOURCE, EPOCH, Position::new(1), 0);
    lane.begin(&Head::new(cursor, Vec::new(), AsOf::new(SOURCE, EPOCH, 0)));
    lane
}

/// What was read from a copy is stored only if the copy has come as far as the last invalidation.
///
/// Contract: P17
#[test]
fn what_comes_from_a_copy_must_include_the_last_invalidation() {
    let world = World::new();
    let lane = followed(&world.fence);
    let point = |at| AsOf::new(SOURCE, EPOCH, at);
    let cause = lane.cause(Position::new(5), Some(point(5)), larder_core::Reason::default());
    world.fence.invalidate(&target(1), cause);
    let insert = |id: u64, at: AsOf| {
        let value = Arc::new(row(id, 1));
        let stored = world
            .pool
            .insert_with(Arc::clone(&value), InsertOptions::new().as_of(at));
        match stored {
            Ok(_) => "stored",
            refusal => refused(refusal, &value),
        }
    };
    assert_eq!(insert(1, point(4)), "fenced");
    assert!(world.pool.is_empty());
    assert_eq!(
        insert(2, point(4)),
        "stored",
        "nothing of this row was invalidated"
    );
    assert_eq!(
        insert(1, AsOf::new(SourceId::new(8), EPOCH, 9)),
        "fenced",
        "nobody follows that source"
    );
    assert_eq!(insert(1, point(5)), "stored");
    let resident = world.pool.explain(&1).resident.unwrap();
    assert_eq!(
        (resident.as_of, resident.origin),
        (Some(point(5)), Origin::Inserted)
    );
}
