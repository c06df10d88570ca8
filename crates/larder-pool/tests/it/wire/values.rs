//! Types that come back from their bytes, and values that do not fit into a container.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use larder_pool::limits::{EMPTY_ELEMENTS_MAX, ENCODED_BYTES_MAX, ENCODED_DEPTH_MAX};
use larder_pool::{Entity, WireError, decode, encode};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use crate::runs;

/// An entity of one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept<V>(V);

impl<V: Send + Sync + 'static> Entity for Kept<V> {
    type Id = u8;
    type Fields = ();

    fn name() -> &'static str {
        "kept"
    }

    fn id(&self) -> u8 {
        0
    }
}

fn comes_back<V>(value: V)
where
    V: Clone + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let kept = Kept(value);
    let bytes = encode(&kept).unwrap();
    assert_eq!(decode::<Kept<V>>(&bytes), Ok(kept.clone()), "{kept:?}");
    assert_eq!(encode(&kept).unwrap(), bytes, "equal values, equal bytes");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    Newtype(Box<Shape>),
    Tuple(u8, Option<String>),
    Struct { at: (i32, i32), inner: Vec<Shape> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

/// Contract: P109 (partial: encode and decode)
#[test]
fn every_kind_of_value_comes_back() {
    comes_back((u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX, usize::MAX));
    comes_back((i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN, isize::MIN));
    comes_back((f32::MIN_POSITIVE, f64::MAX, true, 'é', '\0', ()));
    comes_back((
        String::new(),
        "ø".to_owned(),
        Box::<str>::from("b"),
        Arc::<str>::from("c"),
    ));
    comes_back((None::<u8>, Some(0_u8), Some(None::<u8>), Some(Some(()))));
    comes_back((
        Arc::new(1),
        Arc::new(Some(Arc::<str>::from("deep"))),
        Ok::<u8, String>(1),
    ));
    comes_back((vec![0_u8; 300], vec![vec!["a".to_owned()], vec![]], [7_u16; 32]));
    comes_back((
        BTreeMap::from([(1, "a".to_owned()), (2, String::new())]),
        BTreeSet::from([3, 4]),
    ));
    comes_back((Duration::MAX, Unit, std::num::NonZeroU8::MIN));
    let inner = vec![
        Shape::Unit,
        Shape::Tuple(1, None),
        Shape::Newtype(Box::new(Shape::Unit)),
    ];
    comes_back(Shape::Struct { at: (-1, 1), inner });
}

fn shapes() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Unit),
        (any::<u8>(), any::<Option<String>>()).prop_map(|(number, text)| Shape::Tuple(number, text)),
    ];
    leaf.prop_recursive(8, 64, 6, |shape| {
        prop_oneof![
            shape.clone().prop_map(|shape| Shape::Newtype(Box::new(shape))),
            (any::<(i32, i32)>(), prop::collection::vec(shape, 0..6))
                .prop_map(|(at, inner)| Shape::Struct { at, inner }),
        ]
    })
}

proptest! {
    #![proptest_config(runs(256))]

    /// Contract: P109 (partial: encode and decode)
    #[test]
    fn whatever_is_drawn_comes_back(
        shape in shapes(),
        texts in prop::collection::vec(any::<Option<String>>(), 0..8),
        map in prop::collection::btree_map(any::<String>(), any::<(i64, bool)>(), 0..8),
    ) {
        comes_back((shape, texts.into_iter().map(|text| text.map(Arc::<str>::from)).collect::<Vec<_>>(), map));
    }
}

/// Contract: P109 (partial: TooLarge)
#[test]
fn the_longest_value_comes_back_and_a_longer_one_is_refused() {
    // A text of more than 2 MiB and less than 256 MiB has four bytes of length before it.
    let longest = Kept("x".repeat(ENCODED_BYTES_MAX - 4));
    let bytes = encode(&longest).unwrap();
    assert_eq!(bytes.len(), 24 + 3 + "kept".len() + ENCODED_BYTES_MAX);
    assert!(decode::<Kept<String>>(&bytes).unwrap() == longest);
    let longer = Kept("x".repeat(ENCODED_BYTES_MAX - 3));
    let refused = encode(&longer).unwrap_err();
    assert!(
        matches!(refused, WireError::TooLarge { max, .. } if max == ENCODED_BYTES_MAX),
        "{refused}"
    );
    let refused = decode::<Kept<String>>(&sealed(longer.0.as_bytes())).unwrap_err();
    assert!(
        matches!(refused, WireError::TooLarge { max, .. } if max == ENCODED_BYTES_MAX),
        "{refused}"
    );
}

/// A container of that text, however long.
fn sealed(text: &[u8]) -> Vec<u8> {
    let mut container = super::Container::of(&[0xfd, 0xff, 0xff, 0x1f]);
    assert_eq!(text.len(), ENCODED_BYTES_MAX - 3, "what stands before it says so");
    container.payload.extend_from_slice(text);
    container.name = b"kept".to_vec();
    container.bytes()
}

/// A type whose name is as long as its parameter says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Named<const BYTES: usize>;

impl<const BYTES: usize> Entity for Named<BYTES> {
    type Id = u8;
    type Fields = ();

    fn name() -> &'static str {
        const LONG: &str = match std::str::from_utf8(&[b'n'; 256]) {
            Ok(name) => name,
            Err(_) => "",
        };
        &LONG[..BYTES]
    }

    fn id(&self) -> u8 {
        0
    }
}

/// Contract: P109 (partial: NameTooLong)
#[test]
fn the_longest_name_comes_back_and_a_longer_one_is_refused() {
    let bytes = encode(&Named::<255>).unwrap();
    assert_eq!(decode::<Named<255>>(&bytes), Ok(Named));
    assert!(matches!(
        decode::<Named<254>>(&bytes),
        Err(WireError::TypeName { .. })
    ));
    let refused = encode(&Named::<256>).unwrap_err();
    let WireError::NameTooLong { bytes, max, .. } = refused else {
        panic!("{refused}")
    };
    assert_eq!((bytes, max), (256, 255));
    assert!(matches!(
        decode::<Named<256>>(&encode(&Named::<255>).unwrap()),
        Err(WireError::TypeName { .. })
    ));
}

/// A value that cannot be written.
#[derive(Debug)]
struct Stubborn;

impl Serialize for Stubborn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A sequence of a length that it does not know, which postcard refuses.
        serializer
            .serialize_seq(None)
            .and_then(serde::ser::SerializeSeq::end)
    }
}

/// Contract: P109 (partial: encode and decode)
#[test]
fn a_value_that_cannot_be_written_is_refused() {
    let refused = encode(&Kept(Stubborn)).unwrap_err();
    assert!(
        matches!(&refused, WireError::Codec { reason, .. } if !reason.is_empty()),
        "{refused}"
    );
}

/// What is written beyond the bounds of reading: documented, and refused with the bound's name.
///
/// Contract: P108 (partial: value containers)
#[test]
fn bounds_are_exact() {
    /// As deep as asked, `Kept` and all.
    fn nested(levels: usize) -> Kept<Shape> {
        let shape = (2..levels).fold(Shape::Unit, |shape, _| Shape::Newtype(Box::new(shape)));
        Kept(shape)
    }
    let read = |levels| decode::<Kept<Shape>>(&encode(&nested(levels)).unwrap());
    assert_eq!(read(ENCODED_DEPTH_MAX), Ok(nested(ENCODED_DEPTH_MAX)));
    let refused = read(ENCODED_DEPTH_MAX + 1).unwrap_err().to_string();
    assert!(refused.contains("nested deeper"), "{refused}");

    let read = |count: usize| decode::<Kept<Vec<()>>>(&encode(&Kept(vec![(); count])).unwrap());
    // Its length takes two bytes.
    assert_eq!(
        read(EMPTY_ELEMENTS_MAX + 2),
        Ok(Kept(vec![(); EMPTY_ELEMENTS_MAX + 2]))
    );
    let refused = read(EMPTY_ELEMENTS_MAX + 3).unwrap_err().to_string();
    assert!(refused.contains("more elements"), "{refused}");
}
