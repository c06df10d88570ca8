//! Citations: the clauses that a test proves, named in its doc comment.
//!
//! `/// Contract: O3, F4` stands above a test; `O12 (partial: reason)` says that only a part of the clause is proved. A test
//! cites at most three clauses. This reads citations from the tests of the crates and of the chores; it runs nothing.

use crate::contract::ClauseId;
use crate::tree::Tree;

/// How many clauses one test may cite. A test that proves more proves none of them well.
pub(crate) const CITED_MAX: usize = 3;

const WORD: &str = "/// Contract:";

/// One clause, cited by one test.
pub(crate) struct Citation {
    pub(crate) id: ClauseId,
    /// The file, from the root.
    pub(crate) path: String,
    pub(crate) function: String,
    /// Why the test covers a part of the clause only.
    pub(crate) partial: Option<String>,
}

/// All citations in `crates/` and `xtask/`. What is malformed, stands above no test, or is one too many is a fault.
pub(crate) fn citations(tree: &Tree, faults: &mut Vec<String>) -> Vec<Citation> {
    let mut found = Vec::new();
    for (path, text) in ["crates/", "xtask/"]
        .iter()
        .flat_map(|folder| tree.below(folder, ".rs"))
    {
        citations_of(path, text, &mut found, faults);
    }
    found
}

fn citations_of(path: &str, text: &str, found: &mut Vec<Citation>, faults: &mut Vec<String>) {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut last: Option<(usize, usize)> = None;
    for (number, line) in lines.iter().enumerate() {
        let Some(list) = line.strip_prefix(WORD) else {
            continue;
        };
        let place = format!("{path}:{}", number + 1);
        let Some((at, function)) = function_below(&lines, number) else {
            faults.push(format!("{place}: the citation stands above no function"));
            continue;
        };
        if !is_test(&lines, number, at) {
            faults.push(format!("{place}: `{function}` cites a clause but is no test"));
            continue;
        }
        let cited = split_outside_brackets(list);
        let before = last
            .filter(|(function_at, _)| *function_at == at)
            .map_or(0, |(_, count)| count);
        let count = before + cited.len();
        last = Some((at, count));
        if count > CITED_MAX {
            faults.push(format!(
                "{place}: `{function}` cites {count} clauses, at most {CITED_MAX} are allowed"
            ));
        }
        for item in cited {
            match parse_item(item) {
                Some((id, partial)) => found.push(Citation {
                    id,
                    path: path.to_owned(),
                    function: function.to_owned(),
                    partial: partial.map(str::to_owned),
                }),
                None => faults.push(format!("{place}: `{}` is no citation", item.trim())),
            }
        }
    }
}

/// The function that the doc comment at `from` belongs to: only comments, attributes and their continuations may lie between.
fn function_below<'a>(lines: &[&'a str], from: usize) -> Option<(usize, &'a str)> {
    let mut inside_attribute = false;
    for (at, line) in lines.iter().enumerate().skip(from + 1) {
        if inside_attribute || line.starts_with("#[") {
            inside_attribute = !line.ends_with(']');
        } else if let Some(name) = function_name(line) {
            return Some((at, name));
        } else if !line.starts_with("//") {
            return None;
        }
    }
    None
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line;
    for word in ["pub ", "pub(crate) ", "const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    let end = name
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(name.len());
    (end > 0).then(|| &name[..end])
}

/// Whether an attribute around the citation makes the function a test: `#[test]`, `#[tokio::test]`, `#[sqlx::test(…)]`.
fn is_test(lines: &[&str], from: usize, function: usize) -> bool {
    let above = lines[..from]
        .iter()
        .rev()
        .take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    let below = lines[from..function].iter();
    above.chain(below).any(|line| {
        let path = line
            .strip_prefix("#[")
            .and_then(|rest| rest.split(['(', ']']).next());
        path.is_some_and(|path| path == "test" || path.ends_with("::test"))
    })
}

fn split_outside_brackets(list: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    list.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .collect()
}

fn parse_item(item: &str) -> Option<(ClauseId, Option<&str>)> {
    let item = item.trim();
    let Some((id, rest)) = item.split_once(' ') else {
        return Some((ClauseId::parse(item)?, None));
    };
    let reason = rest.trim().strip_prefix("(partial:")?.strip_suffix(')')?.trim();
    if reason.is_empty() {
        None
    } else {
        Some((ClauseId::parse(id)?, Some(reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let tree = Tree::of(&[("crates/a/tests/it/x.rs", text)]);
        let mut faults = Vec::new();
        let found = citations(&tree, &mut faults);
        let shown = found.iter().map(|c| match &c.partial {
            Some(reason) => format!("{} {} ({reason})", c.id, c.function),
            None => format!("{} {}", c.id, c.function),
        });
        (shown.collect(), faults)
    }

    #[test]
    fn a_citation_belongs_to_the_test_below_it() {
        let (found, faults) = read(concat!(
            "/// Hashes are fixed.\n/// Contract: O3, F4\n#[test]\n#[expect(\n    dead_code,\n    reason = \"x\"\n)]\nfn hashes() {}\n\n",
            "#[tokio::test]\n/// Contract: O12 (partial: text form, not order)\nasync fn positions() {}\n",
            "proptest! {\n    /// Contract: O9\n    #[test]\n    fn twice(x in 0..3) {}\n}\n",
        ));
        assert_eq!(
            found,
            [
                "O3 hashes",
                "F4 hashes",
                "O12 positions (text form, not order)",
                "O9 twice"
            ]
        );
        assert_eq!(faults, Vec::<String>::new());
    }

    #[test]
    fn more_than_three_are_too_many() {
        let (_, faults) = read("/// Contract: O1, O2\n/// Contract: O3, O4\n#[test]\nfn all() {}\n");
        assert_eq!(
            faults,
            ["crates/a/tests/it/x.rs:2: `all` cites 4 clauses, at most 3 are allowed"]
        );
    }

    #[test]
    fn only_a_test_can_cite() {
        let (found, faults) = read("/// Contract: O1\nfn helper() {}\n\n/// Contract: O2\nstruct S;\n");
        assert_eq!(found, Vec::<String>::new());
        let expected = [
            "crates/a/tests/it/x.rs:1: `helper` cites a clause but is no test",
            "crates/a/tests/it/x.rs:4: the citation stands above no function",
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let (found, faults) = read(
            "/// Contract: O1 and O2\n#[test]\nfn a() {}\n/// Contract: O3 (partial:)\n#[test]\nfn b() {}\n",
        );
        assert_eq!(found, Vec::<String>::new());
        let expected = [
            "crates/a/tests/it/x.rs:1: `O1 and O2` is no citation",
            "crates/a/tests/it/x.rs:4: `O3 (partial:)` is no citation",
        ];
        assert_eq!(faults, expected);
    }
}
