//! The data directory over a disk that loses what was not synced, and its file byte by byte.

use std::path::Path;

use larder_core::{Entropy as _, Storage as _};
use larder_testkit::{Loss, SimEntropy, SimStorage};

use super::node_file::{self, Identity, Unreadable};
use super::{DataDir, LOCK, NODE, NODE_IN_MAKING};
use crate::Error;

fn dir() -> &'static Path {
    Path::new("base/data")
}

fn open(storage: &SimStorage, seed: u64) -> Result<DataDir, Error> {
    DataDir::open(storage, dir(), &SimEntropy::seeded(seed))
}

/// Wherever the machine stops, and whatever of the disk is lost: who was told a name finds it again; nobody finds half of one.
///
/// Contract: S12 (partial: kept in `node`)
#[test]
fn a_name_that_was_told_is_found_again() {
    for seed in 0..20 {
        let storage = SimStorage::seeded(seed);
        storage.record_crash_points();
        let told = open(&storage, seed).expect("a new directory");
        let after = storage.crash_point();
        for point in storage.crash_points() {
            for loss in [Loss::Everything, Loss::Nothing, Loss::Bytes, Loss::Seeded(seed)] {
                let again = open(&point.image(loss), seed + 1_000).expect("nobody finds half of one");
                let is_whole = again.node == told.node && again.key == told.key;
                assert!(
                    is_whole || again.made.node,
                    "seed {seed}, {loss:?} at {}",
                    point.step()
                );
            }
        }
        for loss in [Loss::Everything, Loss::Nothing, Loss::Bytes, Loss::Seeded(seed)] {
            let again = open(&after.image(loss), seed + 1_000).expect("a directory");
            assert_eq!(
                (&again.node, again.key),
                (&told.node, told.key),
                "seed {seed}, {loss:?}"
            );
        }
    }
}

/// One process at a time has it; when that dies, the next one is the same node.
///
/// Contract: S12 (partial: kept in `node`), S7 (partial: one process)
#[test]
fn one_process_has_it() {
    let storage = SimStorage::seeded(1);
    let first = open(&storage, 1).expect("a new directory");
    let other = storage.another_process();
    let refused = open(&other, 2).map(|_| ()).expect_err("it is taken");
    assert!(
        matches!(&refused, Error::Locked { pid: Some(pid), .. } if *pid == storage.process_id()),
        "{refused}"
    );
    assert!(
        refused
            .to_string()
            .contains(&format!("by process {}", storage.process_id()))
    );
    let next = storage.kill();
    let again = open(&next, 3).expect("it died");
    assert_eq!((&again.node, again.key), (&first.node, first.key));
}

/// What is left when a layer does not open is what was there before.
///
/// Contract: S50 (partial: open failed)
#[test]
fn an_opening_that_fails_leaves_nothing() {
    let storage = SimStorage::seeded(1);
    open(&storage, 1).expect("a new directory").undo(&storage);
    assert!(storage.list(dir()).is_err_and(|error| error.is_not_found()));
    storage
        .create_directory(dir())
        .expect("a directory of somebody's own");
    open(&storage, 1).expect("a new node").undo(&storage);
    let left = storage.list(dir()).expect("it was there before");
    assert!(left.is_empty(), "{left:?}");
    let kept = open(&storage, 1).expect("a new node");
    let node = kept.node.clone();
    drop(kept);
    open(&storage, 2).expect("the same").undo(&storage);
    let left: Vec<_> = storage.list(dir()).expect("it was there before");
    let names: Vec<_> = left.iter().map(|entry| entry.name().to_owned()).collect();
    assert_eq!(names, [LOCK, NODE], "nothing of an earlier one goes");
    assert_eq!(open(&storage, 3).expect("the same").node, node);
}

/// What another made, newer or damaged, is refused by name and left as it is; what was left of an earlier attempt is in nobody's way.
///
/// Contract: S12 (partial: damage), S10 (partial: `node`)
#[test]
fn what_cannot_be_read_is_refused_and_left() {
    let storage = SimStorage::seeded(1);
    drop(open(&storage, 1).expect("a new directory"));
    let path = dir().join(NODE);
    let put = |bytes: &[u8]| {
        let file = storage.open(&path).expect("the file");
        file.cut_back(0)
            .and_then(|()| file.write_all_at(0, bytes))
            .expect("a write");
    };
    let identity = Identity::generate(&SimEntropy::seeded(7));
    let whole = node_file::encode(&identity, &SimEntropy::seeded(8));
    let mut newer = whole.clone();
    newer[4] = 2;
    put(&newer);
    let refused = open(&storage, 1).map(|_| ()).expect_err("a newer one");
    assert!(
        matches!(
            &refused,
            Error::NewerFormat {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{refused}"
    );
    for damaged in [
        &whole[..70],
        &[],
        &[0; 300][..],
        b"something else entirely, and long enough to be looked at, it seems to me",
    ] {
        put(damaged);
        let refused = open(&storage, 1).map(|_| ()).expect_err("damage");
        assert!(
            matches!(&refused, Error::Damaged { path: named, .. } if *named == path),
            "{refused}"
        );
    }
    put(&whole);
    let left = storage.create_new(&dir().join(NODE_IN_MAKING)).expect("a file");
    left.write_all_at(0, b"half").expect("a write");
    assert_eq!(open(&storage, 1).expect("it is whole").node, identity.node);
}

const GOLDEN: &[u8] = include_bytes!("../../../tests/fixtures/v1/node");

/// The file that the first version wrote is read for good, and its bytes are as the page says.
///
/// Contract: S12 (partial: the format)
#[test]
fn the_first_version_is_read_for_good() {
    let identity = node_file::decode(GOLDEN).expect("the fixture");
    let expected = Identity {
        node: "node-0123456789abcdef".to_owned(),
        key: *b"0123456789ABCDEF",
    };
    assert_eq!(identity, expected);
}

/// No bytes make the decoder panic; no single changed bit, and no cut, passes for a whole file.
#[test]
fn no_bytes_are_too_strange() {
    for at in 0..GOLDEN.len() {
        assert!(node_file::decode(&GOLDEN[..at]).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut bytes = GOLDEN.to_vec();
            bytes[at] ^= 1 << bit;
            let decoded = node_file::decode(&bytes);
            let is_newer = matches!(decoded, Err(Unreadable::Newer { .. }));
            assert!(
                decoded.is_err() && (!is_newer || matches!(at, 4 | 5 | 68 | 69)),
                "bit {bit} of {at}"
            );
        }
    }
    let entropy = SimEntropy::seeded(3);
    for len in 0..400 {
        let mut bytes = vec![0; len];
        entropy.fill(&mut bytes);
        assert!(node_file::decode(&bytes).is_err());
        let (kept, _) = GOLDEN.split_at(len.min(GOLDEN.len()));
        let joined: Vec<u8> = kept.iter().copied().chain(bytes).collect();
        assert!(len == 0 || node_file::decode(&joined).is_err());
    }
}
