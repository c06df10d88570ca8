//! [`Sieve`]: a queue in the order of insertion, and a hand that spares what was used.
//!
//! After Zhang, Yang, Yue, Vigfusson and Rashmi, "SIEVE is Simpler than LRU: an Efficient Turn-Key Eviction Algorithm for
//! Web Caches" (NSDI 2024). A hit sets a mark and moves nothing. The hand goes from the oldest entry to the newest and
//! round again; it takes the mark off what has one and evicts the first that has none, where it stands. New entries come
//! in behind it, unmarked, so that what is used once is sifted out soon.

use super::node::{Part, Residents, Uses};
use super::queue::Queue;
use super::{Policy, sealed};
use crate::limits::EVICTION_STEPS_MAX;
use crate::slots::SlotId;

/// The mark: used since the hand came by.
const USED: u8 = 1;

/// SIEVE.
#[derive(Debug)]
pub struct Sieve {
    queue: Queue,
    /// Where the search for a victim goes on; `None` is the oldest.
    hand: Option<SlotId>,
}

impl Default for Sieve {
    fn default() -> Self {
        Self {
            queue: Queue::new(Part::Main),
            hand: None,
        }
    }
}

impl Sieve {
    /// Takes the entry out; the hand never stays on one that is gone.
    fn let_go<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        if self.hand == Some(id) {
            self.hand = self.queue.newer(entries, id);
        }
        self.queue.remove(entries, id);
    }
}

impl sealed::Sealed for Sieve {}

impl Policy for Sieve {
    const SHARED_HITS: bool = true;

    #[inline]
    fn hit(&self, uses: &Uses) {
        uses.note(USED);
    }

    fn hit_exclusive<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        self.hit(entries.uses(id));
    }

    fn insert<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        entries.uses(id).set(0);
        self.queue.push(entries, id);
    }

    fn overwrite<R: Residents>(&mut self, entries: &mut R, id: SlotId, weight: u64) {
        self.queue.reweigh(entries, id, weight);
        self.hit(entries.uses(id));
    }

    fn succeed<R: Residents>(&mut self, entries: &mut R, old: SlotId, new: SlotId) {
        if self.hand == Some(old) {
            self.hand = Some(new);
        }
        self.queue.replace(entries, old, new);
        self.hit(entries.uses(new));
    }

    fn remove<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        self.let_go(entries, id);
    }

    fn evict<R: Residents>(&mut self, entries: &mut R, keep: Option<SlotId>) -> Option<SlotId> {
        let mut at = self.hand.or(self.queue.oldest())?;
        let mut passed = 0;
        loop {
            let spared = entries.uses(at).get() != 0 && passed < EVICTION_STEPS_MAX;
            if !spared && Some(at) != keep {
                break;
            }
            if Some(at) == keep && self.queue.len() == 1 {
                return None;
            }
            entries.uses(at).set(0);
            passed += 1;
            at = self.queue.newer(entries, at).or(self.queue.oldest())?;
        }
        self.hand = Some(at);
        self.let_go(entries, at);
        Some(at)
    }

    fn expect_departure<R: Residents>(&self, entries: &R) {
        self.queue.expect(entries, self.hand);
    }

    fn len(&self) -> usize {
        self.queue.len()
    }

    fn weight(&self) -> u64 {
        self.queue.weight()
    }
}
