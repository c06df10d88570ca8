//! Integration tests of `larder-pool`, one binary, a module a topic.
//!
//! What is compared with is written from the contract and from `docs/formats/outbox.md`, not from the code. The tests of
//! ids and watermarks of other libraries run when their features are on, as in a test of the whole workspace.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests may")]

// Ids: the bytes, and the way back.
mod ids;
// What the derive of entities writes.
mod entities;
// Fields, derived and by hand.
mod fields;
// Tags, their bound and their refusals.
mod tags;
// The closed list of watermarks.
mod watermarks;
// What compiles, what does not, and what the compiler says.
mod compiling;
// Random operations against a plain map.
mod model;
// Loads: one flight for each id, and nothing stored that was overtaken.
mod loads;
// How long entries stay and how many: expiry, capacity, eviction.
mod bounds;
// What a pool tells: events, listeners, metrics, stats.
mod watching;
// Operations in memory: what each does, refuses and survives, alone and beside others.
mod memory;
// Pools by their type and without it, and views of what they held.
mod registry;

// Values as bytes.
#[cfg(feature = "serde")]
mod wire;

use proptest::test_runner::{Config, RngSeed};

/// Runs of a property: the same draws each time, unless `LARDER_SEED` names others; `LARDER_SEED_FACTOR` makes more.
/// What fails is printed, made as small as can be, so that it needs no seed to be repeated.
fn runs(cases: u32) -> Config {
    let seeds = larder_testkit::seeds(cases.into());
    let seed = *seeds.first().expect("invariant: at least one case");
    Config {
        cases: cases.max(seeds.len().try_into().unwrap_or(u32::MAX)),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    }
}
