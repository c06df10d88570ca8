//! What an outbox and its database say to each other: which log it is, a batch on its way, and what became of it.

use larder_core::{Epoch, Invalidation, Invalidations, Origin, Position, SourceId, Timestamp};

use crate::Error;
use crate::names::Names;

/// A batch, and where it goes.
pub struct Writing<'a> {
    pub(crate) names: &'a Names,
    pub(crate) source: SourceId,
    pub(crate) origin: Option<&'a Origin>,
    pub(crate) batch: &'a Invalidations,
    /// What this transaction was given when it began.
    pub(crate) given: Option<Given>,
    /// Targets that it has named before at that position.
    pub(crate) rows_before: usize,
}

/// The position of a transaction, and what was told with it.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    pub(crate) position: Position,
    pub(crate) epoch: Epoch,
    pub(crate) at: Timestamp,
    /// How many rows the connection had changed before.
    pub(crate) changes: i64,
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    pub(crate) given: Given,
    pub(crate) inserted: usize,
    /// The last position that was given out when it was written.
    pub(crate) counter: Position,
}

/// How a transaction ended whose last batch and end were sent together.
#[derive(Debug)]
pub struct Ended {
    pub(crate) end: End,
    /// What triggers have recorded in it, as far as that was told.
    pub(crate) of_triggers: Vec<Invalidation>,
    /// What sqlx counts as the transaction is one: it can be ended as any other.
    pub(crate) is_countable: bool,
}

#[derive(Debug)]
pub(crate) enum End {
    Committed,
    /// The batch was refused, so nobody asked for the commit.
    NotRecorded(Error),
    /// The commit was refused, or failed.
    Failed(sqlx::Error),
}

/// Which log an outbox was opened in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(crate) source: SourceId,
    pub(crate) epoch: Epoch,
}
