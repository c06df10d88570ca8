//! [`Storage`], the only toucher of files, and what its users may rely on.
//!
//! Always true: every error names the operation and the path; nothing here retries, caches or buffers; a file that
//! is open stays readable when its name is removed or replaced. It does not know what the bytes mean.
//!
//! # What is durable after which call
//!
//! Everything that recovers after a crash stands on this section. *Durable* means that it survives loss of power;
//! what a process has written survives its own death (`kill -9`) at once.
//!
//! 1. **Bytes and length of a file** ([`StorageFile::write_at`], [`StorageFile::cut_back`]) are durable once a
//!    [`StorageFile::sync_data`] or [`StorageFile::sync_all`] that began after them has returned `Ok`, on any handle of
//!    that file. Until then each sector of 512 bytes that they touched may, after a crash, hold what it held after
//!    any of the writes since the last sync, or before the first; each sector independently of all others and of
//!    the length. Sectors that were never synced and lie within the length may hold zeros, or bytes that once
//!    belonged to another file. Bytes that were synced and not touched since are never harmed.
//! 2. **A name** ([`Storage::create_new`], [`Storage::rename`], [`Storage::link`], [`Storage::remove`],
//!    [`Storage::remove_directory`]) is durable once a [`Storage::sync_directory`] of the directory that holds the name,
//!    begun after it, has returned `Ok`. Until then each of these operations may be present or absent after a crash,
//!    in any combination: later ones may have happened and earlier ones not, except that those on one name keep their
//!    order. Within one directory a rename is wholly there or wholly not. Across two directories both need
//!    their sync, that of the new name first: if only the old one's directory is synced, the file may be gone.
//! 3. **Syncing a file does not make its name durable**, and syncing a directory makes no file's bytes durable. A
//!    rename can be durable while the bytes of the file are not.
//! 4. [`Storage::create_directory`] alone is durable when it returns.
//! 5. **After a sync that failed, the bytes since the last good sync are in no known state**, and a later sync that
//!    succeeds does not make them durable: the system may have dropped them and forgotten it. A reader may still
//!    see them. Only bytes written again, and then synced, are durable. The same holds for a process that starts
//!    after another has died: what it reads back and does not know to be durable, it writes again before it
//!    builds on it. Names and lengths are not dropped: a later sync that succeeds makes them durable.
//! 6. A write that failed or was short may have written any part of its bytes.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fmt, io};

#[cfg(unix)]
mod file;

#[cfg(unix)]
pub use file::FileStorage;

/// Files and directories. Parts are given one, as `Arc<dyn Storage>`.
///
/// Paths are taken as given. Calls block; none may be made under a lock that a reader of memory takes. Each costs one
/// or a few system calls, [`Storage::list`] O(entries · log entries).
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Creates an empty file, open for reading and writing. Fails if the name is taken
    /// ([`StorageError::is_already_exists`]).
    fn create_new(&self, path: &Path) -> Result<Box<dyn StorageFile>, StorageError>;

    /// Opens a file that exists, for reading and writing.
    fn open(&self, path: &Path) -> Result<Box<dyn StorageFile>, StorageError>;

    /// Opens a file that exists, for reading only; works on media that cannot be written. Whatever would change the
    /// file fails.
    fn open_read_only(&self, path: &Path) -> Result<Box<dyn StorageFile>, StorageError>;

    /// Creates a directory and all that is missing above it, durably: it syncs each directory in which it made a
    /// name, and the one that holds a directory which it found, since that may be new too. `Ok` if it exists.
    fn create_directory(&self, path: &Path) -> Result<(), StorageError>;

    /// Makes the names in a directory durable: what was created, renamed, linked or removed in it before.
    fn sync_directory(&self, path: &Path) -> Result<(), StorageError>;

    /// Gives the file or directory `from` the name `to`. A file of that name is replaced at once: whoever opens `to`
    /// sees the old one or the new one, never none. Handles of either stay valid.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError>;

    /// Gives the file `from` a second name, `to`, which must be free. `Ok(false)` says that this system or file
    /// system cannot, and that nothing was done; the caller copies instead.
    fn link(&self, from: &Path, to: &Path) -> Result<bool, StorageError>;

    /// Removes a file's name. Its bytes are freed with its last name and its last handle.
    fn remove(&self, path: &Path) -> Result<(), StorageError>;

    /// Removes an empty directory.
    fn remove_directory(&self, path: &Path) -> Result<(), StorageError>;

    /// What a directory holds, sorted by the bytes of the names. What is added or removed meanwhile may be in it or not.
    fn list(&self, path: &Path) -> Result<Vec<DirectoryEntry>, StorageError>;

    /// Takes the exclusive lock that the file `path` stands for, creating the file if need be. Fails at once if it
    /// is held, by this process or another ([`StorageError::is_locked`], [`StorageError::lock_holder`]). The lock is
    /// given back when the value is dropped, and at the latest when its process dies; it does not survive a crash.
    ///
    /// While it is held the file contains the holder's process id in decimal, for messages only; afterwards it is empty,
    /// or stale after a crash. Its holder may remove it, and must touch nothing afterwards that the lock stands for: from then on it is nobody's lock, also
    /// for who had opened it before, and the next one to come makes it anew.
    fn lock(&self, path: &Path) -> Result<Box<dyn StorageLock>, StorageError>;

    /// Bytes that this process may still allocate in the file system that holds `directory`.
    fn free_bytes(&self, directory: &Path) -> Result<u64, StorageError>;
}

/// An open file, read and written by position. Handles have no cursor, so threads may share one.
pub trait StorageFile: fmt::Debug + Send + Sync {
    /// The path by which it was opened, for messages; it may have been renamed since.
    fn path(&self) -> &Path;

    /// Reads at most `bytes.len()` bytes from `offset` on and returns how many. It may be fewer at any time; zero
    /// means the end of the file, or that `bytes` is empty. An offset that no file can have is an error.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, StorageError>;

    /// Writes a prefix of `bytes` at `offset` and returns its length, which may be shorter. The file grows as needed;
    /// a gap before `offset` reads as zeros.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, StorageError>;

    /// Cuts the file back to `len` bytes. Fails, as [`io::ErrorKind::InvalidInput`], if it is shorter: it never extends.
    fn cut_back(&self, len: u64) -> Result<(), StorageError>;

    /// The file's length in bytes.
    fn len(&self) -> Result<u64, StorageError>;

    /// Makes all that was written before durable: bytes, and the length needed to read them back.
    fn sync_data(&self) -> Result<(), StorageError>;

    /// As [`StorageFile::sync_data`], and the file's times and other metadata too.
    fn sync_all(&self) -> Result<(), StorageError>;

    /// Sets space aside so that writes below `len` do not run out of it, without changing length or content.
    /// `Ok(false)` says that this system or file system cannot, and that nothing was done. Allocated space may
    /// have been given back after a crash.
    fn preallocate(&self, len: u64) -> Result<bool, StorageError>;

    /// Bytes that the file occupies on its medium, space set aside included; it may differ from the length either way.
    fn allocated_bytes(&self) -> Result<u64, StorageError>;

    /// Whether the file's length is zero.
    fn is_empty(&self) -> Result<bool, StorageError> {
        Ok(self.len()? == 0)
    }

    /// Fills `bytes` from `offset` on. Fails, as [`io::ErrorKind::UnexpectedEof`], if the file ends before.
    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), StorageError> {
        let mut rest = bytes;
        let mut at = offset;
        while !rest.is_empty() {
            let read = self.read_at(at, rest)?;
            assert!(
                read <= rest.len(),
                "invariant: a read fills no more than it was given"
            );
            if read == 0 {
                return Err(failed(self, StorageOperation::Read, io::ErrorKind::UnexpectedEof));
            }
            rest = rest.split_at_mut(read).1;
            at = advance(self, StorageOperation::Read, at, read)?;
        }
        Ok(())
    }

    /// Writes all of `bytes` at `offset`. If it fails, any part of them may have been written.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let mut rest = bytes;
        let mut at = offset;
        while !rest.is_empty() {
            let written = self.write_at(at, rest)?;
            assert!(
                written <= rest.len(),
                "invariant: a write takes no more than it was given"
            );
            if written == 0 {
                return Err(failed(self, StorageOperation::Write, io::ErrorKind::WriteZero));
            }
            rest = rest.split_at(written).1;
            at = advance(self, StorageOperation::Write, at, written)?;
        }
        Ok(())
    }
}

/// A held lock; dropping it gives the lock back.
pub trait StorageLock: fmt::Debug + Send + Sync {
    /// The file that stands for the lock.
    fn path(&self) -> &Path;
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryEntry {
    name: OsString,
    kind: EntryKind,
}

impl DirectoryEntry {
    /// An entry of this name and kind.
    #[must_use]
    pub fn new(name: OsString, kind: EntryKind) -> Self {
        Self { name, kind }
    }

    /// The name alone, without the directory.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// What the name stands for.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        self.kind
    }
}

/// What a name in a directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// Something else: a symbolic link, a socket. Larder makes none and follows none.
    Other,
}

/// What was being done to a file when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum StorageOperation {
    Create,
    Open,
    CreateDirectory,
    SyncDirectory,
    Rename,
    Link,
    Remove,
    RemoveDirectory,
    List,
    Lock,
    FreeBytes,
    Read,
    Write,
    CutBack,
    Length,
    Sync,
    Preallocate,
    AllocatedBytes,
}

impl fmt::Display for StorageOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::CreateDirectory => "create directory",
            Self::SyncDirectory => "sync directory",
            Self::Rename => "rename",
            Self::Link => "link",
            Self::Remove => "remove",
            Self::RemoveDirectory => "remove directory",
            Self::List => "list",
            Self::Lock => "lock",
            Self::FreeBytes => "ask for free space in",
            Self::Read => "read",
            Self::Write => "write",
            Self::CutBack => "cut back",
            Self::Length => "ask for the length of",
            Self::Sync => "sync",
            Self::Preallocate => "set space aside for",
            Self::AllocatedBytes => "ask for the allocated space of",
        })
    }
}

/// A file operation that failed: which, on what, and why.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}{}", path.display(), Holder(*holder))]
pub struct StorageError {
    operation: StorageOperation,
    path: PathBuf,
    #[source]
    source: io::Error,
    holder: Option<u32>,
}

/// Who holds the lock, in words, where that is known.
struct Holder(Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(process) => write!(f, ", held by process {process}"),
            None => Ok(()),
        }
    }
}

impl StorageError {
    /// The failure `source` of `operation` on `path`, for those who implement [`Storage`].
    #[must_use]
    pub fn new(operation: StorageOperation, path: &Path, source: io::Error) -> Self {
        Self {
            operation,
            path: path.to_owned(),
            source,
            holder: None,
        }
    }

    /// The refusal of a lock that `holder` has, if that is known, for those who implement [`Storage`].
    #[must_use]
    pub fn locked(path: &Path, holder: Option<u32>) -> Self {
        let source = match holder {
            Some(pid) => io::Error::new(io::ErrorKind::WouldBlock, format!("held by process {pid}")),
            None => io::Error::new(io::ErrorKind::WouldBlock, "held by another process"),
        };
        Self {
            operation: StorageOperation::Lock,
            path: path.to_owned(),
            source,
            holder,
        }
    }

    /// What was being done.
    #[must_use]
    pub fn operation(&self) -> StorageOperation {
        self.operation
    }

    /// The file or directory that it was done to; of a rename or link the new name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the system said.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// Whether the medium, or this user's share of it, is full. Freeing space may help.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(
            self.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }

    /// Whether the file or directory does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind() == io::ErrorKind::NotFound
    }

    /// Whether the name that was to be made is taken.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.kind() == io::ErrorKind::AlreadyExists
    }

    /// Whether a lock was refused because it is held.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.operation == StorageOperation::Lock && self.kind() == io::ErrorKind::WouldBlock
    }

    /// The process that held the refused lock, if it could be told. It may have ended since.
    #[must_use]
    pub fn lock_holder(&self) -> Option<u32> {
        self.holder
    }
}

fn failed<F: StorageFile + ?Sized>(
    file: &F,
    operation: StorageOperation,
    kind: io::ErrorKind,
) -> StorageError {
    StorageError::new(operation, file.path(), kind.into())
}

/// The position `by` bytes after `at`; past the end of all positions is an invalid argument.
fn advance<F: StorageFile + ?Sized>(
    file: &F,
    operation: StorageOperation,
    at: u64,
    by: usize,
) -> Result<u64, StorageError> {
    let next = u64::try_from(by).ok().and_then(|by| at.checked_add(by));
    next.ok_or_else(|| failed(file, operation, io::ErrorKind::InvalidInput))
}
