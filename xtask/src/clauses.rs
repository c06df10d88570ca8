//! `cargo xtask clauses [--accept] [part [section…]]…`: each clause of the contracts with the tests that prove it.
//!
//! It reports and fails nothing; that a covered clause stays covered is a rule of tidy, over the committed list that
//! `--accept` rewrites.

use crate::citation::{Citation, citations};
use crate::contract::{self, Clause, ClauseId, Open};
use crate::shell::{Failure, root, say, write};
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

/// Prints the clauses that are asked for, or all; with `--accept` also writes the list of covered ones.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let tree = Tree::load()?;
    let coverage = Coverage::read(&tree);
    let asked: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| *argument != "--accept")
        .collect();
    let filter = Filter::parse(&asked, &coverage.clauses)?;
    for line in coverage.report(&filter) {
        say(&line);
    }
    if asked.len() < arguments.len() {
        write(&root().join(contract::COVERED), &coverage.accepted_text())?;
        say(&format!("wrote {}", contract::COVERED));
    }
    Ok(())
}

/// Everything that is known about the clauses of a tree.
pub(crate) struct Coverage {
    pub(crate) clauses: Vec<Clause>,
    pub(crate) citations: Vec<Citation>,
    open: Open,
    accepted: Vec<ClauseId>,
    /// What is malformed in contracts, citations and lists.
    faults: Vec<String>,
}

/// How far the tests prove a clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Covered,
    Partial,
    Open,
    Uncovered,
}

impl Coverage {
    pub(crate) fn read(tree: &Tree) -> Self {
        let mut faults = Vec::new();
        let clauses = contract::clauses(tree, &mut faults);
        let citations = citations(tree, &mut faults);
        let open = contract::open(tree, &clauses, &mut faults);
        let accepted = contract::accepted(tree, &mut faults);
        Self {
            clauses,
            citations,
            open,
            accepted,
            faults,
        }
    }

    /// What tidy has against it: malformed citations and lists, citations of no clause, clauses that lost their tests, and
    /// clauses that are listed as waiting though a test proves them whole.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = self.faults.clone();
        let known: BTreeSet<ClauseId> = self.clauses.iter().map(|clause| clause.id).collect();
        for citation in self
            .citations
            .iter()
            .filter(|citation| !known.contains(&citation.id))
        {
            faults.push(format!(
                "{}: `{}` cites {}, which is no clause",
                citation.path, citation.function, citation.id
            ));
        }
        let covered = self.covered();
        for id in self.accepted.iter().filter(|id| !covered.contains(id)) {
            faults.push(format!(
                "{}: {id} was covered, and no test covers it now",
                contract::COVERED
            ));
        }
        for id in covered.iter().filter(|id| self.open.contains_key(id)) {
            faults.push(format!(
                "docs/contracts/open.md: {id} is listed as waiting, but a test covers all of it"
            ));
        }
        faults
    }

    /// The clauses that some test covers whole.
    fn covered(&self) -> BTreeSet<ClauseId> {
        self.citations
            .iter()
            .filter(|citation| citation.partial.is_none())
            .map(|citation| citation.id)
            .collect()
    }

    fn state(&self, id: ClauseId, covered: &BTreeSet<ClauseId>) -> State {
        if covered.contains(&id) {
            State::Covered
        } else if self.citations.iter().any(|citation| citation.id == id) {
            State::Partial
        } else if self.open.contains_key(&id) {
            State::Open
        } else {
            State::Uncovered
        }
    }

    fn report(&self, filter: &Filter<'_>) -> Vec<String> {
        let covered = self.covered();
        let mut lines = Vec::new();
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        let mut heading = None;
        for clause in self.clauses.iter().filter(|clause| filter.wants(clause)) {
            if heading != Some((&clause.part, clause.section)) {
                heading = Some((&clause.part, clause.section));
                lines.push(format!("{} {}. {}", clause.part, clause.section, clause.title));
            }
            let word = match self.state(clause.id, &covered) {
                State::Covered => "covered",
                State::Partial => "partial",
                State::Open => "open",
                State::Uncovered => "UNCOVERED",
            };
            *counts.entry(word).or_default() += 1;
            let tests = self
                .citations
                .iter()
                .filter(|citation| citation.id == clause.id)
                .map(Citation::shown);
            let waits = self
                .open
                .get(&clause.id)
                .map(|reason| format!("waits for {reason}"));
            let mut details = tests.chain(waits);
            let first = details.next().unwrap_or_default();
            lines.push(
                format!("  {:5} {word:9}  {first}", clause.id.to_string())
                    .trim_end()
                    .to_owned(),
            );
            lines.extend(details.map(|detail| format!("{:19}{detail}", "")));
        }
        let new = covered
            .iter()
            .filter(|id| !self.accepted.contains(id))
            .map(ClauseId::to_string)
            .collect::<Vec<_>>();
        if !new.is_empty() {
            lines.push(format!(
                "newly covered, kept so by `cargo xtask clauses --accept`: {}",
                new.join(" ")
            ));
        }
        let count = |word: &str| counts.get(word).copied().unwrap_or(0);
        lines.push(format!(
            "covered: {}, partial: {}, open: {}",
            count("covered"),
            count("partial"),
            count("open")
        ));
        lines.push(format!("uncovered: {}", count("UNCOVERED")));
        lines
    }

    fn accepted_text(&self) -> String {
        let head = "# The clauses that a test covers whole. Written by `cargo xtask clauses --accept`;\n\
                    # a clause that stands here and loses its test is a fault of tidy.\n";
        self.covered()
            .iter()
            .fold(head.to_owned(), |text, id| format!("{text}{id}\n"))
    }
}

impl Citation {
    fn shown(&self) -> String {
        let test = format!("{}:{}", self.path, self.function);
        self.partial
            .as_ref()
            .map_or(test.clone(), |reason| format!("{test} ({reason})"))
    }
}

/// Which parts and sections are asked for: `outbox 2 3 pool` is two sections of one part and all of another.
struct Filter<'a> {
    parts: Vec<(&'a str, Vec<u32>)>,
}

impl<'a> Filter<'a> {
    fn parse(words: &[&'a str], clauses: &[Clause]) -> Result<Self, Failure> {
        let mut parts: Vec<(&str, Vec<u32>)> = Vec::new();
        for word in words {
            match (word.parse(), parts.last_mut()) {
                (Ok(section), Some((_, sections))) => sections.push(section),
                _ if clauses.iter().any(|clause| clause.part == *word) => parts.push((word, Vec::new())),
                _ => {
                    return Err(Failure::usage(format!(
                        "`{word}` is no contract: usage: clauses [part [section…]]…"
                    )));
                }
            }
        }
        Ok(Self { parts })
    }

    fn wants(&self, clause: &Clause) -> bool {
        let wanted = |(part, sections): &(&str, Vec<u32>)| {
            *part == clause.part && (sections.is_empty() || sections.contains(&clause.section))
        };
        self.parts.is_empty() || self.parts.iter().any(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACT: &str =
        "## 1. A\n- **O1** `base` x\n- **O2** `base` x\n## 2. B\n- **O3** `plus` x\n- **O4** `plus` x\n";
    const TESTS: &str =
        "/// Contract: O1\n#[test]\nfn one() {}\n/// Contract: O3 (partial: half)\n#[test]\nfn half() {}\n";
    const OPEN: &str = "| O3-O4 | the relay |";

    fn coverage(tests: &str, open: &str, accepted: &str) -> Coverage {
        Coverage::read(&Tree::of(&[
            ("docs/contracts/outbox.md", CONTRACT),
            ("docs/contracts/open.md", open),
            (contract::COVERED, accepted),
            ("crates/a/tests/it/x.rs", tests),
        ]))
    }

    #[test]
    fn each_clause_is_reported_with_its_tests() {
        let coverage = coverage(TESTS, OPEN, "O1");
        let all = Filter::parse(&[], &coverage.clauses).expect("nothing was asked for");
        let expected = [
            "outbox 1. A",
            "  O1    covered    crates/a/tests/it/x.rs:one",
            "  O2    UNCOVERED",
            "outbox 2. B",
            "  O3    partial    crates/a/tests/it/x.rs:half (half)",
            "                   waits for the relay",
            "  O4    open       waits for the relay",
            "covered: 1, partial: 1, open: 1",
            "uncovered: 1",
        ];
        assert_eq!(coverage.report(&all), expected);
        assert_eq!(coverage.faults(), Vec::<String>::new());
        let second = Filter::parse(&["outbox", "2"], &coverage.clauses).expect("section 2 is there");
        assert_eq!(
            coverage.report(&second).last().map(String::as_str),
            Some("uncovered: 0")
        );
        assert!(
            Filter::parse(&["inbox"], &coverage.clauses).is_err(),
            "there is no such contract"
        );
    }

    #[test]
    fn a_clause_that_lost_its_test_is_a_fault() {
        let faults = coverage("", OPEN, "O1\n").faults();
        assert_eq!(
            faults,
            ["docs/contracts/covered.txt: O1 was covered, and no test covers it now"]
        );
    }

    #[test]
    fn a_partial_test_does_not_keep_a_clause_covered() {
        let faults = coverage(TESTS, OPEN, "O3\n").faults();
        assert_eq!(
            faults,
            ["docs/contracts/covered.txt: O3 was covered, and no test covers it now"]
        );
    }

    #[test]
    fn a_citation_of_no_clause_is_a_fault() {
        let faults = coverage("/// Contract: O9\n#[test]\nfn nine() {}\n", OPEN, "").faults();
        assert_eq!(
            faults,
            ["crates/a/tests/it/x.rs: `nine` cites O9, which is no clause"]
        );
    }

    #[test]
    fn a_covered_clause_does_not_wait() {
        let faults = coverage(TESTS, "| O1 | the relay |", "").faults();
        assert_eq!(
            faults,
            ["docs/contracts/open.md: O1 is listed as waiting, but a test covers all of it"]
        );
    }

    #[test]
    fn what_is_covered_is_written_in_order() {
        let text = coverage(TESTS, OPEN, "").accepted_text();
        assert!(text.ends_with("\nO1\n"), "{text}");
    }
}
