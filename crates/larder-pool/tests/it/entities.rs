//! What the derive of entities writes: names, ids, accessors, fingerprints.

use std::collections::BTreeSet;

use larder_pool::{Entity, Fingerprint, ToKey};

/// A module with a little of every visibility; what is used outside of it is what is visible.
mod shop {
    use larder_pool::Entity;

    pub mod inner {
        use larder_pool::Entity;

        /// An entity of fields that are seen here, there and everywhere.
        #[derive(Entity)]
        pub struct OrderLine {
            pub(in super::super) id: u64,
            pub(super) amount: u32,
            pub(crate) price: u64,
            secret: u8,
        }

        impl OrderLine {
            pub fn new() -> Self {
                Self {
                    id: 1,
                    amount: 2,
                    price: 3,
                    secret: 4,
                }
            }

            pub fn secret(&self) -> u8 {
                *Self::fields().secret.extract(self)
            }
        }
    }

    pub fn amount(line: &inner::OrderLine) -> u32 {
        *inner::OrderLine::fields().amount.extract(line)
    }

    /// Seen in this module alone, and so are its fields.
    #[derive(Entity)]
    struct Private {
        id: u64,
    }

    pub fn private() -> u64 {
        let fields: PrivateFields = Private::fields();
        *fields.id.extract(&Private { id: 9 })
    }
}

/// Contract: P7 (partial: the struct of the fields and who sees it)
#[test]
fn accessors_are_as_visible_as_their_fields() {
    let line = shop::inner::OrderLine::new();
    let fields: shop::inner::OrderLineFields = shop::inner::OrderLine::fields();
    assert_eq!((fields.id.extract(&line), fields.price.extract(&line)), (&1, &3));
    assert_eq!((shop::amount(&line), line.secret(), shop::private()), (2, 4, 9));
}

/// Contract: P1 (partial: what the derive makes, not when the pool asks)
#[test]
fn an_id_is_the_same_at_every_call() {
    let line = shop::inner::OrderLine::new();
    assert_eq!((line.id(), line.id()), (1, 1));
    let same = [line.id().to_key(), shop::inner::OrderLine::new().id().to_key()];
    assert_eq!(same[0], same[1]);
}

#[derive(Entity)]
struct HTTPRoute {
    #[entity(id)]
    method: String,
    id: u8,
    #[entity(id)]
    path: String,
}

#[derive(Entity)]
#[entity(name = "page/größe")]
struct Page {
    #[entity(skip)]
    id: u64,
    #[entity(column = "page_title")]
    title: String,
    r#type: u8,
}

#[derive(Entity)]
struct Marked {
    #[entity(id)]
    number: u64,
    id: u8,
}

/// Contract: P7
#[test]
fn the_id_is_the_field_id_or_those_that_are_marked() {
    let route = HTTPRoute {
        method: "GET".to_owned(),
        id: 3,
        path: "/a".to_owned(),
    };
    let id: (String, String) = route.id();
    assert_eq!(
        id,
        ("GET".to_owned(), "/a".to_owned()),
        "several are a tuple, in their order"
    );
    assert_eq!(HTTPRoute::fields().id.extract(&route), &3);
    let marked = Marked { number: 5, id: 6 };
    assert_eq!(marked.id(), 5_u64, "the mark decides");
    assert_eq!(*Marked::fields().id.extract(&marked), 6);
    let page = Page {
        id: 7,
        title: "x".to_owned(),
        r#type: 1,
    };
    assert_eq!(page.id(), 7);
}

/// Contract: P4 (partial: all but two types of one name)
#[test]
fn the_name_is_the_given_word_or_the_identifier_in_snake_case() {
    assert_eq!(
        shop::inner::OrderLine::name(),
        "order_line",
        "not where it stands"
    );
    assert_eq!(HTTPRoute::name(), "http_route");
    assert_eq!(Page::name(), "page/größe");
}

/// Contract: P9 (partial: `column`, `skip`)
#[test]
fn fields_are_called_as_they_are_or_said_to_be() {
    // No accessor `id`, since it is skipped; all others are named here.
    let PageFields { title, r#type } = Page::fields();
    assert_eq!((title.name(), title.column()), ("title", "page_title"));
    assert_eq!((r#type.name(), r#type.column()), ("type", "type"));
}

#[derive(Entity)]
#[entity(name = "of")]
struct Of<T: Clone, const N: usize>
where
    T: PartialEq,
{
    id: u64,
    #[entity(watermark)]
    version: u64,
    content: [T; N],
}

#[derive(Entity)]
#[entity(name = "keyed")]
struct Keyed<I> {
    #[entity(id)]
    first: I,
    #[entity(id, tag = "second")]
    second: u8,
}

/// Contract: P7 (partial: type parameters)
#[test]
fn an_entity_with_a_name_may_have_type_parameters() {
    let of = Of {
        id: 3,
        version: 1,
        content: ['a', 'b'],
    };
    assert_eq!(Of::<char, 2>::name(), "of");
    assert_eq!(OfFields::<char, 2>::default().content.extract(&of), &['a', 'b']);
    let copied = Of::<char, 2>::fields();
    let again = copied;
    assert_eq!(copied, again);
    let keyed = Keyed {
        first: "a".to_owned(),
        second: 2,
    };
    assert_eq!(keyed.id(), ("a".to_owned(), 2));
    assert_eq!(*Keyed::<String>::fields().second.extract(&keyed), 2);
}

/// FNV-1a over the texts, each after its length, written from the description of it.
fn fnv(texts: &[&str]) -> u64 {
    let mut hash: u64 = 14_695_981_039_346_656_037;
    for text in texts {
        let length = u64::try_from(text.len()).unwrap().to_le_bytes();
        for byte in length.iter().chain(text.as_bytes()) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(1_099_511_628_211);
        }
    }
    hash
}

macro_rules! fingerprint {
    ($(#[$attribute:meta])* $Name:ident { $($fields:tt)* }) => {{
        #[derive(Entity)]
        $(#[$attribute])*
        struct $Name { $($fields)* }
        $Name::fingerprint()
    }};
}

/// What a macro passes on stands in groups that nobody wrote; they count for nothing.
macro_rules! passed_on {
    ($Name:ident, $name:literal, $number:literal, $Type:ty) => {{
        #[derive(Entity)]
        #[entity(name = $name, fingerprint = $number)]
        struct $Name {
            id: u64,
        }
        #[derive(Entity)]
        #[entity(name = $name)]
        struct Made {
            id: u64,
            mail: $Type,
        }
        ($Name::name(), $Name::fingerprint(), Made::fingerprint())
    }};
}

/// Contract: P9 (partial: from other macros)
#[test]
fn macros_may_write_entities() {
    let by_hand = fingerprint!(User { id: u64, mail: Option<String> });
    assert_eq!(passed_on!(User, "user", 7, Option<String>), ("user", 7, by_hand));
}

/// Contract: P9 (partial: fingerprints)
#[test]
fn a_fingerprint_is_made_of_name_field_names_and_field_types() {
    let user = fingerprint!(User { id: u64, mail: Option<String> });
    assert_eq!(user, fnv(&["user", "id", "u64", "mail", "Option<String>"]));
    assert_eq!(user, 0x149e_fdc2_12e6_6946, "fixed for good");
    // Whatever has no part in the shape changes nothing.
    let same = [
        fingerprint!(User { pub id: u64, #[entity(skip, tag = "x")] mail: Option < String > }),
        fingerprint!(#[entity(name = "user")] Other { id: u64, #[entity(column = "m")] mail: Option<String> }),
    ];
    assert_eq!(same, [user, user]);
    let others = [
        user,
        fingerprint!(Person { id: u64, mail: Option<String> }),
        fingerprint!(User { id: u64, email: Option<String> }),
        fingerprint!(User { id: u32, mail: Option<String> }),
        fingerprint!(User {
            id: u64,
            mail: String
        }),
        fingerprint!(User { mail: Option<String>, id: u64 }),
        fingerprint!(User { id: u64, mail: Option<String>, more: u8 }),
        fingerprint!(User { id: u64 }),
        Of::<u8, 1>::fingerprint(),
        Of::<u8, 2>::fingerprint(),
        Of::<u16, 1>::fingerprint(),
    ];
    assert_eq!(BTreeSet::from(others).len(), others.len());
    assert!(!others.contains(&0), "0 is for what is not checked");
}

/// Contract: P9 (partial: fingerprints by hand)
#[test]
fn a_fingerprint_may_be_given() {
    assert_eq!(
        fingerprint!(
            #[entity(fingerprint = 0)]
            User { id: u64 }
        ),
        0
    );
    assert_eq!(
        fingerprint!(
            #[entity(fingerprint = 7)]
            User { id: u64 }
        ),
        7
    );
    let greatest = fingerprint!(
        #[entity(fingerprint = 0xFFFF_FFFF_FFFF_FFFF_u64)]
        User { id: u64 }
    );
    assert_eq!(greatest, u64::MAX);
}

/// The only text of which FNV-1a is zero is not known to us; that zero is never given is seen at its one place.
#[test]
fn texts_do_not_run_into_each_other() {
    let made = [
        Fingerprint::of("ab").field("c", "d"),
        Fingerprint::of("a").field("bc", "d"),
        Fingerprint::of("a").field("b", "cd"),
        Fingerprint::of("abcd"),
        Fingerprint::of("abc").arguments::<u8>(),
    ];
    let numbers: BTreeSet<u64> = made.iter().map(|made| made.get()).collect();
    assert_eq!(numbers.len(), made.len());
}
