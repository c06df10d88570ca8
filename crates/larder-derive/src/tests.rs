//! What the derives refuse, and at which characters; and where the types stand that the compiler judges.
//!
//! The places are read from the tokens themselves, so no compiler's way of printing has a say. That the compiler points
//! there is shown by the tests of `larder-pool`, which compile the derives as their users do.

// Attributes that are refused.
mod attributes;
// What is written for those that are taken.
mod written;

use expect_test::{Expect, expect};
use proc_macro2::TokenStream;
use syn::{DeriveInput, Error, Path, parse_quote};

use crate::{expand, id};

fn home() -> Result<Path, Error> {
    Ok(parse_quote!(::larder_pool))
}

fn parsed(source: &str) -> DeriveInput {
    syn::parse_str(source).unwrap_or_else(|error| panic!("{error}: {source}"))
}

/// The faults of an entity, each as the line it is in, carets below its place, and its message.
fn refused(source: &str, expected: Expect) {
    shown(source, expand::entity(&parsed(source), home), &expected);
}

/// The same of an id.
fn refused_id(source: &str, expected: Expect) {
    shown(source, id::expand(&parsed(source), home), &expected);
}

fn shown(source: &str, outcome: Result<TokenStream, Error>, expected: &Expect) {
    let error = outcome.err().unwrap_or_else(|| panic!("taken: {source}"));
    let mut shown = String::new();
    for fault in error {
        let (start, end) = (fault.span().start(), fault.span().end());
        assert_eq!(start.line, end.line, "a place in one line: {fault}");
        let line = source.lines().nth(start.line - 1).unwrap_or_default();
        let indent = line.len() - line.trim_start().len();
        let before = " ".repeat(start.column - indent);
        let carets = "^".repeat(end.column - start.column);
        let line = line.trim_start();
        shown += &format!("{line}\n{before}{carets} {fault}\n");
    }
    expected.assert_eq(&shown);
}

/// Contract: P10 (partial: what is no struct with named fields)
#[test]
fn only_structs_with_named_fields_are_entities() {
    refused(
        "pub enum User { A, B }",
        expect![[r#"
        pub enum User { A, B }
            ^^^^ an entity is a struct with named fields, not an enum
    "#]],
    );
    refused(
        "union User { id: u64, other: u32 }",
        expect![[r#"
        union User { id: u64, other: u32 }
        ^^^^^ an entity is a struct with named fields, not a union
    "#]],
    );
    refused(
        "struct User(u64, String);",
        expect![[r#"
        struct User(u64, String);
                   ^^^^^^^^^^^^^ an entity is a struct with named fields, not a tuple struct
    "#]],
    );
    refused(
        "struct User;",
        expect![[r#"
        struct User;
               ^^^^ an entity is a struct with named fields, not a unit struct
    "#]],
    );
    refused(
        "struct User {}",
        expect![[r#"
        struct User {}
               ^^^^ no id: call a field `id`, or mark one or several by `#[entity(id)]`
    "#]],
    );
}

/// Contract: P7 (partial: which parameters there may be), P10 (partial: a lifetime parameter)
#[test]
fn parameters_are_types_of_an_entity_with_a_name() {
    refused(
        "struct User<'a> { id: u64, name: &'a str }",
        expect![[r#"
        struct User<'a> { id: u64, name: &'a str }
                    ^^ an entity has no lifetime parameter: it outlives what it is made from
    "#]],
    );
    refused(
        "struct User<T> { id: u64, of: T }",
        expect![[r#"
        struct User<T> { id: u64, of: T }
                    ^ an entity with type parameters needs a name: `#[entity(name = "…")]`
    "#]],
    );
    refused(
        "struct User<'a, T: Clone, const N: usize> { id: [u8; N], of: &'a T }",
        expect![[r#"
            struct User<'a, T: Clone, const N: usize> { id: [u8; N], of: &'a T }
                        ^^ an entity has no lifetime parameter: it outlives what it is made from
            struct User<'a, T: Clone, const N: usize> { id: [u8; N], of: &'a T }
                            ^^^^^^^^ an entity with type parameters needs a name: `#[entity(name = "…")]`
            struct User<'a, T: Clone, const N: usize> { id: [u8; N], of: &'a T }
                                      ^^^^^^^^^^^^^^ an entity with type parameters needs a name: `#[entity(name = "…")]`
        "#]],
    );
}

/// Contract: P7 (partial: what is no id), P10 (partial: no id)
#[test]
fn an_entity_has_an_id_of_one_to_four_parts() {
    refused(
        "struct User { name: String }",
        expect![[r#"
        struct User { name: String }
               ^^^^ no id: call a field `id`, or mark one or several by `#[entity(id)]`
    "#]],
    );
    refused(
        "struct User {
            #[entity(id)] a: u8, #[entity(id)] b: u8, #[entity(id)] c: u8, #[entity(id)] d: u8,
            #[entity(id)] e: u8, #[entity(id)] f: u8,
        }",
        expect![[r#"
                        #[entity(id)] e: u8, #[entity(id)] f: u8,
                                 ^^ an id has at most 4 parts
        "#]],
    );
}

/// Contract: P4 (partial: what may be a name), P10 (partial: at the name)
#[test]
fn a_name_is_one_of_core() {
    refused(
        "#[entity(name = \"a\\n\")] struct User { id: u64 }",
        expect![[r##"
            #[entity(name = "a\n")] struct User { id: u64 }
                            ^^^^^ a name has no control characters
        "##]],
    );
    refused(
        "struct User { id: u64, #[entity(tag = \"a\\0\")] team: u64 }",
        expect![[r#"
            struct User { id: u64, #[entity(tag = "a\0")] team: u64 }
                                                  ^^^^^ the label of a tag has no control characters
        "#]],
    );
    let at_limit = |bytes: usize| {
        let source = format!(
            "#[entity(name = \"{}\")] struct User {{ id: u64 }}",
            "x".repeat(bytes)
        );
        expand::entity(&parsed(&source), home)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(at_limit(255), Ok(()));
    assert_eq!(at_limit(256), Err("a name has at most 255 bytes".to_owned()));
    let label = |bytes: usize| {
        let source = format!(
            "struct User {{ #[entity(tag = \"{}\")] id: u64 }}",
            "x".repeat(bytes)
        );
        expand::entity(&parsed(&source), home)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(label(511), Ok(()), "with its colon a tag has at most 512 bytes");
    assert_eq!(
        label(512),
        Err("the label of a tag has at most 511 bytes".to_owned())
    );
    let long = format!("struct U{} {{ id: u64 }}", "x".repeat(255));
    assert!(
        expand::entity(&parsed(&long), home).is_err(),
        "an identifier that is too long"
    );
}

/// Whoever mends one fault after the other compiles once for each.
///
/// Contract: P10 (partial: each at its place)
#[test]
fn all_faults_are_told_at_once() {
    refused(
        "#[entity(name = 5, foo)]
         struct User<'a> {
             #[entity(tag)] a: &'a str,
             #[entity(watermark)] b: u8,
             #[entity(watermark)] c: u8,
         }",
        expect![[r##"
            #[entity(name = 5, foo)]
                            ^ `name` takes text: `name = "…"`
            #[entity(name = 5, foo)]
                               ^^^ unknown attribute `foo`: a struct takes `name`, `tags`, `fingerprint`, `crate`
            struct User<'a> {
                        ^^ an entity has no lifetime parameter: it outlives what it is made from
            #[entity(tag)] a: &'a str,
                     ^^^ `tag` takes text: `tag = "…"`
            #[entity(watermark)] c: u8,
                     ^^^^^^^^^ an entity has one watermark: a tuple if it has several parts
            struct User<'a> {
                   ^^^^ no id: call a field `id`, or mark one or several by `#[entity(id)]`
        "##]],
    );
}

/// Contract: P5 (partial: what derives `EntityId`)
#[test]
fn ids_are_newtypes_and_structs_with_named_fields() {
    refused_id(
        "enum Id { A }",
        expect![[r#"
        enum Id { A }
        ^^^^ an id is a newtype or a struct with one to four named fields, not an enum
    "#]],
    );
    refused_id(
        "union Id { a: u8 }",
        expect![[r#"
        union Id { a: u8 }
        ^^^^^ an id is a newtype or a struct with one to four named fields, not a union
    "#]],
    );
    refused_id(
        "struct Id;",
        expect![[r#"
        struct Id;
               ^^ an id is a newtype or a struct with one to four named fields, not a unit struct
    "#]],
    );
    refused_id(
        "struct Id();",
        expect![[r#"
        struct Id();
                 ^^ an id is a newtype or a struct with one to four named fields, not a tuple struct
    "#]],
    );
    refused_id(
        "struct Id {}",
        expect![[r#"
        struct Id {}
               ^^ an id is a newtype or a struct with one to four named fields
    "#]],
    );
    refused_id(
        "struct Id(u8, u8);",
        expect![[r#"
        struct Id(u8, u8);
                 ^^^^^^^^ an id is a newtype or a struct with one to four named fields, not a tuple struct
    "#]],
    );
    refused_id(
        "struct Id { a: u8, b: u8, c: u8, d: u8, e: u8 }",
        expect![[r#"
        struct Id { a: u8, b: u8, c: u8, d: u8, e: u8 }
                                                ^ an id has at most 4 parts
    "#]],
    );
    refused_id(
        "struct Id<'a>(&'a str);",
        expect![[r#"
        struct Id<'a>(&'a str);
                  ^^ an id has no lifetime parameter: it outlives what it is made from
    "#]],
    );
    refused_id(
        "#[entity_id(name = \"x\")] struct Id(u8);",
        expect![[r##"
        #[entity_id(name = "x")] struct Id(u8);
                    ^^^^ unknown attribute `name`: an id takes `crate`
    "##]],
    );
    refused_id(
        "#[entity_id()] struct Id(u8);",
        expect![[r#"
        #[entity_id()] struct Id(u8);
          ^^^^^^^^^^^ empty attribute: write `entity_id(…)`
    "#]],
    );
}
