//! Every limit of the outbox, in one place. Those of names, targets and batches are core's.

use std::time::Duration;

pub use larder_core::limits::Limit;

/// An id longer than this lies in a column of its own, and its digest in the key of the row. In bytes.
pub const ID_INLINE_BYTES_MAX: usize = 1_024;
/// Targets that one statement of SQLite records.
pub const TARGETS_A_STATEMENT: usize = 2_000;
/// Rows that a follower asks for at once, if it is told nothing.
pub const ROWS_A_READ: usize = 1_000;
/// Tries of a sink, before it is asked to widen.
pub const SINK_TRIES: usize = 3;
/// How long a follower waits after the first failure of its source; twice as long after each further one.
pub const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest that a follower waits after a failure.
pub const RETRY_MAX: Duration = Duration::from_secs(5);
/// How long a follower believes that it has heard of everything, if it is told nothing, and the range of that.
pub const FRESHNESS: Duration = Duration::from_secs(2);
/// The shortest and the longest freshness.
pub const FRESHNESS_RANGE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3_600));
/// How soon a follower asks again after rows, if it is told nothing.
pub const POLL_MIN: Duration = Duration::from_millis(2);
/// How soon a follower asks again when there is nothing, if it is told nothing.
pub const POLL_MAX: Duration = Duration::from_millis(100);
/// The shortest and the longest of both.
pub const POLL_RANGE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(60));
/// How long rows are kept, if nothing is said, and the range of that.
pub const RETENTION_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The shortest and the longest time for which rows are kept.
pub const RETENTION_RANGE: (Duration, Duration) =
    (Duration::from_secs(60), Duration::from_secs(30 * 24 * 3_600));
/// Rows that one transaction of a purge removes, if nothing is said.
pub const PURGE_CHUNK: usize = 1_000;
/// The most of these.
pub const PURGE_CHUNK_MAX: usize = 10_000;
/// How often a follower saves its cursor at most.
pub const SAVE_EVERY: Duration = Duration::from_millis(250);

/// The most rows that one read of a source gives; a read for more gives as many. The least is 1.
pub const ROWS_A_READ_MAX: usize = 10_000;
/// Longest prefix of the names of tables, in bytes.
pub const PREFIX_BYTES_MAX: usize = 32;
