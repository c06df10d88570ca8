//! [`DataDir`]: the directory that a node keeps on its own machine: who it is.
//!
//! What is always true: one process at a time has it, and the system gives it back when that process dies; the node's name and key are made once, and are
//! durable before anybody is told them; a file of a newer version, or one that is damaged, is refused by name and left as it is. The file `node` is laid
//! down in `docs/formats/node.md`.

mod node_file;

use std::path::{Path, PathBuf};

use larder_core::{Entropy, Storage, StorageError, StorageLock};

use self::node_file::{Identity, Unreadable};
use crate::Error;

const LOCK: &str = "lock";
const NODE: &str = "node";
const NODE_IN_MAKING: &str = "node.new";

/// A data directory that this process has.
pub(super) struct DataDir {
    /// The node's name, unless another was given; and the key by which it takes its name back from a process of its own that died.
    pub(super) node: String,
    pub(super) key: [u8; 16],
    /// What was not there before.
    made: Made,
    path: PathBuf,
    lock: Box<dyn StorageLock>,
}

/// What was made by an opening.
struct Made {
    /// The directory, and those above it that were missing.
    directories: Vec<PathBuf>,
    lock: bool,
    node: bool,
}

impl DataDir {
    /// Takes a directory; makes it, and the identity in it, if they are not there.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::NewerFormat`], [`Error::Damaged`], [`Error::Storage`].
    pub(super) fn open(storage: &dyn Storage, path: &Path, entropy: &dyn Entropy) -> Result<Self, Error> {
        let found = storage.list(path);
        let is_missing = |path: &&Path| matches!(storage.list(path), Err(error) if error.is_not_found());
        let missing = path
            .ancestors()
            .filter(|path| !path.as_os_str().is_empty())
            .take_while(is_missing);
        let made = Made {
            directories: missing.map(Path::to_owned).collect(),
            lock: !found.is_ok_and(|found| found.iter().any(|entry| entry.name() == LOCK)),
            node: false,
        };
        // Durable when it returns, with all that is missing above it.
        let locked = storage
            .create_directory(path)
            .map_err(Error::from)
            .and_then(|()| {
                storage
                    .lock(&path.join(LOCK))
                    .map_err(|error| locked(path, error))
            });
        let lock = match locked {
            Ok(lock) => lock,
            Err(error) => {
                remove_directories(storage, &made.directories);
                return Err(error);
            }
        };
        let mut taken = DataDir {
            node: String::new(),
            key: [0; 16],
            made,
            path: path.to_owned(),
            lock,
        };
        match taken.identify(storage, entropy) {
            Ok(Identity { node, key }) => {
                (taken.node, taken.key) = (node, key);
                Ok(taken)
            }
            Err(error) => {
                taken.undo(storage);
                Err(error)
            }
        }
    }

    /// Who the node is, which is made up if nobody was it yet.
    fn identify(&mut self, storage: &dyn Storage, entropy: &dyn Entropy) -> Result<Identity, Error> {
        if let Some(identity) = read(storage, &self.path.join(NODE))? {
            return Ok(identity);
        }
        self.made.node = true;
        make(storage, &self.path, entropy)
    }

    /// Leaves the directory as it was found, since the layer did not open. What cannot be removed stays, and harms nobody.
    pub(super) fn undo(self, storage: &dyn Storage) {
        let Self { made, path, lock, .. } = self;
        if made.node {
            drop(storage.remove(&path.join(NODE_IN_MAKING)));
            drop(storage.remove(&path.join(NODE)));
        }
        // While it is held: another process may be about to take it, or may have taken it as soon as it is not.
        if made.lock {
            drop(storage.remove(&path.join(LOCK)));
        }
        drop(lock);
        remove_directories(storage, &made.directories);
    }
}

/// The innermost first. One in which there is something stays, and so do those around it.
fn remove_directories(storage: &dyn Storage, directories: &[PathBuf]) {
    for path in directories {
        if storage.remove_directory(path).is_err() {
            break;
        }
    }
}

fn locked(path: &Path, error: StorageError) -> Error {
    if !error.is_locked() {
        return error.into();
    }
    Error::Locked {
        path: path.to_owned(),
        pid: error.lock_holder(),
    }
}

/// Who the node is; none if nobody was made yet.
fn read(storage: &dyn Storage, path: &Path) -> Result<Option<Identity>, Error> {
    let file = match storage.open_read_only(path) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let damaged = |why: String| Error::Damaged {
        path: path.to_owned(),
        why,
    };
    let length = file.len()?;
    if length > node_file::BYTES_MAX {
        return Err(damaged(format!(
            "it is {length} bytes long, and may be {} at most",
            node_file::BYTES_MAX
        )));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(0, &mut bytes)?;
    match node_file::decode(&bytes) {
        Ok(identity) => Ok(Some(identity)),
        Err(Unreadable::Newer { found, known }) => Err(Error::NewerFormat {
            path: path.to_owned(),
            found,
            known,
        }),
        Err(Unreadable::Damaged(why)) => Err(damaged(why)),
    }
}

/// Makes an identity. It is durable when this returns: until the new file is renamed there is none, and what was left of an earlier attempt goes.
fn make(storage: &dyn Storage, path: &Path, entropy: &dyn Entropy) -> Result<Identity, Error> {
    let (making, done): (PathBuf, PathBuf) = (path.join(NODE_IN_MAKING), path.join(NODE));
    match storage.remove(&making) {
        Err(error) if !error.is_not_found() => return Err(error.into()),
        _ => {}
    }
    let identity = Identity::generate(entropy);
    let file = storage.create_new(&making)?;
    file.write_all_at(0, &node_file::encode(&identity, entropy))?;
    file.sync_all()?;
    storage.rename(&making, &done)?;
    storage.sync_directory(path)?;
    Ok(identity)
}

/// What the file `node` says, for whoever tries to break its decoder: name and key.
pub fn decode_node_file(bytes: &[u8]) -> Option<(String, [u8; 16])> {
    let identity = node_file::decode(bytes).ok()?;
    Some((identity.node, identity.key))
}

#[cfg(test)]
mod tests;
