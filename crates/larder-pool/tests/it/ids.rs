//! Ids: the same bytes as core and the format page, back again, and no other way.

use std::fmt::Debug;
use std::sync::Arc;

use larder_pool::{EntityId, Key, TargetError, ToKey};
use proptest::prelude::*;

use super::runs;

const FORMATS: &str = include_str!("../../../../docs/formats/outbox.md");

/// The examples of the table of ids in the format page: what kind of value, and its bytes.
fn examples() -> Vec<(&'static str, &'static str)> {
    let (_, table) = FORMATS
        .split_once("| value | bytes | example |\n| --- | --- | --- |\n")
        .expect("the table of ids");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        (cells[0], *cells.last().unwrap())
    })
    .collect()
}

/// A newtype is what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EntityId)]
struct Number(i64);

/// A newtype of a newtype, of a type parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EntityId)]
struct Wrapped<T>(T);

/// A tuple of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EntityId)]
struct Slug {
    text: String,
}

/// A tuple of four; its fields are called like what the derive writes, and `r#type` is a word of the language.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EntityId)]
struct Four {
    out: String,
    key: u8,
    part_0: Wrapped<Number>,
    r#type: Slug,
}

#[track_caller]
fn rendered(id: &impl EntityId, bytes: &[u8]) {
    assert_eq!(id.to_key().unwrap().as_bytes(), bytes);
}

/// Contract: O7 (partial: ids of entities), P5 (partial: the bytes)
#[test]
fn ids_are_the_bytes_of_the_format_page() {
    let examples = examples();
    let mut seen = 0;
    for (value, bytes) in &examples {
        let cell = bytes.trim_matches('`').as_bytes();
        match *value {
            "integer" => rendered(&-7_i64, cell),
            "text, one character" => {
                rendered(&"größe".to_owned(), cell);
                rendered(
                    &Slug {
                        text: "größe".to_owned(),
                    },
                    cell,
                );
            }
            "truth" => rendered(&true, cell),
            #[cfg(feature = "uuid")]
            "uuid" => rendered(&uuid::uuid!("F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6"), cell),
            #[cfg(not(feature = "uuid"))]
            "uuid" => {}
            "bytes" => assert_eq!(cell, b"", "no example"),
            "tuple of 1 to 4" => {
                let (shown, bytes) = bytes.split_once(" is ").unwrap();
                assert_eq!(shown, "`(7, \"a/b\")`");
                rendered(&(7, "a/b".to_owned()), bytes.trim_matches('`').as_bytes());
            }
            other => panic!("no id is compared with the row `{other}`"),
        }
        seen += 1;
    }
    assert_eq!(seen, 6);
}

/// Contract: O7, P5 (partial: the bytes)
#[test]
fn every_type_of_id_is_rendered_as_sql_writes_it() {
    rendered(&u128::MAX, b"340282366920938463463374607431768211455");
    rendered(&i8::MIN, b"-128");
    rendered(&0_usize, b"0");
    rendered(&false, b"false");
    rendered(&'/', b"/");
    rendered(&Box::<str>::from("a%"), b"a%");
    rendered(&Arc::<str>::from(""), b"");
    rendered(&[0_u8, 0xFF, b'/'], b"\0\xFF/");
    rendered(&[0_u8; 0], b"");
    rendered(&(('%', '/'), [0xFF_u8, b'/']), b"%2525%2F%252F/\xFF%2F");
    rendered(&("a/b".to_owned(),), b"a%2Fb");
    rendered(&(1_u8, 2_u16, 3_u32, 4_u64), b"1/2/3/4");
    rendered(&Wrapped(Number(-7)), b"-7");
    rendered(&Wrapped("a/b".to_owned()), b"a/b");
    rendered(
        &Slug {
            text: "a/b".to_owned(),
        },
        b"a%2Fb",
    );
    let four = Four {
        out: "%".to_owned(),
        key: 3,
        part_0: Wrapped(Number(-1)),
        r#type: Slug { text: "/".to_owned() },
    };
    rendered(&four, b"%25/3/-1/%252F");
    #[cfg(feature = "uuid")]
    rendered(
        &(uuid::Uuid::nil(), 'x'),
        b"00000000-0000-0000-0000-000000000000/x",
    );
}

/// Contract: P5 (partial: what is too long)
#[test]
fn an_id_has_at_most_4_096_bytes() {
    assert_eq!("x".repeat(4_096).to_key().unwrap().as_bytes().len(), 4_096);
    let error = |bytes| {
        Err(TargetError::TooLong {
            part: "key",
            bytes,
            max: 4_096,
        })
    };
    assert_eq!("x".repeat(4_097).to_key(), error(4_097));
    // It is the rendering that counts: a slash takes three bytes in a tuple.
    let text = "/".repeat(2_000);
    assert_eq!(Slug { text }.to_key(), error(6_000));
}

/// What an id must keep: it comes back from its bytes, and is written the same by whoever renders its value for SQL.
fn keeps<T: EntityId + Debug>(id: &T, sql: &[u8]) -> Result<(), TestCaseError> {
    let key = id.to_key().unwrap();
    prop_assert_eq!(key.as_bytes(), sql, "rendered");
    let back = T::from_key(&key);
    prop_assert_eq!(back.as_ref(), Some(id), "and back");
    Ok(())
}

/// A part of a tuple, as SQL's `replace(replace(x, '%', '%25'), '/', '%2F')` gives it.
fn part(bytes: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::new();
    for byte in bytes {
        match byte {
            b'%' => escaped.extend(b"%25"),
            b'/' => escaped.extend(b"%2F"),
            other => escaped.push(*other),
        }
    }
    escaped
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = parts.iter().map(|bytes| part(bytes)).collect();
    parts.join(&b'/')
}

/// Text in which the characters that matter are frequent, so that near misses are too.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::collection::vec(prop::sample::select(vec!['/', '%', '2', '5', 'F', 'a', '-', 'ü']), 0..6)
            .prop_map(|characters| characters.into_iter().collect()),
        1 => any::<String>(),
    ]
}

macro_rules! integers_keep {
    ($($Integer:ty)*) => {
        /// Contract: P5 (partial: integers)
        #[test]
        fn integers_come_back() {
            let cases = prop_oneof![any::<i128>(), -200..200_i128, Just(0)];
            let mut runner = proptest::test_runner::TestRunner::new(runs(2_000));
            let check = |wide: i128| {
                $(
                    // Cut to the type, so that every value of it is met, its ends among them.
                    let bytes = wide.to_le_bytes();
                    let (own, _) = bytes.split_at(size_of::<$Integer>());
                    let value = <$Integer>::from_le_bytes(own.try_into().unwrap());
                    for value in [value, <$Integer>::MIN, <$Integer>::MAX] {
                        keeps(&value, value.to_string().as_bytes())?;
                    }
                )*
                Ok(())
            };
            runner.run(&cases, check).unwrap_or_else(|failure| panic!("{failure}"));
        }

        /// Contract: P5 (partial: integers)
        #[test]
        fn no_other_bytes_are_an_integer() {
            let refused = [
                "", "-", "+", "+7", "-0", "00", "007", "-07", "0x7", " 7", "7 ", "7.0", "1e3", "--7", "٧",
                "340282366920938463463374607431768211456", "-170141183460469231731687303715884105729",
            ];
            for bytes in refused {
                let key = Key::new(bytes).unwrap();
                $( assert_eq!(<$Integer>::from_key(&key), None, "{bytes:?} as {}", stringify!($Integer)); )*
            }
            let beyond = Key::new([0xFF]).unwrap();
            $( assert_eq!(<$Integer>::from_key(&beyond), None); )*
        }
    };
}

integers_keep!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

#[track_caller]
fn none<T: EntityId + Debug>(keys: &[&[u8]]) {
    for bytes in keys {
        let key = Key::new(bytes).unwrap();
        assert_eq!(T::from_key(&key), None, "{key}");
    }
}

/// Two keys never mean one id: what is not written like that is not read.
///
/// Contract: P5 (partial: inverse)
#[test]
fn what_no_id_renders_to_is_no_id() {
    none::<i8>(&[b"128", b"-129"]);
    none::<u64>(&[b"-1", b"18446744073709551616"]);
    none::<bool>(&[b"", b"True", b"1", b"true ", b"t"]);
    none::<char>(&[b"", b"ab", b"\xFF", b"\xED\xA0\x80"]);
    none::<String>(&[b"\xFF", b"a\x80"]);
    none::<Box<str>>(&[b"\xFF"]);
    none::<Arc<str>>(&[b"\xFF"]);
    none::<[u8; 2]>(&[b"", b"a", b"abc"]);
    none::<[u8; 0]>(&[b"a"]);
    none::<(u8,)>(&[b"", b"1/", b"1/2"]);
    none::<(u8, u8)>(&[b"", b"1", b"1/2/3", b"/", b"1/", b"1/02", b"1%2F2"]);
    none::<(String,)>(&[b"%", b"%2", b"%2f", b"%41", b"%%", b"a/b", b"%25%"]);
    none::<(String, String)>(&[b"a%2Fb", b"a/%2E"]);
    none::<Slug>(&[b"a/b", b"%2f"]);
    none::<Four>(&[
        b"a/3/-1",
        b"a/3/-1/b/c",
        b"a/256/-1/b",
        b"a/3/-01/b",
        b"a/3/-1/\xFF",
    ]);
    #[cfg(feature = "uuid")]
    none::<uuid::Uuid>(&[
        b"",
        b"F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6",
        b"f81d4fae7dec11d0a76500a0c91e6bf6",
        b"{f81d4fae-7dec-11d0-a765-00a0c91e6bf6}",
        b"urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    ]);
}

/// Whatever bytes come from outside: if they are read as an id, they are the bytes of that id.
fn only_its_own<T: EntityId + Debug>(key: &Key) -> Result<(), TestCaseError> {
    if let Some(id) = T::from_key(key) {
        prop_assert_eq!(&id.to_key().unwrap(), key, "{:?}", id);
    }
    Ok(())
}

/// Different ids, different bytes.
fn apart<T: EntityId + Debug>(one: &T, other: &T) -> Result<(), TestCaseError> {
    prop_assert_eq!(
        one.to_key().unwrap() == other.to_key().unwrap(),
        one == other,
        "{:?} and {:?}",
        one,
        other
    );
    Ok(())
}

proptest! {
    #![proptest_config(runs(4_000))]

    /// Contract: P5 (partial: all but integers)
    #[test]
    fn ids_come_back(a in text(), b in text(), c: char, truth: bool, bytes: [u8; 3], number: i64, wide: u128) {
        let (ab, bb) = (a.as_bytes(), b.as_bytes());
        let mut buffer = [0; 4];
        let cb = c.encode_utf8(&mut buffer).as_bytes();
        let tb: &[u8] = if truth { b"true" } else { b"false" };
        let nb = number.to_string().into_bytes();
        keeps(&a, ab)?;
        keeps(&Box::<str>::from(a.as_str()), ab)?;
        keeps(&Arc::<str>::from(a.as_str()), ab)?;
        keeps(&c, cb)?;
        keeps(&truth, tb)?;
        keeps(&bytes, &bytes)?;
        keeps(&(a.clone(),), &joined(&[ab]))?;
        keeps(&(a.clone(), number), &joined(&[ab, &nb]))?;
        keeps(&(bytes, a.clone(), truth), &joined(&[&bytes, ab, tb]))?;
        keeps(&(c, b.clone(), a.clone(), bytes), &joined(&[cb, bb, ab, &bytes]))?;
        // A tuple within a tuple is a part like any other.
        keeps(&((a.clone(), b.clone()), c), &joined(&[&joined(&[ab, bb]), cb]))?;
        keeps(&Number(number), &nb)?;
        keeps(&Wrapped((a.clone(), c)), &joined(&[ab, cb]))?;
        keeps(&Slug { text: a.clone() }, &joined(&[ab]))?;
        let four = Four {
            out: a.clone(),
            key: bytes[0],
            part_0: Wrapped(Number(number)),
            r#type: Slug { text: b.clone() },
        };
        let kb = bytes[0].to_string().into_bytes();
        keeps(&four, &joined(&[ab, &kb, &nb, &joined(&[bb])]))?;
        #[cfg(feature = "uuid")]
        {
            let hex = format!("{wide:032x}");
            let groups = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            keeps(&uuid::Uuid::from_u128(wide), groups.join("-").as_bytes())?;
        }
        #[cfg(not(feature = "uuid"))]
        let _ = wide;
    }

    /// Contract: P5 (partial: injective)
    #[test]
    fn different_ids_have_different_bytes(a in text(), b in text(), c in text(), d in text()) {
        apart(&(a.clone(),), &(b.clone(),))?;
        apart(&(a.clone(), b.clone()), &(c.clone(), d.clone()))?;
        apart(&((a.clone(), b.clone()), c.clone()), &((a.clone(), c.clone()), b.clone()))?;
        apart(&(a.clone(), b.clone(), c.clone()), &(b.clone(), c.clone(), d.clone()))?;
        apart(&(a.clone(), b.clone(), c.clone(), d.clone()), &(d, c.clone(), b.clone(), a.clone()))?;
        apart(&Slug { text: a.clone() }, &Slug { text: b.clone() })?;
        // The same characters, divided elsewhere.
        let whole = format!("{a}{b}");
        for (at, _) in whole.char_indices() {
            let (left, right) = whole.split_at(at);
            apart(&(a.clone(), b.clone()), &(left.to_owned(), right.to_owned()))?;
        }
    }

    /// Contract: P5 (partial: inverse)
    #[test]
    fn foreign_bytes_are_an_id_or_none(
        bytes in prop_oneof![
            prop::collection::vec(prop::sample::select(b"/%25Ff0179-+ae\0\xFF\xC3\xBC".to_vec()), 0..10),
            prop::collection::vec(any::<u8>(), 0..50),
        ],
    ) {
        let key = Key::new(bytes).unwrap();
        only_its_own::<u8>(&key)?;
        only_its_own::<i64>(&key)?;
        only_its_own::<u128>(&key)?;
        only_its_own::<bool>(&key)?;
        only_its_own::<char>(&key)?;
        only_its_own::<String>(&key)?;
        only_its_own::<[u8; 2]>(&key)?;
        only_its_own::<(String,)>(&key)?;
        only_its_own::<(u8, String)>(&key)?;
        only_its_own::<(String, String, [u8; 1])>(&key)?;
        only_its_own::<(String, (i8, char), String, String)>(&key)?;
        only_its_own::<Four>(&key)?;
        #[cfg(feature = "uuid")]
        only_its_own::<uuid::Uuid>(&key)?;
    }
}
