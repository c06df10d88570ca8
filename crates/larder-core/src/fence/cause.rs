//! Why a target was invalidated: by hand, or by a commit that a source delivered.

use crate::invalidations::Reason;
use crate::position::Position;

/// Why a target is invalidated. Cheap to clone.
///
/// Kept in the fence's ring, so that a later reader can be told, and so that a load from a copy of the
/// database can be compared with the commit (see [`Pin::as_of`](super::Pin::as_of)).
#[derive(Clone, Debug)]
pub struct Cause {
    pub(super) commit: Option<Commit>,
    pub(super) reason: Reason,
}

/// The commit behind an invalidation that a lane delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    /// Which of the fence's lanes.
    pub(super) lane: LaneIndex,
    pub(super) position: Position,
    /// A point of the source, in the lane's epoch, that certainly includes the commit; `None` until settled.
    pub(super) bound: Option<u64>,
}

/// The place of a lane among the fence's lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LaneIndex(pub(super) u8);

impl Cause {
    /// By hand, without a source: as durable as the journal makes it, and unknown to every other node.
    pub fn direct(reason: Reason) -> Cause {
        Cause { commit: None, reason }
    }

    /// By a commit of a lane's source. Made by [`Lane::cause`](super::Lane::cause).
    pub(super) fn of_commit(
        lane: LaneIndex,
        position: Position,
        bound: Option<u64>,
        reason: Reason,
    ) -> Cause {
        Cause {
            commit: Some(Commit {
                lane,
                position,
                bound,
            }),
            reason,
        }
    }
}

impl LaneIndex {
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}
