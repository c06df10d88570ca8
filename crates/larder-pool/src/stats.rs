//! [`PoolStats`]: what a pool holds and has done.

use larder_core::sync::Ordering;

use crate::config::Capacity;
use crate::shared::Shared;
use crate::{Entity, MissCause, Pool, Reason};

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
    /// Panics of listeners, contained.
    pub listener_panics: u64,
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
            ..PoolStats::default()
        };
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
            let (removed, more) = self.commit(|commit| commit.expire(step));
            report.removed += removed;
            report.is_cut_short = more;
            if !more {
                break;
            }
        }
        report
    }
}
