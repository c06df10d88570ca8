//! Ids, names and shapes: whom a pool asks, and when.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_core::limits::KEY_BYTES_MAX;
use larder_pool::{
    BatchErrorKind, BuildError, Entity, EntryState, FetchError, InsertError, InsertOptions, Namespace,
    OnConflict, Pool, Reason, Target, UpdateError, Watermarked,
};
use larder_testkit::{SimClock, SimRuntime};

use super::rows::{Row, World, by_others, fence, row};

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

/// Counts how often it is asked for its id.
struct Asked {
    id: u64,
}

impl Entity for Asked {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "asked"
    }

    fn id(&self) -> u64 {
        ASKED.set(ASKED.get() + 1);
        self.id
    }
}

/// Each value that is stored is asked once, whatever becomes of it later, and however it came. That it is asked before
/// any lock is seen where foreign code calls the pool back.
///
/// Contract: P1
#[test]
fn a_value_is_asked_for_its_id_once() {
    let runtime = SimRuntime::new(&SimClock::new());
    let pool = Pool::<Asked>::builder().capacity_entries(10).build().unwrap();
    let seen = pool.insert(Asked { id: 1 }).unwrap();
    assert_eq!(ASKED.replace(0), 1);
    let mut events = pool.events();
    let value = pool.replace_if_same(&seen, Asked { id: 1 }).unwrap();
    pool.insert_with(Asked { id: 2 }, InsertOptions::new().tag("x").pin(pool.pin(&2)))
        .unwrap();
    pool.update(&2, |_| Asked { id: 2 }).unwrap();
    let batch = pool
        .batch()
        .insert(Asked { id: 3 })
        .insert(Asked { id: 4 })
        .remove(&1);
    batch.commit().unwrap();
    pool.insert_many([Asked { id: 5 }, Asked { id: 6 }]).unwrap();
    let load = |_| async { Ok::<_, FetchError>(Asked { id: 7 }) };
    runtime.block_on(pool.get_or_fetch(&7, load)).unwrap();
    assert_eq!(ASKED.replace(0), 8, "eight values came in");

    // Whatever happens to them now is done by the ids that were kept.
    let _ = (
        pool.get(&3),
        pool.get_many(&[3, 4]),
        pool.explain(&5),
        pool.peek(&6),
    );
    (20..28).for_each(|id| drop(pool.insert(Asked { id })));
    assert_eq!(
        ASKED.replace(0),
        8,
        "eight came in, and others were evicted for them"
    );
    pool.retain(|asked| asked.id > 21);
    pool.remove(&22);
    pool.clear(Reason::Manual);
    while events.try_recv().is_ok() {}
    drop((value, seen));
    assert_eq!(ASKED.get(), 0);
}

thread_local! {
    static RIVALRY: RefCell<Option<Pool<Rivalled>>> = const { RefCell::new(None) };
}

/// Counts how often it is asked for its id; when it is first compared, another comes in before it.
struct Rivalled {
    id: u64,
    version: u64,
}

impl Entity for Rivalled {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "rivalled"
    }

    fn id(&self) -> u64 {
        ASKED.set(ASKED.get() + 1);
        self.id
    }
}

impl Watermarked for Rivalled {
    type Watermark = u64;

    fn watermark(&self) -> u64 {
        if let Some(pool) = RIVALRY.take() {
            pool.insert(Rivalled { id: 1, version: 5 }).unwrap();
        }
        self.version
    }
}

/// Contract: P1
#[test]
fn a_batch_that_is_tried_again_asks_nothing_again() {
    let builder = Pool::<Rivalled>::builder().on_conflict(OnConflict::keep_newest());
    let pool = builder.build().unwrap();
    pool.insert(Rivalled { id: 1, version: 1 }).unwrap();
    ASKED.set(0);
    RIVALRY.set(Some(pool.clone()));
    let newer = Rivalled { id: 1, version: 9 };
    let stats = pool.insert_many([newer, Rivalled { id: 2, version: 1 }]).unwrap();
    assert_eq!((stats.inserted, stats.updated, stats.sequence), (1, 1, 3));
    assert!(RIVALRY.take().is_none(), "another came in between");
    assert_eq!(ASKED.get(), 3, "the two of the batch, and the other");
}

/// Never says the same id twice.
struct Fickle;

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Entity for Fickle {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "fickle"
    }

    fn id(&self) -> u64 {
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
}

/// Contract: P1
#[test]
fn a_type_that_breaks_the_rule_is_kept_under_a_wrong_id_and_harms_nothing() {
    let pool = Pool::<Fickle>::builder().capacity_entries(100).build().unwrap();
    for _ in 0..250 {
        pool.insert(Fickle).unwrap();
        assert!(pool.len() <= 100);
    }
    let live: Vec<u64> = (0..250).filter(|id| pool.contains(id)).collect();
    assert_eq!(
        (live.len(), pool.len()),
        (100, 100),
        "each is found under what it said"
    );
    assert!(matches!(
        pool.update(&live[0], |_| Fickle),
        Err(UpdateError::IdChanged)
    ));
    pool.insert_many([Fickle, Fickle]).unwrap();
    let nameless = pool.sample(10);
    assert_eq!(nameless.len(), 10);
    assert!(
        nameless.iter().all(|entry| entry.key.is_none()),
        "none is where it says"
    );
    for id in 0..1_000 {
        assert_eq!(pool.contains(&id), pool.remove(&id).is_some());
    }
    assert_eq!((pool.len(), pool.weight_bytes()), (0, 0));
}

/// `Row` has neither `Clone` nor `Debug` nor serde, which all tests of this folder live without.
///
/// Contract: P2 (partial: not queries)
#[test]
fn one_id_has_one_live_value() {
    let mut world = World::new();
    let first = world.pool.insert(row(7, 1)).unwrap();
    for _ in 0..3 {
        assert!(Arc::ptr_eq(&first, &world.pool.get(&7).unwrap()));
    }
    let second = world.pool.insert(row(7, 2)).unwrap();
    assert!(Arc::ptr_eq(&second, &world.pool.get(&7).unwrap()));
    world
        .pool
        .batch()
        .insert(row(7, 3))
        .insert(row(7, 4))
        .commit()
        .unwrap();
    assert_eq!((world.peek(7), world.pool.len()), (Some(4), 1));
    assert_eq!(world.told().len(), 3);
    assert_eq!(
        (first.version, second.version),
        (1, 2),
        "who holds them keeps them"
    );
}

/// A list of rows: its id holds what it was asked with.
#[derive(larder_pool::Entity)]
struct Page {
    id: (u32, String, u16),
    rows: Vec<u64>,
}

/// Contract: P3 (partial: not the keys of a second tier)
#[test]
fn a_namespace_ends_a_pool_and_does_not_part_ids() {
    let clock = SimClock::new();
    let fence = fence(&clock);
    let of = |namespace: &'static str| {
        let pool = Pool::<Row>::builder().fence(fence.clone()).namespace(namespace);
        pool.build().unwrap()
    };
    let (blue, red) = (of("blue"), of("red"));
    assert_eq!(blue.config().namespace, Some(Namespace::new("blue").unwrap()));
    let flush = |namespace| {
        let namespace = Namespace::new(namespace).unwrap();
        fence.invalidate(&Target::Namespace { namespace }, by_others());
    };
    for pool in [&blue, &red] {
        pool.insert(row(7, 1)).unwrap();
    }
    flush("blue");
    assert_eq!((blue.contains(&7), red.contains(&7)), (false, true));
    flush("default");
    assert!(red.contains(&7), "its namespace is another");
    // The id is the same in both: what ends the row ends it in both.
    blue.insert(row(7, 2)).unwrap();
    fence.invalidate(&super::rows::target(7), by_others());
    assert_eq!((blue.contains(&7), red.contains(&7)), (false, false));
}

/// Contract: P3 (partial: other shapes)
#[test]
fn a_page_is_an_entity_whose_id_holds_what_was_asked_for() {
    let pages = Pool::<Page>::builder().build().unwrap();
    for tenant in 1..=2 {
        for number in 0..2_u16 {
            let id = (tenant, "open".to_owned(), number);
            let rows = vec![u64::from(tenant), u64::from(number)];
            pages.insert(Page { id, rows }).unwrap();
        }
    }
    let page = pages.get(&(2, "open".to_owned(), 1)).unwrap();
    assert_eq!((page.rows.as_slice(), pages.len()), ([2, 1].as_slice(), 4));
    assert!(
        pages.get(&(3, "open".to_owned(), 1)).is_none(),
        "tenants do not mix"
    );
}

/// Says that it is a row, and is none.
struct Impostor {
    id: u64,
}

impl Entity for Impostor {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        Row::name()
    }

    fn id(&self) -> u64 {
        self.id
    }
}

/// Contract: P4 (partial: on a fence, not in a registry or a tier)
#[test]
fn two_types_of_one_name_are_refused_on_one_fence() {
    let clock = SimClock::new();
    let fence = fence(&clock);
    let rows = Pool::<Row>::builder().fence(fence.clone()).build().unwrap();
    let more = Pool::<Row>::builder().fence(fence.clone()).build().unwrap();
    let impostor = || Pool::<Impostor>::builder().fence(fence.clone()).build();
    let Err(BuildError::DuplicateName { name }) = impostor() else {
        panic!("two types of one name")
    };
    assert_eq!(name.as_str(), "row");
    drop(rows);
    assert!(impostor().is_err(), "one pool of rows is left");
    drop(more);
    let free = impostor().unwrap();
    free.insert(Impostor { id: 1 }).unwrap();
    assert!(Pool::<Row>::builder().fence(fence.clone()).build().is_err());
    assert!(
        Pool::<Row>::builder().build().is_ok(),
        "another fence is another world"
    );
}

#[derive(larder_pool::Entity)]
struct Named {
    id: String,
}

/// The longest id is stored and found; one byte more is refused by whatever would store or load it, and reads find
/// nothing. (The bytes themselves are tested in `ids`.)
///
/// Contract: P5
#[test]
fn an_id_that_is_too_long_is_refused_and_not_found() {
    let runtime = SimRuntime::new(&SimClock::new());
    let pool = Pool::<Named>::builder().build().unwrap();
    let longest = "x".repeat(KEY_BYTES_MAX);
    pool.insert(Named { id: longest.clone() }).unwrap();
    assert!(pool.contains(longest.as_str()) && pool.remove(longest.as_str()).is_some());

    let id = "x".repeat(KEY_BYTES_MAX + 1);
    let value = Arc::new(Named { id: id.clone() });
    let options = || InsertOptions::new().tag("x");
    let refused = [
        pool.insert(Arc::clone(&value)),
        pool.insert_with(Arc::clone(&value), options()),
        pool.replace_if_same(&value, Arc::clone(&value)),
    ];
    for refused in refused {
        let Err(InsertError::IdTooLong { max, value: back, .. }) = refused else {
            panic!("it was stored")
        };
        assert!(max == KEY_BYTES_MAX && Arc::ptr_eq(&back, &value));
    }
    let error = pool.insert_many([Arc::clone(&value)]).unwrap_err();
    let BatchErrorKind::Refused { error, .. } = error.kind() else {
        panic!("{error}")
    };
    assert!(matches!(
        error,
        InsertError::IdTooLong {
            max: KEY_BYTES_MAX,
            ..
        }
    ));
    let load = |_| async { Ok::<_, FetchError>(value) };
    let loaded = runtime.block_on(pool.get_or_fetch(&id, load));
    assert!(
        matches!(loaded, Err(FetchError::IdTooLong { max: KEY_BYTES_MAX })),
        "it was loaded"
    );

    let id = id.as_str();
    assert!(pool.get(id).is_none() && pool.peek(id).is_none() && !pool.contains(id));
    assert!(pool.get_many([id])[0].is_none() && pool.remove(id).is_none());
    assert!(!pool.invalidate(id, Reason::Deleted) && pool.update(id, |_| unreachable!()).unwrap().is_none());
    let explained = pool.explain(id);
    assert_eq!((explained.key, explained.state), (None, EntryState::Absent));
    assert_eq!(pool.batch().remove(id).commit().unwrap().removed, 0);
    assert!(pool.is_empty());
}
