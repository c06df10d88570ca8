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
use super::node::{Part, Residents, Uses};
use super::queue::Queue;
use super::sketch::{COUNT_MAX, Sketch};
use super::{Policy, sealed};
use crate::limits::EVICTION_STEPS_MAX;
use crate::slots::SlotId;

/// The most uses that an entry counts until they are settled: more than the sketch would forget.
const USES_MAX: u8 = 15;
const _: () = assert!(
    USES_MAX as u32 == COUNT_MAX,
    "an entry counts as far as the sketch does"
);
/// Places that the hand passes with each insert.
const HAND_STEPS: usize = 4;
/// Entries that the border passes at most with each insert; the hand's renewals may push as many over it.
const BORDER_STEPS: usize = 2;
/// The protected part of the main space: four in five, as in the paper.
const PROTECTED_PART: (u128, u128) = (4, 5);

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

    /// Whether another entry like its oldest would be too many for the window, which is seldom a whole number of entries.
    fn window_is_full(&self, entries: &impl Residents) -> bool {
        let oldest = self.window.oldest();
        let one = oldest.map_or(0, |oldest| entries.node(oldest).weight());
        self.window.weight().saturating_add(one) > self.window_max().max(1)
    }

    /// Counts the uses of an entry and renews it; false if there are none.
    fn settle<R: Residents>(&mut self, entries: &mut R, id: SlotId) -> bool {
        let uses = entries.uses(id).get();
        if uses == 0 {
            return false;
        }
        entries.uses(id).set(0);
        self.sketch.add(entries.hash(id), u32::from(uses));
        let part = entries.node(id).part();
        if part == Part::Main {
            self.shift(entries, id, Part::Protected);
            self.shorten_protected(entries);
        } else {
            self.queue(part).renew(entries, id);
        }
        true
    }

    /// Moves an entry to the new end of another queue.
    fn shift<R: Residents>(&mut self, entries: &mut R, id: SlotId, to: Part) {
        let from = entries.node(id).part();
        self.queue(from).remove(entries, id);
        self.queue(to).push(entries, id);
    }

    /// After an entry was protected, another may have to go back on probation.
    fn shorten_protected<R: Residents>(&mut self, entries: &mut R) {
        let main = u128::from(self.probation.weight()) + u128::from(self.protected.weight());
        let most = main * PROTECTED_PART.0 / PROTECTED_PART.1;
        for _ in 0..BORDER_STEPS {
            let is_too_much = u128::from(self.protected.weight()) > most;
            let Some(oldest) = self.protected.oldest().filter(|_| is_too_much) else {
                return;
            };
            if entries.uses(oldest).get() > 0 {
                // It is settled when it comes up; for now it is only not the one to go.
                self.protected.renew(entries, oldest);
            } else {
                self.shift(entries, oldest, Part::Main);
            }
        }
    }

    /// Brings the window nearer to what it should be.
    fn shorten_window<R: Residents>(&mut self, entries: &mut R) {
        let most = self.window_max();
        for _ in 0..BORDER_STEPS {
            let Some(oldest) = self.window.oldest().filter(|_| self.window.weight() > most) else {
                return;
            };
            if self.window.len() > 1 && !self.settle(entries, oldest) {
                self.shift(entries, oldest, Part::Main);
            }
        }
    }

    /// Settles a few entries more, round and round.
    fn turn_hand<R: Residents>(&mut self, entries: &mut R) {
        for _ in 0..HAND_STEPS.min(entries.places()) {
            // Most have no uses, and then nothing else of them is looked at.
            if let Some(id) = entries.at(self.hand)
                && entries.uses(id).get() > 0
                && entries.node(id).part() != Part::Out
            {
                self.settle(entries, id);
            }
            self.hand += 1;
            if self.hand >= entries.places() {
                self.hand = 0;
            }
        }
    }

    /// How often an entry was used, with what is not settled yet.
    fn frequency(&self, entries: &impl Residents, id: SlotId) -> u32 {
        self.sketch
            .estimate(entries.hash(id))
            .saturating_add(u32::from(entries.uses(id).get()))
            .min(COUNT_MAX)
    }

    /// The entry of the main space that would leave next. Passes over what is used, and over `keep`.
    fn main_victim<R: Residents>(
        &mut self,
        entries: &mut R,
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
                self.queue(part).renew(entries, oldest);
            } else if *steps >= EVICTION_STEPS_MAX || !self.settle(entries, oldest) {
                return Some(oldest);
            }
            *steps += 1;
        }
    }

    /// The entry of the window that would leave next, likewise.
    fn window_victim<R: Residents>(
        &mut self,
        entries: &mut R,
        keep: Option<SlotId>,
        steps: &mut usize,
    ) -> Option<SlotId> {
        loop {
            let oldest = self.window.oldest()?;
            if Some(oldest) == keep {
                if self.window.len() == 1 {
                    return None;
                }
                self.window.renew(entries, oldest);
            } else if *steps >= EVICTION_STEPS_MAX || !self.settle(entries, oldest) {
                return Some(oldest);
            }
            *steps += 1;
        }
    }

    /// Which of the two leaves; the other is in the main space afterwards.
    fn compete<R: Residents>(&mut self, entries: &mut R, candidate: SlotId, resident: SlotId) -> SlotId {
        if self.frequency(entries, candidate) > self.frequency(entries, resident) {
            self.shift(entries, candidate, Part::Main);
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
    fn hit(&self, uses: &Uses) {
        uses.note(USES_MAX);
    }

    fn hit_exclusive<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        self.hit(entries.uses(id));
    }

    fn insert<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        entries.uses(id).set(0);
        self.window.push(entries, id);
        let hash = entries.hash(id);
        self.sketch.fit(self.len());
        self.sketch.add(hash, 1);
        self.border.arrived(hash, self.len());
        self.turn_hand(entries);
        self.shorten_window(entries);
        // What the next insert will look at.
        entries.expect_at(self.hand);
        if let Some(oldest) = self.window.oldest() {
            entries.expect(oldest);
        }
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
        let mut steps = 0;
        let resident = self.main_victim(entries, keep, &mut steps);
        let candidate = if self.window_is_full(entries) || resident.is_none() {
            self.window_victim(entries, keep, &mut steps)
        } else {
            None
        };
        let victim = match (candidate, resident) {
            (Some(candidate), Some(resident)) => self.compete(entries, candidate, resident),
            (one, other) => one.or(other)?,
        };
        let (count, hash) = (self.len(), entries.hash(victim));
        if entries.node(victim).part() == Part::Entrance {
            self.border.left_window(hash, count);
        } else {
            self.border.left_main(hash, count);
        }
        self.remove(entries, victim);
        Some(victim)
    }

    #[inline]
    fn expect_arrival(&self, hash: u64) {
        self.sketch.expect(hash);
    }

    fn expect_departure<R: Residents>(&self, entries: &R) {
        self.probation.expect(entries, None);
        if let Some(candidate) = self.window.expect(entries, None) {
            self.sketch.expect(entries.hash(candidate));
        }
    }

    fn len(&self) -> usize {
        self.window.len() + self.probation.len() + self.protected.len()
    }

    fn weight(&self) -> u64 {
        self.window.weight() + self.probation.weight() + self.protected.weight()
    }
}
