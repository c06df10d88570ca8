//! [`PoolStats`]: what a pool holds and has done.

use std::time::Duration;

use larder_core::sync::{AtomicU64, Ordering};

use crate::config::Capacity;
use crate::shared::Shared;
use crate::{Entity, FillRejection, LoadOutcome, MissCause, Pool, Reason};

/// What a pool holds, and what it has done since it was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Residents, dead ones included.
    pub entries: u64,
    /// What is charged for them.
    pub bytes: u64,
    /// What the pool may hold now.
    pub capacity: Capacity,
    /// Reads that found a live entry. Counted unless that was switched off.
    pub hits: u64,
    /// Reads that found none, by cause. Counted unless that was switched off.
    pub misses: Misses,
    /// Values stored, updates not counted.
    pub inserts: u64,
    /// Values stored in place of live ones and told as updates.
    pub updates: u64,
    /// Entries that left, by reason.
    pub removals: Removals,
    /// What loaders were asked for, by what came of it.
    pub loads: Loads,
    /// Calls that shared the load of another.
    pub joins: u64,
    /// Values that were loaded, returned to those who waited, and not kept, by reason.
    pub rejected_fills: RejectedFills,
    /// Answers past their time to live.
    pub stale_answers: u64,
    /// Answers that there is no such entity, given without asking the source again.
    pub negative_answers: u64,
    /// Ids of which it is remembered that the source has no such entity.
    pub negatives: u64,
    /// Ids that are being loaded.
    pub flights: u64,
    /// Events that were lost to readers who lagged.
    pub lagged_events: u64,
    /// Panics of listeners, contained.
    pub listener_panics: u64,
    /// Panics of the metrics, contained.
    pub metrics_panics: u64,
}

/// Runs of loaders, by what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loads {
    runs: [u64; LoadOutcome::COUNT],
    time: Duration,
}

impl Loads {
    /// How many ended like this.
    #[must_use]
    pub fn of(&self, outcome: LoadOutcome) -> u64 {
        self.runs[outcome.index()]
    }

    /// How many there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.runs.iter().sum()
    }

    /// How long they took together.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.time
    }
}

/// Values that were loaded and not kept, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RejectedFills([u64; FillRejection::COUNT]);

impl RejectedFills {
    /// How many for this reason.
    #[must_use]
    pub fn of(&self, reason: FillRejection) -> u64 {
        self.0[reason.index()]
    }

    /// How many there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// What is counted of loads.
#[derive(Debug, Default)]
pub(crate) struct FetchCounts {
    runs: [AtomicU64; LoadOutcome::COUNT],
    nanos: AtomicU64,
    rejected: [AtomicU64; FillRejection::COUNT],
    pub(crate) joins: AtomicU64,
    pub(crate) stale: AtomicU64,
    pub(crate) negative: AtomicU64,
}

impl FetchCounts {
    pub(crate) fn loaded(&self, outcome: LoadOutcome, time: Duration) {
        self.runs[outcome.index()].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn rejected(&self, reason: FillRejection) {
        self.rejected[reason.index()].fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self, stats: &mut PoolStats) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        stats.loads = Loads {
            runs: std::array::from_fn(|at| read(&self.runs[at])),
            time: Duration::from_nanos(read(&self.nanos)),
        };
        stats.rejected_fills = RejectedFills(std::array::from_fn(|at| read(&self.rejected[at])));
        stats.joins = read(&self.joins);
        stats.stale_answers = read(&self.stale);
        stats.negative_answers = read(&self.negative);
    }
}

/// Misses by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misses([u64; MissCause::COUNT]);

/// Removals by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removals([u64; Reason::COUNT]);

impl Misses {
    /// How many for this cause.
    #[must_use]
    pub fn of(&self, cause: MissCause) -> u64 {
        self.0[cause.index()]
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Removals {
    /// How many for this reason, whatever its position.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.0[reason.index()]
    }

    /// How many whose time to live was over.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.of(Reason::Expired)
    }

    /// How many that were not used for their time to idle.
    #[must_use]
    pub fn idle(&self) -> u64 {
        self.of(Reason::Idle)
    }

    /// How many for want of room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.of(Reason::Evicted)
    }

    /// How many because something that they depend on was invalidated.
    #[must_use]
    pub fn invalidated(&self) -> u64 {
        self.of(Reason::Invalidated { position: None })
    }

    /// How many because a newer value was too heavy.
    #[must_use]
    pub fn superseded(&self) -> u64 {
        self.of(Reason::Superseded)
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// What a sweep has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepReport {
    /// How many entries it removed.
    pub removed: usize,
    /// How many timers it looked at to find them. A timer is looked at a few times in its life, whatever the number of
    /// entries: when it is due, and when it comes near enough to be kept more exactly.
    pub timers: usize,
    /// It stopped at its limit, and there may be more.
    pub is_cut_short: bool,
}

impl<T: Entity> Pool<T> {
    /// What the pool holds and has done. O(shards).
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.shared.stats()
    }
}

impl<T: Entity> Shared<T> {
    fn stats(&self) -> PoolStats {
        let ledger = self.ledger.lock();
        let (totals, capacity) = (ledger.totals, ledger.capacity);
        let size = ledger.account.used();
        drop(ledger);
        let mut stats = PoolStats {
            entries: size.entries,
            bytes: size.bytes,
            capacity,
            inserts: totals.inserts,
            updates: totals.updates,
            removals: Removals(totals.removals),
            hits: self.hits.sum(),
            listener_panics: self.listeners.panics(),
            metrics_panics: self.metrics_panics.load(Ordering::Relaxed),
            lagged_events: self.events.lagged(),
            negatives: u64::try_from(self.absences.len()).unwrap_or(u64::MAX),
            flights: u64::try_from(self.flights.len()).unwrap_or(u64::MAX),
            ..PoolStats::default()
        };
        self.fetches.read(&mut stats);
        for cell in self.shards.cells() {
            for (total, misses) in stats.misses.0.iter_mut().zip(&cell.misses) {
                *total += misses.load(Ordering::Relaxed);
            }
        }
        stats
    }

    pub(crate) fn sweep(&self, limit: usize) -> SweepReport {
        let mut report = SweepReport::default();
        while report.removed < limit {
            let step = (limit - report.removed).min(crate::limits::STEP_ENTRIES);
            let one = self.commit(|commit| commit.expire(step));
            report.removed += one.removed;
            report.timers += one.timers;
            report.is_cut_short = one.is_cut_short;
            if !one.is_cut_short {
                break;
            }
        }
        report
    }
}
