//! [`Claim`]: rows that one worker of a group holds for a while, and what became of them.

use std::time::Duration;

use larder_core::Timestamp;

use crate::error::{ConfigError, ConfigFault};
use crate::limits::{BATCH_SIZE, CLAIM_TTL_RANGE};
use crate::{Error, Lease, OutboxRow, RowId};

/// Rows that one worker of a group holds, until its lease is over.
///
/// What is completed after that counts as long as nobody else has taken the rows.
#[derive(Clone, Debug)]
#[must_use = "its rows are held until its time is over"]
pub struct Claim {
    group: String,
    owner: String,
    lease: Lease,
    rows: Vec<OutboxRow>,
    dead_lettered: usize,
    /// All of them were read from the log, and are to leave no trace: then one statement completes them.
    pub(crate) is_of_log: bool,
}

/// What became of rows that were to be completed, or held longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completed {
    /// It was done to so many.
    pub done: usize,
    /// So many are not held by this claim any more: somebody else has taken them, since its time was over, or they were
    /// completed before. They are left as they are.
    pub lost: usize,
    /// So many were never of this claim. They were ignored.
    pub unknown: usize,
}

/// A row that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Which one.
    pub row: RowId,
    /// What was said; kept up to 1,024 bytes.
    pub error: String,
    /// What is to become of it.
    pub next: Next,
}

/// What becomes of a row that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It may be claimed again after this time.
    Retry(Duration),
    /// It is a dead letter.
    Dead,
}

impl Claim {
    /// A claim, for whoever implements [`OutboxStore`](crate::OutboxStore).
    pub fn new(group: &str, owner: &str, lease: Lease, rows: Vec<OutboxRow>) -> Self {
        Claim {
            group: group.to_owned(),
            owner: owner.to_owned(),
            lease,
            rows,
            dead_lettered: 0,
            is_of_log: false,
        }
    }

    /// A claim of nothing.
    pub fn empty(group: &str, owner: &str) -> Self {
        let lease = Lease::new(0, Timestamp::UNIX_EPOCH);
        Self::new(group, owner, lease, Vec::new())
    }

    /// The same claim, by which so many rows were found that could not be read.
    pub fn with_dead_lettered(mut self, rows: usize) -> Self {
        self.dead_lettered = rows;
        self
    }

    /// The group that claimed.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Who holds them.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// For how long, as it was when they were claimed.
    #[must_use]
    pub const fn lease(&self) -> Lease {
        self.lease
    }

    /// The rows, in the order of their positions, the retries before them.
    #[must_use]
    pub fn rows(&self) -> &[OutboxRow] {
        &self.rows
    }

    /// What all of its rows are known by.
    #[must_use]
    pub fn ids(&self) -> Vec<RowId> {
        self.rows.iter().map(|row| row.id).collect()
    }

    /// Rows that could not be read: they are dead letters now, and not among the rows of the claim.
    #[must_use]
    pub const fn dead_lettered(&self) -> usize {
        self.dead_lettered
    }

    /// Whether there was nothing to claim.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// What is wrong with what is asked of a claim.
pub(crate) fn check_claim(owner: &str, limit: usize, time: Duration) -> Result<(), Error> {
    let mut faults = Vec::new();
    faults.extend(ConfigFault::of_name("owner", owner));
    if limit > BATCH_SIZE.max() {
        faults.push(ConfigFault {
            option: "limit",
            given: limit.to_string(),
            allowed: format!("0 to {}", BATCH_SIZE.max()),
        });
    }
    faults.extend(ConfigFault::of_time("claim_ttl", time, CLAIM_TTL_RANGE));
    ConfigError::of_any(faults)
}
