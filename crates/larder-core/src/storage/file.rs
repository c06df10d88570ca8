//! [`FileStorage`]: the real [`Storage`], files of the operating system.
//!
//! It adds nothing to the system calls but the path in each error, and retries what a signal interrupted. It follows
//! no policy: what is synced when is decided by its caller. It exists on Unix only, where a directory can be
//! synced; elsewhere a host brings its own [`Storage`].

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{
    DirectoryEntry, EntryKind, Storage, StorageError, StorageFile, StorageLock, StorageOperation as Operation,
};

/// A process id in decimal takes at most ten digits; a lock file is read no further.
const HOLDER_BYTES_MAX: u64 = 16;

/// How often a lock is tried that somebody else has taken and removed meanwhile.
const LOCK_ATTEMPTS_MAX: usize = 100;

/// The unit of `st_blocks`, fixed by POSIX whatever the file system's block size.
const BLOCK_BYTES: u64 = 512;

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct FileStorage;

impl FileStorage {
    /// The operating system's files.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Storage for FileStorage {
    fn create_new(&self, path: &Path) -> Result<Box<dyn StorageFile>, StorageError> {
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .to_owned();
        open(&options, path, Operation::Create)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn StorageFile>, StorageError> {
        open(
            &OpenOptions::new().read(true).write(true).to_owned(),
            path,
            Operation::Open,
        )
    }

    fn open_read_only(&self, path: &Path) -> Result<Box<dyn StorageFile>, StorageError> {
        open(&OpenOptions::new().read(true).to_owned(), path, Operation::Open)
    }

    fn create_directory(&self, path: &Path) -> Result<(), StorageError> {
        let mut missing = Vec::new();
        let mut found = path;
        while !found.as_os_str().is_empty() && !is_directory(found)? {
            missing.push(found);
            found = parent(found);
        }
        // The one that was found may have been made a moment ago by a process that died before it synced its parent.
        match sync_directory(parent(found)) {
            Err(error) if cannot_be_ours(&error) => {}
            outcome => outcome?,
        }
        // Top down, each synced before the next is made: if this process dies, at most the last name is not durable.
        for directory in missing.into_iter().rev() {
            match std::fs::create_dir(directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                outcome => outcome.map_err(at(Operation::CreateDirectory, directory))?,
            }
            sync_directory(parent(directory))?;
        }
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> Result<(), StorageError> {
        sync_directory(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        std::fs::rename(from, to).map_err(at(Operation::Rename, to))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<bool, StorageError> {
        match std::fs::hard_link(from, to) {
            Ok(()) => Ok(true),
            Err(error) if cannot_link(&error) => Ok(false),
            Err(error) => Err(at(Operation::Link, to)(error)),
        }
    }

    fn remove(&self, path: &Path) -> Result<(), StorageError> {
        std::fs::remove_file(path).map_err(at(Operation::Remove, path))
    }

    fn remove_directory(&self, path: &Path) -> Result<(), StorageError> {
        std::fs::remove_dir(path).map_err(at(Operation::RemoveDirectory, path))
    }

    fn list(&self, path: &Path) -> Result<Vec<DirectoryEntry>, StorageError> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path).map_err(at(Operation::List, path))? {
            let entry = entry.map_err(at(Operation::List, path))?;
            let kind = match entry.file_type() {
                Ok(kind) if kind.is_file() => EntryKind::File,
                Ok(kind) if kind.is_dir() => EntryKind::Directory,
                Ok(_) => EntryKind::Other,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(at(Operation::List, &entry.path())(error)),
            };
            entries.push(DirectoryEntry::new(entry.file_name(), kind));
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn StorageLock>, StorageError> {
        let mut taken = None;
        for _ in 0..LOCK_ATTEMPTS_MAX {
            taken = take(path)?;
            if taken.is_some() {
                break;
            }
        }
        let file = taken.ok_or_else(|| StorageError::locked(path, None))?;
        // From here on the lock is given back by `drop`, also if the process id cannot be written.
        let lock = FileLock {
            file,
            path: path.to_owned(),
        };
        lock.file.set_len(0).map_err(at(Operation::Lock, path))?;
        let pid = std::process::id().to_string();
        lock.file
            .write_all_at(pid.as_bytes(), 0)
            .map_err(at(Operation::Lock, path))?;
        Ok(Box::new(lock))
    }

    fn free_bytes(&self, directory: &Path) -> Result<u64, StorageError> {
        let system = rustix::fs::statvfs(directory)
            .map_err(|errno| at(Operation::FreeBytes, directory)(errno.into()))?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }
}

/// A file of the operating system.
#[derive(Debug)]
struct OpenFile {
    file: File,
    path: PathBuf,
}

impl StorageFile for OpenFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, StorageError> {
        loop {
            match self.file.read_at(bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome.map_err(at(Operation::Read, &self.path)),
            }
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, StorageError> {
        loop {
            match self.file.write_at(bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome.map_err(at(Operation::Write, &self.path)),
            }
        }
    }

    fn cut_back(&self, len: u64) -> Result<(), StorageError> {
        if len > self.len()? {
            return Err(at(Operation::CutBack, &self.path)(
                io::ErrorKind::InvalidInput.into(),
            ));
        }
        self.file.set_len(len).map_err(at(Operation::CutBack, &self.path))
    }

    fn len(&self) -> Result<u64, StorageError> {
        Ok(self
            .file
            .metadata()
            .map_err(at(Operation::Length, &self.path))?
            .len())
    }

    fn sync_data(&self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(at(Operation::Sync, &self.path))
    }

    fn sync_all(&self) -> Result<(), StorageError> {
        self.file.sync_all().map_err(at(Operation::Sync, &self.path))
    }

    fn preallocate(&self, len: u64) -> Result<bool, StorageError> {
        if len == 0 {
            return Ok(true);
        }
        preallocate(&self.file, len).map_err(at(Operation::Preallocate, &self.path))
    }

    fn allocated_bytes(&self) -> Result<u64, StorageError> {
        let metadata = self
            .file
            .metadata()
            .map_err(at(Operation::AllocatedBytes, &self.path))?;
        Ok(metadata.blocks().saturating_mul(BLOCK_BYTES))
    }
}

/// A lock held on a file; the system gives it back when the file is closed, whatever closes it.
#[derive(Debug)]
struct FileLock {
    file: File,
    path: PathBuf,
}

impl StorageLock for FileLock {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Emptied while still held, so that a lock that nobody holds names nobody and an idle open leaves no trace. If
        // it fails, a stale process id remains, which is for messages only.
        let _ = self.file.set_len(0);
    }
}

/// Opens and locks a file; none if it did not lie there any more by then. Its holder has removed it in between, and what lies there now, or is made,
/// is the lock.
fn take(path: &Path) -> Result<Option<File>, StorageError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(at(Operation::Lock, path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StorageError::locked(path, holder(&file))),
        Err(TryLockError::Error(error)) => return Err(at(Operation::Lock, path)(error)),
    }
    let locked = file.metadata().map_err(at(Operation::Lock, path))?;
    match std::fs::metadata(path) {
        Ok(found) if (found.dev(), found.ino()) == (locked.dev(), locked.ino()) => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(Operation::Lock, path)(error)),
    }
}

fn open(
    options: &OpenOptions,
    path: &Path,
    operation: Operation,
) -> Result<Box<dyn StorageFile>, StorageError> {
    let file = options.open(path).map_err(at(operation, path))?;
    Ok(Box::new(OpenFile {
        file,
        path: path.to_owned(),
    }))
}

fn sync_directory(path: &Path) -> Result<(), StorageError> {
    let directory = File::open(path).map_err(at(Operation::SyncDirectory, path))?;
    directory.sync_all().map_err(at(Operation::SyncDirectory, path))
}

fn is_directory(path: &Path) -> Result<bool, StorageError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(true),
        Ok(_) => Err(at(Operation::CreateDirectory, path)(
            io::ErrorKind::NotADirectory.into(),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at(Operation::CreateDirectory, path)(error)),
    }
}

/// The directory that holds `path`; a bare name is in the current one, and the root holds itself.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None if path.as_os_str().is_empty() => Path::new("."),
        None => path,
    }
}

/// Where a process may not open a directory, or its file system syncs none or is read-only, as the root around a mounted
/// volume may be, nobody has made a name in it a moment ago.
fn cannot_be_ours(error: &StorageError) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(
        error.kind(),
        PermissionDenied | ReadOnlyFilesystem | InvalidInput | Unsupported
    )
}

/// Who says in the file that it holds the lock; nothing if it has not yet, or not in full.
fn holder(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(HOLDER_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.parse().ok()
}

/// File systems without hard links, two file systems, or a file that has as many names as it can.
fn cannot_link(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, TooManyLinks, Unsupported};
    let kind = error.kind();
    // Linux answers EPERM on file systems that have no links.
    matches!(
        kind,
        Unsupported | CrossesDevices | TooManyLinks | io::ErrorKind::PermissionDenied
    ) && error.raw_os_error() != Some(rustix::io::Errno::ACCESS.raw_os_error())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn preallocate(file: &File, len: u64) -> io::Result<bool> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    loop {
        match fallocate(file, FallocateFlags::KEEP_SIZE, 0, len) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Elsewhere the calls either write zeros or change the length, and neither is what was asked for.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn preallocate(_file: &File, _len: u64) -> io::Result<bool> {
    Ok(false)
}

/// Names the operation and the path of an error.
fn at(operation: Operation, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    move |source| StorageError::new(operation, path, source)
}
