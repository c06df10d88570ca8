//! Every limit of a pool, in one place.
//!
//! A constant ending in `_MAX` is fixed; one ending in `_DEFAULT` is what an option is without being given. What happens
//! at a limit is written at the operation that meets it.

use std::time::Duration;

pub use larder_memory::limits::{EXACT_LRU_MAX, WHEEL_TICK};

pub use crate::tags::TAGS_MAX;

/// Entries of a pool that is given no bound.
pub const CAPACITY_ENTRIES_DEFAULT: u64 = 10_000;
/// The greatest bound on entries: 2^32 − 2.
pub const CAPACITY_ENTRIES_MAX: u64 = 4_294_967_294;
/// The greatest bound on bytes: 2^60.
pub const CAPACITY_BYTES_MAX: u64 = 1 << 60;
/// What an entry is charged beside its weight: the slot in its shard and its share of the table, for an id of eight
/// bytes, as measured by the benchmark `memory`. Longer ids and what hangs on them are the weigher's to count.
pub const ENTRY_OVERHEAD_BYTES: u64 = 112;

/// Events kept for readers that lag, if not given.
pub const EVENT_CAPACITY_DEFAULT: usize = 256;
/// The most events that can be kept for readers that lag.
pub const EVENT_CAPACITY_MAX: usize = 1 << 20;
/// The most listeners of a pool.
pub const LISTENERS_MAX: usize = 64;
/// The most changes that wait for listeners; beyond, writers wait.
pub const LISTENER_QUEUE_MAX: usize = 65_536;

/// The most operations of a batch.
pub const BATCH_ITEMS_MAX: usize = 1 << 20;
/// How often an update computes anew before it gives up.
pub const UPDATE_RETRIES_MAX: usize = 64;

/// The greatest part by which a time to live is shortened at random.
pub const JITTER_MAX: f64 = 0.5;

/// The most entries that one step of a long removal takes out while other writers wait.
pub(crate) const STEP_ENTRIES: usize = 256;
/// The most victims in its own shard that a writer takes out under one lock.
pub(crate) const VICTIMS_AT_ONCE: usize = 16;
/// Rows that a scan collects ahead, under one lock.
pub(crate) const SCAN_ROWS: usize = 1_024;
/// Pools of more entries have more shards, so that none holds many more than this: then a table that grows while its
/// shard is locked moves a bounded number of small numbers.
pub(crate) const SHARD_ENTRIES_WISHED: u64 = 16_384;
/// The most shards of a pool.
pub(crate) const SHARDS_MAX: u64 = 4_096;
/// The longest duration that an option of a pool takes as it is: a hundred years. Longer means never.
pub(crate) const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
