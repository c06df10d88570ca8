//! Shards: the tables and entries behind one lock each, and the way from a hash to its shard.
//!
//! Whoever changes a shard holds the pool's commit lock too, so a writer that has found a slot finds it again. Readers
//! take one shard's lock for reading, and no other lock with it.
//!
//! While a commit that changes several places is under way, its new entries stand beside the old ones, and the
//! sequence that the pool has published decides which of them a reader sees: both sides of the decision are made by one
//! store, whatever the number of shards.

use std::borrow::Borrow;
use std::collections::HashMap;

use hashbrown::HashTable;
use larder_core::Moment;
use larder_core::sync::{AtomicU64, AtomicUsize, Ordering, RwLock, RwLockReadGuard, RwLockWriteGuard};
use larder_memory::{Eviction, Evictor, SlotId};

use super::entry::{Entries, Entry, Hot, Phase, Version};
use super::put::Arrival;
use crate::{Entity, MissCause};

/// What one lock guards.
pub(crate) struct Shard<T: Entity> {
    table: HashTable<SlotId>,
    pub(crate) entries: Entries<T>,
    pub(crate) evictor: Evictor,
    /// Versions that only scans need, by the slot that they were in.
    pub(crate) former: Option<Box<Former<T>>>,
    /// The sequence of the commit that is under way in this shard; zero if there is none, and then every entry is
    /// settled.
    pub(crate) transit: u64,
    /// That commit takes out everything that was here before it.
    pub(crate) clearing: bool,
}

/// Former versions, each needed by a scan that began before it was replaced.
pub(crate) struct Former<T: Entity> {
    by_slot: HashMap<SlotId, Vec<FormerVersion<T>>>,
    /// Above every place that is in use here, since the slab may have become shorter.
    pub(crate) places: usize,
}

/// A version that was current from `version.life.born` on, until before `died`.
pub(crate) struct FormerVersion<T: Entity> {
    pub(crate) version: Version<T>,
    pub(crate) hash: u64,
    pub(crate) died: u64,
}

/// A shard with its lock and with what readers count, on lines of its own: whoever counts has taken the lock a moment
/// before, so a line is at hand.
#[repr(C, align(128))]
pub(crate) struct ShardCell<T: Entity> {
    lock: RwLock<Shard<T>>,
    pub(crate) misses: [AtomicU64; MissCause::COUNT],
}

/// All shards.
pub(crate) struct Shards<T: Entity> {
    cells: Box<[ShardCell<T>]>,
    /// How many are in use, less one; a power of two less one. Changed only while every lock is held.
    mask: AtomicUsize,
}

impl<T: Entity> Shard<T> {
    fn new(eviction: Eviction, epoch: Moment) -> Self {
        Shard {
            table: HashTable::new(),
            entries: Entries::new(epoch),
            evictor: Evictor::new(eviction),
            former: None,
            transit: 0,
            clearing: false,
        }
    }

    /// The entry of `id` that readers see when `visible` is what has been published. Compares ids of equal hashes, and
    /// so runs the id's `Eq`.
    #[inline]
    pub(crate) fn find<Q>(&self, hash: u64, id: &Q, visible: &AtomicU64) -> Option<SlotId>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if self.transit == 0 {
            return self.find_settled(hash, id);
        }
        // Loaded under the lock: old versions are taken out only after the publication, under this lock.
        let visible = visible.load(Ordering::Acquire);
        let is = |slot: &SlotId| self.is_seen(*slot, visible) && self.entries.is(*slot, hash, id);
        self.table.find(hash, is).copied()
    }

    /// What a hit needs of the entry of `id`, if no commit is under way here that changes several places.
    #[inline]
    pub(crate) fn find_hot<Q>(&self, hash: u64, id: &Q) -> Option<&Hot<T>>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if self.transit != 0 {
            return None;
        }
        let mut found = None;
        let is = |slot: &SlotId| {
            let hot = self.entries.hot(*slot);
            let is = hot.is(hash, id);
            if is {
                found = Some(hot);
            }
            is
        };
        self.table.find(hash, is)?;
        found
    }

    /// The entry of `id` where no commit is under way that changes several places, or before it has changed any.
    #[inline]
    pub(crate) fn find_settled<Q>(&self, hash: u64, id: &Q) -> Option<SlotId>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let is = |slot: &SlotId| self.entries.is(*slot, hash, id);
        self.table.find(hash, is).copied()
    }

    /// The entry of this hash of which something else is known.
    pub(crate) fn find_by(&self, hash: u64, is: impl Fn(SlotId) -> bool) -> Option<SlotId> {
        self.table.find(hash, |slot| is(*slot)).copied()
    }

    /// Whether a reader sees the entry when `visible` is what has been published.
    fn is_seen(&self, slot: SlotId, visible: u64) -> bool {
        let published = visible >= self.transit;
        match self.entries.phase(slot) {
            Phase::Settled => !(self.clearing && published),
            Phase::Arriving => published,
            Phase::Leaving => !published,
        }
    }

    /// Adds an arrival, and leaves the policy to the caller.
    #[inline]
    pub(crate) fn add(&mut self, arrival: &mut Arrival<T>) -> SlotId {
        let slot = self.entries.add(arrival);
        self.list(arrival.hash, slot);
        slot
    }

    /// Adds an entry that was taken out, and leaves the policy to the caller.
    pub(crate) fn put(&mut self, entry: Entry<T>) -> SlotId {
        let hash = entry.hash;
        let slot = self.entries.put(entry);
        self.list(hash, slot);
        slot
    }

    #[inline]
    fn list(&mut self, hash: u64, slot: SlotId) {
        let entries = &self.entries;
        self.table.insert_unique(hash, slot, |slot| entries.hash(*slot));
    }

    /// Asks for the lines of the entries that will probably leave next, since an insert for which one has to leave is likely
    /// to be followed by another.
    #[inline]
    pub(crate) fn expect_next(&self) {
        self.evictor.expect_departure(&self.entries);
    }

    /// Takes out an entry that its policy has let go.
    pub(crate) fn take(&mut self, slot: SlotId) -> Entry<T> {
        let found = self
            .table
            .find_entry(self.entries.hash(slot), |other| *other == slot);
        if let Ok(found) = found {
            found.remove();
        }
        self.entries.take(slot)
    }

    /// Lets the policy go of an entry that leaves for another reason than room.
    pub(crate) fn forget(&mut self, slot: SlotId) {
        self.evictor.remove(&mut self.entries, slot);
    }

    /// Becomes empty, and gives back what was there.
    pub(crate) fn empty(&mut self) -> Entries<T> {
        self.table.clear();
        self.evictor = Evictor::new(self.evictor.eviction());
        self.transit = 0;
        self.clearing = false;
        let empty = Entries::new(self.entries.epoch());
        std::mem::replace(&mut self.entries, empty)
    }
}

impl<T: Entity> Former<T> {
    pub(crate) fn add(&mut self, slot: SlotId, former: FormerVersion<T>) {
        self.places = self.places.max(slot.index() + 1);
        self.by_slot.entry(slot).or_default().push(former);
    }

    /// The version that was in `slot` after the commit `sequence`, if it is here.
    pub(crate) fn at(&self, slot: SlotId, sequence: u64) -> Option<&FormerVersion<T>> {
        let mut versions = self.by_slot.get(&slot)?.iter();
        versions.find(|former| former.version.life.born <= sequence && sequence < former.died)
    }

    /// Takes out the versions that nobody needs.
    pub(crate) fn prune(&mut self, is_needed: impl Fn(&FormerVersion<T>) -> bool) -> Vec<FormerVersion<T>> {
        let mut gone = Vec::new();
        self.by_slot.retain(|_, versions| {
            gone.extend(versions.extract_if(.., |former| !is_needed(former)));
            !versions.is_empty()
        });
        gone
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }
}

impl<T: Entity> Default for Former<T> {
    fn default() -> Self {
        Former {
            by_slot: HashMap::new(),
            places: 0,
        }
    }
}

impl<T: Entity> Shards<T> {
    /// `count` shards, a power of two, of which the first `used` are in use.
    pub(crate) fn new(count: usize, used: usize, eviction: Eviction, epoch: Moment) -> Self {
        assert!(count.is_power_of_two() && used.is_power_of_two() && used <= count);
        let cell = |_| ShardCell {
            lock: RwLock::new(Shard::new(eviction, epoch)),
            misses: [const { AtomicU64::new(0) }; MissCause::COUNT],
        };
        Shards {
            cells: (0..count).map(cell).collect(),
            mask: AtomicUsize::new(used - 1),
        }
    }

    /// How many there are, in use or not.
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// How many are in use.
    pub(crate) fn used(&self) -> usize {
        self.mask.load(Ordering::Acquire) + 1
    }

    /// The shard of `hash`, for a writer: while it holds the commit lock that does not change.
    #[inline]
    pub(crate) fn of(&self, hash: u64) -> usize {
        index(hash) & self.mask.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn cell(&self, index: usize) -> &ShardCell<T> {
        &self.cells[index]
    }

    pub(crate) fn cells(&self) -> impl Iterator<Item = &ShardCell<T>> {
        self.cells.iter()
    }

    /// The shard of `hash`, for a reader.
    #[inline]
    pub(crate) fn read(&self, hash: u64) -> (&ShardCell<T>, RwLockReadGuard<'_, Shard<T>>) {
        loop {
            let mask = self.mask.load(Ordering::Acquire);
            let cell = &self.cells[index(hash) & mask];
            let guard = cell.read();
            // It changes only while every lock is held, so under this one it stays what it is.
            if self.mask.load(Ordering::Acquire) == mask {
                return (cell, guard);
            }
        }
    }

    /// The shard of `hash`, to change what a policy keeps. Not to change anything else: that needs the commit lock.
    pub(crate) fn write_for_use(&self, hash: u64) -> (&ShardCell<T>, RwLockWriteGuard<'_, Shard<T>>) {
        loop {
            let mask = self.mask.load(Ordering::Acquire);
            let cell = &self.cells[index(hash) & mask];
            let guard = cell.write();
            if self.mask.load(Ordering::Acquire) == mask {
                return (cell, guard);
            }
        }
    }

    /// Puts another number of shards into use. The caller holds every shard's lock for writing.
    pub(crate) fn set_used(&self, used: usize, _all: &[RwLockWriteGuard<'_, Shard<T>>]) {
        assert!(used.is_power_of_two() && used <= self.cells.len());
        self.mask.store(used - 1, Ordering::Release);
    }
}

impl<T: Entity> ShardCell<T> {
    #[inline]
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Shard<T>> {
        self.lock.read()
    }

    #[inline]
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Shard<T>> {
        self.lock.write()
    }
}

/// Bits that neither end of the hash has, which the table takes.
#[inline]
fn index(hash: u64) -> usize {
    usize::try_from(hash >> 32).unwrap_or(0)
}
