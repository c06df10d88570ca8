//! Panics in foreign code: they reach the caller, or end where nobody waits for them, and the pool goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder_pool::{Capacity, Changed, FetchError, OnConflict, Pool, Reason};
use larder_testkit::{SimClock, SimRuntime};

use super::thorn::{
    CALLS, Call, Garden, Plot, Spot, State, Thorn, ThornId, is_done, is_thrown, plan, plan_each, thorn, throw,
};

/// The code of the caller's own call: its panic reaches the caller.
const OF_CALLS: [Spot; 12] = [
    Spot::Id,
    Spot::Hash,
    Spot::Eq,
    Spot::Ord,
    Spot::CloneId,
    Spot::DropId,
    Spot::Key,
    Spot::Tags,
    Spot::Watermark,
    Spot::Weigher,
    Spot::Drop,
    Spot::Closure,
];

/// What a call leaves behind when nothing goes wrong.
fn undisturbed(plot: Plot, call: Call) -> State {
    let garden = Garden::new(plot);
    call.1(&garden);
    garden.state()
}

/// Panics at the n-th time that the call comes to the spot. False if it does not come there so often.
fn disturb(plot: Plot, call: Call, spot: Spot, nth: usize, after: &State) -> bool {
    let garden = Garden::new(plot);
    let before = garden.state();
    plan(spot, nth, throw);
    let ended = catch_unwind(AssertUnwindSafe(|| call.1(&garden)));
    if !is_done() {
        assert!(ended.is_ok());
        return false;
    }
    let what = format!("{spot:?} {nth} of {} in {plot:?}", call.0);
    let panic = ended.expect_err(&what);
    assert!(is_thrown(&*panic), "another panic: {what}");
    let state = garden.state();
    // What is dropped has left already, or is left to the caller: the call has had its effect, whole, or none.
    let is_after = matches!(spot, Spot::Drop | Spot::DropId) && state == *after;
    assert!(is_after || state == before, "{what}: {state:?}, not {before:?}");
    garden.check_usable();
    true
}

/// Every piece of foreign code, in every call, each time that it runs.
///
/// Contract: P24 (partial: not loads and background work)
#[test]
fn a_panic_in_foreign_code_reaches_the_caller_and_changes_nothing() {
    let mut reached = Vec::new();
    for plot in Plot::ALL {
        for call in CALLS {
            let after = undisturbed(plot(), call);
            for spot in OF_CALLS {
                let times = (0..).take_while(|nth| disturb(plot(), call, spot, *nth, &after));
                if times.count() > 0 && !reached.contains(&spot) {
                    reached.push(spot);
                }
            }
        }
    }
    let never: Vec<_> = OF_CALLS.iter().filter(|spot| !reached.contains(spot)).collect();
    assert_eq!(
        never,
        [&Spot::Ord],
        "memory does not order ids, and does everything else"
    );
}

/// Calls that let go of several values at once.
const MANY_GO: [Call; 6] = [
    ("clear", |garden| {
        garden.pool.clear(Reason::Manual);
    }),
    ("batch", |garden| {
        let batch = garden.pool.batch().insert(thorn(1, 2)).insert(thorn(2, 2));
        let batch = batch.remove(&ThornId(3)).remove(&ThornId(4)).insert(thorn(7, 2));
        drop(batch.commit());
    }),
    ("retain", |garden| {
        garden.pool.retain(|thorn| thorn.id < 3);
    }),
    ("retain that replaces", |garden| {
        garden.pool.retain(|thorn| {
            // What the scan still looks at is let go when that ends.
            if thorn.version == 1 {
                let _ = garden.pool.insert(self::thorn(thorn.id, 2));
            }
            true
        });
    }),
    ("set capacity", |garden| {
        garden.pool.set_capacity(Capacity::of_entries(2)).unwrap();
    }),
    ("sweep", |garden| {
        garden.pool.sweep(usize::MAX);
    }),
];

/// All values that a call lets go panic. A second panic while the first goes to the caller would end the process.
///
/// Contract: P24 (partial: drops)
#[test]
fn every_drop_of_a_call_may_panic() {
    for watched in [false, true] {
        for call in MANY_GO {
            let plot = Plot::new(8, OnConflict::Replace, watched);
            let after = undisturbed(plot, call);
            let mut garden = Garden::new(plot);
            garden.read_events();
            plan_each(Spot::Drop, throw);
            let ended = catch_unwind(AssertUnwindSafe(|| call.1(&garden)));
            assert!(!is_done());
            assert!(is_thrown(&*ended.expect_err(call.0)), "{}", call.0);
            assert_eq!(garden.state(), after, "{}, watched: {watched}", call.0);
            garden.check_usable();
        }
    }
}

/// What is displaced and who is evicted for it leave at once, and both panic.
///
/// Contract: P24 (partial: drops)
#[test]
fn what_is_displaced_and_who_is_evicted_for_it_may_both_panic() {
    let heavy = |thorn: &Thorn| usize::try_from(thorn.version).unwrap();
    let pool = Pool::builder()
        .capacity_bytes(2_000)
        .weigher(heavy)
        .build()
        .unwrap();
    for id in 1..=3 {
        pool.insert(thorn(id, 400)).unwrap();
    }
    plan_each(Spot::Drop, throw);
    let ended = catch_unwind(AssertUnwindSafe(|| drop(pool.insert(thorn(3, 1_200)))));
    assert!(!is_done());
    assert!(is_thrown(&*ended.unwrap_err()));
    assert_eq!(pool.peek(&ThornId(3)).map(|thorn| thorn.version), Some(1_200));
    assert!(pool.len() < 3 && pool.weight_bytes() <= 2_000);
}

/// Contract: P24 (partial: listeners and metrics, which nobody waits for)
#[test]
fn a_panic_of_a_listener_or_of_metrics_is_contained_and_counted() {
    let heard = Arc::new(AtomicU64::new(0));
    for spot in [Spot::Listener, Spot::Metrics] {
        for call in CALLS {
            let plot = Plot::new(8, OnConflict::Replace, true);
            let after = undisturbed(plot, call);
            let garden = Garden::new(plot);
            plan(spot, 0, throw);
            call.1(&garden);
            if !is_done() {
                continue;
            }
            heard.fetch_add(1, Ordering::Relaxed);
            assert_eq!(garden.state(), after, "{spot:?} in {}", call.0);
            let stats = garden.pool.stats();
            let panics = match spot {
                Spot::Listener => (1, 0),
                _ => (0, 1),
            };
            assert_eq!(
                (stats.listener_panics, stats.metrics_panics),
                panics,
                "in {}",
                call.0
            );
            garden.check_usable();
        }
    }
    assert!(heard.load(Ordering::Relaxed) > 20, "they are called");
}

/// A listener that panics keeps none of the others from hearing.
///
/// Contract: P24 (partial: listeners)
#[test]
fn a_panic_of_one_listener_is_not_that_of_another() {
    let heard = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&heard);
    let pool = Pool::builder()
        .listener(|_: &Changed<'_, Thorn>| throw())
        .listener(move |change: &Changed<'_, Thorn>| {
            counts.fetch_max(change.sequence, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    for version in 1..=3 {
        pool.insert(thorn(1, version)).unwrap();
        assert_eq!(heard.load(Ordering::Relaxed), version);
    }
    assert_eq!(pool.stats().listener_panics, 3);
}

/// A loader's panic, and one of what it brought, is an answer like others.
///
/// Contract: P24 (partial: loads)
#[test]
fn a_panic_of_a_load_reaches_those_who_wait_as_an_error() {
    let runtime = SimRuntime::new(&SimClock::new());
    for spot in [Spot::Id, Spot::Tags, Spot::Weigher, Spot::Closure] {
        let garden = Garden::new(Plot::new(1_000, OnConflict::Replace, true));
        let before = garden.state();
        plan(spot, 0, throw);
        let load = |_| async {
            super::thorn::pass(Spot::Closure);
            Ok::<_, FetchError>(thorn(40, 1))
        };
        let loaded = runtime.block_on(garden.pool.get_or_fetch(&ThornId(40), load));
        assert!(is_done(), "{spot:?}");
        let Err(FetchError::Panicked { message }) = loaded else {
            panic!("{spot:?} was no error")
        };
        assert_eq!((&*message, garden.state()), ("", before));
        let again = runtime.block_on(garden.pool.get_or_fetch(&ThornId(40), load));
        assert_eq!(again.unwrap().map(|thorn| thorn.version), Some(1), "{spot:?}");
    }
}

/// The background sweep meets a value whose drop panics: that is reported, and the next sweep takes out the others.
///
/// Contract: P24 (partial: with the others all but the order of ids, which nothing in memory asks for)
#[test]
fn a_panic_in_the_background_is_reported_and_the_work_goes_on() {
    let clock = SimClock::new();
    let runtime = SimRuntime::new(&clock);
    let pool = Pool::builder()
        .clock(Arc::new(clock.clone()))
        .runtime(Arc::new(runtime.clone()))
        .sweep_every(Duration::from_secs(10))
        .time_to_live(Duration::from_secs(5))
        .build()
        .unwrap();
    pool.insert(thorn(1, 1)).unwrap();
    plan(Spot::Drop, 0, throw);
    let reports = reports_of(|| runtime.advance(Duration::from_secs(10)));
    assert!(is_done());
    assert_eq!((pool.len(), reports), (0, 1));
    for round in 2..=4 {
        pool.insert(thorn(1, round)).unwrap();
        runtime.advance(Duration::from_secs(10));
        assert_eq!(pool.len(), 0, "the expired still leave in round {round}");
    }
}

/// How many errors are logged meanwhile.
fn reports_of(work: impl FnOnce()) -> u64 {
    let errors = Errors::default();
    tracing::subscriber::with_default(errors.clone(), work);
    errors.0.load(Ordering::Relaxed)
}

/// Counts what is logged as an error.
#[derive(Clone, Default)]
struct Errors(Arc<AtomicU64>);

impl tracing::Subscriber for Errors {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        if *event.metadata().level() == tracing::Level::ERROR {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
