//! What a builder refuses, by option, and what a pool is without being told.

use std::sync::Arc;
use std::time::Duration;

use larder_core::Namespace;
use larder_pool::{
    BuildError, Capacity, Changed, Entity, Eviction, FetchError, FetchOptions, LoadContext, Loaded, Loader,
    OnConflict, Pool, PoolBuilder, PoolMetrics, Reclaim, WhenUnsure,
};
use larder_testkit::{SimClock, SimRuntime, poll_once};

use super::rows::{Row, World, row};

type Refused = (&'static str, fn(PoolBuilder<Row>) -> PoolBuilder<Row>);

const ZERO: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

/// One option that is out of its range, each time; with a runtime.
const OUT_OF_RANGE: [Refused; 31] = [
    ("capacity_entries", |pool| pool.capacity_entries(0)),
    ("capacity_entries", |pool| pool.capacity_entries((1 << 32) - 1)),
    ("capacity_bytes", |pool| pool.capacity_bytes(0)),
    ("capacity_bytes", |pool| pool.capacity_bytes((1 << 60) + 1)),
    ("event_capacity", |pool| pool.event_capacity(0)),
    ("event_capacity", |pool| pool.event_capacity((1 << 20) + 1)),
    ("time_to_live", |pool| pool.time_to_live(ZERO)),
    ("time_to_idle", |pool| pool.time_to_idle(ZERO)),
    ("sweep_every", |pool| pool.sweep_every(ZERO)),
    ("jitter", |pool| pool.jitter(-0.01)),
    ("jitter", |pool| pool.jitter(0.51)),
    ("jitter", |pool| pool.jitter(f64::NAN)),
    ("reclaim", |pool| pool.reclaim(Reclaim::EachWrite(0))),
    ("when_unsure", |pool| pool.when_unsure(WhenUnsure::Shorten(ZERO))),
    ("listener", |pool| {
        (0..65).fold(pool, |pool, _| pool.listener(|_: &Changed<'_, Row>| {}))
    }),
    ("timeout", |pool| pool.timeout(ZERO)),
    ("timeout", |pool| pool.timeout(Duration::from_secs(3_601))),
    ("soft_timeout", |pool| pool.soft_timeout(ZERO)),
    ("negative_ttl", |pool| pool.negative_ttl(ZERO)),
    ("negative_entries", |pool| pool.negative_entries(0)),
    ("negative_entries", |pool| {
        pool.capacity_entries(9).negative_entries(10)
    }),
    ("stale_while_revalidate", |pool| pool.stale_while_revalidate(ZERO)),
    ("stale_on_error", |pool| pool.stale_on_error(ZERO)),
    ("refresh_ahead", |pool| pool.refresh_ahead(0.0)),
    ("refresh_ahead", |pool| pool.refresh_ahead(0.91)),
    ("refresh_ahead", |pool| pool.refresh_ahead(f64::NAN)),
    ("flights", |pool| pool.flights(0)),
    ("flights", |pool| pool.flights((1 << 20) + 1)),
    ("batcher", |pool| pool.loader(Nothing).batcher(0, SECOND)),
    ("batcher", |pool| pool.loader(Nothing).batcher(65_537, SECOND)),
    ("batcher", |pool| pool.batcher(8, SECOND)),
];

/// What is just within.
const WITHIN: [fn(PoolBuilder<Row>) -> PoolBuilder<Row>; 10] = [
    |pool| pool.capacity_entries(1),
    |pool| pool.capacity_entries((1 << 32) - 2),
    |pool| pool.capacity_bytes(1),
    |pool| pool.capacity_bytes(1 << 60),
    |pool| pool.event_capacity(1),
    |pool| pool.event_capacity(1 << 20),
    |pool| pool.jitter(0.5),
    |pool| pool.timeout(Duration::from_secs(3_600)),
    |pool| pool.refresh_ahead(0.9),
    |pool| (0..64).fold(pool, |pool, _| pool.listener(|_: &Changed<'_, Row>| {})),
];

/// One option that needs a runtime, each time.
const NEEDS_RUNTIME: [Refused; 7] = [
    ("sweep_every", |pool| pool.sweep_every(SECOND)),
    ("timeout", |pool| pool.timeout(SECOND)),
    ("soft_timeout", |pool| pool.soft_timeout(SECOND)),
    ("detach", PoolBuilder::detach),
    ("stale_while_revalidate", |pool| {
        pool.stale_while_revalidate(SECOND)
    }),
    ("refresh_ahead", |pool| pool.refresh_ahead(0.5)),
    ("batcher", |pool| pool.loader(Nothing).batcher(8, SECOND)),
];

struct Nothing;

impl Loader<Row> for Nothing {
    type Error = FetchError;

    async fn load(&self, _: LoadContext<Row>) -> Result<Loaded<Row>, FetchError> {
        Ok(Loaded::none())
    }
}

fn with_runtime() -> PoolBuilder<Row> {
    Pool::builder().runtime(Arc::new(SimRuntime::new(&SimClock::new())))
}

/// Contract: P11 (partial: not indexes, nor attempts of a refresh)
#[test]
fn what_is_out_of_its_range_is_refused_by_name() {
    for (option, build) in OUT_OF_RANGE {
        match build(with_runtime()).build() {
            Err(BuildError::OutOfRange {
                option: told,
                given,
                allowed,
            }) => {
                assert_eq!(told, option);
                assert!(!given.is_empty() && !allowed.is_empty(), "{option}");
            }
            other => panic!("{option}: {other:?}"),
        }
    }
    for (at, build) in WITHIN.into_iter().enumerate() {
        assert!(build(with_runtime()).build().is_ok(), "the one at {at}");
    }
}

/// Contract: P11 (partial: the capacity of a pool that is there)
#[test]
fn a_capacity_that_is_out_of_its_range_is_refused_later_too() {
    let pool = Pool::<Row>::builder().capacity_entries(3).build().unwrap();
    pool.insert(row(1, 1)).unwrap();
    let refused = [
        (Capacity::of_entries(0), "capacity_entries"),
        (Capacity::of_entries((1 << 32) - 1), "capacity_entries"),
        (Capacity::of_bytes(0), "capacity_bytes"),
        (Capacity::of_bytes((1 << 60) + 1), "capacity_bytes"),
        (Capacity::default(), "capacity"),
    ];
    for (capacity, option) in refused {
        match pool.set_capacity(capacity) {
            Err(BuildError::OutOfRange { option: told, .. }) => assert_eq!(told, option),
            other => panic!("{capacity:?}: {other:?}"),
        }
        assert_eq!((pool.capacity(), pool.len()), (Capacity::of_entries(3), 1));
    }
}

/// What needs a runtime is refused where there is none, at once; in a call, by that call.
///
/// Contract: P11 (partial: what needs a runtime), P116 (partial: a missing runtime)
#[test]
fn what_needs_a_runtime_is_refused_without_one() {
    for (option, build) in NEEDS_RUNTIME {
        match build(Pool::builder()).build() {
            Err(BuildError::NeedsRuntime { option: told }) => assert_eq!(told, option),
            other => panic!("{option}: {other:?}"),
        }
        assert!(build(with_runtime()).build().is_ok(), "{option} with one");
    }
    let pool = Pool::<Row>::builder().build().unwrap();
    let options: [(&str, FetchOptions); 2] = [
        ("timeout", FetchOptions::new().timeout(SECOND)),
        ("detach", FetchOptions::new().detach()),
    ];
    for (option, options) in options {
        let load = |_| async { Ok::<_, FetchError>(row(1, 1)) };
        let mut call = Box::pin(pool.get_or_fetch_with(&1, options, load));
        match poll_once(call.as_mut()) {
            std::task::Poll::Ready(Err(FetchError::NeedsRuntime { option: told })) => {
                assert_eq!(told, option)
            }
            _ => panic!("{option} was done without a runtime"),
        }
    }
}

macro_rules! named {
    ($Name:ident, $name:expr) => {
        struct $Name;

        impl Entity for $Name {
            type Id = u64;
            type Fields = ();

            fn name() -> &'static str {
                $name
            }

            fn id(&self) -> u64 {
                0
            }
        }
    };
}

/// 255 bytes.
const LONGEST: &str = const {
    match std::str::from_utf8(&[b'n'; 255]) {
        Ok(name) => name,
        Err(_) => unreachable!(),
    }
};

/// 256 bytes.
const TOO_LONG: &str = const {
    match std::str::from_utf8(&[b'n'; 256]) {
        Ok(name) => name,
        Err(_) => unreachable!(),
    }
};

named!(Unnamed, "");
named!(Named, LONGEST);
named!(NamedTooLong, TOO_LONG);

/// Contract: P11 (partial: names)
#[test]
fn a_name_or_namespace_that_is_none_is_refused() {
    let option_of = |error: BuildError| match error {
        BuildError::Name { option, .. } => option,
        other => panic!("{other}"),
    };
    assert_eq!(option_of(Pool::<Unnamed>::builder().build().unwrap_err()), "name");
    assert_eq!(
        option_of(Pool::<NamedTooLong>::builder().build().unwrap_err()),
        "name"
    );
    assert!(Pool::<Named>::builder().namespace(LONGEST).build().is_ok());
    for namespace in ["", TOO_LONG, "line\nbreak"] {
        let built = Pool::<Row>::builder().namespace(namespace).build();
        assert_eq!(option_of(built.unwrap_err()), "namespace");
    }
}

/// Contract: P11 (partial: several faults)
#[test]
fn several_faults_are_told_together() {
    let built = Pool::<Unnamed>::builder()
        .capacity_entries(0)
        .capacity_bytes(0)
        .time_to_live(ZERO)
        .time_to_idle(ZERO)
        .jitter(2.0)
        .event_capacity(0)
        .namespace("")
        .sweep_every(SECOND)
        .timeout(SECOND)
        .detach()
        .refresh_ahead(0.5)
        .flights(0)
        .build();
    let error = built.unwrap_err();
    let text = error.to_string();
    let BuildError::Several(faults) = error else {
        panic!("{text}")
    };
    let mut options: Vec<_> = faults
        .iter()
        .map(|fault| match fault {
            BuildError::OutOfRange { option, .. } => ("range", *option),
            BuildError::Name { option, .. } => ("name", *option),
            BuildError::NeedsRuntime { option } => ("runtime", *option),
            other => panic!("{other}"),
        })
        .collect();
    options.sort_unstable();
    let expected = [
        ("name", "name"),
        ("name", "namespace"),
        ("range", "capacity_bytes"),
        ("range", "capacity_entries"),
        ("range", "event_capacity"),
        ("range", "flights"),
        ("range", "jitter"),
        ("range", "time_to_idle"),
        ("range", "time_to_live"),
        ("runtime", "detach"),
        ("runtime", "refresh_ahead"),
        ("runtime", "sweep_every"),
        ("runtime", "timeout"),
    ];
    assert_eq!(options, expected);
    for (_, option) in expected {
        assert!(text.contains(option), "{option} in {text}");
    }
}

/// Contract: P12
#[test]
fn a_pool_that_is_told_nothing_has_the_defaults() {
    let pool = Pool::<Row>::builder().build().unwrap();
    let config = pool.config();
    assert_eq!(config.capacity, Capacity::of_entries(10_000));
    assert_eq!(
        (config.eviction, config.on_conflict),
        (Eviction::AdaptiveTinyLfu, OnConflict::Replace)
    );
    assert_eq!((config.time_to_live, config.time_to_idle), (None, None));
    assert_eq!((config.sweep_every, config.reclaim), (None, Reclaim::OnDemand));
    assert_eq!((config.event_capacity, config.namespace.as_ref()), (256, None));
    assert_eq!((config.metrics, config.stats, config.listeners), (false, true, 0));
    assert_eq!(
        (config.weigher, config.loader, config.jitter.to_bits()),
        (false, false, 0)
    );
    assert_eq!(config.when_unsure, WhenUnsure::Serve);
    let fetch = &config.fetch;
    assert_eq!(
        (fetch.timeout, fetch.soft_timeout, fetch.detach, fetch.batcher),
        (None, None, false, None)
    );
    assert_eq!(
        (fetch.negative_ttl, fetch.negative_entries, fetch.flights),
        (None, 4_096, 65_536)
    );
    assert_eq!((fetch.stale_while_revalidate, fetch.stale_on_error), (None, None));
    assert_eq!((fetch.refresh_ahead, fetch.error_hold), (None, SECOND));
    assert_eq!(fetch.wait_at_most, Duration::from_millis(100));

    // One bound alone is the only one.
    let of_bytes = Pool::<Row>::builder().capacity_bytes(1 << 20).build().unwrap();
    assert_eq!(of_bytes.config().capacity, Capacity::of_bytes(1 << 20));
    let of_both = Pool::<Row>::builder()
        .capacity_bytes(1 << 20)
        .capacity_entries(7)
        .build()
        .unwrap();
    assert_eq!(
        of_both.config().capacity,
        Capacity::of_entries(7).and_bytes(1 << 20)
    );
}

/// The defaults are what happens, too.
///
/// Contract: P12 (partial: as it shows)
#[test]
fn the_defaults_are_what_happens() {
    let world = World::with(|pool| pool.event_capacity(256));
    let mut events = world.pool.events();
    for version in 1..=2 {
        world.pool.insert(row(1, version)).unwrap();
    }
    assert_eq!(
        (world.pool.get(&1).unwrap().version, world.pool.get(&2).is_none()),
        (2, true)
    );
    let stats = world.pool.stats();
    assert_eq!((stats.hits, stats.misses.total(), stats.updates), (1, 1, 0));
    world.runtime.advance(Duration::from_secs(400 * 24 * 3_600));
    assert_eq!(
        (world.peek(1), world.runtime.tasks()),
        (Some(2), 0),
        "it neither expires nor sweeps"
    );
    for id in 0..10_300 {
        world.pool.insert(row(id, 1)).unwrap();
    }
    assert_eq!(world.pool.len(), 10_000);
    assert!(matches!(events.try_recv(), Err(larder_pool::TryRecvError::Lagged(lost)) if lost > 10_000));
    assert_eq!(std::iter::from_fn(|| events.try_recv().ok()).count(), 256);
}

struct Deaf;

impl PoolMetrics for Deaf {}

/// Contract: P12 (partial: what was set)
#[test]
fn what_was_set_is_read_back() {
    let pool = with_runtime()
        .capacity_entries(70)
        .capacity_bytes(80_000)
        .weigher(|_| 1)
        .eviction(Eviction::Sieve)
        .on_conflict(OnConflict::keep_newest())
        .time_to_live(minutes(1))
        .time_to_idle(minutes(2))
        .jitter(0.25)
        .sweep_every(minutes(3))
        .reclaim(Reclaim::EachWrite(4))
        .event_capacity(9)
        .listener(|_: &Changed<'_, Row>| {})
        .metrics(Arc::new(Deaf))
        .stats(false)
        .namespace("blue")
        .when_unsure(WhenUnsure::Shorten(minutes(4)))
        .loader(Nothing)
        .batcher(8, minutes(5))
        .timeout(minutes(6))
        .soft_timeout(minutes(7))
        .detach()
        .negative_ttl(minutes(8))
        .negative_entries(11)
        .stale_while_revalidate(minutes(9))
        .stale_on_error(minutes(10))
        .error_hold(minutes(11))
        .refresh_ahead(0.75)
        .wait_at_most(minutes(12))
        .flights(13)
        .build()
        .unwrap();
    check_memory_options(&pool);
    check_fetch_options(&pool);
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

fn check_memory_options(pool: &Pool<Row>) {
    let config = pool.config();
    assert_eq!(config.capacity, Capacity::of_entries(70).and_bytes(80_000));
    assert_eq!(
        (config.eviction, config.on_conflict),
        (Eviction::Sieve, OnConflict::keep_newest())
    );
    assert_eq!(
        (config.time_to_live, config.time_to_idle),
        (Some(minutes(1)), Some(minutes(2)))
    );
    assert_eq!(
        (config.sweep_every, config.reclaim),
        (Some(minutes(3)), Reclaim::EachWrite(4))
    );
    assert_eq!(
        (config.jitter.to_bits(), config.event_capacity),
        (0.25_f64.to_bits(), 9)
    );
    assert_eq!(
        (config.weigher, config.listeners, config.metrics, config.stats),
        (true, 1, true, false)
    );
    assert_eq!(config.namespace, Some(Namespace::new("blue").unwrap()));
    assert_eq!(
        (config.when_unsure, config.loader),
        (WhenUnsure::Shorten(minutes(4)), true)
    );
}

fn check_fetch_options(pool: &Pool<Row>) {
    let fetch = &pool.config().fetch;
    assert_eq!(fetch.batcher, Some((8, minutes(5))));
    assert_eq!(
        (fetch.timeout, fetch.soft_timeout),
        (Some(minutes(6)), Some(minutes(7)))
    );
    assert_eq!(
        (fetch.detach, fetch.negative_ttl, fetch.negative_entries),
        (true, Some(minutes(8)), 11)
    );
    assert_eq!(fetch.stale_while_revalidate, Some(minutes(9)));
    assert_eq!(
        (fetch.stale_on_error, fetch.error_hold),
        (Some(minutes(10)), minutes(11))
    );
    assert_eq!(
        (fetch.refresh_ahead, fetch.wait_at_most),
        (Some(0.75), minutes(12))
    );
    assert_eq!(fetch.flights, 13);
}
