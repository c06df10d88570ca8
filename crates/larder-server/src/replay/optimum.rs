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
    use super::hits;
    use crate::demo::random::Random;

    /// The most hits that any sequence of choices gives, by trying all.
    fn by_trying_all(accesses: &[u32], resident: &mut Vec<u32>, capacity: usize) -> u64 {
        let Some((key, rest)) = accesses.split_first() else {
            return 0;
        };
        if resident.contains(key) {
            return 1 + by_trying_all(rest, resident, capacity);
        }
        // Not stored.
        let mut best = by_trying_all(rest, resident, capacity);
        if resident.len() < capacity {
            resident.push(*key);
            best = best.max(by_trying_all(rest, resident, capacity));
            resident.pop();
            return best;
        }
        for place in 0..resident.len() {
            let left = std::mem::replace(&mut resident[place], *key);
            best = best.max(by_trying_all(rest, resident, capacity));
            resident[place] = left;
        }
        best
    }

    #[test]
    fn nothing_hits_more_often() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let accesses: Vec<u32> = (0..11)
                .map(|_| u32::try_from(random.below(5)).unwrap_or(0))
                .collect();
            for capacity in 1..4 {
                let best = by_trying_all(&accesses, &mut Vec::new(), capacity);
                assert_eq!(
                    hits(&accesses, 5, capacity),
                    best,
                    "seed {seed}, capacity {capacity}: {accesses:?}"
                );
            }
        }
    }
}
