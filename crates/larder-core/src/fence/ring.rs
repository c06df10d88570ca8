//! The bounded memory of recent invalidations that each shard keeps beside its cells.
//!
//! Entries are appended under the shard's lock with rising stamps (a raised floor may stamp old ones anew), and
//! the oldest leaves when the ring is full. The entries of one target are linked from the newest back, so that asking about a target costs O(1) expected
//! plus the entries that are looked at. The ring forgets nothing silently: [`Ring::push`] gives back what left.

use hashbrown::HashTable;

use super::cause::Commit;
use super::stamp::Stamp;
use crate::clock::Moment;
use crate::invalidations::Reason;
use crate::target::TargetHash;

/// One recent invalidation.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) hash: TargetHash,
    pub(super) stamp: Stamp,
    pub(super) time: Moment,
    pub(super) commit: Option<Commit>,
    pub(super) reason: Reason,
    /// The number of the target's entry before this one, plus one; zero if there was none.
    before: u64,
}

/// Recent invalidations of the targets of one shard, oldest first.
pub(super) struct Ring {
    /// Slot `number % capacity` holds entry `number`.
    slots: Vec<Entry>,
    capacity: usize,
    /// The number of the next entry.
    next: u64,
    /// For each target in the ring, the number of its newest entry.
    newest: HashTable<u64>,
}

impl Ring {
    /// An empty ring for `capacity` entries. Memory is reserved with the first of them, so that a fence of which nothing is
    /// asked takes up little, and none that comes later allocates.
    pub(super) fn new(capacity: usize) -> Ring {
        Ring {
            slots: Vec::new(),
            capacity,
            next: 0,
            newest: HashTable::new(),
        }
    }

    #[cold]
    fn reserve(&mut self, spread: &impl Fn(TargetHash) -> u64) {
        self.slots.reserve_exact(self.capacity);
        let Ring {
            slots,
            newest,
            capacity,
            ..
        } = self;
        // Twice, so that clearing away what was removed never makes the table grow.
        newest.reserve(2 * *capacity, |at| spread(entry_at(slots, *capacity, *at).hash));
    }

    /// Appends an entry. `spread` is the target's hash as the table uses it. Gives back the entry that had to
    /// leave; it is dropped by the caller, without the lock. O(1) expected.
    pub(super) fn push(
        &mut self,
        hash: TargetHash,
        stamp: Stamp,
        time: Moment,
        commit: Option<Commit>,
        reason: Reason,
        spread: impl Fn(TargetHash) -> u64,
    ) -> Option<Entry> {
        if self.slots.capacity() == 0 {
            self.reserve(&spread);
        }
        let number = self.next;
        let left = self.make_room(&spread);
        let Ring {
            slots,
            newest,
            capacity,
            ..
        } = self;
        let found = newest.find_mut(spread(hash), |at| entry_at(slots, *capacity, *at).hash == hash);
        let before = match found {
            Some(at) => std::mem::replace(at, number) + 1,
            None => {
                newest.insert_unique(spread(hash), number, |at| {
                    spread(entry_at(slots, *capacity, *at).hash)
                });
                0
            }
        };
        let entry = Entry {
            hash,
            stamp,
            time,
            commit,
            reason,
            before,
        };
        let out = match left {
            Some(slot) => Some(std::mem::replace(&mut slots[slot], entry)),
            None => {
                slots.push(entry);
                None
            }
        };
        self.next = number + 1;
        out
    }

    /// If the ring is full, unlinks the oldest entry and gives its slot.
    fn make_room(&mut self, spread: &impl Fn(TargetHash) -> u64) -> Option<usize> {
        if self.slots.len() < self.capacity {
            return None;
        }
        let oldest = self.next - self.capacity as u64;
        let slot = slot_of(oldest, self.capacity);
        let hash = self.slots[slot].hash;
        if let Ok(newest) = self.newest.find_entry(spread(hash), |at| *at == oldest) {
            newest.remove();
        }
        Some(slot)
    }

    /// The entries of one target, newest first.
    pub(super) fn of(&self, hash: TargetHash, spread: u64) -> impl Iterator<Item = &Entry> {
        let newest = self
            .newest
            .find(spread, |at| {
                entry_at(&self.slots, self.capacity, *at).hash == hash
            })
            .map(|at| *at + 1);
        let oldest = self.oldest();
        let mut next = newest.unwrap_or(0);
        std::iter::from_fn(move || {
            let number = next.checked_sub(1).filter(|number| *number >= oldest)?;
            let entry = entry_at(&self.slots, self.capacity, number);
            next = entry.before;
            Some(entry)
        })
    }

    /// Changes the entries of one target, newest first.
    pub(super) fn of_mut(&mut self, hash: TargetHash, spread: u64, mut change: impl FnMut(&mut Entry)) {
        let Ring {
            slots,
            newest,
            capacity,
            ..
        } = self;
        let found = newest.find(spread, |at| entry_at(slots, *capacity, *at).hash == hash);
        let mut next = found.map_or(0, |at| *at + 1);
        let oldest = self.next - slots.len() as u64;
        while let Some(number) = next.checked_sub(1).filter(|number| *number >= oldest) {
            let entry = &mut slots[slot_of(number, *capacity)];
            next = entry.before;
            change(entry);
        }
    }

    /// All entries, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        (self.oldest()..self.next).map(|number| entry_at(&self.slots, self.capacity, number))
    }

    /// All entries, oldest first, to be stamped anew. The order of stamps must be kept.
    pub(super) fn for_each_mut(&mut self, mut change: impl FnMut(&mut Entry)) {
        for number in self.oldest()..self.next {
            let slot = slot_of(number, self.capacity);
            change(&mut self.slots[slot]);
        }
    }

    /// The number of the oldest entry that is still here.
    fn oldest(&self) -> u64 {
        self.next - self.slots.len() as u64
    }
}

fn slot_of(number: u64, capacity: usize) -> usize {
    usize::try_from(number % capacity as u64).expect("invariant: a remainder of a usize fits a usize")
}

fn entry_at(slots: &[Entry], capacity: usize, number: u64) -> &Entry {
    &slots[slot_of(number, capacity)]
}
