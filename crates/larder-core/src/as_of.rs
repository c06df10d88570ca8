//! How far a copy of a source has come.
//!
//! A copy is what a load may read from instead of the source itself: a replica, a snapshot, a file. The point is the
//! position where commits are ordered (SQLite, event log, memory) and the position in the write-ahead log on
//! Postgres; two points mean something to each other within one source and epoch only. Only the fence compares them,
//! which is why they have no order here.

use crate::position::{Epoch, SourceId};

/// A point in what a copy of a source has replayed. It includes the point itself and all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AsOf {
    source: SourceId,
    epoch: Epoch,
    point: u64,
}

impl AsOf {
    /// The point `point` of an epoch of a source.
    #[must_use]
    pub const fn new(source: SourceId, epoch: Epoch, point: u64) -> Self {
        Self { source, epoch, point }
    }

    /// The source that it is a copy of.
    #[must_use]
    pub const fn source(&self) -> SourceId {
        self.source
    }

    /// The incarnation of the source's log.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How far the copy has come, in the source's own measure.
    #[must_use]
    pub const fn point(&self) -> u64 {
        self.point
    }
}
