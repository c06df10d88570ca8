//! [`FileBytes`]: the bytes of one file, as processes see them and as the medium holds them.
//!
//! For each sector that was touched since the last good sync it keeps every content the sector has had since, and the
//! same for the length; a crash picks one of each, independently. Always true: a sector without such a history is the
//! same on both sides. It knows no names and no faults.

use std::collections::BTreeMap;
use std::io;

use super::crash::Choice;

/// What a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

type Sector = [u8; SECTOR_BYTES];

/// The bytes of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct FileBytes {
    /// What processes read.
    live: Vec<u8>,
    /// What the medium holds of the sectors that are not pending; it may reach beyond the durable length.
    durable: Vec<u8>,
    /// The sectors whose content on the medium is not known.
    pending: BTreeMap<usize, PendingSector>,
    /// The lengths since the last good sync, the durable one first; empty if the length is durable.
    lengths: Vec<usize>,
    /// Space set aside, in bytes from the start of the file.
    reserved: usize,
}

#[derive(Clone, Debug)]
struct PendingSector {
    /// The contents since the last good sync, oldest first, without the one before.
    versions: Vec<Sector>,
    /// A sync of it failed, so no sync covers it until it is written again.
    abandoned: bool,
}

impl FileBytes {
    /// A file that the medium holds with just these bytes.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self {
            live: bytes.clone(),
            durable: bytes,
            ..Self::default()
        }
    }

    pub(super) fn live(&self) -> &[u8] {
        &self.live
    }

    /// Bytes on the medium, in whole sectors.
    pub(super) fn allocated(&self) -> usize {
        self.live.len().max(self.reserved).next_multiple_of(SECTOR_BYTES)
    }

    pub(super) fn reserve(&mut self, len: usize) {
        self.reserved = self.reserved.max(len);
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let Some(last) = bytes.len().checked_sub(1) else {
            return;
        };
        let end = offset + bytes.len();
        if end > self.live.len() {
            self.lengths.push(self.live.len());
            self.live.resize(end, 0);
        }
        self.live[offset..end].copy_from_slice(bytes);
        self.touch(offset / SECTOR_BYTES, (offset + last) / SECTOR_BYTES);
    }

    /// Cuts back to `len`, which is at most the length.
    pub(super) fn cut_back(&mut self, len: usize) {
        let before = self.live.len();
        self.reserved = self.reserved.min(len);
        if len == before {
            return;
        }
        self.lengths.push(before);
        self.live.truncate(len);
        self.touch(len / SECTOR_BYTES, (before - 1) / SECTOR_BYTES);
    }

    /// All that is pending is durable from now on, except sectors that a failed sync has abandoned.
    pub(super) fn sync(&mut self) {
        self.lengths.clear();
        self.durable.resize(self.live.len(), 0);
        let pending = std::mem::take(&mut self.pending);
        for (index, sector) in pending {
            if sector.abandoned {
                self.pending.insert(index, sector);
            } else {
                let content = sector_of(&self.live, index);
                put_sector(&mut self.durable, index, &content);
            }
        }
    }

    /// A sync has failed: what was pending stays unknown, and is no longer covered by later syncs. The length is.
    pub(super) fn abandon(&mut self) {
        for sector in self.pending.values_mut() {
            sector.abandoned = true;
        }
    }

    /// The system drops abandoned sectors from memory, some or all: from now on processes see what the medium happens
    /// to hold of them.
    pub(super) fn evict_abandoned(&mut self, choice: &mut Choice) {
        let abandoned: Vec<usize> = self
            .pending
            .iter()
            .filter(|(_, sector)| sector.abandoned)
            .map(|(index, _)| *index)
            .collect();
        for index in abandoned {
            if choice.evicts() {
                let content = self.choose_sector(index, choice);
                self.pending.remove(&index);
                put_sector(&mut self.live, index, &content);
                // The sector is known again, also where it lies behind the durable length, which may yet grow over it.
                let covered = self.live.len().min((index + 1) * SECTOR_BYTES);
                self.durable.resize(self.durable.len().max(covered), 0);
                put_sector(&mut self.durable, index, &content);
            }
        }
    }

    /// What the medium holds after a crash.
    pub(super) fn crash(&self, choice: &mut Choice) -> Vec<u8> {
        let versions = self.lengths.len();
        let len = match choice.length(versions) {
            version if version < versions => self.lengths[version],
            _ => self.live.len(),
        };
        let mut bytes = self.durable.clone();
        bytes.resize(len, 0);
        for index in self.pending.keys() {
            let content = self.choose_sector(*index, choice);
            put_sector(&mut bytes, *index, &content);
        }
        bytes
    }

    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) -> io::Result<()> {
        let offset = usize::try_from(offset)
            .ok()
            .filter(|offset| *offset < self.live.len());
        let offset = offset.ok_or(io::ErrorKind::InvalidInput)?;
        let mask = 1 << (bit % 8);
        self.live[offset] ^= mask;
        if let Some(byte) = self.durable.get_mut(offset) {
            *byte ^= mask;
        }
        if let Some(sector) = self.pending.get_mut(&(offset / SECTOR_BYTES)) {
            sector
                .versions
                .iter_mut()
                .for_each(|version| version[offset % SECTOR_BYTES] ^= mask);
        }
        Ok(())
    }

    fn choose_sector(&self, index: usize, choice: &mut Choice) -> Sector {
        let versions = self
            .pending
            .get(&index)
            .map_or(&[][..], |sector| &sector.versions);
        match choice
            .sector(versions.len())
            .checked_sub(1)
            .and_then(|version| versions.get(version))
        {
            Some(version) => *version,
            None if index * SECTOR_BYTES >= self.durable.len() => choice.never_written(),
            None => sector_of(&self.durable, index),
        }
    }

    /// Remembers the present content of the sectors `first` to `last`.
    fn touch(&mut self, first: usize, last: usize) {
        for index in first..=last {
            let content = sector_of(&self.live, index);
            let sector = self.pending.entry(index).or_insert_with(|| PendingSector {
                versions: Vec::new(),
                abandoned: false,
            });
            sector.versions.push(content);
            sector.abandoned = false;
        }
    }
}

/// The sector's bytes, with zeros for what lies behind the end.
pub(super) fn sector_of(bytes: &[u8], index: usize) -> Sector {
    let mut sector = [0; SECTOR_BYTES];
    let from = (index * SECTOR_BYTES).min(bytes.len());
    let to = (from + SECTOR_BYTES).min(bytes.len());
    sector[..to - from].copy_from_slice(&bytes[from..to]);
    sector
}

/// Puts a sector into `bytes`, as far as they reach.
fn put_sector(bytes: &mut [u8], index: usize, sector: &Sector) {
    let from = (index * SECTOR_BYTES).min(bytes.len());
    let to = (from + SECTOR_BYTES).min(bytes.len());
    bytes[from..to].copy_from_slice(&sector[..to - from]);
}
