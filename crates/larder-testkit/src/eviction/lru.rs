//! Least recently used: each use is numbered, and the key with the lowest last use leaves.

use std::collections::{BTreeMap, HashMap};

use super::{Access, Simulator};

/// Exact LRU. O(log n) an access.
#[derive(Clone, Debug)]
pub struct Lru {
    capacity: usize,
    now: u64,
    last_use: HashMap<u64, u64>,
    by_last_use: BTreeMap<u64, u64>,
}

impl Lru {
    /// An empty cache of `capacity` keys, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            now: 0,
            last_use: HashMap::new(),
            by_last_use: BTreeMap::new(),
        }
    }
}

impl Simulator for Lru {
    fn access(&mut self, key: u64) -> Access {
        let was_there = self.remove(key);
        let mut evicted = None;
        if self.last_use.len() == self.capacity {
            evicted = self.by_last_use.pop_first().map(|(_, key)| key);
            evicted.map(|key| self.last_use.remove(&key));
        }
        self.now += 1;
        self.last_use.insert(key, self.now);
        self.by_last_use.insert(self.now, key);
        if was_there {
            Access::Hit
        } else {
            Access::Miss { evicted }
        }
    }

    fn remove(&mut self, key: u64) -> bool {
        let last = self.last_use.remove(&key);
        last.and_then(|last| self.by_last_use.remove(&last)).is_some()
    }

    fn len(&self) -> usize {
        self.last_use.len()
    }
}
