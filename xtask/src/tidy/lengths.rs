//! How long a file may be: 500 lines, with a list of those that were longer, which only shrinks.

use crate::tree::Tree;
use std::collections::BTreeMap;

/// The longest that a file outside the list may be, in lines.
const LINES_MAX: usize = 500;

/// The list: a path and its length in lines, a row a file.
const LIST: &str = "xtask/long-files.txt";

/// A file is at most 500 lines, or exactly as long as the list says; a shorter one is taken off the list or lowered there.
pub(super) fn ratchet(tree: &Tree, faults: &mut Vec<String>) {
    let mut listed = BTreeMap::new();
    let rows = tree.text(LIST).unwrap_or_default().lines().map(str::trim);
    for row in rows.filter(|row| !row.is_empty() && !row.starts_with('#')) {
        match row
            .split_once(' ')
            .and_then(|(path, length)| Some((path, length.trim().parse::<usize>().ok()?)))
        {
            Some((path, length)) => drop(listed.insert(path, length)),
            None => faults.push(format!("{LIST}: `{row}` is no path and length")),
        }
    }
    for (path, text) in tree.below("", ".rs") {
        let length = text.lines().count();
        match listed.remove(path) {
            None if length > LINES_MAX => {
                faults.push(format!(
                    "{path}: {length} lines, at most {LINES_MAX} are allowed; it is probably two ideas"
                ));
            }
            Some(allowed) if length > allowed => {
                faults.push(format!(
                    "{path}: {length} lines, it may only shrink from {allowed}"
                ));
            }
            Some(allowed) if length < allowed => {
                faults.push(format!(
                    "{LIST}: {path} has shrunk from {allowed} to {length} lines, say so"
                ));
            }
            _ => {}
        }
    }
    faults.extend(listed.keys().map(|path| format!("{LIST}: {path} is not there")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::said;

    #[test]
    fn files_only_shrink() {
        let long = |lines: usize| "x\n".repeat(lines);
        let tree = Tree::of(&[
            (
                LIST,
                "# allowed\na.rs 600\nb.rs 600\nc.rs 600\ngone.rs 600\nnonsense\n",
            ),
            ("a.rs", &long(600)),
            ("b.rs", &long(601)),
            ("c.rs", &long(599)),
            ("d.rs", &long(500)),
            ("e.rs", &long(501)),
        ]);
        let expected = [
            "xtask/long-files.txt: `nonsense` is no path and length",
            "b.rs: 601 lines, it may only shrink from 600",
            "xtask/long-files.txt: c.rs has shrunk from 600 to 599 lines, say so",
            "e.rs: 501 lines, at most 500 are allowed; it is probably two ideas",
            "xtask/long-files.txt: gone.rs is not there",
        ];
        assert_eq!(said(ratchet, &tree), expected);
    }
}
