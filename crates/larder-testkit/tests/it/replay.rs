//! Replays the seed files of the fuzz targets through the same checks.

use std::path::Path;

use larder_testkit::decode::frame::frame;
use larder_testkit::{Random, for_each_seed};

/// The seed files of a target: name and bytes, sorted by name.
fn seed_files(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                std::fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort_unstable();
    files
}

/// Each file under `fuzz/seeds/frame` reaches what its name says: how many frames it gives is known.
#[test]
fn frames() {
    let found: Vec<_> = seed_files("frame")
        .into_iter()
        .map(|(name, bytes)| format!("{name} {}", frame(&bytes)))
        .collect();
    expect_test::expect![[r#"
        empty 2
        file-header 5
        frame-in-a-body 7
        half-a-header 2
        length-past-end 4
        length-past-maximum 4
        newer-version 4
        other-fingerprint 4
        other-kind 4
        other-magic 4
        sequence 9
        sequence-damaged 8
        sequence-torn 8
        sound 7
        sound-empty-body 7
        sound-then-rest 7
        wrong-checksum 6"#]]
    .assert_eq(&found.join("\n"));
}

/// A few thousand mutations of each seed file, which is what a fuzzer would begin with.
#[test]
fn mutated_frames() {
    let files = seed_files("frame");
    for_each_seed(2_000, |seed| {
        let mut random = Random::seeded(seed);
        let mut bytes = files[random.index(files.len())].1.clone();
        for _ in 0..=random.index(3) {
            match random.below(4) {
                0 if !bytes.is_empty() => bytes.truncate(random.index(bytes.len())),
                1 => bytes.extend_from_slice(&files[random.index(files.len())].1),
                _ if !bytes.is_empty() => {
                    let at = random.index(bytes.len());
                    bytes[at] ^= 1 << random.index(8);
                }
                _ => bytes.push(0),
            }
        }
        let _ = frame(&bytes);
    });
}
