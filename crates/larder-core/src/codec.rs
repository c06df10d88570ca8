//! The framed codec of every small file and record: [`FrameFormat`] writes and reads frames.
//!
//! A frame is a header of 24 bytes and a body: magic, format version, kind, fingerprint of the schema, length of the
//! body, checksum; little-endian, fixed width, as `docs/formats/frame.md` lays down byte by byte. Always true: a
//! frame that decodes is exactly what was encoded for this format and this place; decoding never panics, and never
//! looks at, copies or allocates more than the input. The codec does not know what a body means.

#![deny(clippy::indexing_slicing)]

mod file_header;
mod reader;

pub use file_header::{FileHeader, FileHeaderError, StoreId};
pub use reader::{DamageReason, FrameReader, Scanned};

/// The length of a frame's header in bytes.
pub const FRAME_HEADER_BYTES: usize = 24;

/// What the frames of one purpose have in common: the one version of the one kind of frame that is written and read.
///
/// A reader of several versions has one of these for each and picks by [`FrameHeader::peek`].
///
/// ```
/// use larder_core::FrameFormat;
///
/// const NOTE: FrameFormat = FrameFormat::new(*b"NOTE", 1, 4_096).kind(2);
///
/// let mut bytes = Vec::new();
/// NOTE.encode(0, b"buy milk", &mut bytes)?;
/// assert_eq!(NOTE.decode(0, &bytes)?.body, b"buy milk");
/// bytes[30] ^= 1;
/// assert!(NOTE.decode(0, &bytes).is_err());
/// # Ok::<(), larder_core::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameFormat {
    magic: [u8; 4],
    version: u16,
    kind: u16,
    fingerprint: u64,
    body_bytes_max: u32,
}

impl FrameFormat {
    /// Frames that begin with `magic`, of this format version, of kind 0 and fingerprint 0, with a body of at most
    /// `body_bytes_max` bytes.
    #[must_use]
    pub const fn new(magic: [u8; 4], version: u16, body_bytes_max: u32) -> Self {
        Self {
            magic,
            version,
            kind: 0,
            fingerprint: 0,
            body_bytes_max,
        }
    }

    /// What the frame is among those that share a magic.
    #[must_use]
    pub const fn kind(self, kind: u16) -> Self {
        Self { kind, ..self }
    }

    /// The fingerprint of the schema by which the body is written.
    #[must_use]
    pub const fn fingerprint(self, fingerprint: u64) -> Self {
        Self { fingerprint, ..self }
    }

    /// The largest body in bytes.
    #[must_use]
    pub const fn body_bytes_max(&self) -> u32 {
        self.body_bytes_max
    }

    /// Appends the frame of `body` to `out`. O(body).
    ///
    /// `place` is where the frame will stand; it goes into the checksum and must be given again to decode, so that
    /// a sound frame in a wrong place does not pass. A frame alone in its file has place 0; frames of a sequence
    /// have the sequence's random salt plus their offset ([`FrameReader`]).
    ///
    /// # Errors
    ///
    /// [`FrameError::Length`] if the body is longer than this format allows; then nothing is appended.
    pub fn encode(&self, place: u64, body: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        let len = u32::try_from(body.len())
            .ok()
            .filter(|len| *len <= self.body_bytes_max);
        let Some(len) = len else {
            return Err(FrameError::Length {
                len: byte_count(body),
                max: self.body_bytes_max,
            });
        };
        let mut header = FrameHeader {
            magic: self.magic,
            version: self.version,
            kind: self.kind,
            fingerprint: self.fingerprint,
            len,
            checksum: 0,
        };
        header.checksum = header.checksum_with(place, body);
        out.reserve(FRAME_HEADER_BYTES + body.len());
        header.write_to(out);
        out.extend_from_slice(body);
        Ok(())
    }

    /// Reads the frame at the start of `bytes`. O(body), no allocation.
    ///
    /// # Errors
    ///
    /// The first of [`FrameError`]'s variants, in their order, that applies; `TooShort` also after `Length`, for the body.
    pub fn decode<'a>(&self, place: u64, bytes: &'a [u8]) -> Result<Decoded<'a>, FrameError> {
        let (header, behind) = FrameHeader::split(bytes)?;
        self.accepts(&header)?;
        let (body, rest) = header.split_body(behind)?;
        let computed = header.checksum_with(place, body);
        if computed != header.checksum {
            return Err(FrameError::Checksum {
                found: header.checksum,
                computed,
            });
        }
        Ok(Decoded { header, body, rest })
    }

    /// Whether the header says that a frame of this format follows.
    fn accepts(&self, header: &FrameHeader) -> Result<(), FrameError> {
        if header.magic != self.magic {
            return Err(FrameError::NotOurs { found: header.magic });
        }
        if header.version != self.version {
            return Err(FrameError::Version {
                found: header.version,
                known: self.version,
            });
        }
        if header.kind != self.kind {
            return Err(FrameError::Kind {
                found: header.kind,
                expected: self.kind,
            });
        }
        if header.fingerprint != self.fingerprint {
            return Err(FrameError::Fingerprint {
                found: header.fingerprint,
                expected: self.fingerprint,
            });
        }
        if header.len > self.body_bytes_max {
            return Err(FrameError::Length {
                len: u64::from(header.len),
                max: self.body_bytes_max,
            });
        }
        Ok(())
    }
}

/// A frame that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decoded<'a> {
    /// Its header.
    pub header: FrameHeader,
    /// Its body.
    pub body: &'a [u8],
    /// What follows it.
    pub rest: &'a [u8],
}

/// The header of a frame as it stands in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameHeader {
    magic: [u8; 4],
    version: u16,
    kind: u16,
    fingerprint: u64,
    len: u32,
    checksum: u32,
}

impl FrameHeader {
    /// The header at the start of `bytes`, checked for nothing but that its bytes are there. Only for choosing a
    /// [`FrameFormat`]; what it says is not known to be true before the frame has been decoded.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooShort`].
    pub fn peek(bytes: &[u8]) -> Result<Self, FrameError> {
        Ok(Self::split(bytes)?.0)
    }

    /// The four bytes that say whose frame it is.
    #[must_use]
    pub const fn magic(&self) -> [u8; 4] {
        self.magic
    }

    /// The format version.
    #[must_use]
    pub const fn version(&self) -> u16 {
        self.version
    }

    /// What the frame is among those that share a magic.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        self.kind
    }

    /// The fingerprint of the schema by which the body was written.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The length of the body in bytes.
    #[must_use]
    pub const fn body_bytes(&self) -> u32 {
        self.len
    }

    fn split(bytes: &[u8]) -> Result<(Self, &[u8]), FrameError> {
        let mut rest = bytes;
        let header = (|| {
            Some(Self {
                magic: take(&mut rest)?,
                version: u16::from_le_bytes(take(&mut rest)?),
                kind: u16::from_le_bytes(take(&mut rest)?),
                fingerprint: u64::from_le_bytes(take(&mut rest)?),
                len: u32::from_le_bytes(take(&mut rest)?),
                checksum: u32::from_le_bytes(take(&mut rest)?),
            })
        })();
        let needed = FRAME_HEADER_BYTES as u64;
        let header = header.ok_or(FrameError::TooShort {
            len: byte_count(bytes),
            needed,
        })?;
        Ok((header, rest))
    }

    /// The body that this header announces, and what follows it.
    fn split_body<'a>(&self, behind: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), FrameError> {
        let split = usize::try_from(self.len)
            .ok()
            .and_then(|len| behind.split_at_checked(len));
        let header = FRAME_HEADER_BYTES as u64;
        split.ok_or(FrameError::TooShort {
            len: header.saturating_add(byte_count(behind)),
            needed: header + u64::from(self.len),
        })
    }

    fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.magic);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.kind.to_le_bytes());
        out.extend_from_slice(&self.fingerprint.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.checksum.to_le_bytes());
    }

    /// CRC-32 (ISO-HDLC, the one of zip and gzip) over the place, this header with zeros for its checksum, and the body.
    ///
    /// Why this one: what must be found is what storage does by accident. It finds every burst of up to 32 bits and every
    /// flip of up to three bits in bodies of up to 11 KiB, and misses one in 2^32 of all else; processors
    /// compute it at memory speed, so nobody is tempted to skip it; everybody has it, so a frame can be checked
    /// by hand. It is no defence against people; what must withstand them carries a cryptographic hash in its body.
    fn checksum_with(&self, place: u64, body: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&place.to_le_bytes());
        crc.update(&self.magic);
        crc.update(&self.version.to_le_bytes());
        crc.update(&self.kind.to_le_bytes());
        crc.update(&self.fingerprint.to_le_bytes());
        crc.update(&self.len.to_le_bytes());
        crc.update(&[0; 4]);
        crc.update(body);
        crc.finalize()
    }
}

/// Why bytes are not the expected frame. The variants stand in the order in which they are looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes end before the frame does.
    #[error("frame is cut off: {len} bytes of {needed}")]
    TooShort {
        /// Bytes there are.
        len: u64,
        /// Bytes the frame needs at least.
        needed: u64,
    },
    /// The bytes do not begin with the format's magic.
    #[error("not a frame of this format: begins with {}", found.escape_ascii())]
    NotOurs {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// The frame is of another format version. If that is newer, the frame must be left as it is; if older, the
    /// caller may know the format of that version.
    #[error("format version {found}, this program knows {known}")]
    Version {
        /// The version that the frame says it has.
        found: u16,
        /// The version that was asked for.
        known: u16,
    },
    /// The frame is something else with the same magic.
    #[error("frame of kind {found}, expected {expected}")]
    Kind {
        /// The kind that the frame says it is.
        found: u16,
        /// The kind that was asked for.
        expected: u16,
    },
    /// The body was written by another schema.
    #[error("schema fingerprint {found:#018x}, expected {expected:#018x}")]
    Fingerprint {
        /// The fingerprint in the frame.
        found: u64,
        /// The fingerprint that was asked for.
        expected: u64,
    },
    /// The body is longer than the format allows.
    #[error("body of {len} bytes, at most {max} allowed")]
    Length {
        /// The body's length in bytes.
        len: u64,
        /// The longest allowed, in bytes.
        max: u32,
    },
    /// The bytes are not those that were written, or not in their place.
    #[error("checksum {found:#010x}, computed {computed:#010x}")]
    Checksum {
        /// The checksum in the frame.
        found: u32,
        /// The checksum of what was read.
        computed: u32,
    },
}

impl FrameError {
    /// Whether the frame says that it was written by a later format than this program knows.
    #[must_use]
    pub const fn is_newer(&self) -> bool {
        matches!(self, Self::Version { found, known } if *found > *known)
    }
}

/// Takes the first `N` bytes off `bytes`, if there are that many.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

fn byte_count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
