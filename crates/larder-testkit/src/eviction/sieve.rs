//! SIEVE, after Zhang, Yang, Yue, Vigfusson and Rashmi, "SIEVE is Simpler than LRU: an Efficient Turn-Key Eviction
//! Algorithm for Web Caches" (NSDI 2024), its algorithm 1, over a deque.

use std::collections::VecDeque;

use super::{Access, Simulator};

/// SIEVE. O(n) an access.
#[derive(Clone, Debug)]
pub struct Sieve {
    capacity: usize,
    /// Oldest first, each with its mark.
    queue: VecDeque<(u64, bool)>,
    /// The index at which the search goes on.
    hand: usize,
}

impl Sieve {
    /// An empty cache of `capacity` keys, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            queue: VecDeque::new(),
            hand: 0,
        }
    }

    fn evict(&mut self) -> Option<u64> {
        loop {
            // Past the newest it begins again with the oldest.
            if self.hand >= self.queue.len() {
                self.hand = 0;
            }
            let (key, used) = self.queue.get_mut(self.hand)?;
            if *used {
                *used = false;
                self.hand += 1;
            } else {
                let key = *key;
                // The hand then points at the one that was next.
                self.queue.remove(self.hand);
                if self.hand == self.queue.len() {
                    self.hand = 0;
                }
                return Some(key);
            }
        }
    }
}

impl Simulator for Sieve {
    fn access(&mut self, key: u64) -> Access {
        if let Some((_, used)) = self.queue.iter_mut().find(|(other, _)| *other == key) {
            *used = true;
            return Access::Hit;
        }
        let evicted = if self.queue.len() == self.capacity {
            self.evict()
        } else {
            None
        };
        self.queue.push_back((key, false));
        Access::Miss { evicted }
    }

    fn remove(&mut self, key: u64) -> bool {
        let Some(at) = self.queue.iter().position(|(other, _)| *other == key) else {
            return false;
        };
        self.queue.remove(at);
        if at < self.hand {
            self.hand -= 1;
        }
        if self.hand == self.queue.len() {
            self.hand = 0;
        }
        true
    }

    fn len(&self) -> usize {
        self.queue.len()
    }
}
