//! A batch on its way into an open transaction, and what became of it.

use larder_core::{Epoch, Invalidations, Origin, Position, SourceId, Timestamp};

use crate::names::Names;

/// A batch that is not empty, and where it goes.
pub struct Writing<'a> {
    pub(crate) names: &'a Names,
    pub(crate) source: SourceId,
    pub(crate) origin: Option<&'a Origin>,
    pub(crate) batch: &'a Invalidations,
    /// The position that this transaction has been given already.
    pub(crate) at: Option<Position>,
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    pub(crate) position: Position,
    pub(crate) epoch: Epoch,
    pub(crate) inserted: usize,
    pub(crate) recorded_at: Timestamp,
}
