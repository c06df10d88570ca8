//! The optimum: no policy without knowledge of the future can hit more often (Belady, 1966).

use std::collections::BinaryHeap;

/// Never used again.
const NEVER: u32 = u32::MAX;

/// How many accesses hit if what is used farthest in the future leaves, or is not stored at all. Exact for entries of equal weight.
/// O(n log n).
pub(crate) fn hits(accesses: &[u32], keys: usize, capacity: usize) -> u64 {
    let next_uses = next_uses(accesses, keys);
    // Of a resident key the time of its next use; others are not resident.
    let mut resident: Vec<Option<u32>> = vec![None; keys];
    // The farthest first; those that say another time than above are old.
    let mut farthest: BinaryHeap<(u32, u32)> = BinaryHeap::new();
    let (mut len, mut hits) = (0, 0);
    for (key, next) in accesses.iter().zip(next_uses) {
        let place = &mut resident[*key as usize];
        if place.is_some() {
            hits += 1;
            if next == NEVER {
                *place = None;
                len -= 1;
            } else {
                *place = Some(next);
                farthest.push((next, *key));
            }
            continue;
        }
        if next == NEVER {
            continue;
        }
        *place = Some(next);
        farthest.push((next, *key));
        len += 1;
        while len > capacity {
            let Some((time, key)) = farthest.pop() else { break };
            let place = &mut resident[key as usize];
            if *place == Some(time) {
                *place = None;
                len -= 1;
            }
        }
    }
    hits
}

/// When each access' key is used next.
fn next_uses(accesses: &[u32], keys: usize) -> Vec<u32> {
    let mut later = vec![NEVER; keys];
    let mut next = vec![NEVER; accesses.len()];
    for (at, key) in accesses.iter().enumerate().rev() {
        let at_number = u32::try_from(at).unwrap_or(NEVER);
        next[at] = std::mem::replace(&mut later[*key as usize], at_number);
    }
    next
}

#[cfg(test)]
mod tests {
    use larder_testkit::eviction::{Misses, by_brute_force, optimum};

    use super::hits;
    use crate::demo::random::Random;

    fn accesses(random: &mut Random, count: u64, keys: u64) -> Vec<u32> {
        (0..count)
            .map(|_| u32::try_from(random.below(keys)).unwrap_or(0))
            .collect()
    }

    #[test]
    fn nothing_hits_more_often() {
        for seed in 0..200 {
            let trace = accesses(&mut Random::new(seed), 11, 5);
            let wide: Vec<u64> = trace.iter().copied().map(u64::from).collect();
            for capacity in 1..4 {
                let best = by_brute_force(&wide, capacity, Misses::MayBeRefused);
                assert_eq!(
                    hits(&trace, 5, capacity),
                    best as u64,
                    "seed {seed}, capacity {capacity}: {trace:?}"
                );
            }
        }
    }

    #[test]
    fn it_is_the_optimum_of_longer_traces_too() {
        for seed in 0..20 {
            let trace = accesses(&mut Random::new(seed), 3_000, 100);
            let wide: Vec<u64> = trace.iter().copied().map(u64::from).collect();
            for capacity in [1, 7, 50, 100] {
                let best = optimum(&wide, capacity, Misses::MayBeRefused);
                assert_eq!(
                    hits(&trace, 100, capacity),
                    best as u64,
                    "seed {seed}, capacity {capacity}"
                );
            }
        }
    }
}
