//! What a follower tells about itself.

use larder_core::sync::{Arc, Mutex, Weak};
use larder_core::{Cursor, LaneState, Moment, SourceError, SourceId};

use super::{Gap, Membership, Step};
use crate::seat::Seat;

/// What a follower writes down for whoever looks.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) resync: bool,
    rows: u64,
    widened: u64,
    gaps: u64,
    last_gap: Option<&'static str>,
    pub(super) unsure_sinks: usize,
    failures: u64,
    last_contact: Option<Moment>,
    last_error: Option<String>,
}

/// A way to look at a follower from anywhere, and to ask it to flush. Clones are of the same follower.
#[derive(Clone)]
pub struct FollowerHandle {
    /// Of a follower that may be gone: whoever looks on does not keep its place.
    seat: Weak<Seat>,
    board: Arc<Mutex<Board>>,
    source: SourceId,
    membership: Option<Arc<Mutex<Membership>>>,
}

/// What a follower has done so far.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FollowerStatus {
    /// The source that it follows.
    pub source: SourceId,
    /// Under which name the others know it; none where nobody knows of each other.
    pub node: Option<String>,
    /// Whether what this node keeps may be believed; `Suspect` if the follower is gone.
    pub state: LaneState,
    /// How far the source has been applied; none before the first round, and if the follower is gone.
    pub cursor: Option<Cursor>,
    /// Rows that were delivered.
    pub rows: u64,
    /// Rows that could not be read and were applied as something wider, and sinks that had to widen.
    pub widened: u64,
    /// How often this node was flushed, since it could not be told what it had missed.
    pub gaps: u64,
    /// Why, the last time.
    pub last_gap: Option<&'static str>,
    /// How often a sink could not even widen.
    pub unsure_sinks: usize,
    /// Rounds in which the source did not answer.
    pub failures: u64,
    /// When it last answered, by the clock of the fence.
    pub last_contact: Option<Moment>,
    /// What kept it from answering the last time that it did not.
    pub last_error: Option<String>,
}

impl Board {
    pub(super) fn stepped(&mut self, step: &Step, now: Moment) {
        self.rows = self
            .rows
            .saturating_add(u64::try_from(step.rows).unwrap_or(u64::MAX));
        let widened = u64::try_from(step.widened).unwrap_or(u64::MAX);
        self.widened = self.widened.saturating_add(widened);
        self.last_contact = Some(now);
    }

    pub(super) fn count(&mut self, gap: Gap) {
        self.gaps += 1;
        self.last_gap = Some(gap.reason());
    }

    pub(super) fn failed(&mut self, error: &SourceError) {
        self.failures += 1;
        let cause = std::error::Error::source(error);
        self.last_error = Some(cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")));
    }
}

impl FollowerHandle {
    pub(super) fn new(
        seat: &Arc<Seat>,
        board: Arc<Mutex<Board>>,
        source: SourceId,
        membership: Option<Arc<Mutex<Membership>>>,
    ) -> Self {
        let seat = Arc::downgrade(seat);
        FollowerHandle {
            seat,
            board,
            source,
            membership,
        }
    }

    /// What it has done so far.
    #[must_use]
    pub fn status(&self) -> FollowerStatus {
        let seat = self.seat.upgrade();
        let lane = seat.as_ref().map(|seat| &seat.lane);
        let state = lane.map_or(LaneState::Suspect, larder_core::Lane::state);
        let cursor = lane.and_then(larder_core::Lane::cursor);
        let membership = self.membership.as_ref();
        let node = membership.map(|membership| membership.lock().node().to_owned());
        let board = self.board.lock();
        FollowerStatus {
            source: self.source,
            node,
            state,
            cursor,
            rows: board.rows,
            widened: board.widened,
            gaps: board.gaps,
            last_gap: board.last_gap,
            unsure_sinks: board.unsure_sinks,
            failures: board.failures,
            last_contact: board.last_contact,
            last_error: board.last_error.clone(),
        }
    }

    /// Asks for a flush of everything that this follower feeds, in its next round.
    pub fn resync(&self) {
        self.board.lock().resync = true;
    }
}

impl std::fmt::Debug for FollowerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FollowerHandle")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
