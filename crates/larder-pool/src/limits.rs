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

/// The most that an entry is charged in a pool without a bound on bytes: as many entries as there may be sum up to what 64
/// bits hold.
pub(crate) const UNBOUNDED_CHARGE_MAX: u64 = u32::MAX as u64;
/// The most bytes of one encoded entry, its header not counted: 64 MiB.
pub const ENCODED_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// The most levels of values within values that are read from bytes: each struct, enum, option, sequence and map is one.
pub const ENCODED_DEPTH_MAX: usize = 256;
/// Elements without any bytes (`()`, a struct without fields) that an encoded value may have whatever its length. Of others
/// it has at most as many as it has bytes.
pub const EMPTY_ELEMENTS_MAX: usize = 1_024;

/// The most ids that are gathered for one call of a loader.
pub const BATCHER_IDS_MAX: usize = FETCH_IDS_MAX;
/// The most ids that one call may ask a loader for.
pub const FETCH_IDS_MAX: usize = 65_536;
/// Ids that may be loaded at once, if not given.
pub const FLIGHTS_DEFAULT: usize = 65_536;
/// The most ids that may be loaded at once.
pub const FLIGHTS_MAX: usize = 1 << 20;
/// Ids of which it is remembered that there is no such entity, if not given; never more than the pool has entries.
pub const NEGATIVE_ENTRIES_DEFAULT: usize = 4_096;
/// For how long an id with a stale value is not loaded again after a failure, if not given.
pub const ERROR_HOLD_DEFAULT: Duration = Duration::from_secs(1);
/// How long a call with a token waits until the node has applied it, if not given.
pub const WAIT_AT_MOST_DEFAULT: Duration = Duration::from_millis(100);
/// The longest that a loader can be given.
pub const LOADER_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
/// The greatest part of a time to live within which a hit loads ahead.
pub const REFRESH_AHEAD_MAX: f64 = 0.9;

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
