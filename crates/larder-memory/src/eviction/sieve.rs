//! [`Sieve`]: a queue in the order of insertion, and a hand that spares what was used.
//!
//! After Zhang, Yang, Yue, Vigfusson and Rashmi, "SIEVE is Simpler than LRU: an Efficient Turn-Key Eviction Algorithm for
//! Web Caches" (NSDI 2024). A hit sets a mark and moves nothing. The hand goes from the oldest entry to the newest and
//! round again; it takes the mark off what has one and evicts the first that has none, where it stands. New entries come
//! in behind it, unmarked, so that what is used once is sifted out soon.

use super::node::{Node, Part, Resident};
use super::queue::Queue;
use super::{Policy, sealed};
use crate::limits::EVICTION_STEPS_MAX;
use crate::slots::{SlotId, Slots};

/// The mark: used since the hand came by.
const USED: u32 = 1;

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
    fn let_go<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId) {
        if self.hand == Some(id) {
            self.hand = self.queue.newer(slots, id);
        }
        self.queue.remove(slots, id);
    }
}

impl sealed::Sealed for Sieve {}

impl Policy for Sieve {
    const SHARED_HITS: bool = true;

    #[inline]
    fn hit(&self, node: &Node) {
        node.note_use(USED);
    }

    fn hit_exclusive<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId) {
        self.hit(slots[id].node());
    }

    fn insert<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId) {
        slots[id].node_mut().set_uses(0);
        self.queue.push(slots, id);
    }

    fn overwrite<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId, weight: u64) {
        self.queue.reweigh(slots, id, weight);
        self.hit(slots[id].node());
    }

    fn remove<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId) {
        self.let_go(slots, id);
    }

    fn evict<E: Resident>(&mut self, slots: &mut Slots<E>, keep: Option<SlotId>) -> Option<SlotId> {
        let mut at = self.hand.or(self.queue.oldest())?;
        let mut passed = 0;
        loop {
            let spared = slots[at].node().uses() != 0 && passed < EVICTION_STEPS_MAX;
            if !spared && Some(at) != keep {
                break;
            }
            if Some(at) == keep && self.queue.len() == 1 {
                return None;
            }
            slots[at].node_mut().set_uses(0);
            passed += 1;
            at = self.queue.newer(slots, at).or(self.queue.oldest())?;
        }
        self.hand = Some(at);
        self.let_go(slots, at);
        Some(at)
    }

    fn len(&self) -> usize {
        self.queue.len()
    }

    fn weight(&self) -> u64 {
        self.queue.weight()
    }
}
