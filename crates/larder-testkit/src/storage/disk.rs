//! [`Disk`]: the state that the handles of one simulated disk share, and the one door through which they change it.
//!
//! Always true: every call of a process passes [`Disk::run`], which asks the faults, counts the step and remembers the
//! crash point; hooks and panics happen with no lock held. What bytes and names do is decided by their own modules.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use larder_core::{StorageError, StorageOperation as Operation};

use super::bytes::{FileBytes, SECTOR_BYTES};
use super::crash::{Choice, CrashPoint, Loss};
use super::fault::{Fault, Faults, input_output_error, is_step};
use super::names::{Names, NodeId, NodeKind};
use crate::seed::Random;

const CAPACITY_BYTES_DEFAULT: u64 = 1 << 40;

/// Process ids begin here, so that they are not mistaken for counts.
const FIRST_PROCESS: u32 = 1001;

type Hook = Arc<dyn Fn(&CrashPoint) + Send + Sync>;

/// The shared state of one simulated disk.
pub(super) struct Disk {
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) names: Names,
    /// Every file there ever was, also those that no name leads to: their bytes are what stale sectors hold.
    files: BTreeMap<NodeId, Arc<FileBytes>>,
    pub(super) faults: Faults,
    random: Random,
    pub(super) capacity_bytes: u64,
    pub(super) steps: u64,
    pub(super) recorded: Option<Vec<CrashPoint>>,
    pub(super) hook: Option<Hook>,
    /// The processes that run, and the next process id.
    processes: Vec<u32>,
    next_process: u32,
    /// Open handles and held locks by a number of their own, so that a late `drop` of a dead process does no harm.
    handles: BTreeMap<u64, (NodeId, u32)>,
    locks: BTreeMap<u64, (NodeId, u32)>,
    next_handle: u64,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.with(|state| state.steps);
        f.debug_struct("Disk")
            .field("steps", &steps)
            .finish_non_exhaustive()
    }
}

impl Disk {
    pub(super) fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
        }
    }

    /// Looks at or changes the state without being a call of a process.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One call of a process: `act`, unless a fault forbids it. Faults that are the call's own business are handed to it.
    pub(super) fn run<T>(
        &self,
        process: u32,
        operation: Operation,
        path: &Path,
        act: impl FnOnce(&mut State, Option<Fault>) -> io::Result<T>,
    ) -> Result<T, StorageError> {
        let (outcome, hook) = self.with(|state| {
            if !state.processes.contains(&process) {
                return (Err(io::Error::other("the process was killed")), None);
            }
            let fault = state
                .faults
                .strike(operation, path, state.steps + 1, &mut state.random);
            let outcome = match fault {
                Some(Fault::Panic) => return (Ok(None), None),
                Some(Fault::Fail) => Err(input_output_error()),
                Some(Fault::NoSpace) => Err(io::ErrorKind::StorageFull.into()),
                fault => act(state, fault).map(Some),
            };
            let point = is_step(operation)
                .then(|| state.finish_step(operation, path))
                .flatten();
            (outcome, state.hook.clone().zip(point))
        });
        if let Some((hook, point)) = hook {
            hook(&point);
        }
        match outcome {
            Ok(Some(value)) => Ok(value),
            // Not `panic!`: the hook would print it, and it is what the test asked for.
            Ok(None) => std::panic::resume_unwind(Box::new(format!(
                "simulated panic in {operation} {}",
                path.display()
            ))),
            Err(error) => Err(StorageError::new(operation, path, error)),
        }
    }
}

impl State {
    pub(super) fn empty(seed: u64) -> Self {
        Self::from_medium(seed, CAPACITY_BYTES_DEFAULT, Names::empty(), BTreeMap::new())
    }

    pub(super) fn from_medium(
        seed: u64,
        capacity_bytes: u64,
        names: Names,
        files: BTreeMap<NodeId, Arc<FileBytes>>,
    ) -> Self {
        Self {
            names,
            files,
            faults: Faults::default(),
            random: Random::seeded(seed),
            capacity_bytes,
            steps: 0,
            recorded: None,
            hook: None,
            processes: Vec::new(),
            next_process: FIRST_PROCESS,
            handles: BTreeMap::new(),
            locks: BTreeMap::new(),
            next_handle: 0,
        }
    }

    pub(super) fn start_process(&mut self) -> u32 {
        let process = self.next_process;
        self.next_process += 1;
        self.processes.push(process);
        process
    }

    pub(super) fn kill(&mut self, process: u32) {
        self.processes.retain(|running| *running != process);
        self.handles.retain(|_, (_, owner)| *owner != process);
        self.locks.retain(|_, (_, owner)| *owner != process);
        let mut choice = Choice::new(Loss::Seeded(self.random.next_u64()), Vec::new());
        for bytes in self.files.values_mut() {
            Arc::make_mut(bytes).evict_abandoned(&mut choice);
        }
    }

    pub(super) fn start_recording(&mut self) {
        self.recorded = Some(vec![self.crash_point(Operation::Open, Path::new(""))]);
    }

    pub(super) fn crash_point(&self, operation: Operation, path: &Path) -> CrashPoint {
        CrashPoint {
            step: self.steps,
            operation,
            path: path.to_owned(),
            capacity_bytes: self.capacity_bytes,
            names: self.names.clone(),
            files: self.files.clone(),
        }
    }

    fn finish_step(&mut self, operation: Operation, path: &Path) -> Option<CrashPoint> {
        self.steps += 1;
        if self.recorded.is_none() && self.hook.is_none() {
            return None;
        }
        let point = self.crash_point(operation, path);
        if let Some(recorded) = &mut self.recorded {
            recorded.push(point.clone());
        }
        Some(point)
    }

    pub(super) fn file(&self, node: NodeId) -> &FileBytes {
        self.files
            .get(&node)
            .expect("invariant: a file node has bytes as long as the disk exists")
    }

    pub(super) fn file_mut(&mut self, node: NodeId) -> &mut FileBytes {
        Arc::make_mut(self.files.entry(node).or_default())
    }

    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<NodeId> {
        let node = self.names.create(path, NodeKind::File)?;
        self.files.insert(node, Arc::default());
        Ok(node)
    }

    /// Writes as much of `bytes` as faults and free space allow.
    pub(super) fn write(
        &mut self,
        node: NodeId,
        offset: u64,
        bytes: &[u8],
        fault: Option<Fault>,
    ) -> io::Result<usize> {
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let taken = match fault {
            Some(Fault::ShortWrite) if bytes.len() > 1 => 1 + self.random.index(bytes.len() - 1),
            Some(Fault::PartialWrite) => self.random.index(bytes.len() + 1),
            _ => bytes.len(),
        };
        let end = offset.checked_add(taken).ok_or(io::ErrorKind::FileTooLarge)?;
        let allocated = self.file(node).allocated();
        let free = usize::try_from(self.free_bytes()).unwrap_or(usize::MAX);
        let fits = allocated
            .saturating_add(free / SECTOR_BYTES * SECTOR_BYTES)
            .min(end);
        let taken = fits.saturating_sub(offset).min(taken);
        self.file_mut(node).write(offset, &bytes[..taken]);
        match fault {
            Some(Fault::PartialWrite) => Err(input_output_error()),
            _ if taken == 0 && !bytes.is_empty() => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(taken),
        }
    }

    /// Reads into `bytes` what there is, as faults allow.
    pub(super) fn read(
        &mut self,
        node: NodeId,
        offset: u64,
        bytes: &mut [u8],
        fault: Option<Fault>,
    ) -> usize {
        let live = self.files.get(&node).map_or(&[][..], |file| file.live());
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(live.len());
        let mut count = (live.len() - from).min(bytes.len());
        if fault == Some(Fault::ShortRead) && count > 1 {
            count = 1 + self.random.index(count - 1);
        }
        bytes[..count].copy_from_slice(&live[from..from + count]);
        if fault == Some(Fault::FlippedBit) && count > 0 {
            let bit = 1 << self.random.index(8);
            bytes[self.random.index(count)] ^= bit;
        }
        count
    }

    pub(super) fn preallocate(&mut self, node: NodeId, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let more = len
            .next_multiple_of(SECTOR_BYTES)
            .saturating_sub(self.file(node).allocated());
        if u64::try_from(more).is_ok_and(|more| more > self.free_bytes()) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file_mut(node).reserve(len);
        Ok(())
    }

    /// What files with a name or a handle leave of the capacity.
    pub(super) fn free_bytes(&self) -> u64 {
        let mut files = self.names.live_files();
        files.extend(self.handles.values().map(|(node, _)| *node));
        files.sort_unstable();
        files.dedup();
        let used: usize = files.into_iter().map(|node| self.file(node).allocated()).sum();
        self.capacity_bytes
            .saturating_sub(u64::try_from(used).unwrap_or(u64::MAX))
    }

    pub(super) fn open_handle(&mut self, node: NodeId, process: u32) -> u64 {
        self.next_handle += 1;
        self.handles.insert(self.next_handle, (node, process));
        self.next_handle
    }

    pub(super) fn close_handle(&mut self, handle: u64) {
        self.handles.remove(&handle);
    }

    /// Takes the lock for a process, or says who has it.
    pub(super) fn lock(&mut self, path: &Path, process: u32) -> io::Result<Result<u64, u32>> {
        let node = match self.names.file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create_file(path)?,
            found => found?,
        };
        if let Some((_, holder)) = self.locks.values().find(|(held, _)| *held == node) {
            return Ok(Err(*holder));
        }
        let bytes = self.file_mut(node);
        bytes.cut_back(0);
        bytes.write(0, process.to_string().as_bytes());
        let lock = self.open_handle(node, process);
        self.locks.insert(lock, (node, process));
        Ok(Ok(lock))
    }

    pub(super) fn unlock(&mut self, lock: u64) {
        if let Some((node, _)) = self.locks.remove(&lock) {
            self.file_mut(node).cut_back(0);
        }
        self.close_handle(lock);
    }
}
