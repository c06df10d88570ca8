//! One shard of the fence: cells and recent invalidations of the targets that hash to it, under one lock.
//!
//! Everything here runs under that lock, does bounded work, and calls nobody outside this module. What must be
//! dropped or called afterwards is handed back to the caller.

use std::time::Duration;

use hashbrown::HashTable;

use super::attached::AttachedToShard;
use super::cause::{Commit, LaneIndex};
use super::cell::{Cell, CellInTable, CellRef};
use super::ring::{Entry, Ring};
use super::spread::Spread;
use super::stamp::Stamp;
use super::stats::{KINDS, Kind};
use crate::clock::Moment;
use crate::invalidations::Reason;
use crate::limits::LANES_MAX;
use crate::position::Position;
use crate::sync::Arc;
use crate::target::TargetHash;

/// The state of one shard.
pub(super) struct Shard {
    cells: HashTable<CellInTable>,
    pub(super) ring: Ring,
    /// The greatest stamp that has left the ring; zero while none has.
    pub(super) dropped: Stamp,
    /// When the newest entry that has left the ring was made.
    pub(super) dropped_time: Option<Moment>,
    /// For each lane, what is known of the bounds that have left the ring.
    left: [Left; LANES_MAX],
    /// The journals and drop hooks that hear of this shard's invalidations; `None` if there are none.
    pub(super) attached: Option<Arc<AttachedToShard>>,
    pub(super) counts: Counts,
    spread: Spread,
}

/// The bounds of one lane's invalidations that have left the ring.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    /// The greatest known bound, as a point of the lane's source in its present epoch.
    bound: u64,
    /// The greatest stamp among those that left while their bound was unknown.
    unknown: Option<Stamp>,
}

/// How many invalidations this shard has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) by_kind: [u64; KINDS],
    pub(super) by_lane: [u64; LANES_MAX],
    pub(super) direct: u64,
}

/// What remains to be done after an invalidation, without the lock.
pub(super) struct Raised {
    pub(super) attached: Option<Arc<AttachedToShard>>,
    /// Dropped by the caller: its reason may be the last reference to a text.
    pub(super) left: Option<Entry>,
}

impl Shard {
    pub(super) fn new(ring_capacity: usize, spread: Spread) -> Shard {
        Shard {
            cells: HashTable::new(),
            ring: Ring::new(ring_capacity),
            dropped: Stamp::ZERO,
            dropped_time: None,
            left: [Left::default(); LANES_MAX],
            attached: None,
            counts: Counts::default(),
            spread,
        }
    }

    /// Takes the cell of `hash`, if there is one.
    pub(super) fn take(&self, hash: TargetHash) -> Option<CellRef> {
        let spread = self.spread;
        self.cells
            .find(spread.of(hash), |cell| cell.cell().hash() == hash)
            .map(CellInTable::take)
    }

    /// Takes the cell of `hash`, or puts in the one that `make` gives and takes that.
    pub(super) fn take_or_insert(&mut self, hash: TargetHash, make: impl FnOnce() -> CellRef) -> CellRef {
        if let Some(cell) = self.take(hash) {
            return cell;
        }
        let spread = self.spread;
        let cell = make();
        self.cells
            .insert_unique(spread.of(hash), cell.in_table(), |cell| {
                spread.of(cell.cell().hash())
            });
        cell
    }

    /// The cell of `hash`, if somebody holds it.
    pub(super) fn find(&self, hash: TargetHash) -> Option<&Cell> {
        let found = self
            .cells
            .find(self.spread.of(hash), |cell| cell.cell().hash() == hash);
        found.map(CellInTable::cell)
    }

    /// Takes the caller's cell out of the table if the caller is its last holder, for the caller to free.
    pub(super) fn forget_if_last(&mut self, cell: &CellRef) -> Option<CellInTable> {
        if !cell.is_last_holder() {
            return None;
        }
        let (spread, hash) = (self.spread, cell.hash());
        let found = self
            .cells
            .find_entry(spread.of(hash), |other| other.cell().hash() == hash);
        let (forgotten, _) = found.ok()?.remove();
        self.give_back_memory();
        Some(forgotten)
    }

    /// Keeps the table near what it holds: empty means no memory, and a quarter full means half the memory.
    fn give_back_memory(&mut self) {
        let spread = self.spread;
        if self.cells.is_empty() {
            self.cells = HashTable::new();
        } else if self.cells.capacity() > 32 && self.cells.len() < self.cells.capacity() / 4 {
            let wanted = self.cells.len() * 2;
            self.cells.shrink_to(wanted, |cell| spread.of(cell.cell().hash()));
        }
    }

    /// Raises one target: its cell, if it exists, and the ring. O(1) expected, no allocation.
    pub(super) fn raise(
        &mut self,
        hash: TargetHash,
        kind: Kind,
        stamp: Stamp,
        time: Moment,
        commit: Option<Commit>,
        reason: Reason,
    ) -> Raised {
        let spread = self.spread;
        if let Some(cell) = self.find(hash) {
            cell.raise(stamp.get());
        }
        self.counts.add(kind, commit);
        let left = self
            .ring
            .push(hash, stamp, time, commit, reason, |hash| spread.of(hash));
        if let Some(left) = &left {
            self.note_left(left);
        }
        Raised {
            attached: self.attached.clone(),
            left,
        }
    }

    /// Keeps what must not be forgotten of an entry that leaves the ring.
    fn note_left(&mut self, entry: &Entry) {
        self.dropped = self.dropped.max(entry.stamp);
        self.dropped_time = self.dropped_time.max(Some(entry.time));
        let Some(commit) = entry.commit else { return };
        let left = &mut self.left[commit.lane.index()];
        match commit.bound {
            Some(bound) => left.bound = left.bound.max(bound),
            None => left.unknown = left.unknown.max(Some(entry.stamp)),
        }
    }

    /// A lane begins an epoch at `base`. What is known of its former epochs is within that point, or was flushed.
    /// What is unknown stays so: it may be a commit of this node that is later than `base`.
    pub(super) fn rebase(&mut self, lane: LaneIndex, base: u64) {
        self.left[lane.index()].bound = base;
        self.ring.for_each_mut(|entry| {
            if let Some(commit) = entry.commit.as_mut().filter(|commit| commit.lane == lane) {
                commit.bound = commit.bound.map(|_| base);
            }
        });
    }

    /// A lane begins anew within its epoch: what this node has missed is within `base`. What it has seen may be
    /// later than that, and keeps its bounds.
    pub(super) fn raise_base(&mut self, lane: LaneIndex, base: u64) {
        let left = &mut self.left[lane.index()];
        left.bound = left.bound.max(base);
    }

    /// Fills in the bound of a commit that was applied before its bound was known.
    pub(super) fn settle(&mut self, hash: TargetHash, lane: LaneIndex, position: Position, bound: u64) {
        self.ring.of_mut(hash, self.spread.of(hash), |entry| {
            if let Some(commit) = &mut entry.commit
                && commit.lane == lane
                && commit.position == position
                && commit.bound.is_none()
            {
                commit.bound = Some(bound);
            }
        });
    }

    /// A caught-up read of a lane that began at `began` showed everything up to `point`.
    pub(super) fn settle_left(&mut self, lane: LaneIndex, began: Stamp, point: u64) {
        self.left[lane.index()].settle(began, point);
    }

    /// Whether everything that a lane is known to have invalidated of `hash` is in a copy that is at `point`.
    pub(super) fn is_within(&self, hash: TargetHash, lane: LaneIndex, point: u64) -> bool {
        let of_lane = |entry: &Entry| entry.commit.filter(|commit| commit.lane == lane);
        self.left[lane.index()].is_within(point)
            && self
                .recent(hash)
                .filter_map(of_lane)
                .all(|commit| commit.bound.is_some_and(|bound| bound <= point))
    }

    /// Whether `hash` was invalidated less than `hold` before `now`, or the ring cannot tell.
    pub(super) fn invalidated_within(&self, hash: TargetHash, now: Moment, hold: Duration) -> bool {
        let is_recent = |time: Moment| now.since(time) < hold;
        self.dropped_time.is_some_and(is_recent)
            || self.newest(hash).is_some_and(|entry| is_recent(entry.time))
    }

    /// Stamps everything up to `floor` anew with `stamp`, and collects it for the journals. Returns whether
    /// something that has left the ring is among it.
    pub(super) fn restamp(&mut self, floor: Stamp, stamp: Stamp, into: &mut Vec<Entry>) -> bool {
        self.ring.for_each_mut(|entry| {
            if entry.stamp <= floor {
                entry.stamp = stamp;
                into.push(entry.clone());
            }
        });
        let lost = self.dropped > Stamp::ZERO && self.dropped <= floor;
        if lost {
            self.dropped = stamp;
        }
        lost
    }

    /// The newest recent invalidation of `hash`.
    pub(super) fn newest(&self, hash: TargetHash) -> Option<&Entry> {
        self.recent(hash).next()
    }

    /// The recent invalidations of `hash`, newest first.
    pub(super) fn recent(&self, hash: TargetHash) -> impl Iterator<Item = &Entry> {
        self.ring.of(hash, self.spread.of(hash))
    }

    /// The cells of this shard.
    pub(super) fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().map(CellInTable::cell)
    }

    /// Bytes of the cells and of their table, as far as this crate asks the allocator for them.
    pub(super) fn cell_bytes(&self) -> usize {
        self.cells.allocation_size() + self.cells.len() * size_of::<Cell>()
    }
}

impl Counts {
    fn add(&mut self, kind: Kind, commit: Option<Commit>) {
        self.by_kind[kind.index()] += 1;
        match commit {
            Some(commit) => self.by_lane[commit.lane.index()] += 1,
            None => self.direct += 1,
        }
    }
}

impl Left {
    /// A caught-up read of the lane that began at `began` showed `bound`: it covers what left before it began.
    fn settle(&mut self, began: Stamp, bound: u64) {
        if self.unknown.is_some_and(|left| left <= began) {
            self.unknown = None;
            self.bound = self.bound.max(bound);
        }
    }

    /// Whether everything that left is certainly in a copy that has come to `point`.
    fn is_within(&self, point: u64) -> bool {
        self.unknown.is_none() && self.bound <= point
    }
}
