//! The most hits that any policy could have: Belady's optimum, and the search that proves it on small traces.
//!
//! After Belady, "A study of replacement algorithms for a virtual-storage computer" (IBM Systems Journal, 1966). There are two,
//! because some caches refuse a key that they could store: see [`Misses`].

use std::collections::{BTreeMap, HashMap};

/// What a cache does with a key that it did not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misses {
    /// It keeps it, whatever leaves for it: a value just stored is there.
    Kept,
    /// It may keep what it has instead. Never fewer hits than [`Misses::Kept`].
    MayBeRefused,
}

/// The most hits that a cache of `capacity` keys, at least one, can have on `trace`: what is used again latest leaves. O(n
/// log n).
#[must_use]
pub fn optimum(trace: &[u64], capacity: usize, misses: Misses) -> usize {
    let capacity = capacity.max(1);
    // When each key of the cache is used next, and the keys by that time.
    let mut next_use_of: HashMap<u64, usize> = HashMap::new();
    let mut by_next_use: BTreeMap<usize, u64> = BTreeMap::new();
    let mut hits = 0;
    for (key, next_use) in trace.iter().zip(next_uses(trace)) {
        if let Some(now) = next_use_of.remove(key) {
            by_next_use.remove(&now);
            hits += 1;
        }
        // With as many as it may hold, one leaves: either of the others, or of them and the newcomer.
        if by_next_use.len() == capacity
            && let Some(latest) = by_next_use.last_entry()
        {
            if misses == Misses::MayBeRefused && *latest.key() < next_use {
                continue;
            }
            next_use_of.remove(&latest.remove());
        }
        next_use_of.insert(*key, next_use);
        by_next_use.insert(next_use, *key);
    }
    hits
}

/// For each access, the index of the next one of its key; beyond the trace, and different for each, if there is none.
fn next_uses(trace: &[u64]) -> Vec<usize> {
    let mut seen = HashMap::new();
    let mut next: Vec<usize> = trace
        .iter()
        .enumerate()
        .rev()
        .map(|(at, key)| seen.insert(*key, at).unwrap_or(trace.len() + at))
        .collect();
    next.reverse();
    next
}

/// The same by trying every choice: for traces of a dozen accesses.
#[must_use]
pub fn by_brute_force(trace: &[u64], capacity: usize, misses: Misses) -> usize {
    most_hits(trace, capacity.max(1), misses, &mut Vec::new())
}

fn most_hits(trace: &[u64], capacity: usize, misses: Misses, kept: &mut Vec<u64>) -> usize {
    let Some((key, rest)) = trace.split_first() else {
        return 0;
    };
    if kept.contains(key) {
        return 1 + most_hits(rest, capacity, misses, kept);
    }
    if kept.len() < capacity {
        kept.push(*key);
        let most = most_hits(rest, capacity, misses, kept);
        kept.pop();
        return most;
    }
    let mut most = match misses {
        Misses::Kept => 0,
        Misses::MayBeRefused => most_hits(rest, capacity, misses, kept),
    };
    for place in 0..kept.len() {
        let left = std::mem::replace(&mut kept[place], *key);
        most = most.max(most_hits(rest, capacity, misses, kept));
        kept[place] = left;
    }
    most
}
