//! Invalidations committed with the rows that they speak of, and read by every node in the order of commits.
//!
//! An [`Outbox`] records a batch of invalidations in the caller's own sqlx transaction: both are committed, or neither is. The
//! commit gives a [`Token`](larder_core::Token), by which a later read can ask not to be older. [`Outbox::source`] is the log as a
//! [`Source`](larder_core::Source): every row of every commit, from any cursor on.
//!
//! A [`Follower`] brings the log to the fence of each process, and [`Waiter`]s wait for tokens. A [`Relay`] hands the same rows to other systems, each
//! to one worker of a group.
//!
//! Nothing else is on the way of a commit: no second connection, no message, no wait for a reader. Nothing here runs by itself.
//!
//! Rows may also be written in SQL, by triggers or in other languages, through the view `larder_record`:
//! `INSERT INTO larder_record (kind, name, id, reason) VALUES ('entity', 'user', '42', 'renamed')`.
#![cfg_attr(not(test), warn(missing_docs))]
#![cfg_attr(
    not(feature = "sqlite"),
    expect(dead_code, reason = "what only a database needs")
)]

mod outbox;
mod transaction;

mod store;

mod follower;
mod health;
mod nodes;
mod relay;
mod seat;
mod wait;

mod database;
mod error;
mod file_hints;
mod hints;
pub mod limits;
mod memory;
mod names;
mod pace;
mod record;
mod recorded;
mod retention;
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use database::Database;
pub use error::{CommitError, ConfigError, ConfigFault, Error, TransactionError};
pub use file_hints::FileHints;
pub use follower::{
    Follower, FollowerBuilder, FollowerHandle, FollowerMetrics, FollowerStatus, GapCount, Step, Widenings,
};
pub use health::{Health, HealthPolicy, HealthReason};
pub use memory::{CommitOrder, IsGone, MemoryCopy, MemoryStore, MemoryTx};
pub use nodes::{Beaten, Joined, Member, NodeStatus, Nodes, Progress};
pub use outbox::{Outbox, OutboxBuilder};
pub use recorded::Recorded;
pub use relay::{
    Backoff, Publish, PublishFn, Published, Relay, RelayBuilder, RelayDiagnostics, RelayReport, RunError,
    ToSink,
};
pub use retention::{PurgeReport, Retention};
pub use store::{
    Behind, Claim, Completed, Count, DeadLetters, Failed, Group, Lease, Next, OutboxRow, OutboxStatus,
    OutboxStore, RowId, RowIdError, RowState, Start, TokenStatus,
};
pub use transaction::OutboxTx;
pub use wait::{Wait, WaitMode, Waited, Waiter, WaiterDiagnostics};
