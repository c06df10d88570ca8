//! Why an outbox refuses, and what that means for the caller's transaction.

use std::fmt;
use std::time::Duration;

use larder_core::limits::{Limit, NODE_BYTES_MAX};
use thiserror::Error;

/// A call to an outbox failed. What the caller's own transaction becomes is the caller's to decide: both its rows and what
/// was recorded are committed, or neither is.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Options are out of their ranges; all of them are named.
    #[error("{0}")]
    Config(ConfigError),
    /// The tables of the outbox are not there: `migrate` makes them.
    #[error("the tables of the outbox are not there; `migrate` makes them")]
    SchemaMissing,
    /// The tables are older than this version can write to: `migrate` brings them up.
    #[error(
        "the tables of the outbox are of version {found}, version {needed} is needed; `migrate` brings them up"
    )]
    SchemaTooOld {
        /// The version of the tables.
        found: u32,
        /// The least that is needed.
        needed: u32,
    },
    /// The tables were made by a later version of Larder.
    #[error("the tables of the outbox are of version {found}, known is {known}")]
    SchemaTooNew {
        /// The version of the tables.
        found: u32,
        /// The latest that is known.
        known: u32,
    },
    /// A number of the log is missing, or cannot be one: somebody else has written to its tables.
    #[error("the numbers of the log are damaged")]
    Damaged,
    /// The transaction is one of another database than the outbox was opened in.
    #[error("the transaction is of another database than the outbox")]
    WrongDatabase,
    /// A follower of this source is at work on this fence.
    #[error("this source has a follower on this fence")]
    AlreadyFollowing,
    /// Another process follows the log under this name.
    #[error("another process is the node {node:?}, last heard of at {last_seen}")]
    NodeInUse {
        /// The name.
        node: String,
        /// When it was last heard of, by the clock of the log.
        last_seen: larder_core::Timestamp,
    },
    /// The source of a follower did not answer.
    #[error("{0}")]
    Source(larder_core::SourceError),
    /// Another file lies where that of the database was, or none: connections that are open still have the old one.
    #[error("the database's file was replaced or removed; open the database again")]
    FileReplaced,
    /// No group of this name has begun.
    #[error("there is no group {group:?}")]
    NoSuchGroup {
        /// The name that was asked for.
        group: String,
    },
    /// The group has as many dead letters as it may, and claims no more until some are reset or discarded.
    #[error("the group {group:?} has {dead} dead letters, and claims no more")]
    DeadLettersFull {
        /// The group.
        group: String,
        /// How many there are.
        dead: u64,
    },
    /// A store that is not one of Larder's failed.
    #[error("the store failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The fence refused.
    #[error("the fence has no place for another source")]
    Fence(#[source] larder_core::FenceError),
    /// Another connection is writing, and did not end in time.
    #[error("the database is busy")]
    Busy(#[source] sqlx::Error),
    /// The transaction, or the database, allows no writing.
    #[error("the database can only be read")]
    ReadOnly(#[source] sqlx::Error),
    /// The database said something else.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

impl Error {
    /// Whether the same call may succeed later, without anybody having changed anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Busy(_) | Self::Source(_) | Self::NodeInUse { .. } | Self::DeadLettersFull { .. } => true,
            Self::Database(error) => matches!(
                error,
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed
            ),
            _ => false,
        }
    }
}

/// Options that were refused, each with what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    faults: Vec<ConfigFault>,
}

/// One option that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{option} is {given}, allowed is {allowed}")]
#[non_exhaustive]
pub struct ConfigFault {
    /// The option's name, as in the builder.
    pub option: &'static str,
    /// What was given.
    pub given: String,
    /// What is allowed.
    pub allowed: String,
}

impl ConfigFault {
    /// The fault of a time out of its range.
    pub(crate) fn of_time(
        option: &'static str,
        given: Duration,
        (least, most): (Duration, Duration),
    ) -> Option<Self> {
        (given < least || given > most).then(|| ConfigFault {
            option,
            given: format!("{given:?}"),
            allowed: format!("{least:?} to {most:?}"),
        })
    }

    /// The fault of a number out of its range.
    pub(crate) fn of_limit(limit: Limit, given: usize) -> Option<Self> {
        limit.check(given).is_err().then(|| ConfigFault {
            option: limit.name(),
            given: given.to_string(),
            allowed: format!("{} to {}", limit.min(), limit.max()),
        })
    }

    /// The fault of a name that is empty, too long, or has control characters.
    pub(crate) fn of_name(option: &'static str, name: &str) -> Option<Self> {
        let is_good = (1..=NODE_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
        (!is_good).then(|| ConfigFault {
            option,
            given: format!("{name:?}"),
            allowed: format!("1 to {NODE_BYTES_MAX} bytes without control characters"),
        })
    }
}

impl ConfigError {
    pub(crate) fn of(faults: Vec<ConfigFault>) -> Error {
        Error::Config(Self { faults })
    }

    /// An error if there is any fault.
    pub(crate) fn of_any(faults: Vec<ConfigFault>) -> Result<(), Error> {
        if faults.is_empty() {
            return Ok(());
        }
        Err(Self::of(faults))
    }

    /// All of them, in the order of the options.
    #[must_use]
    pub fn faults(&self) -> &[ConfigFault] {
        &self.faults
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

/// How a commit failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Nothing was committed, for certain.
    #[error("the transaction was rolled back")]
    NotCommitted(#[source] sqlx::Error),
    /// A batch could not be recorded, or was dropped on its way: nothing was committed.
    #[error("a batch was not recorded, so nothing was committed")]
    Incomplete,
    /// The last batch could not be recorded: nothing was committed.
    #[error("the last batch was not recorded, so nothing was committed")]
    NotRecorded(#[source] Error),
    /// The database did not say whether it has committed.
    #[error("it is not known whether the transaction was committed")]
    Unknown {
        /// What the commit would be, if it is one.
        token: larder_core::Token,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
}

/// How [`Outbox::transaction`](crate::Outbox::transaction) failed. Nothing was committed, but for `Unknown`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransactionError<E> {
    /// The transaction could not begin.
    #[error("begin a transaction")]
    Begin(#[source] Error),
    /// What the body gave.
    #[error("{0}")]
    Body(E),
    /// A batch could not be recorded, and the body went on without it.
    #[error("a batch was not recorded, so nothing was committed")]
    Record,
    /// Nothing was committed, for certain.
    #[error("the transaction was rolled back")]
    NotCommitted(#[source] sqlx::Error),
    /// The database did not say whether it has committed.
    #[error("it is not known whether the transaction was committed")]
    Unknown {
        /// What the commit would be, if it is one.
        token: larder_core::Token,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
}

impl<E> From<CommitError> for TransactionError<E> {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::NotCommitted(source) => Self::NotCommitted(source),
            CommitError::Incomplete | CommitError::NotRecorded(_) => Self::Record,
            CommitError::Unknown { token, source } => Self::Unknown { token, source },
        }
    }
}
