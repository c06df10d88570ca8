//! What is written: the places of types, names, and types as text.

use std::collections::BTreeSet;

use proc_macro2::{LineColumn, Span, TokenStream, TokenTree};
use syn::{Error, Path};

use super::{home, parsed};
use crate::{expand, id, words};

/// Where the tokens of `wanted` first stand one after the other in what is written, and end.
fn place_of(wanted: &str, written: TokenStream) -> Option<(LineColumn, LineColumn)> {
    let mut flat: Vec<(String, Span)> = Vec::new();
    flatten(written, &mut flat);
    let mut of_wanted = Vec::new();
    flatten(wanted.parse().unwrap(), &mut of_wanted);
    let found = flat.windows(of_wanted.len()).find(|window| {
        window
            .iter()
            .map(|(text, _)| text)
            .eq(of_wanted.iter().map(|(text, _)| text))
    })?;
    // The type begins after `type`, its name and `=`.
    let (first, last) = (found.get(3)?, found.last()?);
    Some((first.1.start(), last.1.end()))
}

fn flatten(tokens: TokenStream, flat: &mut Vec<(String, Span)>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                flat.push(("open".to_owned(), group.span_open()));
                flatten(group.stream(), flat);
                flat.push(("close".to_owned(), group.span_close()));
            }
            other => flat.push((other.to_string(), other.span())),
        }
    }
}

/// A type that does not fit is told by the compiler, at the type that is written there.
///
/// Contract: P10 (partial: where an unfit watermark is told)
#[test]
fn the_compiler_is_shown_the_types_of_the_fields() {
    let source =
        "struct User {\n    #[entity(id)] number: Number,\n    #[entity(watermark)] at: Duration,\n}";
    let written = expand::entity(&parsed(source), home).unwrap();
    let at = |line, column| LineColumn { line, column };
    let place = place_of("type Watermark = Duration", written.clone());
    assert_eq!(place, Some((at(3, 29), at(3, 37))));
    let place = place_of("type Id = Number", written);
    assert_eq!(place, Some((at(2, 26), at(2, 32))));
}

/// An entity that asks for all that there is.
const EVERYTHING: &str = "#[entity(crate = \"my::pool\", name = \"all\", tags = \"more\")] pub struct All<T> {
    #[entity(id)] a: T, #[entity(id, tag = \"t\")] b: T, #[entity(watermark, column = \"d\")] c: T, #[entity(skip)] e: T,
}";

/// Whoever says where the pool is, is not asked again.
fn nowhere() -> Result<Path, Error> {
    panic!("the type says where the pool is")
}

/// The words that follow `my::pool::`.
fn items(written: TokenStream) -> BTreeSet<String> {
    let mut flat = Vec::new();
    flatten(written, &mut flat);
    let texts: Vec<&str> = flat.iter().map(|(text, _)| text.as_str()).collect();
    let home = ["my", ":", ":", "pool", ":", ":"];
    let after = texts
        .windows(home.len() + 1)
        .filter(|window| window.starts_with(&home));
    after
        .filter_map(|window| window.last())
        .map(|item| (*item).to_owned())
        .collect()
}

/// All of them are public, and none is undocumented, since that is denied.
///
/// Contract: P9 (partial: `crate`), P10 (partial: public documented items)
#[test]
fn what_is_written_names_public_items_of_the_pool_alone() {
    let entity = expand::entity(&parsed(EVERYTHING), nowhere).unwrap();
    let named = [
        "Entity",
        "EntityId",
        "Field",
        "Fingerprint",
        "MaybeSend",
        "MaybeSync",
        "TagSet",
        "TagValue",
        "Watermark",
        "Watermarked",
    ];
    assert_eq!(items(entity), named.map(str::to_owned).into());
    let own = "#[entity_id(crate = \"my::pool\")] struct Id<T> { a: T, b: u8 }";
    let written = id::expand(&parsed(own), nowhere).unwrap();
    assert_eq!(
        items(written),
        ["EntityId", "Key", "ToKey"].map(str::to_owned).into()
    );
    let public = include_str!("../../../larder-pool/src/lib.rs");
    let exported: BTreeSet<&str> = public
        .split(';')
        .filter_map(|item| item.split_once("\npub use ")?.1.split_once("::"))
        .flat_map(|(_, names)| names.split(|c: char| !(c.is_alphanumeric() || c == '_')))
        .collect();
    for item in named.iter().chain(&["Key", "ToKey"]) {
        assert!(exported.contains(item), "{item} is exported at the root");
    }
}

/// Contract: P4 (partial: the default)
#[test]
fn the_default_name_is_in_snake_case() {
    let cases = [
        ("User", "user"),
        ("UserAccount", "user_account"),
        ("HTTPServer", "http_server"),
        ("HttpServer2", "http_server2"),
        ("Utf8Text", "utf8_text"),
        ("A", "a"),
        ("AB", "ab"),
        ("ABc", "a_bc"),
        ("user_account", "user_account"),
        ("User_Account", "user_account"),
        ("ÜberGröße", "über_größe"),
    ];
    for (identifier, name) in cases {
        assert_eq!(words::snake(identifier), name);
    }
}

/// The text of a type is the same from every compiler, and however it is set.
///
/// Contract: P9 (partial: how types are written into fingerprints)
#[test]
fn types_are_written_without_what_nobody_sees() {
    let cases = [
        ("u64", "u64"),
        ("Option < String >", "Option<String>"),
        ("&'static\n  str", "&'static str"),
        ("& 'static mut [ u8 ; 4 ]", "&'static mut[u8;4]"),
        ("dyn Fn ( u8 ) -> bool + Send", "dyn Fn(u8)->bool+Send"),
        ("r#type::Of<'a>", "type::Of<'a>"),
    ];
    for (source, text) in cases {
        assert_eq!(words::written(source.parse().unwrap()), text, "{source}");
    }
}
