//! [`Sketch`]: about how often an id was used lately, in half a byte a counter.
//!
//! A count-min sketch (Cormode and Muthukrishnan, 2005) with conservative update (Estan and Varghese, 2002), aged as in
//! "TinyLFU: A Highly Efficient Cache Admission Policy" (Einziger, Friedman, Manes; ACM Transactions on Storage, 2017):
//! after ten additions for each entry all counters are halved, so that old fame fades.
//!
//! What is always true: an estimate is never below what was added since the last halving, fifteen at most. The four
//! counters of an id lie in one block of 64 bytes, so that one line of memory answers.

use crate::prefetch::prefetch;

/// Additions for each entry between two halvings.
const SAMPLE_FACTOR: usize = 10;
/// The greatest count.
pub(super) const COUNT_MAX: u32 = 15;
/// Words of 16 counters that a block holds; each of an id's four counters lies in two words of its own.
const BLOCK_WORDS: usize = 8;
/// The lowest bit of each counter but those that a shift by one would take over from its neighbour.
const HALVED: u64 = 0x7777_7777_7777_7777;

/// Counters for ids, by their hashes.
#[derive(Debug)]
pub(super) struct Sketch {
    /// Their number is a power of two.
    blocks: Box<[Block]>,
    added: usize,
}

/// Counters in one line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Block([u64; BLOCK_WORDS]);

/// One counter of a block.
#[derive(Clone, Copy)]
struct Place {
    word: usize,
    shift: u32,
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            blocks: Box::new([Block([0; BLOCK_WORDS])]),
            added: 0,
        }
    }
}

impl Sketch {
    fn words(&self) -> usize {
        self.blocks.len() * BLOCK_WORDS
    }

    /// Makes it fit `entries` entries: a word for each. When it doubles, every estimate stays what it was: O(entries) then,
    /// which is O(1) amortised.
    #[inline]
    pub(super) fn fit(&mut self, entries: usize) {
        while self.words() < entries {
            self.double();
        }
    }

    #[cold]
    fn double(&mut self) {
        let mut doubled = Vec::with_capacity(2 * self.blocks.len());
        doubled.extend_from_slice(&self.blocks);
        doubled.extend_from_slice(&self.blocks);
        self.blocks = doubled.into_boxed_slice();
    }

    /// About how often what has this hash was added, at most [`COUNT_MAX`].
    #[inline]
    pub(super) fn estimate(&self, hash: u64) -> u32 {
        let (block, places) = self.find(hash);
        let block = &self.blocks[block];
        places
            .iter()
            .fold(COUNT_MAX, |least, place| least.min(block.count(*place)))
    }

    /// Asks for the line that answers for this hash.
    #[inline]
    pub(super) fn expect(&self, hash: u64) {
        let (block, _) = self.find(hash);
        prefetch(&self.blocks[block]);
    }

    /// Adds `times` uses of what has this hash.
    #[inline]
    pub(super) fn add(&mut self, hash: u64, times: u32) {
        let (block, places) = self.find(hash);
        let block = &mut self.blocks[block];
        let counts = places.map(|place| block.count(place));
        let least = counts.iter().fold(COUNT_MAX, |least, count| least.min(*count));
        let wanted = least.saturating_add(times).min(COUNT_MAX);
        for (place, count) in places.into_iter().zip(counts) {
            // The nibble is at most 15 afterwards, so nothing is carried into its neighbour.
            block.0[place.word] += u64::from(wanted.saturating_sub(count)) << place.shift;
        }
        self.added += usize::try_from(wanted - least).unwrap_or(0);
        if self.added >= self.words().saturating_mul(SAMPLE_FACTOR) {
            self.halve();
        }
    }

    /// O(counters), after as many additions: O(1) amortised.
    #[cold]
    fn halve(&mut self) {
        for word in self.blocks.iter_mut().flat_map(|block| &mut block.0) {
            *word = (*word >> 1) & HALVED;
        }
        self.added /= 2;
    }

    /// The block and the four counters of an id: the upper half of the hash chooses the block, the lower half one counter in
    /// each quarter of it.
    #[inline]
    fn find(&self, hash: u64) -> (usize, [Place; 4]) {
        // Shards take bits of the same hash, so it is mixed again (the finalizer of SplitMix64).
        let mut mixed = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^= mixed >> 27;
        let [a, b, c, d, block @ ..] = mixed.to_le_bytes();
        let block = usize::try_from(u32::from_le_bytes(block)).unwrap_or(0) & (self.blocks.len() - 1);
        let place = |quarter: usize, byte: u8| Place {
            word: quarter * 2 + usize::from(byte >> 7),
            shift: u32::from(byte & 15) * 4,
        };
        (block, [place(0, a), place(1, b), place(2, c), place(3, d)])
    }
}

impl Block {
    #[inline]
    fn count(&self, place: Place) -> u32 {
        let nibble = (self.0[place.word] >> place.shift) & u64::from(COUNT_MAX);
        u32::try_from(nibble).unwrap_or(COUNT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use larder_testkit::{Random, for_each_seed};

    use super::*;

    /// An estimate is never too low, and for few ids almost always exact.
    #[test]
    fn estimates_are_never_too_low() {
        for_each_seed(50, |seed| {
            let mut random = Random::seeded(seed);
            let mut sketch = Sketch::default();
            sketch.fit(256);
            let ids: Vec<u64> = (0..64).map(|_| random.next_u64()).collect();
            let mut model: HashMap<u64, u32> = HashMap::new();
            for _ in 0..600 {
                let id = ids[random.index(ids.len())];
                let times = 1 + u32::try_from(random.below(3)).unwrap();
                sketch.add(id, times);
                let count = model.entry(id).or_default();
                *count = (*count + times).min(COUNT_MAX);
            }
            let wrong = model.iter().filter(|(id, count)| {
                let estimate = sketch.estimate(**id);
                assert!(estimate >= **count, "{estimate} is below {count}");
                estimate > **count
            });
            assert!(wrong.count() <= 3, "it counts ids apart");
        });
    }

    /// Counts fade by halves, and growing changes none of them.
    #[test]
    fn counts_fade_and_survive_growth() {
        let mut sketch = Sketch::default();
        sketch.add(7, 12);
        sketch.fit(10_000);
        assert_eq!(sketch.words(), 16_384, "the next power of two");
        assert_eq!(sketch.estimate(7), 12);
        let mut others = Random::seeded(1);
        while sketch.estimate(7) == 12 {
            sketch.add(others.next_u64(), 1);
        }
        assert_eq!(sketch.estimate(7), 6);
        assert_eq!(
            sketch.added,
            16_384 * 10 / 2,
            "half of what was added is still there"
        );
    }
}
