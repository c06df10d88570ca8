//! What a policy keeps in each entry: [`Node`], 16 bytes that only writers touch, and [`Uses`], one byte that hits touch.

use larder_core::sync::{AtomicU8, Ordering};

use crate::list::{LinkStore, Links};
use crate::slots::{SlotId, Slots};

/// A policy's data about one entry that only writers touch. Made with the entry and never copied.
#[derive(Debug)]
pub struct Node {
    /// In the lower 62 bits; the upper two are the part.
    weight_and_part: u64,
    links: Links,
}

const PART_SHIFT: u32 = 62;
const WEIGHT_MASK: u64 = (1 << PART_SHIFT) - 1;

/// How often an entry was used since its policy looked last: one byte, the only thing about an entry that a hit may
/// write. What a number means, and where it stops, is the policy's.
#[derive(Debug, Default)]
pub struct Uses(AtomicU8);

/// In which of its policy's queues an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// In none.
    Out,
    /// Where entries begin: S3-FIFO's small queue, TinyLFU's window.
    Entrance,
    /// The only queue, the main queue, or the main space's probation.
    Main,
    /// The main space's protected part.
    Protected,
}

/// The entries of a shard, as a policy sees them. What readers touch and what only writers touch may lie apart.
///
/// Whoever implements it owes: for an id that names an entry, the same things for the life of the entry, and nothing else is
/// done. A hash is that of the entry's id, well spread in all its bits.
pub trait Residents {
    /// The hash of the entry's id.
    fn hash(&self, id: SlotId) -> u64;
    /// The entry's uses.
    fn uses(&self, id: SlotId) -> &Uses;
    /// The policy's data.
    fn node(&self, id: SlotId) -> &Node;
    /// The policy's data, to change it.
    fn node_mut(&mut self, id: SlotId) -> &mut Node;
    /// Asks for the memory in which the entry lies.
    fn expect(&self, id: SlotId) {
        let _ = id;
    }
    /// Asks for the memory that says whether there is an entry at place `index`, and of its uses.
    fn expect_at(&self, index: usize) {
        let _ = index;
    }
    /// Asks for the memory of what the entry leads to and is dropped with it.
    fn expect_value(&self, id: SlotId) {
        let _ = id;
    }
    /// The entry at place `index`, if there is one there.
    fn at(&self, index: usize) -> Option<SlotId>;
    /// How many places there are.
    fn places(&self) -> usize;
}

/// An entry that a policy can keep in a [`Slots`], with all that belongs to it in one piece. The duties are those of
/// [`Residents`].
pub trait Resident {
    /// The hash of the entry's id.
    fn hash(&self) -> u64;
    /// The entry's uses.
    fn uses(&self) -> &Uses;
    /// The policy's data.
    fn node(&self) -> &Node;
    /// The policy's data, to change it.
    fn node_mut(&mut self) -> &mut Node;
}

impl<E: Resident> Residents for Slots<E> {
    fn hash(&self, id: SlotId) -> u64 {
        self[id].hash()
    }

    fn uses(&self, id: SlotId) -> &Uses {
        self[id].uses()
    }

    fn node(&self, id: SlotId) -> &Node {
        self[id].node()
    }

    fn node_mut(&mut self, id: SlotId) -> &mut Node {
        self[id].node_mut()
    }

    fn at(&self, index: usize) -> Option<SlotId> {
        Slots::at(self, index)
    }

    fn places(&self) -> usize {
        Slots::places(self)
    }
}

impl Node {
    /// The data of an entry that is in no policy yet. `weight` is what the entry is charged, in whatever unit the caller's
    /// capacity is; 1 where entries are counted. What is 2^62 or more counts as the most below that.
    #[inline]
    #[must_use]
    pub fn new(weight: u64) -> Self {
        Self {
            weight_and_part: weight.min(WEIGHT_MASK),
            links: Links::default(),
        }
    }

    /// What the entry is charged.
    #[inline]
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.weight_and_part & WEIGHT_MASK
    }

    #[inline]
    pub(super) fn set_weight(&mut self, weight: u64) {
        let part = self.weight_and_part & !WEIGHT_MASK;
        self.weight_and_part = part | weight.min(WEIGHT_MASK);
    }

    #[inline]
    pub(super) fn part(&self) -> Part {
        match self.weight_and_part >> PART_SHIFT {
            0 => Part::Out,
            1 => Part::Entrance,
            2 => Part::Main,
            _ => Part::Protected,
        }
    }

    #[inline]
    pub(super) fn set_part(&mut self, part: Part) {
        let part = match part {
            Part::Out => 0,
            Part::Entrance => 1,
            Part::Main => 2,
            Part::Protected => 3,
        };
        self.weight_and_part = self.weight() | part << PART_SHIFT;
    }

    pub(super) fn links(&self) -> &Links {
        &self.links
    }
}

impl Uses {
    /// One use more, up to `most`. A load and at most one store, both relaxed: uses at the same instant may count as one,
    /// and once `most` is reached nothing is written at all.
    #[inline]
    pub(super) fn note(&self, most: u8) {
        let uses = self.0.load(Ordering::Relaxed);
        if uses < most {
            self.0.store(uses + 1, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn set(&self, uses: u8) {
        self.0.store(uses, Ordering::Relaxed);
    }
}

/// The links of entries, for lists.
pub(super) struct Nodes<'a, R>(pub(super) &'a mut R);

impl<R: Residents> LinkStore for Nodes<'_, R> {
    fn links(&self, id: SlotId) -> &Links {
        &self.0.node(id).links
    }

    fn links_mut(&mut self, id: SlotId) -> &mut Links {
        &mut self.0.node_mut(id).links
    }
}
