//! The policies that everybody knows, written plainly: LRU, FIFO, CLOCK, LFU.

use std::collections::BTreeSet;

use super::simulate::Cache;

const NONE: u32 = u32::MAX;

/// The least recently used leaves.
pub(crate) struct Lru {
    capacity: usize,
    len: usize,
    /// By key; its neighbours in the order of use.
    newer: Vec<u32>,
    older: Vec<u32>,
    is_resident: Vec<bool>,
    newest: u32,
    oldest: u32,
}

impl Lru {
    pub(crate) fn new(keys: usize, capacity: usize) -> Self {
        Lru {
            capacity,
            len: 0,
            newer: vec![NONE; keys],
            older: vec![NONE; keys],
            is_resident: vec![false; keys],
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
}

impl Cache for Lru {
    fn access(&mut self, key: u32) -> bool {
        if self.is_resident[key as usize] {
            if self.newest != key {
                self.unlink(key);
                self.push(key);
            }
            return true;
        }
        if self.len == self.capacity {
            let leaving = self.oldest;
            self.unlink(leaving);
            self.is_resident[leaving as usize] = false;
            self.len -= 1;
        }
        self.push(key);
        self.is_resident[key as usize] = true;
        self.len += 1;
        false
    }

    fn resident(&self) -> usize {
        self.len
    }
}

/// The one that came first leaves: as it is (FIFO), or, if it was used since, it is let past once (CLOCK).
pub(crate) struct Ring {
    capacity: usize,
    looks: bool,
    ring: Vec<u32>,
    hand: usize,
    is_resident: Vec<bool>,
    is_used: Vec<bool>,
}

impl Ring {
    pub(crate) fn fifo(keys: usize, capacity: usize) -> Self {
        Ring::new(keys, capacity, false)
    }

    pub(crate) fn clock(keys: usize, capacity: usize) -> Self {
        Ring::new(keys, capacity, true)
    }

    fn new(keys: usize, capacity: usize, looks: bool) -> Self {
        Ring {
            capacity,
            looks,
            ring: Vec::with_capacity(capacity.min(keys)),
            hand: 0,
            is_resident: vec![false; keys],
            is_used: vec![false; keys],
        }
    }
}

impl Cache for Ring {
    fn access(&mut self, key: u32) -> bool {
        if self.is_resident[key as usize] {
            self.is_used[key as usize] = true;
            return true;
        }
        self.is_resident[key as usize] = true;
        if self.ring.len() < self.capacity {
            self.ring.push(key);
            return false;
        }
        loop {
            let there = self.ring[self.hand] as usize;
            if self.looks && std::mem::take(&mut self.is_used[there]) {
                self.hand = (self.hand + 1) % self.capacity;
                continue;
            }
            self.is_resident[there] = false;
            self.ring[self.hand] = key;
            self.is_used[key as usize] = false;
            self.hand = (self.hand + 1) % self.capacity;
            return false;
        }
    }

    fn resident(&self) -> usize {
        self.ring.len()
    }
}

/// The least often used leaves, of those the least recently used; what has left is forgotten.
pub(crate) struct Lfu {
    capacity: usize,
    /// By how often, when last, and which.
    order: BTreeSet<(u32, u32, u32)>,
    uses: Vec<(u32, u32)>,
    tick: u32,
}

impl Lfu {
    pub(crate) fn new(keys: usize, capacity: usize) -> Self {
        Lfu {
            capacity,
            order: BTreeSet::new(),
            uses: vec![(0, 0); keys],
            tick: 0,
        }
    }
}

impl Cache for Lfu {
    fn access(&mut self, key: u32) -> bool {
        self.tick += 1;
        let (count, last) = self.uses[key as usize];
        let is_hit = count > 0;
        if is_hit {
            self.order.remove(&(count, last, key));
        } else if self.order.len() == self.capacity
            && let Some((_, _, leaving)) = self.order.pop_first()
        {
            self.uses[leaving as usize] = (0, 0);
        }
        self.uses[key as usize] = (count + 1, self.tick);
        self.order.insert((count + 1, self.tick, key));
        is_hit
    }

    fn resident(&self) -> usize {
        self.order.len()
    }
}
