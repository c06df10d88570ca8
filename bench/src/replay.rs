//! Replays a trace through one engine: get, and on a miss put.
//!
//! Always true: each entry weighs one, one thread does it all, and at each [`LOOK_EVERY`]th access the number of residents is
//! held against the capacity. Nothing here knows which engine should win.

mod larder;
mod peers;

use std::fmt;

pub use larder::Larder;
pub use peers::{Moka, QuickCache};

/// How often the residents are counted.
pub const LOOK_EVERY: usize = 1_000;

/// A cache of keys, bounded in entries.
pub trait Engine {
    /// Uses `key`, and stores it if it is absent; says whether it was there.
    fn access(&mut self, key: u64) -> bool;

    /// How many entries it holds, once it has done what it put off.
    fn resident(&mut self) -> usize;
}

/// An engine held more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// After how many accesses.
    pub at: usize,
    /// How many entries it held.
    pub resident: usize,
    /// How many it may hold.
    pub capacity: usize,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            resident,
            capacity,
        } = self;
        write!(
            f,
            "{resident} residents in a capacity of {capacity} after {at} accesses"
        )
    }
}

impl std::error::Error for Exceeded {}

/// How many accesses of `trace` hit.
///
/// # Errors
///
/// If the engine ever holds more than `capacity`.
pub fn hits(engine: &mut dyn Engine, trace: &[u64], capacity: usize) -> Result<usize, Exceeded> {
    let mut hits = 0;
    for (chunk, accesses) in trace.chunks(LOOK_EVERY).enumerate() {
        hits += accesses.iter().filter(|key| engine.access(**key)).count();
        let resident = engine.resident();
        if resident > capacity {
            return Err(Exceeded {
                at: (chunk + 1) * LOOK_EVERY,
                resident,
                capacity,
            });
        }
    }
    Ok(hits)
}

/// The finalizer of SplitMix64: block numbers are no hashes.
fn mixed(key: u64) -> u64 {
    let mut mixed = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Keeper(Vec<u64>);

    impl Engine for Keeper {
        fn access(&mut self, key: u64) -> bool {
            let hit = self.0.contains(&key);
            if !hit {
                self.0.push(key);
            }
            hit
        }

        fn resident(&mut self) -> usize {
            self.0.len()
        }
    }

    #[test]
    fn an_engine_that_keeps_too_much_is_caught() {
        let trace: Vec<u64> = (0..2_500).map(|at| at % 1_500).collect();
        assert_eq!(hits(&mut Keeper(Vec::new()), &trace, 1_500), Ok(1_000));
        let exceeded = Exceeded {
            at: 2_000,
            resident: 1_500,
            capacity: 1_499,
        };
        assert_eq!(hits(&mut Keeper(Vec::new()), &trace, 1_499), Err(exceeded));
    }
}
