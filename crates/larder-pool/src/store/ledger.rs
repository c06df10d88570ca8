//! The commit lock, and what it guards: the order of commits.
//!
//! Every change of a pool is made by a [`Commit`], one at a time. What is always true:
//!
//! - Each commit that changes something has the sequence after the last one's, and becomes visible by one store of it.
//! - Nothing foreign runs while the lock is held, but the `Eq` of ids whose hashes are equal. What must be dropped,
//!   reported or told is collected, and dealt with after the lock is let go.
//! - A panic before the first change leaves everything as it was.
//!
//! Order of locks: the commit lock, then one shard (all of them, in order, where their number changes), then a leaf: the
//! ring of events, the queue of listeners, a shard of flights, the negative entries, the fence's own.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use larder_core::sync::{AtomicU64, MutexGuard, Ordering, RwLockWriteGuard};
use larder_core::{Moment, Target, TargetHash};
use larder_memory::{Account, Charge, Groups, SlotId, Wheel};

use super::entry::{Entry, Place, Version};
use super::life::{Extra, Judge, Life};
use super::shard::{FormerVersion, Shard};
use super::waste::Waste;
use crate::config::Capacity;
use crate::limits::WHEEL_TICK;
use crate::record::Change;
use crate::shared::{Shared, bounds};
use crate::{Entity, Reason};

/// What the commit lock guards.
pub(crate) struct Ledger {
    /// Of the last commit.
    pub(crate) sequence: u64,
    /// What is resident, and how much may be.
    pub(crate) account: Account,
    /// What the pool may hold now.
    pub(crate) capacity: Capacity,
    /// One timer for each entry that can expire.
    pub(crate) wheel: Wheel<Place>,
    /// The entries of each tag.
    pub(crate) tags: Groups<TargetHash, Place>,
    /// The sequences that scans look at, and how many do.
    pub(crate) scans: BTreeMap<u64, usize>,
    /// Where a victim is looked for next when the own shard has none.
    pub(crate) next_shard: usize,
    /// The shards are to be laid out anew, once no scan looks at them.
    pub(crate) relayout: bool,
    pub(crate) totals: Totals,
}

/// What commits have done since the pool was built.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) inserts: u64,
    pub(crate) updates: u64,
    pub(crate) removals: [u64; Reason::COUNT],
}

/// How much is visible, for readers that take no lock: a pair for the last commit and one for the next.
#[derive(Debug, Default)]
pub(crate) struct Sizes {
    pairs: [[AtomicU64; 2]; 2],
}

/// A commit in the making.
pub(crate) struct Commit<'a, T: Entity> {
    pub(crate) pool: &'a Shared<T>,
    pub(crate) ledger: MutexGuard<'a, Ledger>,
    /// What is dealt with when the lock is let go.
    pub(crate) waste: &'a mut Waste<T>,
    /// The sequence that it will have.
    pub(crate) sequence: u64,
    /// Read only by commits that need it: reading it holds up the processor.
    now: Cell<Option<Moment>>,
    pub(crate) generation: u16,
}

impl Ledger {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Ledger {
            sequence: 0,
            account: Account::new(bounds(capacity)),
            capacity,
            wheel: Wheel::new(WHEEL_TICK),
            tags: Groups::new(),
            scans: BTreeMap::new(),
            next_shard: 0,
            relayout: false,
            totals: Totals::default(),
        }
    }

    /// Everything has left: there are no timers and no tags.
    pub(crate) fn forget_all(&mut self) {
        self.wheel = Wheel::new(WHEEL_TICK);
        self.tags = Groups::new();
    }

    /// Takes off the timer of an entry and lets its tags go.
    #[inline]
    pub(crate) fn untie(&mut self, life: &mut Life) {
        if let Some(timer) = life.timer.take() {
            self.wheel.cancel(timer);
        }
        if let Some(extra) = &mut life.extra {
            for member in extra.members.drain(..) {
                self.tags.leave(member);
            }
        }
    }

    /// Gives an entry that now stands at `place` a timer for its end, and its tags.
    #[inline]
    pub(crate) fn tie(&mut self, life: &mut Life, place: Place, ends: Moment) {
        if ends != Moment::MAX {
            life.timer = Some(self.wheel.schedule(place, ends));
        }
        if let Some(extra) = life.extra.as_deref_mut() {
            let Extra {
                targets,
                tags,
                members,
                ..
            } = extra;
            let hashes = targets.iter().take(*tags).map(Target::hash);
            members.extend(hashes.map(|hash| self.tags.join(hash, place)));
        }
    }

    /// Whether a scan looks at a version that was current from `born` on until before `died`.
    #[inline]
    pub(crate) fn is_scanned(&self, born: u64, died: u64) -> bool {
        !self.scans.is_empty() && self.scans.range(born..died).next().is_some()
    }
}

impl Sizes {
    /// What is visible once `sequence` is published.
    fn set(&self, sequence: u64, size: Charge) {
        let [entries, bytes] = &self.pairs[side(sequence)];
        entries.store(size.entries, Ordering::Release);
        bytes.store(size.bytes, Ordering::Release);
    }

    /// Entries and bytes after some commit that was the last one at a moment of this call, each exact by itself.
    pub(crate) fn get(&self, visible: &AtomicU64) -> Charge {
        loop {
            let sequence = visible.load(Ordering::Acquire);
            let [entries, bytes] = &self.pairs[side(sequence)];
            let size = Charge {
                entries: entries.load(Ordering::Acquire),
                bytes: bytes.load(Ordering::Acquire),
            };
            // The pair is written again only for the commit after the next one.
            if visible.load(Ordering::Acquire) == sequence {
                return size;
            }
        }
    }
}

fn side(sequence: u64) -> usize {
    usize::from(sequence % 2 == 1)
}

impl<T: Entity> Shared<T> {
    /// Runs `work` as one commit, and then does whatever must wait until the lock is let go. Writers wait here while
    /// listeners are far behind.
    pub(crate) fn commit<R>(&self, work: impl FnOnce(&mut Commit<'_, T>) -> R) -> R {
        self.listeners.wait_for_room();
        let mut waste = Waste::new();
        let ledger = self.ledger.lock();
        waste.listen(self.events.is_read(), !self.listeners.is_empty());
        let mut commit = Commit {
            pool: self,
            sequence: ledger.sequence + 1,
            ledger,
            waste: &mut waste,
            now: Cell::new(None),
            generation: self.generation(),
        };
        let done = work(&mut commit);
        commit.close();
        waste.settle(self);
        done
    }
}

impl<'a, T: Entity> Commit<'a, T> {
    /// A judge at the time of this commit.
    #[inline]
    pub(crate) fn judge(&self) -> Judge<'a> {
        Judge::at(self.generation, &*self.pool.clock, self.now.get())
    }

    /// The time of this commit: that of the first time that it is asked.
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        self.now.get().unwrap_or_else(|| {
            let now = self.pool.clock.monotonic();
            self.now.set(Some(now));
            now
        })
    }

    /// About the time of this commit, for what need not be exact.
    #[inline]
    pub(crate) fn stored(&self) -> Moment {
        self.now.get().unwrap_or_else(|| self.pool.clock.coarse())
    }

    /// Makes what was done so far visible. Again, it only tells the new size.
    #[inline]
    pub(crate) fn publish(&mut self) {
        self.pool.sizes.set(self.sequence, self.ledger.account.used());
        self.ledger.sequence = self.sequence;
        self.waste.changed = true;
        self.pool.visible.store(self.sequence, Ordering::Release);
    }

    /// [`Commit::publish`] for a commit whose parts lie in several places: who reads many places can tell that it came
    /// in between.
    pub(crate) fn publish_batch(&mut self) {
        self.pool.batches.store(self.sequence, Ordering::Release);
        self.publish();
    }

    pub(crate) fn tell_inserted(&mut self, value: &Arc<T>, old: Option<&Arc<T>>) {
        let change = || Change::Inserted {
            value: Arc::clone(value),
        };
        self.waste.tell(change, old);
    }

    pub(crate) fn tell_updated(&mut self, new: &Arc<T>, old: &Arc<T>) {
        let change = || Change::Updated {
            old: Arc::clone(old),
            new: Arc::clone(new),
        };
        self.waste.tell(change, Some(old));
    }

    /// An id has left, and `value` was what it stood for.
    pub(crate) fn removed(&mut self, hash: u64, id: T::Id, value: &Arc<T>, reason: Reason) {
        self.ledger.totals.removals[reason.index()] += 1;
        self.waste.changed = true;
        if self.pool.metrics.is_some() {
            self.waste.removed(1, reason);
        }
        if self.waste.is_heard() {
            self.waste.tell(|| Change::Removed { id, reason }, Some(value));
        } else if self.pool.is_traced(hash) {
            self.waste.left(hash, id, reason);
        } else {
            self.waste.id(id);
        }
    }

    /// Everything has left, and `values` was what listeners must hear of.
    pub(crate) fn cleared(&mut self, count: usize, reason: Reason, values: Vec<Arc<T>>) {
        let removals = u64::try_from(count).unwrap_or(u64::MAX);
        self.ledger.totals.removals[reason.index()] += removals;
        if self.pool.metrics.is_some() {
            self.waste.removed(count, reason);
        }
        if self.waste.is_heard() {
            self.waste.tell_all(Change::Cleared { count, reason }, values);
        }
    }

    /// Takes an entry, which its policy has let go, out of a shard, for this reason. What it took up is given back.
    pub(crate) fn take_out(
        &mut self,
        shard: &mut RwLockWriteGuard<'_, Shard<T>>,
        slot: SlotId,
        reason: Reason,
    ) {
        let Entry {
            hash,
            id,
            mut version,
            ..
        } = shard.take(slot);
        self.ledger.untie(&mut version.life);
        self.removed(hash, id, &version.value, reason);
        self.retire(shard, slot, hash, version);
    }

    /// Lets a version that is current no longer go: to the scans that look at it, or away.
    #[inline]
    pub(crate) fn retire(
        &mut self,
        shard: &mut RwLockWriteGuard<'_, Shard<T>>,
        slot: SlotId,
        hash: u64,
        version: Version<T>,
    ) {
        if self.ledger.is_scanned(version.life.born, self.sequence) {
            let died = self.sequence;
            let former = shard.former.get_or_insert_default();
            former.add(slot, FormerVersion { version, hash, died });
        } else {
            self.waste.version(version);
        }
    }

    /// Whoever loads an id of this hash must not store what it brings. After the last change of its entry, so that who
    /// begins to load it later finds that.
    #[inline]
    pub(super) fn overtake_loads(&mut self, hash: u64) {
        let overtook = self.pool.flights.overtake(hash);
        if !overtook.is_empty() {
            self.waste.overtook(overtook);
        }
    }

    /// What is noted about ids of this hash is over.
    #[inline]
    pub(super) fn forget_notes(&mut self, hash: u64) {
        if !self.pool.absences.is_empty() {
            let gone = self.pool.absences.forget(hash);
            self.waste.absences(gone);
        }
        if !self.pool.failures.is_empty() {
            let gone = self.pool.failures.forget(hash);
            self.waste.failures(gone);
        }
    }

    /// The same for every id.
    pub(super) fn overtake_everything(&mut self) {
        let overtook = self.pool.flights.overtake_all();
        if !overtook.is_empty() {
            self.waste.overtook(overtook);
        }
        self.waste.absences(self.pool.absences.forget_all());
        self.waste.failures(self.pool.failures.forget_all());
    }

    /// Gives an entry that now stands at `place` its timer and its tags.
    pub(crate) fn tie(&mut self, life: &mut Life, place: Place) {
        let ends = self.pool.wheel_deadline(life);
        self.ledger.tie(life, place, ends);
    }

    /// Publishes what is not yet, hands on what is told, and lets the lock go.
    fn close(mut self) {
        if self.waste.changed {
            // Once more after entries were reclaimed: the size has changed since.
            self.publish();
            self.waste.send(self.pool, self.sequence);
        }
    }
}
