//! Every limit of the outbox, in one place. Those of names, targets and batches are core's.

pub use larder_core::limits::Limit;

/// An id longer than this lies in a column of its own, and its digest in the key of the row. In bytes.
pub const ID_INLINE_BYTES_MAX: usize = 1_024;
/// Targets that one statement of SQLite records.
pub const TARGETS_A_STATEMENT: usize = 2_000;
/// The most rows that one read of a source gives; a read for more gives as many. The least is 1.
pub const ROWS_A_READ_MAX: usize = 10_000;
/// Longest prefix of the names of tables, in bytes.
pub const PREFIX_BYTES_MAX: usize = 32;
