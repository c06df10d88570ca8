//! S3-FIFO, after Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction" (SOSP 2023), its
//! algorithm 1, over deques.
//!
//! What the paper leaves open is decided so: a key that moves to the main queue starts there without uses; the small
//! queue's part is a tenth, at least one; ghosts are as many as nine tenths of the capacity, and one that comes back is
//! forgotten.

use std::collections::VecDeque;

use super::{Access, Simulator};

/// S3-FIFO. O(n) an access.
#[derive(Clone, Debug)]
pub struct S3Fifo {
    capacity: usize,
    /// Oldest first, each with its uses, three at most.
    small: VecDeque<(u64, u8)>,
    main: VecDeque<(u64, u8)>,
    ghosts: VecDeque<u64>,
}

impl S3Fifo {
    /// An empty cache of `capacity` keys, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            small: VecDeque::new(),
            main: VecDeque::new(),
            ghosts: VecDeque::new(),
        }
    }

    fn evict(&mut self) -> Option<u64> {
        loop {
            let tenth = (self.capacity / 10).max(1);
            if self.small.len() >= tenth || self.main.is_empty() {
                let (key, uses) = self.small.pop_front()?;
                if uses > 1 {
                    self.main.push_back((key, 0));
                } else {
                    self.ghosts.push_back(key);
                    if self.ghosts.len() > self.capacity * 9 / 10 {
                        self.ghosts.pop_front();
                    }
                    return Some(key);
                }
            } else {
                let (key, uses) = self.main.pop_front()?;
                if uses == 0 {
                    return Some(key);
                }
                self.main.push_back((key, uses - 1));
            }
        }
    }
}

impl Simulator for S3Fifo {
    fn access(&mut self, key: u64) -> Access {
        let mut all = self.small.iter_mut().chain(&mut self.main);
        if let Some((_, uses)) = all.find(|(other, _)| *other == key) {
            *uses = (*uses + 1).min(3);
            return Access::Hit;
        }
        let evicted = if self.len() == self.capacity {
            self.evict()
        } else {
            None
        };
        if let Some(at) = self.ghosts.iter().position(|ghost| *ghost == key) {
            self.ghosts.remove(at);
            self.main.push_back((key, 0));
        } else {
            self.small.push_back((key, 0));
        }
        Access::Miss { evicted }
    }

    fn remove(&mut self, key: u64) -> bool {
        let before = self.len();
        self.small.retain(|(other, _)| *other != key);
        self.main.retain(|(other, _)| *other != key);
        self.len() < before
    }

    fn len(&self) -> usize {
        self.small.len() + self.main.len()
    }
}
