//! [`Queue`]: the policies that keep their keys in one line, written plainly: LRU, FIFO, CLOCK.

use super::Cache;
use super::weights::Weights;

const NONE: u32 = u32::MAX;

/// Who leaves from the old end of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The first: what is used goes to the other end.
    Lru,
    /// The first: what is used stays where it is.
    Fifo,
    /// The first that was not used since it was there last; those before it go to the other end.
    Clock,
}

/// A line of keys within a capacity.
pub(super) struct Queue<W> {
    rule: Rule,
    capacity: u64,
    resident: u64,
    weights: W,
    /// By key; its neighbours in the line.
    newer: Vec<u32>,
    older: Vec<u32>,
    is_resident: Vec<bool>,
    is_used: Vec<bool>,
    newest: u32,
    oldest: u32,
}

impl<W: Weights> Queue<W> {
    pub(super) fn new(rule: Rule, keys: usize, capacity: u64) -> Self {
        Queue {
            rule,
            capacity,
            resident: 0,
            weights: W::new(keys),
            newer: vec![NONE; keys],
            older: vec![NONE; keys],
            is_resident: vec![false; keys],
            is_used: vec![false; if rule == Rule::Clock { keys } else { 0 }],
            newest: NONE,
            oldest: NONE,
        }
    }

    fn unlink(&mut self, key: u32) {
        let (newer, older) = (self.newer[key as usize], self.older[key as usize]);
        match newer {
            NONE => self.newest = older,
            newer => self.older[newer as usize] = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.newer[older as usize] = newer,
        }
    }

    fn push(&mut self, key: u32) {
        let second = self.newest;
        (self.newer[key as usize], self.older[key as usize]) = (NONE, second);
        match second {
            NONE => self.oldest = key,
            second => self.newer[second as usize] = key,
        }
        self.newest = key;
    }

    fn renew(&mut self, key: u32) {
        if self.newest != key {
            self.unlink(key);
            self.push(key);
        }
    }

    /// Whoever is next but `keep` leaves.
    fn evict(&mut self, keep: u32) {
        let mut leaving = self.oldest;
        loop {
            if self.rule == Rule::Clock
                && (leaving == keep || std::mem::take(&mut self.is_used[leaving as usize]))
            {
                self.renew(leaving);
                leaving = self.oldest;
            } else if leaving == keep {
                leaving = self.newer[leaving as usize];
            } else {
                return self.remove(leaving);
            }
        }
    }

    fn use_resident(&mut self, key: u32, weight: u64) {
        match self.rule {
            Rule::Lru => self.renew(key),
            Rule::Fifo => {}
            Rule::Clock => self.is_used[key as usize] = true,
        }
        let before = self.weights.of(key);
        if before == weight {
            return;
        }
        if weight > self.capacity {
            return self.remove(key);
        }
        self.weights.put(key, weight);
        self.resident = self.resident - before + weight;
        while self.resident > self.capacity {
            self.evict(key);
        }
    }
}

impl<W: Weights> Cache for Queue<W> {
    fn access(&mut self, key: u32, weight: u64) -> bool {
        if self.is_resident[key as usize] {
            self.use_resident(key, weight);
            return true;
        }
        if weight > self.capacity {
            return false;
        }
        while self.resident + weight > self.capacity {
            self.evict(NONE);
        }
        self.push(key);
        self.is_resident[key as usize] = true;
        if self.rule == Rule::Clock {
            self.is_used[key as usize] = false;
        }
        self.weights.put(key, weight);
        self.resident += weight;
        false
    }

    fn remove(&mut self, key: u32) {
        if std::mem::take(&mut self.is_resident[key as usize]) {
            self.unlink(key);
            self.resident -= self.weights.of(key);
        }
    }

    fn resident(&self) -> u64 {
        self.resident
    }
}
