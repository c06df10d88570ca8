//! Simulated clock and storage, models and checkers for the tests of Larder.

pub mod decode;
