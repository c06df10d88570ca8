//! What a run is made of: features, drawn so that every pair of them meets.
//!
//! Of all pairs each seed has four, in turn. A feature of a pool goes to the first pool in which nothing speaks against it, so that those of a pair meet in
//! one pool wherever they can.

use std::collections::BTreeSet;

/// Something that a run may have, or a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    // Of pools.
    FewEntries,
    FewBytesS3Fifo,
    FewBytesSieve,
    FewBytesLru,
    FewBytesTinyLfu,
    TimeToLive,
    TimeToIdle,
    StaleWhileRevalidate,
    StaleOnError,
    RefreshAhead,
    Negative,
    Batcher,
    Shorten,
    Serve,
    Timeout,
    Detach,
    Replica,
    // Of the run.
    Unordered,
    LongTransactions,
    Purges,
    Epochs,
    Unreadable,
    SourceFails,
    SourceSlow,
    SourcePanics,
    SkewedClocks,
    Pauses,
    LoaderFails,
    LoaderPanics,
    LoaderSlow,
    Closes,
    Warm,
}

use Feature::{
    Batcher, Closes, Detach, Epochs, FewBytesLru, FewBytesS3Fifo, FewBytesSieve, FewBytesTinyLfu, FewEntries,
    LoaderFails, LoaderPanics, LoaderSlow, LongTransactions, Negative, Pauses, Purges, RefreshAhead, Replica,
    Serve, Shorten, SkewedClocks, SourceFails, SourcePanics, SourceSlow, StaleOnError, StaleWhileRevalidate,
    TimeToIdle, TimeToLive, Timeout, Unordered, Unreadable, Warm,
};

const OF_POOLS: [Feature; 17] = [
    FewEntries,
    FewBytesS3Fifo,
    FewBytesSieve,
    FewBytesLru,
    FewBytesTinyLfu,
    TimeToLive,
    TimeToIdle,
    StaleWhileRevalidate,
    StaleOnError,
    RefreshAhead,
    Negative,
    Batcher,
    Shorten,
    Serve,
    Timeout,
    Detach,
    Replica,
];

const OF_RUNS: [Feature; 15] = [
    Unordered,
    LongTransactions,
    Purges,
    Epochs,
    Unreadable,
    SourceFails,
    SourceSlow,
    SourcePanics,
    SkewedClocks,
    Pauses,
    LoaderFails,
    LoaderPanics,
    LoaderSlow,
    Closes,
    Warm,
];

/// Of these a pool has one at most.
const EITHER: [&[Feature]; 2] = [
    &[
        FewEntries,
        FewBytesS3Fifo,
        FewBytesSieve,
        FewBytesLru,
        FewBytesTinyLfu,
    ],
    &[Shorten, Serve],
];

const PAIRS_A_SEED: u64 = 4;

/// Every pair of two features.
pub fn pairs() -> Vec<(Feature, Feature)> {
    let all = [&OF_POOLS[..], &OF_RUNS[..]].concat();
    let mut pairs = Vec::new();
    for (at, one) in all.iter().enumerate() {
        pairs.extend(all[at + 1..].iter().map(|other| (*one, *other)));
    }
    pairs
}

/// How many seeds it takes until every pair has had its turn.
pub fn seeds_for_all_pairs() -> u64 {
    u64::try_from(pairs().len()).unwrap().div_ceil(PAIRS_A_SEED)
}

/// What a run has, and each of its pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub run: BTreeSet<Feature>,
    /// Of rows; the pool of pages is as the first of them is.
    pub pools: Vec<BTreeSet<Feature>>,
}

impl Plan {
    /// The plan of a seed: the pairs whose turn it is. With each turn others are together.
    pub fn of(seed: u64) -> Self {
        let pairs = pairs();
        let count = u64::try_from(pairs.len()).unwrap();
        let turn = seed / seeds_for_all_pairs();
        // Without a common divisor, every pair has its turn.
        let mut stride = 2 * (5 * (turn % 1_000) + 3) + 1;
        while (2..=stride).any(|divisor| count.is_multiple_of(divisor) && stride.is_multiple_of(divisor)) {
            stride += 2;
        }
        let first = seed % seeds_for_all_pairs() * PAIRS_A_SEED;
        let mut plan = Plan {
            run: BTreeSet::new(),
            pools: vec![BTreeSet::new(), BTreeSet::new()],
        };
        for at in first..first + PAIRS_A_SEED {
            let (one, other) = pairs[usize::try_from(at * stride % count).unwrap()];
            let pool = plan.add(one, None);
            plan.add(other, pool);
        }
        plan
    }

    /// The same with one more: of a pool in this one if it may be there. The pool that has it.
    pub fn add(&mut self, feature: Feature, pool: Option<usize>) -> Option<usize> {
        if OF_RUNS.contains(&feature) {
            self.run.insert(feature);
            return pool;
        }
        let fits = |pool: &BTreeSet<Feature>| !pool.iter().any(|other| are_rivals(feature, *other));
        let found = pool.filter(|at| fits(&self.pools[*at]));
        let found = found.or_else(|| self.pools.iter().position(fits));
        let at = found.unwrap_or_else(|| {
            self.pools.push(BTreeSet::new());
            self.pools.len() - 1
        });
        self.pools[at].insert(feature);
        Some(at)
    }

    pub fn has(&self, feature: Feature) -> bool {
        self.run.contains(&feature)
    }

    /// Whether both are in this run: of two that a pool may have both in one pool.
    pub fn has_pair(&self, (one, other): (Feature, Feature)) -> bool {
        let is_of_pool = |feature: Feature| OF_POOLS.contains(&feature);
        let in_a_pool = |feature: Feature| self.pools.iter().any(|pool| pool.contains(&feature));
        if is_of_pool(one) && is_of_pool(other) && !are_rivals(one, other) {
            return self
                .pools
                .iter()
                .any(|pool| pool.contains(&one) && pool.contains(&other));
        }
        [one, other]
            .into_iter()
            .all(|feature| self.has(feature) || in_a_pool(feature))
    }
}

/// Whether no pool can have both.
fn are_rivals(one: Feature, other: Feature) -> bool {
    one != other
        && EITHER
            .iter()
            .any(|group| group.contains(&one) && group.contains(&other))
}
