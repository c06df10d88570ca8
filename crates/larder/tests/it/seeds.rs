//! The seeds of the fuzz target of the file `node`, fed to the check that the fuzzer runs.

use std::path::Path;

use larder_testkit::decode::{Check, Tally};

/// Contract: S12 (partial: whatever the bytes)
#[test]
fn every_seed_keeps_to_its_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/node_file");
    let (check, tally) = (Check::named("node_file"), Tally::new());
    for seed in std::fs::read_dir(folder).unwrap() {
        tally.count(check.run(&std::fs::read(seed.unwrap().path()).unwrap()));
    }
    assert!(
        tally.raw() > 0 && tally.framed() > 0,
        "{tally}, so something is never reached"
    );
}
