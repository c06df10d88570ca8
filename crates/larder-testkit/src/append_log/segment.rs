//! [`Segment`]: the file that records are appended to.
//!
//! Always true: its length is where the next record goes; what lies below `durable` has been synced; each record says
//! how far the file was durable when it was written, so that recovery can tell a torn tail from damage although
//! several records may have been in flight. It does not rotate and reads nothing back.

use larder_core::{FRAME_HEADER_BYTES, FileHeader, FrameFormat, StorageError, StorageFile, StoreId};

use super::recovery::remove_if_there;
use super::{AppendLogError, BODY_OFFSET, Files, KIND_RECORD, KIND_SEGMENT, MAGIC, VERSION};

/// The largest record: index, durable mark and payload.
const RECORD_BYTES_MAX: u32 = 1 << 20;

/// What stands before the payload: index and durable mark.
pub(super) const RECORD_HEAD_BYTES: usize = 16;

pub(super) const HEADER: FrameFormat = FileHeader::format(MAGIC, VERSION, KIND_SEGMENT);
pub(super) const RECORD: FrameFormat = FrameFormat::new(MAGIC, VERSION, RECORD_BYTES_MAX).kind(KIND_RECORD);

/// The segment that is appended to.
#[derive(Debug)]
pub(super) struct Segment {
    file: Box<dyn StorageFile>,
    header: FileHeader,
    first: u64,
    next: u64,
    len: u64,
    durable: u64,
}

impl Segment {
    /// Makes the segment `number`, whose first record has the index `first`, durably.
    pub(super) fn create(
        files: &Files,
        store: StoreId,
        number: u64,
        first: u64,
    ) -> Result<Self, AppendLogError> {
        let header = FileHeader::new(store, number, files.entropy.next_u64());
        let path = files.segment_path(number);
        // The rest of an attempt that failed. No manifest lists it, so until a sync fails nothing is in doubt.
        remove_if_there(files, &path).map_err(AppendLogError::NotStored)?;
        let file = files
            .storage
            .create_new(&path)
            .map_err(AppendLogError::NotStored)?;
        file.write_all_at(0, &header.encode(&HEADER))
            .map_err(AppendLogError::NotStored)?;
        file.sync_data()?;
        files.sync_names()?;
        Ok(Self::at(file, header, first, first, BODY_OFFSET))
    }

    /// A segment that is durable up to its length.
    pub(super) fn at(
        file: Box<dyn StorageFile>,
        header: FileHeader,
        first: u64,
        next: u64,
        len: u64,
    ) -> Self {
        Self {
            file,
            header,
            first,
            next,
            len,
            durable: len,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.header.number()
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Whether a record of that payload would make the segment longer than `bytes_max`; its first may.
    pub(super) fn would_exceed(&self, bytes_max: u64, payload: &[u8]) -> bool {
        let frame = FRAME_HEADER_BYTES + RECORD_HEAD_BYTES + payload.len();
        self.len > BODY_OFFSET && self.len.saturating_add(length(frame)) > bytes_max
    }

    /// Writes a record, which the next [`Segment::sync`] makes durable, and returns its index.
    pub(super) fn append(&mut self, payload: &[u8]) -> Result<u64, AppendLogError> {
        let mut body = Vec::with_capacity(RECORD_HEAD_BYTES + payload.len());
        body.extend_from_slice(&self.next.to_le_bytes());
        body.extend_from_slice(&self.durable.to_le_bytes());
        body.extend_from_slice(payload);
        let mut frame = Vec::new();
        if RECORD
            .encode(self.header.place(self.len), &body, &mut frame)
            .is_err()
        {
            return Err(AppendLogError::TooLong {
                bytes: body.len(),
                max: RECORD_BYTES_MAX,
            });
        }
        if let Err(failed) = self.file.write_all_at(self.len, &frame) {
            self.undo_write()?;
            return Err(AppendLogError::NotStored(failed));
        }
        let index = self.next;
        self.len += length(frame.len());
        self.next += 1;
        Ok(index)
    }

    /// Makes what was written durable.
    pub(super) fn sync(&mut self) -> Result<(), AppendLogError> {
        if self.durable < self.len {
            self.file.sync_data()?;
            self.durable = self.len;
        }
        Ok(())
    }

    /// Takes back what a failed write may have left behind the end, durably: its caller is told that it never shows.
    fn undo_write(&mut self) -> Result<(), StorageError> {
        if self.file.len()? > self.len {
            self.file.cut_back(self.len)?;
        }
        self.file.sync_data()?;
        self.durable = self.len;
        Ok(())
    }
}

pub(super) fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
