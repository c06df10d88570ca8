//! Simulated clock and storage, models and checkers for the tests of Larder.
//!
//! It stands on the parts, so only their `tests/` use it; nothing that ships does.

mod clock;
pub mod decode;
mod entropy;
mod seed;

pub use clock::SimClock;
pub use entropy::SimEntropy;
pub use seed::{FACTOR_VARIABLE, Random, SEED_VARIABLE, for_each_seed, seeds};
