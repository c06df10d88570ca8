//! What a memory tier is made of, written once for pool and cache. So far: slots, eviction
//! policies and the timing wheel.
//!
//! What is always true: nothing here runs user code, takes a lock that it keeps across a call, or scans a shard to
//! serve one call; a hit allocates nothing. Everything is single-threaded data that its owner locks, except what
//! [`Policy::hit`] does to a [`Node`], which is made to be shared.
//!
//! What it does not do: it keeps no values, reads no clock, hashes no key and promises nothing to users. Pools and
//! caches own the entries, the locks and the promises.

pub mod eviction;
pub mod limits;
mod list;
mod slots;
mod wheel;

pub use eviction::{Eviction, Evictor, Node, Policy, Resident};
pub use slots::{SlotId, Slots, SlotsFull};
pub use wheel::{Due, TimerId, Wheel};
