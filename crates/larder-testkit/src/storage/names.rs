//! [`Names`]: the tree of directories, as processes see it and as the medium holds it.
//!
//! Each call that changes names is one change, with one effect for each name; a change stays pending until the
//! directories of its effects are synced. A crash takes any subset of what is pending, in order. Always true: a
//! directory without pending effects is the same on both sides. It knows no bytes and no faults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use larder_core::{DirectoryEntry, EntryKind};

use super::crash::Choice;
use super::{components, parent};

/// A file or directory, whatever its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    File,
    Directory,
}

const ROOT: NodeId = NodeId(0);

#[derive(Clone, Debug)]
pub(super) struct Names {
    next: u64,
    directories: BTreeMap<NodeId, Directory>,
    /// In the order in which they were made.
    pending: Vec<Change>,
}

#[derive(Clone, Debug, Default)]
struct Directory {
    live: BTreeMap<OsString, NodeId>,
    durable: BTreeMap<OsString, NodeId>,
}

/// One call that changed names: what it makes of each name. Within one directory its effects come together.
#[derive(Clone, Debug)]
struct Change {
    effects: Vec<Effect>,
    /// Some of its effects are durable already, so the rest need not come together with them.
    split: bool,
}

#[derive(Clone, Debug)]
struct Effect {
    directory: NodeId,
    name: OsString,
    node: Option<NodeId>,
}

impl Names {
    pub(super) fn empty() -> Self {
        let directories = BTreeMap::from([(ROOT, Directory::default())]);
        Self {
            next: 1,
            directories,
            pending: Vec::new(),
        }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<(NodeId, NodeKind)> {
        let mut node = ROOT;
        for name in components(path)? {
            let directory = self.directories.get(&node).ok_or(io::ErrorKind::NotADirectory)?;
            node = *directory
                .live
                .get(name.as_os_str())
                .ok_or(io::ErrorKind::NotFound)?;
        }
        Ok((node, self.kind(node)))
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<NodeId> {
        match self.find(path)? {
            (node, NodeKind::File) => Ok(node),
            (_, NodeKind::Directory) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn directory(&self, path: &Path) -> io::Result<NodeId> {
        match self.find(path)? {
            (node, NodeKind::Directory) => Ok(node),
            (_, NodeKind::File) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Whether the directory exists; something else of that name is an error.
    pub(super) fn is_directory(&self, path: &Path) -> io::Result<bool> {
        match self.directory(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn create(&mut self, path: &Path, kind: NodeKind) -> io::Result<NodeId> {
        let (directory, name) = self.split(path)?;
        if self.entry(directory, &name).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = NodeId(self.next);
        self.next += 1;
        if kind == NodeKind::Directory {
            self.directories.insert(node, Directory::default());
        }
        self.change(vec![Effect {
            directory,
            name,
            node: Some(node),
        }]);
        Ok(node)
    }

    pub(super) fn remove(&mut self, path: &Path, kind: NodeKind) -> io::Result<()> {
        let (directory, name) = self.split(path)?;
        let node = self.entry(directory, &name).ok_or(io::ErrorKind::NotFound)?;
        match (kind, self.kind(node)) {
            (NodeKind::File, NodeKind::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
            (NodeKind::Directory, NodeKind::File) => return Err(io::ErrorKind::NotADirectory.into()),
            (NodeKind::Directory, NodeKind::Directory) => self.must_be_empty(node)?,
            (NodeKind::File, NodeKind::File) => {}
        }
        self.change(vec![Effect {
            directory,
            name,
            node: None,
        }]);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (node, kind) = self.find(from)?;
        let (old_directory, old_name) = self.split(from)?;
        let (directory, name) = self.split(to)?;
        if kind == NodeKind::Directory && components(to)?.starts_with(&components(from)?) && from != to {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        match self.entry(directory, &name) {
            Some(replaced) if replaced == node => return Ok(()),
            Some(replaced) => match (kind, self.kind(replaced)) {
                (NodeKind::File, NodeKind::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
                (NodeKind::Directory, NodeKind::File) => return Err(io::ErrorKind::NotADirectory.into()),
                (NodeKind::Directory, NodeKind::Directory) => self.must_be_empty(replaced)?,
                (NodeKind::File, NodeKind::File) => {}
            },
            None => {}
        }
        self.change(vec![
            Effect {
                directory,
                name,
                node: Some(node),
            },
            Effect {
                directory: old_directory,
                name: old_name,
                node: None,
            },
        ]);
        Ok(())
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.file(from)?;
        let (directory, name) = self.split(to)?;
        if self.entry(directory, &name).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.change(vec![Effect {
            directory,
            name,
            node: Some(node),
        }]);
        Ok(())
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let node = self.directory(path)?;
        let live = self.directories.get(&node).map(|directory| &directory.live);
        let entries = live.into_iter().flatten().map(|(name, node)| {
            let kind = match self.kind(*node) {
                NodeKind::File => EntryKind::File,
                NodeKind::Directory => EntryKind::Directory,
            };
            DirectoryEntry::new(name.clone(), kind)
        });
        Ok(entries.collect())
    }

    /// The names in this directory are durable from now on.
    pub(super) fn sync(&mut self, directory: NodeId) {
        let Some(names) = self.directories.get_mut(&directory) else {
            return;
        };
        names.durable.clone_from(&names.live);
        for change in &mut self.pending {
            let before = change.effects.len();
            change.effects.retain(|effect| effect.directory != directory);
            change.split |= change.effects.len() < before;
        }
        self.pending.retain(|change| !change.effects.is_empty());
    }

    /// The files that a process can reach by name.
    pub(super) fn live_files(&self) -> Vec<NodeId> {
        let mut files = Vec::new();
        let mut directories = vec![ROOT];
        while let Some(directory) = directories.pop() {
            for node in self
                .directories
                .get(&directory)
                .into_iter()
                .flat_map(|found| found.live.values())
            {
                match self.kind(*node) {
                    NodeKind::Directory => directories.push(*node),
                    NodeKind::File => files.push(*node),
                }
            }
        }
        files.sort_unstable();
        files.dedup();
        files
    }

    /// What the medium holds after a crash.
    pub(super) fn crash(&self, choice: &mut Choice) -> Self {
        let mut names = self.clone();
        for change in names.pending.drain(..) {
            let mut whole = None;
            for effect in change.effects {
                let present = if change.split {
                    choice.name()
                } else {
                    *whole.get_or_insert_with(|| choice.name())
                };
                if let (true, Some(found)) = (present, names.directories.get_mut(&effect.directory)) {
                    set(&mut found.durable, &effect);
                }
            }
        }
        for directory in names.directories.values_mut() {
            directory.live.clone_from(&directory.durable);
        }
        names
    }

    fn kind(&self, node: NodeId) -> NodeKind {
        if self.directories.contains_key(&node) {
            NodeKind::Directory
        } else {
            NodeKind::File
        }
    }

    fn entry(&self, directory: NodeId, name: &OsString) -> Option<NodeId> {
        self.directories.get(&directory)?.live.get(name).copied()
    }

    /// The directory that holds the path's last name, and that name.
    fn split(&self, path: &Path) -> io::Result<(NodeId, OsString)> {
        let name = components(path)?.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = self.directory(parent(path))?;
        Ok((directory, name.into_os_string()))
    }

    fn must_be_empty(&self, node: NodeId) -> io::Result<()> {
        match self.directories.get(&node) {
            Some(directory) if !directory.live.is_empty() => Err(io::ErrorKind::DirectoryNotEmpty.into()),
            _ => Ok(()),
        }
    }

    fn change(&mut self, effects: Vec<Effect>) {
        for effect in &effects {
            if let Some(directory) = self.directories.get_mut(&effect.directory) {
                set(&mut directory.live, effect);
            }
        }
        self.pending.push(Change {
            effects,
            split: false,
        });
    }
}

fn set(names: &mut BTreeMap<OsString, NodeId>, effect: &Effect) {
    match effect.node {
        Some(node) => names.insert(effect.name.clone(), node),
        None => names.remove(&effect.name),
    };
}
