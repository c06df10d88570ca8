//! What an outbox and its database say to each other: which log it is, a batch on its way, and what became of it.

use larder_core::{Epoch, Invalidations, Origin, Position, SourceId, Timestamp};

use crate::names::Names;

/// A batch that is not empty, and where it goes.
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

/// Which log an outbox was opened in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(crate) source: SourceId,
    pub(crate) epoch: Epoch,
}
