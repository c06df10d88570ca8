//! [`FileHeader`]: how every file starts, so that no two can be confused.
//!
//! It is a frame, at place 0, whose body says which store the file belongs to, its number there, and the salt of the
//! frames behind it. Always true: it is 64 bytes long and lies within one sector, so a crash leaves it whole or
//! not at all. It says nothing of what follows it.

use std::fmt;

use super::{FRAME_HEADER_BYTES, FrameError, FrameFormat, FrameHeader, take};
use crate::Entropy;

/// The id of a store: the files of one store carry one, drawn at random when it is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId([u8; 16]);

impl StoreId {
    /// A new id that no other store has.
    #[must_use]
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(bytes)
    }

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id's bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

/// Shown as 32 hexadecimal digits.
impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreId({self})")
    }
}

/// The first 64 bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    store: StoreId,
    number: u64,
    salt: u64,
}

impl FileHeader {
    /// The length of a file header in bytes.
    pub const BYTES: usize = 64;

    /// The body: store id (16), number (8), salt (8), zeros (8).
    const BODY_BYTES: u32 = 40;

    /// The header of the file `number` of `store`, whose frames have the places `salt` and up. The salt is random,
    /// and drawn anew whenever a file is made.
    #[must_use]
    pub const fn new(store: StoreId, number: u64, salt: u64) -> Self {
        Self { store, number, salt }
    }

    /// The store to which the file belongs.
    #[must_use]
    pub const fn store(&self) -> StoreId {
        self.store
    }

    /// The file's number within its store, for files of which there are many.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The place of the file's first byte; the frame at offset `o` has the place `salt + o`.
    #[must_use]
    pub const fn salt(&self) -> u64 {
        self.salt
    }

    /// The place of the frame at `offset` of the file.
    #[must_use]
    pub const fn place(&self, offset: u64) -> u64 {
        self.salt.wrapping_add(offset)
    }

    /// The header of files that begin with `magic`, of this format version; `kind` tells files of one magic apart.
    #[must_use]
    pub const fn format(magic: [u8; 4], version: u16, kind: u16) -> FrameFormat {
        FrameFormat::new(magic, version, Self::BODY_BYTES).kind(kind)
    }

    /// The header's bytes.
    #[must_use]
    pub fn encode(&self, format: &FrameFormat) -> Vec<u8> {
        let mut body = Vec::with_capacity(Self::BYTES);
        body.extend_from_slice(&self.store.0);
        body.extend_from_slice(&self.number.to_le_bytes());
        body.extend_from_slice(&self.salt.to_le_bytes());
        body.extend_from_slice(&[0; 8]);
        let mut bytes = Vec::with_capacity(Self::BYTES);
        // A format that was not made for headers may allow less than a header needs.
        let format = FrameFormat {
            body_bytes_max: format.body_bytes_max.max(Self::BODY_BYTES),
            ..*format
        };
        let encoded = format.encode(0, &body, &mut bytes);
        encoded.expect("invariant: the format was just made to allow the body");
        bytes
    }

    /// Reads the header of a file from its first bytes, and refuses a file of another store if `store` is known.
    ///
    /// # Errors
    ///
    /// [`FileHeaderError::Unfinished`] for a file that a crash left while it was being made; else the frame's error, or
    /// [`FileHeaderError::ForeignStore`].
    pub fn decode(
        format: &FrameFormat,
        store: Option<StoreId>,
        bytes: &[u8],
    ) -> Result<Self, FileHeaderError> {
        if is_unfinished(format, bytes) {
            return Err(FileHeaderError::Unfinished);
        }
        let mut body = format.decode(0, bytes)?.body;
        let header = (|| {
            let header = Self {
                store: StoreId(take(&mut body)?),
                number: u64::from_le_bytes(take(&mut body)?),
                salt: u64::from_le_bytes(take(&mut body)?),
            };
            Some(header)
        })();
        let header = header.ok_or(FileHeaderError::NoHeader)?;
        match store {
            Some(expected) if header.store != expected => Err(FileHeaderError::ForeignStore {
                found: header.store,
                expected,
            }),
            _ => Ok(header),
        }
    }
}

/// Whether a crash leaves these bytes of a file header that was being written: zeros, or less than the whole of a header
/// that begins as ours does. A short file of somebody else's is not that, nor is one of a newer version.
fn is_unfinished(format: &FrameFormat, bytes: &[u8]) -> bool {
    let header = bytes.get(..FileHeader::BYTES).unwrap_or(bytes);
    if header.iter().all(|byte| *byte == 0) {
        return true;
    }
    let ours = header
        .iter()
        .zip(format.magic)
        .all(|(found, expected)| *found == expected);
    let newer = FrameHeader::peek(header).is_ok_and(|peeked| peeked.version > format.version);
    header.len() < FileHeader::BYTES && ours && !newer
}

const _: () = assert!(
    FRAME_HEADER_BYTES as u64 + FileHeader::BODY_BYTES as u64 == FileHeader::BYTES as u64,
    "a file header is 64 bytes long"
);

/// Why the start of a file is not the expected header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileHeaderError {
    /// The file has no header yet: it was being made when the process or the machine stopped.
    #[error("the file header was not finished")]
    Unfinished,
    /// The file is not of the expected format.
    #[error("the file header cannot be read")]
    Frame(#[from] FrameError),
    /// The frame is whole, and its body is not that of a file header.
    #[error("the frame is not a file header")]
    NoHeader,
    /// The file belongs to another store.
    #[error("the file belongs to store {found}, expected {expected}")]
    ForeignStore {
        /// The store that the file names.
        found: StoreId,
        /// The store that was asked for.
        expected: StoreId,
    },
}
