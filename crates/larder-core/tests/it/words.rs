//! The words against their contracts: golden values, limits, laws.
//!
//! What is compared with is written from the contract and from `docs/formats/outbox.md`, not from the code.

// Every limit at its bounds.
mod limits;
// Names, keys and ids.
mod names;
// Targets: hashes, text, parents.
mod targets;
// Batches, and invalidations as delivered.
mod batches;
// Positions, epochs, sources, points of a copy.
mod positions;
// Cursors against sets.
mod cursors;
// Tokens against sets.
mod tokens;
// The seeds of the fuzz targets, fed to the checks that the fuzzer runs.
mod seeds;

use proptest::test_runner::{Config, RngSeed};

/// What stands in `docs/formats/outbox.md`.
const FORMATS: &str = include_str!("../../../../docs/formats/outbox.md");

/// The rows of the table whose head is `head`, as cells without backticks.
fn table(head: &str) -> Vec<Vec<&'static str>> {
    let rows: Vec<Vec<&str>> = FORMATS
        .lines()
        .skip_while(|line| *line != head)
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().trim_matches('`'))
                .collect()
        })
        .collect();
    assert!(!rows.is_empty(), "docs/formats/outbox.md has no table {head}");
    rows
}

/// Runs of a property: the same draws each time, unless `LARDER_SEED` names others; `LARDER_SEED_FACTOR` makes more.
/// What fails is printed, made as small as can be, so that it needs no seed to be repeated.
fn runs(cases: u32) -> Config {
    let seeds = larder_testkit::seeds(cases.into());
    let seed = *seeds.first().expect("invariant: at least one case");
    let cases = cases.max(seeds.len().try_into().unwrap_or(u32::MAX));
    Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    }
}
