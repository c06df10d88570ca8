//! [`Curve`]: how often LRU hits at every capacity in entries, from one pass over the accesses.
//!
//! The stack distance of an access is how many other places of the stack lie above its key's; LRU hits iff that is less than the capacity
//! (Mattson, Gecsei, Slutz and Traiger, "Evaluation techniques for storage hierarchies", IBM Systems Journal, 1970). A tree over the times of last
//! uses counts them, O(n log n) (Bennett and Kruskal, "LRU stack processing", IBM Journal of Research and Development, 1975).
//!
//! A key that is deleted leaves a hole in the stack: every cache that is large enough to have held it has room for one more. What is stored
//! next fills the topmost hole above its own place, and leaves its place as a hole to those caches that are larger still.

use std::collections::BinaryHeap;

use super::{Access, Accesses, Op, Unit};

/// Hits by capacity.
#[derive(Clone, Debug)]
pub struct Curve {
    /// How many reads hit at a capacity of one more than the place.
    hits: Vec<u64>,
    reads: u64,
}

/// Sums over times, of which each is 0 at first.
pub(super) struct Tree<N>(Vec<N>);

/// What a tree adds up: sums wrap, so what was added can be taken away again.
pub(super) trait Number: Copy + Default {
    fn plus(self, more: Self) -> Self;
    fn minus(self, less: Self) -> Self;
}

impl Number for u32 {
    fn plus(self, more: Self) -> Self {
        self.wrapping_add(more)
    }

    fn minus(self, less: Self) -> Self {
        self.wrapping_sub(less)
    }
}

impl Number for u64 {
    fn plus(self, more: Self) -> Self {
        self.wrapping_add(more)
    }

    fn minus(self, less: Self) -> Self {
        self.wrapping_sub(less)
    }
}

impl<N: Number> Tree<N> {
    /// For times from 1 to `len`.
    pub(super) fn new(len: usize) -> Self {
        Tree(vec![N::default(); len + 1])
    }

    pub(super) fn add(&mut self, mut at: usize, more: N) {
        while let Some(sum) = self.0.get_mut(at) {
            *sum = sum.plus(more);
            at += at & at.wrapping_neg();
        }
    }

    /// Takes away what was added.
    pub(super) fn take(&mut self, at: usize, less: N) {
        self.add(at, N::default().minus(less));
    }

    /// The sum up to and with a time.
    pub(super) fn sum(&self, mut at: usize) -> N {
        let mut sum = N::default();
        while at > 0 {
            sum = sum.plus(self.0[at]);
            at &= at - 1;
        }
        sum
    }
}

/// The stack, by when each of its places was used last.
struct Stack {
    tree: Tree<u32>,
    /// When each key was used last; 0 if it is in no cache of any size.
    last: Vec<usize>,
    /// Places that nothing is in, by when what was in them was used.
    holes: BinaryHeap<usize>,
    places: u32,
}

impl Stack {
    /// How many places lie above a key's.
    fn distance(&self, key: u32) -> Option<u32> {
        let last = self.last[key as usize];
        (last > 0).then(|| self.places - self.tree.sum(last))
    }

    fn put(&mut self, key: u32, time: usize) {
        let before = std::mem::replace(&mut self.last[key as usize], time);
        match self.holes.peek().copied().filter(|hole| *hole > before) {
            Some(hole) => {
                self.holes.pop();
                self.tree.take(hole, 1);
                if before > 0 {
                    self.holes.push(before);
                }
            }
            None if before > 0 => self.tree.take(before, 1),
            None => self.places += 1,
        }
        self.tree.add(time, 1);
    }

    fn remove(&mut self, key: u32) {
        let before = std::mem::take(&mut self.last[key as usize]);
        if before > 0 {
            self.holes.push(before);
        }
    }
}

impl Curve {
    /// One pass.
    #[must_use]
    pub fn of(accesses: &Accesses) -> Self {
        let keys = accesses.distinct();
        let mut stack = Stack {
            tree: Tree::new(accesses.len()),
            last: vec![0; keys],
            holes: BinaryHeap::new(),
            places: 0,
        };
        let mut by_distance = vec![0_u64; keys];
        let mut reads = 0;
        for (Access { key, op, .. }, time) in accesses.iter(Unit::Entries).zip(1..) {
            if op == Op::Delete {
                stack.remove(key);
                continue;
            }
            if op == Op::Get {
                reads += 1;
                if let Some(distance) = stack.distance(key) {
                    let count = by_distance.get_mut(distance as usize);
                    *count.expect("invariant: a stack has at most a place for each key") += 1;
                }
            }
            stack.put(key, time);
        }
        let mut so_far = 0;
        let hits = by_distance.into_iter().map(|count| {
            so_far += count;
            so_far
        });
        Curve {
            hits: hits.collect(),
            reads,
        }
    }

    /// How many reads hit at a capacity.
    #[must_use]
    pub fn hits(&self, capacity: u64) -> u64 {
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        let place = capacity.min(self.hits.len()).checked_sub(1);
        place.and_then(|place| self.hits.get(place)).copied().unwrap_or(0)
    }

    /// The share of reads that hit at a capacity.
    #[must_use]
    pub fn ratio(&self, capacity: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
        let ratio = self.hits(capacity) as f64 / self.reads.max(1) as f64;
        ratio
    }

    /// The smallest capacity from which on doubling gains less than a point: neither it nor any larger one is worth doubling. A curve may be flat
    /// where nothing fits yet, so a smaller one of which that is true says nothing.
    #[must_use]
    pub fn doubling_gains_little(&self) -> u64 {
        let begins = self.hits.partition_point(|hits| *hits == 0) as u64 + 1;
        let gains = |capacity: u64| self.ratio(capacity.saturating_mul(2)) - self.ratio(capacity);
        let last = (1..self.most()).rev().find(|capacity| gains(*capacity) >= 0.01);
        last.map_or(begins.min(self.most()), |last| last + 1)
    }

    /// The smallest capacity that reaches this share of the best ratio of all.
    #[must_use]
    pub fn within(&self, share: f64) -> u64 {
        let enough = self.ratio(self.most()) * share;
        let mut capacities = 1..self.most();
        let found = capacities.find(|capacity| self.ratio(*capacity) >= enough);
        found.unwrap_or(self.most())
    }

    /// Room for every key.
    fn most(&self) -> u64 {
        self.hits.len() as u64
    }
}

/// Capacities from the one to the other, both among them, evenly spread over their logarithms: at most 17, fewer if some are the same. Of square roots and products only,
/// which are the same on every machine.
#[must_use]
pub fn spread(from: u64, to: u64) -> Vec<u64> {
    let from = from.clamp(1, to.max(1));
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place on a scale"
    )]
    let steps = {
        let factor = (to as f64 / from as f64).sqrt().sqrt().sqrt().sqrt();
        let mut at = from as f64;
        (0..16).map(move |_| {
            let capacity = at.round() as u64;
            at *= factor;
            capacity
        })
    };
    let mut capacities: Vec<u64> = steps.take_while(|capacity| *capacity < to).collect();
    capacities.push(to.max(1));
    capacities.dedup();
    capacities
}
