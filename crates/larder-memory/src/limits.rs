//! Every limit of a memory tier's parts, in one place.
//!
//! Each is a constant, tested at its bound. What happens at a limit is written at the type that it belongs to.

/// The most values of one [`Slots`](crate::Slots), and so the most entries of a shard: 2^32 − 2.
pub const SLOTS_MAX: usize = 4_294_967_294;

/// A pool or cache bounded to this many entries or fewer evicts in exact least-recently-used order, whatever policy was
/// asked for: see [`Eviction::for_entries`](crate::Eviction::for_entries).
pub const EXACT_LRU_MAX: u64 = 64;

/// How many entries a policy passes over at most before it lets one go that was used. Beyond it the shard is hot
/// throughout, and a longer search would hold its lock to find nothing colder.
pub const EVICTION_STEPS_MAX: usize = 1_024;
