//! What a follower tells about itself.

use std::time::Duration;

use larder_core::sync::{Arc, Mutex, Weak};
use larder_core::{Cursor, Epoch, Head, LaneState, Moment, Position, SourceError, SourceId, WidenedRows};

use super::{Gap, Membership, Step};
use crate::seat::Seat;

/// What a follower writes down for whoever looks.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) resync: bool,
    rows: u64,
    widened: Widenings,
    gaps: Vec<GapCount>,
    last_gap: Option<&'static str>,
    lag: Option<Duration>,
    head: Option<Position>,
    state: Option<(LaneState, Moment)>,
    pub(super) unsure_sinks: usize,
    failures: u64,
    last_contact: Option<Moment>,
    pub(super) last_round: Option<Moment>,
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
    /// Of which epoch the source is; none before the first round.
    pub epoch: Option<Epoch>,
    /// Since when it is in this state, as far as a round has seen it, by the clock of the fence.
    pub since: Option<Moment>,
    /// How long after its commit the oldest row of the last rows was read, by the source's clock on both sides.
    pub lag: Option<Duration>,
    /// The greatest position of the source when its rows were last read, where it says so.
    pub head: Option<Position>,
    /// What was applied as something wider, by cause.
    pub widened: Widenings,
    /// How often this node was flushed, since it could not be told what it had missed.
    pub gaps: u64,
    /// The same by cause.
    pub gaps_by_cause: Vec<GapCount>,
    /// Sinks that are fed.
    pub sinks: usize,
    /// Why, the last time.
    pub last_gap: Option<&'static str>,
    /// How often a sink could not even widen.
    pub unsure_sinks: usize,
    /// Rounds in which the source did not answer.
    pub failures: u64,
    /// When it last answered, by the clock of the fence.
    pub last_contact: Option<Moment>,
    /// When its last round ended, whether or not the source answered, by the clock of the fence.
    pub last_round: Option<Moment>,
    /// What kept it from answering the last time that it did not.
    pub last_error: Option<String>,
}

/// What was applied as something wider, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Widenings {
    /// An id could not be read: its collection and the lists of that.
    pub to_collection: u64,
    /// A row of a key, tag, dependency or namespace could not be read: the namespace.
    pub to_namespace: u64,
    /// Another row could not be read: everything.
    pub to_everything: u64,
    /// A sink had failed with the rows, and was asked to widen.
    pub sinks: u64,
}

impl Widenings {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.to_collection + self.to_namespace + self.to_everything + self.sinks
    }
}

/// How often a node was flushed for one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapCount {
    /// Why.
    pub cause: &'static str,
    /// How often.
    pub times: u64,
}

/// Takes the figures of a follower. Every method does nothing unless it is written; they are called with no lock held, between the rounds' steps, and must not wait.
pub trait FollowerMetrics: std::fmt::Debug + Send + Sync + 'static {
    /// Rows were applied: what was widened, how many sinks had to widen, and how long after its commit the oldest was read
    /// (`larder_invalidation_lag_seconds`, `larder_widened_total`).
    fn applied(&self, widened: &WidenedRows, sinks: usize, lag: Option<Duration>) {
        let _ = (widened, sinks, lag);
    }

    /// The node was flushed (`larder_outbox_gaps_total`).
    fn gap(&self, cause: &'static str) {
        let _ = cause;
    }

    /// The follower is in another state than before (`larder_outbox_state`).
    fn state(&self, state: LaneState) {
        let _ = state;
    }
}

impl Board {
    pub(super) fn stepped(&mut self, step: &Step, now: Moment) {
        self.rows = self
            .rows
            .saturating_add(u64::try_from(step.rows).unwrap_or(u64::MAX));
        self.last_contact = Some(now);
    }

    pub(super) fn count(&mut self, gap: Gap) {
        let cause = gap.reason();
        self.last_gap = Some(cause);
        match self.gaps.iter_mut().find(|count| count.cause == cause) {
            Some(count) => count.times += 1,
            None => self.gaps.push(GapCount { cause, times: 1 }),
        }
    }

    /// It goes on from here.
    pub(super) fn began(&mut self, head: &Head) {
        let last = head.cursor.horizon().get().checked_sub(1);
        self.head = last.map(Position::new);
    }

    pub(super) fn applied(
        &mut self,
        rows: &WidenedRows,
        sinks: usize,
        lag: Option<Duration>,
        head: Option<Position>,
    ) {
        let add =
            |to: &mut u64, more: usize| *to = to.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        add(&mut self.widened.to_collection, rows.to_collection);
        add(&mut self.widened.to_namespace, rows.to_namespace);
        add(&mut self.widened.to_everything, rows.to_everything);
        add(&mut self.widened.sinks, sinks);
        self.lag = lag.or(self.lag);
        self.head = head.or(self.head);
    }

    /// Whether this is another state than the one before.
    pub(super) fn is_new(&mut self, state: LaneState, now: Moment) -> bool {
        let is_new = self.state.is_none_or(|(before, _)| before != state);
        if is_new {
            self.state = Some((state, now));
        }
        is_new
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
        let epoch = cursor.as_ref().map(Cursor::epoch);
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
            gaps: board.gaps.iter().map(|count| count.times).sum(),
            gaps_by_cause: board.gaps.clone(),
            since: board.state.map(|(_, since)| since),
            lag: board.lag,
            head: board.head,
            epoch,
            sinks: seat.as_ref().map_or(0, |seat| seat.fence.sinks().len()),
            last_gap: board.last_gap,
            unsure_sinks: board.unsure_sinks,
            failures: board.failures,
            last_contact: board.last_contact,
            last_round: board.last_round,
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
