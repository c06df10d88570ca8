//! What a pool was built with: [`PoolConfig`], and the words of its options.

use std::time::Duration;

use larder_core::Namespace;
use larder_memory::Eviction;

use crate::{FetchConfig, OnConflict};

/// How much a pool may hold. A bound that is not given is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capacity {
    /// The most entries: 1 to 2^32 − 2.
    pub entries: Option<u64>,
    /// The most bytes, by weight and overhead: 1 to 2^60.
    pub bytes: Option<u64>,
}

impl Capacity {
    /// A bound on entries alone.
    #[must_use]
    pub const fn of_entries(entries: u64) -> Self {
        Capacity {
            entries: Some(entries),
            bytes: None,
        }
    }

    /// A bound on bytes alone.
    #[must_use]
    pub const fn of_bytes(bytes: u64) -> Self {
        Capacity {
            entries: None,
            bytes: Some(bytes),
        }
    }

    /// Also a bound on bytes.
    #[must_use]
    pub const fn and_bytes(self, bytes: u64) -> Self {
        Capacity {
            bytes: Some(bytes),
            ..self
        }
    }
}

/// When expired entries leave without being asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reclaim {
    /// When room is needed, and by sweeps.
    #[default]
    OnDemand,
    /// Each write also takes out up to so many.
    EachWrite(usize),
}

/// What reads do while the fence cannot be sure to have heard of every invalidation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenUnsure {
    /// Go on, and say so where the answer has room for it.
    #[default]
    Serve,
    /// Entries that were stored longer ago than this read as absent.
    Shorten(Duration),
    /// Every entry reads as absent.
    Bypass,
}

/// Everything that a pool was built with.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PoolConfig<T> {
    /// How much it may hold. [`Pool::set_capacity`](crate::Pool::set_capacity) changes what holds, not this.
    pub capacity: Capacity,
    /// What chooses the entry that leaves when room is needed, in a pool of more than
    /// [`EXACT_LRU_MAX`](crate::limits::EXACT_LRU_MAX) entries.
    pub eviction: Eviction,
    /// What an insert does when its id is there.
    pub on_conflict: OnConflict<T>,
    /// How long an entry may be read; none for ever.
    pub time_to_live: Option<Duration>,
    /// How long an entry may go unused; none for ever.
    pub time_to_idle: Option<Duration>,
    /// By what part a time to live may be shortened at random: 0 to 0.5.
    pub jitter: f64,
    /// How often the expired are removed in the background.
    pub sweep_every: Option<Duration>,
    /// When the expired leave otherwise.
    pub reclaim: Reclaim,
    /// How many events are kept for readers that lag.
    pub event_capacity: usize,
    /// The namespace that ends the pool when it is flushed; none for `default`.
    pub namespace: Option<Namespace>,
    /// What reads do while the node may have missed an invalidation.
    pub when_unsure: WhenUnsure,
    /// How calls load unless they say otherwise.
    pub fetch: FetchConfig,
    /// Whether hits and misses are counted.
    pub stats: bool,
    /// Whether figures are reported to somebody.
    pub metrics: bool,
    /// How many listeners there are.
    pub listeners: usize,
    /// Whether values are weighed by a function of the caller.
    pub weigher: bool,
    /// Whether the pool has a loader of its own.
    pub loader: bool,
    /// What that is called.
    pub loader_label: Option<&'static str>,
}

/// How plainly a hit can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Plainness {
    /// More is to be asked or told of it.
    Not,
    /// Nothing is.
    Plain,
    /// Nothing is, if the node is sure to have heard of every invalidation.
    IfSure,
}

impl<T> PoolConfig<T> {
    /// What is asked and told of a hit under this policy, beside that it is counted.
    pub(crate) fn plainness(&self, eviction: Eviction) -> Plainness {
        if eviction == Eviction::Lru || !self.stats || self.metrics {
            return Plainness::Not;
        }
        match self.when_unsure {
            WhenUnsure::Serve => Plainness::Plain,
            WhenUnsure::Bypass => Plainness::IfSure,
            WhenUnsure::Shorten(_) => Plainness::Not,
        }
    }
}
