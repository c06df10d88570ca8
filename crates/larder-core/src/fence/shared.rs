//! The state behind every handle of a fence, and the steps that need its shards.
//!
//! A thread holds at most one shard lock at a time, and while it does it calls nobody. Cells are let go only
//! without a lock, since letting go of the last hold takes one.

use std::fmt;

use super::cause::Cause;
use super::cell::{Cell, CellInTable, CellRef};
use super::journal::Raised;
use super::lanes::Lanes;
use super::registry::Registered;
use super::shard::Shard;
use super::spread::Spread;
use super::stamp::{Run, Stamp};
use super::stats::{FenceStats, InvalidationsByKind, KINDS, Kind, Refusals};
use super::wait::Waiters;
use crate::clock::{Clock, Moment};
use crate::limits::LANES_MAX;
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering};
use crate::target::{Target, TargetHash};

/// What all handles, pins and lanes of one fence share.
pub(super) struct Shared {
    /// The last stamp given out.
    ///
    /// Release when it is raised and acquire where a pin reads it: a load that begins after its pin sees
    /// whatever the invalidations up to the pin's stamp were about.
    stamps: AtomicU64,
    shards: Box<[Padded<Mutex<Shard>>]>,
    spread: Spread,
    pub(super) run: Run,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) refusals: Refusals,
    pub(super) lanes: Lanes,
    pub(super) waiters: Waiters,
    /// Who is registered; each shard has its own copy of the journals and hooks, set under that shard's lock.
    pub(super) attached: Mutex<Registered>,
}

/// Two shards never share a cache line, nor the pair of lines that processors fetch together.
#[repr(align(128))]
pub(super) struct Padded<T>(T);

impl Shared {
    pub(super) fn new(
        shards: usize,
        recent_count: usize,
        run: Run,
        seed: [u64; 2],
        clock: Arc<dyn Clock>,
    ) -> Self {
        let spread = Spread::new(seed, shards);
        let ring = recent_count.div_ceil(shards);
        let shards = (0..shards)
            .map(|_| Padded(Mutex::new(Shard::new(ring, spread))))
            .collect();
        Shared {
            // Zero is no pin's stamp: it marks one that is dead for good.
            stamps: AtomicU64::new(1),
            shards,
            spread,
            run,
            clock,
            refusals: Refusals::default(),
            lanes: Lanes::new(),
            waiters: Waiters::default(),
            attached: Mutex::default(),
        }
    }

    /// The last stamp given out: whatever was stamped up to it is seen by what the caller does next.
    #[inline]
    pub(super) fn now(&self) -> Stamp {
        Stamp::of_clock(self.stamps.load(Ordering::Acquire))
    }

    /// A stamp that no invalidation has.
    pub(super) fn mark(&self) -> Stamp {
        self.next_stamp()
    }

    #[inline]
    fn next_stamp(&self) -> Stamp {
        Stamp::of_clock(self.stamps.fetch_add(1, Ordering::Release) + 1)
    }

    #[inline]
    pub(super) fn shard(&self, hash: TargetHash) -> MutexGuard<'_, Shard> {
        let Padded(shard) = &self.shards[self.spread.shard_of(hash)];
        shard.lock()
    }

    /// Every shard in turn, one lock at a time.
    pub(super) fn each_shard(&self, mut visit: impl FnMut(&mut Shard)) {
        for Padded(shard) in &self.shards {
            visit(&mut shard.lock());
        }
    }

    /// Takes the cell of the first of `lineage`, making it and its parents' if need be.
    ///
    /// `near` is a cell taken before: where it hangs below the same parent, that one is used again.
    pub(super) fn take(self: &Arc<Self>, lineage: &[TargetHash], near: Option<&CellRef>) -> CellRef {
        let [own, above @ ..] = lineage else {
            unreachable!("invariant: a lineage has at least `everything`");
        };
        if let Some(cell) = self.shard(*own).take(*own) {
            return cell;
        }
        let Some(parent) = above.first() else {
            return self
                .shard(*own)
                .take_or_insert(*own, || CellRef::new_root(*own, Arc::clone(self)));
        };
        let sibling = near
            .and_then(|near| near.parent())
            .filter(|near| near.hash() == *parent);
        let mut parent = Some(sibling.cloned().unwrap_or_else(|| self.take(above, None)));
        let mut shard = self.shard(*own);
        let cell = shard.take_or_insert(*own, || {
            CellRef::new_below(*own, parent.take().expect("invariant: asked for once"))
        });
        drop(shard);
        // If another thread was first, its cell is taken and our hold on the parent goes now, without the lock.
        drop(parent);
        cell
    }

    /// Takes the caller's cell out of its shard's table if the caller is its last holder, for it to free.
    pub(super) fn forget_if_last(&self, cell: &CellRef) -> Option<CellInTable> {
        self.shard(cell.hash()).forget_if_last(cell)
    }

    /// Raises one target and tells everyone who must hear of it before the caller goes on, but for the hook with the
    /// number `except`.
    pub(super) fn invalidate(&self, target: &Target, cause: Cause, except: Option<u64>) -> Stamp {
        let (hash, kind) = (target.hash(), Kind::of(target));
        let commit = cause.commit_of(self.run);
        // Not the coarse time, which may lag: loads from copies are held back by this one for as long as they said.
        let time = self.time();
        let mut shard = self.shard(hash);
        let stamp = self.next_stamp();
        let raised = shard.raise(hash, kind, stamp, time, commit, cause.reason);
        drop(shard);
        drop(raised.left);
        if let Some(attached) = raised.attached {
            let commit = commit.and_then(|commit| Some((self.lanes.source(commit.lane)?, commit.position)));
            attached
                .0
                .tell(target, Raised::Target { hash, stamp, commit }, except);
        }
        stamp
    }

    /// Raises the cell of `hash` if somebody holds it, and leaves no other trace.
    pub(super) fn end_pins(&self, hash: TargetHash) {
        let shard = self.shard(hash);
        if let Some(cell) = shard.find(hash) {
            cell.raise(self.next_stamp().get());
        }
    }

    /// Whether `cell`, or a parent of it that is not among `held`, was invalidated after `started` as far as
    /// cell and ring can tell. `Ok` gives the greatest stamp that has left the rings that were asked.
    pub(super) fn unchanged_since(
        &self,
        cell: &CellRef,
        started: Stamp,
        held: impl Fn(TargetHash) -> bool,
    ) -> Result<Stamp, Changed> {
        let mut dropped = Stamp::ZERO;
        let mut next: Option<&Cell> = Some(cell);
        while let Some(cell) = next.filter(|cell| !held(cell.hash())) {
            let shard = self.shard(cell.hash());
            let newest = shard.newest(cell.hash()).map_or(Stamp::ZERO, |entry| entry.stamp);
            if cell.last() > started.get() || newest > started {
                return Err(Changed);
            }
            dropped = dropped.max(shard.dropped);
            next = cell.above();
        }
        Ok(dropped)
    }

    /// Moves the clock above `floor`, and stamps anew what this run has invalidated at or below it.
    pub(super) fn raise_floor(&self, floor: Stamp) {
        let floor = floor.min(Stamp::FLOOR_MAX);
        // Relaxed: it publishes nothing, and as a read-modify-write it keeps what earlier stamps published.
        let before = self.stamps.fetch_max(floor.get(), Ordering::Relaxed);
        let stamp = self.next_stamp();
        let mut again = Vec::new();
        let mut lost = false;
        // A shard visited now can get only stamps above the floor afterwards, since the clock is there already.
        self.each_shard(|shard| lost |= shard.restamp(floor, stamp, &mut again));
        let list = self.attached.lock().list.clone();
        if list.journals.is_empty() {
            return;
        }
        let mut told: Vec<Raised> = again.iter().map(|entry| self.told(entry)).collect();
        if lost {
            told.push(Raised::Target {
                hash: TargetHash::EVERYTHING,
                stamp,
                commit: None,
            });
        }
        if before < floor.get() {
            told.push(Raised::Skipped {
                first: Stamp::of_clock(before + 1),
                last: floor,
            });
        }
        told.push(Raised::Skipped {
            first: stamp,
            last: stamp,
        });
        for (_, journal) in &list.journals {
            journal.raised(&told);
        }
    }

    /// A ring entry as journals are told of it.
    pub(super) fn told(&self, entry: &super::ring::Entry) -> Raised {
        let commit = entry.commit;
        let commit = commit.and_then(|commit| Some((self.lanes.source(commit.lane)?, commit.position)));
        Raised::Target {
            hash: entry.hash,
            stamp: entry.stamp,
            commit,
        }
    }

    pub(super) fn stats(&self) -> FenceStats {
        let (mut by_kind, mut by_lane, mut reach) = ([0; KINDS], [0; LANES_MAX], None);
        let now = self.time();
        let mut stats = FenceStats {
            refused_fenced: self.refusals.fenced.get(),
            refused_too_old: self.refusals.too_old.get(),
            refused_as_of: self.refusals.as_of.get(),
            refused_too_many: self.refusals.too_many.get(),
            widenings: self.refusals.widened.get(),
            waiting: self.waiting(),
            ..FenceStats::default()
        };
        self.each_shard(|shard| {
            for cell in shard.cells() {
                stats.cells += 1;
                // Each child holds its parent once; what remains is held by pins.
                stats.pins += u64::from(cell.holders());
                stats.pins -= u64::from(cell.above().is_some());
            }
            stats.cell_bytes += shard.cell_bytes();
            stats.direct += shard.counts.direct;
            sum(&mut by_kind, &shard.counts.by_kind);
            sum(&mut by_lane, &shard.counts.by_lane);
            reach = reach.max(shard.dropped_time);
        });
        stats.by_kind = InvalidationsByKind::of(by_kind);
        let lanes = self.lanes.all();
        let counted = lanes
            .iter()
            .zip(by_lane)
            .map(|(lane, count)| (lane.source, count));
        stats.by_source = counted.collect();
        stats.ring_reach_seconds = reach.map(|left| now.since(left).as_secs_f64());
        stats
    }

    /// The present moment.
    pub(super) fn time(&self) -> Moment {
        self.clock.monotonic()
    }
}

fn sum<const N: usize>(into: &mut [u64; N], of: &[u64; N]) {
    for (into, of) in into.iter_mut().zip(of) {
        *into += of;
    }
}

/// Something that an old pin depends on was invalidated after it began.
#[derive(Debug)]
pub(super) struct Changed;

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence")
            .field("run", &self.run)
            .field("stamp", &self.now())
            .finish_non_exhaustive()
    }
}
