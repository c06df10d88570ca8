//! Rules over Rust files: they say what they are, skip no test, and switch lints off only with a reason.

use crate::tree::Tree;

/// Every file begins with `//!`: what it is, what is always true, what it does not do.
pub(super) fn headers(tree: &Tree, faults: &mut Vec<String>) {
    for (path, text) in tree.below("", ".rs") {
        let words = text.lines().next().and_then(|line| line.strip_prefix("//!"));
        if words.is_none_or(|words| words.trim().is_empty()) {
            faults.push(format!("{path}: it does not begin with `//!` and what it is"));
        }
    }
}

/// A test that is not run proves nothing and says that it does.
pub(super) fn ignored_tests(tree: &Tree, faults: &mut Vec<String>) {
    for (path, number, line) in code(tree) {
        let attribute =
            line.starts_with("#[ignore") || (line.starts_with("#[cfg_attr(") && line.contains("ignore"));
        if attribute {
            faults.push(format!(
                "{path}:{number}: a test is ignored; mend it or remove it"
            ));
        }
    }
}

/// Lints are switched off by `#[expect(…, reason = "…")]`, which complains when it is needed no longer. The one exception is
/// the head of an integration binary, which says once what tests may do.
pub(super) fn lints_switched_off(tree: &Tree, faults: &mut Vec<String>) {
    for (path, number, line) in code(tree) {
        let head_of_tests =
            path.contains("/tests/") && path.ends_with("/main.rs") && line.starts_with("#![allow(");
        if (line.starts_with("#[allow(") || line.starts_with("#![allow(")) && !head_of_tests {
            faults.push(format!(
                "{path}:{number}: a lint is switched off by `allow`, not by `expect` with a reason"
            ));
        }
    }
}

/// The checker of the demo decides by what the database says, and knows nothing of what it judges: no item of the workspace but its own.
pub(super) fn checker_stands_alone(tree: &Tree, faults: &mut Vec<String>) {
    for (path, number, line) in code(tree) {
        if !path.ends_with("demo/checker.rs") || line.starts_with("//") {
            continue;
        }
        if ["larder", "super::super", "crate::", "sqlx"]
            .iter()
            .any(|word| line.contains(word))
        {
            faults.push(format!("{path}:{number}: the checker uses what it judges"));
        }
    }
}

/// Features only add: nothing that others can see is there only while a feature is off, or is another thing then. What is seen within the crate alone may differ.
pub(super) fn features_only_add(tree: &Tree, faults: &mut Vec<String>) {
    for (path, text) in tree
        .below("crates/", ".rs")
        .filter(|(path, _)| path.contains("/src/"))
    {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let mut is_attribute = false;
        for (at, line) in lines.iter().enumerate() {
            if ["#[", "#![", "//"].iter().any(|start| line.starts_with(start)) {
                is_attribute = line.starts_with("#[cfg(");
            }
            let is_absence = ["not(feature", "not(any(feature", "not(all(feature"]
                .iter()
                .any(|word| line.contains(word));
            if !is_attribute || !is_absence {
                continue;
            }
            let mut items = lines.iter().skip(at).filter(|line| !line.starts_with("#["));
            let is_item = |line: &&&str| ITEMS.iter().any(|word| line.starts_with(word));
            let item = items.find(is_item).copied().unwrap_or_default();
            if item.starts_with("pub ") || item.starts_with("impl") {
                let number = at + 1;
                faults.push(format!(
                    "{path}:{number}: a feature takes away what others can see"
                ));
            }
        }
    }
}

/// How the line begins that comes after an item's attributes.
const ITEMS: &[&str] = &[
    "pub",
    "impl",
    "fn",
    "async",
    "const",
    "static",
    "struct",
    "enum",
    "trait",
    "type",
    "mod",
    "use",
    "macro_rules",
    "let",
    "{",
    "return",
    "if",
    "match",
];

/// Every line of every Rust file, without its indentation.
fn code(tree: &Tree) -> impl Iterator<Item = (&str, usize, &str)> {
    tree.below("", ".rs").flat_map(|(path, text)| {
        text.lines()
            .enumerate()
            .map(move |(index, line)| (path, index + 1, line.trim_start()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::said;

    #[test]
    fn a_checker_stands_alone() {
        let tree = Tree::of(&[
            (
                "demo/checker.rs",
                "//! Knows nothing of larder.\nuse std::fmt;\nuse larder::Fence;\nuse crate::shop;\n",
            ),
            ("demo/node.rs", "//! A node.\nuse larder::Fence;\n"),
        ]);
        let expected = [
            "demo/checker.rs:3: the checker uses what it judges",
            "demo/checker.rs:4: the checker uses what it judges",
        ];
        assert_eq!(said(checker_stands_alone, &tree), expected);
    }

    /// An item, or what a type can do, that a feature takes away.
    ///
    /// Contract: S2 (partial: features only add)
    #[test]
    fn a_feature_takes_nothing_away() {
        let tree = Tree::of(&[
            (
                "crates/a/src/lib.rs",
                "//! A.\n#![cfg_attr(not(feature = \"x\"), doc = \"text\")]\npub use b::B;\n",
            ),
            (
                "crates/a/src/b.rs",
                "/// B.\n#[cfg(not(feature = \"x\"))]\n#[derive(Debug)]\npub struct B;\n#[cfg(feature = \"x\")]\npub struct C;\n",
            ),
            (
                "crates/a/src/c.rs",
                "#[cfg(all(\n    unix,\n    not(any(feature = \"x\", feature = \"y\"))\n))]\nimpl Sync for C {}\n",
            ),
            (
                "crates/a/src/d.rs",
                "#[cfg(not(feature = \"x\"))]\npub(crate) fn d() {\n    #[cfg(not(feature = \"y\"))]\n    let e = 1;\n}\npub fn f() {}\n",
            ),
            (
                "crates/a/tests/it/main.rs",
                "#[cfg(not(feature = \"x\"))]\npub fn d() {}\n",
            ),
        ]);
        let expected = [
            "crates/a/src/b.rs:2: a feature takes away what others can see",
            "crates/a/src/c.rs:3: a feature takes away what others can see",
        ];
        assert_eq!(said(features_only_add, &tree), expected);
    }

    #[test]
    fn a_file_says_what_it_is() {
        let tree = Tree::of(&[
            ("a.rs", "//! Words.\n"),
            ("b.rs", "use a;\n"),
            ("c.rs", "//!\n"),
            ("d.rs", ""),
        ]);
        let faults = said(headers, &tree);
        let names: Vec<&str> = faults
            .iter()
            .filter_map(|fault| fault.split(':').next())
            .collect();
        assert_eq!(names, ["b.rs", "c.rs", "d.rs"]);
    }

    #[test]
    fn no_test_is_ignored() {
        let tree = Tree::of(&[
            ("a.rs", "#[test]\n    #[ignore = \"slow\"]\n"),
            ("b.rs", "#[cfg_attr(miri, ignore)]\n"),
        ]);
        let expected = [
            "a.rs:2: a test is ignored; mend it or remove it",
            "b.rs:1: a test is ignored; mend it or remove it",
        ];
        assert_eq!(said(ignored_tests, &tree), expected);
    }

    #[test]
    fn lints_are_expected_not_allowed() {
        let allow = "#![allow(clippy::unwrap_used, reason = \"tests may\")]\n";
        let tree = Tree::of(&[
            ("c/tests/it/main.rs", allow),
            ("c/src/lib.rs", allow),
            ("c/src/a.rs", "    #[allow(x)]\n"),
        ]);
        let faults = said(lints_switched_off, &tree);
        let places: Vec<&str> = faults
            .iter()
            .filter_map(|fault| fault.split(": ").next())
            .collect();
        assert_eq!(places, ["c/src/a.rs:1", "c/src/lib.rs:1"]);
    }
}
