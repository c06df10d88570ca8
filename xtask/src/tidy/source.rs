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
