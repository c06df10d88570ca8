//! Cursors: where reading a source resumes.
//!
//! A cursor means "all of this has been delivered". What it includes is a set of positions of one source and epoch,
//! and never more than was delivered: where a cursor cannot keep all that it should say, it says less, so that rows
//! come again and none is lost. It knows nothing of rows, and does not say whether it may be saved yet.

mod bytes;

use std::sync::Arc;

use thiserror::Error;

use crate::limits::{CURSOR_BYTES_MAX, CURSOR_OPEN_MAX};
use crate::position::{Epoch, Position, SourceId};

/// The resume point of one source: everything below the *horizon* is delivered, nothing at or above the *end* is,
/// and between them everything but the *open* positions.
///
/// A database snapshot has this form: the oldest transaction in progress, the first that had not begun, and those in
/// progress between. Where commits are ordered horizon and end are the same.
///
/// More than 8,192 open positions, or as many as encode to more than 64 KiB, are not kept: such a cursor has its
/// horizon only, which is then its end too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    source: SourceId,
    epoch: Epoch,
    horizon: Position,
    end: Position,
    /// Ascending, each once, all from `horizon` to below `end`.
    open: Arc<[Position]>,
    check: u64,
}

/// The parts or the bytes are no cursor.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CursorError {
    /// The end lies below the horizon.
    #[error("the end {end} of a cursor lies below its horizon {horizon}")]
    EndBelowHorizon {
        /// The horizon that was given.
        horizon: Position,
        /// The end that was given.
        end: Position,
    },
    /// An open position lies below the horizon, or at or above the end.
    #[error("open position {position} of a cursor does not lie between its horizon and its end")]
    OpenOutside {
        /// The position at fault.
        position: Position,
    },
    /// The open positions do not ascend.
    #[error("open position {position} of a cursor is not above the one before it")]
    OpenNotAscending {
        /// The position at fault.
        position: Position,
    },
    /// The bytes begin with something else than a cursor does.
    #[error("the bytes are no cursor")]
    Magic,
    /// The bytes are of a format that this version does not know.
    #[error("cursor of format {found}, known is {known}")]
    Version {
        /// The format of the bytes.
        found: u8,
        /// The one that can be read.
        known: u8,
    },
    /// There are more bytes than a cursor ever has.
    #[error("cursor of {bytes} bytes, at most {max} are allowed")]
    TooLong {
        /// How many were given.
        bytes: usize,
        /// The most allowed.
        max: usize,
    },
    /// The bytes have been changed, or end too soon.
    #[error("the checksum of a cursor does not fit its bytes")]
    Checksum,
    /// The checksum fits, but the bytes are not how a cursor is written.
    #[error("malformed cursor: {0}")]
    Malformed(&'static str),
}

impl Cursor {
    /// The cursor of a source whose commits are ordered: all below `next` is delivered, nothing from it on. `check`
    /// is the check value of the last row delivered.
    #[must_use]
    pub fn ordered(source: SourceId, epoch: Epoch, next: Position, check: u64) -> Self {
        Self {
            source,
            epoch,
            horizon: next,
            end: next,
            open: Arc::default(),
            check,
        }
    }

    /// The cursor of a snapshot: all below `end` is delivered, except the `open` positions, of which none is below
    /// `horizon`. O(open).
    ///
    /// # Errors
    /// [`CursorError`] if the end lies below the horizon, or the open positions do not ascend strictly from the
    /// horizon on to below the end.
    pub fn snapshot(
        source: SourceId,
        epoch: Epoch,
        horizon: Position,
        end: Position,
        open: impl IntoIterator<Item = Position>,
        check: u64,
    ) -> Result<Self, CursorError> {
        if end < horizon {
            return Err(CursorError::EndBelowHorizon { horizon, end });
        }
        // Positions beyond the limit are looked at, for faults, and not kept.
        let mut kept: Vec<Position> = Vec::new();
        let mut count = 0_usize;
        let mut last = None;
        for position in open {
            if position < horizon || position >= end {
                return Err(CursorError::OpenOutside { position });
            }
            if last.is_some_and(|last| position <= last) {
                return Err(CursorError::OpenNotAscending { position });
            }
            last = Some(position);
            count += 1;
            if count <= CURSOR_OPEN_MAX {
                kept.push(position);
            }
        }
        let cursor = Self {
            source,
            epoch,
            horizon,
            end,
            open: kept.into(),
            check,
        };
        if count > CURSOR_OPEN_MAX || bytes::encoded_len(&cursor) > CURSOR_BYTES_MAX {
            return Ok(Self::ordered(source, epoch, horizon, check));
        }
        Ok(cursor)
    }

    /// The source that was read.
    #[must_use]
    pub const fn source(&self) -> SourceId {
        self.source
    }

    /// The incarnation of the source's log.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Everything below is delivered.
    #[must_use]
    pub const fn horizon(&self) -> Position {
        self.horizon
    }

    /// Nothing from here on is delivered.
    #[must_use]
    pub const fn end(&self) -> Position {
        self.end
    }

    /// The positions between horizon and end that are not delivered, ascending.
    #[must_use]
    pub fn open(&self) -> &[Position] {
        &self.open
    }

    /// The check value of the last row delivered, by which a restored log is noticed.
    #[must_use]
    pub const fn check(&self) -> u64 {
        self.check
    }

    /// Whether the commit at `position`, of this source and epoch, is delivered. O(log open).
    #[must_use]
    pub fn includes(&self, position: Position) -> bool {
        position < self.horizon || (position < self.end && self.open.binary_search(&position).is_err())
    }

    /// Whether all that `other` includes is included here: never for another source or epoch.
    /// O(open · log open of the other).
    #[must_use]
    pub fn includes_all(&self, other: &Cursor) -> bool {
        if self.source != other.source || self.epoch != other.epoch {
            return false;
        }
        // What is missing here is the open list, and everything from the end on. The other one has nothing of the
        // latter if all positions from there to its own end are open in it.
        let first_beyond = other.open.partition_point(|open| *open < self.end);
        let open_beyond = other.open.len() - first_beyond;
        let beyond = other.end.get().saturating_sub(self.end.get());
        u64::try_from(open_beyond).is_ok_and(|open| open == beyond)
            && !self.open.iter().any(|open| other.includes(*open))
    }

    /// The cursor as bytes, as `docs/formats/outbox.md` lays them out: 53 of them and one to ten for each open
    /// position, never more than 64 KiB.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        bytes::encode(self)
    }

    /// The cursor that [`Self::encode`] gave these bytes for. No two byte strings decode to the same cursor.
    ///
    /// # Errors
    /// [`CursorError`]; a newer format is named as such.
    pub fn decode(bytes: &[u8]) -> Result<Self, CursorError> {
        bytes::decode(bytes)
    }
}
