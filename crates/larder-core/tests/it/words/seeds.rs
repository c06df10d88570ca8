//! The seeds of the fuzz targets, fed to the checks that the fuzzer runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use larder_testkit::decode::{CHECKS, Check, OF_PARTS, Tally};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// What is in a folder of `fuzz/`, ascending.
fn entries(folder: &str) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(fuzz().join(folder)).unwrap_or_else(|error| panic!("fuzz/{folder}: {error}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn stems(folder: &str) -> BTreeSet<String> {
    entries(folder)
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// Contract: O4, O14, O62
#[test]
fn every_seed_keeps_to_its_check() {
    for check in CHECKS {
        let tally = Tally::new();
        for seed in entries(&format!("seeds/{}", check.name())) {
            // The name is what a failure is found by.
            println!("{}", seed.display());
            tally.count(check.run(&std::fs::read(&seed).unwrap()));
        }
        assert!(
            tally.raw() > 0 && tally.framed() > 0,
            "{}: {tally}, so something is never reached",
            check.name()
        );
    }
}

#[test]
fn every_fuzz_target_has_a_check_and_seeds() {
    for check in CHECKS {
        assert_eq!(Check::named(check.name()).name(), check.name());
    }
    // Those of the parts need not be built here; the part's own tests replay their seeds.
    let names = CHECKS.iter().map(Check::name).chain(OF_PARTS.iter().copied());
    let checks: BTreeSet<String> = names.map(str::to_owned).collect();
    assert_eq!(stems("fuzz_targets"), checks, "fuzz/fuzz_targets");
    assert_eq!(stems("seeds"), checks, "fuzz/seeds");
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for check in checks {
        assert!(
            manifest.contains(&format!("name = \"{check}\"")),
            "{check} has no [[bin]] in fuzz/Cargo.toml"
        );
    }
}
