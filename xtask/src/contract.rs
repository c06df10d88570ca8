//! The clauses of the contracts in `docs/contracts/`.
//!
//! A clause is a list item or a table row that begins with its id in bold and its mark: `- **O1** `base` …`. The id is one
//! letter and a number. Ids are unique over all contracts. This reads clauses; whether they are kept is for the tests.

use crate::tree::Tree;
use std::collections::BTreeMap;
use std::fmt;

const FOLDER: &str = "docs/contracts/";

/// The name of a clause: a letter and a number, ordered by both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClauseId {
    letter: char,
    number: u32,
}

impl ClauseId {
    /// Reads `O12`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.chars();
        let letter = rest.next().filter(char::is_ascii_uppercase)?;
        let digits = rest.as_str();
        let plain = !digits.is_empty()
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then_some(Self {
            letter,
            number: digits.parse().ok()?,
        })
    }
}

impl fmt::Display for ClauseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.letter, self.number)
    }
}

/// One clause and where it stands.
pub(crate) struct Clause {
    pub(crate) id: ClauseId,
    /// The file's name without folder and ending: `outbox`.
    pub(crate) part: String,
    /// The number of the section, and its title.
    pub(crate) section: u32,
    pub(crate) title: String,
}

/// What is listed as waiting, with the part it waits for.
pub(crate) type Open = BTreeMap<ClauseId, String>;

/// All clauses, part by part and in the order of their text; each id that stands twice is a fault.
pub(crate) fn clauses(tree: &Tree, faults: &mut Vec<String>) -> Vec<Clause> {
    let mut found: Vec<Clause> = Vec::new();
    for (path, text) in tree.below(FOLDER, ".md") {
        let part = path.trim_start_matches(FOLDER).trim_end_matches(".md");
        for clause in clauses_of(part, text) {
            if found.iter().any(|other| other.id == clause.id) {
                faults.push(format!("{path}: {} is the id of two clauses", clause.id));
            }
            found.push(clause);
        }
    }
    found
}

/// What `open.md` lists: rows `| O16-O59, O63 | what it waits for |`. An id that names no clause is a fault.
pub(crate) fn open(tree: &Tree, clauses: &[Clause], faults: &mut Vec<String>) -> Open {
    let path = "docs/contracts/open.md";
    let mut open = Open::new();
    for (number, line) in tree.text(path).unwrap_or_default().lines().enumerate() {
        let mut cells = line.trim().trim_matches('|').split('|').map(str::trim);
        let (Some(ids), Some(reason)) = (cells.next(), cells.next()) else {
            continue;
        };
        let Some(ranges) = ids
            .split(',')
            .map(|range| Range::parse(range.trim()))
            .collect::<Option<Vec<_>>>()
        else {
            continue;
        };
        for range in ranges {
            let before = open.len();
            let inside = clauses.iter().filter(|clause| range.holds(clause.id));
            open.extend(inside.map(|clause| (clause.id, reason.to_owned())));
            let ends = [range.first, range.last]
                .iter()
                .all(|id| clauses.iter().any(|clause| clause.id == *id));
            if open.len() == before || !ends {
                faults.push(format!(
                    "{path}:{}: {range} names no clause, or one that is listed already",
                    number + 1
                ));
            }
        }
    }
    open
}

/// The ids in `covered.txt`, one a line; lines with `#` are comments. What is no id is a fault.
pub(crate) fn accepted(tree: &Tree, faults: &mut Vec<String>) -> Vec<ClauseId> {
    let mut ids = Vec::new();
    let text = tree.text(COVERED).unwrap_or_default();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        match ClauseId::parse(line) {
            Some(id) => ids.push(id),
            None => faults.push(format!("{COVERED}: `{line}` is no clause id")),
        }
    }
    ids
}

/// The committed list of covered clauses.
pub(crate) const COVERED: &str = "docs/contracts/covered.txt";

/// `O16-O59`, or `O63` alone.
struct Range {
    first: ClauseId,
    last: ClauseId,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once(['-', '–']).unwrap_or((text, text));
        let (first, last) = (ClauseId::parse(first.trim())?, ClauseId::parse(last.trim())?);
        (first.letter == last.letter && first <= last).then_some(Self { first, last })
    }

    fn holds(&self, id: ClauseId) -> bool {
        id.letter == self.first.letter && (self.first..=self.last).contains(&id)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            self.first.fmt(f)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

fn clauses_of(part: &str, text: &str) -> Vec<Clause> {
    let mut section = 0;
    let mut title = String::new();
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            let (number, words) = heading.split_once(". ").unwrap_or(("", heading));
            section = number.parse().unwrap_or(0);
            words.clone_into(&mut title);
        } else if let Some(id) = clause_at(line) {
            found.push(Clause {
                id,
                part: part.to_owned(),
                section,
                title: title.clone(),
            });
        }
    }
    found
}

fn clause_at(line: &str) -> Option<ClauseId> {
    let line = line
        .strip_prefix("- ")
        .or_else(|| line.strip_prefix("| "))
        .unwrap_or(line);
    let (id, rest) = line.strip_prefix("**")?.split_once("** `")?;
    let marked = rest.starts_with("base`") || rest.starts_with("plus`");
    if marked { ClauseId::parse(id) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ClauseId {
        ClauseId::parse(text).expect(text)
    }

    #[test]
    fn ids_are_a_letter_and_a_number() {
        assert_eq!(id("O12").to_string(), "O12");
        assert!(id("O9") < id("O12"));
        for text in ["", "O", "o1", "O01", "O1a", "12", "OO1", "O-1", "O1 "] {
            assert_eq!(ClauseId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn clauses_stand_in_lists_tables_and_paragraphs() {
        let text = "## 2. Words\n- **O1** `base` a\n  **O9** is cited\n**S65** `plus` b\n## 3. More\n| **S68** `base` | c |\n| **no** | d |";
        let found = clauses_of("outbox", text);
        let seen: Vec<String> = found
            .iter()
            .map(|c| format!("{} {} {}", c.section, c.title, c.id))
            .collect();
        assert_eq!(seen, ["2 Words O1", "2 Words S65", "3 More S68"]);
    }

    #[test]
    fn an_id_that_stands_twice_is_a_fault() {
        let tree = Tree::of(&[
            ("docs/contracts/a.md", "- **O1** `base` x"),
            ("docs/contracts/b.md", "- **O1** `plus` y"),
        ]);
        let mut faults = Vec::new();
        clauses(&tree, &mut faults);
        assert_eq!(faults, ["docs/contracts/b.md: O1 is the id of two clauses"]);
    }

    #[test]
    fn open_takes_ranges_and_refuses_what_is_not_there() {
        let text = "- **O1** `base` x\n- **O2** `base` x\n- **O5** `base` x\n- **P1** `base` x";
        let listed = "| clauses | wait for |\n| --- | --- |\n| O1-O2, P1 | the pool |\n| O7 | nothing |\n| O1 | twice |";
        let tree = Tree::of(&[("docs/contracts/a.md", text), ("docs/contracts/open.md", listed)]);
        let mut faults = Vec::new();
        let clauses = clauses(&tree, &mut faults);
        let open = open(&tree, &clauses, &mut faults);
        let seen: Vec<String> = open.iter().map(|(id, reason)| format!("{id} {reason}")).collect();
        assert_eq!(seen, ["O1 twice", "O2 the pool", "P1 the pool"]);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(
            faults
                .iter()
                .all(|fault| fault.starts_with("docs/contracts/open.md:")),
            "{faults:?}"
        );
    }

    #[test]
    fn what_is_accepted_is_one_id_a_line() {
        let tree = Tree::of(&[(COVERED, "# covered\nO1\n\nF3\nnonsense\n")]);
        let mut faults = Vec::new();
        assert_eq!(accepted(&tree, &mut faults), [id("O1"), id("F3")]);
        assert_eq!(faults, ["docs/contracts/covered.txt: `nonsense` is no clause id"]);
    }
}
