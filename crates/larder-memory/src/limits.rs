//! Every limit of a memory tier's parts, in one place.
//!
//! Each is a constant, tested at its bound. What happens at a limit is written at the type that it belongs to.

use std::time::Duration;

/// The most values of one [`Slots`](crate::Slots), and so the most entries of a shard: 2^32 − 2.
pub const SLOTS_MAX: usize = 4_294_967_294;

/// A pool or cache bounded to this many entries or fewer evicts in exact least-recently-used order, whatever policy was
/// asked for: see [`Eviction::for_entries`](crate::Eviction::for_entries).
pub const EXACT_LRU_MAX: u64 = 64;

/// A shard is made for at least this many entries. On recorded traces eight shards of a hundred entries lose up to four
/// points of hit ratio, eight of a thousand a third of a point at most.
pub const SHARD_ENTRIES_MIN: u64 = 512;

/// How many entries a policy passes over at most before it lets one go that was used. Beyond it the shard is hot
/// throughout, and a longer search would hold its lock to find nothing colder.
pub const EVICTION_STEPS_MAX: usize = 1_024;

/// The tick of a pool's timing wheel: how late, at most, an expired entry is found.
pub const WHEEL_TICK: Duration = Duration::from_millis(1);

/// The shortest tick of a [`Wheel`](crate::Wheel): with it, its levels just cover every moment that there is.
pub const WHEEL_TICK_MIN: Duration = Duration::from_micros(100);
