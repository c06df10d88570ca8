//! Fields: `Copy` for all types, made in constants, and as good by hand as derived.

use std::collections::HashSet;

use larder_pool::{Entity, Field};

/// Neither `Clone` nor `Copy`, nor anything else.
struct Plain;

/// An entity whose fields are nothing special either.
#[derive(Entity)]
struct Parcel {
    id: u64,
    content: Plain,
    sender: Sender,
}

struct Sender {
    city: Option<String>,
}

/// A path, made in a constant.
const CITY: Field<Parcel, Option<String>> =
    Field::new("sender.city", |parcel: &Parcel| &parcel.sender.city).with_column("sender_city");

/// What has no size can be led to.
const NAME: Field<Parcel, str> = Field::new("name", |_| "parcel");

fn parcel() -> Parcel {
    Parcel {
        id: 7,
        content: Plain,
        sender: Sender {
            city: Some("Lyon".to_owned()),
        },
    }
}

fn twice<T: Copy>(value: T) -> (T, T) {
    (value, value)
}

/// Contract: P6
#[test]
fn a_field_is_copy_whatever_it_leads_to() {
    let parcel = parcel();
    let (one, other) = twice(Parcel::fields().content);
    assert!(std::ptr::eq(one.extract(&parcel), other.extract(&parcel)));
    assert!(std::ptr::eq(one.extract(&parcel), &raw const parcel.content));
    let (city, _) = twice(CITY);
    assert_eq!(city.extract(&parcel).as_deref(), Some("Lyon"));
    assert_eq!((CITY.name(), CITY.column()), ("sender.city", "sender_city"));
    assert_eq!((NAME.extract(&parcel), NAME.column()), ("parcel", "name"));
}

/// Contract: P6
#[test]
fn the_default_of_the_fields_is_the_fields() {
    let (default, fields) = (ParcelFields::default(), Parcel::fields());
    assert_eq!(default, fields);
    let parcel = parcel();
    assert_eq!(default.id.extract(&parcel), &7);
    assert!(std::ptr::eq(
        default.id.extract(&parcel),
        fields.id.extract(&parcel)
    ));
    assert!(std::ptr::eq(
        default.sender.extract(&parcel),
        fields.sender.extract(&parcel)
    ));
    assert_eq!((default.id.name(), default.sender.name()), ("id", "sender"));
    let shown = "ParcelFields { id: Field(\"id\"), content: Field(\"content\"), sender: Field(\"sender\") }";
    assert_eq!(format!("{fields:?}"), shown);
}

/// Contract: P6 (partial: entities by hand)
#[test]
fn an_entity_by_hand_has_fields_like_any_other() {
    struct Hand {
        id: u64,
    }
    struct HandFields {
        id: Field<Hand, u64>,
    }
    impl Default for HandFields {
        fn default() -> Self {
            Self {
                id: Field::new("id", |hand| &hand.id),
            }
        }
    }
    impl Entity for Hand {
        type Id = u64;
        type Fields = HandFields;
        fn name() -> &'static str {
            "hand"
        }
        fn id(&self) -> u64 {
            self.id
        }
    }
    let hand = Hand { id: 3 };
    assert_eq!(Hand::fields().id.extract(&hand), &hand.id());
    assert_eq!(Hand::fields().id, HandFields::default().id);
    assert_eq!(Hand::fingerprint(), 0, "unchecked");
}

/// Fields are told apart by their names.
#[test]
fn fields_of_one_name_are_one_field() {
    let other: Field<Parcel, u64> = Field::new("other", |parcel| &parcel.id);
    assert_ne!(Parcel::fields().id, other);
    let set: HashSet<_> = [Parcel::fields().id, other, Parcel::fields().id].into();
    assert_eq!(set.len(), 2);
}
