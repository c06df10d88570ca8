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
/// For how long rows are kept that nobody needs any more, if nothing is said. Its range is that of [`RETENTION_MAX`].
pub const RETENTION_MIN: Duration = Duration::from_secs(600);
/// For how long a group gets its rows, if nothing is said.
pub const CLAIM_RETENTION: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The shortest and the longest time for which a group gets its rows.
pub const CLAIM_RETENTION_RANGE: (Duration, Duration) =
    (Duration::from_secs(3_600), Duration::from_secs(90 * 24 * 3_600));
/// Rows that one transaction of a purge removes, if nothing is said.
pub const PURGE_CHUNK: usize = 1_000;
/// The most of these.
pub const PURGE_CHUNK_MAX: usize = 10_000;
/// How often a follower saves its cursor at most.
pub const SAVE_EVERY: Duration = Duration::from_millis(250);

/// For how long a node counts as live after it was last heard of, if nothing is said.
pub const NODE_LEASE: Duration = Duration::from_secs(10);
/// For how long the cursor of a node that is silent keeps rows from being purged, if nothing is said.
pub const NODE_FORGOTTEN: Duration = Duration::from_secs(24 * 3_600);
/// The shortest and the longest of both.
pub const NODE_LEASE_RANGE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(30 * 24 * 3_600));
/// How often a node tells how far it has come, if nothing is said.
pub const PUBLISH_EVERY: Duration = Duration::from_millis(250);
/// The shortest and the longest of that.
pub const PUBLISH_EVERY_RANGE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));
/// How often a wait for a group looks, if nothing is said.
pub const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// The least and the most of that.
pub const POLL_INTERVAL_RANGE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(10));
/// How often at most the waits of a process look at the table of nodes.
pub const NODES_LOOK_EVERY: Duration = Duration::from_millis(50);
/// Live nodes of a log.
pub const NODES_MAX: usize = 256;
/// Groups of a log.
pub const GROUPS_MAX: usize = 64;
/// Rows that a relay claims at once.
pub const BATCH_SIZE: Limit = Limit::new("batch_size", 256, 1, 4_096);
/// For how long a claim holds its rows, if nothing is said.
pub const CLAIM_TTL: Duration = Duration::from_secs(30);
/// The shortest and the longest time for which a claim holds its rows.
pub const CLAIM_TTL_RANGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3_600));
/// After how long a row that failed comes again, if nothing is said.
pub const BACKOFF: Duration = Duration::from_secs(1);
/// The longest that it doubles to, if nothing is said.
pub const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// The shortest and the longest of both.
pub const BACKOFF_RANGE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(24 * 3_600));
/// How often a row may fail before it is a dead letter.
pub const MAX_ATTEMPTS: Limit = Limit::new("max_attempts", 12, 1, 1_000);
/// Batches that a relay has in flight.
pub const CONCURRENCY: Limit = Limit::new("concurrency", 1, 1, 16);
/// Dead letters of a group, with which it claims no more.
pub const DEAD_LETTERS_MAX: Limit = Limit::new("dead_letters_max", 100_000, 1, 10_000_000);
/// The longest that single rows are kept after they were acknowledged.
pub const KEEP_ACKNOWLEDGED_MAX: Duration = Duration::from_secs(90 * 24 * 3_600);
/// Rows up to which are counted; of more it is said that there are at least so many.
pub const COUNT_MAX: u64 = 100_000;
/// The most rows of a page.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// Rows of others that one claim of a group with namespaces passes over.
pub const ROWS_PASSED_MAX: usize = 10_000;

/// The most rows that one read of a source gives; a read for more gives as many. The least is 1.
pub const ROWS_A_READ_MAX: usize = 10_000;
/// Longest prefix of the names of tables, in bytes.
pub const PREFIX_BYTES_MAX: usize = 32;
