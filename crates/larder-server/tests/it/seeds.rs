//! The seeds of the fuzz targets of traces, fed to the checks that the fuzzer runs; and the bounds of reading, each met and passed.

use std::io::Read as _;
use std::path::Path;

use larder_server::trace::{Bounds, Format, Trace, Unread, limits};
use larder_testkit::decode::{Check, Tally};

/// Contract: S136 (partial: whatever the bytes)
#[test]
#[expect(clippy::print_stdout, reason = "the name is what a failure is found by")]
fn every_seed_keeps_to_its_check() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    for name in [
        "trace",
        "trace_arc",
        "trace_csv",
        "trace_keys",
        "trace_text",
        "trace_words",
    ] {
        let (check, tally) = (Check::named(name), Tally::new());
        for seed in std::fs::read_dir(seeds.join(name)).unwrap() {
            let path = seed.unwrap().path();
            println!("{}", path.display());
            tally.count(check.run(&std::fs::read(&path).unwrap()));
        }
        assert!(
            tally.raw() > 0 && tally.framed() > 0,
            "{name}: {tally}, so something is never reached"
        );
    }
}

fn refused(read: Result<Trace, Unread>) -> String {
    match read {
        Err(Unread::Damaged(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Contract: S144 (partial: bounds of reading a trace)
#[test]
fn each_bound_is_met_and_passed() {
    let archives = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for name in ["keys.gz", "keys.xz", "keys.zst"] {
        let archive = std::fs::read(archives.join(name)).unwrap();
        // A hundred and fifty lines of two bytes.
        let within = |unpacked_bytes_max| Bounds {
            unpacked_bytes_max,
            ..Bounds::default()
        };
        let read = |bounds| Trace::read(archive.as_slice(), Some(Format::Keys), None, bounds);
        assert_eq!(read(within(300)).unwrap().accesses.len(), 150, "{name}");
        let why = refused(read(within(299)));
        assert!(
            why.contains("more than 299 bytes: unpack it before"),
            "{name}: {why}"
        );
    }
    let line = |len: usize| "k".repeat(len) + "\n";
    let read = |text: String| Trace::read(text.as_bytes(), Some(Format::Keys), None, Bounds::default());
    assert_eq!(read(line(limits::LINE_BYTES_MAX)).unwrap().bad, 0);
    let why = refused(read(line(limits::LINE_BYTES_MAX + 1)));
    assert!(why.starts_with("1 of 1 lines cannot be read"), "{why}");
    let blocks = |count: u64, accesses_max: usize| {
        let bounds = Bounds {
            accesses_max,
            ..Bounds::default()
        };
        let text = format!("7 {count} 0 0\n");
        Trace::read(text.as_bytes(), Some(Format::Arc), None, bounds)
    };
    assert_eq!(blocks(100, 100).unwrap().accesses.len(), 100);
    let why = refused(blocks(101, 100));
    assert!(why.contains("more than 100 accesses"), "{why}");
    let most = limits::BLOCKS_MAX;
    let all = usize::try_from(most).unwrap();
    assert_eq!(blocks(most, all + 1).unwrap().accesses.len(), all);
    assert!(refused(blocks(most + 1, all + 2)).starts_with("1 of 1 lines cannot be read"));
}

/// Several archives one after the other are read to the end; what lies behind them is no part of it.
///
/// Contract: S136 (partial: archives of several parts)
#[test]
fn archives_are_read_to_their_end() {
    let archives = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for name in ["keys.gz", "keys.xz", "keys.zst"] {
        let archive = std::fs::read(archives.join(name)).unwrap();
        let read = |bytes: &[u8]| Trace::read(bytes, Some(Format::Keys), None, Bounds::default());
        let twice = read(&archive.repeat(2)).unwrap();
        assert_eq!(twice.accesses.len(), 300, "{name}");
        let why = refused(read(&[&archive[..], b"more"].concat()));
        assert!(why.contains("cannot be unpacked"), "{name}: {why}");
        // One byte of what was packed is another.
        let mut changed = archive.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 0x10;
        let why = refused(read(&changed));
        assert!(why.contains("cannot be unpacked"), "{name}: {why}");
    }
}

/// What goes on for ever is read as far as was asked for, and no further.
#[test]
fn the_beginning_is_all_that_is_read() {
    let endless = std::io::repeat(b'a').take(1 << 40);
    let read = Trace::read(endless, Some(Format::I64le), Some(1_000), Bounds::default());
    assert_eq!(read.unwrap().accesses.len(), 1_000);
}
