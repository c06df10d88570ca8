//! [`Notes`]: what a pool remembers for a while of ids of which it keeps no entry, or beside it.
//!
//! Always true: there are never more notes than their bound, the oldest goes first; a note that is over is not read. The
//! lock is a leaf, under which nothing foreign runs but the `Eq` of ids whose hashes are equal: what is taken out is
//! handed to the caller to be dropped.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use hashbrown::HashTable;
use larder_core::Moment;
use larder_core::sync::{AtomicUsize, Mutex, Ordering};
use larder_memory::{SlotId, Slots};

/// Notes about ids of type `I`, each with a `V`.
pub(crate) struct Notes<I, V> {
    state: Mutex<State<I, V>>,
    /// How many there are: readers of a pool that has none pay one load.
    count: AtomicUsize,
    most: usize,
}

struct State<I, V> {
    notes: Slots<Note<I, V>>,
    table: HashTable<SlotId>,
    /// In the order in which they were written.
    order: BTreeMap<u64, SlotId>,
    next: u64,
}

/// One of them, as it is taken out.
pub(crate) struct Note<I, V> {
    hash: u64,
    id: I,
    value: V,
    until: Moment,
    order: u64,
}

impl<I, V> Notes<I, V> {
    /// At most so many.
    pub(crate) fn new(most: usize) -> Self {
        let state = State {
            notes: Slots::new(),
            table: HashTable::new(),
            order: BTreeMap::new(),
            next: 0,
        };
        Notes {
            state: Mutex::new(state),
            count: AtomicUsize::new(0),
            most,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What `read` makes of the note about an id, if there is one that is not over. `now` is asked only then.
    pub(crate) fn read<Q, R>(
        &self,
        hash: u64,
        id: &Q,
        now: impl FnOnce() -> Moment,
        read: impl FnOnce(&V) -> R,
    ) -> Option<R>
    where
        I: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if self.is_empty() {
            return None;
        }
        let state = self.state.lock();
        let slot = state.find(hash, id)?;
        let note = &state.notes[slot];
        (note.until > now()).then(|| read(&note.value))
    }

    /// Writes a note, in place of the one about the same id, or of the oldest where there are as many as may be. What
    /// had to go.
    pub(crate) fn write(&self, hash: u64, id: I, until: Moment, value: V) -> Vec<Note<I, V>>
    where
        I: Eq,
    {
        let mut state = self.state.lock();
        let mut gone: Vec<_> = state
            .find(hash, &id)
            .map(|slot| state.take(slot))
            .into_iter()
            .collect();
        while state.notes.len() >= self.most
            && let Some((_, oldest)) = state.order.first_key_value()
        {
            let oldest = *oldest;
            gone.push(state.take(oldest));
        }
        state.add(hash, id, until, value);
        self.count.store(state.notes.len(), Ordering::Relaxed);
        gone
    }

    /// Takes out what there is about ids of this hash.
    pub(crate) fn forget(&self, hash: u64) -> Vec<Note<I, V>> {
        let mut gone = Vec::new();
        if self.is_empty() {
            return gone;
        }
        let mut state = self.state.lock();
        while let Some(slot) = state.find_hash(hash) {
            gone.push(state.take(slot));
        }
        self.count.store(state.notes.len(), Ordering::Relaxed);
        gone
    }

    /// Takes everything out.
    pub(crate) fn forget_all(&self) -> Vec<Note<I, V>> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut state = self.state.lock();
        state.table.clear();
        state.order.clear();
        let notes = std::mem::take(&mut state.notes);
        self.count.store(0, Ordering::Relaxed);
        drop(state);
        notes.into_values().collect()
    }
}

impl<I, V> State<I, V> {
    fn find<Q>(&self, hash: u64, id: &Q) -> Option<SlotId>
    where
        I: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let is = |slot: &SlotId| self.notes[*slot].hash == hash && self.notes[*slot].id.borrow() == id;
        self.table.find(hash, is).copied()
    }

    fn find_hash(&self, hash: u64) -> Option<SlotId> {
        let is = |slot: &SlotId| self.notes[*slot].hash == hash;
        self.table.find(hash, is).copied()
    }

    fn take(&mut self, slot: SlotId) -> Note<I, V> {
        let note = self.notes.remove(slot);
        let note = note.expect("invariant: the table and the order name notes that are there");
        self.order.remove(&note.order);
        if let Ok(found) = self.table.find_entry(note.hash, |other| *other == slot) {
            found.remove();
        }
        note
    }

    fn add(&mut self, hash: u64, id: I, until: Moment, value: V) {
        let order = self.next;
        self.next += 1;
        let note = Note {
            hash,
            id,
            value,
            until,
            order,
        };
        let slot = self.notes.insert(note);
        let slot = slot.expect("invariant: there are fewer notes than a slab has places");
        self.order.insert(order, slot);
        let notes = &self.notes;
        self.table.insert_unique(hash, slot, |slot| notes[*slot].hash);
    }
}
