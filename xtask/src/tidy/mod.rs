//! `cargo xtask tidy`: the rules of the house that no compiler knows. It is a test of this crate too.
//!
//! A rule reads a [`Tree`] and says what is wrong, one line a fault, beginning with the file. Rules never repair anything.

mod arrows;
mod documents;
mod formats;
mod lengths;
mod source;
mod words;

use crate::clauses::Coverage;
use crate::mutation;
use crate::shell::{Failure, say};
use crate::tree::Tree;

/// Checks the tree on disk.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    if let Some(unknown) = arguments.first() {
        return Err(Failure::usage(format!(
            "tidy takes no arguments, not even `{unknown}`"
        )));
    }
    let tree = Tree::load()?;
    let faults = faults(&tree);
    for fault in &faults {
        say(fault);
    }
    match faults.len() {
        0 => say(&format!("tidy: {} files keep the rules", tree.texts().count())),
        count => return Err(Failure::new(format!("{count} faults"))),
    }
    Ok(())
}

/// Everything that the rules have against a tree.
fn faults(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let rules: &[fn(&Tree, &mut Vec<String>)] = &[
        source::headers,
        source::ignored_tests,
        source::checker_stands_alone,
        source::lints_switched_off,
        source::features_only_add,
        arrows::crates,
        arrows::workspace,
        lengths::ratchet,
        formats::constants,
        documents::links,
        documents::architecture,
        documents::guide,
        documents::changelog,
        documents::run_bit,
        words::machine_paths,
        contracts,
    ];
    for rule in rules {
        rule(tree, &mut faults);
    }
    faults
}

/// Citations, the lists beside the contracts, and the headers of mutations.
fn contracts(tree: &Tree, faults: &mut Vec<String>) {
    let coverage = Coverage::read(tree);
    faults.extend(coverage.faults());
    for found in mutation::mutations(tree, faults) {
        mutation::check(
            &found,
            tree,
            |id| coverage.clauses.iter().any(|clause| clause.id == id),
            faults,
        );
    }
}

/// What one rule says about a tree made up for its test.
#[cfg(test)]
fn said(rule: fn(&Tree, &mut Vec<String>), tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    rule(tree, &mut faults);
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let tree = Tree::load().expect("the tree can be listed");
        assert_eq!(faults(&tree), Vec::<String>::new());
    }
}
