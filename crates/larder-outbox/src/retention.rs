//! How long rows are kept, and what a purge has done.

use std::time::Duration;

use larder_core::Position;

use crate::Error;
use crate::error::{ConfigError, ConfigFault};
use crate::limits::{
    CLAIM_RETENTION, CLAIM_RETENTION_RANGE, NODE_FORGOTTEN, NODE_LEASE_RANGE, PURGE_CHUNK, PURGE_CHUNK_MAX,
    RETENTION_MAX, RETENTION_MIN, RETENTION_RANGE,
};

/// How long rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "give it to `Outbox::purge`"]
pub struct Retention {
    /// None: the default, or less if rows are kept for less.
    retention_min: Option<Duration>,
    pub(crate) retention_max: Duration,
    pub(crate) claim_retention: Duration,
    pub(crate) node_forgotten: Duration,
    /// Rows below it go, whoever needs them.
    pub(crate) floor: Option<Position>,
    pub(crate) chunk: usize,
}

/// What a purge has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeReport {
    /// Rows that were removed.
    pub rows: u64,
    /// Rows that groups were owed for longer than they get them, and that each group gets one row of everything for.
    pub given_up: u64,
    /// Nodes that needed rows below an explicit floor: they are told so, and flush.
    pub nodes_cut_off: Vec<String>,
    /// Groups that had yet to take rows below an explicit floor, which are copied for them.
    pub groups_cut_off: Vec<String>,
    /// Somebody else was writing, so that it ended before all was done: call it again later.
    pub is_cut_short: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            retention_min: None,
            retention_max: RETENTION_MAX,
            claim_retention: CLAIM_RETENTION,
            node_forgotten: NODE_FORGOTTEN,
            floor: None,
            chunk: PURGE_CHUNK,
        }
    }
}

impl Retention {
    /// Rows that nobody needs any more are kept for ten minutes, all others for a day, and removed a thousand at a time.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows older than this, by the database's clock, may be removed, whoever has not read them yet: that node is told so, and
    /// flushes. A minute to 30 days. Default: 24 hours.
    pub fn retention_max(mut self, retention_max: Duration) -> Self {
        self.retention_max = retention_max;
        self
    }

    /// Rows older than this may be removed if every group has acknowledged them and every live node has applied them. A minute
    /// to 30 days, at most `retention_max`. Default: 10 minutes, or less if `retention_max` is.
    pub fn retention_min(mut self, retention_min: Duration) -> Self {
        self.retention_min = Some(retention_min);
        self
    }

    /// What is removed is copied first for each group that has yet to do it, and kept for the group until it is as old as this; then
    /// the group gets one row of everything in place of all that are. An hour to 90 days. Default: 7 days.
    pub fn claim_retention(mut self, claim_retention: Duration) -> Self {
        self.claim_retention = claim_retention;
        self
    }

    /// A node that keeps a cursor needs its rows for so long after it was last heard of; one that keeps none, for as long as it lives. A second to 30
    /// days. Default: 24 hours.
    pub fn node_forgotten(mut self, node_forgotten: Duration) -> Self {
        self.node_forgotten = node_forgotten;
        self
    }

    /// Rows below this position are removed, however young they are and whoever needs them: the report says who does. Default: none.
    pub fn below(mut self, floor: Position) -> Self {
        self.floor = Some(floor);
        self
    }

    /// How many rows one transaction removes: 1 to 10,000. Default: 1,000.
    pub fn chunk(mut self, rows: usize) -> Self {
        self.chunk = rows;
        self
    }

    pub(crate) fn its_retention_min(&self) -> Duration {
        self.retention_min
            .unwrap_or_else(|| RETENTION_MIN.min(self.retention_max))
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut faults = Vec::new();
        let of_min = (RETENTION_RANGE.0, RETENTION_RANGE.1.min(self.retention_max));
        let given = self.retention_min.map(|given| ("retention_min", given, of_min));
        let options = [
            ("retention_max", self.retention_max, RETENTION_RANGE),
            ("claim_retention", self.claim_retention, CLAIM_RETENTION_RANGE),
            ("node_forgotten", self.node_forgotten, NODE_LEASE_RANGE),
        ];
        for (option, given, range) in given.into_iter().chain(options) {
            faults.extend(ConfigFault::of_time(option, given, range));
        }
        if !(1..=PURGE_CHUNK_MAX).contains(&self.chunk) {
            faults.push(ConfigFault {
                option: "chunk",
                given: self.chunk.to_string(),
                allowed: format!("1 to {PURGE_CHUNK_MAX}"),
            });
        }
        ConfigError::of_any(faults)
    }
}
