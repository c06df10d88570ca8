//! The four policies that choose what leaves when room is needed.
//!
//! A policy orders the entries of one shard. Its own data about an entry lies in the entry, in a [`Node`], so that a
//! hit touches the entry's line and no other; its queues are lists through those nodes. What is always true:
//!
//! - Entries are inserted, overwritten, removed and evicted under the shard's exclusive lock; a hit needs the shared one
//!   alone, and is at most one relaxed write to the node, except under exact [`Lru`].
//! - Each operation is O(1) amortised: whatever passes over an entry takes back a use that a hit recorded, or is
//!   counted against [`EVICTION_STEPS_MAX`](crate::limits::EVICTION_STEPS_MAX).
//! - No policy knows a capacity. Shards share one budget, so the part that falls to one of them is whatever it holds
//!   when room is needed, and every share below (a tenth, a window) is a share of that. A changed capacity therefore
//!   needs no telling.
//! - Nothing here counts time. Order is the order of lists, which cannot wrap.
//!
//! What it does not do: it owns no entry, decides about no expiry and no freshness (what is dead goes before any policy
//! is asked), and counts no hits for statistics.

mod adaptive_tiny_lfu;
mod border;
mod evictor;
mod ghosts;
mod lru;
mod node;
mod queue;
mod s3_fifo;
mod sieve;
mod sketch;

pub use adaptive_tiny_lfu::AdaptiveTinyLfu;
pub use evictor::{Eviction, Evictor};
pub use lru::Lru;
pub use node::{Node, Resident, Residents, Uses};
pub use s3_fifo::S3Fifo;
pub use sieve::Sieve;

use crate::slots::SlotId;

mod sealed {
    /// Only policies of this crate are policies.
    pub trait Sealed {}
}

/// What chooses the entries that leave. Sealed: implemented here only.
///
/// **The caller owes:** all calls of one policy name one slab. An entry is inserted once, when its value becomes
/// resident, and it leaves the slab only after [`Policy::remove`] or after [`Policy::evict`] returned it. Calls with
/// `&mut` are made under the shard's exclusive lock, [`Policy::hit`] under either. A node's hash is that of the entry's
/// id and well spread in all its bits; its weight is what the entry is charged.
///
/// **The policy owes:** an id that [`Policy::evict`] returns is let go already, and was resident. The entry named by `keep`
/// is never returned, so that a value just inserted is resident when its insert returns. While there is
/// an entry besides `keep`, something is returned. It never allocates for a hit, never runs foreign code but the accessors of
/// [`Resident`], and does not panic while the caller keeps its duties.
pub trait Policy: sealed::Sealed + Default + Send + Sync {
    /// Whether [`Policy::hit`] records a use. If not, each use must be told by [`Policy::hit_exclusive`].
    const SHARED_HITS: bool;

    /// Records a use under a shared lock: at most one relaxed write, to the node. Of uses at the same instant one may be
    /// lost. Does nothing unless [`Policy::SHARED_HITS`].
    fn hit(&self, uses: &Uses);

    /// Records a use under the exclusive lock.
    fn hit_exclusive<R: Residents>(&mut self, entries: &mut R, id: SlotId);

    /// Takes up an entry that has become resident.
    fn insert<R: Residents>(&mut self, entries: &mut R, id: SlotId);

    /// Notes that a resident entry was overwritten and now weighs `weight`. Counts as a use.
    fn overwrite<R: Residents>(&mut self, entries: &mut R, id: SlotId, weight: u64);

    /// Puts `new`, a later version of `old` in a slot of its own, where `old` is, with what is known of it, and lets `old` go.
    /// Counts as a use, like [`Policy::overwrite`].
    fn succeed<R: Residents>(&mut self, entries: &mut R, old: SlotId, new: SlotId);

    /// Lets an entry go that leaves for another reason than room: nothing of it is remembered.
    fn remove<R: Residents>(&mut self, entries: &mut R, id: SlotId);

    /// Chooses the entry that leaves next and lets it go, so that an entry may be inserted after it. `None` only if there
    /// is no entry but `keep`. The caller takes it out of the slab.
    fn evict<R: Residents>(&mut self, entries: &mut R, keep: Option<SlotId>) -> Option<SlotId>;

    /// Asks for the memory that inserting an entry with this hash will need. Changes nothing.
    fn expect_arrival(&self, hash: u64) {
        let _ = hash;
    }

    /// Asks for the memory that the next eviction will probably need, and the one after it. Changes nothing.
    fn expect_departure<R: Residents>(&self, entries: &R);

    /// How many entries it holds.
    fn len(&self) -> usize;

    /// Whether it holds none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of the weights of its entries.
    fn weight(&self) -> u64;
}
