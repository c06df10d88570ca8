//! What hostile bytes may take: stack and time here, memory in the binary that counts allocations.

use std::collections::{BTreeMap, LinkedList};
use std::thread;

use larder_pool::{Entity, Pool, WireError, decode};
use serde::{Deserialize, Serialize};

use super::Container;

/// Holds itself, has elements without bytes, and counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Trap {
    id: u64,
    nothing: LinkedList<Nothing>,
    map: BTreeMap<(), u64>,
    tree: Tree,
}

/// Takes no bytes, and memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Nothing {
    #[serde(skip)]
    memory: [u64; 16],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Boxed(Box<Tree>),
    Listed(Vec<Tree>),
    Next { next: Option<Box<Tree>> },
}

impl Entity for Trap {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "user"
    }

    fn id(&self) -> u64 {
        self.id
    }
}

/// The refusal of a payload, read on a stack of 512 KiB.
fn refusal(payload: Vec<u8>) -> String {
    let bytes = Container::of(&payload).bytes();
    let read = move || match decode::<Trap>(&bytes) {
        Ok(_) => "none".to_owned(),
        Err(WireError::Codec { reason, .. }) => reason,
        Err(other) => panic!("{other}"),
    };
    let small = thread::Builder::new()
        .stack_size(512 * 1_024)
        .spawn(read)
        .unwrap();
    small.join().expect("no panic, and no end of the stack")
}

const DEEP: usize = 400_000;

/// Contract: P108 (partial: value containers)
#[test]
fn no_payload_takes_more_stack_or_time_than_its_bounds() {
    let greatest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let start = [7, 0, 0];
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("sound", [&start[..], &[0]].concat(), "none"),
        ("boxes", [&start[..], &vec![1; DEEP]].concat(), "nested deeper"),
        (
            "lists",
            [&start[..], &[2, 1].repeat(DEEP)].concat(),
            "nested deeper",
        ),
        (
            "options",
            [&start[..], &[3, 1].repeat(DEEP)].concat(),
            "nested deeper",
        ),
        (
            "elements of nothing",
            [&[7], &greatest[..]].concat(),
            "more elements",
        ),
        ("entries", [&[7, 0], &greatest[..]].concat(), ""),
    ];
    for (name, payload, expected) in cases {
        let found = refusal(payload);
        assert!(
            found.contains(expected) && (found == "none") == (name == "sound"),
            "{name}: {found}"
        );
    }
}

/// Contract: P108 (partial: value containers)
#[test]
fn a_container_that_announces_a_body_and_has_none_is_refused() {
    let mut bytes = Container::of(&[]).bytes();
    bytes
        .get_mut(16..20)
        .unwrap()
        .copy_from_slice(&u32::MAX.to_le_bytes());
    let error = decode::<Trap>(&bytes).unwrap_err();
    let WireError::Length { got, announced, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((got, announced), (7, u64::from(u32::MAX)));
}

/// A type whose `Deserialize` panics.
#[derive(Debug)]
struct Bomb;

impl<'de> Deserialize<'de> for Bomb {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("as planned")
    }
}

impl Entity for Bomb {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "user"
    }

    fn id(&self) -> u64 {
        0
    }
}

/// Contract: P24 (partial: `Deserialize`)
#[test]
fn a_panic_in_deserialize_reaches_the_caller_and_changes_nothing() {
    let pool = Pool::<Bomb>::builder().build().unwrap();
    pool.insert(Bomb).unwrap();
    let before = (pool.sequence(), pool.stats());
    let bytes = Container::of(&[]).bytes();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.insert_encoded(&bytes)));
    let payload = panicked.map(|_| ()).expect_err("a panic");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"as planned"));
    assert_eq!((pool.sequence(), pool.stats()), before);
    pool.insert(Bomb).unwrap();
    assert_eq!(pool.sequence(), before.0 + 1, "it goes on");
}
