//! Why an entry is believed or not: what the fence remembers of its targets.

use super::ring::Entry;
use super::shared::Shared;
use super::stamp::Stamp;
use crate::clock::Moment;
use crate::invalidations::Reason;
use crate::position::{Position, SourceId};
use crate::target::Target;

/// The last invalidation of one target, as far as the fence remembers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Last {
    /// It is still in the ring.
    At(Invalidated),
    /// If there was one in this run, its stamp is at most this: what was stamped later is still in the ring.
    Before(Stamp),
    /// There was none in this run.
    Never,
}

/// One invalidation, as the ring keeps it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Invalidated {
    /// Its stamp.
    pub stamp: Stamp,
    /// When, by the fence's clock.
    pub time: Moment,
    /// Why, in the words of whoever invalidated.
    pub reason: Reason,
    /// The commit behind it; `None` if it was done by hand.
    pub commit: Option<CommitSeen>,
}

/// The commit behind an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitSeen {
    /// The source that delivered it.
    pub source: SourceId,
    /// Its position there.
    pub position: Position,
    /// A point of the source that certainly includes it, once known.
    pub bound: Option<u64>,
}

/// What decides whether something that depends on some targets may be believed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// Each target and each of its parents, once.
    pub targets: Vec<Explained>,
    /// Which of them has the latest invalidation, if one was invalidated in this run: whatever was filled
    /// before that is dead.
    pub deciding: Option<usize>,
}

/// One target of an explanation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explained {
    /// The target.
    pub target: Target,
    /// The stamp in its cell; `None` if nothing live or in flight depends on it.
    pub cell: Option<Stamp>,
    /// Its last invalidation.
    pub last: Last,
}

impl Shared {
    pub(super) fn last(&self, target: &Target) -> Last {
        let hash = target.hash();
        let shard = self.shard(hash);
        let (newest, dropped) = (shard.newest(hash).cloned(), shard.dropped);
        drop(shard);
        match newest {
            Some(entry) => Last::At(self.invalidated(entry)),
            None if dropped == Stamp::ZERO => Last::Never,
            None => Last::Before(dropped),
        }
    }

    pub(super) fn recent(&self, target: &Target, most: usize) -> Vec<Invalidated> {
        let hash = target.hash();
        let shard = self.shard(hash);
        let entries: Vec<Entry> = shard.recent(hash).take(most).cloned().collect();
        drop(shard);
        entries.into_iter().map(|entry| self.invalidated(entry)).collect()
    }

    fn invalidated(&self, entry: Entry) -> Invalidated {
        let commit = entry.commit.and_then(|commit| {
            let source = self.lanes.source(commit.lane)?;
            Some(CommitSeen {
                source,
                position: commit.position,
                bound: commit.bound,
            })
        });
        Invalidated {
            stamp: entry.stamp,
            time: entry.time,
            reason: entry.reason,
            commit,
        }
    }

    pub(super) fn explain(&self, targets: &[Target]) -> Explanation {
        let mut explained: Vec<Explained> = Vec::new();
        for target in targets {
            for target in std::iter::successors(Some(target.clone()), Target::parent) {
                if explained.iter().all(|other| other.target != target) {
                    explained.push(self.explain_one(target));
                }
            }
        }
        let latest = explained
            .iter()
            .enumerate()
            .filter_map(|(index, one)| Some((index, one.latest()?)));
        let deciding = latest.max_by_key(|(_, stamp)| *stamp).map(|(index, _)| index);
        Explanation {
            targets: explained,
            deciding,
        }
    }

    fn explain_one(&self, target: Target) -> Explained {
        let hash = target.hash();
        let shard = self.shard(hash);
        let cell = shard.take(hash);
        drop(shard);
        let stamp = cell.as_ref().map(|cell| Stamp::of_clock(cell.last()));
        // Let go without the lock, since letting go of the last hold takes it.
        drop(cell);
        let last = self.last(&target);
        Explained {
            target,
            cell: stamp,
            last,
        }
    }
}

impl Explained {
    /// The stamp of the last invalidation, if one is known.
    fn latest(&self) -> Option<Stamp> {
        let in_ring = match &self.last {
            Last::At(invalidated) => Some(invalidated.stamp),
            Last::Before(_) | Last::Never => None,
        };
        in_ring.max(self.cell.filter(|stamp| *stamp > Stamp::ZERO))
    }
}
