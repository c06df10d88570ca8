//! The fence beside two caches and a tag index: the benchmarks `fence_check`, `fence_pin`, `fence_invalidate` and
//! `fence_memory` of the outbox's contract, section 19, with its targets.
//!
//! The fence is not a cache. It is what a cache built on it pays beyond itself, so it is held against what a whole operation of
//! a fast cache costs: asking a pin against a hit, pinning against an insert, a pin's bytes against an entry's.
//!
//! Always true: the caches hold every key that is asked for, evict nothing, and run with the settings that their documentation
//! calls fast. Their keys and values are numbers, which flatters them: the fence is given names and hashes them.

mod check;
mod invalidate;
mod memory;
mod pin;

pub use check::check;
pub use invalidate::invalidate;
pub use memory::memory;
pub use pin::pin;

use crate::Outcome;
use larder_core::{Cause, Fence, Pin, Reason, Target};
use quick_cache::DefaultHashBuilder;
use std::error::Error;

/// How many entries there are where many are asked for.
const ENTRIES: u64 = 100_000;

type Quick = quick_cache::sync::Cache<u64, u64>;
type Moka = moka::sync::Cache<u64, u64, DefaultHashBuilder>;

fn fence() -> Result<Fence, Box<dyn Error>> {
    Ok(Fence::builder().build()?)
}

/// The target of one row of a table of users.
fn user(id: u64) -> Result<Target, Box<dyn Error>> {
    Ok(Target::entity("user", id)?)
}

/// A pin for each of `count` users.
fn pinned_users(fence: &Fence, count: u64) -> Result<Vec<Pin>, Box<dyn Error>> {
    let mut pins = Vec::with_capacity(usize::try_from(count)?);
    for id in 0..count {
        pins.push(fence.pin(&[user(id)?])?);
    }
    Ok(pins)
}

fn changed() -> Cause {
    Cause::direct(Reason::new("changed"))
}

/// `quick_cache` with `ENTRIES` entries: its default settings, which are its fast ones, and room for twice as many.
fn quick() -> Quick {
    let cache = Quick::new(usize::try_from(2 * ENTRIES).unwrap_or(usize::MAX));
    for key in 0..ENTRIES {
        cache.insert(key, key);
    }
    cache
}

/// `moka` with `ENTRIES` entries and room for twice as many: no expiry, no listener, and in place of SipHash the fast hash of
/// `quick_cache`, as its documentation advises where keys are trusted.
fn moka() -> Moka {
    let cache = moka::sync::Cache::builder()
        .max_capacity(2 * ENTRIES)
        .initial_capacity(usize::try_from(ENTRIES).unwrap_or(0))
        .build_with_hasher(DefaultHashBuilder::default());
    for key in 0..ENTRIES {
        cache.insert(key, key);
    }
    cache.run_pending_tasks();
    cache
}

/// All numbers below `count` in an order that has no order: the same one in every run.
pub(crate) fn shuffled(count: u64) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..count).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for at in (1..numbers.len()).rev() {
        // Xorshift, after Marsaglia (2003): enough to mix, and the same everywhere.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = state % (at as u64 + 1);
        numbers.swap(at, usize::try_from(other).unwrap_or(0));
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caches_hold_every_key() {
        let (quick, moka) = (quick(), moka());
        for key in 0..ENTRIES {
            assert_eq!((quick.get(&key), moka.get(&key)), (Some(key), Some(key)));
        }
    }

    #[test]
    fn shuffling_loses_nothing_and_leaves_little_in_place() {
        let mut numbers = shuffled(1_000);
        let in_place = numbers
            .iter()
            .zip(0..)
            .filter(|(number, at)| **number == *at)
            .count();
        assert!(in_place < 10, "{in_place} stayed where they were");
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..1_000));
    }
}
