//! W-TinyLFU, after Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy" (ACM Transactions
//! on Storage, 2017), with exact counts in place of a sketch and a window that keeps its size.
//!
//! What it leaves out: the adaptation, which the paper of 2018 adds. A policy that adapts is held to the best of several
//! windows of this one.

use std::collections::{HashMap, VecDeque};

use super::{Access, Simulator};

/// W-TinyLFU with a window of a fixed size. O(n) an access.
#[derive(Clone, Debug)]
pub struct TinyLfu {
    capacity: usize,
    window_max: usize,
    /// Least recently used first.
    window: VecDeque<u64>,
    probation: VecDeque<u64>,
    protected: VecDeque<u64>,
    counts: HashMap<u64, u32>,
    counted: usize,
}

impl TinyLfu {
    /// An empty cache of `capacity` keys, `window_max` of them in the window, both at least one.
    #[must_use]
    pub fn new(capacity: usize, window_max: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            capacity,
            window_max: window_max.clamp(1, capacity),
            window: VecDeque::new(),
            probation: VecDeque::new(),
            protected: VecDeque::new(),
            counts: HashMap::new(),
            counted: 0,
        }
    }

    /// Counts a use, fifteen at most; after ten for each place all counts are halved.
    fn count(&mut self, key: u64) {
        let count = self.counts.entry(key).or_default();
        if *count < 15 {
            *count += 1;
            self.counted += 1;
        }
        if self.counted >= self.capacity * 10 {
            self.counts.values_mut().for_each(|count| *count /= 2);
            self.counts.retain(|_, count| *count > 0);
            self.counted /= 2;
        }
    }

    fn count_of(&self, key: u64) -> u32 {
        self.counts.get(&key).copied().unwrap_or_default()
    }

    fn renew(&mut self, key: u64) -> bool {
        for queue in [&mut self.window, &mut self.protected] {
            if let Some(at) = queue.iter().position(|other| *other == key) {
                queue.remove(at);
                queue.push_back(key);
                return true;
            }
        }
        let Some(at) = self.probation.iter().position(|other| *other == key) else {
            return false;
        };
        self.probation.remove(at);
        self.protected.push_back(key);
        if self.protected.len() > (self.capacity - self.window_max) * 4 / 5
            && let Some(oldest) = self.protected.pop_front()
        {
            self.probation.push_back(oldest);
        }
        true
    }
}

impl Simulator for TinyLfu {
    fn access(&mut self, key: u64) -> Access {
        self.count(key);
        if self.renew(key) {
            return Access::Hit;
        }
        self.window.push_back(key);
        let mut evicted = None;
        if self.window.len() > self.window_max
            && let Some(candidate) = self.window.pop_front()
        {
            evicted = if self.len() < self.capacity {
                None
            } else if let Some(resident) = self.probation.front().or(self.protected.front()).copied()
                && self.count_of(candidate) > self.count_of(resident)
            {
                self.probation.retain(|other| *other != resident);
                self.protected.retain(|other| *other != resident);
                Some(resident)
            } else {
                Some(candidate)
            };
            if evicted != Some(candidate) {
                self.probation.push_back(candidate);
            }
        }
        Access::Miss { evicted }
    }

    fn remove(&mut self, key: u64) -> bool {
        let before = self.len();
        for queue in [&mut self.window, &mut self.probation, &mut self.protected] {
            queue.retain(|other| *other != key);
        }
        self.len() < before
    }

    fn len(&self) -> usize {
        self.window.len() + self.probation.len() + self.protected.len()
    }
}
