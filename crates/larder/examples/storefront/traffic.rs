//! Readers and writers of one run, and the check of every read. The loop is written once, and runs over both caches. Nothing
//! in it waits for a clock: whatever waits, waits for the database or for a turn on the runtime.

use crate::Fault;
use crate::engines::Engine;
use crate::options::Options;
use crate::random::Random;
use crate::shop::{CATEGORIES, Change, Shop};
use larder::{Clock, SystemClock};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;
use tokio::task::JoinSet;

/// A reader that only hits lets others run now and then.
const READS_WITHOUT_A_YIELD: u64 = 64;
/// Of the writes of a run with categories, one in so many changes one.
const WRITES_A_CATEGORY: u32 = 20;

/// What writers change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changes {
    /// One row a write.
    Rows,
    /// Now and then a whole category.
    RowsAndCategories,
}

impl Changes {
    pub(crate) fn title(self) -> String {
        match self {
            Changes::Rows => "each write changes one row and invalidates its id".to_owned(),
            Changes::RowsAndCategories => format!(
                "one write in {WRITES_A_CATEGORY} changes a category, which is invalidated by tag (moka: by predicate)"
            ),
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) reads: u64,
    pub(crate) hits: u64,
    pub(crate) stale: u64,
    pub(crate) loads: u64,
    pub(crate) writes: u64,
    pub(crate) seconds: f64,
}

impl Tally {
    /// Counts what came of something else too.
    pub(crate) fn add(&mut self, other: &Tally) {
        self.reads += other.reads;
        self.hits += other.hits;
        self.stale += other.stale;
        self.loads += other.loads;
        self.writes += other.writes;
        self.seconds += other.seconds;
    }
}

/// What all tasks of a run share.
struct World<E> {
    shop: Arc<Shop>,
    engine: Arc<E>,
    products: u32,
    changes: Changes,
    /// Of each product, the newest version whose commit and invalidation have returned.
    acknowledged: Vec<AtomicU32>,
    is_over: AtomicBool,
}

/// Lets readers and writers run for as long as the options say.
pub(crate) async fn run<E: Engine>(
    shop: &Arc<Shop>,
    engine: &Arc<E>,
    options: &Options,
    changes: Changes,
) -> Result<Tally, Fault> {
    let world = Arc::new(World {
        shop: Arc::clone(shop),
        engine: Arc::clone(engine),
        products: options.products,
        changes,
        acknowledged: (0..options.products).map(|_| AtomicU32::new(1)).collect(),
        is_over: AtomicBool::new(false),
    });
    let clock = SystemClock::new();
    let begun = clock.monotonic();
    let mut tasks = JoinSet::new();
    for task in 0..u64::from(options.readers) {
        let random = Random::new(options.seed, task);
        tasks.spawn(Arc::clone(&world).read_on(random));
    }
    for task in 0..u64::from(options.writers) {
        let random = Random::new(!options.seed, task);
        tasks.spawn(Arc::clone(&world).write_on(random));
    }
    tokio::time::sleep(Duration::from_secs(options.seconds.into())).await;
    world.is_over.store(true, SeqCst);
    let mut tally = Tally::default();
    while let Some(done) = tasks.join_next().await {
        tally.add(&done??);
    }
    tally.loads = shop.loads();
    tally.seconds = clock.monotonic().since(begun).as_secs_f64();
    Ok(tally)
}

impl<E: Engine> World<E> {
    fn goes_on(&self) -> bool {
        !self.is_over.load(SeqCst)
    }

    fn acknowledged(&self, id: u32) -> &AtomicU32 {
        let place = usize::try_from(id).expect("an id is a place in memory");
        &self.acknowledged[place]
    }

    /// One reader: reads, and checks what it reads.
    async fn read_on(self: Arc<Self>, mut random: Random) -> Result<Tally, Fault> {
        let mut tally = Tally::default();
        while self.goes_on() {
            let id = random.popular(self.products);
            let version_min = self.acknowledged(id).load(SeqCst);
            let (is_hit, product) = watched(self.engine.read(id)).await;
            let product = product?;
            tally.reads += 1;
            tally.hits += u64::from(is_hit);
            tally.stale += u64::from(product.version < version_min);
            if tally.reads % READS_WITHOUT_A_YIELD == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(tally)
    }

    /// One writer: commits, invalidates, and only then says that the new version is there.
    async fn write_on(self: Arc<Self>, mut random: Random) -> Result<Tally, Fault> {
        let mut tally = Tally::default();
        while self.goes_on() {
            let of_all = self.changes == Changes::RowsAndCategories && random.below(WRITES_A_CATEGORY) == 0;
            let changed: Vec<Change> = if of_all {
                let category = random.below(CATEGORIES);
                let changed = self.shop.change_category(category).await?;
                self.engine.invalidate_category(category).await?;
                changed
            } else {
                let id = random.popular(self.products);
                let changed = self.shop.change_product(id).await?;
                self.engine.invalidate(id).await?;
                changed
            };
            for (id, version) in changed {
                self.acknowledged(id).fetch_max(version, SeqCst);
            }
            tally.writes += 1;
        }
        Ok(tally)
    }
}

/// What a call gives, and whether it had it without waiting.
async fn watched<F: Future>(call: F) -> (bool, F::Output) {
    let mut call = pin!(call);
    let mut is_first = true;
    poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready((is_first, done)),
        Poll::Pending => {
            is_first = false;
            Poll::Pending
        }
    })
    .await
}
