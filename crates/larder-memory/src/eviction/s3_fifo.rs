//! [`S3Fifo`]: a small queue that sifts newcomers, a main queue for what was used again, and ghosts.
//!
//! After Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction" (SOSP 2023). An entry begins in the
//! small queue, a tenth of the whole. At its end it goes to the main queue if it was used more than once, else it leaves
//! and its fingerprint stays; if it comes back while that is remembered, it begins in the main queue. There, an entry at
//! the end goes round once more for each use recorded, three at most.
//!
//! As in the paper, except for what it leaves open: an entry that moves to the main queue starts there without uses,
//! and there are nine ghosts for every ten residents.

use super::ghosts::Ghosts;
use super::node::{Part, Residents, Uses};
use super::queue::Queue;
use super::{Policy, sealed};
use crate::limits::EVICTION_STEPS_MAX;
use crate::slots::SlotId;

/// The most uses that are counted: two bits, of which the first separates "again" from "once".
const USES_MAX: u8 = 3;
/// With more uses than this an entry moves from the small queue to the main one.
const USED_AGAIN: u8 = 1;
/// The small queue's share of the whole: one in so many.
const SMALL_PART: u64 = 10;

/// S3-FIFO.
#[derive(Debug)]
pub struct S3Fifo {
    small: Queue,
    main: Queue,
    ghosts: Ghosts,
}

impl Default for S3Fifo {
    fn default() -> Self {
        Self {
            small: Queue::new(Part::Entrance),
            main: Queue::new(Part::Main),
            ghosts: Ghosts::default(),
        }
    }
}

impl S3Fifo {
    fn queue(&mut self, part: Part) -> &mut Queue {
        match part {
            Part::Entrance => &mut self.small,
            _ => &mut self.main,
        }
    }

    /// Whether the next to leave is looked for in the small queue: it holds its tenth, or the main queue has nobody who
    /// may leave.
    fn is_taken_from_small(&self, keep: Option<SlotId>) -> bool {
        let main_keeps_all = self.main.is_empty() || (self.main.len() == 1 && self.main.oldest() == keep);
        let holds_its_tenth = self.small.weight() >= (self.weight() / SMALL_PART).max(1);
        !self.small.is_empty() && (main_keeps_all || holds_its_tenth)
    }

    /// Sends an entry round once more.
    fn pass<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        let (part, uses) = (entries.node(id).part(), entries.uses(id));
        if part == Part::Entrance {
            uses.set(0);
            self.small.remove(entries, id);
            self.main.push(entries, id);
        } else {
            uses.set(uses.get().saturating_sub(1));
            self.main.renew(entries, id);
        }
    }
}

impl sealed::Sealed for S3Fifo {}

impl Policy for S3Fifo {
    const SHARED_HITS: bool = true;

    #[inline]
    fn hit(&self, uses: &Uses) {
        uses.note(USES_MAX);
    }

    fn hit_exclusive<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        self.hit(entries.uses(id));
    }

    fn insert<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        entries.uses(id).set(0);
        let part = if self.ghosts.recall(entries.hash(id)) {
            Part::Main
        } else {
            Part::Entrance
        };
        self.queue(part).push(entries, id);
    }

    fn overwrite<R: Residents>(&mut self, entries: &mut R, id: SlotId, weight: u64) {
        let part = entries.node(id).part();
        self.queue(part).reweigh(entries, id, weight);
        self.hit(entries.uses(id));
    }

    fn succeed<R: Residents>(&mut self, entries: &mut R, old: SlotId, new: SlotId) {
        let part = entries.node(old).part();
        self.queue(part).replace(entries, old, new);
        self.hit(entries.uses(new));
    }

    fn remove<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        let part = entries.node(id).part();
        self.queue(part).remove(entries, id);
    }

    fn evict<R: Residents>(&mut self, entries: &mut R, keep: Option<SlotId>) -> Option<SlotId> {
        let ghosts_max = self.len() * 9 / 10;
        let mut passed = 0;
        loop {
            let from_small = self.is_taken_from_small(keep);
            let queue = if from_small {
                &mut self.small
            } else {
                &mut self.main
            };
            let oldest = queue.oldest()?;
            let (uses, hash) = (entries.uses(oldest).get(), entries.hash(oldest));
            let least = if from_small { USED_AGAIN } else { 0 };
            let spared = uses > least && passed < EVICTION_STEPS_MAX;
            if Some(oldest) == keep && self.len() == 1 {
                return None;
            }
            if spared || Some(oldest) == keep {
                self.pass(entries, oldest);
                passed += 1;
                continue;
            }
            self.remove(entries, oldest);
            if from_small {
                self.ghosts.remember(hash, ghosts_max);
            }
            return Some(oldest);
        }
    }

    fn expect_departure<R: Residents>(&self, entries: &R) {
        let queue = if self.is_taken_from_small(None) {
            &self.small
        } else {
            &self.main
        };
        queue.expect(entries, None);
    }

    fn len(&self) -> usize {
        self.small.len() + self.main.len()
    }

    fn weight(&self) -> u64 {
        self.small.weight() + self.main.weight()
    }
}
