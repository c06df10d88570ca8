//! Which keys are asked for, and in what order: drawn before anything is timed, the same ones in every run.

use super::engines::Thing;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Xorshift, after Marsaglia (2003): enough to mix, and the same everywhere.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// A number below 2^32.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 32
    }
}

/// So many keys below `range`, each as likely as any other. Small numbers, so that the list takes little of the caches that
/// the engines compete in.
pub(super) fn uniform(count: u64, range: u64) -> Vec<u32> {
    let mut random = Random::new();
    let key = |_| (random.next() * range) >> 32;
    (0..count).map(key).map(narrow).collect()
}

/// So many keys below `range`, each as likely as its rank demands: the second half as likely as the first, the third a third.
pub(super) fn zipf(count: u64, range: u64) -> Vec<u32> {
    let mut sums: Vec<f64> = Vec::new();
    let mut sum = 0.0;
    for rank in 1..=range {
        sum += 1.0 / f64::from(narrow(rank));
        sums.push(sum);
    }
    let mut random = Random::new();
    let draw = |_| {
        let part = f64::from(narrow(random.next())) / f64::from(u32::MAX);
        sums.partition_point(|upto| *upto < part * sum) as u64
    };
    (0..count).map(draw).map(narrow).collect()
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("there are fewer than 2^32")
}

/// Asks for all of them, and gives something of what was found.
#[inline]
pub(super) fn read(ids: &[u32], get: impl Fn(u64) -> Option<Arc<Thing>>) -> u64 {
    let found = ids.iter().filter_map(|id| get(u64::from(*id)));
    found.fold(0, |sum, thing| sum.wrapping_add(thing.amount))
}

/// Stretches of a list of keys, for threads that shall not all ask for the same ones.
pub(super) struct Stretches<'a> {
    ids: &'a [u32],
    next: AtomicUsize,
}

impl<'a> Stretches<'a> {
    pub(super) fn new(ids: &'a [u32]) -> Self {
        Self {
            ids,
            next: AtomicUsize::new(0),
        }
    }

    /// The next `length` of them; after the last, those at the beginning. One step on shared memory for a whole stretch.
    pub(super) fn next(&self, length: usize) -> &'a [u32] {
        let count = self.ids.len() / length;
        let at = self.next.fetch_add(1, Ordering::Relaxed) % count * length;
        &self.ids[at..at + length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_keys_are_spread_evenly() {
        let ids = uniform(100_000, 10);
        for id in 0..10 {
            let count = ids.iter().filter(|other| **other == id).count();
            assert!((9_000..11_000).contains(&count), "{count} of {id}");
        }
    }

    #[test]
    fn keys_of_a_zipf_distribution_are_as_likely_as_their_rank_demands() {
        let ids = zipf(100_000, 1_000);
        let count = |id| ids.iter().filter(|other| **other == id).count();
        // The sum of 1/n up to 1,000 is 7.485.
        assert!((12_900..13_900).contains(&count(0)), "{}", count(0));
        assert!((6_200..7_200).contains(&count(1)), "{}", count(1));
        assert!(ids.iter().all(|id| *id < 1_000));
    }

    #[test]
    fn stretches_follow_one_another_and_begin_anew() {
        let stretches = Stretches::new(&[1, 2, 3, 4, 5]);
        let taken: Vec<_> = (0..3).map(|_| stretches.next(2)).collect();
        assert_eq!(taken, [[1, 2], [3, 4], [1, 2]]);
    }
}
