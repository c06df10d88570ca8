//! Pins: what an entry, or a load in flight, holds to be told whether it may still be believed.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use thin_vec::ThinVec;

use super::cell::{Cell, CellRef, Hold};
use super::error::{Fenced, PinError, TooOld};
use super::shared::Shared;
use super::stamp::Stamp;
use crate::as_of::AsOf;
use crate::limits::PIN_TARGETS_MAX;
use crate::sync::Arc;
use crate::target::{Target, TargetHash};

/// The most hashes that one target stands for: itself and its parents.
const LINEAGE_MAX: usize = 3;

/// Up to so many targets are compared one by one; beyond, they are looked up.
const FEW_TARGETS: usize = 16;

/// Holds the cells of targets and of all their parents, and the stamp at which it was taken. 16 bytes.
///
/// Taken before a load begins, kept by the flight and then by the entry. Clones share its cells. Cheap to ask,
/// at any time and from any thread: see [`Pin::is_fresh`].
pub struct Pin {
    hold: Hold,
}

impl Pin {
    /// A pin on `targets` from now on. O(targets), one shard lock each.
    pub(super) fn take(shared: &Arc<Shared>, targets: &[Target]) -> Result<Pin, PinError> {
        let hold = take_all(shared, targets)?;
        // Read only now that all cells are held: an invalidation with a higher stamp finds them.
        Ok(Pin::started_at(hold, shared.now()))
    }

    /// A pin on `targets` as of an earlier stamp, and the greatest stamp that has left the rings it asked;
    /// `None` if one of them was invalidated since, as far as cells and rings know.
    pub(super) fn take_since(
        shared: &Arc<Shared>,
        started: Stamp,
        targets: &[Target],
    ) -> Option<(Pin, Stamp)> {
        let hold = take_all(shared, targets).ok()?;
        let mut dropped = Stamp::ZERO;
        for cell in hold.cells() {
            dropped = dropped.max(shared.unchanged_since(cell, started, |_| false).ok()?);
        }
        Some((Pin::started_at(hold, started), dropped))
    }

    fn started_at(mut hold: Hold, started: Stamp) -> Pin {
        hold.set_limit(started.get() + 1);
        Pin { hold }
    }

    /// Whether nothing that this pin depends on was invalidated since it was taken. Decides whether an entry
    /// may be read, whether a flight may be joined, and whether publishing is worth it.
    ///
    /// Lock-free: one load for each target and parent at most, no shared line written, no allocation. A reader
    /// that gets `false` also sees whatever the invalidation was about.
    #[inline]
    pub fn is_fresh(&self) -> bool {
        self.every_last_below(self.hold.limit())
    }

    /// Whether no cell was raised to `limit` or above.
    #[inline]
    fn every_last_below(&self, limit: u64) -> bool {
        let mut asked: Option<&Cell> = None;
        for leaf in self.hold.cells() {
            if leaf.last() >= limit {
                return false;
            }
            let above = leaf.above();
            // The tags of one namespace stand together as a rule: their parent, and all above it, were asked a
            // moment ago for the one before, in this same call.
            if !same(above, asked) && !every_last_below(above, limit) {
                return false;
            }
            asked = above;
        }
        true
    }

    /// Whether nothing that this pin depends on was invalidated after `stamp`, which is not before the pin was taken:
    /// for a part that holds one pin on what all its entries depend on, and with each entry only the stamp at which its
    /// load began. As cheap as [`Pin::is_fresh`].
    ///
    /// A stamp from before this pin was taken is not believed.
    #[inline]
    pub fn unchanged_since(&self, stamp: Stamp) -> bool {
        let limit = stamp.get() + 1;
        let believed = self.hold.limit() != 0 && limit >= self.hold.limit();
        believed && self.every_last_below(limit)
    }

    /// A pin on the same targets as of the same stamp, without those of `targets`; `None` if none are left.
    ///
    /// For a part that removes an entry when its own target is invalidated and keeps a pin for the rest only. The
    /// parents of what is left stay; those of what is taken out go with it.
    #[must_use]
    pub fn without(&self, targets: &[Target]) -> Option<Pin> {
        let hashes: Vec<TargetHash> = targets.iter().map(Target::hash).collect();
        let rest = self.hold.cells().iter();
        let rest: ThinVec<CellRef> = rest
            .filter(|cell| !hashes.contains(&cell.hash()))
            .cloned()
            .collect();
        let mut hold = match &*rest {
            [] => return None,
            [one] => Hold::one(one.clone(), self.hold.limit()),
            _ => Hold::several(rest, self.hold.limit()),
        };
        if self.hold.is_from_copy() {
            hold.set_from_copy();
        }
        Some(Pin { hold })
    }

    /// [`Pin::is_fresh`] for a fill that is about to be published: a refusal is counted.
    ///
    /// # Errors
    /// [`Fenced::Invalidated`].
    pub fn check(&self) -> Result<(), Fenced> {
        if self.is_fresh() {
            return Ok(());
        }
        self.shared().refusals.fenced.add();
        Err(Fenced::Invalidated)
    }

    /// The stamp at which the pin was taken; zero if it is dead for good.
    pub fn started(&self) -> Stamp {
        Stamp::of_clock(self.hold.limit().saturating_sub(1))
    }

    /// Depends on more targets, known only after the load: the rows of a list, the tags of a value.
    ///
    /// O(1) expected a target. Targets that the pin holds already cost nothing and cannot fail.
    ///
    /// # Errors
    /// [`TooOld`]: one of them was invalidated after the pin was taken, or may have been. The pin is dead for
    /// good then.
    pub fn extend(&mut self, targets: &[Target]) -> Result<(), TooOld> {
        let extended = self.try_extend(targets);
        if let Err(error) = &extended {
            match error {
                TooOld::Invalidated | TooOld::FromCopy => self.shared().refusals.too_old.add(),
                TooOld::TooMany { .. } => self.shared().refusals.too_many.add(),
            }
            self.kill();
        }
        extended
    }

    fn try_extend(&mut self, targets: &[Target]) -> Result<(), TooOld> {
        let (shared, started) = (Arc::clone(self.shared()), self.started());
        let mut held: Vec<TargetHash> = self.hashes().collect();
        held.sort_unstable();
        let mut late: ThinVec<CellRef> = ThinVec::new();
        let mut named = Named::default();
        for target in targets {
            let lineage = target.lineage();
            let is_held = lineage.first().is_some_and(|own| held.binary_search(own).is_ok());
            if is_held || !named.is_new(&lineage, &late) {
                continue;
            }
            if self.hold.is_from_copy() {
                return Err(TooOld::FromCopy);
            }
            // The parent of the one before was held or asked about a moment ago.
            let asked = late.last().and_then(CellRef::parent).map(|parent| parent.hash());
            let is_known = |hash| Some(hash) == asked || held.binary_search(&hash).is_ok();
            let cell = shared.take(&lineage, late.last());
            // The cell is held, so what comes from now on raises it. What came before is asked of the ring.
            let dropped = shared.unchanged_since(&cell, started, is_known);
            if dropped.map_or(true, |dropped| dropped > started) {
                return Err(TooOld::Invalidated);
            }
            late.push(cell);
            // No two of them are the same, so this is too many already, and the rest need not be looked at.
            if late.len() > PIN_TARGETS_MAX {
                break;
            }
        }
        if late.is_empty() {
            return Ok(());
        }
        let count = count_distinct(self.hold.cells().iter().chain(&late));
        if count > PIN_TARGETS_MAX {
            return Err(TooOld::TooMany {
                count,
                max: PIN_TARGETS_MAX,
            });
        }
        self.append(late);
        Ok(())
    }

    fn append(&mut self, late: ThinVec<CellRef>) {
        let limit = self.hold.limit();
        let mut cells: ThinVec<CellRef> = ThinVec::with_capacity(self.hold.cells().len() + late.len());
        cells.extend(self.hold.cells().iter().cloned());
        cells.extend(late);
        self.hold = Hold::several(cells, limit);
    }

    /// Dead from now on, for a load inside an open transaction or an old snapshot: its value is returned, never
    /// cached, and its flight is joined by nobody. Clones are handles of their own: what a flight table keeps must be
    /// made so too, or be cloned afterwards.
    pub fn never_cache(&mut self) {
        self.kill();
    }

    /// The load came from a copy of a source that had come to `as_of`.
    ///
    /// Adds refusals only: it never makes a stale pin fresh. On a primary it is not needed.
    ///
    /// The targets that the pin has now are compared. Late ones must be there before: [`Pin::extend`] first.
    ///
    /// # Errors
    /// [`Fenced`] if the copy may lack the last invalidation of a target, or if the fence cannot tell. The pin
    /// is dead for good then.
    pub fn as_of(&mut self, as_of: AsOf) -> Result<(), Fenced> {
        self.refuse_unless(|pin| pin.includes_all_until(as_of))
    }

    fn includes_all_until(&self, as_of: AsOf) -> Result<(), Fenced> {
        let shared = self.shared();
        let lane = shared
            .lanes
            .find(as_of.source())
            .filter(|lane| lane.is_in_epoch_of(as_of));
        let Some(lane) = lane else {
            return Err(Fenced::NotFollowed(as_of.source()));
        };
        let within = self.every_hash(|hash| shared.shard(hash).is_within(hash, lane.index, as_of.point()));
        // Asked again: an epoch that began meanwhile has changed what bounds mean.
        if within && lane.is_in_epoch_of(as_of) {
            Ok(())
        } else {
            Err(Fenced::Behind)
        }
    }

    /// The load came from a copy that cannot tell how far it has come, but is at most `hold` behind.
    ///
    /// The hold counts back from this call, so it belongs between the pin and the load: after a load that took
    /// longer than `hold` an invalidation from just before it would not be noticed any more. Like
    /// [`Pin::as_of`] it compares the targets that the pin has now.
    ///
    /// # Errors
    /// [`Fenced::Behind`] while a target was invalidated less than `hold` ago, or the ring does not reach back
    /// that far. The pin is dead for good then.
    pub fn as_of_unknown(&mut self, hold: Duration) -> Result<(), Fenced> {
        self.refuse_unless(|pin| {
            let shared = pin.shared();
            let now = shared.time();
            let quiet = pin.every_hash(|hash| !shared.shard(hash).invalidated_within(hash, now, hold));
            if quiet { Ok(()) } else { Err(Fenced::Behind) }
        })
    }

    fn refuse_unless(&mut self, accepts: impl FnOnce(&Pin) -> Result<(), Fenced>) -> Result<(), Fenced> {
        let accepted = accepts(self);
        match accepted {
            // Only these targets were compared: later ones could be newer than the copy, unseen.
            Ok(()) => self.hold.set_from_copy(),
            Err(_) => {
                self.shared().refusals.as_of.add();
                self.kill();
            }
        }
        accepted
    }

    /// No stamp is below zero, so nothing is fresh under this limit, whatever the cells say.
    fn kill(&mut self) {
        self.hold.set_limit(0);
    }

    /// The hashes of all targets and parents; a parent shared by several targets may come more than once.
    pub(super) fn hashes(&self) -> impl Iterator<Item = TargetHash> {
        self.hold
            .cells()
            .iter()
            .flat_map(|leaf| std::iter::successors(Some(&**leaf), |cell| cell.above()).map(Cell::hash))
    }

    fn every_hash(&self, mut holds: impl FnMut(TargetHash) -> bool) -> bool {
        self.hashes().all(&mut holds)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        self.hold
            .cells()
            .first()
            .expect("invariant: a pin holds at least `everything`")
            .shared()
    }
}

/// Whether two cells are one.
#[inline]
fn same(one: Option<&Cell>, other: Option<&Cell>) -> bool {
    one.map(std::ptr::from_ref) == other.map(std::ptr::from_ref)
}

/// Whether neither `cell` nor a cell above it was invalidated at `limit` or later.
#[inline]
fn every_last_below(cell: Option<&Cell>, limit: u64) -> bool {
    let mut next = cell;
    while let Some(cell) = next {
        if cell.last() >= limit {
            return false;
        }
        next = cell.above();
    }
    true
}

/// Takes the cells of `targets`; of none, that of everything. The limit is not set yet.
fn take_all(shared: &Arc<Shared>, targets: &[Target]) -> Result<Hold, PinError> {
    match targets {
        [] => Ok(Hold::one(shared.take(&[TargetHash::EVERYTHING], None), 0)),
        [target] => Ok(Hold::one(shared.take(&target.lineage(), None), 0)),
        _ => {
            check_count(shared, targets)?;
            let mut cells: ThinVec<CellRef> = ThinVec::with_capacity(targets.len());
            let mut named = Named::default();
            for target in targets {
                let lineage = target.lineage();
                if named.is_new(&lineage, &cells) {
                    let cell = shared.take(&lineage, cells.last());
                    cells.push(cell);
                }
            }
            if cells.len() < targets.len() {
                cells.shrink_to_fit();
            }
            Ok(Hold::several(cells, 0))
        }
    }
}

/// Which targets of a list have been named before: the rows of a list share a few tags, and naming one again must
/// neither cost room in the pin nor push another one out.
#[derive(Default)]
struct Named {
    many: HashSet<TargetHash>,
}

impl Named {
    /// Whether the first of `lineage` is named for the first time, `taken` being the cells of those before. O(1)
    /// expected, and no allocation for few.
    fn is_new(&mut self, lineage: &[TargetHash], taken: &[CellRef]) -> bool {
        let Some(own) = lineage.first() else { return false };
        if taken.len() < FEW_TARGETS {
            return taken.iter().all(|cell| cell.hash() != *own);
        }
        if self.many.is_empty() {
            self.many.extend(taken.iter().map(|cell| cell.hash()));
        }
        self.many.insert(*own)
    }
}

fn check_count(shared: &Shared, targets: &[Target]) -> Result<(), PinError> {
    if targets.len() <= PIN_TARGETS_MAX / LINEAGE_MAX {
        return Ok(());
    }
    let mut hashes: Vec<_> = targets
        .iter()
        .flat_map(|target| target.lineage().to_vec())
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    if hashes.len() <= PIN_TARGETS_MAX {
        return Ok(());
    }
    shared.refusals.too_many.add();
    Err(PinError::TooMany {
        count: hashes.len(),
        max: PIN_TARGETS_MAX,
    })
}

/// How many different targets and parents these cells stand for.
fn count_distinct<'a>(cells: impl Iterator<Item = &'a CellRef>) -> usize {
    let up = |leaf: &'a CellRef| std::iter::successors(Some(&**leaf), |cell| cell.above()).map(Cell::hash);
    let mut hashes: Vec<_> = cells.flat_map(up).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes.len()
}

impl Clone for Pin {
    /// Holds the same cells, as of the same stamp. O(targets) without a lock.
    fn clone(&self) -> Self {
        Pin {
            hold: self.hold.clone(),
        }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pin")
            .field("started", &self.started())
            .field("fresh", &self.is_fresh())
            .finish()
    }
}
