//! Names, keys and ids: what is refused, and how values become bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_core::limits::{
    COLLECTION_BYTES_MAX, DEPENDENCY_BYTES_MAX, ENTITY_BYTES_MAX, KEY_BYTES_MAX, NAMESPACE_BYTES_MAX,
    NODE_BYTES_MAX, TAG_BYTES_MAX,
};
use larder_core::{
    CollectionName, DependencyName, EntityName, Key, Namespace, Origin, Tag, Target, TargetError, ToKey,
    UuidKey,
};
use proptest::prelude::*;

use super::runs;

type Check = fn(&str) -> Result<(), TargetError>;

/// Every kind of name: what errors call it, its limit, and how to make one.
fn kinds() -> Vec<(&'static str, usize, Check)> {
    vec![
        ("namespace", 255, |name| Namespace::new(name).map(drop)),
        ("entity", 255, |name| EntityName::new(name).map(drop)),
        ("collection", 255, |name| CollectionName::new(name).map(drop)),
        ("tag", 512, |name| Tag::new(name).map(drop)),
        ("dependency", 512, |name| DependencyName::new(name).map(drop)),
        ("node", 128, |name| Origin::new(name, 1).map(drop)),
    ]
}

/// Contract: O11
#[test]
fn names_are_refused_when_empty_too_long_or_with_control_characters() {
    for (part, max, make) in kinds() {
        assert_eq!(make(""), Err(TargetError::Empty { part }));
        assert_eq!(make("x"), Ok(()));
        assert_eq!(make(&"x".repeat(max)), Ok(()), "{part} at its limit");
        let beyond = "x".repeat(max + 1);
        assert_eq!(
            make(&beyond),
            Err(TargetError::TooLong {
                part,
                bytes: max + 1,
                max
            }),
            "{part} beyond it"
        );
        // A limit counts bytes, not characters.
        let wide = "ü".repeat(max / 2 + 1);
        assert_eq!(
            make(&wide),
            Err(TargetError::TooLong {
                part,
                bytes: wide.len(),
                max
            }),
            "{part} in bytes"
        );
        for control in ['\0', '\n', '\u{1f}', '\u{7f}', '\u{80}', '\u{9f}'] {
            assert_eq!(
                make(&format!("a{control}")),
                Err(TargetError::Control { part }),
                "{part} {control:?}"
            );
        }
        for fine in [" ", "/", "%", ":", "日本語", "a.b", "\u{a0}", "🦀"] {
            assert_eq!(make(fine), Ok(()), "{part} {fine:?}");
        }
    }
}

/// Contract: O11
#[test]
fn the_limits_are_those_of_the_contract() {
    let limits: BTreeMap<&str, usize> = kinds().into_iter().map(|(part, max, _)| (part, max)).collect();
    assert_eq!(limits["namespace"], NAMESPACE_BYTES_MAX);
    assert_eq!(limits["entity"], ENTITY_BYTES_MAX);
    assert_eq!(limits["collection"], COLLECTION_BYTES_MAX);
    assert_eq!(limits["tag"], TAG_BYTES_MAX);
    assert_eq!(limits["dependency"], DEPENDENCY_BYTES_MAX);
    assert_eq!(limits["node"], NODE_BYTES_MAX);
    assert_eq!(KEY_BYTES_MAX, 4_096);
}

/// Contract: O6, O11
#[test]
fn a_collection_has_room_for_its_lists() {
    let longest = CollectionName::new("x".repeat(255)).unwrap();
    let lists = longest.lists();
    assert_eq!(lists.as_str(), format!("{longest}.lists"));
    // What is made can be written down and read again, and has a limit too.
    assert_eq!(CollectionName::new(lists.as_str()), Ok(lists.clone()));
    assert_eq!(lists.lists(), lists, "no room for another suffix");
    let beyond = format!("{}.lists", "x".repeat(256));
    let error = TargetError::TooLong {
        part: "collection",
        bytes: 262,
        max: 261,
    };
    assert_eq!(CollectionName::new(beyond), Err(error));
    assert_eq!(
        CollectionName::new("user").unwrap().lists().as_str(),
        "user.lists"
    );
}

/// Contract: O11
#[test]
fn keys_are_any_bytes_and_none_up_to_their_limit() {
    assert_eq!(Key::new([]).unwrap().as_bytes(), b"");
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(Key::new(&all).unwrap().as_bytes(), all);
    assert_eq!(Key::new([0; 4_096]).unwrap().as_bytes().len(), 4_096);
    let beyond = [0; 4_097].as_slice();
    let error = |part| {
        Some(TargetError::TooLong {
            part,
            bytes: 4_097,
            max: 4_096,
        })
    };
    assert_eq!(Key::new(beyond).err(), error("key"));
    assert_eq!(beyond.to_key().err(), error("key"));
    assert_eq!(Target::key("default", beyond).err(), error("key"));
    assert_eq!(
        Target::entity("user", beyond).err(),
        error("id"),
        "the error names the part"
    );
}

/// Contract: O5
#[test]
fn the_namespace_is_default_if_none_is_given() {
    assert_eq!(Namespace::default(), Namespace::new("default").unwrap());
}

fn rendered(value: impl ToKey) -> String {
    String::from_utf8(value.to_key().unwrap().as_bytes().to_vec()).unwrap()
}

/// Contract: O7 (partial: the types that core renders)
#[test]
fn ids_are_the_bytes_that_sql_writes() {
    assert_eq!(rendered(0), "0");
    assert_eq!(rendered(42_u8), "42");
    assert_eq!(rendered(-7_i64), "-7");
    assert_eq!(rendered(i64::MIN), "-9223372036854775808");
    assert_eq!(rendered(u64::MAX), "18446744073709551615");
    assert_eq!(rendered(i128::MIN), "-170141183460469231731687303715884105728");
    assert_eq!(rendered(true), "true");
    assert_eq!(rendered(false), "false");
    assert_eq!(rendered("größe /%"), "größe /%", "text alone is not escaped");
    assert_eq!(rendered('ü'), "ü");
    assert_eq!(rendered(String::from("a")), "a");
    assert_eq!(rendered(Arc::<str>::from("a")), "a");
    assert_eq!(rendered(Box::<str>::from("a")), "a");
    let uuid = [
        0xF8, 0x1D, 0x4F, 0xAE, 0x7D, 0xEC, 0x11, 0xD0, 0xA7, 0x65, 0, 0xA0, 0xC9, 0x1E, 0x6B, 0xF6,
    ];
    assert_eq!(
        rendered(UuidKey::new(uuid)),
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
    );
    assert_eq!(
        uuid.to_key().unwrap().as_bytes(),
        uuid,
        "bare bytes stay as they are"
    );
    assert_eq!(vec![0xFF_u8, 0].to_key().unwrap().as_bytes(), [0xFF, 0]);
    let key = Key::new([1, 2]).unwrap();
    assert_eq!(key.to_key().unwrap(), key);
}

/// Contract: O7 (partial: the types that core renders)
#[test]
fn tuples_are_their_parts_escaped_and_joined() {
    assert_eq!(rendered((7, "a/b")), "7/a%2Fb");
    assert_eq!(rendered(("50%", "")), "50%25/");
    assert_eq!(rendered(("%2F", "/")), "%252F/%2F");
    assert_eq!(rendered(("a/b",)), "a%2Fb");
    assert_eq!(rendered((1, 2, 3, 4)), "1/2/3/4");
    assert_eq!(rendered(((1, "x/y"), 2)), "1%2Fx%252Fy/2");
    assert_eq!(
        rendered((true, 'c', UuidKey::new([0; 16]))),
        "true/c/00000000-0000-0000-0000-000000000000"
    );
    let bytes = (vec![0xFF_u8, b'/'], 1).to_key().unwrap();
    assert_eq!(bytes.as_bytes(), b"\xFF%2F/1");
}

/// Text in which the characters that matter are frequent.
fn tricky() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"/%25Fab\0\xFF".to_vec()), 0..8)
}

/// The parts of a tuple, read back as the contract says that they were written.
fn parts(key: &Key) -> Vec<Vec<u8>> {
    let unescape = |part: &[u8]| {
        let text = part.iter().map(|byte| char::from(*byte)).collect::<String>();
        let text = text.replace("%2F", "/").replace("%25", "%");
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect()
    };
    key.as_bytes().split(|byte| *byte == b'/').map(unescape).collect()
}

proptest! {
    #![proptest_config(runs(2_000))]

    /// Contract: O7 (partial: the types that core renders)
    #[test]
    fn tuples_come_apart_into_what_they_were_made_of(a in tricky(), b in tricky(), c in tricky()) {
        let triple = (a.clone(), b.clone(), c.clone()).to_key().unwrap();
        prop_assert_eq!(parts(&triple), vec![a.clone(), b.clone(), c.clone()]);
        let nested = ((a.clone(), b.clone()), c.clone()).to_key().unwrap();
        let outer = parts(&nested);
        prop_assert_eq!(&outer[1], &c);
        prop_assert_eq!(parts(&Key::new(&outer[0]).unwrap()), vec![a, b]);
    }
}
