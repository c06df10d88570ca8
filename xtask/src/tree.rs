//! The files of the workspace, as the rules of the house see them.
//!
//! A [`Tree`] holds what version control tracks or would track: never build output. Rules read a tree and nothing else, so
//! that each can be tried on a tree made up for its test.

use crate::shell::{Failure, root};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Files by path, relative to the root and with `/` between the parts.
#[derive(Default)]
pub(crate) struct Tree {
    texts: BTreeMap<String, String>,
    others: BTreeSet<String>,
    runnable: BTreeSet<String>,
}

impl Tree {
    /// The tree on disk.
    pub(crate) fn load() -> Result<Self, Failure> {
        let root = root();
        let mut tree = Self::default();
        for path in listed(&root)? {
            let on_disk = root.join(&path);
            if !on_disk.is_file() {
                continue;
            }
            let bytes =
                std::fs::read(&on_disk).map_err(|error| Failure::new(format!("read {path}: {error}")))?;
            if is_runnable(&on_disk) {
                tree.runnable.insert(path.clone());
            }
            match String::from_utf8(bytes) {
                Ok(text) => drop(tree.texts.insert(path, text)),
                Err(_) => drop(tree.others.insert(path)),
            }
        }
        Ok(tree)
    }

    /// Every text file with its path, in order of path.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text files below `folder` (`""` for all) whose name ends in `ending`.
    pub(crate) fn below(&self, folder: &str, ending: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts()
            .filter(move |(path, _)| path.starts_with(folder) && path.ends_with(ending))
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether a file, or a folder with a file in it, is there.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        let below = |files: &mut dyn Iterator<Item = &String>| {
            files.next().is_some_and(|next| next.starts_with(&folder))
        };
        path.is_empty()
            || self.texts.contains_key(path)
            || self.others.contains(path)
            || below(&mut self.texts.range(folder.clone()..).map(|(path, _)| path))
            || below(&mut self.others.range(folder.clone()..))
    }

    /// Whether a file has its run bit. On systems without run bits every file has.
    pub(crate) fn is_runnable(&self, path: &str) -> bool {
        self.runnable.contains(path)
    }

    /// The names of the crates in `crates/`, in order.
    pub(crate) fn crates(&self) -> BTreeSet<&str> {
        let manifests = self.below("crates/", "/Cargo.toml");
        manifests
            .filter_map(|(path, _)| path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml"))
            .filter(|name| !name.contains('/'))
            .collect()
    }
}

/// The paths of all files that are tracked, or new and not ignored, in order.
pub(crate) fn listed(root: &Path) -> Result<Vec<String>, Failure> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").current_dir(root).args(arguments).output();
    let output = output.map_err(|error| Failure::new(format!("start git: {error}")))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!(
            "git cannot list the files: {}",
            reason.trim()
        )));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    let set: BTreeSet<String> = names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    Ok(set.into_iter().collect())
}

#[cfg(unix)]
fn is_runnable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_runnable(_path: &Path) -> bool {
    true
}

#[cfg(test)]
impl Tree {
    /// A tree made up for a test.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let texts = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect();
        Self {
            texts,
            ..Self::default()
        }
    }

    /// The same tree with the run bit of `path` set.
    pub(crate) fn with_run_bit(mut self, path: &str) -> Self {
        self.runnable.insert(path.to_owned());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_found() {
        let tree = Tree::of(&[("crates/a/Cargo.toml", ""), ("docs/x.md", ""), ("docs-old", "")]);
        for path in ["docs/x.md", "docs", "docs/", "crates/a", "docs-old"] {
            assert!(tree.has(path), "{path}");
        }
        for path in ["doc", "docs/x", "crates/b", "crates/a/Cargo"] {
            assert!(!tree.has(path), "{path}");
        }
        assert_eq!(tree.crates().into_iter().collect::<Vec<_>>(), ["a"]);
    }
}
