//! The seeds of the fuzz target, fed to the check that the fuzzer runs.

use std::path::Path;

use larder_testkit::decode::{Check, Tally};

/// Contract: P108 (partial: value containers)
#[test]
#[expect(clippy::print_stdout, reason = "the name is what a failure is found by")]
fn every_seed_keeps_to_its_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/container");
    let (check, tally) = (Check::named("container"), Tally::new());
    let mut seeds: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|seed| seed.unwrap().path())
        .collect();
    seeds.sort();
    for seed in seeds {
        println!("{}", seed.display());
        let decoded = check.run(&std::fs::read(&seed).unwrap());
        let name = seed.file_name().unwrap().to_str().unwrap().to_owned();
        let is_raw = ["plain", "full"].contains(&name.as_str());
        assert_eq!(decoded.raw, is_raw, "{name}");
        tally.count(decoded);
    }
    assert_eq!(tally.raw(), 2, "{tally}");
    assert!(tally.framed() >= 6, "{tally}, so something is never reached");
}
