//! Larder's policies in shards over one budget, as a pool has them, without its values and locks.

use hashbrown::HashTable;
use larder_memory::{Bounds, Budget, Charge, Eviction, Evictor, Node, Resident, SlotId, Slots, Uses};

use super::{Engine, mixed};

/// A power of two of shards; eviction begins in the shard of the key and goes on through the others.
pub struct Larder {
    shards: Vec<Shard>,
    budget: Budget,
}

struct Shard {
    slots: Slots<Entry>,
    table: HashTable<SlotId>,
    evictor: Evictor,
}

struct Entry {
    key: u64,
    uses: Uses,
    node: Node,
}

impl Resident for Entry {
    fn hash(&self) -> u64 {
        mixed(self.key)
    }

    fn uses(&self) -> &Uses {
        &self.uses
    }

    fn node(&self) -> &Node {
        &self.node
    }

    fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}

impl Larder {
    /// An empty cache of `capacity` entries.
    ///
    /// # Panics
    ///
    /// If `shards` is no power of two.
    #[must_use]
    pub fn new(eviction: Eviction, capacity: usize, shards: usize) -> Self {
        assert!(shards.is_power_of_two(), "a shard is chosen by bits of the hash");
        let bounds = Bounds {
            entries: capacity as u64,
            ..Bounds::NONE
        };
        let shard = || Shard {
            slots: Slots::new(),
            table: HashTable::new(),
            evictor: Evictor::new(eviction),
        };
        Self {
            shards: (0..shards).map(|_| shard()).collect(),
            budget: Budget::new(bounds),
        }
    }

    /// From the middle of the hash: the table takes both ends.
    fn shard_of(&self, hash: u64) -> usize {
        (hash >> 24) as usize & (self.shards.len() - 1)
    }
}

impl Engine for Larder {
    fn access(&mut self, key: u64) -> bool {
        let hash = mixed(key);
        let own = self.shard_of(hash);
        if self.shards[own].get(hash, key) {
            return true;
        }
        let charge = Charge::entry(1);
        let mut room = self.budget.room();
        while room.fill(charge).is_err() {
            let count = self.shards.len();
            let mut order = (0..count).map(|step| (own + step) % count);
            let left = order.find_map(|at| self.shards[at].evict());
            room.take_over(left.expect("a full cache has an entry"));
        }
        self.shards[own].insert(hash, key);
        room.keep(charge);
        false
    }

    fn resident(&mut self) -> usize {
        self.shards.iter().map(|shard| shard.slots.len()).sum()
    }
}

impl Shard {
    fn get(&mut self, hash: u64, key: u64) -> bool {
        let slots = &self.slots;
        let Some(id) = self.table.find(hash, |id| slots[*id].key == key).copied() else {
            return false;
        };
        if self.evictor.has_shared_hits() {
            self.evictor.hit(&self.slots[id].uses);
        } else {
            self.evictor.hit_exclusive(&mut self.slots, id);
        }
        true
    }

    fn insert(&mut self, hash: u64, key: u64) {
        let (uses, node) = (Uses::default(), Node::new(1));
        let id = self
            .slots
            .insert(Entry { key, uses, node })
            .expect("traces are small");
        self.evictor.insert(&mut self.slots, id);
        let slots = &self.slots;
        self.table.insert_unique(hash, id, |id| slots[*id].hash());
    }

    fn evict(&mut self) -> Option<Charge> {
        let victim = self.evictor.evict(&mut self.slots, None)?;
        let entry = self.slots.remove(victim)?;
        if let Ok(found) = self.table.find_entry(entry.hash(), |id| *id == victim) {
            found.remove();
        }
        Some(Charge::entry(entry.node.weight()))
    }
}
