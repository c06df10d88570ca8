//! Open files and held locks of a simulated disk.
//!
//! Always true: a handle reaches its file whatever names it has, as long as its process lives. What the calls do is
//! decided by the disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_core::{StorageError, StorageFile, StorageLock, StorageOperation as Operation};

use super::disk::{Disk, State};
use super::fault::{Fault, input_output_error};
use super::names::NodeId;

/// An open file.
#[derive(Debug)]
pub(super) struct SimFile {
    pub(super) disk: Arc<Disk>,
    pub(super) process: u32,
    pub(super) handle: u64,
    pub(super) node: NodeId,
    pub(super) path: PathBuf,
    pub(super) writable: bool,
}

impl SimFile {
    fn run<T>(
        &self,
        operation: Operation,
        act: impl FnOnce(&mut State, Option<Fault>) -> io::Result<T>,
    ) -> Result<T, StorageError> {
        self.disk.run(self.process, operation, &self.path, act)
    }

    fn change<T>(
        &self,
        operation: Operation,
        act: impl FnOnce(&mut State, Option<Fault>) -> io::Result<T>,
    ) -> Result<T, StorageError> {
        if !self.writable {
            return Err(StorageError::new(
                operation,
                &self.path,
                io::ErrorKind::PermissionDenied.into(),
            ));
        }
        self.run(operation, act)
    }
}

impl StorageFile for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, StorageError> {
        self.run(Operation::Read, |state, fault| {
            Ok(state.read(self.node, offset, bytes, fault))
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, StorageError> {
        self.change(Operation::Write, |state, fault| {
            state.write(self.node, offset, bytes, fault)
        })
    }

    fn cut_back(&self, len: u64) -> Result<(), StorageError> {
        self.change(Operation::CutBack, |state, _| {
            let file = state.file_mut(self.node);
            let len = usize::try_from(len).ok().filter(|len| *len <= file.live().len());
            file.cut_back(len.ok_or(io::ErrorKind::InvalidInput)?);
            Ok(())
        })
    }

    fn len(&self) -> Result<u64, StorageError> {
        self.run(Operation::Length, |state, _| {
            count(state.file(self.node).live().len())
        })
    }

    fn sync_data(&self) -> Result<(), StorageError> {
        self.run(Operation::Sync, |state, fault| {
            let file = state.file_mut(self.node);
            match fault {
                Some(Fault::LostSync) => {}
                Some(Fault::FailedSync) => {
                    file.abandon();
                    return Err(input_output_error());
                }
                _ => file.sync(),
            }
            Ok(())
        })
    }

    fn sync_all(&self) -> Result<(), StorageError> {
        self.sync_data()
    }

    fn preallocate(&self, len: u64) -> Result<bool, StorageError> {
        self.change(Operation::Preallocate, |state, _| {
            state.preallocate(self.node, len)
        })?;
        Ok(true)
    }

    fn allocated_bytes(&self) -> Result<u64, StorageError> {
        self.run(Operation::AllocatedBytes, |state, _| {
            count(state.file(self.node).allocated())
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.with(|state| state.close_handle(self.handle));
    }
}

/// A held lock.
#[derive(Debug)]
pub(super) struct SimLock {
    pub(super) disk: Arc<Disk>,
    pub(super) lock: u64,
    pub(super) path: PathBuf,
}

impl StorageLock for SimLock {
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.with(|state| state.unlock(self.lock));
    }
}

fn count(bytes: usize) -> io::Result<u64> {
    u64::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge.into())
}
