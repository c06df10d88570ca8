//! [`SimStorage`]: a [`Storage`] in memory that can fail in every way in which a disk can, and crash at every step.
//!
//! It keeps each file and directory twice: as processes see it, and as the medium holds it, with what lies between
//! them, which is what a crash decides about. It takes every liberty that the section "What is durable after which
//! call" of `larder-core`'s `storage.rs` leaves to a disk, and no other. Always true: one seed and one sequence of calls
//! give one behaviour; a crash image never lacks what was durable, unless a fault was armed that says so.
//!
//! It is no model of speed, and knows neither permissions nor symbolic links nor times.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_core::{
    DirectoryEntry, Storage, StorageError, StorageFile, StorageLock, StorageOperation as Operation,
};

mod bytes;
mod crash;
mod disk;
mod fault;
mod handle;
mod names;

pub use bytes::SECTOR_BYTES;
pub use crash::{CrashPoint, Loss};
pub use fault::{Fault, Injection};

use disk::{Disk, State};
use handle::{SimFile, SimLock};
use names::{NodeId, NodeKind};

/// A simulated disk as one process sees it.
///
/// Clones are the same process; [`SimStorage::another_process`] is another one on the same disk, which matters for locks
/// and for [`SimStorage::kill`]. Paths are taken from the root, whether they begin with a slash or not; `..` is refused.
///
/// ```
/// use larder_core::Storage;
/// use larder_testkit::{Loss, SimStorage};
/// use std::path::Path;
///
/// # fn main() -> Result<(), larder_core::StorageError> {
/// let disk = SimStorage::seeded(1);
/// disk.record_crash_points();
/// let file = disk.create_new(Path::new("a"))?;
/// file.write_all_at(0, b"acknowledged")?;
/// file.sync_data()?;
/// disk.sync_directory(Path::new(""))?;
///
/// // Recover from what a crash after each step leaves, the worst and one by chance.
/// for point in disk.crash_points() {
///     for loss in [Loss::Everything, Loss::Seeded(7)] {
///         let survivor = point.image(loss);
///         let found = survivor.open(Path::new("a"));
///         assert!(found.is_ok() || point.step() < 4, "the name was synced at step 4");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SimStorage {
    disk: Arc<Disk>,
    process: u32,
}

impl SimStorage {
    /// An empty disk of a tebibyte without faults. The seed decides what faults that are armed later do exactly.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::over(State::empty(seed))
    }

    fn over(mut state: State) -> Self {
        let process = state.start_process();
        Self {
            disk: Arc::new(Disk::new(state)),
            process,
        }
    }

    /// Another process on the same disk. It sees the same files; locks keep the two apart.
    #[must_use]
    pub fn another_process(&self) -> Self {
        let process = self.disk.with(State::start_process);
        Self {
            disk: Arc::clone(&self.disk),
            process,
        }
    }

    /// The process id, as [`StorageError::lock_holder`] names it.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process
    }

    /// Kills this process, as `kill -9` does, and starts another one in its place. The power stays on: what was written
    /// is there, durable or not. Locks of the dead one are free; whatever it still calls fails. The system may at this
    /// moment drop from memory what a failed sync has left, so that the medium's own bytes show again.
    #[must_use]
    pub fn kill(&self) -> Self {
        self.disk.with(|state| state.kill(self.process));
        self.another_process()
    }

    /// Arms a fault.
    pub fn inject(&self, injection: Injection) {
        self.disk.with(|state| state.faults.arm(injection));
    }

    /// Disarms all faults.
    pub fn calm(&self) {
        self.disk.with(|state| state.faults.calm());
    }

    /// How many faults have struck so far.
    #[must_use]
    pub fn faults_struck(&self) -> u64 {
        self.disk.with(|state| state.faults.struck())
    }

    /// Makes the disk this large: what goes beyond is refused as full. Files occupy whole sectors of 512 bytes.
    pub fn set_capacity_bytes(&self, capacity: u64) {
        self.disk.with(|state| state.capacity_bytes = capacity);
    }

    /// Flips a bit of a file where it lies, as a medium does that ages: whoever reads it sees it from now on, and a crash
    /// does not heal it.
    ///
    /// # Errors
    ///
    /// If there is no such file, or it is not that long.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> Result<(), StorageError> {
        let flipped = self.disk.with(|state| {
            let node = state.names.file(path)?;
            state.file_mut(node).flip_bit(offset, bit)
        });
        flipped.map_err(|error| StorageError::new(Operation::Write, path, error))
    }

    /// How many steps there were. A step is a call that changes something or syncs something, whether it
    /// succeeded or not; creating a directory takes several.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.disk.with(|state| state.steps)
    }

    /// From now on remembers the disk as it is now and after each step. O(files) a step.
    pub fn record_crash_points(&self) {
        self.disk.with(State::start_recording);
    }

    /// What was remembered since [`SimStorage::record_crash_points`], in order.
    #[must_use]
    pub fn crash_points(&self) -> Vec<CrashPoint> {
        self.disk.with(|state| state.recorded.clone().unwrap_or_default())
    }

    /// The disk as it is now.
    #[must_use]
    pub fn crash_point(&self) -> CrashPoint {
        self.disk
            .with(|state| state.crash_point(Operation::Open, Path::new("")))
    }

    /// Calls `hook` after each step, on the thread that made the step, with no lock held. What the hook does
    /// to this disk makes steps too.
    pub fn on_step(&self, hook: impl Fn(&CrashPoint) + Send + Sync + 'static) {
        self.disk.with(|state| state.hook = Some(Arc::new(hook)));
    }

    fn run<T>(
        &self,
        operation: Operation,
        path: &Path,
        act: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> Result<T, StorageError> {
        self.disk
            .run(self.process, operation, path, |state, _| act(state))
    }

    fn open_node(&self, path: &Path, writable: bool) -> Result<Box<dyn StorageFile>, StorageError> {
        let node = self.run(Operation::Open, path, |state| state.names.file(path))?;
        Ok(self.handle(node, path, writable))
    }

    fn handle(&self, node: NodeId, path: &Path, writable: bool) -> Box<dyn StorageFile> {
        let handle = self.disk.with(|state| state.open_handle(node, self.process));
        Box::new(SimFile {
            disk: Arc::clone(&self.disk),
            process: self.process,
            handle,
            node,
            path: path.to_owned(),
            writable,
        })
    }
}

impl Storage for SimStorage {
    fn create_new(&self, path: &Path) -> Result<Box<dyn StorageFile>, StorageError> {
        let node = self.run(Operation::Create, path, |state| state.create_file(path))?;
        Ok(self.handle(node, path, true))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn StorageFile>, StorageError> {
        self.open_node(path, true)
    }

    fn open_read_only(&self, path: &Path) -> Result<Box<dyn StorageFile>, StorageError> {
        self.open_node(path, false)
    }

    fn create_directory(&self, path: &Path) -> Result<(), StorageError> {
        let mut missing = Vec::new();
        let mut found = path;
        let exists = |directory: &Path| {
            let exists = self.disk.with(|state| state.names.is_directory(directory));
            exists.map_err(|error| StorageError::new(Operation::CreateDirectory, directory, error))
        };
        while !exists(found)? {
            missing.push(found);
            found = parent(found);
        }
        self.sync_directory(parent(found))?;
        for directory in missing.into_iter().rev() {
            self.run(Operation::CreateDirectory, directory, |state| {
                state.names.create(directory, NodeKind::Directory).map(|_| ())
            })?;
            self.sync_directory(parent(directory))?;
        }
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> Result<(), StorageError> {
        self.disk
            .run(self.process, Operation::SyncDirectory, path, |state, fault| {
                let node = state.names.directory(path)?;
                match fault {
                    Some(Fault::FailedSync) => Err(fault::input_output_error()),
                    Some(Fault::LostSync) => Ok(()),
                    _ => {
                        state.names.sync(node);
                        Ok(())
                    }
                }
            })
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StorageError> {
        self.run(Operation::Rename, to, |state| state.names.rename(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<bool, StorageError> {
        self.run(Operation::Link, to, |state| state.names.link(from, to))?;
        Ok(true)
    }

    fn remove(&self, path: &Path) -> Result<(), StorageError> {
        self.run(Operation::Remove, path, |state| {
            state.names.remove(path, NodeKind::File)
        })
    }

    fn remove_directory(&self, path: &Path) -> Result<(), StorageError> {
        self.run(Operation::RemoveDirectory, path, |state| {
            state.names.remove(path, NodeKind::Directory)
        })
    }

    fn list(&self, path: &Path) -> Result<Vec<DirectoryEntry>, StorageError> {
        self.run(Operation::List, path, |state| state.names.list(path))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn StorageLock>, StorageError> {
        let taken = self.run(Operation::Lock, path, |state| state.lock(path, self.process))?;
        match taken {
            Ok(lock) => Ok(Box::new(SimLock {
                disk: Arc::clone(&self.disk),
                lock,
                path: path.to_owned(),
            })),
            Err(holder) => Err(StorageError::locked(path, Some(holder))),
        }
    }

    fn free_bytes(&self, directory: &Path) -> Result<u64, StorageError> {
        self.run(Operation::FreeBytes, directory, |state| {
            state.names.directory(directory)?;
            Ok(state.free_bytes())
        })
    }
}

/// The directory that holds `path`; the root holds itself.
fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The components of a path from the root.
fn components(path: &Path) -> io::Result<Vec<PathBuf>> {
    use std::path::Component;
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(PathBuf::from(name)),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    Ok(names)
}
