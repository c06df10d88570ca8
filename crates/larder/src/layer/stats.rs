//! [`LayerStats`]: what transactions have come to.

use larder_core::sync::{AtomicU64, Ordering};

use super::Layer;

/// What a layer has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerStats {
    /// Transactions that were committed.
    pub commits: u64,
    /// Transactions that were rolled back: by their bodies, or by the database.
    pub rollbacks: u64,
    /// Transactions that ended because their invalidations could not be recorded, or there were none and there had to be.
    pub failed_records: u64,
    /// Commits of which nobody knows whether they happened.
    pub unknown_outcomes: u64,
    /// Transactions that were tried again.
    pub retries: u64,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) commits: AtomicU64,
    pub(super) rollbacks: AtomicU64,
    pub(super) failed_records: AtomicU64,
    pub(super) unknown_outcomes: AtomicU64,
    pub(super) retries: AtomicU64,
}

impl Layer {
    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> LayerStats {
        let counts = &self.shared.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        LayerStats {
            commits: read(&counts.commits),
            rollbacks: read(&counts.rollbacks),
            failed_records: read(&counts.failed_records),
            unknown_outcomes: read(&counts.unknown_outcomes),
            retries: read(&counts.retries),
        }
    }
}

impl Counts {
    pub(super) fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}
