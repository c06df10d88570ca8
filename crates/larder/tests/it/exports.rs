//! What the facade gives on of the parts: everything public of them, by name.

use std::collections::BTreeSet;

const FACADE: &str = include_str!("../../src/lib.rs");
const PARTS: [(&str, &str); 3] = [
    ("larder_core", include_str!("../../../larder-core/src/lib.rs")),
    ("larder_pool", include_str!("../../../larder-pool/src/lib.rs")),
    ("larder_outbox", include_str!("../../../larder-outbox/src/lib.rs")),
];

/// What of core is for those who write parts, and stands in no interface that a user meets: locks and atomics which a model checker can replace.
const FOR_PARTS: [&str; 1] = ["sync"];

/// The names that a `pub use` ends in, with the first word of its path.
fn used(tree: &syn::UseTree, first: Option<&str>, names: &mut Vec<(String, String)>) {
    match tree {
        syn::UseTree::Path(path) => {
            let word = path.ident.to_string();
            used(&path.tree, Some(first.unwrap_or(&word)), names);
        }
        syn::UseTree::Name(name) => names.push((first.unwrap_or("").to_owned(), name.ident.to_string())),
        // Under another name it is there as well.
        syn::UseTree::Rename(name) => names.push((first.unwrap_or("").to_owned(), name.ident.to_string())),
        syn::UseTree::Glob(_) => panic!("a glob gives on what nobody has looked at"),
        syn::UseTree::Group(group) => {
            for tree in &group.items {
                used(tree, first, names);
            }
        }
    }
}

fn is_public(visibility: &syn::Visibility) -> bool {
    matches!(visibility, syn::Visibility::Public(_))
}

fn is_hidden(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let hidden = attribute.parse_args::<syn::Ident>();
        attribute.path().is_ident("doc") && hidden.is_ok_and(|word| word == "hidden")
    })
}

/// What a file gives on: names, with the crate that they come from.
fn given_on(items: &[syn::Item], names: &mut Vec<(String, String)>) {
    for item in items {
        match item {
            syn::Item::Use(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                used(&item.tree, None, names);
            }
            syn::Item::Mod(item) if is_public(&item.vis) => {
                if let Some((_, items)) = &item.content {
                    given_on(items, names);
                }
            }
            _ => {}
        }
    }
}

/// What a part has at its root.
fn root(file: &syn::File) -> BTreeSet<String> {
    let mut names = Vec::new();
    for item in &file.items {
        match item {
            syn::Item::Use(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                used(&item.tree, None, &mut names);
            }
            syn::Item::Mod(item) if is_public(&item.vis) && !is_hidden(&item.attrs) => {
                names.push((String::new(), item.ident.to_string()));
            }
            _ => {}
        }
    }
    names.into_iter().map(|(_, name)| name).collect()
}

/// A user needs no other crate of Larder, and everything is given on by its name.
///
/// Contract: S1 (partial: core, pool and outbox)
#[test]
fn everything_public_of_the_parts_is_given_on_by_name() {
    let mut given = Vec::new();
    given_on(&syn::parse_file(FACADE).unwrap().items, &mut given);
    for (part, text) in PARTS {
        let root = root(&syn::parse_file(text).unwrap());
        assert!(root.len() > 20, "{part}: {root:?}");
        let lacks: Vec<&String> = root
            .iter()
            .filter(|name| !given.iter().any(|(from, given)| from == part && given == *name))
            .filter(|name| part != "larder_core" || !FOR_PARTS.contains(&name.as_str()))
            .collect();
        assert!(lacks.is_empty(), "{part}: {lacks:?}");
    }
}
