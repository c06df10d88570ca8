//! What a relay has done: in one round, and since the start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;

use crate::Error as StoreError;

/// What one round of a relay has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayReport {
    /// Rows that were claimed.
    pub claimed: usize,
    /// Rows that were published and acknowledged.
    pub acknowledged: usize,
    /// Rows that have failed and come again.
    pub retried: usize,
    /// Rows that are dead letters now, those among them that could not be read.
    pub dead_lettered: usize,
    /// Rows that somebody else had taken, since the time of the claim was over.
    pub lost: usize,
    /// Rows that were given back without counting as failed, since the transport is down, the store failed, or the relay was to stop.
    pub released: usize,
}

/// A round of a relay failed on its way.
#[derive(Debug, Error)]
#[error("a round of the relay failed")]
#[non_exhaustive]
pub struct RunError {
    /// What was done all the same.
    pub report: RelayReport,
    /// What the store said.
    #[source]
    pub source: StoreError,
}

/// What a relay and its clones have done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayDiagnostics {
    /// Rounds that have begun.
    pub iterations: u64,
    /// Rows that were claimed.
    pub claimed: u64,
    /// Rows that were published and acknowledged.
    pub acknowledged: u64,
    /// Failures after which a row comes again.
    pub retried: u64,
    /// Rows that became dead letters.
    pub dead_lettered: u64,
    /// Rows that somebody else had taken.
    pub lost: u64,
    /// How often a claim was held for longer.
    pub renewed: u64,
    /// For how long the transport was down.
    pub stalled: Duration,
    /// It is down now.
    pub is_stalled: bool,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) iterations: AtomicU64,
    claimed: AtomicU64,
    acknowledged: AtomicU64,
    retried: AtomicU64,
    dead_lettered: AtomicU64,
    lost: AtomicU64,
    pub(super) renewed: AtomicU64,
    stalled_micros: AtomicU64,
}

impl Counts {
    pub(super) fn count(&self, report: &RelayReport) {
        for (counter, rows) in [
            (&self.claimed, report.claimed),
            (&self.acknowledged, report.acknowledged),
            (&self.retried, report.retried),
            (&self.dead_lettered, report.dead_lettered),
            (&self.lost, report.lost),
        ] {
            counter.fetch_add(u64::try_from(rows).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    pub(super) fn stalled_for(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.stalled_micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn diagnostics(&self) -> RelayDiagnostics {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RelayDiagnostics {
            iterations: of(&self.iterations),
            claimed: of(&self.claimed),
            acknowledged: of(&self.acknowledged),
            retried: of(&self.retried),
            dead_lettered: of(&self.dead_lettered),
            lost: of(&self.lost),
            renewed: of(&self.renewed),
            stalled: Duration::from_micros(of(&self.stalled_micros)),
            is_stalled: false,
        }
    }
}
