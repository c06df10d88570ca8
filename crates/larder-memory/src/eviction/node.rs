//! [`Node`], what a policy keeps in each entry: 32 bytes.

use larder_core::sync::{AtomicU32, Ordering};

use crate::list::{Linked, Links};

/// A policy's data about one entry. Made with the entry and never copied.
#[derive(Debug)]
pub struct Node {
    hash: u64,
    weight: u64,
    links: Links,
    /// Uses that the policy has not looked at yet. What it means, and where it stops, is the policy's.
    uses: AtomicU32,
    part: Part,
}

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

/// An entry that a policy can keep.
///
/// Whoever implements it owes: both give the same node for the life of the entry, and neither does anything else.
pub trait Resident {
    /// The policy's data.
    fn node(&self) -> &Node;
    /// The policy's data, to change it.
    fn node_mut(&mut self) -> &mut Node;
}

impl Node {
    /// The data of an entry that is in no policy yet.
    ///
    /// `hash` is that of the entry's id, well spread in all its bits. `weight` is what the entry is charged, in whatever
    /// unit the caller's capacity is; 1 where entries are counted.
    #[must_use]
    pub fn new(hash: u64, weight: u64) -> Self {
        Self {
            hash,
            weight,
            links: Links::default(),
            uses: AtomicU32::new(0),
            part: Part::Out,
        }
    }

    /// The hash of the entry's id.
    #[inline]
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// What the entry is charged.
    #[inline]
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.weight
    }

    pub(super) fn set_weight(&mut self, weight: u64) {
        self.weight = weight;
    }

    pub(super) fn part(&self) -> Part {
        self.part
    }

    pub(super) fn set_part(&mut self, part: Part) {
        self.part = part;
    }

    /// One use more, up to `most`. A load and at most one store, both relaxed: uses at the same instant may count as one,
    /// and once `most` is reached nothing is written at all.
    #[inline]
    pub(super) fn note_use(&self, most: u32) {
        let uses = self.uses.load(Ordering::Relaxed);
        if uses < most {
            self.uses.store(uses + 1, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn uses(&self) -> u32 {
        self.uses.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn set_uses(&mut self, uses: u32) {
        self.uses.store(uses, Ordering::Relaxed);
    }
}

impl<E: Resident> Linked for E {
    fn links(&self) -> &Links {
        &self.node().links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.node_mut().links
    }
}
