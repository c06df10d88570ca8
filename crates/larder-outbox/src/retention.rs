//! How long rows are kept, and what a purge has done.

use std::time::Duration;

use crate::Error;
use crate::error::{ConfigError, ConfigFault};
use crate::limits::{PURGE_CHUNK, PURGE_CHUNK_MAX, RETENTION_MAX, RETENTION_RANGE};

/// How long rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "give it to `Outbox::purge`"]
pub struct Retention {
    pub(crate) retention_max: Duration,
    pub(crate) chunk: usize,
}

/// What a purge has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeReport {
    /// Rows that were removed.
    pub rows: u64,
    /// Somebody else was writing, so that it ended before all was done: call it again later.
    pub is_cut_short: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            retention_max: RETENTION_MAX,
            chunk: PURGE_CHUNK,
        }
    }
}

impl Retention {
    /// Rows are kept for a day, and removed a thousand at a time.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows older than this, by the database's clock, may be removed, whoever has not read them yet: that node is told so, and
    /// flushes. A minute to 30 days. Default: 24 hours.
    pub fn retention_max(mut self, retention_max: Duration) -> Self {
        self.retention_max = retention_max;
        self
    }

    /// How many rows one transaction removes: 1 to 10,000. Default: 1,000.
    pub fn chunk(mut self, rows: usize) -> Self {
        self.chunk = rows;
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut faults = Vec::new();
        let (least, most) = RETENTION_RANGE;
        if self.retention_max < least || self.retention_max > most {
            faults.push(ConfigFault {
                option: "retention_max",
                given: format!("{:?}", self.retention_max),
                allowed: format!("{least:?} to {most:?}"),
            });
        }
        if !(1..=PURGE_CHUNK_MAX).contains(&self.chunk) {
            faults.push(ConfigFault {
                option: "chunk",
                given: self.chunk.to_string(),
                allowed: format!("1 to {PURGE_CHUNK_MAX}"),
            });
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(ConfigError::of(faults))
    }
}
