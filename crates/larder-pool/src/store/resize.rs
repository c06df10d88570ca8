//! Another capacity: who is too much leaves, in steps; and shards are laid out anew where exact LRU begins or ends.

use larder_core::sync::Ordering;
use larder_memory::{Charge, Eviction, Evictor};

use super::entry::{Entry, Place};
use super::ledger::{Commit, Ledger};
use super::room::Victims;
use super::shard::Shard;
use crate::Entity;
use crate::config::Capacity;
use crate::limits::STEP_ENTRIES;
use crate::panics::Panics;
use crate::shared::{Shared, bounds, entries_expected, shard_count};

impl<T: Entity> Shared<T> {
    /// Sets other bounds, and evicts down to them before it returns.
    pub(crate) fn resize(&self, capacity: Capacity) {
        self.commit(|commit| commit.ledger.account.set_bounds(bounds(capacity)));
        // Whoever leaves may panic when it is dropped: the others leave all the same.
        let mut panics = Panics::default();
        let mut is_met = Some(false);
        while is_met == Some(false) {
            is_met = None;
            panics.put_off(|| self.commit(|commit| is_met = Some(commit.evict_excess())));
        }
        let mut ledger = self.ledger.lock();
        ledger.capacity = capacity;
        if ledger.scans.is_empty() {
            self.lay_out_anew(&mut ledger);
        } else {
            ledger.relayout = true;
        }
        drop(ledger);
        panics.go_on();
    }

    /// Gives the pool the policy and the number of shards that its capacity asks for, if they are others. Few entries
    /// move: that happens only where a pool of few entries becomes one of many, or the other way.
    pub(super) fn lay_out_anew(&self, ledger: &mut Ledger) {
        ledger.relayout = false;
        let entries = entries_expected::<T>(ledger.capacity);
        let eviction = self.config.eviction.for_entries(bounds(ledger.capacity).entries);
        let used = shard_count(&self.config, entries).min(self.shards.len());
        let mut guards: Vec<_> = self.shards.cells().map(|cell| cell.write()).collect();
        if guards.iter().all(|shard| shard.evictor.eviction() == eviction) {
            return;
        }
        let mut queues: Vec<Vec<Entry<T>>> = Vec::new();
        for shard in &mut guards {
            let mut queue = Vec::new();
            loop {
                let Shard { evictor, entries, .. } = &mut **shard;
                let Some(slot) = evictor.evict(entries, None) else {
                    break;
                };
                let mut entry = shard.take(slot);
                ledger.untie(&mut entry.version.life);
                queue.push(entry);
            }
            queue.reverse();
            queues.push(queue);
            shard.evictor = Evictor::new(eviction);
        }
        self.shards.set_used(used, &guards);
        self.exact_lru.store(eviction == Eviction::Lru, Ordering::Relaxed);
        self.plainness
            .store(self.config.plainness(eviction) as u8, Ordering::Relaxed);
        // One of each in turn, those first that would have left first.
        while queues.iter().any(|queue| !queue.is_empty()) {
            for entry in queues.iter_mut().filter_map(Vec::pop) {
                let index = self.shards.of(entry.hash);
                let shard = &mut guards[index];
                let slot = shard.put(entry);
                let Shard { evictor, entries, .. } = &mut **shard;
                evictor.insert(entries, slot);
                let life = entries.life_mut(slot);
                let ends = self.wheel_deadline(life);
                ledger.tie(life, Place::new(index, slot), ends);
            }
        }
    }
}

impl<T: Entity> Commit<'_, T> {
    /// One step towards the bounds. Whether they are met.
    fn evict_excess(&mut self) -> bool {
        let mut victims = Victims::default();
        for _ in 0..STEP_ENTRIES {
            if self.ledger.account.excess().is_nothing() {
                break;
            }
            if self.expire_one(&mut usize::MAX.clone()).is_none() {
                self.evict_one_for_excess(&mut victims);
            }
        }
        if !victims.is_empty() {
            self.publish_batch();
            self.settle_elsewhere(usize::MAX, &victims);
        }
        self.ledger.account.excess().is_nothing()
    }

    /// Round the shards, so that all of them shrink.
    fn evict_one_for_excess(&mut self, victims: &mut Victims) {
        for _ in 0..self.pool.shards.used() {
            let index = self.next_shard();
            let mut shard = self.pool.shards.cell(index).write();
            let Shard { evictor, entries, .. } = &mut *shard;
            if let Some(slot) = evictor.evict(entries, None) {
                let charge = Charge::entry(entries.charge(slot));
                victims.add(Place::new(index, slot));
                self.mark_leaving(&mut shard, index, victims);
                self.ledger.account.give_back(charge);
                return;
            }
        }
    }
}
