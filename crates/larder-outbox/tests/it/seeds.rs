//! The seeds of the fuzz target, fed to the check that the fuzzer runs.

use std::path::Path;

use larder_testkit::decode::{Check, Tally};

/// Whatever the columns of a row hold, it is delivered as what the contract says, and claimed or parked.
///
/// Contract: O56, O88 (partial: rows of any bytes)
#[test]
#[expect(clippy::print_stdout, reason = "the name is what a failure is found by")]
fn every_seed_keeps_to_its_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/row");
    let (check, tally) = (Check::named("row"), Tally::new());
    for seed in std::fs::read_dir(folder).unwrap() {
        let seed = seed.unwrap().path();
        // The name is what a failure is found by.
        println!("{}", seed.display());
        tally.count(check.run(&std::fs::read(&seed).unwrap()));
    }
    assert_eq!((tally.raw(), tally.framed()), (7, 14), "{tally}");
}
