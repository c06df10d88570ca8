//! [`Lfu`]: the least often used leaves, of those the least recently used; what has left is forgotten.

use std::collections::BTreeSet;

use super::Cache;
use super::weights::Weights;

/// Keys in the order in which they would leave, within a capacity.
pub(super) struct Lfu<W> {
    capacity: u64,
    resident: u64,
    weights: W,
    /// By how often, when last, and which.
    order: BTreeSet<(u32, u32, u32)>,
    /// Of each key how often and when last; what is not resident was never used.
    uses: Vec<(u32, u32)>,
    tick: u32,
}

impl<W: Weights> Lfu<W> {
    pub(super) fn new(keys: usize, capacity: u64) -> Self {
        Lfu {
            capacity,
            resident: 0,
            weights: W::new(keys),
            order: BTreeSet::new(),
            uses: vec![(0, 0); keys],
            tick: 0,
        }
    }
}

impl<W: Weights> Cache for Lfu<W> {
    fn access(&mut self, key: u32, weight: u64) -> bool {
        self.tick += 1;
        let (count, last) = self.uses[key as usize];
        let is_hit = count > 0;
        if is_hit {
            self.order.remove(&(count, last, key));
            self.resident -= self.weights.of(key);
        }
        if weight > self.capacity {
            self.uses[key as usize] = (0, 0);
            return is_hit;
        }
        while self.resident + weight > self.capacity
            && let Some((_, _, leaving)) = self.order.pop_first()
        {
            self.uses[leaving as usize] = (0, 0);
            self.resident -= self.weights.of(leaving);
        }
        self.weights.put(key, weight);
        self.resident += weight;
        self.uses[key as usize] = (count + 1, self.tick);
        self.order.insert((count + 1, self.tick, key));
        is_hit
    }

    fn remove(&mut self, key: u32) {
        let (count, last) = std::mem::take(&mut self.uses[key as usize]);
        if count > 0 {
            self.order.remove(&(count, last, key));
            self.resident -= self.weights.of(key);
        }
    }

    fn resident(&self) -> u64 {
        self.resident
    }
}
