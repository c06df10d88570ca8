//! Every refusal of foreign bytes, in the order in which they are looked for; flips, cuts and additions.

use larder_pool::{Entity, Event, InsertError, Pool, TryRecvError, WireError, decode, encode};
use serde::{Deserialize, Serialize};

use super::{ADA, Container, User, ada};

/// A refusal's name and what it says, as short as a table needs.
fn refusal(error: WireError) -> String {
    match error {
        WireError::TooShort { bytes, needed, .. } => format!("too short: {bytes} of {needed}"),
        WireError::NotOurs { got, .. } => format!("not ours: {}", got.escape_ascii()),
        WireError::Version { got, supported, .. } => format!("version {got}, not {supported}"),
        WireError::UnknownKind { got, .. } => format!("unknown kind {got}"),
        WireError::Kind { got, expected, .. } => format!("kind {got}, not {expected}"),
        WireError::Flags { got, .. } => format!("flags {got:#x}"),
        WireError::TypeName { got, expected, .. } => format!("name {got:?}, not {expected:?}"),
        WireError::Fingerprint { got, expected, .. } => format!("fingerprint {got:#x}, not {expected:#x}"),
        WireError::Length { got, announced, .. } => format!("{got} bytes, not {announced}"),
        WireError::Checksum { got, computed, .. } => format!("checksum equal: {}", got == computed),
        WireError::Codec { .. } => "codec".to_owned(),
        other => panic!("not of this table: {other}"),
    }
}

/// What the container says after a change, as soon as it was made and its checksum set right.
fn changed(change: impl FnOnce(&mut Container)) -> Vec<u8> {
    let mut container = Container::of(ADA);
    change(&mut container);
    container.bytes()
}

type Change = fn(&mut Container);

/// The container with a byte changed after it was made.
fn touched(at: usize, xor: u8) -> Vec<u8> {
    let mut bytes = Container::of(ADA).bytes();
    *bytes.get_mut(at).unwrap() ^= xor;
    bytes
}

fn table() -> Vec<(Vec<u8>, &'static str)> {
    let whole = Container::of(ADA).bytes();
    let cut = |bytes: usize| whole.get(..bytes).unwrap().to_vec();
    vec![
        (Vec::new(), "too short: 0 of 27"),
        (b"LEXA".to_vec(), "too short: 4 of 27"),
        (cut(24), "too short: 24 of 27"),
        (cut(26), "too short: 26 of 27"),
        (changed(|c| c.magic = *b"LEXA"), "not ours: LEXA"),
        (changed(|c| c.version = 2), "version 2, not 1"),
        (changed(|c| c.version = 0), "version 0, not 1"),
        (changed(|c| c.kind = 0), "unknown kind 0"),
        (changed(|c| c.kind = 6), "unknown kind 6"),
        (changed(|c| c.kind = 257), "unknown kind 257"),
        (changed(|c| c.kind = 2), "kind 2, not 1"),
        (changed(|c| c.kind = 5), "kind 5, not 1"),
        (changed(|c| c.flags = 1), "flags 0x1"),
        (changed(|c| c.flags = 0x8000), "flags 0x8000"),
        (cut(30), "too short: 30 of 31"),
        (
            changed(|c| c.name = b"team".to_vec()),
            r#"name "team", not "user""#,
        ),
        (
            changed(|c| c.name = b"users".to_vec()),
            r#"name "users", not "user""#,
        ),
        (changed(|c| c.name.clear()), r#"name "", not "user""#),
        (
            changed(|c| c.name = vec![0xff]),
            "name \"\u{fffd}\", not \"user\"",
        ),
        (
            changed(|c| c.fingerprint = 1),
            "fingerprint 0x1, not 0x1122334455667788",
        ),
        (
            changed(|c| c.fingerprint = 0),
            "fingerprint 0x0, not 0x1122334455667788",
        ),
        (cut(31), "7 bytes, not 15"),
        (cut(38), "14 bytes, not 15"),
        ([whole.clone(), vec![0]].concat(), "16 bytes, not 15"),
        (touched(19, 0xff), "15 bytes, not 4278190095"),
        (touched(20, 1), "checksum equal: false"),
        (touched(38, 1), "checksum equal: false"),
        (changed(|c| c.payload = ADA[..7].to_vec()), "codec"),
        (changed(|c| c.payload.push(0)), "codec"),
        (changed(|c| c.payload[1] = 0xff), "codec"),
        (changed(|c| c.payload[2] = 0xff), "codec"),
        (changed(|c| c.payload[5] = 2), "codec"),
        (changed(|c| c.payload.clear()), "codec"),
    ]
}

/// Contract: P108 (partial: value containers), P15 (partial: encoded values)
#[test]
fn each_refusal_has_its_name_and_changes_nothing() {
    let pool = Pool::<User>::builder().build().unwrap();
    let resident = pool.insert(ada()).unwrap();
    let mut events = pool.events();
    let before = (pool.sequence(), pool.stats(), pool.weight_bytes());
    for (bytes, expected) in table() {
        let error = decode::<User>(&bytes).expect_err(expected);
        assert!(!error.to_string().is_empty());
        let inserted = pool.insert_encoded(&bytes).expect_err(expected);
        let source = std::error::Error::source(&inserted).unwrap();
        assert_eq!(source.to_string(), error.to_string(), "it is the source");
        assert!(format!("{inserted:?}").starts_with("Wire("));
        let InsertError::Wire(same) = inserted else {
            panic!("another refusal: {inserted}")
        };
        assert_eq!(same, error, "both decode alike");
        assert!(
            InsertError::<User>::Wire(same).into_value().is_none(),
            "there is no value"
        );
        assert_eq!(refusal(error), expected);
    }
    assert_eq!((pool.sequence(), pool.stats(), pool.weight_bytes()), before);
    assert_eq!(events.try_recv().err(), Some(TryRecvError::Empty));
    assert!(std::sync::Arc::ptr_eq(&pool.peek(&7).unwrap(), &resident));
    pool.insert_encoded(&Container::of(ADA).bytes()).unwrap();
    assert!(
        matches!(events.try_recv(), Ok(Event::Inserted { .. })),
        "the same events tell of a sound one"
    );
}

/// Contract: P108 (partial: value containers)
#[test]
fn of_several_faults_the_first_is_named() {
    // Each fault alone, in the order of the contract.
    let faults: [(&str, Change); 7] = [
        ("not ours", |c| c.magic = *b"LEXA"),
        ("version", |c| c.version = 2),
        ("unknown kind", |c| c.kind = 9),
        ("flags", |c| c.flags = 3),
        ("name", |c| c.name = b"team".to_vec()),
        ("fingerprint", |c| c.fingerprint = 1),
        ("codec", |c| c.payload.clear()),
    ];
    for (at, (expected, _)) in faults.iter().enumerate() {
        let mut container = Container::of(ADA);
        for (_, change) in faults.iter().skip(at) {
            change(&mut container);
        }
        let sound = container.bytes();
        let mut wrong_length = sound.clone();
        wrong_length.push(0);
        let mut wrong_sum = sound.clone();
        *wrong_sum.get_mut(20).unwrap() ^= 1;
        let mut both = wrong_length.clone();
        *both.get_mut(20).unwrap() ^= 1;
        let is_payload = *expected == "codec";
        let (length, sum) = if is_payload {
            ("8 bytes, not 7", "checksum")
        } else {
            (*expected, *expected)
        };
        for (bytes, expected) in [
            (sound, *expected),
            (wrong_length, length),
            (wrong_sum, sum),
            (both, length),
        ] {
            let found = refusal(decode::<User>(&bytes).unwrap_err());
            assert!(
                found.starts_with(expected),
                "{found} where {expected} comes first"
            );
        }
    }
}

/// Contract: P107 (partial: value containers), P108 (partial: value containers)
#[test]
fn every_flip_cut_and_addition_is_refused() {
    let whole = encode(&ada()).unwrap();
    for at in 0..whole.len() {
        for bit in 0..8 {
            let bytes = touched(at, 1 << bit);
            assert!(decode::<User>(&bytes).is_err(), "bit {bit} of byte {at}");
        }
        let error = decode::<User>(whole.get(..at).unwrap()).unwrap_err();
        let is_cut = matches!(error, WireError::TooShort { .. } | WireError::Length { .. });
        assert!(is_cut, "cut to {at} bytes: {error}");
    }
    for more in 1..64 {
        let bytes = [whole.clone(), vec![0; more]].concat();
        let error = decode::<User>(&bytes).unwrap_err();
        assert!(
            matches!(error, WireError::Length { .. }),
            "{more} bytes more: {error}"
        );
    }
    assert_eq!(decode::<User>(&whole), Ok(ada()));
}

/// A user without a fingerprint.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unchecked {
    id: u64,
    name: String,
    team: Option<u32>,
}

impl Entity for Unchecked {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "user"
    }

    fn id(&self) -> u64 {
        self.id
    }
}

/// Contract: P9 (partial: a fingerprint of 0), P108 (partial: value containers)
#[test]
fn a_type_without_a_fingerprint_takes_any() {
    for fingerprint in [0, 1, u64::MAX] {
        let bytes = changed(|c| c.fingerprint = fingerprint);
        assert_eq!(
            decode::<Unchecked>(&bytes).map(|user| user.name),
            Ok("Ada".to_owned())
        );
    }
}

/// Two fields that take the same bytes in another order: only the fingerprint tells.
mod shapes {
    use larder_pool::Entity;
    use serde::{Deserialize, Serialize};

    pub mod before {
        use super::*;

        #[derive(Debug, Entity, Serialize, Deserialize)]
        pub struct Point {
            pub id: u64,
            pub left: u32,
            pub top: u32,
        }
    }

    pub mod after {
        use super::*;

        #[derive(Debug, Entity, Serialize, Deserialize)]
        pub struct Point {
            pub id: u64,
            pub top: u32,
            pub left: u32,
        }
    }
}

/// Contract: P9 (partial: fingerprints of containers), P108 (partial: value containers)
#[test]
fn a_field_that_moved_is_not_read_as_another() {
    let old = shapes::before::Point {
        id: 1,
        left: 2,
        top: 3,
    };
    let bytes = encode(&old).unwrap();
    let read = decode::<shapes::before::Point>(&bytes).unwrap();
    assert_eq!((read.id, read.left, read.top), (1, 2, 3));
    let error = decode::<shapes::after::Point>(&bytes).unwrap_err();
    assert!(refusal(error).starts_with("fingerprint"));
}
