//! A cache of keys over one shipping policy: what a pool does around it, without values and locks.

use std::collections::HashMap;

use larder_memory::{Eviction, Evictor, Node, Resident, SlotId, Slots, Uses};
use larder_testkit::eviction::Access;

pub(crate) struct Entry {
    pub(crate) key: u64,
    pub(crate) uses: Uses,
    pub(crate) node: Node,
}

impl Resident for Entry {
    fn hash(&self) -> u64 {
        hash_of(self.key)
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

/// Keys with weights, up to a capacity in weight.
pub(crate) struct Cache {
    pub(crate) slots: Slots<Entry>,
    pub(crate) evictor: Evictor,
    pub(crate) ids: HashMap<u64, SlotId>,
    pub(crate) capacity: u64,
}

impl Cache {
    pub(crate) fn new(eviction: Eviction, capacity: u64) -> Self {
        Self {
            slots: Slots::new(),
            evictor: Evictor::new(eviction),
            ids: HashMap::new(),
            capacity,
        }
    }

    /// Get; on a miss put, with a weight of one.
    pub(crate) fn access(&mut self, key: u64) -> Access {
        if self.get(key) {
            return Access::Hit;
        }
        let evicted = self.put(key, 1);
        assert!(evicted.len() <= 1, "room for one is made by one");
        Access::miss(evicted.first().copied())
    }

    pub(crate) fn get(&mut self, key: u64) -> bool {
        let Some(id) = self.ids.get(&key).copied() else {
            return false;
        };
        if self.evictor.has_shared_hits() {
            self.evictor.hit(&self.slots[id].uses);
        } else {
            self.evictor.hit_exclusive(&mut self.slots, id);
        }
        true
    }

    /// Stores a key with a weight; says what left for it, which is never the key itself.
    pub(crate) fn put(&mut self, key: u64, weight: u64) -> Vec<u64> {
        let mut evicted = Vec::new();
        let known = self.ids.get(&key).copied();
        match known {
            Some(id) => self.evictor.overwrite(&mut self.slots, id, weight),
            None => self.evict_down_to(self.capacity - weight, None, &mut evicted),
        }
        if known.is_none() {
            let (uses, node) = (Uses::default(), Node::new(weight));
            let id = self.slots.insert(Entry { key, uses, node }).unwrap();
            self.evictor.insert(&mut self.slots, id);
            self.ids.insert(key, id);
        }
        self.evict_down_to(self.capacity, known, &mut evicted);
        assert!(!evicted.contains(&key), "what was just inserted is resident");
        evicted
    }

    pub(crate) fn evict_down_to(&mut self, most: u64, keep: Option<SlotId>, evicted: &mut Vec<u64>) {
        while self.evictor.weight() > most {
            let victim = self.evictor.evict(&mut self.slots, keep);
            let victim = victim.expect("while there is another entry, something leaves");
            assert_ne!(Some(victim), keep, "the protected entry stays");
            let key = self.slots.remove(victim).unwrap().key;
            self.ids.remove(&key);
            evicted.push(key);
        }
    }

    /// A key's later version, in a slot of its own.
    pub(crate) fn succeed(&mut self, key: u64, weight: u64) {
        let old = self.ids[&key];
        let (uses, node) = (Uses::default(), Node::new(weight));
        let new = self.slots.insert(Entry { key, uses, node }).unwrap();
        self.evictor.succeed(&mut self.slots, old, new);
        self.slots.remove(old);
        self.ids.insert(key, new);
    }

    pub(crate) fn remove(&mut self, key: u64) -> bool {
        let Some(id) = self.ids.remove(&key) else {
            return false;
        };
        self.evictor.remove(&mut self.slots, id);
        self.slots.remove(id).is_some()
    }

    /// Its sums are those of its entries, and within capacity.
    pub(crate) fn check(&self) {
        let weights = self.slots.iter().map(|(_, entry)| entry.node.weight());
        assert_eq!(self.evictor.weight(), weights.sum::<u64>());
        assert_eq!(self.evictor.len(), self.slots.len());
        assert_eq!(self.ids.len(), self.slots.len());
        assert!(self.evictor.weight() <= self.capacity);
    }
}

/// The finalizer of SplitMix64.
pub(crate) fn hash_of(key: u64) -> u64 {
    let mut mixed = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
