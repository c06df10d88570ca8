//! [`LayerBuilder`]: takes the builders of the parts, unbuilt, gives them one fence, clock, runtime and name, and builds them together.

mod checks;
mod unbuilt;

use std::collections::HashSet;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::select;
use larder_core::sync::{AtomicU64, Mutex};
use larder_core::{
    BoxFuture, Clock, Entropy, Fence, Runtime, Source, SourceId, Storage, SystemClock, SystemEntropy,
};
use larder_outbox::limits::{POLL_RANGE, RETRY_MAX};
use larder_outbox::{
    Database, Follower, FollowerBuilder, OutboxBuilder, OutboxStore, Publish, RelayBuilder, Waiter,
};
use larder_pool::{Entity, PoolBuilder, Registry, TokioRuntime, WhenUnsure};

use self::unbuilt::{Common, OpenedRelay, Unbuilt, UnbuiltPool, Unopened, UnopenedOutbox, UnopenedRelay};
use super::advice::{self, AdviceCode, Advisor};
use super::data_dir::DataDir;
use super::limits::{FRESHNESS, VERIFY_RATE};
use super::objectives::Objectives;
use super::parts::{Followed, LayerPool};
use super::relays::{self, Relayed};
use super::shutdown::Closing;
use super::stats::Counts;
use super::tasks::{Done, Progress, Stop, Supervisor, text_of};
use super::timeline::Timeline;
use super::verify::{Same, Verified};
use super::waker::Waker;
use super::{Layer, Shared, verifier};
use crate::{Error, Problem};

/// How long an opening waits for the advisor.
const ADVICE_WITHIN: Duration = Duration::from_secs(1);
/// How long a relay may rest between two looks: it does not say what it was told.
const RELAY_PERIOD: Duration = POLL_RANGE.1;

/// Says what a layer is to be. Options of the parts are said to their own builders.
#[must_use = "a builder does nothing until it opens"]
pub struct LayerBuilder {
    name: String,
    node: Option<String>,
    data_dir: Option<PathBuf>,
    storage: Option<Arc<dyn Storage>>,
    freshness: Duration,
    when_unsure: WhenUnsure,
    requires_record: bool,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    runtime: Option<Arc<dyn Runtime>>,
    pools: Vec<Box<dyn UnbuiltPool>>,
    outboxes: Vec<Box<dyn UnopenedOutbox>>,
    file_hints: bool,
    sources: Vec<Arc<dyn Source>>,
    tune: Box<dyn Fn(FollowerBuilder) -> FollowerBuilder + Send + Sync>,
    relays: Vec<Box<dyn UnopenedRelay>>,
    verify_rate: u32,
    silenced: HashSet<AdviceCode>,
}

impl LayerBuilder {
    pub(super) fn new(name: String) -> Self {
        LayerBuilder {
            name,
            node: None,
            data_dir: None,
            storage: None,
            freshness: FRESHNESS,
            when_unsure: WhenUnsure::Bypass,
            requires_record: false,
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy::new()),
            runtime: None,
            pools: Vec::new(),
            outboxes: Vec::new(),
            file_hints: true,
            sources: Vec::new(),
            tune: Box::new(|follower| follower),
            relays: Vec::new(),
            verify_rate: VERIFY_RATE,
            silenced: HashSet::new(),
        }
    }

    /// The name of this node among all that follow the same source: 1 to 128 bytes without control characters. Default: that of
    /// [`LayerBuilder::data_dir`], or a random one each time.
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = Some(name.into());
        self
    }

    /// A directory that only this node uses, on a file system of its own machine. It is made if it is not there, and keeps the node's name and the key by which
    /// the node takes its name back at once after a crash. Default: none, and nothing is written.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// What touches the files of the data directory. Default: the file system.
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = Some(storage);
        self
    }

    /// For how long this node is sure of what it keeps after it has heard from its source, and what reads of pools that say nothing of it
    /// do afterwards. Default: 2 s, and [`WhenUnsure::Bypass`].
    pub fn freshness(mut self, bound: Duration, policy: WhenUnsure) -> Self {
        (self.freshness, self.when_unsure) = (bound, policy);
        self
    }

    /// Whether a transaction that wrote and recorded nothing is rolled back. Default: false, and it warns. SQLite counts what was written to temporary tables too.
    pub fn require_record(mut self, required: bool) -> Self {
        self.requires_record = required;
        self
    }

    /// A pool, reached by its type.
    pub fn pool<T: Entity>(self, builder: PoolBuilder<T>) -> Self {
        self.given(None, builder, None)
    }

    /// One more pool of a type, reached by its type and a label.
    pub fn pool_as<T: Entity>(self, label: impl Into<String>, builder: PoolBuilder<T>) -> Self {
        self.given(Some(label.into()), builder, None)
    }

    /// A pool whose entries the layer compares with its loader's: all the time, at [`LayerBuilder::verify_rate`], and when [`Layer::verify`] is called.
    pub fn verified_pool<T: Entity + PartialEq>(self, builder: PoolBuilder<T>) -> Self {
        self.given(None, builder, Some(Same::equal()))
    }

    /// [`LayerBuilder::verified_pool`] under a label.
    pub fn verified_pool_as<T: Entity + PartialEq>(
        self,
        label: impl Into<String>,
        builder: PoolBuilder<T>,
    ) -> Self {
        self.given(Some(label.into()), builder, Some(Same::equal()))
    }

    /// [`LayerBuilder::verified_pool`] of values that are the same if a digest of them is; the digests are kept as evidence.
    pub fn verified_pool_by<T: Entity>(self, builder: PoolBuilder<T>, digest: fn(&T) -> u64) -> Self {
        self.given(None, builder, Some(Same::Digest(digest)))
    }

    fn given<T: Entity>(
        mut self,
        label: Option<String>,
        builder: PoolBuilder<T>,
        same: Option<Same<T>>,
    ) -> Self {
        self.pools.push(Box::new(Unbuilt { label, builder, same }));
        self
    }

    /// How many entries of verified pools are compared with their origin in a second, chosen at random: up to 1,000; none if it is 0. Default: 1.
    pub fn verify_rate(mut self, per_second: u32) -> Self {
        self.verify_rate = per_second;
        self
    }

    /// No advice of this code, if it is a warning.
    pub fn silence(mut self, code: AdviceCode) -> Self {
        self.silenced.insert(code);
        self
    }

    /// An outbox, which this node records in and follows. Its tables must be there: see [`OutboxBuilder::migrate`].
    pub fn outbox<D: Database>(mut self, builder: OutboxBuilder<D>) -> Self {
        self.outboxes.push(Box::new(builder));
        self
    }

    /// Whether followers are woken by what other processes on this machine write to the files of a database, where the system tells of it
    /// ([`FileHints`](larder_outbox::FileHints)): one thread for each outbox. Default: true. Without it they hear when they ask next.
    pub fn file_hints(mut self, wake: bool) -> Self {
        self.file_hints = wake;
        self
    }

    /// One more source to be followed.
    pub fn follow(mut self, source: Arc<dyn Source>) -> Self {
        self.sources.push(source);
        self
    }

    /// What else followers are to be: how often they ask, how many rows at once. The bound on freshness is the layer's.
    pub fn followers(
        mut self,
        tune: impl Fn(FollowerBuilder) -> FollowerBuilder + Send + Sync + 'static,
    ) -> Self {
        self.tune = Box::new(tune);
        self
    }

    /// A relay over the layer's outbox: `make` is given its store. It runs as one of the layer's tasks.
    pub fn relay<P: Publish + 'static>(
        mut self,
        make: impl FnOnce(Arc<dyn OutboxStore>) -> RelayBuilder<P> + Send + Sync + 'static,
    ) -> Self {
        self.relays.push(Box::new(Unopened(make)));
        self
    }

    /// Where time comes from. Default: [`SystemClock`].
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where randomness comes from. Default: [`SystemEntropy`].
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Where tasks run. Default: tokio's, if the layer is opened within one.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Checks everything, builds all parts, and starts the tasks. Returns once each follower has made its first
    /// round, or its source has not answered: [`Layer::health`] says which.
    ///
    /// # Errors
    /// [`Error::NoRuntime`]; [`Error::Invalid`] with all faults; [`Error::NodeInUse`]; what a part says. Then nothing was started.
    pub async fn open(mut self) -> Result<Layer, Error> {
        let mut common = self.common()?;
        let mut problems = self.problems();
        let registry = Registry::new();
        let built = built(std::mem::take(&mut self.pools), &common, &registry, &mut problems);
        if !problems.is_empty() {
            return Err(Error::Invalid { problems });
        }
        let data_dir = self.take_data_dir(&mut common)?;
        let (storage, verify_rate) = (self.storage.clone(), self.verify_rate);
        let mut shared = match self.open_parts(common, registry, built).await {
            Ok(shared) => shared,
            Err(error) => {
                if let Some((data_dir, storage)) = data_dir.zip(storage) {
                    data_dir.undo(&*storage);
                }
                return Err(error);
            }
        };
        shared.data_dir = data_dir;
        let shared = Arc::new(shared);
        // Whoever opens a layer does not wait for a database that is busy; the advisor looks again in a minute.
        let over = shared.runtime.sleep(ADVICE_WITHIN);
        drop(select(Box::pin(shared.advise()), over).await);
        verifier::start(&shared, verify_rate);
        advice::start(&shared);
        Ok(Layer { shared })
    }

    /// Takes the data directory, if one was given, and who this node is from it.
    fn take_data_dir(&mut self, common: &mut Common) -> Result<Option<DataDir>, Error> {
        let Some(path) = &self.data_dir else {
            return Ok(None);
        };
        let storage = self.storage.take().or_else(file_system);
        let storage = storage.ok_or(Error::NotConfigured { part: "storage" })?;
        let data_dir = DataDir::open(&*storage, path, &*self.entropy)?;
        self.storage = Some(storage);
        common.node.get_or_insert_with(|| data_dir.node.clone());
        common.node_key = Some(data_dir.key);
        Ok(Some(data_dir))
    }

    /// Opens what needs its database, and starts what follows and relays.
    async fn open_parts(self, common: Common, registry: Registry, built: Built) -> Result<Shared, Error> {
        let Built { pools, verified } = built;
        let mut opened = Vec::new();
        for outbox in self.outboxes {
            opened.push(outbox.open(&common, self.file_hints).await?);
        }
        let first = opened.first();
        let waiter = first.map_or_else(|| Waiter::new(&common.fence), |first| first.waiter.clone());
        let store = first.map(|first| Arc::clone(&first.store));
        let tune = |follower: FollowerBuilder| {
            (self.tune)(follower)
                .freshness(self.freshness)
                .runtime(Arc::clone(&common.runtime))
                .entropy(Arc::clone(&common.entropy))
        };
        let mut followers = Vec::new();
        let (mut logs, mut wakers) = (Vec::new(), Vec::new());
        for opened in opened {
            followers.push((opened.source, tune(opened.follower).build()?));
            wakers.extend(opened.waker);
            logs.push(opened.log);
        }
        for source in self.sources {
            let follower = Follower::builder(Arc::clone(&source), &common.fence);
            followers.push((source.id(), tune(follower).build()?));
        }
        let mut relays = Vec::new();
        for relay in self.relays {
            let store = store.clone().ok_or(Error::NotConfigured { part: "outbox" })?;
            relays.push(relay.open(store, &common).await?);
        }
        let tasks = Supervisor::new(Arc::clone(&common.runtime), Arc::clone(&common.clock));
        let followed = follow(&tasks, followers).await?;
        for waker in &wakers {
            Waker::clone(waker).start(&tasks);
        }
        let relayed = relay(&tasks, relays);
        relays::watch(&relayed, &tasks, &common.runtime, &common.clock);
        let advisor = Advisor::new(&common.fence, self.silenced)?;
        Ok(Shared {
            name: self.name,
            fence: common.fence,
            timeline: common.timeline,
            clock: common.clock,
            entropy: common.entropy,
            waiter: waiter.runtime(Arc::clone(&common.runtime)),
            runtime: common.runtime,
            registry,
            pools,
            logs,
            followed,
            relays: relayed,
            wakers,
            requires_record: self.requires_record,
            silent: Mutex::default(),
            counts: Counts::default(),
            tasks,
            closing: Closing::default(),
            data_dir: None,
            verified,
            objectives: Objectives::default(),
            advisor,
            when_unsure: self.when_unsure,
            unsure_reads: Mutex::default(),
        })
    }

    /// What every part is given.
    fn common(&self) -> Result<Common, Error> {
        let ambient = || TokioRuntime::current().map(|runtime| Arc::new(runtime) as Arc<dyn Runtime>);
        let runtime = self.runtime.clone().or_else(ambient).ok_or(Error::NoRuntime)?;
        let fence = Fence::builder()
            .clock(Arc::clone(&self.clock))
            .entropy(Arc::clone(&self.entropy))
            .build()?;
        Ok(Common {
            node: self.node.clone(),
            node_key: None,
            when_unsure: self.when_unsure,
            fence,
            timeline: Arc::new(Timeline::new(Arc::clone(&self.clock))),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            runtime,
        })
    }
}

/// The file system, where it is known how to use it.
fn file_system() -> Option<Arc<dyn Storage>> {
    #[cfg(unix)]
    let storage = Some(Arc::new(larder_core::FileStorage::new()) as Arc<dyn Storage>);
    #[cfg(not(unix))]
    let storage = None;
    storage
}

/// All pools, and those of them whose values can be compared.
#[derive(Default)]
struct Built {
    pools: Vec<Arc<dyn LayerPool>>,
    verified: Vec<Arc<dyn Verified>>,
}

/// Builds all pools; what is wrong with one is told.
fn built(
    pools: Vec<Box<dyn UnbuiltPool>>,
    common: &Common,
    registry: &Registry,
    problems: &mut Vec<Problem>,
) -> Built {
    let mut all = Built::default();
    for pool in pools {
        if let Some(built) = pool.build(common, registry, problems) {
            all.pools.push(built.pool);
            all.verified.extend(built.verified);
        }
    }
    all
}

/// Makes each follower a task. One whose name is taken is no reason to be restarted but to be told: so its first round is waited for.
async fn follow(tasks: &Supervisor, followers: Vec<(SourceId, Follower)>) -> Result<Vec<Followed>, Error> {
    let mut followed = Vec::new();
    for (source, mut follower) in followers {
        match AssertUnwindSafe(follower.step()).catch_unwind().await {
            // A source that does not answer yet is asked again by the task.
            Ok(Ok(_) | Err(larder_outbox::Error::Source(_))) => {}
            Ok(Err(larder_outbox::Error::NodeInUse { node, last_seen })) => {
                return Err(Error::NodeInUse { node, last_seen });
            }
            Ok(Err(error)) => return Err(error.into()),
            // So is one that panics.
            Err(panic) => {
                let why = text_of(&*panic);
                tracing::error!(%source, %why, "a follower panicked in its first round");
            }
        }
        let handle = follower.handle();
        let progress = handle.clone();
        let progress: Progress = Box::new(move || progress.status().last_round);
        // A source that does not answer is asked again after 5 s at the latest.
        let period = follower.poll_max().max(RETRY_MAX);
        let follower = Arc::new(tokio::sync::Mutex::new(follower));
        let kept = Arc::clone(&follower);
        let work = move |stop: Stop| -> BoxFuture<'static, Done> {
            let follower = Arc::clone(&follower);
            Box::pin(async move {
                // Held by nobody else: a task runs once at a time.
                let done = follower.lock().await.run(stop.stopped()).await;
                done.map_err(Into::into)
            })
        };
        tasks.run(format!("follower {source}"), period, progress, work);
        followed.push(Followed {
            source,
            handle,
            affected_reads: AtomicU64::new(0),
            _follower: kept,
        });
    }
    Ok(followed)
}

/// Makes each relay a task.
fn relay(tasks: &Supervisor, relays: Vec<OpenedRelay>) -> Vec<Arc<Relayed>> {
    let started = relays.into_iter().map(|OpenedRelay { relay, work }| {
        let last_round = Arc::clone(&relay.last_round);
        let name = format!("relay {}", relay.group);
        tasks.run(name, RELAY_PERIOD, Box::new(move || last_round()), work);
        Arc::new(relay)
    });
    started.collect()
}

impl fmt::Debug for LayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerBuilder")
            .field("name", &self.name)
            .field("pools", &self.pools.len())
            .field("outboxes", &self.outboxes.len())
            .finish_non_exhaustive()
    }
}
