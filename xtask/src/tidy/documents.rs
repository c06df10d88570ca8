//! Rules over documents: links lead somewhere, the map names what is there, and each crate has its page.

use crate::tree::Tree;
use std::collections::BTreeSet;

const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// Every relative link leads to a file or folder, and every `#` to a heading.
pub(super) fn links(tree: &Tree, faults: &mut Vec<String>) {
    for (path, text) in tree.below("", ".md") {
        for (number, target) in targets(text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let found = if file.is_empty() {
                Some(path.to_owned())
            } else {
                resolve(path, file)
            };
            let Some(found) = found.filter(|found| tree.has(found)) else {
                faults.push(format!("{path}:{number}: the link to `{target}` leads nowhere"));
                continue;
            };
            let headed = |text: &str| {
                lines_outside_code(text).any(|(_, line)| slug_of_heading(line).as_deref() == Some(anchor))
            };
            if !anchor.is_empty() && !tree.text(&found).is_some_and(headed) {
                faults.push(format!("{path}:{number}: `{found}` has no heading `#{anchor}`"));
            }
        }
    }
}

/// The map names every crate, and every crate, file and folder that it names is there.
pub(super) fn architecture(tree: &Tree, faults: &mut Vec<String>) {
    let Some(text) = tree.text(ARCHITECTURE) else {
        faults.push(format!("{ARCHITECTURE}: it is missing"));
        return;
    };
    let crates = tree.crates();
    let mut named = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | '.');
        for word in line.split(|c| !is_part(c)) {
            let word = word.trim_end_matches('.');
            let is_crate = word == "larder" || (word.starts_with("larder-") && !word.contains(['/', '.']));
            if is_crate && !crates.contains(word) && word != "larder-" {
                faults.push(format!(
                    "{ARCHITECTURE}:{}: there is no crate `{word}`",
                    number + 1
                ));
            }
            if is_crate {
                named.insert(word);
            }
        }
        for quoted in line.split('`').skip(1).step_by(2) {
            let is_path = quoted.chars().all(is_part)
                && (quoted.contains('/') || quoted.ends_with(".md") || quoted.ends_with(".rs"));
            if is_path && !tree.has(quoted) {
                faults.push(format!("{ARCHITECTURE}:{}: there is no `{quoted}`", number + 1));
            }
        }
    }
    faults.extend(
        crates
            .difference(&named)
            .map(|name| format!("{ARCHITECTURE}: crate `{name}` is not named")),
    );
}

/// Some page of the guide names each crate.
pub(super) fn guide(tree: &Tree, faults: &mut Vec<String>) {
    for name in tree.crates() {
        let quoted = format!("`{name}`");
        if !tree
            .below("docs/guide/", ".md")
            .any(|(_, text)| text.contains(&quoted))
        {
            faults.push(format!("docs/guide: no page names {quoted}"));
        }
    }
}

/// What changes is written down before it is released.
pub(super) fn changelog(tree: &Tree, faults: &mut Vec<String>) {
    let text = tree.text("CHANGELOG.md").unwrap_or_default();
    if !text
        .lines()
        .any(|line| matches!(line.trim(), "## [Unreleased]" | "## Unreleased"))
    {
        faults.push("CHANGELOG.md: there is no section `## [Unreleased]`".to_owned());
    }
}

/// The check that others run can be run.
pub(super) fn run_bit(tree: &Tree, faults: &mut Vec<String>) {
    if !tree.is_runnable(".ci/run") {
        faults.push(".ci/run: it has no run bit, or is missing".to_owned());
    }
}

/// The targets of the links of a document, with the numbers of their lines.
fn targets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    lines_outside_code(text).flat_map(|(number, line)| {
        line.match_indices("](").filter_map(move |(at, mark)| {
            let rest = line.get(at + mark.len()..)?;
            Some((number, rest.get(..rest.find(')')?)?.split(' ').next()?))
        })
    })
}

/// The lines that are not in a fenced block of code.
fn lines_outside_code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        (!inside && !fence).then_some((index + 1, line))
    })
}

/// The path that a relative link in `from` means; nothing if it leaves the tree.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchor of a heading as forges make it: lower case, spaces to hyphens, other punctuation dropped.
fn slug_of_heading(line: &str) -> Option<String> {
    let words = line
        .strip_prefix('#')?
        .trim_start_matches('#')
        .strip_prefix(' ')?;
    let kept = words.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    Some(kept.map(|c| if c == ' ' { '-' } else { c }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::said;

    #[test]
    fn links_lead_somewhere() {
        let page = "[a](../README.md) [b](b.md#two-words) [c](https://x.example/y) [d](#here)\n## Here\n```\n[e](none.md)\n```\n";
        let files = [
            ("README.md", ""),
            ("docs/a.md", page),
            ("docs/b.md", "# Two words\n"),
        ];
        assert_eq!(said(links, &Tree::of(&files)), Vec::<String>::new());
        let bad = "[a](none.md) [b](b.md#three)\n[c](../../up.md) [d](#there)\n";
        let files = [("docs/a.md", bad), ("docs/b.md", "# Two words\n")];
        let expected = [
            "docs/a.md:1: the link to `none.md` leads nowhere",
            "docs/a.md:1: `docs/b.md` has no heading `#three`",
            "docs/a.md:2: the link to `../../up.md` leads nowhere",
            "docs/a.md:2: `docs/a.md` has no heading `#there`",
        ];
        assert_eq!(said(links, &Tree::of(&files)), expected);
    }

    #[test]
    fn the_map_and_the_tree_agree() {
        let map = "`larder-core` at `crates/larder-core/src/lib.rs`, larder-gone, `src/none.rs`, `a/b c`\n";
        let files = [
            (ARCHITECTURE, map),
            ("crates/larder-core/Cargo.toml", ""),
            ("crates/larder-core/src/lib.rs", ""),
            ("crates/larder/Cargo.toml", ""),
        ];
        let expected = [
            "ARCHITECTURE.md:1: there is no crate `larder-gone`",
            "ARCHITECTURE.md:1: there is no `src/none.rs`",
            "ARCHITECTURE.md: crate `larder` is not named",
        ];
        assert_eq!(said(architecture, &Tree::of(&files)), expected);
    }

    #[test]
    fn each_crate_has_its_page() {
        let files = [
            ("docs/guide/a.md", "`larder-core`"),
            ("crates/larder-core/Cargo.toml", ""),
            ("crates/larder/Cargo.toml", ""),
        ];
        assert_eq!(
            said(guide, &Tree::of(&files)),
            ["docs/guide: no page names `larder`"]
        );
    }

    #[test]
    fn changes_are_written_down() {
        assert_eq!(
            said(changelog, &Tree::of(&[("CHANGELOG.md", "## [Unreleased]\n")])),
            Vec::<String>::new()
        );
        assert_eq!(
            said(changelog, &Tree::of(&[("CHANGELOG.md", "## 1.0\n")])).len(),
            1
        );
    }

    #[test]
    fn the_check_can_be_run() {
        assert_eq!(said(run_bit, &Tree::of(&[(".ci/run", "")])).len(), 1);
        assert_eq!(
            said(run_bit, &Tree::of(&[(".ci/run", "")]).with_run_bit(".ci/run")),
            Vec::<String>::new()
        );
    }
}
