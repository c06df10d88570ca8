//! [`Eviction`], the choice of a policy, and [`Evictor`], the policy chosen.

use super::node::{Residents, Uses};
use super::{AdaptiveTinyLfu, Lru, Policy, S3Fifo, Sieve};
use crate::limits::{EXACT_LRU_MAX, SHARD_ENTRIES_MIN};
use crate::slots::SlotId;

/// Which policy chooses what leaves when room is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Eviction {
    /// Two queues and ghosts: [`S3Fifo`].
    S3Fifo,
    /// One queue and a hand: [`Sieve`].
    Sieve,
    /// Exactly the least recently used; each hit takes an exclusive lock: [`Lru`].
    Lru,
    /// Frequency, with a window that adapts: [`AdaptiveTinyLfu`].
    AdaptiveTinyLfu,
}

impl Eviction {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::S3Fifo, Self::Sieve, Self::Lru, Self::AdaptiveTinyLfu];

    /// What a pool or cache that is bounded to `entries` entries uses if this was asked for: exact [`Eviction::Lru`] up to
    /// [`EXACT_LRU_MAX`], where a share of a share is no entry at all and nothing is gained by approximating.
    ///
    /// Without a bound on entries there is nothing to ask.
    #[must_use]
    pub const fn for_entries(self, entries: u64) -> Self {
        if entries <= EXACT_LRU_MAX { Self::Lru } else { self }
    }

    /// How many shards, a power of two, a pool or cache of `entries` entries may have at most ([`u64::MAX`] without a bound on
    /// them). Exact order over the whole needs one list, so `Lru` has one shard. The others need enough entries in a shard
    /// for its own choice to be as good as the whole's: [`SHARD_ENTRIES_MIN`].
    #[must_use]
    pub const fn shards_max(self, entries: u64) -> u64 {
        match self {
            Self::Lru => 1,
            Self::S3Fifo | Self::Sieve | Self::AdaptiveTinyLfu => {
                let shards = entries / SHARD_ENTRIES_MIN;
                if shards == 0 { 1 } else { 1 << shards.ilog2() }
            }
        }
    }
}

/// The policy of one shard, chosen at run time. Each method is that of [`Policy`], where the duties are written.
#[derive(Debug)]
pub struct Evictor {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    S3Fifo(Box<S3Fifo>),
    Sieve(Sieve),
    Lru(Lru),
    AdaptiveTinyLfu(Box<AdaptiveTinyLfu>),
}

/// Calls a method of whichever policy it is.
macro_rules! policy {
    ($kind:expr, $policy:ident => $call:expr) => {
        match $kind {
            Kind::S3Fifo($policy) => $call,
            Kind::Sieve($policy) => $call,
            Kind::Lru($policy) => $call,
            Kind::AdaptiveTinyLfu($policy) => $call,
        }
    };
}

impl Evictor {
    /// The policy of that name, without entries. Pass the choice through [`Eviction::for_entries`] first.
    #[must_use]
    pub fn new(eviction: Eviction) -> Self {
        let kind = match eviction {
            Eviction::S3Fifo => Kind::S3Fifo(Box::default()),
            Eviction::Sieve => Kind::Sieve(Sieve::default()),
            Eviction::Lru => Kind::Lru(Lru::default()),
            Eviction::AdaptiveTinyLfu => Kind::AdaptiveTinyLfu(Box::default()),
        };
        Self { kind }
    }

    /// Which policy it is.
    #[must_use]
    pub fn eviction(&self) -> Eviction {
        match self.kind {
            Kind::S3Fifo(_) => Eviction::S3Fifo,
            Kind::Sieve(_) => Eviction::Sieve,
            Kind::Lru(_) => Eviction::Lru,
            Kind::AdaptiveTinyLfu(_) => Eviction::AdaptiveTinyLfu,
        }
    }

    /// Becomes another policy with the same entries, in the order in which this one would let them go; what it had counted
    /// beyond that is forgotten. For a bound that crosses [`EXACT_LRU_MAX`] while in use: afterwards when it rises, after
    /// evicting down to it when it falls, so that few entries move. O(entries).
    pub fn become_policy<R: Residents>(&mut self, eviction: Eviction, entries: &mut R) {
        if eviction == self.eviction() {
            return;
        }
        let mut next = Self::new(eviction);
        while let Some(id) = self.evict(entries, None) {
            next.insert(entries, id);
        }
        *self = next;
    }

    /// Whether a hit is recorded by [`Evictor::hit`], under a shared lock: [`Policy::SHARED_HITS`].
    #[inline]
    #[must_use]
    pub fn has_shared_hits(&self) -> bool {
        !matches!(self.kind, Kind::Lru(_))
    }

    /// See [`Policy::hit`].
    #[inline]
    pub fn hit(&self, uses: &Uses) {
        policy!(&self.kind, policy => policy.hit(uses));
    }

    /// See [`Policy::hit_exclusive`].
    pub fn hit_exclusive<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        policy!(&mut self.kind, policy => policy.hit_exclusive(entries, id));
    }

    /// See [`Policy::insert`].
    pub fn insert<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        policy!(&mut self.kind, policy => policy.insert(entries, id));
    }

    /// See [`Policy::overwrite`].
    pub fn overwrite<R: Residents>(&mut self, entries: &mut R, id: SlotId, weight: u64) {
        policy!(&mut self.kind, policy => policy.overwrite(entries, id, weight));
    }

    /// See [`Policy::succeed`].
    pub fn succeed<R: Residents>(&mut self, entries: &mut R, old: SlotId, new: SlotId) {
        policy!(&mut self.kind, policy => policy.succeed(entries, old, new));
    }

    /// See [`Policy::remove`].
    pub fn remove<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        policy!(&mut self.kind, policy => policy.remove(entries, id));
    }

    /// See [`Policy::evict`].
    pub fn evict<R: Residents>(&mut self, entries: &mut R, keep: Option<SlotId>) -> Option<SlotId> {
        policy!(&mut self.kind, policy => policy.evict(entries, keep))
    }

    /// See [`Policy::expect_arrival`].
    #[inline]
    pub fn expect_arrival(&self, hash: u64) {
        policy!(&self.kind, policy => policy.expect_arrival(hash));
    }

    /// See [`Policy::expect_departure`].
    #[inline]
    pub fn expect_departure<R: Residents>(&self, entries: &R) {
        policy!(&self.kind, policy => policy.expect_departure(entries));
    }

    /// See [`Policy::len`].
    #[must_use]
    pub fn len(&self) -> usize {
        policy!(&self.kind, policy => policy.len())
    }

    /// See [`Policy::is_empty`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// See [`Policy::weight`].
    #[must_use]
    pub fn weight(&self) -> u64 {
        policy!(&self.kind, policy => policy.weight())
    }
}
