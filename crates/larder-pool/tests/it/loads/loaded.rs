//! What loaders bring, and the pool's own loader.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_core::Runtime as _;
use larder_pool::{
    Entity, Event, FetchError, FetchOptions, FillRejection, LoadContext, LoadManyContext, Loaded, Loader,
    Origin, Pool,
};
use larder_testkit::SimClock;

use super::hand::{Oops, Row, World, begun, by_hand, ended, never, row, target, team, waits};

const SECOND: Duration = Duration::from_secs(1);

/// Contract: P54
#[test]
fn a_value_of_another_id_is_nobodys() {
    let world = World::new();
    let (hand, load) = by_hand();
    let calls = [
        begun(world.pool.get_or_fetch(&7, load)),
        begun(world.pool.get_or_fetch(&7, never)),
    ];
    hand.brings(row(8, 1));
    for call in calls {
        match ended(call) {
            Err(FetchError::IdMismatch { name, .. }) => assert_eq!(name.as_str(), "row"),
            other => panic!("{other:?}"),
        }
    }
    let options = FetchOptions::new().bypass();
    let alone = world
        .pool
        .get_or_fetch_with(&7, options, |_| async { Ok::<_, Oops>(row(8, 1)) });
    assert!(matches!(
        ended(Box::pin(alone)),
        Err(FetchError::IdMismatch { .. })
    ));
    assert_eq!((world.pool.len(), world.pool.stats().inserts), (0, 0));
}

/// Contract: P58
#[test]
fn a_load_is_stored_once() {
    let world = World::with(|pool| pool.time_to_live(10 * SECOND));
    let mut events = world.pool.events();
    let (hand, load) = by_hand();
    let calls: Vec<_> = std::iter::once(begun(world.pool.get_or_fetch(&7, load)))
        .chain((0..5).map(|_| begun(world.pool.get_or_fetch(&7, never))))
        .collect();
    let before = world.pool.sequence();
    world.runtime.advance(3 * SECOND);
    hand.brings(row(7, 1));
    for call in calls {
        assert!(ended(call).unwrap().is_some());
    }
    let Ok(Event::Inserted { value, sequence, .. }) = events.try_recv() else {
        panic!("one event")
    };
    assert_eq!((value.version, sequence), (1, before + 1));
    assert!(events.try_recv().is_err(), "and no other");
    world.runtime.advance(10 * SECOND - Duration::from_nanos(1));
    assert_eq!(world.peek(7), Some(1), "its time begins when it is stored");
    world.runtime.advance(Duration::from_nanos(1));
    assert_eq!(world.peek(7), None);
}

/// Contract: P58, P59 (partial: `ttl` and `idle`)
#[test]
fn a_loader_may_say_how_long() {
    let world = World::with(|pool| pool.time_to_live(10 * SECOND));
    world.fetch(1, Loaded::value(row(1, 1)).ttl(30 * SECOND));
    world.fetch(2, Loaded::value(row(2, 1)).ttl(SECOND));
    world.fetch(3, Loaded::value(row(3, 1)).idle(2 * SECOND));
    world.fetch(4, row(4, 1));
    let after = |seconds: u32| {
        world.runtime.advance(seconds * SECOND);
        [1, 2, 3, 4].map(|id| world.pool.peek(&id).is_some())
    };
    assert_eq!(after(1), [true, false, true, true]);
    assert_eq!(after(1), [true, false, false, true]);
    assert_eq!(after(8), [true, false, false, false]);
    assert_eq!(after(20), [false; 4]);
    // Nothing lives for no time at all.
    assert_eq!(
        world.fetch(5, Loaded::value(row(5, 1)).ttl(Duration::ZERO)),
        Some(1)
    );
    assert_eq!(world.peek(5), None);
    assert_eq!(world.pool.stats().rejected_fills.of(FillRejection::ZeroTtl), 1);
}

/// Contract: P59
#[test]
fn a_loader_says_what_its_value_depends_on_and_how_it_is_kept() {
    let world = World::new();
    // A plain value, an `Arc`, and options of both.
    let shared = Arc::new(row(1, 1));
    assert_eq!(world.fetch(1, Arc::clone(&shared)), Some(1));
    assert!(Arc::ptr_eq(&world.pool.peek(&1).unwrap(), &shared));
    assert_eq!(world.fetch(2, Some(row(2, 1))), Some(1));
    assert_eq!(world.fetch(3, Some(Arc::new(row(3, 1)))), Some(1));
    assert_eq!(
        (world.fetch(4, None::<Row>), world.fetch(4, None::<Arc<Row>>)),
        (None, None)
    );

    world.fetch(
        5,
        Loaded::value(Row { team: 3, ..row(5, 1) })
            .tag("front")
            .depends_on(target(99)),
    );
    for (ends, what) in [(team(3), "the value's own"), (target(99), "a target")] {
        assert_eq!(world.peek(5), Some(1), "{what}");
        world.invalidate(&ends);
        assert_eq!(world.peek(5), None, "{what}");
        world.fetch(
            5,
            Loaded::value(Row { team: 3, ..row(5, 1) })
                .tag("front")
                .depends_on(target(99)),
        );
    }
    assert_eq!(
        world
            .pool
            .invalidate_tag(&larder_pool::Tag::new("front").unwrap()),
        1
    );

    let (hand, load) = by_hand();
    let calls = [
        begun(world.pool.get_or_fetch(&6, load)),
        begun(world.pool.get_or_fetch(&6, never)),
    ];
    hand.brings(Loaded::value(row(6, 1)).do_not_store());
    for call in calls {
        assert_eq!(ended(call).unwrap().unwrap().version, 1);
    }
    assert_eq!(world.peek(6), None);
    let rejected = world.pool.stats().rejected_fills;
    assert_eq!((rejected.of(FillRejection::DoNotStore), rejected.total()), (1, 1));
}

/// Contract: P59 (partial: what is too much of it)
#[test]
fn a_value_that_cannot_be_kept_is_returned_all_the_same() {
    let world = World::with(|pool| {
        pool.capacity_bytes(5_000)
            .weigher(|row: &Row| usize::try_from(row.version).unwrap())
    });
    let tags = (0..65).map(|tag| format!("tag-{tag}"));
    assert_eq!(world.fetch(1, Loaded::value(row(1, 1)).tags(tags)), Some(1));
    assert_eq!(
        world.fetch(2, Loaded::value(row(2, 1)).tag("no\u{0}tag")),
        Some(1)
    );
    assert_eq!(world.fetch(3, row(3, 1_000_000)), Some(1_000_000));
    assert_eq!(world.pool.len(), 0);
    let rejected = world.pool.stats().rejected_fills;
    let reasons = [
        FillRejection::TooManyTargets,
        FillRejection::BadTag,
        FillRejection::TooHeavy,
    ];
    assert_eq!(
        reasons.map(|reason| rejected.of(reason)),
        [1, 1, 1],
        "{rejected:?}"
    );
}

/// Contract: P59 (partial: `unchanged`)
#[test]
fn a_loader_may_find_that_nothing_has_changed() {
    let world = World::with(|pool| pool.time_to_live(10 * SECOND).stale_on_error(60 * SECOND));
    world.fetch(7, Loaded::value(Row { team: 3, ..row(7, 1) }).tag("front"));
    let first = world.pool.peek(&7).unwrap();
    world.runtime.advance(11 * SECOND);
    let call = world.pool.get_or_fetch(&7, |load| async move {
        assert_eq!(load.previous.unwrap().version, 1);
        Ok::<_, Oops>(Loaded::unchanged())
    });
    assert!(Arc::ptr_eq(
        &world.runtime.block_on(call).unwrap().unwrap(),
        &first
    ));
    assert!(
        Arc::ptr_eq(&world.pool.peek(&7).unwrap(), &first),
        "it is kept anew"
    );
    // It depends on what it depended on.
    assert_eq!(
        world
            .pool
            .invalidate_tag(&larder_pool::Tag::new("front").unwrap()),
        1
    );

    // What was invalidated is no previous value, and then there is nothing that has not changed.
    world.fetch(7, row(7, 2));
    world.invalidate(&target(7));
    let call = world.pool.get_or_fetch(&7, |load| async move {
        assert!(load.previous.is_none());
        Ok::<_, Oops>(Loaded::unchanged())
    });
    let answer = world.runtime.block_on(call);
    assert!(matches!(answer, Err(FetchError::NothingToRenew)), "{answer:?}");
}

/// Contract: P62 (partial: what is known of an answer)
#[test]
fn an_answer_says_where_it_comes_from() {
    let world = World::with(|pool| pool.time_to_live(10 * SECOND).stale_on_error(60 * SECOND));
    let ask = |id: u64| {
        let call = world.pool.get_or_fetch_with(&id, FetchOptions::new(), |_| async {
            Err::<Row, _>(Oops("gone"))
        });
        world.runtime.block_on(call).unwrap()
    };
    world.pool.insert(row(1, 1)).unwrap();
    world.fetch(2, row(2, 1));
    world.runtime.advance(4 * SECOND);
    let told = [1, 2].map(|id| {
        let fetched = ask(id);
        (fetched.origin, fetched.age, fetched.stale, fetched.degraded)
    });
    assert_eq!(
        told,
        [
            (Origin::Inserted, 4 * SECOND, false, false),
            (Origin::Loaded, 4 * SECOND, false, false)
        ]
    );
    world.runtime.advance(7 * SECOND);
    let fetched = ask(2);
    assert_eq!(
        (fetched.value.unwrap().version, fetched.age, fetched.stale),
        (1, 11 * SECOND, true)
    );
}

/// Rows of a table, and how they were asked for.
#[derive(Clone, Default)]
struct Table {
    singles: Arc<AtomicUsize>,
    batches: Arc<Mutex<Vec<usize>>>,
}

impl Loader<Row> for Table {
    type Error = Oops;

    async fn load(&self, load: LoadContext<Row>) -> Result<Loaded<Row>, Oops> {
        self.singles.fetch_add(1, Ordering::SeqCst);
        Ok(found(load.id))
    }

    async fn load_many(&self, load: LoadManyContext<Row>) -> Result<Vec<Loaded<Row>>, Oops> {
        self.batches.lock().unwrap().push(load.ids.len());
        if load.ids.contains(&13) {
            return Err(Oops("thirteen"));
        }
        // In another order, and without those that are not there.
        let there = load.ids.into_iter().rev().filter(|id| *id < 100);
        Ok(there.map(found).collect())
    }
}

/// There are rows below 100.
fn found(id: u64) -> Loaded<Row> {
    (id < 100).then(|| row(id, id * 10)).into()
}

/// Contract: P62 (partial: a loader of the pool's own)
#[test]
fn a_pool_may_have_a_loader_of_its_own() {
    let table = Table::default();
    let world = World::with(|pool| pool.loader(table.clone()));
    let fetch = |id: u64| {
        world
            .runtime
            .block_on(world.pool.fetch(&id))
            .unwrap()
            .map(|row| row.version)
    };
    assert_eq!((fetch(7), fetch(7), fetch(100)), (Some(70), Some(70), None));
    assert_eq!(table.singles.load(Ordering::SeqCst), 2);
    let many = world
        .runtime
        .block_on(world.pool.fetch_many(&[7, 8, 200, 8]))
        .unwrap();
    let versions: Vec<_> = many
        .ok()
        .unwrap()
        .into_iter()
        .map(|row| row.map(|row| row.version))
        .collect();
    assert_eq!(versions, [Some(70), Some(80), None, Some(80)]);
    assert_eq!(*table.batches.lock().unwrap(), [2]);
    let fetched = world.pool.fetch_with(&9, FetchOptions::new());
    assert_eq!(world.runtime.block_on(fetched).unwrap().origin, Origin::Loaded);
    let error = world.runtime.block_on(world.pool.fetch_many(&[7, 13])).unwrap();
    assert!(error.get(0).unwrap().is_ok());
    assert!(matches!(error.get(1), Some(Err(FetchError::Loader(_)))));

    let none = ended(Box::pin(World::new().pool.fetch(&7)));
    assert!(matches!(none, Err(FetchError::NoLoader)));
}

/// Contract: P62 (partial: a closure as a loader)
#[test]
fn a_closure_is_a_loader_of_one_after_the_other() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let world = World::with(|pool| {
        pool.loader(move |load: LoadContext<Row>| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, Oops>((load.id != 3).then(|| row(load.id, 1))) }
        })
    });
    let many = world.runtime.block_on(world.pool.fetch_many(&[1, 2, 3])).unwrap();
    assert_eq!((many.found().count(), runs.load(Ordering::SeqCst)), (2, 3));
    assert_eq!(world.pool.stats().loads.total(), 1, "one load of three ids");
}

/// Contract: P62
#[test]
fn single_calls_are_gathered() {
    let table = Table::default();
    let world = World::with(|pool| pool.loader(table.clone()).batcher(3, Duration::from_millis(5)));
    let mut calls: Vec<_> = [1, 2, 1]
        .map(|id| begun(async move { id }.into_call(&world)))
        .into();
    world.runtime.run();
    assert!(calls.iter_mut().all(waits), "two ids, and time is not over");
    world.runtime.advance(Duration::from_millis(5));
    let versions: Vec<_> = calls
        .into_iter()
        .map(|call| ended(call).unwrap().unwrap().version)
        .collect();
    assert_eq!(versions, [10, 20, 10]);
    // As many as may be go at once.
    let calls: Vec<_> = [4, 5, 6, 13]
        .map(|id| begun(async move { id }.into_call(&world)))
        .into();
    world.runtime.run();
    let mut calls = calls.into_iter();
    for id in [4, 5, 6] {
        assert_eq!(ended(calls.next().unwrap()).unwrap().unwrap().version, id * 10);
    }
    let mut last = calls.next().unwrap();
    assert!(waits(&mut last));
    world.runtime.advance(Duration::from_millis(5));
    let error = ended(last).unwrap_err();
    assert!(
        matches!(&error, FetchError::Loader(inner) if inner.downcast_ref() == Some(&Oops("thirteen"))),
        "{error}"
    );
    assert_eq!(*table.batches.lock().unwrap(), [2, 3, 1]);
    assert_eq!(
        (
            table.singles.load(Ordering::SeqCst),
            world.pool.stats().loads.total()
        ),
        (0, 3)
    );
}

/// Calls the pool's loader.
trait IntoCall {
    fn into_call(self, world: &World) -> impl Future<Output = Result<Option<Arc<Row>>, FetchError>>;
}

impl<F: Future<Output = u64>> IntoCall for F {
    async fn into_call(self, world: &World) -> Result<Option<Arc<Row>>, FetchError> {
        let id = self.await;
        world.pool.fetch(&id).await
    }
}

/// Contract: P62 (partial: a batcher and what ends it)
#[test]
fn what_is_gathered_ends_with_the_pool() {
    let world = World::with(|pool| pool.loader(Table::default()).batcher(3, Duration::from_millis(5)));
    let call = begun(world.pool.fetch(&1));
    world.runtime.block_on(world.pool.shutdown());
    let answer = ended(call);
    assert!(matches!(answer, Err(FetchError::Stopped)), "{answer:?}");
    let answer = ended(Box::pin(world.pool.fetch(&2)));
    assert!(matches!(answer, Err(FetchError::Stopped)), "{answer:?}");
    assert_eq!(world.runtime.tasks(), 0);
}

/// Those who waited for a batch were woken in the order in which their ids hashed, another one in each process: a simulation did not repeat.
///
/// Contract: P62 (partial: who of a batch is told first)
#[test]
fn a_batch_is_answered_in_the_order_in_which_it_was_asked_for() {
    let world = World::with(|pool| {
        pool.loader(Table::default())
            .batcher(16, Duration::from_millis(5))
    });
    let answered = Arc::new(Mutex::new(Vec::new()));
    let ids: [u64; 8] = [5, 3, 8, 1, 7, 2, 6, 4];
    for id in ids {
        let (pool, answered) = (world.pool.clone(), Arc::clone(&answered));
        world.runtime.spawn(Box::pin(async move {
            pool.fetch(&id).await.unwrap();
            answered.lock().unwrap().push(id);
        }));
    }
    world.runtime.advance(Duration::from_millis(5));
    assert_eq!(*answered.lock().unwrap(), ids);
}

struct Page(String);

impl Entity for Page {
    type Id = String;
    type Fields = ();

    fn name() -> &'static str {
        "page"
    }

    fn id(&self) -> String {
        self.0.clone()
    }

    fn fields() {}
}

/// Contract: P5 (partial: ids that are too long, where something is loaded)
#[test]
fn an_id_that_is_too_long_is_not_loaded() {
    let pool: Pool<Page> = Pool::builder().clock(Arc::new(SimClock::new())).build().unwrap();
    let long = "x".repeat(4_097);
    let load = |_: LoadContext<Page>| async { Err::<Page, _>(Oops("it was loaded")) };
    let answer = ended(Box::pin(pool.get_or_fetch(long.as_str(), load)));
    assert!(
        matches!(answer, Err(FetchError::IdTooLong { max: 4_096, .. })),
        "{:?}",
        answer.map(|_| ())
    );
    let fits = "x".repeat(4_096);
    let many = pool.get_or_fetch_many(
        [long.as_str(), fits.as_str()],
        |load: LoadManyContext<Page>| async move {
            Ok::<_, Oops>(load.ids.into_iter().map(Page).collect::<Vec<_>>())
        },
    );
    let many = ended(Box::pin(many)).unwrap();
    assert!(matches!(many.get(0), Some(Err(FetchError::IdTooLong { .. }))));
    assert!(matches!(many.get(1), Some(Ok(Some(_)))));
    assert!(pool.get(long.as_str()).is_none());
}
