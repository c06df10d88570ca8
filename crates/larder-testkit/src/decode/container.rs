//! Containers of one value from bytes. Framed: the payload, behind a right header.
//!
//! The header is written here from `docs/formats/pool.md`, not by the code that is checked. What decodes must come back from its own
//! encoding and be stored by a pool; of what does not, the pool must have seen nothing.

use std::collections::BTreeMap;

use larder_core::FrameFormat;
use larder_pool::limits::{EMPTY_ELEMENTS_MAX, ENCODED_DEPTH_MAX};
use larder_pool::{Entity, InsertError, Pool, WireError, decode, encode};
use serde::{Deserialize, Serialize};

use super::Decoded;

const NAME: &str = "fuzz_row";
const FINGERPRINT: u64 = 0x6c61_7264_6572_0001;

/// The kinds of things that take memory or depth while they are decoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u64,
    name: String,
    note: Option<Box<str>>,
    words: Vec<String>,
    counts: BTreeMap<u64, u32>,
    empty: Vec<()>,
    tree: Tree,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Many(Vec<Tree>),
    One(Box<Tree>),
}

impl Entity for Row {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        NAME
    }

    fn id(&self) -> u64 {
        self.id
    }

    fn fingerprint() -> u64 {
        FINGERPRINT
    }
}

pub(super) fn check(input: &[u8]) -> Decoded {
    Decoded {
        raw: decodes(input),
        framed: decodes(&framed(input)),
    }
}

/// A container whose payload is `payload`.
fn framed(payload: &[u8]) -> Vec<u8> {
    let name_bytes = u8::try_from(NAME.len()).expect("it is short");
    let body = [&[0, 0, name_bytes], NAME.as_bytes(), payload].concat();
    let format = FrameFormat::new(*b"LPOL", 1, u32::MAX)
        .kind(1)
        .fingerprint(FINGERPRINT);
    let mut bytes = Vec::new();
    format
        .encode(0, &body, &mut bytes)
        .expect("the fuzzer's inputs are short");
    bytes
}

fn decodes(bytes: &[u8]) -> bool {
    let pool = Pool::<Row>::builder().build().expect("every default is allowed");
    let row = match decode::<Row>(bytes) {
        Ok(row) => row,
        Err(error) => {
            let inserted = pool.insert_encoded(bytes).map_err(wire);
            assert_eq!(inserted.err().flatten(), Some(error), "both decode alike");
            let stats = pool.stats();
            assert_eq!(
                (pool.len(), pool.sequence(), stats.inserts),
                (0, 0, 0),
                "nothing was seen of it"
            );
            return false;
        }
    };
    assert!(
        row.empty.len() <= bytes.len() + EMPTY_ELEMENTS_MAX && depth(&row.tree) <= ENCODED_DEPTH_MAX,
        "within bounds"
    );
    let again = encode(&row).expect("what was decoded can be encoded");
    assert!(again.len() <= bytes.len(), "an encoding is the shortest");
    assert_eq!(decode::<Row>(&again).as_ref(), Ok(&row), "and comes back");
    let stored = pool.insert_encoded(bytes).expect("there is room");
    assert_eq!(*stored, row);
    assert_eq!((pool.len(), pool.sequence()), (1, 1));
    true
}

fn wire(error: InsertError<Row>) -> Option<WireError> {
    match error {
        InsertError::Wire(error) => Some(error),
        _ => None,
    }
}

/// The levels of a tree: each enum and each list is one. Without recursion, for it may be deep.
fn depth(tree: &Tree) -> usize {
    let (mut deepest, mut open) = (0, vec![(tree, 1)]);
    while let Some((tree, level)) = open.pop() {
        deepest = deepest.max(level);
        match tree {
            Tree::Leaf => {}
            Tree::Many(trees) => open.extend(trees.iter().map(|tree| (tree, level + 2))),
            Tree::One(tree) => open.push((tree, level + 1)),
        }
    }
    deepest
}
