//! The seams through which invalidations come in and go on: sources, sinks, and homes of cursors.
//!
//! A [`Source`] is an ordered stream of invalidations. There are four: the outbox in SQLite, the outbox in
//! Postgres, the event log, and memory. A follower reads one from a [`Cursor`] and hands each batch to the
//! fence and the sinks. Core has no runtime, so whatever waits gives a plain boxed future.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::as_of::AsOf;
use crate::cursor::Cursor;
use crate::invalidations::Invalidation;
use crate::position::{Epoch, Position, SourceId};
use crate::settled::Settled;
use crate::target::Target;
use crate::timestamp::Timestamp;
use crate::token::Token;

/// A future on the heap that needs no particular runtime.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An ordered, resumable stream of invalidations.
pub trait Source: Send + Sync + fmt::Debug {
    /// Which source this is. Positions of different sources are never compared.
    fn id(&self) -> SourceId;

    /// Where the source stands now.
    fn head(&self) -> BoxFuture<'_, Result<Head, SourceError>>;

    /// Every row of every commit that `cursor` does not include and that is visible now, at most `limit` rows
    /// (a commit larger than that comes in parts). Reading from an older cursor gives the same rows again.
    fn read<'a>(&'a self, cursor: &'a Cursor, limit: usize) -> BoxFuture<'a, Result<Delivered, SourceError>>;

    /// Resolves when there may be something to read. Only a hint: losing one costs time, never a row.
    fn hinted(&self) -> BoxFuture<'_, ()>;
}

/// Where a source stands: a cursor that includes all that is visible, and what became of earlier epochs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Head {
    /// Includes everything visible when the head was taken.
    pub cursor: Cursor,
    /// The former epochs of the source, in any order.
    pub former: Vec<Epoch>,
    /// A point of the source that certainly includes everything visible when the head was taken.
    pub as_of: AsOf,
}

impl Head {
    /// A head with these parts. `as_of` must be of the cursor's source and epoch.
    pub fn new(cursor: Cursor, former: Vec<Epoch>, as_of: AsOf) -> Head {
        Head {
            cursor,
            former,
            as_of,
        }
    }

    /// The token of everything visible at that moment. A transaction that was still open is not in it, unless
    /// there were more open ones than a token can name: then the token asks for all of them.
    pub fn token(&self) -> Token {
        Token::below(
            self.cursor.source(),
            self.cursor.epoch(),
            self.cursor.end(),
            self.cursor.open().iter().copied(),
        )
    }
}

/// What a read of a source brought.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Delivered {
    /// Rows, and how far they reach.
    Rows(Batch),
    /// A row that the cursor lacks may have been purged: only a flush helps.
    Purged,
    /// The cursor belongs to another epoch of this source: take the head and flush.
    OtherEpoch,
}

/// Rows of a source, and how far they reach.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Batch {
    /// The invalidations, by position and their order within it.
    pub rows: Vec<Invalidation>,
    /// Includes every commit whose last row is in this batch or was before it.
    pub cursor: Cursor,
    /// A point of the source that certainly includes the commits of these rows.
    pub as_of: AsOf,
    /// Nothing visible was left.
    pub caught_up: bool,
    /// How many rows of the log could not be read, and were delivered as something wider.
    pub widened: WidenedRows,
    /// When this was read, by the clock of the source: what its rows were recorded by.
    pub read_at: Option<Timestamp>,
    /// The greatest position that was given out when this was read, where that is known.
    pub head: Option<Position>,
}

/// Rows of a log that could not be read, by what was delivered in their place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WidenedRows {
    /// A collection and its lists, since the id of an entity could not be read.
    pub to_collection: usize,
    /// A namespace, since the row of a key, tag, dependency or namespace could not be read.
    pub to_namespace: usize,
    /// Everything.
    pub to_everything: usize,
}

impl WidenedRows {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.to_collection + self.to_namespace + self.to_everything
    }

    /// Counts one whose place these targets have taken.
    pub fn count(&mut self, targets: &[Target]) {
        match targets.first() {
            Some(Target::Collection { .. }) => self.to_collection += 1,
            Some(Target::Namespace { .. }) => self.to_namespace += 1,
            _ => self.to_everything += 1,
        }
    }
}

impl Batch {
    /// A batch with these parts.
    pub fn new(rows: Vec<Invalidation>, cursor: Cursor, as_of: AsOf, caught_up: bool) -> Batch {
        Batch {
            rows,
            cursor,
            as_of,
            caught_up,
            widened: WidenedRows::default(),
            read_at: None,
            head: None,
        }
    }

    /// The same, in which so many rows stand for something narrower that could not be read. Default: none.
    #[must_use]
    pub fn with_widened(mut self, widened: WidenedRows) -> Batch {
        self.widened = widened;
        self
    }

    /// The same, read at this time of the source's clock. Default: that is not known.
    #[must_use]
    pub fn with_read_at(mut self, read_at: Timestamp) -> Batch {
        self.read_at = Some(read_at);
        self
    }

    /// The same, read when this was the greatest position that had been given out. Default: that is not known.
    #[must_use]
    pub fn with_head(mut self, head: Position) -> Batch {
        self.head = Some(head);
        self
    }
}

/// Why a source did not answer. The caller retries; it never skips.
#[derive(Debug, thiserror::Error)]
#[error("read source {source_id}")]
pub struct SourceError {
    source_id: SourceId,
    #[source]
    cause: Box<dyn StdError + Send + Sync>,
}

impl SourceError {
    /// `cause` kept source `source_id` from answering.
    pub fn new(source_id: SourceId, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> SourceError {
        SourceError {
            source_id,
            cause: cause.into(),
        }
    }
}

/// Takes invalidations on: a pool, a blob cache, a tier shared with other nodes.
///
/// Called from several threads, with the fence already raised; must wait for neither disk nor network. Applying
/// is idempotent and commutes: twice, or in another order, is the same as once.
pub trait Sink: Send + Sync {
    /// These were invalidated; each row has its own position, `at` is the last.
    ///
    /// # Errors
    /// [`SinkError`] if it could not be done. The caller tries again, then asks to [`Sink::widen`].
    fn apply(&self, rows: &[Invalidation], at: Position) -> Result<Settled, SinkError>;

    /// Everything under `target` is to be given up, since what exactly was invalidated is not known.
    ///
    /// # Errors
    /// [`SinkError`] if it could not be done. Reads stay right: the fence was raised before.
    fn widen(&self, target: &Target) -> Result<Settled, SinkError>;
}

/// Why a sink could not take an invalidation on.
#[derive(Debug, thiserror::Error)]
#[error("apply invalidations to a sink")]
pub struct SinkError {
    #[source]
    cause: Box<dyn StdError + Send + Sync>,
}

impl SinkError {
    /// A sink failed because of `cause`.
    pub fn new(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> SinkError {
        SinkError { cause: cause.into() }
    }
}

/// Where a follower's cursor is kept: beside the state that it protects, and never ahead of it.
pub trait CursorHome: Send + Sync {
    /// The cursor saved last; `None` if there is none or it cannot be trusted.
    fn load(&self) -> Option<Cursor>;

    /// Saves the cursor, after everything that it vouches for. May wait for a disk.
    ///
    /// # Errors
    /// [`SaveError`] if it is not certain that the cursor, and what it vouches for, will be found again.
    fn save(&self, cursor: &Cursor) -> Result<(), SaveError>;
}

/// A cursor may not have been saved.
#[derive(Debug, thiserror::Error)]
#[error("save a cursor")]
pub struct SaveError {
    #[source]
    cause: Box<dyn StdError + Send + Sync>,
}

impl SaveError {
    /// Saving failed because of `cause`.
    pub fn new(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> SaveError {
        SaveError { cause: cause.into() }
    }
}
