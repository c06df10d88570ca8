//! The most hits that any policy could have: Belady's optimum, and the search that proves it on small traces.
//!
//! After Belady, "A study of replacement algorithms for a virtual-storage computer" (IBM Systems Journal, 1966). A policy may
//! refuse a key, as those with admission do, so keeping nothing of a miss is allowed here too: no policy beats it.

use std::collections::{BTreeMap, HashMap};

/// The most hits that a cache of `capacity` keys can have on `trace`: of all keys, the one that is used again latest
/// is not kept. O(n log n).
#[must_use]
pub fn optimum(trace: &[u64], capacity: usize) -> usize {
    // When each key of the cache is used next, and the keys by that time.
    let mut next_use_of: HashMap<u64, usize> = HashMap::new();
    let mut by_next_use: BTreeMap<usize, u64> = BTreeMap::new();
    let mut hits = 0;
    for (key, next_use) in trace.iter().zip(next_uses(trace)) {
        if let Some(now) = next_use_of.remove(key) {
            by_next_use.remove(&now);
            hits += 1;
        }
        let Some(next_use) = next_use else { continue };
        next_use_of.insert(*key, next_use);
        by_next_use.insert(next_use, *key);
        if by_next_use.len() > capacity
            && let Some((_, latest)) = by_next_use.pop_last()
        {
            next_use_of.remove(&latest);
        }
    }
    hits
}

/// For each access, the index of the next one of its key.
fn next_uses(trace: &[u64]) -> Vec<Option<usize>> {
    let mut seen = HashMap::new();
    let mut next: Vec<Option<usize>> = trace
        .iter()
        .enumerate()
        .rev()
        .map(|(at, key)| seen.insert(*key, at))
        .collect();
    next.reverse();
    next
}

/// The same by trying every choice: for traces of a dozen accesses.
#[must_use]
pub fn by_brute_force(trace: &[u64], capacity: usize) -> usize {
    most_hits(trace, capacity, &mut Vec::new())
}

fn most_hits(trace: &[u64], capacity: usize, kept: &mut Vec<u64>) -> usize {
    let Some((key, rest)) = trace.split_first() else {
        return 0;
    };
    if kept.contains(key) {
        return 1 + most_hits(rest, capacity, kept);
    }
    // Not kept at all; or kept, instead of each of those that are there once it is full.
    let mut most = most_hits(rest, capacity, kept);
    if kept.len() < capacity {
        kept.push(*key);
        most = most.max(most_hits(rest, capacity, kept));
        kept.pop();
    } else {
        for place in 0..kept.len() {
            let left = std::mem::replace(&mut kept[place], *key);
            most = most.max(most_hits(rest, capacity, kept));
            kept[place] = left;
        }
    }
    most
}
