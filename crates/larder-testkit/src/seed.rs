//! Seeds for tests: [`for_each_seed`] runs a check over many, and [`Random`] is what a check draws from one.
//!
//! Always true: the same seed gives the same draws, on every machine and in every version of this file; a check that
//! fails names its seed on standard error, and `LARDER_SEED=<seed>` runs that one alone. No source of real randomness is
//! ever used, so a suite that was green stays green until the code changes.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The variable that names the only seed to run, in decimal or, after `0x`, in hexadecimal.
pub const SEED_VARIABLE: &str = "LARDER_SEED";

/// The variable that multiplies the number of seeds, for long runs.
pub const FACTOR_VARIABLE: &str = "LARDER_SEED_FACTOR";

/// Runs `check` with each of `count` fixed seeds, or with the one in [`SEED_VARIABLE`] alone.
///
/// # Panics
///
/// As `check` does, after it has said on standard error which seed it was. Also if a variable is set and is no number.
pub fn for_each_seed(count: u64, mut check: impl FnMut(u64)) {
    for seed in seeds(count) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
            announce(seed);
            resume_unwind(panic);
        }
    }
}

/// The seeds that [`for_each_seed`] runs.
#[must_use]
pub fn seeds(count: u64) -> Vec<u64> {
    if let Some(seed) = variable(SEED_VARIABLE) {
        return vec![seed];
    }
    (0..count.saturating_mul(variable(FACTOR_VARIABLE).unwrap_or(1))).collect()
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let Ok(number) = parsed else {
        panic!("{name}={text} is not a number")
    };
    Some(number)
}

#[expect(clippy::print_stderr, reason = "this is how a failing test tells its seed")]
fn announce(seed: u64) {
    eprintln!("failed with seed {seed}; run it alone with {SEED_VARIABLE}={seed}");
}

/// A deterministic generator: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
///
/// Good enough to choose what a test does, and fixed for good: a recorded seed must replay years later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The generator of this seed. Neighbouring seeds give unrelated draws.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; the bias is below `bound / 2^64`.
    ///
    /// # Panics
    ///
    /// If `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below zero");
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("invariant: the product is below bound * 2^64")
    }

    /// An index into something of that length.
    ///
    /// # Panics
    ///
    /// If `len` is zero.
    pub fn index(&mut self, len: usize) -> usize {
        let bound = u64::try_from(len).expect("invariant: lengths fit 64 bits");
        usize::try_from(self.below(bound)).expect("invariant: below a usize")
    }

    /// True in `of_thousand` of a thousand cases.
    pub fn chance(&mut self, of_thousand: u32) -> bool {
        self.below(1000) < u64::from(of_thousand)
    }

    /// Fills `bytes` with random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            for (byte, random) in chunk.iter_mut().zip(self.next_u64().to_le_bytes()) {
                *byte = random;
            }
        }
    }

    /// A generator of its own for a part of a test, so that what one part draws does not change what others get.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::seeded(self.next_u64())
    }
}
