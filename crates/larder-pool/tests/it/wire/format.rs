//! The bytes: those of the document, and those of the file that is kept from the first version of the format.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_pool::{Entity, decode, encode};
use serde::{Deserialize, Serialize};

use super::{ADA, Container, User, ada};

const DOCUMENT: &str = include_str!("../../../../../docs/formats/pool.md");

/// Contract: P107 (partial: value containers), P109 (partial: encode and decode)
#[test]
fn the_example_of_the_document_is_what_is_written_and_read() {
    let (_, behind) = DOCUMENT.split_once("```hex value\n").unwrap();
    let (digits, _) = behind.split_once("```").unwrap();
    let digits = digits.split_whitespace();
    let golden: Vec<u8> = digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    assert_eq!(encode(&ada()).unwrap(), golden);
    assert_eq!(decode::<User>(&golden).unwrap(), ada());
    assert_eq!(Container::of(ADA).bytes(), golden);
}

/// Contract: P107 (partial: value containers)
#[test]
fn fields_stand_where_the_document_says() {
    let (_, behind) = DOCUMENT.split_once("## Layout").unwrap();
    let rows = behind.split("\n<!--").next().unwrap().lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let offset: usize = cells.next()?.parse().ok()?;
        let bytes: Option<usize> = cells.next()?.parse().ok();
        Some((offset, bytes, cells.next()?))
    });
    let bytes = encode(&ada()).unwrap();
    let (mut end, mut seen) = (0, Vec::new());
    for (offset, length, field) in rows {
        assert_eq!(offset, end, "{field} follows what stands before it");
        let length = length.unwrap_or("user".len());
        let value = bytes.get(offset..offset + length).unwrap();
        let expected: &[u8] = match field {
            "magic" => b"LPOL",
            "version" | "kind" => &[1, 0],
            "fingerprint" => &[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11],
            "length" => &[15, 0, 0, 0],
            // It is checked by whoever reads the frame.
            "checksum" => value,
            "flags" => &[0, 0],
            "name length" => &[4],
            "name" => b"user",
            other => panic!("another field: {other}"),
        };
        assert_eq!(value, expected, "{field}");
        end = offset + length;
        seen.push(field);
    }
    assert_eq!((seen.len(), end + ADA.len()), (9, bytes.len()));
}

/// The kept file. Neither it nor the type is ever changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Fixture {
    id: u64,
    name: String,
    title: Option<Arc<str>>,
    alias: Option<String>,
    balance: i64,
    level: i8,
    active: bool,
    ratio: f64,
    letter: char,
    interests: Vec<String>,
    counts: BTreeMap<String, u32>,
    address: Arc<Address>,
    marks: Vec<Mark>,
    last: Mark,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Address {
    street: Box<str>,
    zip: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Mark {
    Unit,
    Number(u64),
    Pair { left: u32, right: u32 },
}

impl Entity for Fixture {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "fixture"
    }

    fn id(&self) -> u64 {
        self.id
    }

    fn fingerprint() -> u64 {
        0x0123_4567_89ab_cdef
    }
}

/// The file was written by another program, from the document.
///
/// Contract: P107 (partial: value containers), P109 (partial: encode and decode)
#[test]
fn the_file_kept_from_version_1_is_read_and_would_be_written() {
    let kept = include_bytes!("../../fixtures/v1/value.larder");
    let value = Fixture {
        id: 7,
        name: "Ada Løvelace".to_owned(),
        title: Some("countess".into()),
        alias: None,
        balance: -300,
        level: -5,
        active: true,
        ratio: 0.1,
        letter: 'é',
        interests: vec!["math".to_owned(), String::new()],
        counts: [("a".to_owned(), 0), ("b".to_owned(), u32::MAX)].into(),
        address: Arc::new(Address {
            street: "Main St".into(),
            zip: Some(u16::MAX),
        }),
        marks: vec![Mark::Unit, Mark::Number(9)],
        last: Mark::Pair { left: 1, right: 2 },
    };
    assert_eq!(decode::<Fixture>(kept).unwrap(), value);
    assert_eq!(encode(&value).unwrap(), kept);
}
