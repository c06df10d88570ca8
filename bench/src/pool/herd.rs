//! `fetch_herd`: many callers who ask for the same missing key at once, for whom one load must do.
//!
//! All callers are polled by one task, one after the other, whenever it is woken: that costs less than a task for each, and
//! so hides less of what is measured. The loader waits once, so that each caller is there before it has ended.

use super::engines::{Engine, Thing, pool, quick, sassi};
use super::fetch::{Moka, moka, runtime};
use super::{ENTRIES, Outcome, ROOMY, Rows, Unit};
use crate::{Report, Rounds, Row, Target};
use larder_pool::Pool;
use quick_cache::sync::Cache as QuickCache;
use sassi::{FetchError, Punnu};
use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use tokio::runtime::Runtime;
use tokio::task::yield_now;

/// How many ask at once.
const CALLERS: u64 = 32;
/// How many herds a round has.
const HERDS: u64 = 5_000;

/// How often a loader ran.
type Loads = Arc<AtomicU64>;

/// One fetch, with a loader that counts and waits once.
trait Joins {
    fn join(&self, id: u64, loads: Loads) -> impl Future<Output = Arc<Thing>>;
}

async fn loaded(id: u64, loads: Loads) -> Thing {
    loads.fetch_add(1, Ordering::Relaxed);
    yield_now().await;
    Thing::new(id)
}

impl Joins for Pool<Thing> {
    async fn join(&self, id: u64, loads: Loads) -> Arc<Thing> {
        let load = self.get_or_fetch(&id, |load| async move {
            Ok::<_, Infallible>(loaded(load.id, loads).await)
        });
        load.await.expect("the loader succeeds").expect("it has each")
    }
}

impl Joins for QuickCache<u64, Arc<Thing>> {
    async fn join(&self, id: u64, loads: Loads) -> Arc<Thing> {
        let load = self.get_or_insert_async(&id, async {
            Ok::<_, Infallible>(Arc::new(loaded(id, loads).await))
        });
        load.await.expect("the loader succeeds")
    }
}

impl Joins for Moka {
    async fn join(&self, id: u64, loads: Loads) -> Arc<Thing> {
        self.get_with(id, async { Arc::new(loaded(id, loads).await) })
            .await
    }
}

impl Joins for Punnu<Thing> {
    async fn join(&self, id: u64, loads: Loads) -> Arc<Thing> {
        let load = self.get_or_fetch(&id, |id| async move {
            Ok::<_, FetchError>(Some(loaded(id, loads).await))
        });
        load.await.expect("the loader succeeds").expect("it has each")
    }
}

/// The floor: as many that wait once, and share nothing.
struct Nothing;

impl Joins for Nothing {
    async fn join(&self, id: u64, _loads: Loads) -> Arc<Thing> {
        yield_now().await;
        Arc::new(Thing::new(id))
    }
}

/// Measures and reports. A herd asks for a key that was never there.
///
/// # Errors
/// When standard output cannot be written, or there is no runtime.
pub fn fetch_herd(report: Report) -> Outcome {
    let runtime = runtime()?;
    let larder = pool(ENTRIES, None);
    let (quick, moka) = (quick(ROOMY), moka(ROOMY));
    let sassi = sassi(ROOMY, None);
    let counted = [(); 5].map(|()| Loads::default());
    let mut rounds = Rounds::new(HERDS);
    herds(&mut rounds, &runtime, "larder", &larder, &counted[0]);
    herds(&mut rounds, &runtime, "sassi", &sassi, &counted[1]);
    herds(&mut rounds, &runtime, "quick_cache", &quick, &counted[2]);
    herds(&mut rounds, &runtime, "moka", &moka, &counted[3]);
    herds(
        &mut rounds,
        &runtime,
        "32 that share nothing",
        &Nothing,
        &counted[4],
    );
    let measured = &rounds.run()[..];
    let herds = Engine::count(&larder);
    let each = |loads: &Loads| per(loads.load(Ordering::Relaxed), herds);
    report.row(&Row {
        benchmark: "fetch_herd",
        case: "32 callers, loads for all of them".to_owned(),
        larder: each(&counted[0]),
        unit: "x",
        peer: Some(("sassi".to_owned(), each(&counted[1]))),
        ratios: Vec::new(),
        target: Target::AtMost(1.0),
    })?;
    let rows = Rows {
        report,
        benchmark: "fetch_herd",
        unit: Unit::Nanoseconds,
        measured,
    };
    let peers = [
        ("sassi", Target::RatioAtMost(0.5)),
        ("quick_cache", Target::None),
        ("moka", Target::None),
        ("32 that share nothing", Target::None),
    ];
    rows.beside("32 callers, until all have the value", "larder", &peers)
}

/// Adds a subject whose operation is a whole herd.
fn herds<'a, E: Joins>(
    rounds: &mut Rounds<'a>,
    runtime: &'a Runtime,
    name: &str,
    engine: &'a E,
    loads: &'a Loads,
) {
    let next = Cell::new(0);
    rounds.subject(name, move |times| {
        let first = next.replace(next.get() + times);
        runtime.block_on(async {
            for id in first..first + times {
                let callers = (0..CALLERS).map(|_| Box::pin(engine.join(id, Arc::clone(loads))));
                assert!(served(callers.collect(), id).await, "all have the value");
            }
        });
    });
}

/// Waits until each of these has ended, and says whether all of them have this value.
async fn served<F: Future<Output = Arc<Thing>>>(mut callers: Vec<Pin<Box<F>>>, id: u64) -> bool {
    let mut all_right = true;
    poll_fn(|context| {
        callers.retain_mut(|caller| match caller.as_mut().poll(context) {
            Poll::Ready(thing) => {
                all_right &= thing.id == id;
                false
            }
            Poll::Pending => true,
        });
        if callers.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    all_right
}

#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits of a count are enough for a report"
)]
fn per(count: u64, herds: u64) -> f64 {
    count as f64 / herds.max(1) as f64
}
