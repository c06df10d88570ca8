//! Words that mean nothing to the reader of the project: paths of one machine.
//!
//! They stand here in pieces, so that this file keeps its own rule.

use crate::tree::Tree;

/// Folders of somebody's machine. A path below the user's home has a name after it.
const PATHS: [&str; 4] = [
    concat!("/", "work/"),
    concat!("/", "root/"),
    concat!("/", "home/"),
    concat!("/", "Users/"),
];

/// No file names a path of one machine.
pub(super) fn machine_paths(tree: &Tree, faults: &mut Vec<String>) {
    for (path, number, line) in lines(tree) {
        let found = PATHS.iter().find(|machine| {
            line.match_indices(**machine).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '}' | '~'))
            })
        });
        if let Some(machine) = found {
            faults.push(format!("{path}:{number}: `{machine}…` is a path of one machine"));
        }
    }
}

/// The lines of every file but lock files, which other tools write.
fn lines(tree: &Tree) -> impl Iterator<Item = (&str, usize, &str)> {
    let files = tree.texts().filter(|(path, _)| !path.ends_with(".lock"));
    files.flat_map(|(path, text)| {
        text.lines()
            .enumerate()
            .map(move |(index, line)| (path, index + 1, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::said;

    #[test]
    fn paths_of_a_machine_are_found() {
        let text = format!(
            "see {}x\nhttps://host.example{}x\n\"{}me/x\"\n",
            PATHS[0], PATHS[1], PATHS[2]
        );
        let faults = said(machine_paths, &Tree::of(&[("a.md", &text)]));
        let places: Vec<&str> = faults
            .iter()
            .filter_map(|fault| fault.split(": ").next())
            .collect();
        assert_eq!(places, ["a.md:1", "a.md:3"]);
    }
}
