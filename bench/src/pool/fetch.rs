//! `fetch_hit` and `fetch_miss`: what a fetch takes that needs no loader, and one whose loader is ready at once.
//!
//! Every call is awaited by one task on a runtime of one thread, which is entered once a round.

use super::engines::{Engine, Thing, moka as moka_sync, number, pool, quick, sassi};
use super::keys::{read, uniform};
use super::{ENTRIES, Outcome, ROOMY, Rows, Unit};
use crate::fence::shuffled;
use crate::{Report, Rounds, Target};
use larder_pool::Pool;
use quick_cache::DefaultHashBuilder;
use sassi::{FetchError, Punnu};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};

/// How many hits a round has.
const HITS: u64 = 500_000;
/// How many misses a round has.
const MISSES: u64 = ENTRIES;

/// `moka`, the asynchronous one, set up as the synchronous one is.
pub(super) type Moka = moka::future::Cache<u64, Arc<Thing>, DefaultHashBuilder>;

pub(super) fn moka(capacity: u64) -> Moka {
    moka::future::Cache::builder()
        .max_capacity(capacity)
        .initial_capacity(number(capacity))
        .build_with_hasher(DefaultHashBuilder::default())
}

pub(super) fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().build()
}

/// One fetch, with a loader that has the value at once, through each engine's own call for it.
trait Fetches {
    fn fetch(&self, id: u64) -> impl Future<Output = Arc<Thing>>;
}

impl Fetches for Pool<Thing> {
    async fn fetch(&self, id: u64) -> Arc<Thing> {
        let load = self.get_or_fetch(
            &id,
            |load| async move { Ok::<_, Infallible>(Thing::new(load.id)) },
        );
        load.await.expect("the loader is ready").expect("it has each")
    }
}

impl Fetches for quick_cache::sync::Cache<u64, Arc<Thing>> {
    async fn fetch(&self, id: u64) -> Arc<Thing> {
        let load = self.get_or_insert_async(&id, async { Ok::<_, Infallible>(Arc::new(Thing::new(id))) });
        load.await.expect("the loader is ready")
    }
}

impl Fetches for Moka {
    async fn fetch(&self, id: u64) -> Arc<Thing> {
        self.get_with(id, async { Arc::new(Thing::new(id)) }).await
    }
}

impl Fetches for Punnu<Thing> {
    async fn fetch(&self, id: u64) -> Arc<Thing> {
        let load = self.get_or_fetch(&id, |id| async move { Ok::<_, FetchError>(Some(Thing::new(id))) });
        load.await.expect("the loader is ready").expect("it has each")
    }
}

/// All of them, one after the other; gives something of what came.
async fn all(engine: &impl Fetches, ids: impl Iterator<Item = u64>) -> u64 {
    let mut sum = 0_u64;
    for id in ids {
        sum = sum.wrapping_add(engine.fetch(id).await.amount);
    }
    sum
}

/// Measures and reports.
///
/// # Errors
/// When standard output cannot be written, or there is no runtime.
pub fn fetch_hit(report: Report) -> Outcome {
    let runtime = runtime()?;
    let ids = uniform(HITS, ENTRIES);
    let (larder, quick) = (pool(ROOMY, None).filled(ENTRIES), quick(ROOMY).filled(ENTRIES));
    let (moka, sassi) = (moka(ROOMY), sassi(ROOMY, None).filled(ENTRIES));
    runtime.block_on(all(&moka, 0..ENTRIES));
    runtime.block_on(moka.run_pending_tasks());
    let mut rounds = Rounds::new(HITS);
    rounds.subject("own get", |times| {
        read(&ids[..number(times)], |id| larder.get(&id))
    });
    hits(&mut rounds, &runtime, &ids, "larder", &larder);
    hits(&mut rounds, &runtime, &ids, "quick_cache", &quick);
    hits(&mut rounds, &runtime, &ids, "moka", &moka);
    hits(&mut rounds, &runtime, &ids, "sassi", &sassi);
    let measured = &rounds.run()[..];
    assert_eq!(larder.stats().loads.total(), 0, "each was there");
    let rows = Rows {
        report,
        benchmark: "fetch_hit",
        unit: Unit::Nanoseconds,
        measured,
    };
    let peers = [
        ("own get", Target::RatioAtMost(1.5)),
        ("quick_cache", Target::None),
        ("moka", Target::None),
        ("sassi", Target::None),
    ];
    rows.beside("a key that is there", "larder", &peers)
}

fn hits<'a, E: Fetches>(
    rounds: &mut Rounds<'a>,
    runtime: &'a Runtime,
    ids: &'a [u32],
    name: &str,
    engine: &'a E,
) {
    rounds.subject(name, move |times| {
        let ids = ids[..number(times)].iter().map(|id| u64::from(*id));
        runtime.block_on(all(engine, ids))
    });
}

/// Measures and reports: keys that are not there, into engines that were just made and have room for all. Beside them what a
/// plain store of as many takes, which is a part of each.
///
/// # Errors
/// When standard output cannot be written, or there is no runtime.
pub fn fetch_miss(report: Report) -> Outcome {
    let runtime = runtime()?;
    let ids = shuffled(MISSES);
    let mut rounds = Rounds::new(MISSES);
    misses(&mut rounds, &runtime, &ids, "larder", || pool(ROOMY, None));
    misses(&mut rounds, &runtime, &ids, "quick_cache", || quick(ROOMY));
    misses(&mut rounds, &runtime, &ids, "moka get_with", || moka(ROOMY));
    misses(&mut rounds, &runtime, &ids, "sassi", || sassi(ROOMY, None));
    rounds
        .subject_timing_itself("own insert", |times| {
            let engine = pool(ROOMY, None);
            let start = Instant::now();
            ids[..number(times)]
                .iter()
                .for_each(|id| Engine::insert(&engine, *id));
            start.elapsed()
        })
        .subject_timing_itself("moka insert", |times| {
            let engine = moka_sync(ROOMY, None);
            let start = Instant::now();
            ids[..number(times)]
                .iter()
                .for_each(|id| Engine::insert(&engine, *id));
            start.elapsed()
        });
    let measured = &rounds.run()[..];
    let rows = Rows {
        report,
        benchmark: "fetch_miss",
        unit: Unit::Nanoseconds,
        measured,
    };
    let peers = [
        ("moka get_with", Target::RatioAtMost(1.0)),
        ("quick_cache", Target::None),
        ("sassi", Target::None),
        ("own insert", Target::None),
        ("moka insert", Target::None),
    ];
    rows.beside("a new key, ready loader", "larder", &peers)
}

fn misses<'a, E: Fetches>(
    rounds: &mut Rounds<'a>,
    runtime: &'a Runtime,
    ids: &'a [u64],
    name: &str,
    make: impl Fn() -> E + 'a,
) {
    rounds.subject_timing_itself(name, move |times| {
        let engine = make();
        let ids = ids[..number(times)].iter().copied();
        let start = Instant::now();
        std::hint::black_box(runtime.block_on(all(&engine, ids)));
        start.elapsed()
    });
}
