//! [`FrameReader`]: a sequence of frames read back, with its end, its torn tail and its damage told apart.
//!
//! Always true: it yields each sound frame once, in order; every byte of the input belongs to exactly one item; it ends;
//! the work is linear in the input, whatever the bytes. When it cannot tell a torn tail from damage it says
//! damage, for a tail may be cut and damage may not. It changes nothing and decides nothing.

use super::{Decoded, FRAME_HEADER_BYTES, FrameError, FrameFormat, FrameHeader};

/// How many times the input's length may be checksummed while looking for the next sound frame. Bytes made to look like
/// many overlapping frames could otherwise cost the square of the length; a real sequence needs it once.
const SEARCH_FACTOR: usize = 4;

/// Reads the frames that stand one behind the other in `bytes`.
///
/// Which version the frames have is the file's header's to say, for it lies in one sector and is whole or absent. A frame that
/// says it is of a newer version counts for nothing unless its checksum is right: the bytes that a crash leaves say
/// anything. So a format that changes how frames are laid out changes the version in the file's header too.
///
/// The frame at offset `o` has the place `salt + o`. The salt is drawn at random for each file, so that neither frames
/// inside a body, which a user may have written, nor frames left over from another file pass for frames of this one.
#[derive(Clone, Debug)]
pub struct FrameReader<'a> {
    format: FrameFormat,
    salt: u64,
    offset: usize,
    rest: &'a [u8],
    search_bytes: usize,
}

/// What stands at one offset of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scanned<'a> {
    /// A sound frame.
    Frame {
        /// Where it begins.
        offset: usize,
        /// The frame.
        frame: Decoded<'a>,
    },
    /// The rest of the sequence, `bytes` long, holds no sound frame: what a crash
    /// leaves of a write that was not durable. The last item.
    TornTail {
        /// Where it begins.
        offset: usize,
        /// How long it is.
        bytes: usize,
        /// Why the first frame of it could not be read.
        error: FrameError,
    },
    /// Bytes that cannot be read, and of which the bytes alone do not say that a crash explains them.
    Damage {
        /// Where it begins.
        offset: usize,
        /// How long it is: up to the next sound frame, or to the end.
        bytes: usize,
        /// Why the first frame of it could not be read.
        error: FrameError,
        /// What speaks against a torn tail.
        reason: DamageReason,
    },
}

/// Why unreadable bytes are not taken for a torn tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamageReason {
    /// A sound frame stands behind them. It is a torn tail all the same if the caller knows that all that stands behind was
    /// written before the unreadable bytes were durable: a crash may keep a later write and lose an earlier one.
    SoundBehind,
    /// They are a sound frame in its place, which this format refuses: of another version, kind, schema or length.
    Foreign,
    /// They look like so many overlapping frames that the search for a sound one was given up.
    Undecided,
}

impl Scanned<'_> {
    /// Where it begins.
    #[must_use]
    pub const fn offset(&self) -> usize {
        match self {
            Self::Frame { offset, .. } | Self::TornTail { offset, .. } | Self::Damage { offset, .. } => {
                *offset
            }
        }
    }
}

impl<'a> FrameReader<'a> {
    /// Reads frames of `format` from `bytes`, whose first byte has the place `salt`.
    #[must_use]
    pub fn new(format: FrameFormat, salt: u64, bytes: &'a [u8]) -> Self {
        let search_bytes = bytes.len().saturating_mul(SEARCH_FACTOR);
        Self {
            format,
            salt,
            offset: 0,
            rest: bytes,
            search_bytes,
        }
    }

    /// The place of the byte `ahead` bytes after the current one.
    fn place(&self, ahead: usize) -> u64 {
        let offset = u64::try_from(self.offset + ahead).unwrap_or(u64::MAX);
        self.salt.wrapping_add(offset)
    }

    /// Steps over `bytes` bytes and returns the offset at which they began.
    fn step(&mut self, bytes: usize) -> usize {
        let begin = self.offset;
        self.rest = self.rest.split_at_checked(bytes).map_or(&[], |(_, rest)| rest);
        self.offset += bytes;
        begin
    }

    /// Sorts out what could not be read.
    fn unreadable(&mut self, error: FrameError) -> Scanned<'a> {
        let foreign = self.is_sound_of_another_format();
        let found = self.find_sound();
        let bytes = if let Found::At(bytes) = found {
            bytes
        } else {
            self.rest.len()
        };
        let offset = self.step(bytes);
        let reason = match found {
            _ if foreign => DamageReason::Foreign,
            Found::At(_) => DamageReason::SoundBehind,
            Found::TooCostly => DamageReason::Undecided,
            Found::None => return Scanned::TornTail { offset, bytes, error },
        };
        Scanned::Damage {
            offset,
            bytes,
            error,
            reason,
        }
    }

    /// Whether a frame of our magic with a right checksum stands here that this format refuses all the same.
    fn is_sound_of_another_format(&self) -> bool {
        let Ok((header, behind)) = FrameHeader::split(self.rest) else {
            return false;
        };
        let Ok((body, _)) = header.split_body(behind) else {
            return false;
        };
        header.magic == self.format.magic && header.checksum_with(self.place(0), body) == header.checksum
    }

    /// Looks for the next sound frame after the current byte.
    fn find_sound(&mut self) -> Found {
        let mut ahead = 1;
        while let Some(candidate) = self.rest.get(ahead..) {
            let Some(skip) = candidate
                .windows(4)
                .position(|window| window == self.format.magic.as_slice())
            else {
                return Found::None;
            };
            ahead += skip;
            let Some(candidate) = self.rest.get(ahead..) else {
                return Found::None;
            };
            let costs = FrameHeader::split(candidate).ok().and_then(|(header, behind)| {
                self.format.accepts(&header).ok()?;
                Some(FRAME_HEADER_BYTES + header.split_body(behind).ok()?.0.len())
            });
            if let Some(costs) = costs {
                let Some(left) = self.search_bytes.checked_sub(costs) else {
                    return Found::TooCostly;
                };
                self.search_bytes = left;
                if self.format.decode(self.place(ahead), candidate).is_ok() {
                    return Found::At(ahead);
                }
            }
            ahead += 1;
        }
        Found::None
    }
}

impl<'a> Iterator for FrameReader<'a> {
    type Item = Scanned<'a>;

    fn next(&mut self) -> Option<Scanned<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        match self.format.decode(self.place(0), self.rest) {
            Ok(frame) => {
                let bytes = FRAME_HEADER_BYTES + frame.body.len();
                Some(Scanned::Frame {
                    offset: self.step(bytes),
                    frame,
                })
            }
            Err(error) => Some(self.unreadable(error)),
        }
    }
}

/// The outcome of looking for a sound frame.
enum Found {
    /// That many bytes ahead.
    At(usize),
    /// There is none.
    None,
    /// The search was given up.
    TooCostly,
}
