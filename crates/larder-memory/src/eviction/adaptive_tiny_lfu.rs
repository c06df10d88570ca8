//! [`AdaptiveTinyLfu`]: a window for what is new, a main space for what is used often, and a border that moves.
//!
//! W-TinyLFU after Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy" (ACM Transactions on
//! Storage, 2017): what leaves the window, a small LRU, enters the main space only if it is used more often than what
//! would leave there, by a sketch that fades; the main space is an LRU in two parts, probation and protected. The window
//! grows and shrinks as the hit ratio asks: `border.rs` says how.
//!
//! The paper moves an entry at each hit. Here a hit only counts itself in the entry, so that it needs no exclusive lock and
//! writes no line but the entry's. The count is *settled* later: added to the sketch, and the entry renewed. That happens
//! when an entry comes up for eviction, so nothing used leaves as if it were not, and by a hand that goes round the slab a
//! few places with each insert, so that the order of the lists is at most one round late.

use super::border::Border;
use super::node::{Node, Part, Resident};
use super::queue::Queue;
use super::sketch::{COUNT_MAX, Sketch};
use super::{Policy, sealed};
use crate::limits::EVICTION_STEPS_MAX;
use crate::slots::{SlotId, Slots};

/// The most uses that an entry counts until they are settled: more than the sketch would forget.
const USES_MAX: u32 = COUNT_MAX;
/// Places that the hand passes with each insert.
const HAND_STEPS: usize = 4;
/// Entries that the border passes at most with each insert; the hand's renewals may push as many over it.
const BORDER_STEPS: usize = 2;
/// The protected part of the main space: four in five, as in the paper.
const PROTECTED_PART: (u64, u64) = (4, 5);

/// W-TinyLFU whose window adapts.
#[derive(Debug)]
pub struct AdaptiveTinyLfu {
    window: Queue,
    probation: Queue,
    protected: Queue,
    sketch: Sketch,
    border: Border,
    /// The place in the slab that is settled next.
    hand: usize,
}

impl Default for AdaptiveTinyLfu {
    fn default() -> Self {
        Self {
            window: Queue::new(Part::Entrance),
            probation: Queue::new(Part::Main),
            protected: Queue::new(Part::Protected),
            sketch: Sketch::default(),
            border: Border::default(),
            hand: 0,
        }
    }
}

impl AdaptiveTinyLfu {
    fn queue(&mut self, part: Part) -> &mut Queue {
        match part {
            Part::Entrance => &mut self.window,
            Part::Protected => &mut self.protected,
            _ => &mut self.probation,
        }
    }

    fn window_max(&self) -> u64 {
        self.border.window_of(self.weight())
    }

    /// Counts the uses of an entry and renews it; false if there are none.
    fn settle<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId) -> bool {
        let node = slots[id].node_mut();
        let (uses, hash, part) = (node.uses(), node.hash(), node.part());
        if uses == 0 {
            return false;
        }
        node.set_uses(0);
        self.sketch.add(hash, uses);
        if part == Part::Main {
            self.shift(slots, id, Part::Protected);
            self.shorten_protected(slots);
        } else {
            self.queue(part).renew(slots, id);
        }
        true
    }

    /// Moves an entry to the new end of another queue.
    fn shift<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId, to: Part) {
        let from = slots[id].node().part();
        self.queue(from).remove(slots, id);
        self.queue(to).push(slots, id);
    }

    /// After an entry was protected, another may have to go back on probation.
    fn shorten_protected<E: Resident>(&mut self, slots: &mut Slots<E>) {
        let main = self.probation.weight() + self.protected.weight();
        let most = main / PROTECTED_PART.1 * PROTECTED_PART.0;
        for _ in 0..BORDER_STEPS {
            let Some(oldest) = self.protected.oldest().filter(|_| self.protected.weight() > most) else {
                return;
            };
            if slots[oldest].node().uses() > 0 {
                // It is settled when it comes up; for now it is only not the one to go.
                self.protected.renew(slots, oldest);
            } else {
                self.shift(slots, oldest, Part::Main);
            }
        }
    }

    /// Brings the window nearer to what it should be.
    fn shorten_window<E: Resident>(&mut self, slots: &mut Slots<E>) {
        let most = self.window_max();
        for _ in 0..BORDER_STEPS {
            let Some(oldest) = self.window.oldest().filter(|_| self.window.weight() > most) else {
                return;
            };
            if self.window.len() > 1 && !self.settle(slots, oldest) {
                self.shift(slots, oldest, Part::Main);
            }
        }
    }

    /// Settles a few entries more, round and round.
    fn turn_hand<E: Resident>(&mut self, slots: &mut Slots<E>) {
        for _ in 0..HAND_STEPS.min(slots.places()) {
            if let Some(id) = slots.at(self.hand)
                && slots[id].node().part() != Part::Out
            {
                self.settle(slots, id);
            }
            self.hand += 1;
            if self.hand >= slots.places() {
                self.hand = 0;
            }
        }
    }

    /// How often an entry was used, with what is not settled yet.
    fn frequency(&self, node: &Node) -> u32 {
        self.sketch
            .estimate(node.hash())
            .saturating_add(node.uses())
            .min(COUNT_MAX)
    }

    /// The entry of the main space that would leave next. Passes over what is used, and over `keep`.
    fn main_victim<E: Resident>(
        &mut self,
        slots: &mut Slots<E>,
        keep: Option<SlotId>,
        steps: &mut usize,
    ) -> Option<SlotId> {
        loop {
            let part = if self.probation.is_empty() {
                Part::Protected
            } else {
                Part::Main
            };
            let len = self.queue(part).len();
            let oldest = self.queue(part).oldest()?;
            if Some(oldest) == keep {
                if self.probation.len() + self.protected.len() == 1 {
                    return None;
                }
                if len == 1 {
                    // Only while it is alone on probation: beside it there are protected ones.
                    return self.protected.oldest();
                }
                self.queue(part).renew(slots, oldest);
            } else if *steps >= EVICTION_STEPS_MAX || !self.settle(slots, oldest) {
                return Some(oldest);
            }
            *steps += 1;
        }
    }

    /// The entry of the window that would leave next, likewise.
    fn window_victim<E: Resident>(
        &mut self,
        slots: &mut Slots<E>,
        keep: Option<SlotId>,
        steps: &mut usize,
    ) -> Option<SlotId> {
        loop {
            let oldest = self.window.oldest()?;
            if Some(oldest) == keep {
                if self.window.len() == 1 {
                    return None;
                }
                self.window.renew(slots, oldest);
            } else if *steps >= EVICTION_STEPS_MAX || !self.settle(slots, oldest) {
                return Some(oldest);
            }
            *steps += 1;
        }
    }

    /// Which of the two leaves; the other is in the main space afterwards.
    fn compete<E: Resident>(&mut self, slots: &mut Slots<E>, candidate: SlotId, resident: SlotId) -> SlotId {
        if self.frequency(slots[candidate].node()) > self.frequency(slots[resident].node()) {
            self.shift(slots, candidate, Part::Main);
            resident
        } else {
            candidate
        }
    }
}

impl sealed::Sealed for AdaptiveTinyLfu {}

impl Policy for AdaptiveTinyLfu {
    const SHARED_HITS: bool = true;

    #[inline]
    fn hit(&self, node: &Node) {
        node.note_use(USES_MAX);
    }

    fn hit_exclusive<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId) {
        self.hit(slots[id].node());
    }

    fn insert<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId) {
        slots[id].node_mut().set_uses(0);
        self.window.push(slots, id);
        let hash = slots[id].node().hash();
        self.sketch.fit(self.len());
        self.sketch.add(hash, 1);
        self.border.arrived(hash, self.len());
        self.turn_hand(slots);
        self.shorten_window(slots);
    }

    fn overwrite<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId, weight: u64) {
        let part = slots[id].node().part();
        self.queue(part).reweigh(slots, id, weight);
        self.hit(slots[id].node());
    }

    fn remove<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId) {
        let part = slots[id].node().part();
        self.queue(part).remove(slots, id);
    }

    fn evict<E: Resident>(&mut self, slots: &mut Slots<E>, keep: Option<SlotId>) -> Option<SlotId> {
        let mut steps = 0;
        let resident = self.main_victim(slots, keep, &mut steps);
        let window_is_full = self.window.weight() >= self.window_max().max(1);
        let candidate = if window_is_full || resident.is_none() {
            self.window_victim(slots, keep, &mut steps)
        } else {
            None
        };
        let victim = match (candidate, resident) {
            (Some(candidate), Some(resident)) => self.compete(slots, candidate, resident),
            (one, other) => one.or(other)?,
        };
        let (entries, node) = (self.len(), slots[victim].node());
        if node.part() == Part::Entrance {
            self.border.left_window(node.hash(), entries);
        } else {
            self.border.left_main(node.hash(), entries);
        }
        self.remove(slots, victim);
        Some(victim)
    }

    fn len(&self) -> usize {
        self.window.len() + self.probation.len() + self.protected.len()
    }

    fn weight(&self) -> u64 {
        self.window.weight() + self.probation.weight() + self.protected.weight()
    }
}
