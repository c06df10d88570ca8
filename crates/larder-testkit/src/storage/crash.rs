//! Crashes: a [`CrashPoint`] is a disk at one moment, its [images](CrashPoint::image) are what may be left of it.
//!
//! Always true: the same point, loss and seed give the same image; images are independent of each other and of the
//! disk they come from; on an image nothing is pending, for it is what a machine reads that has just started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_core::StorageOperation;

use super::SimStorage;
use super::bytes::{FileBytes, SECTOR_BYTES, sector_of};
use super::disk::State;
use super::names::{Names, NodeId};
use crate::seed::Random;

/// A disk as it was after one step.
#[derive(Clone, Debug)]
pub struct CrashPoint {
    pub(super) step: u64,
    pub(super) operation: StorageOperation,
    pub(super) path: PathBuf,
    pub(super) capacity_bytes: u64,
    pub(super) names: Names,
    pub(super) files: BTreeMap<NodeId, Arc<FileBytes>>,
}

/// What a crash takes of what was not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// All of it: what is left is exactly what was durable.
    Everything,
    /// None of it, as if everything had been synced a moment before.
    Nothing,
    /// The bytes; lengths and names are kept, so that what was not synced reads as zeros.
    Bytes,
    /// The names; bytes and lengths are kept.
    Names,
    /// What the seed says: each name, each length and each sector by itself is kept, lost or left half-way, and what
    /// was never written may be bytes of another file.
    Seeded(u64),
}

impl CrashPoint {
    /// The number of the step, 1 for the first since the disk was made.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// What the step did.
    #[must_use]
    pub fn operation(&self) -> StorageOperation {
        self.operation
    }

    /// What the step was done to.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A disk without faults that holds what is left after a crash at this point. O(bytes).
    #[must_use]
    pub fn image(&self, loss: Loss) -> SimStorage {
        let seed = if let Loss::Seeded(seed) = loss { seed } else { 0 };
        let mut choice = Choice::new(loss, self.stale_sectors(loss));
        let names = self.names.crash(&mut choice);
        let files = self
            .files
            .iter()
            .map(|(node, bytes)| (*node, Arc::new(FileBytes::durable(bytes.crash(&mut choice)))))
            .collect();
        SimStorage::over(State::from_medium(seed, self.capacity_bytes, names, files))
    }

    /// What sectors that were never written may hold: what other files held.
    fn stale_sectors(&self, loss: Loss) -> Vec<[u8; SECTOR_BYTES]> {
        if !matches!(loss, Loss::Seeded(_)) {
            return Vec::new();
        }
        let files = self.files.values().map(|bytes| bytes.live());
        files
            .flat_map(|live| (0..live.len().div_ceil(SECTOR_BYTES)).map(|index| sector_of(live, index)))
            .collect()
    }
}

/// Decides what a crash leaves, one thing after the other.
#[derive(Debug)]
pub(super) struct Choice {
    loss: Loss,
    random: Random,
    /// How many in a thousand pending things are kept; differs between seeds, so that nearly all and nearly nothing
    /// are tried as often as half.
    keep: u32,
    /// Whether sectors that were never written may hold stale bytes rather than zeros.
    stale: bool,
    stale_sectors: Vec<[u8; SECTOR_BYTES]>,
}

impl Choice {
    pub(super) fn new(loss: Loss, stale_sectors: Vec<[u8; SECTOR_BYTES]>) -> Self {
        let mut random = Random::seeded(if let Loss::Seeded(seed) = loss { seed } else { 0 });
        let keep = [50, 300, 500, 700, 950][random.index(5)];
        let stale = random.chance(300);
        Self {
            loss,
            random,
            keep,
            stale,
            stale_sectors,
        }
    }

    /// The version of a length that has had `versions` earlier ones: 0 is the durable one, `versions` the present one.
    pub(super) fn length(&mut self, versions: usize) -> usize {
        match self.loss {
            Loss::Everything => 0,
            Loss::Nothing | Loss::Bytes | Loss::Names => versions,
            Loss::Seeded(_) => self.version(versions),
        }
    }

    /// The version of a sector that was written `versions` times: 0 is the durable one, `versions` the present one.
    pub(super) fn sector(&mut self, versions: usize) -> usize {
        match self.loss {
            Loss::Everything | Loss::Bytes => 0,
            Loss::Nothing | Loss::Names => versions,
            Loss::Seeded(_) => self.version(versions),
        }
    }

    /// Whether a pending change of names is present.
    pub(super) fn name(&mut self) -> bool {
        match self.loss {
            Loss::Everything | Loss::Names => false,
            Loss::Nothing | Loss::Bytes => true,
            Loss::Seeded(_) => self.random.chance(self.keep),
        }
    }

    /// Whether the system drops a sector from memory that a failed sync has left.
    pub(super) fn evicts(&mut self) -> bool {
        self.random.chance(500)
    }

    /// What a sector holds that was never written.
    pub(super) fn never_written(&mut self) -> [u8; SECTOR_BYTES] {
        let mut sector = [0; SECTOR_BYTES];
        if matches!(self.loss, Loss::Seeded(_)) && self.stale {
            if self.stale_sectors.is_empty() || self.random.chance(250) {
                self.random.fill(&mut sector);
            } else {
                sector = self.stale_sectors[self.random.index(self.stale_sectors.len())];
            }
        }
        sector
    }

    /// The present version, or an earlier one: the durable one as often as all between.
    fn version(&mut self, versions: usize) -> usize {
        if self.random.chance(self.keep) {
            versions
        } else if self.random.chance(500) {
            0
        } else {
            self.random.index(versions + 1)
        }
    }
}
