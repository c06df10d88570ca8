//! Out: one id, what a scan chose, the entries of a tag, what the fence has ended, or everything at once.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use larder_core::{Stamp, TargetHash};
use larder_memory::{Charge, SlotId};

use super::entry::{Phase, Place};
use super::ledger::Commit;
use super::life::Death;
use super::scan::Row;
use crate::limits::{SCAN_ROWS, STEP_ENTRIES};
use crate::shared::Shared;
use crate::{Entity, Reason};

impl<T: Entity> Shared<T> {
    /// Removes an id as a commit of its own, for this reason if it is live; with a stamp, only if nothing that it depends
    /// on was looked at so late. Its value, if it was live.
    pub(crate) fn take<Q>(&self, hash: u64, id: &Q, until: Option<Stamp>, reason: Reason) -> Option<Arc<T>>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.commit(|commit| {
            let taken = commit.take(hash, id, until, reason);
            if until.is_none() {
                commit.overtake_loads(hash);
                commit.forget_notes(hash);
            }
            commit.reclaim();
            taken
        })
    }

    /// Removes, as one commit, those rows that still stand for the same values. How many there were.
    pub(crate) fn take_rows(&self, rows: &[Row<T>], reason: Reason) -> usize {
        self.commit(|commit| {
            let count = commit.take_rows(rows, reason);
            self.fence.end_pins(&self.written_all());
            for row in rows {
                commit.overtake_loads(row.hash);
                commit.forget_notes(row.hash);
            }
            commit.reclaim();
            count
        })
    }

    /// Removes everything as one commit. How many entries there were.
    pub(crate) fn take_all(&self, reason: Reason) -> usize {
        self.commit(|commit| {
            let count = commit.take_all(reason);
            self.fence.end_pins(&self.written_all());
            commit.overtake_everything();
            count
        })
    }

    /// Removes the entries of a tag that was invalidated, in steps, each a commit; not those that are fresh again. How
    /// many there were.
    pub(crate) fn take_tag(&self, tag: TargetHash, reason: Reason) -> usize {
        let mut count = 0;
        loop {
            let taken = self.commit(|commit| commit.take_some_of_tag(tag, reason));
            count += taken;
            if taken < STEP_ENTRIES {
                return count;
            }
        }
    }

    /// Removes every entry that the fence has ended, in steps, each a commit. How many there were.
    pub(crate) fn take_fenced(&self, reason: Reason) -> usize {
        let mut count = 0;
        for index in 0..self.shards.len() {
            let mut from = Some(0);
            while let Some(at) = from {
                let taken;
                (taken, from) = self.commit(|commit| commit.take_some_fenced(index, at, reason));
                count += taken;
            }
        }
        count
    }
}

impl<T: Entity> Commit<'_, T> {
    fn take<Q>(&mut self, hash: u64, id: &Q, until: Option<Stamp>, reason: Reason) -> Option<Arc<T>>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut shard = self.pool.shards.cell(self.pool.shards.of(hash)).write();
        let slot = shard.find_settled(hash, id)?;
        if until.is_some_and(|until| shard.entries.life(slot).started >= until) {
            return None;
        }
        let charge = Charge::entry(shard.entries.charge(slot));
        let death = shard.entries.death(slot, &self.judge());
        let live = death.is_none().then(|| Arc::clone(shard.entries.value(slot)));
        shard.forget(slot);
        self.take_out(&mut shard, slot, death.map_or(reason, Death::reason));
        self.ledger.account.give_back(charge);
        self.publish();
        live
    }

    /// All in one: those that leave are marked in every shard, then the commit is published, then they are taken out.
    fn take_rows(&mut self, rows: &[Row<T>], reason: Reason) -> usize {
        let mut places = BTreeMap::<usize, Vec<(SlotId, Reason)>>::new();
        for row in rows {
            if let Some((place, reason)) = self.leave(row, reason) {
                places
                    .entry(place.shard())
                    .or_default()
                    .push((place.slot, reason));
            }
        }
        if places.is_empty() {
            return 0;
        }
        self.publish_batch();
        let mut count = 0;
        for (index, slots) in places {
            count += slots.len();
            for some in slots.chunks(STEP_ENTRIES) {
                let mut shard = self.pool.shards.cell(index).write();
                for (slot, reason) in some {
                    self.take_out(&mut shard, *slot, *reason);
                }
            }
            self.pool.shards.cell(index).write().transit = 0;
        }
        count
    }

    /// Marks the entry of a row as leaving, if it stands for the same value.
    fn leave(&mut self, row: &Row<T>, reason: Reason) -> Option<(Place, Reason)> {
        let index = self.pool.shards.of(row.hash);
        let mut shard = self.pool.shards.cell(index).write();
        // By its value: a slot may be another's by now.
        let entries = &shard.entries;
        let is = |slot| entries.phase(slot) == Phase::Settled && Arc::ptr_eq(entries.value(slot), &row.value);
        let slot = shard.find_by(row.hash, is)?;
        let death = shard.entries.death(slot, &self.judge());
        let charge = Charge::entry(shard.entries.charge(slot));
        shard.forget(slot);
        shard.entries.set_phase(slot, Phase::Leaving);
        shard.transit = self.sequence;
        self.ledger.account.give_back(charge);
        Some((Place::new(index, slot), death.map_or(reason, Death::reason)))
    }

    /// They are unreadable already, so it does not matter that they go one after the other.
    fn take_some_of_tag(&mut self, tag: TargetHash, reason: Reason) -> usize {
        let mut count = 0;
        while count < STEP_ENTRIES
            && let Some(place) = self.ledger.tags.first(&tag).copied()
        {
            let mut shard = self.pool.shards.cell(place.shard()).write();
            if shard.entries.death(place.slot, &self.judge()).is_none() {
                // Members are in the order in which they joined, so the rest came after the invalidation too.
                break;
            }
            let charge = Charge::entry(shard.entries.charge(place.slot));
            shard.forget(place.slot);
            self.take_out(&mut shard, place.slot, reason);
            self.ledger.account.give_back(charge);
            count += 1;
        }
        count
    }

    /// Those of one page of a shard, and where the next page begins. They are unreadable already.
    fn take_some_fenced(&mut self, index: usize, from: usize, reason: Reason) -> (usize, Option<usize>) {
        let mut shard = self.pool.shards.cell(index).write();
        let places = larder_memory::Residents::places(&shard.entries);
        let until = places.min(from + SCAN_ROWS);
        let mut count = 0;
        for slot in (from..until).filter_map(SlotId::of_index) {
            if !shard.entries.has(slot) || shard.entries.death(slot, &self.judge()) != Some(Death::Fenced) {
                continue;
            }
            let charge = Charge::entry(shard.entries.charge(slot));
            shard.forget(slot);
            self.take_out(&mut shard, slot, reason);
            self.ledger.account.give_back(charge);
            count += 1;
        }
        (count, (until < places).then_some(until))
    }

    /// Every shard is told that it is being cleared, then that is published, then each is taken out whole: O(1) under
    /// each lock, unless a scan looks on.
    fn take_all(&mut self, reason: Reason) -> usize {
        let used = self.ledger.account.used();
        let count = usize::try_from(used.entries).unwrap_or(usize::MAX);
        if count == 0 {
            return 0;
        }
        for cell in self.pool.shards.cells() {
            let mut shard = cell.write();
            shard.transit = self.sequence;
            shard.clearing = true;
        }
        self.ledger.account.give_back(used);
        self.publish_batch();
        self.ledger.forget_all();
        let mut values = Vec::new();
        for cell in self.pool.shards.cells() {
            let mut shard = cell.write();
            let entries = shard.empty();
            if self.waste.is_for_listeners() {
                values.extend(entries.values().cloned());
            }
            if self.ledger.scans.is_empty() {
                self.waste.entries(entries);
                continue;
            }
            for (slot, entry) in entries.into_entries() {
                self.waste.id(entry.id);
                self.retire(&mut shard, slot, entry.hash, entry.version);
            }
        }
        self.cleared(count, reason, values);
        count
    }
}
