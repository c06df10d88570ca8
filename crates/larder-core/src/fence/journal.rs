//! The durable memory of invalidations that a disk tier keeps, and the pins it gives to entries from disk.

use super::Fence;
use super::pin::Pin;
use super::stamp::Stamp;
use crate::position::{Position, SourceId};
use crate::sync::Arc;
use crate::target::{Target, TargetHash};

/// A part's table of what was invalidated, as durable as that part's entries.
///
/// Calls come from several threads, with no lock of the fence held, and must not wait for a disk. What it
/// promises in return:
///
/// - [`Journal::last`] knows every target invalidated with a stamp above [`Journal::floor`] and up to
///   [`Journal::complete_to`]. It may forget one only after raising the floor to that one's stamp.
/// - `complete_to` never names a stamp of which it was not told. Stamps are dense: see [`Raised`] and
///   [`StampRuns`], which keeps the account.
pub trait Journal: Send + Sync {
    /// These were invalidated, or skipped. Calls for different stamps may come in any order.
    fn raised(&self, raised: &[Raised]);

    /// The last invalidation of exactly this target that the table has.
    fn last(&self, hash: TargetHash) -> Option<Stamp>;

    /// Every stamp up to this one has reached the journal.
    fn complete_to(&self) -> Stamp;

    /// Entries that were filled before this are retired: the table may have forgotten what ended them.
    fn floor(&self) -> Stamp;
}

/// What a journal is told.
///
/// From the moment it is attached, every stamp of the fence's clock reaches a journal, as an invalidation or within a
/// skipped range: at least once, since what the ring has is told again when a journal is attached or a floor is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Raised {
    /// One target was invalidated.
    Target {
        /// The invalidated target.
        hash: TargetHash,
        /// The stamp of the invalidation.
        stamp: Stamp,
        /// The commit behind it, if a source delivered it.
        commit: Option<(SourceId, Position)>,
    },
    /// These stamps, both ends included, are accounted for: what was invalidated with one of them has been told, or
    /// is covered by what was.
    Skipped {
        /// The first of them.
        first: Stamp,
        /// The last of them.
        last: Stamp,
    },
}

/// Accounts for stamps that arrive out of order: which is the last one below which none is missing.
///
/// For journals. Memory grows with the number of stamps that are in flight at once, not with their values.
#[derive(Debug, Default)]
pub struct StampRuns {
    complete_to: u64,
    /// Ranges (first, last) above `complete_to + 1`, apart from each other, ascending.
    ahead: std::collections::BTreeMap<u64, u64>,
}

impl StampRuns {
    /// Nothing has arrived; every stamp up to `complete_to` counts as known.
    pub fn new(complete_to: Stamp) -> StampRuns {
        StampRuns {
            complete_to: complete_to.get(),
            ahead: std::collections::BTreeMap::new(),
        }
    }

    /// The stamps of `raised` have arrived. O(log n) each in the number of ranges ahead.
    pub fn note(&mut self, raised: &Raised) {
        let (first, last) = match *raised {
            Raised::Target { stamp, .. } => (stamp.get(), stamp.get()),
            Raised::Skipped { first, last } => (first.get(), last.get()),
        };
        if last <= self.complete_to {
            return;
        }
        let known = self.ahead.entry(first).or_insert(last);
        *known = (*known).max(last);
        while let Some(next) = self.ahead.first_entry() {
            if *next.key() > self.complete_to + 1 {
                break;
            }
            self.complete_to = self.complete_to.max(next.remove());
        }
    }

    /// The last stamp up to which none is missing.
    pub fn complete_to(&self) -> Stamp {
        Stamp::of_clock(self.complete_to)
    }
}

/// A fence as seen by one journal of it: the only one that may ask for pins of entries from its disk.
///
/// Dropping it detaches the journal.
#[derive(Debug)]
pub struct Journaled {
    fence: Fence,
    journal: Arc<dyn Journal>,
    registration: u64,
}

impl Journaled {
    pub(super) fn new(fence: Fence, journal: Arc<dyn Journal>, registration: u64) -> Journaled {
        Journaled {
            fence,
            journal,
            registration,
        }
    }

    /// A pin for an entry that was filled at `started` and lay on this journal's disk; `None` if something it
    /// depends on may have been invalidated since.
    ///
    /// `None` also for a stamp that the clock has not reached: whoever raised the floor as it must has none on its
    /// disk, and a damaged one would outlive what comes until then.
    ///
    /// `targets` are all that the entry depends on. `None` also for more than
    /// [`PIN_TARGETS_MAX`](crate::limits::PIN_TARGETS_MAX) of them. O(targets), one shard lock each.
    pub fn restore(&self, started: Stamp, targets: &[Target]) -> Option<Pin> {
        if started == Stamp::ZERO || started > self.fence.stamp() {
            return None;
        }
        let (pin, dropped) = self.fence.pin_since(started, targets)?;
        // The order matters. A stamp that has left the ring is in the journal if the journal is complete beyond
        // it; only after asking that may the table be asked; and only after the table the floor, since the
        // table forgets after raising it.
        if dropped > self.journal.complete_to() {
            return None;
        }
        for hash in pin.hashes() {
            if self.journal.last(hash).is_some_and(|last| last > started) {
                return None;
            }
        }
        (started >= self.journal.floor()).then_some(pin)
    }

    /// The fence that the journal is attached to.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }
}

impl Drop for Journaled {
    fn drop(&mut self) {
        self.fence.detach(self.registration);
    }
}

impl std::fmt::Debug for dyn Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}
