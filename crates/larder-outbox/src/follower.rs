//! [`Follower`]: brings what a source delivers to the fence and the sinks of this node.
//!
//! What is always true: the fence is raised before progress is published, and a cursor is saved only when everything before it is
//! settled. Whatever the source answers, the follower goes on: it widens, it flushes, it tries again; it never skips.
//! Everything between two awaits of a step is done whole or not at all, so that a step may be dropped.

mod builder;
mod membership;
mod run;
mod status;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use larder_core::sync::{Arc, Mutex};
use larder_core::{
    Batch, Cursor, CursorHome, Delivered, Entropy, Head, Invalidation, LaneState, Moment, Namespace, Runtime,
    Settled, Source, SourceError, Target, Timestamp,
};

pub use self::builder::FollowerBuilder;
use tracing::Instrument as _;

use self::membership::{LetGo, Membership};
use self::status::Board;
pub use self::status::{FollowerHandle, FollowerMetrics, FollowerStatus, GapCount, Widenings};
use crate::limits::SAVE_EVERY;
use crate::seat::{Seat, Told};
use crate::{Error, pace};

/// How long a step waits for a sign of life that it has begun.
const SIGN_OF_LIFE_WITHIN: Duration = Duration::from_millis(100);

/// Follows one source on one fence.
///
/// Nothing here runs by itself: [`Follower::step`] is one round, [`Follower::run`] repeats it.
pub struct Follower {
    source: Arc<dyn Source>,
    seat: Arc<Seat>,
    options: Options,
    /// None before the first round that has come through.
    cursor: Option<Cursor>,
    board: Arc<Mutex<Board>>,
    /// What sinks have yet to settle, before a cursor may be saved.
    unsettled: Vec<Settled>,
    saved: Option<Cursor>,
    saved_at: Option<Moment>,
    /// None where nobody knows of each other.
    membership: Option<Arc<Mutex<Membership>>>,
    /// A flush that is yet to be done.
    gap: Option<Gap>,
}

/// How a follower is to behave.
struct Options {
    namespaces: Option<Vec<Namespace>>,
    home: Option<Arc<dyn CursorHome>>,
    runtime: Option<Arc<dyn Runtime>>,
    metrics: Option<Arc<dyn FollowerMetrics>>,
    entropy: Arc<dyn Entropy>,
    freshness: Duration,
    poll_min: Duration,
    poll_max: Duration,
    rows_a_read: usize,
}

/// What one round has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Rows that the source delivered.
    pub rows: usize,
    /// Of these, rows of the log that could not be read, and sinks that had to widen.
    pub widened: usize,
    /// Nothing visible was left.
    pub caught_up: bool,
    /// This node was flushed, since it could not be told what it had missed.
    pub gap: bool,
    /// The state after it.
    pub state: LaneState,
}

/// Why this node has to be flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// It has just started, and nothing tells how far it had come.
    Start,
    Purged,
    OtherEpoch,
    /// Another process was this node until now, and may have written to its data.
    TookOver,
    /// Another process is this node now.
    Superseded,
    Asked,
}

impl Follower {
    /// One round: read, apply, publish. On the first one a node without a saved cursor takes the head and flushes.
    ///
    /// Dropped before it is done, nothing is lost: what it has not published comes again.
    ///
    /// # Errors
    /// [`Error::Source`] if the source did not answer; the next step tries again. [`Error::NodeInUse`] while another process is the node of this name, and
    /// [`Error::Config`] if there are too many nodes: then nothing was done.
    pub async fn step(&mut self) -> Result<Step, Error> {
        let membership = self.membership.clone();
        // Whoever steps by hand may not come again for long.
        let _letting_go = membership.as_deref().map(LetGo);
        let stepped = self.round().await;
        if let Some(membership) = membership.as_deref() {
            let runtime = self.options.runtime.clone();
            Membership::settle(membership, || pace::sleep(runtime.as_ref(), SIGN_OF_LIFE_WITHIN)).await;
        }
        stepped
    }

    /// A step, after which a sign of life may be under way.
    async fn round(&mut self) -> Result<Step, Error> {
        let membership = self.membership.clone();
        let membership = membership.as_deref();
        let now = self.seat.fence.time();
        let joined = match membership {
            Some(membership) => Membership::join(membership, now).await,
            None => Ok(false),
        };
        match joined {
            Ok(true) => self.gap = Some(Gap::TookOver),
            Ok(false) => {}
            // Who follows already goes on, and is known again later.
            Err(error) if self.cursor.is_some() => {
                tracing::warn!(%error, "this node is not known to the others");
            }
            Err(error) => return Err(error),
        }
        if membership.is_some_and(|membership| membership.lock().was_superseded(&*self.options.entropy)) {
            self.gap = Some(Gap::Superseded);
        }
        let span = tracing::debug_span!("outbox.round", source = %self.source.id());
        let stepped = Membership::beside(membership, self.stepped())
            .instrument(span)
            .await;
        self.give_sign_of_life();
        let mut board = self.board.lock();
        board.last_round = Some(self.seat.fence.time());
        match &stepped {
            Ok(step) => board.stepped(step, self.seat.fence.time()),
            Err(error) => board.failed(error),
        }
        let state = self.seat.lane.state();
        let is_new = board.is_new(state, self.seat.fence.time());
        drop(board);
        if is_new {
            tracing::info!(source = %self.source.id(), ?state, "the state of a follower has changed");
            self.report(|metrics| metrics.state(state));
        }
        stepped.map_err(Error::Source)
    }

    /// Says how far this node has come, if it is time.
    fn give_sign_of_life(&mut self) {
        let (Some(membership), Some(cursor)) = (&self.membership, &self.cursor) else {
            return;
        };
        let saved = self.options.home.as_ref().and(self.saved.as_ref());
        membership.lock().beat(self.seat.fence.time(), cursor, saved);
    }

    async fn stepped(&mut self) -> Result<Step, SourceError> {
        if std::mem::take(&mut self.board.lock().resync) {
            self.gap = Some(Gap::Asked);
        }
        if let Some(gap) = self.gap {
            let step = self.close(gap).await?;
            self.gap = None;
            return Ok(step);
        }
        let Some(cursor) = self.cursor.clone() else {
            return self.start().await;
        };
        let round = self.seat.lane.round();
        let sent = self.seat.fence.time();
        let own = self.seat.newest_own();
        match self.read(&cursor).await? {
            // Commits of this node are not there any more: the log was put back behind them.
            Delivered::Rows(batch)
                if batch.caught_up && own.is_some_and(|own| !batch.cursor.includes(own)) =>
            {
                self.close(Gap::OtherEpoch).await
            }
            Delivered::Rows(batch) => {
                let caught_up = batch.caught_up.then_some(batch.as_of);
                let step = self.apply(batch);
                if let Some(as_of) = caught_up {
                    self.seat.lane.caught_up(round, as_of);
                    self.seat.lane.lease(sent + self.options.freshness);
                }
                self.save();
                Ok(Step {
                    state: self.seat.lane.state(),
                    ..step
                })
            }
            Delivered::Purged => self.close(Gap::Purged).await,
            // Also what later versions may say: only a flush is sure.
            _ => self.close(Gap::OtherEpoch).await,
        }
    }

    async fn read(&mut self, cursor: &Cursor) -> Result<Delivered, SourceError> {
        let answer = self.source.read(cursor, self.options.rows_a_read).await;
        self.heard(answer)
    }

    /// A source that does not answer makes this node suspect, as soon as its lease is over.
    fn heard<R>(&self, answer: Result<R, SourceError>) -> Result<R, SourceError> {
        let lane = &self.seat.lane;
        match (lane.state(), &answer) {
            (LaneState::Starting | LaneState::Gap, _) => {}
            (LaneState::Suspect, Ok(_)) => lane.set_state(LaneState::Lagging),
            (_, Err(_)) => lane.set_state(LaneState::Suspect),
            _ => {}
        }
        answer
    }

    /// Warm, from the saved cursor; or cold.
    async fn start(&mut self) -> Result<Step, SourceError> {
        let home = self.options.home.as_ref();
        let saved = home.and_then(|home| home.load());
        let Some(saved) = saved.filter(|saved| saved.source() == self.source.id()) else {
            return self.close(Gap::Start).await;
        };
        let answer = self.source.head().await;
        let head = self.heard(answer)?;
        self.seat.lane.begin(&head);
        self.saved = Some(saved.clone());
        self.cursor = Some(saved);
        Ok(self.quiet_step())
    }

    /// Takes the head, *then* flushes, then goes on from that head: what is filled in between is flushed too.
    async fn close(&mut self, gap: Gap) -> Result<Step, SourceError> {
        if gap != Gap::Start {
            self.seat.lane.set_state(LaneState::Gap);
        }
        let round = self.seat.lane.round();
        let sent = self.seat.fence.time();
        // Until the head is there the cursor stays, so that a failure, or a drop, comes here again.
        let answer = self.source.head().await;
        let head = self.heard(answer)?;
        self.flush(&head, gap);
        self.seat.lane.caught_up(round, head.as_of);
        self.seat.lane.lease(sent + self.options.freshness);
        self.save();
        Ok(Step {
            gap: gap != Gap::Start,
            caught_up: true,
            ..self.quiet_step()
        })
    }

    fn flush(&mut self, head: &Head, gap: Gap) {
        self.seat.lane.begin(head);
        self.board.lock().began(head);
        self.seat.lane.forget_unconfirmed();
        self.seat.forget_all();
        let told = self.seat.flush(gap.reason());
        self.keep(told);
        self.seat.lane.flushed();
        self.seat.lane.publish(&head.cursor, &[]);
        self.cursor = Some(head.cursor.clone());
        if gap != Gap::Start {
            tracing::warn!(source = %self.source.id(), reason = gap.reason(), "this node was flushed");
            self.board.lock().count(gap);
            self.report(|metrics| metrics.gap(gap.reason()));
        }
    }

    /// Tells whoever takes figures; a panic there is theirs.
    fn report(&self, tell: impl FnOnce(&dyn FollowerMetrics)) {
        let Some(metrics) = &self.options.metrics else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(|| tell(&**metrics))).is_err() {
            tracing::error!("who takes the figures of a follower panicked");
        }
    }

    /// Raises the fence, calls the sinks, publishes.
    fn apply(&mut self, batch: Batch) -> Step {
        let rows: Vec<Invalidation> = match &self.options.namespaces {
            None => batch.rows,
            Some(namespaces) => {
                let mut rows = batch.rows;
                rows.retain(|row| concerns(row.target(), namespaces));
                rows
            }
        };
        let lag = lag(&rows, batch.read_at);
        let told = self.seat.deliver(&rows, batch.as_of);
        let widened = batch.widened.total() + told.widened;
        let sinks = told.widened;
        self.keep(told);
        self.seat.lane.publish(&batch.cursor, &[]);
        self.board.lock().applied(&batch.widened, sinks, lag, batch.head);
        if !rows.is_empty() {
            self.report(|metrics| metrics.applied(&batch.widened, sinks, lag));
        }
        self.seat.forget_below(batch.cursor.horizon());
        self.cursor = Some(batch.cursor);
        Step {
            rows: rows.len(),
            widened,
            caught_up: batch.caught_up,
            ..self.quiet_step()
        }
    }

    fn keep(&mut self, told: Told) {
        self.unsettled.extend(told.settled);
        self.board.lock().unsure_sinks += told.unsure;
    }

    /// Saves the cursor if everything before it is settled, and not too often.
    fn save(&mut self) {
        let now = self.seat.fence.time();
        let is_soon = self.saved_at.is_some_and(|at| now.since(at) < SAVE_EVERY);
        if !is_soon {
            self.save_now();
        }
    }

    fn save_now(&mut self) {
        let Some(home) = &self.options.home else {
            self.unsettled.clear();
            return;
        };
        self.unsettled.retain(|settled| !settled.is_done());
        let Some(cursor) = &self.cursor else { return };
        if !self.unsettled.is_empty() || self.saved.as_ref() == Some(cursor) {
            return;
        }
        match home.save(cursor) {
            Ok(()) => {
                self.saved = Some(cursor.clone());
                self.saved_at = Some(self.seat.fence.time());
            }
            Err(error) => tracing::warn!(%error, "a cursor was not saved"),
        }
    }

    fn quiet_step(&self) -> Step {
        Step {
            rows: 0,
            widened: 0,
            caught_up: false,
            gap: false,
            state: self.seat.lane.state(),
        }
    }

    /// How soon it asks again at the latest, while nothing fails.
    #[must_use]
    pub fn poll_max(&self) -> Duration {
        self.options.poll_max
    }

    /// Tells what this follower does, and asks it to flush; from any thread.
    #[must_use]
    pub fn handle(&self) -> FollowerHandle {
        FollowerHandle::new(
            &self.seat,
            Arc::clone(&self.board),
            self.source.id(),
            self.membership.clone(),
        )
    }
}

impl Gap {
    fn reason(self) -> &'static str {
        match self {
            Gap::Start => "start",
            Gap::Purged => "rows were purged before they were read",
            Gap::OtherEpoch => "the source has begun a new epoch",
            Gap::TookOver => "another process was this node",
            Gap::Superseded => "another process is this node now",
            Gap::Asked => "resync",
        }
    }
}

/// How long after its commit the oldest of these rows was read, by the source's clock on both sides.
fn lag(rows: &[Invalidation], read_at: Option<Timestamp>) -> Option<Duration> {
    let oldest = rows.iter().map(Invalidation::recorded_at).min()?;
    Some(read_at?.since(oldest))
}

/// Whether a target is of one of these namespaces, or of none, as entities, collections and everything are.
fn concerns(target: &Target, namespaces: &[Namespace]) -> bool {
    match target {
        Target::Key { namespace, .. }
        | Target::Tag { namespace, .. }
        | Target::Dependency { namespace, .. }
        | Target::Namespace { namespace } => namespaces.contains(namespace),
        _ => true,
    }
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower")
            .field("source", &self.source.id())
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}
