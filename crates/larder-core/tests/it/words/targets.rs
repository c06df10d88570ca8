//! Targets: hashes, text, parents.

use std::collections::{BTreeSet, HashSet};

use larder_core::{
    CollectionName, DependencyName, EntityName, Key, Namespace, PrivateCode, Tag, Target, TargetError,
    TargetHash,
};
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use super::{runs, table};

fn target(text: &str) -> Target {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// One target of each kind.
fn one_of_each() -> [Target; 8] {
    let code = PrivateCode::new(128).unwrap();
    [
        Target::key("ns", "k").unwrap(),
        Target::tag("ns", "x").unwrap(),
        Target::dependency("ns", "x").unwrap(),
        Target::entity("user", 42).unwrap(),
        Target::collection("user").unwrap(),
        Target::namespace("ns").unwrap(),
        Target::Everything,
        Target::private(code, "ns", "p").unwrap(),
    ]
}

/// Contract: O1
#[test]
fn every_kind_has_its_word_its_code_and_its_name() {
    let described: Vec<_> = one_of_each()
        .iter()
        .map(|target| (target.kind(), target.code(), target.name().map(<[u8]>::to_vec)))
        .collect();
    let expected: [(&str, u8, Option<&[u8]>); 8] = [
        ("key", 1, Some(b"k")),
        ("tag", 2, Some(b"x")),
        ("dependency", 3, Some(b"x")),
        ("entity", 4, Some(b"42")),
        ("collection", 5, Some(b"user")),
        ("namespace", 6, Some(b"ns")),
        ("everything", 7, None),
        ("private", 128, Some(b"p")),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(kind, code, name)| (kind, code, name.map(<[u8]>::to_vec)))
        .collect();
    assert_eq!(described, expected);
    for row in table("| code | kind | parts | parent |") {
        let Ok(code) = row[0].parse::<u8>() else { continue };
        let kind = expected
            .iter()
            .find(|(_, of, _)| *of == code)
            .map(|(kind, _, _)| *kind);
        assert_eq!(kind, Some(row[1]), "docs/formats/outbox.md");
    }
}

/// Contract: O1
#[test]
fn private_codes_are_128_to_255() {
    assert_eq!(PrivateCode::new(127), Err(TargetError::PrivateCode { code: 127 }));
    assert_eq!(PrivateCode::new(128).map(PrivateCode::get), Ok(128));
    assert_eq!(PrivateCode::new(255).map(PrivateCode::get), Ok(255));
    assert!(
        one_of_each()
            .iter()
            .all(|target| target.is_private() == (target.code() >= 128))
    );
}

/// Contract: O3
#[test]
fn hashes_are_those_in_the_format_page() {
    for row in table("| target | hash |") {
        assert_eq!(target(row[0]).hash().to_string(), row[1], "{}", row[0]);
    }
    for row in table("| bytes | hash |") {
        let key = vec![b'x'; row[0].parse().unwrap()];
        assert_eq!(
            Target::key("default", key).unwrap().hash().to_string(),
            row[1],
            "{} bytes",
            row[0]
        );
    }
    for row in table("| code | namespace | name | hash |") {
        let code = PrivateCode::new(row[0].parse().unwrap()).unwrap();
        assert_eq!(
            Target::private(code, row[1], row[2]).unwrap().hash().to_string(),
            row[3],
            "{row:?}"
        );
    }
}

/// Contract: O3
#[test]
fn a_hash_is_sixteen_bytes_and_32_digits() {
    let hash = Target::entity("user", 42).unwrap().hash();
    assert_eq!(TargetHash::from_bytes(*hash.as_bytes()), hash);
    let digits: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash.to_string(), digits);
    assert_eq!(TargetHash::from_bytes([0; 16]).to_string(), "0".repeat(32));
    assert_eq!(Target::Everything.hash(), TargetHash::EVERYTHING);
}

/// Contract: O4
#[test]
fn text_is_printed_and_read_back() {
    let texts = [
        "entity:user/42",
        "entity:user/",
        "collection:user",
        "collection:user.lists",
        "tag:ns/x",
        "tag:ns/team:7 ",
        "dependency:ns/x",
        "key:ns/k",
        "key:ns/",
        "key:ns/%00%FF%2F%25ü",
        "key:ns/%C2%85",
        "key:a%2Fb/c",
        "namespace:ns",
        "everything",
    ];
    for text in texts {
        assert_eq!(target(text).to_string(), text);
    }
    assert_eq!(target("blob:ns/k"), Target::key("ns", "k").unwrap());
    assert_eq!(
        target("key:ns/%6b%2f"),
        Target::key("ns", "k/").unwrap(),
        "any escape, either case"
    );
    assert_eq!(one_of_each()[7].to_string(), "private:128/ns/p");
}

/// Contract: O4, O11
#[test]
fn text_that_is_no_target_is_refused_by_name() {
    let refused = |text: &str| text.parse::<Target>().expect_err(text);
    for text in [
        "",
        "user/42",
        "users:1",
        "Everything",
        "everything:",
        "entity",
        ":",
        "key/ns:k",
    ] {
        assert_eq!(refused(text), TargetError::UnknownKind, "{text}");
    }
    for text in [
        "entity:user",
        "tag:x",
        "key:ns/a/b",
        "dependency:ns/a/b",
        "collection:a/b",
        "namespace:a/b",
    ] {
        let kind = text.split(':').next().unwrap();
        assert!(
            matches!(refused(text), TargetError::Form { kind: of, .. } if of == kind),
            "{text}"
        );
    }
    for (text, part) in [
        ("key:ns/%", "key"),
        ("entity:user/%4", "id"),
        ("tag:%zz/x", "namespace"),
        ("tag:n/a\n", "tag"),
    ] {
        assert_eq!(refused(text), TargetError::Escape { part }, "{text}");
    }
    assert_eq!(refused("tag:ns/%FF"), TargetError::NotUtf8 { part: "tag" });
    assert_eq!(refused("tag:ns/%0A"), TargetError::Control { part: "tag" });
    assert_eq!(refused("tag:/x"), TargetError::Empty { part: "namespace" });
    assert_eq!(refused("collection:"), TargetError::Empty { part: "collection" });
    assert_eq!(
        refused("dependency:ns/"),
        TargetError::Empty { part: "dependency" }
    );
    let long = format!("entity:user/{}", "x".repeat(4_097));
    assert_eq!(
        refused(&long),
        TargetError::TooLong {
            part: "id",
            bytes: 4_097,
            max: 4_096
        }
    );
    assert_eq!(refused("private:128/ns/p"), TargetError::Private);
}

/// Contract: O5
#[test]
fn entities_and_collections_belong_to_no_namespace() {
    let [key, tag, dependency, entity, collection, ..] = one_of_each();
    let under_a_namespace = |target: &Target| {
        target.lineage().iter().any(|hash| {
            ["ns", "default"]
                .map(|ns| Target::namespace(ns).unwrap().hash())
                .contains(hash)
        })
    };
    assert!([key, tag, dependency].iter().all(under_a_namespace));
    assert!(![entity, collection].iter().any(under_a_namespace));
    assert_ne!(
        Target::tag("a", "x").unwrap().hash(),
        Target::tag("b", "x").unwrap().hash()
    );
}

/// Contract: O6
#[test]
fn parents_lead_up_to_everything() {
    let parents = |target: &Target| target.parent().map(|parent| parent.to_string());
    let expected = [
        Some("namespace:ns"),
        Some("namespace:ns"),
        Some("namespace:ns"),
        Some("collection:user"),
        Some("everything"),
        Some("everything"),
        None,
        Some("namespace:ns"),
    ];
    let found: Vec<_> = one_of_each().iter().map(parents).collect();
    assert_eq!(found, expected.map(|parent| parent.map(String::from)));
    let lists = Target::collection("user.lists").unwrap();
    assert_eq!(
        lists.parent(),
        Some(Target::Everything),
        "lists are not under the collection"
    );
}

/// The bytes that are hashed, as the contract says.
fn preimage(target: &Target) -> Vec<u8> {
    let code;
    let parts: Vec<&[u8]> = match target {
        Target::Key { namespace, key } => vec![b"key", namespace.as_bytes(), key.as_bytes()],
        Target::Tag { namespace, tag } => vec![b"tag", namespace.as_bytes(), tag.as_bytes()],
        Target::Dependency { namespace, name } => vec![b"dependency", namespace.as_bytes(), name.as_bytes()],
        Target::Entity { entity, id } => vec![b"entity", entity.as_bytes(), id.as_bytes()],
        Target::Collection { name } => vec![b"collection", name.as_bytes()],
        Target::Namespace { namespace } => vec![b"namespace", namespace.as_bytes()],
        Target::Everything => vec![b"everything"],
        Target::Private {
            code: of,
            namespace,
            name,
        } => {
            code = [of.get()];
            vec![b"private", &code, namespace.as_bytes(), name.as_bytes()]
        }
        other => panic!("{other} is new here"),
    };
    let mut bytes = Vec::new();
    for part in [b"larder-target-v1".as_slice()].into_iter().chain(parts) {
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// The same characters, divided between the parts in every way and given to every kind.
///
/// Contract: O3
#[test]
fn no_way_to_divide_characters_makes_targets_meet() {
    let characters = "tag:a/b%2F c//d:: %";
    let code = |number| PrivateCode::new(number).unwrap();
    let mut hashes = BTreeSet::new();
    let mut count = 0;
    for (at, _) in characters.char_indices().skip(1) {
        let (first, last) = characters.split_at(at);
        let targets = [
            Target::key(first, last).unwrap(),
            Target::tag(first, last).unwrap(),
            Target::dependency(first, last).unwrap(),
            Target::entity(first, last).unwrap(),
            Target::key(first, "").unwrap(),
            Target::entity(first, "").unwrap(),
            Target::collection(first).unwrap(),
            Target::namespace(first).unwrap(),
            Target::private(code(128), first, last).unwrap(),
            Target::private(code(129), first, last).unwrap(),
        ];
        count += targets.len();
        hashes.extend(targets.iter().map(Target::hash));
    }
    assert_eq!(hashes.len(), count);
}

/// Names of few characters, delimiters among them, so that near misses are frequent.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ab/%: .]{1,3}",
        2 => "[\u{20}-\u{7e}üé日]{1,80}",
        1 => "\\PC{100,200}".prop_map(|long| long.chars().take(60).collect()),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        4 => "[ab/%: .]{0,3}".prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(any::<u8>(), 180..300),
    ]
    .prop_map(|bytes| Key::new(bytes).unwrap())
}

fn any_target() -> impl Strategy<Value = Target> {
    let private = (128_u8.., name(), key());
    let namespace = || name().prop_map(|name| Namespace::new(name).unwrap());
    prop_oneof![
        (namespace(), key()).prop_map(|(namespace, key)| Target::Key { namespace, key }),
        (namespace(), name()).prop_map(|(namespace, tag)| Target::Tag {
            namespace,
            tag: Tag::new(tag).unwrap()
        }),
        (namespace(), name()).prop_map(|(namespace, name)| Target::Dependency {
            namespace,
            name: DependencyName::new(name).unwrap()
        }),
        (name(), key()).prop_map(|(entity, id)| Target::Entity {
            entity: EntityName::new(entity).unwrap(),
            id
        }),
        name().prop_map(|name| Target::Collection {
            name: CollectionName::new(name).unwrap()
        }),
        namespace().prop_map(|namespace| Target::Namespace { namespace }),
        Just(Target::Everything),
        private.prop_map(|(code, namespace, name)| {
            Target::private(PrivateCode::new(code).unwrap(), namespace, name).unwrap()
        }),
    ]
}

proptest! {
    #![proptest_config(runs(500))]

    /// Contract: O4
    #[test]
    fn every_target_comes_back_from_its_text(target in any_target()) {
        let text = target.to_string();
        prop_assert!(!text.chars().any(char::is_control));
        let read = text.parse::<Target>();
        if target.is_private() {
            prop_assert_eq!(read, Err(TargetError::Private));
        } else {
            prop_assert_eq!(read, Ok(target));
        }
    }

    /// Contract: O3
    #[test]
    fn a_hash_is_that_of_the_parts_with_their_lengths(target in any_target()) {
        let expected = xxh3_128(&preimage(&target));
        prop_assert_eq!(target.hash().to_string(), format!("{expected:032x}"));
    }

    /// Contract: O3
    #[test]
    fn different_targets_do_not_meet(targets in prop::collection::vec(any_target(), 2..40)) {
        let distinct: HashSet<&Target> = targets.iter().collect();
        let hashes: BTreeSet<TargetHash> = targets.iter().map(Target::hash).collect();
        let texts: BTreeSet<String> = targets.iter().map(Target::to_string).collect();
        prop_assert_eq!(hashes.len(), distinct.len());
        prop_assert_eq!(texts.len(), distinct.len());
    }

    /// Contract: O6
    #[test]
    fn a_lineage_is_the_target_and_its_parents(target in any_target()) {
        let up = std::iter::successors(Some(target.clone()), Target::parent);
        let hashes: Vec<TargetHash> = up.map(|target| target.hash()).collect();
        prop_assert_eq!(&*target.lineage(), hashes.as_slice());
        prop_assert_eq!(hashes.last(), Some(&TargetHash::EVERYTHING));
    }
}
