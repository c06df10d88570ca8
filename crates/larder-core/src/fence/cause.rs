//! Why a target was invalidated: by hand, or by a commit that a source delivered.

use super::stamp::Run;
use crate::invalidations::Reason;
use crate::position::Position;

/// Why a target is invalidated. Cheap to clone.
///
/// Kept in the fence's ring, so that a later reader can be told, and so that a load from a copy of the
/// database can be compared with the commit (see [`Pin::as_of`](super::Pin::as_of)).
#[derive(Clone, Debug)]
pub struct Cause {
    /// With the run of the fence whose lane it is: on another fence the lane would be another.
    commit: Option<(Run, Commit)>,
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
        run: Run,
        lane: LaneIndex,
        position: Position,
        bound: Option<u64>,
        reason: Reason,
    ) -> Cause {
        let commit = Commit {
            lane,
            position,
            bound,
        };
        Cause {
            commit: Some((run, commit)),
            reason,
        }
    }

    /// The commit, for the fence that runs as `run`.
    pub(super) fn commit_of(&self, run: Run) -> Option<Commit> {
        self.commit.filter(|(of, _)| *of == run).map(|(_, commit)| commit)
    }
}

impl LaneIndex {
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}
