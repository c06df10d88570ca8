//! What a memory tier is made of, written once for pool and cache: slots, eviction policies, the timing wheel, and the
//! budget that shards share.
//!
//! What is always true: nothing here runs user code, takes a lock that it keeps across a call, or scans a shard to
//! serve one call; a hit allocates nothing. Everything is single-threaded data that its owner locks, except
//! [`Budget`] and what [`Policy::hit`] does to a [`Node`], which are made to be shared.
//!
//! What it does not do: it keeps no values, reads no clock, hashes no key and promises nothing to users. Pools and
//! caches own the entries, the locks and the promises.
//!
//! Order of locks: there is one lock, the budget's. It is a leaf, so it may be taken under any lock of a caller.

mod budget;
pub mod eviction;
pub mod limits;
mod list;
mod slots;
mod wheel;

pub use budget::{Bounds, Budget, Charge, Room, Short};
pub use eviction::{Eviction, Evictor, Node, Policy, Resident};
pub use slots::{SlotId, Slots, SlotsFull};
pub use wheel::{Due, TimerId, Wheel};
