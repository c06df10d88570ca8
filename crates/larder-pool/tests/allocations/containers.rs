//! What bytes from elsewhere ask the allocator for when they are decoded: never more than in proportion to their length.

use std::collections::{BTreeMap, HashMap, LinkedList};

use larder_core::FrameFormat;
use larder_pool::limits::EMPTY_ELEMENTS_MAX;
use larder_pool::{Entity, decode, encode};
use serde::{Deserialize, Serialize};

use super::bytes_of;

#[derive(Serialize, Deserialize)]
struct Greedy {
    id: u64,
    numbers: Vec<u64>,
    map: HashMap<u64, [u64; 8]>,
    nothing: LinkedList<Nothing>,
    sorted: BTreeMap<String, Box<str>>,
    tree: Tree,
}

/// Takes no bytes, and memory.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Nothing {
    #[serde(skip)]
    #[expect(dead_code, reason = "it only takes room")]
    memory: [u64; 8],
}

#[derive(Serialize, Deserialize)]
enum Tree {
    Leaf,
    Listed(Vec<Tree>),
}

impl Entity for Greedy {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "greedy"
    }

    fn id(&self) -> u64 {
        self.id
    }
}

/// The most bytes of memory that an element of the types above takes: an entry of the hash map, of which twice as many as
/// hinted may be made room for, and which may grow by doubling.
const ELEMENT_BYTES: u64 = 4 * (8 + 8 * 8 + 1);

fn container(payload: &[u8]) -> Vec<u8> {
    let body = [&[0, 0, 6], &b"greedy"[..], payload].concat();
    let mut bytes = Vec::new();
    let format = FrameFormat::new(*b"LPOL", 1, u32::MAX).kind(1);
    format.encode(0, &body, &mut bytes).unwrap();
    bytes
}

/// Contract: P108 (partial: value containers)
#[test]
fn hostile_bytes_ask_for_memory_in_proportion_to_their_length() {
    let greatest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let four_billion = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let full = vec![0x7f; 64 * 1_024];
    // Sixteen thousand elements are announced at each level.
    let lists = [&[7, 0, 0, 0, 0][..], &[1, 0xff, 0x7f].repeat(20_000)].concat();
    let payloads: [(&str, Vec<u8>); 8] = [
        ("numbers", [&[7], &greatest[..]].concat()),
        ("numbers, four billion", [&[7], &four_billion[..]].concat()),
        (
            "numbers, as many as bytes",
            [&[7, 0xff, 0xff, 0x03], &full[..]].concat(),
        ),
        ("map", [&[7, 0], &greatest[..], &full].concat()),
        ("nothing", [&[7, 0, 0], &greatest[..]].concat()),
        ("sorted", [&[7, 0, 0, 0], &greatest[..], &full].concat()),
        ("text", [&[7, 0, 0, 0, 1], &four_billion[..]].concat()),
        ("lists", lists),
    ];
    for (name, payload) in payloads {
        let bytes = container(&payload);
        let allowed = (u64::try_from(payload.len() + EMPTY_ELEMENTS_MAX).unwrap() + 64) * ELEMENT_BYTES;
        let (asked, read) = bytes_of(|| decode::<Greedy>(&bytes));
        assert!(asked <= allowed, "{name}: {asked} bytes, of {allowed}");
        assert!(read.is_err(), "{name}");
    }
}

/// Contract: P108 (partial: value containers)
#[test]
fn a_header_that_is_refused_asks_for_next_to_nothing() {
    let greedy = Greedy {
        id: 7,
        numbers: vec![1; 10_000],
        map: HashMap::new(),
        nothing: LinkedList::new(),
        sorted: BTreeMap::new(),
        tree: Tree::Leaf,
    };
    let sound = encode(&greedy).unwrap();
    assert_eq!(decode::<Greedy>(&sound).unwrap().numbers, greedy.numbers);
    // Byte by byte of the header, the name included.
    for at in 0..33 {
        let mut bytes = sound.clone();
        *bytes.get_mut(at).unwrap() ^= 1;
        let (asked, read) = bytes_of(|| decode::<Greedy>(&bytes));
        // A type without a fingerprint has the checksum say it.
        assert!(read.is_err() && asked <= 64, "byte {at}: {asked} bytes");
    }
}
