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
    /// Blocks of [`BLOCK_WORDS`] words; their number is a power of two.
    words: Box<[u64]>,
    added: usize,
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            words: vec![0; BLOCK_WORDS].into_boxed_slice(),
            added: 0,
        }
    }
}

impl Sketch {
    /// Makes it fit `entries` entries: a word for each. When it doubles, every estimate stays what it was: O(entries) then,
    /// which is O(1) amortised.
    pub(super) fn fit(&mut self, entries: usize) {
        while self.words.len() < entries {
            let mut doubled = self.words.to_vec();
            doubled.extend_from_slice(&self.words);
            self.words = doubled.into_boxed_slice();
        }
    }

    /// About how often what has this hash was added, at most [`COUNT_MAX`].
    pub(super) fn estimate(&self, hash: u64) -> u32 {
        let places = self.places(hash);
        places
            .iter()
            .map(|place| self.count(*place))
            .min()
            .unwrap_or_default()
    }

    /// Asks for the line that answers for this hash.
    #[inline]
    pub(super) fn expect(&self, hash: u64) {
        let [place, ..] = self.places(hash);
        prefetch(&self.words[place.word]);
    }

    /// Adds `times` uses of what has this hash.
    pub(super) fn add(&mut self, hash: u64, times: u32) {
        let places = self.places(hash);
        let least = places
            .iter()
            .map(|place| self.count(*place))
            .min()
            .unwrap_or_default();
        let wanted = least.saturating_add(times).min(COUNT_MAX);
        for place in places {
            self.raise(place, wanted);
        }
        self.added += usize::try_from(wanted - least).unwrap_or(0);
        if self.added >= self.words.len().saturating_mul(SAMPLE_FACTOR) {
            self.halve();
        }
    }

    /// O(counters), after as many additions: O(1) amortised.
    fn halve(&mut self) {
        for word in &mut self.words {
            *word = (*word >> 1) & HALVED;
        }
        self.added /= 2;
    }

    fn count(&self, place: Place) -> u32 {
        let nibble = (self.words[place.word] >> place.shift) & u64::from(COUNT_MAX);
        u32::try_from(nibble).unwrap_or(COUNT_MAX)
    }

    fn raise(&mut self, place: Place, wanted: u32) {
        let missing = wanted.saturating_sub(self.count(place));
        // The nibble is at most 15 afterwards, so nothing is carried into its neighbour.
        self.words[place.word] += u64::from(missing) << place.shift;
    }

    /// The four counters of an id: the upper half of the hash chooses the block, the lower half one counter in each quarter
    /// of the block.
    fn places(&self, hash: u64) -> [Place; 4] {
        // Shards take bits of the same hash, so it is mixed again (the finalizer of SplitMix64).
        let mut mixed = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^= mixed >> 27;
        let [a, b, c, d, block @ ..] = mixed.to_le_bytes();
        let blocks = self.words.len() / BLOCK_WORDS;
        let block = usize::try_from(u32::from_le_bytes(block)).unwrap_or(0) & (blocks - 1);
        let mut quarter = 0;
        [a, b, c, d].map(|byte| {
            let place = Place {
                word: block * BLOCK_WORDS + quarter * 2 + usize::from(byte >> 7),
                shift: u32::from(byte & 15) * 4,
            };
            quarter += 1;
            place
        })
    }
}

/// One counter.
#[derive(Clone, Copy)]
struct Place {
    word: usize,
    shift: u32,
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
        assert_eq!(sketch.words.len(), 16_384, "the next power of two");
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
