//! Recovery: what of the files belongs to the log, and where it ends.
//!
//! Always true: only the active segment is ever changed; it is cut only where nothing behind the cut can have been
//! acknowledged; what is served afterwards is durable, because what is not known to be is written again and synced.
//! Damage is an error and leaves the files as they are.

use std::path::{Path, PathBuf};

use larder_core::{
    DamageReason, Decoded, EntryKind, FRAME_HEADER_BYTES, FileHeader, FrameReader, Scanned, StorageError,
    StorageFile,
};

use super::manifest::{Manifest, Sealed};
use super::segment::{HEADER, RECORD, Segment, length};
use super::{AppendLogError, BODY_OFFSET, Cut, Files, read_file};

/// What a frame adds to a segment at most beyond its nominal size: a first record is never refused for its length.
const FRAME_BYTES_MAX: u64 = 2 << 20;

/// Opens the active segment, cuts a torn tail, and makes the rest durable.
pub(super) fn recover(
    files: &Files,
    manifest: &Manifest,
    segment_bytes_max: u64,
) -> Result<(Segment, Option<Cut>), AppendLogError> {
    let path = files.segment_path(manifest.active_number());
    let file = must_exist(files.storage.open(&path), &path)?;
    let bytes = read_file(file.as_ref(), segment_bytes_max.saturating_add(FRAME_BYTES_MAX))?;
    let header = segment_header(manifest, manifest.active_number(), &path, &bytes)?;
    let contents = scan(&header, &path, &bytes, manifest.active_first())?;
    let mut cut = None;
    if contents.end < length(bytes.len()) {
        file.cut_back(contents.end)?;
        cut = Some(Cut {
            path,
            len: contents.end,
            bytes: length(bytes.len()) - contents.end,
        });
    }
    // A process that died, or a sync that failed, may have left bytes that can be read and are not on the medium, and
    // that a sync alone would not put there.
    rewrite(file.as_ref(), &bytes, contents.known_durable, contents.end)?;
    file.sync_data()?;
    let next = manifest.active_first() + length(contents.records.len());
    Ok((
        Segment::at(file, header, manifest.active_first(), next, contents.end),
        cut,
    ))
}

/// The records of a sealed segment, all of which must be there.
pub(super) fn read_sealed(
    files: &Files,
    manifest: &Manifest,
    sealed: &Sealed,
) -> Result<Vec<Vec<u8>>, AppendLogError> {
    let expected = manifest.end_of(sealed) - sealed.first;
    read_whole(files, manifest, *sealed, expected)
}

/// The records of the active segment, up to its present end.
pub(super) fn read_active(
    files: &Files,
    manifest: &Manifest,
    active: &Segment,
) -> Result<Vec<Vec<u8>>, AppendLogError> {
    let whole = Sealed {
        number: active.number(),
        first: active.first(),
        bytes: active.len(),
    };
    read_whole(files, manifest, whole, active.next() - active.first())
}

/// Removes the segments that no manifest lists: the rest of a rotation or a removal that was interrupted.
pub(super) fn remove_strays(files: &Files, manifest: &Manifest) -> Result<(), AppendLogError> {
    for (number, path) in segments(files)? {
        if !manifest.lists(number) {
            remove_if_there(files, &path)?;
        }
    }
    Ok(())
}

/// Refuses a directory that has no manifest and yet holds records: a manifest was there, for records come after it.
pub(super) fn must_be_unused(files: &Files) -> Result<(), AppendLogError> {
    for (number, path) in segments(files)? {
        let len = files.storage.open_read_only(&path)?.len()?;
        if number != 1 || len > BODY_OFFSET {
            return Err(AppendLogError::Damaged {
                path: files.path("manifest"),
                offset: 0,
            });
        }
    }
    Ok(())
}

pub(super) fn remove_if_there(files: &Files, path: &Path) -> Result<(), StorageError> {
    match files.storage.remove(path) {
        Err(error) if error.is_not_found() => Ok(()),
        outcome => outcome,
    }
}

/// What a segment holds.
struct Contents {
    records: Vec<Vec<u8>>,
    /// Where the last record ends.
    end: u64,
    /// Up to where the file is known to have been durable.
    known_durable: u64,
    /// Something behind the end cannot be read, and nothing so far says that it was durable.
    torn: bool,
}

/// Reads the records of a segment from its bytes, up to a torn tail.
fn scan(header: &FileHeader, path: &Path, bytes: &[u8], first: u64) -> Result<Contents, AppendLogError> {
    let mut contents = Contents {
        records: Vec::new(),
        end: BODY_OFFSET,
        known_durable: BODY_OFFSET,
        torn: false,
    };
    let frames = bytes.get(FileHeader::BYTES..).unwrap_or_default();
    for item in FrameReader::new(RECORD, header.place(BODY_OFFSET), frames) {
        let offset = BODY_OFFSET + length(item.offset());
        let sound = match item {
            Scanned::Frame { frame, .. } => contents.take(first, offset, &frame),
            // Records behind it decide: each says what was durable when it was written.
            Scanned::TornTail { .. }
            | Scanned::Damage {
                reason: DamageReason::SoundBehind,
                ..
            } => {
                contents.torn = true;
                true
            }
            _ => false,
        };
        if !sound {
            return Err(AppendLogError::Damaged {
                path: path.to_owned(),
                offset: contents.end,
            });
        }
    }
    Ok(contents)
}

impl Contents {
    /// Adds the record of a sound frame; false if it contradicts what came before it.
    fn take(&mut self, first: u64, offset: u64, frame: &Decoded<'_>) -> bool {
        let mut payload = frame.body;
        let (Some(index), Some(durable)) = (take_number(&mut payload), take_number(&mut payload)) else {
            return false;
        };
        if self.torn {
            // If what cannot be read was durable when this was written, it is damage. Otherwise both were in
            // flight together, and this one goes with the tail.
            return durable <= self.end;
        }
        if index != first + length(self.records.len()) || durable > offset {
            return false;
        }
        self.records.push(payload.to_vec());
        self.known_durable = self.known_durable.max(durable);
        self.end = offset + length(FRAME_HEADER_BYTES + frame.body.len());
        true
    }
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}

/// Writes the bytes `from..to` of `bytes` where they came from.
fn rewrite(file: &dyn StorageFile, bytes: &[u8], from: u64, to: u64) -> Result<(), StorageError> {
    let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    let bytes = range
        .and_then(|(from, to)| bytes.get(from..to))
        .unwrap_or_default();
    file.write_all_at(from, bytes)
}

/// The records of a segment that is durable in full.
fn read_whole(
    files: &Files,
    manifest: &Manifest,
    segment: Sealed,
    expected: u64,
) -> Result<Vec<Vec<u8>>, AppendLogError> {
    let path = files.segment_path(segment.number);
    let file = must_exist(files.storage.open_read_only(&path), &path)?;
    let bytes = read_file(file.as_ref(), segment.bytes)?;
    let header = segment_header(manifest, segment.number, &path, &bytes)?;
    let contents = scan(&header, &path, &bytes, segment.first)?;
    if contents.end != segment.bytes || length(contents.records.len()) != expected {
        return Err(AppendLogError::Damaged {
            path,
            offset: contents.end,
        });
    }
    Ok(contents.records)
}

/// The header of a segment that the manifest lists: it was durable before the manifest was, so it must be whole.
fn segment_header(
    manifest: &Manifest,
    number: u64,
    path: &Path,
    bytes: &[u8],
) -> Result<FileHeader, AppendLogError> {
    match FileHeader::decode(&HEADER, Some(manifest.store()), bytes) {
        Ok(header) if header.number() == number => Ok(header),
        _ => Err(AppendLogError::Damaged {
            path: path.to_owned(),
            offset: 0,
        }),
    }
}

/// A file that the manifest lists was durable before the manifest was, so its absence is damage.
fn must_exist(
    opened: Result<Box<dyn StorageFile>, StorageError>,
    path: &Path,
) -> Result<Box<dyn StorageFile>, AppendLogError> {
    match opened {
        Err(error) if error.is_not_found() => Err(AppendLogError::Damaged {
            path: path.to_owned(),
            offset: 0,
        }),
        opened => Ok(opened?),
    }
}

/// The segments that stand in the directory, listed or not. Other files are not touched.
fn segments(files: &Files) -> Result<Vec<(u64, PathBuf)>, StorageError> {
    let mut found = Vec::new();
    for entry in files.storage.list(&files.directory)? {
        let digits = entry
            .name()
            .to_str()
            .and_then(|name| name.strip_prefix("segment-"));
        let number = digits.and_then(|digits| digits.parse().ok());
        if let (EntryKind::File, Some(number)) = (entry.kind(), number) {
            found.push((number, files.directory.join(entry.name())));
        }
    }
    Ok(found)
}
