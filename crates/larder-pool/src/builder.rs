//! [`PoolBuilder`]: every option of a pool, checked at once.

mod fetch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use larder_core::{
    Clock, EntityName, Entropy, Fence, IntoName, Namespace, Runtime, SystemClock, SystemEntropy, Trace,
};
use larder_memory::Eviction;

use crate::config::{Capacity, PoolConfig, Reclaim, WhenUnsure};
use crate::fetch::AnyLoader;
use crate::limits::{
    CAPACITY_BYTES_MAX, CAPACITY_ENTRIES_DEFAULT, CAPACITY_ENTRIES_MAX, EVENT_CAPACITY_DEFAULT,
    EVENT_CAPACITY_MAX, JITTER_MAX, LISTENERS_MAX,
};
use crate::listener::Listener;
use crate::shared::{Parts, Shared};
use crate::{BuildError, Entity, FetchConfig, MaybeSend, MaybeSync, OnConflict, Pool, PoolMetrics};

/// What tells how much a value weighs.
pub(crate) type Weigher<T> = Box<dyn Weigh<T>>;

/// A function of a value that may be called on any thread.
pub(crate) trait Weigh<T>: MaybeSend + MaybeSync + 'static {
    fn weigh(&self, value: &T) -> usize;
}

impl<T, F: Fn(&T) -> usize + MaybeSend + MaybeSync + 'static> Weigh<T> for F {
    fn weigh(&self, value: &T) -> usize {
        self(value)
    }
}

/// Options of a [`Pool`]. All have defaults; [`PoolBuilder::build`] checks them together.
#[must_use]
pub struct PoolBuilder<T: Entity> {
    capacity_entries: Option<u64>,
    capacity_bytes: Option<u64>,
    weigher: Option<Weigher<T>>,
    eviction: Eviction,
    on_conflict: OnConflict<T>,
    time_to_live: Option<Duration>,
    time_to_idle: Option<Duration>,
    jitter: f64,
    sweep_every: Option<Duration>,
    reclaim: Reclaim,
    event_capacity: usize,
    listeners: Vec<Box<dyn Listener<T>>>,
    metrics: Option<Arc<dyn PoolMetrics>>,
    stats: bool,
    namespace: Option<Result<Namespace, larder_core::TargetError>>,
    fence: Option<Fence>,
    when_unsure: Option<WhenUnsure>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    runtime: Option<Arc<dyn Runtime>>,
    fetch: FetchConfig,
    negative_entries: Option<usize>,
    loader: Option<Arc<dyn AnyLoader<T>>>,
    loader_label: Option<&'static str>,
    trace: Option<Arc<dyn Trace>>,
}

impl<T: Entity> PoolBuilder<T> {
    pub(crate) fn new() -> Self {
        PoolBuilder {
            capacity_entries: None,
            capacity_bytes: None,
            weigher: None,
            eviction: Eviction::AdaptiveTinyLfu,
            on_conflict: OnConflict::Replace,
            time_to_live: None,
            time_to_idle: None,
            jitter: 0.0,
            sweep_every: None,
            reclaim: Reclaim::OnDemand,
            event_capacity: EVENT_CAPACITY_DEFAULT,
            listeners: Vec::new(),
            metrics: None,
            stats: true,
            namespace: None,
            fence: None,
            when_unsure: None,
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy::new()),
            runtime: None,
            fetch: FetchConfig::default(),
            negative_entries: None,
            loader: None,
            loader_label: None,
            trace: None,
        }
    }

    /// The most entries: 1 to 2^32 − 2. Default: 10,000, or none if there is a bound on bytes.
    pub fn capacity_entries(mut self, entries: u64) -> Self {
        self.capacity_entries = Some(entries);
        self
    }

    /// The most bytes, by weight and overhead: 1 to 2^60. Default: none.
    pub fn capacity_bytes(mut self, bytes: u64) -> Self {
        self.capacity_bytes = Some(bytes);
        self
    }

    /// How many bytes a value weighs, asked once for each that is stored. What an entry is charged beside it is
    /// [`ENTRY_OVERHEAD_BYTES`](crate::limits::ENTRY_OVERHEAD_BYTES), and its tags. Default: `size_of::<T>()`.
    pub fn weigher(mut self, weigher: impl Fn(&T) -> usize + MaybeSend + MaybeSync + 'static) -> Self {
        self.weigher = Some(Box::new(weigher));
        self
    }

    /// What chooses the entry that leaves when room is needed. Pools of up to 64 entries use exact LRU whatever is given.
    /// Default: [`Eviction::AdaptiveTinyLfu`].
    pub fn eviction(mut self, eviction: Eviction) -> Self {
        self.eviction = eviction;
        self
    }

    /// What an insert does when a live entry of its id is there. Default: [`OnConflict::Replace`].
    pub fn on_conflict(mut self, rule: OnConflict<T>) -> Self {
        self.on_conflict = rule;
        self
    }

    /// How long an entry may be read, not zero. Default: for ever.
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = Some(time);
        self
    }

    /// How long an entry may go unused, not zero. Default: for ever.
    pub fn time_to_idle(mut self, time: Duration) -> Self {
        self.time_to_idle = Some(time);
        self
    }

    /// Shortens each time to live by a random part of up to this, 0 to 0.5, so that what was stored together does not
    /// expire together. Default: 0.
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter = part;
        self
    }

    /// Removes the expired in the background so often, not zero; needs a runtime. Default: never.
    pub fn sweep_every(mut self, interval: Duration) -> Self {
        self.sweep_every = Some(interval);
        self
    }

    /// When the expired leave otherwise. Default: [`Reclaim::OnDemand`].
    pub fn reclaim(mut self, reclaim: Reclaim) -> Self {
        self.reclaim = reclaim;
        self
    }

    /// How many events are kept for readers that lag: 1 to 2^20. Default: 256.
    pub fn event_capacity(mut self, events: usize) -> Self {
        self.event_capacity = events;
        self
    }

    /// Somebody who hears of every change, in order. At most 64. Default: nobody.
    pub fn listener(mut self, listener: impl Listener<T>) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Who gets the pool's figures. Default: nobody.
    pub fn metrics(mut self, metrics: Arc<dyn PoolMetrics>) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Whether hits and misses are counted. Default: yes.
    pub fn stats(mut self, stats: bool) -> Self {
        self.stats = stats;
        self
    }

    /// The namespace that ends the whole pool when it is flushed. It does not separate ids in memory: a tenant belongs in
    /// the id. Default: `default`.
    pub fn namespace(mut self, namespace: impl IntoName<Namespace>) -> Self {
        self.namespace = Some(namespace.into_name());
        self
    }

    /// The fence that judges what the pool may still believe; pools, caches and followers of one node share one. Default:
    /// one of its own.
    pub fn fence(mut self, fence: Fence) -> Self {
        self.fence = Some(fence);
        self
    }

    /// What reads do while the fence cannot be sure to have heard of every invalidation. Default: [`WhenUnsure::Serve`].
    pub fn when_unsure(mut self, when_unsure: WhenUnsure) -> Self {
        self.when_unsure = Some(when_unsure);
        self
    }

    /// [`PoolBuilder::when_unsure`], if nothing was said of it yet.
    pub fn when_unsure_by_default(mut self, when_unsure: WhenUnsure) -> Self {
        self.when_unsure.get_or_insert(when_unsure);
        self
    }

    /// Who hears what befalls single ids: a layer, which tells it again when it explains one. Default: nobody.
    pub fn trace(mut self, trace: Arc<dyn Trace>) -> Self {
        self.trace = Some(trace);
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

    /// Where background work runs. Default: tokio's, if the pool is built within one and the feature `tokio` is on; else
    /// none.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Builds the pool.
    ///
    /// # Errors
    /// [`BuildError`], which names every option that is wrong.
    pub fn build(self) -> Result<Pool<T>, BuildError> {
        let mut faults = Vec::new();
        let capacity = self.capacity(&mut faults);
        self.check_times(&mut faults);
        self.check_numbers(&mut faults);
        let name = EntityName::new(T::name());
        let name = name.map_err(|error| {
            faults.push(BuildError::Name {
                option: "name",
                error,
            })
        });
        let namespace = self.namespace.clone().transpose();
        let namespace = namespace.map_err(|error| {
            let option = "namespace";
            faults.push(BuildError::Name { option, error });
        });
        let runtime = self.runtime.clone().or_else(crate::runtime::ambient);
        if runtime.is_none() && self.sweep_every.is_some() {
            let option = "sweep_every";
            faults.push(BuildError::NeedsRuntime { option });
        }
        let fetch = self.check_fetch(capacity, runtime.is_some(), &mut faults);
        BuildError::of(faults)?;
        let (Ok(name), Ok(namespace)) = (name, namespace) else {
            unreachable!("invariant: a fault was told above")
        };
        let config = PoolConfig {
            capacity,
            eviction: self.eviction,
            on_conflict: self.on_conflict,
            time_to_live: self.time_to_live,
            time_to_idle: self.time_to_idle,
            jitter: self.jitter,
            sweep_every: self.sweep_every,
            reclaim: self.reclaim,
            event_capacity: self.event_capacity,
            namespace,
            when_unsure: self.when_unsure.unwrap_or_default(),
            fetch,
            stats: self.stats,
            metrics: self.metrics.is_some(),
            listeners: self.listeners.len(),
            weigher: self.weigher.is_some(),
            loader: self.loader.is_some(),
            loader_label: self.loader_label,
        };
        Shared::build(Parts {
            config,
            name,
            weigher: self.weigher,
            listeners: self.listeners,
            metrics: self.metrics,
            fence: self.fence,
            clock: self.clock,
            entropy: self.entropy,
            runtime,
            loader: self.loader,
            trace: self.trace,
        })
        .map(Pool::of)
    }

    fn capacity(&self, faults: &mut Vec<BuildError>) -> Capacity {
        let entries = match (self.capacity_entries, self.capacity_bytes) {
            (None, None) => Some(CAPACITY_ENTRIES_DEFAULT),
            (entries, _) => entries,
        };
        let capacity = Capacity {
            entries,
            bytes: self.capacity_bytes,
        };
        check_capacity(capacity, faults);
        capacity
    }

    fn check_times(&self, faults: &mut Vec<BuildError>) {
        let times = [
            ("time_to_live", self.time_to_live),
            ("time_to_idle", self.time_to_idle),
            ("sweep_every", self.sweep_every),
        ];
        for (option, time) in times {
            if time == Some(Duration::ZERO) {
                faults.push(out_of_range(option, "0 s", "more than nothing"));
            }
        }
        if self.when_unsure == Some(WhenUnsure::Shorten(Duration::ZERO)) {
            faults.push(out_of_range("when_unsure", "0 s", "more than nothing"));
        }
    }

    fn check_numbers(&self, faults: &mut Vec<BuildError>) {
        // Also refuses what is no number.
        if !(0.0..=JITTER_MAX).contains(&self.jitter) {
            faults.push(out_of_range("jitter", self.jitter, "0 to 0.5"));
        }
        if self.event_capacity == 0 || self.event_capacity > EVENT_CAPACITY_MAX {
            faults.push(out_of_range("event_capacity", self.event_capacity, "1 to 2^20"));
        }
        if self.reclaim == Reclaim::EachWrite(0) {
            faults.push(out_of_range("reclaim", 0, "at least 1"));
        }
        if self.listeners.len() > LISTENERS_MAX {
            faults.push(out_of_range("listener", self.listeners.len(), "at most 64"));
        }
    }
}

/// Finds what is wrong with a capacity.
pub(crate) fn check_capacity(capacity: Capacity, faults: &mut Vec<BuildError>) {
    if let Some(entries) = capacity.entries
        && !(1..=CAPACITY_ENTRIES_MAX).contains(&entries)
    {
        faults.push(out_of_range("capacity_entries", entries, "1 to 2^32 - 2"));
    }
    if let Some(bytes) = capacity.bytes
        && !(1..=CAPACITY_BYTES_MAX).contains(&bytes)
    {
        faults.push(out_of_range("capacity_bytes", bytes, "1 to 2^60"));
    }
    if capacity == Capacity::default() {
        faults.push(out_of_range(
            "capacity",
            "without any bound",
            "a bound on entries or bytes",
        ));
    }
}

fn out_of_range(option: &'static str, given: impl fmt::Display, allowed: &'static str) -> BuildError {
    BuildError::OutOfRange {
        option,
        given: given.to_string(),
        allowed,
    }
}

impl<T: Entity> fmt::Debug for PoolBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("name", &T::name())
            .field("capacity_entries", &self.capacity_entries)
            .field("capacity_bytes", &self.capacity_bytes)
            .field("eviction", &self.eviction)
            .field("on_conflict", &self.on_conflict)
            .finish_non_exhaustive()
    }
}
