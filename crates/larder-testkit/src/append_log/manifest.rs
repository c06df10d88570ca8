//! [`Manifest`]: which segments make up the log.
//!
//! Always true: the file `manifest` is whole, whatever moment a crash chooses, because the next one is written and
//! synced under another name first; all files that it lists were durable, names included, before it got its name.

use larder_core::{FRAME_HEADER_BYTES, FileHeader, FrameFormat, StoreId};

use super::recovery::remove_if_there;
use super::{AppendLogError, Files, KIND_MANIFEST, KIND_MANIFEST_BODY, MAGIC, VERSION, read_file};

const NAME: &str = "manifest";
const NAME_NEXT: &str = "manifest.new";

const BODY_BYTES_MAX: u32 = 1 << 20;
const FILE_BYTES_MAX: u64 = FileHeader::BYTES as u64 + FRAME_HEADER_BYTES as u64 + BODY_BYTES_MAX as u64;

const HEADER: FrameFormat = FileHeader::format(MAGIC, VERSION, KIND_MANIFEST);
const BODY: FrameFormat = FrameFormat::new(MAGIC, VERSION, BODY_BYTES_MAX).kind(KIND_MANIFEST_BODY);

/// The list of segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    store: StoreId,
    sealed: Vec<Sealed>,
    active_number: u64,
    active_first: u64,
}

/// A segment that is full and durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) number: u64,
    pub(super) first: u64,
    pub(super) bytes: u64,
}

impl Manifest {
    pub(super) fn first_of(store: StoreId) -> Self {
        Self {
            store,
            sealed: Vec::new(),
            active_number: 1,
            active_first: 0,
        }
    }

    pub(super) fn store(&self) -> StoreId {
        self.store
    }

    pub(super) fn sealed(&self) -> &[Sealed] {
        &self.sealed
    }

    pub(super) fn active_number(&self) -> u64 {
        self.active_number
    }

    pub(super) fn active_first(&self) -> u64 {
        self.active_first
    }

    /// The index of the first record.
    pub(super) fn first(&self) -> u64 {
        self.sealed
            .first()
            .map_or(self.active_first, |oldest| oldest.first)
    }

    pub(super) fn lists(&self, number: u64) -> bool {
        number == self.active_number || self.sealed.iter().any(|sealed| sealed.number == number)
    }

    /// The index behind the last record of a sealed segment.
    pub(super) fn end_of(&self, sealed: &Sealed) -> u64 {
        let next = self.sealed.iter().find(|other| other.number > sealed.number);
        next.map_or(self.active_first, |next| next.first)
    }

    /// This manifest after the active segment was sealed and `number` begun.
    pub(super) fn rotated(&self, sealed: Sealed, number: u64, first: u64) -> Self {
        let mut rotated = self.clone();
        rotated.sealed.push(sealed);
        rotated.active_number = number;
        rotated.active_first = first;
        rotated
    }

    /// The oldest sealed segment, and this manifest without it.
    pub(super) fn without_oldest(&self) -> Option<(Sealed, Self)> {
        let oldest = *self.sealed.first()?;
        let mut rest = self.clone();
        rest.sealed.remove(0);
        Some((oldest, rest))
    }

    /// Puts this manifest in the place of the one before, durably.
    pub(super) fn write(&self, files: &Files) -> Result<(), AppendLogError> {
        let header = FileHeader::new(self.store, 0, files.entropy.next_u64());
        let mut bytes = header.encode(&HEADER);
        let encoded = BODY.encode(header.place(super::BODY_OFFSET), &self.body(), &mut bytes);
        if encoded.is_err() {
            return Err(AppendLogError::TooLong {
                bytes: self.body().len(),
                max: BODY_BYTES_MAX,
            });
        }
        let next = files.path(NAME_NEXT);
        // Until the first sync, nothing that fails here leaves the log in doubt.
        remove_if_there(files, &next).map_err(AppendLogError::NotStored)?;
        let file = files
            .storage
            .create_new(&next)
            .map_err(AppendLogError::NotStored)?;
        file.write_all_at(0, &bytes).map_err(AppendLogError::NotStored)?;
        file.sync_data()?;
        files.storage.rename(&next, &files.path(NAME))?;
        files.sync_names()?;
        Ok(())
    }

    /// The manifest, if there is one.
    pub(super) fn read(files: &Files) -> Result<Option<Self>, AppendLogError> {
        let path = files.path(NAME);
        let file = match files.storage.open_read_only(&path) {
            Err(error) if error.is_not_found() => return Ok(None),
            opened => opened?,
        };
        let bytes = read_file(file.as_ref(), FILE_BYTES_MAX)?;
        let manifest = (|| {
            let header = FileHeader::decode(&HEADER, None, &bytes).ok()?;
            let frame = bytes.get(FileHeader::BYTES..)?;
            let decoded = BODY.decode(header.place(super::BODY_OFFSET), frame).ok()?;
            if decoded.rest.is_empty() {
                Self::from_body(header.store(), decoded.body)
            } else {
                None
            }
        })();
        manifest
            .map(Some)
            .ok_or(AppendLogError::Damaged { path, offset: 0 })
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let active = Sealed {
            number: self.active_number,
            first: self.active_first,
            bytes: 0,
        };
        for entry in std::iter::once(&active).chain(&self.sealed) {
            body.extend_from_slice(&entry.number.to_le_bytes());
            body.extend_from_slice(&entry.first.to_le_bytes());
            body.extend_from_slice(&entry.bytes.to_le_bytes());
        }
        body
    }

    fn from_body(store: StoreId, body: &[u8]) -> Option<Self> {
        let (numbers, behind) = body.as_chunks::<8>();
        let (entries, incomplete) = numbers.as_chunks::<3>();
        if !behind.is_empty() || !incomplete.is_empty() {
            return None;
        }
        let mut entries = entries.iter().map(|entry| {
            let [number, first, bytes] = entry.map(u64::from_le_bytes);
            Sealed { number, first, bytes }
        });
        let active = entries.next()?;
        let sealed = entries.collect();
        Some(Self {
            store,
            sealed,
            active_number: active.number,
            active_first: active.first,
        })
    }
}
