//! What a memory tier is made of, written once for pool and cache. So far: slots.
//!
//! What is always true: nothing here runs user code, takes a lock that it keeps across a call, or scans a shard to
//! serve one call.
//!
//! What it does not do: it keeps no values, reads no clock, hashes no key and promises nothing to users. Pools and
//! caches own the entries, the locks and the promises.

pub mod limits;
mod slots;

pub use slots::{SlotId, Slots, SlotsFull};
