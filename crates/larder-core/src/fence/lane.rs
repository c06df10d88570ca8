//! A lane: what a follower tells the fence of its source.
//!
//! A lane has an epoch, the progress made in it, a lease that says until when this node may believe that it has
//! heard everything, and a state. The follower feeds it; readers only ask. What is always true: progress is
//! published after the invalidations it vouches for are raised, and never goes back within an epoch.

use std::fmt;

use super::Fence;
use super::attached::Panics;
use super::cause::Cause;
use super::error::FenceError;
use super::lanes::{LaneShared, LaneState};
use super::stamp::{Run, Stamp};
use crate::as_of::AsOf;
use crate::clock::Moment;
use crate::cursor::Cursor;
use crate::invalidations::{Invalidation, Origin, Reason};
use crate::limits::{OWN_COMMITS, OutOfRange};
use crate::position::{Epoch, Position, SourceId};
use crate::source::Head;
use crate::sync::Arc;
use crate::target::{Target, TargetHash};
use crate::token::Token;

/// One source as its follower feeds it to a fence. Dropped, the lane stays as it is and its lease runs out.
pub struct Lane {
    fence: Fence,
    lane: Arc<LaneShared>,
}

/// Marks the moment before a source is asked, for what its answer may vouch for.
#[derive(Clone, Copy, Debug)]
#[must_use = "give it to `caught_up` if the answer leaves nothing over"]
pub struct Round {
    run: Run,
    number: u64,
    began: Stamp,
}

/// A commit of this node whose invalidations are raised. Publish it after the sinks have been called.
#[must_use = "waiters see the commit only once it is published"]
pub struct OwnCommit<'a> {
    lane: &'a Lane,
    applied_at: u64,
    epoch: Epoch,
    position: Position,
    bound: Option<u64>,
    targets: Vec<Target>,
}

/// Where a delivered row comes from.
enum RowOrigin {
    /// Another process, or nobody who said so.
    Elsewhere,
    /// A commit of this process that is not, or no longer, remembered as applied.
    Here,
    /// A commit of this process that is remembered as applied.
    Remembered,
}

impl Lane {
    /// The lane of `source`, new or left by a follower that is gone.
    pub(super) fn take(fence: &Fence, source: SourceId) -> Result<Lane, FenceError> {
        let lane = fence.shared().lanes.take(source, fence.shared().time())?;
        fence.shared().lanes.refresh_certainty();
        Ok(Lane {
            fence: fence.clone(),
            lane,
        })
    }

    /// The source that this lane stands for.
    pub fn source(&self) -> SourceId {
        self.lane.source
    }

    /// Reads do not become unsure because of this lane.
    pub fn set_optional(&self, optional: Optional) {
        self.lane.state.lock().optional = matches!(optional, Optional::Yes);
        self.fence.shared().lanes.refresh_certainty();
    }

    /// How many own commits are remembered at most; zero has each of them applied a second time. Default: 65,536.
    ///
    /// # Errors
    /// [`OutOfRange`] above 2^20.
    pub fn set_own_commits(&self, limit: usize) -> Result<(), OutOfRange> {
        let limit = OWN_COMMITS.check(limit)?;
        self.lane.state.lock().progress.own.set_limit(limit);
        Ok(())
    }

    /// Takes up the epoch in which the source stands. Bounds count from this head on. In a new epoch nothing
    /// that was applied before counts; what it invalidated is gone from this node once [`Lane::flushed`] says
    /// so, or once the follower has caught up from a cursor that the source carried over. The lease is over: only the
    /// next round that catches up makes the lane live again. A follower that has found a gap says so before, by
    /// [`Lane::set_state`].
    ///
    /// A point of the head that is not of the head's own source and epoch refuses every load from a copy until the
    /// next head.
    ///
    /// O(ring): for the start of a follower and for gaps.
    pub fn begin(&self, head: &Head) {
        let shared = self.fence.shared();
        let fits = (head.as_of.source(), head.as_of.epoch()) == (head.cursor.source(), head.cursor.epoch());
        // A point that cannot be compared refuses every copy until the next head.
        let base = if fits { head.as_of.point() } else { u64::MAX };
        self.end_lease();
        if self.lane.epoch() == Some(head.cursor.epoch()) {
            shared.each_shard(|shard| shard.raise_base(self.lane.index, base));
        } else {
            // While the shards change over the lane is in no epoch, so that loads from copies are refused.
            self.lane.state.lock().progress.leave_epoch();
            shared.each_shard(|shard| shard.rebase(self.lane.index, base));
        }
        self.lane.state.lock().progress.begin(head);
        shared.wake_all(self.lane.source);
    }

    /// What was believed so far ends now.
    fn end_lease(&self) {
        let now = self.fence.shared().time();
        let mut inner = self.lane.state.lock();
        inner.lease_until = inner.lease_until.min(now);
        if inner.phase == LaneState::Live {
            inner.phase = LaneState::Lagging;
        }
        drop(inner);
        self.fence.shared().lanes.refresh_certainty();
    }

    /// Everything that the follower feeds has been flushed since [`Lane::begin`].
    pub fn flushed(&self) {
        let mut inner = self.lane.state.lock();
        inner.progress.flushed();
        if inner.phase == LaneState::Gap {
            inner.phase = LaneState::Lagging;
        }
        drop(inner);
        self.fence.shared().lanes.refresh_certainty();
        self.fence.shared().wake_all(self.lane.source);
    }

    /// What the follower found out. `Live` means live for as long as the lease lasts.
    pub fn set_state(&self, state: LaneState) {
        let now = self.fence.shared().time();
        let mut inner = self.lane.state.lock();
        if inner.phase != state {
            inner.phase = state;
            inner.since = now;
        }
        drop(inner);
        self.fence.shared().lanes.refresh_certainty();
    }

    /// The cause of an invalidation by a commit of this source. On another fence it counts as done by hand.
    ///
    /// `bound` is a point that certainly includes the commit. Without one a load from a copy is refused until the
    /// ring has forgotten the invalidation: a commit whose bound is to be settled goes through [`Lane::own_commit`].
    pub fn cause(&self, position: Position, bound: Option<AsOf>, reason: Reason) -> Cause {
        let run = self.fence.shared().run;
        Cause::of_commit(run, self.lane.index, position, self.point(bound), reason)
    }

    /// The point of a bound, if it is one of this source in the lane's epoch; others cannot be compared.
    fn point(&self, bound: Option<AsOf>) -> Option<u64> {
        let bound = bound.filter(|bound| bound.source() == self.lane.source)?;
        self.lane.is_in_epoch_of(bound).then(|| bound.point())
    }

    /// Rows of this process carry this origin. Needed before [`Lane::own_commit`].
    pub fn set_origin(&self, origin: Origin) {
        self.lane.state.lock().origin = Some(origin);
    }

    /// Applies a commit that this node has just made: raises the fence for all its targets. The caller then
    /// calls the sinks, and then publishes it.
    pub fn own_commit(
        &self,
        epoch: Epoch,
        position: Position,
        bound: Option<AsOf>,
        reason: &Reason,
        targets: Vec<Target>,
    ) -> OwnCommit<'_> {
        let applied_at = self.lane.state.lock().progress.forgotten();
        self.fence
            .invalidate_many(&targets, &self.cause(position, bound, reason.clone()));
        OwnCommit {
            lane: self,
            applied_at,
            epoch,
            position,
            bound: self.point(bound),
            targets,
        }
    }

    /// Raises the fence for rows that the source delivered; `bound` certainly includes their commits.
    ///
    /// A commit of this node that was applied when it committed is not applied a second time: its entries would
    /// end twice. Its bound is filled in instead. All rows are raised before a panic of a hook or a journal goes on
    /// to the caller.
    pub fn raise(&self, rows: &[Invalidation], bound: AsOf) {
        let mut panics = Panics::default();
        for row in rows {
            match self.origin_of(row) {
                RowOrigin::Remembered => self.settle(row.position(), bound),
                RowOrigin::Here => {
                    // Raised when it committed, and forgotten since: what the ring has of it is settled all the same.
                    self.settle_one(row.hash(), row.position(), bound);
                    panics.put_off(|| self.raise_one(row, bound));
                }
                RowOrigin::Elsewhere => {
                    panics.put_off(|| self.raise_one(row, bound));
                }
            }
        }
        panics.go_on();
    }

    fn raise_one(&self, row: &Invalidation, bound: AsOf) {
        let cause = self.cause(row.position(), Some(bound), row.reason().clone());
        self.fence.invalidate(row.target(), cause);
    }

    fn origin_of(&self, row: &Invalidation) -> RowOrigin {
        let inner = self.lane.state.lock();
        if inner.origin.is_none() || row.origin() != inner.origin.as_ref() {
            RowOrigin::Elsewhere
        } else if inner.progress.own.has_raised(row.position(), row.hash()) {
            RowOrigin::Remembered
        } else {
            RowOrigin::Here
        }
    }

    /// Fills in the bound of a commit that was applied before its bound was known.
    pub fn settle(&self, position: Position, bound: AsOf) {
        let Some(point) = self.point(Some(bound)) else {
            return;
        };
        let targets = self.lane.state.lock().progress.own.settle(position, point);
        for hash in targets.iter().flat_map(|targets| targets.iter().copied()) {
            self.fence
                .shared()
                .shard(hash)
                .settle(hash, self.lane.index, position, point);
        }
    }

    fn settle_one(&self, hash: TargetHash, position: Position, bound: AsOf) {
        if let Some(point) = self.point(Some(bound)) {
            let mut shard = self.fence.shared().shard(hash);
            shard.settle(hash, self.lane.index, position, point);
        }
    }

    /// Marks the moment before the source is asked.
    pub fn round(&self) -> Round {
        let number = self.lane.state.lock().progress.begin_round();
        Round {
            run: self.fence.shared().run,
            number,
            began: self.fence.shared().now(),
        }
    }

    /// `cursor` is applied, and so are the single commits above it: the fence was raised for all of them.
    /// Wakes whoever waited for that. An older cursor changes nothing, nor does one of another source or epoch.
    pub fn publish(&self, cursor: &Cursor, singles: &[Position]) {
        if cursor.source() != self.lane.source {
            return;
        }
        let highest = self.lane.state.lock().progress.publish(cursor, singles);
        if let Some(highest) = highest {
            self.fence.shared().wake_up_to(self.lane.source, highest);
        }
    }

    /// The answer to `round` left nothing over, its rows are raised and its cursor is published; it showed
    /// everything up to `as_of`.
    pub fn caught_up(&self, round: Round, as_of: AsOf) {
        let mut inner = self.lane.state.lock();
        inner.progress.reached(as_of);
        let end = inner.progress.caught_up(round.number);
        if matches!(
            inner.phase,
            LaneState::Starting | LaneState::Lagging | LaneState::Suspect
        ) {
            inner.phase = LaneState::Live;
        }
        drop(inner);
        let shared = self.fence.shared();
        // The stamp of another fence's round says nothing here.
        let point = self.point(Some(as_of)).filter(|_| round.run == shared.run);
        if let Some(point) = point {
            shared.each_shard(|shard| shard.settle_left(self.lane.index, round.began, point));
        }
        shared.lanes.refresh_certainty();
        if let Some(end) = end {
            shared.wake_from(self.lane.source, end);
        }
    }

    /// This node may believe until `until` that it has heard everything: the freshness bound after the moment
    /// at which a request that caught up was sent. Never shortens.
    pub fn lease(&self, until: Moment) {
        let mut inner = self.lane.state.lock();
        inner.lease_until = inner.lease_until.max(until);
        drop(inner);
        self.fence.shared().lanes.refresh_certainty();
    }

    /// The server recovered from a crash: single commits above the cursor, and own ones, may not exist any more.
    pub fn forget_unconfirmed(&self) {
        self.lane.state.lock().progress.forget_unconfirmed();
    }

    /// Whether a copy of the source that has come to `as_of` certainly includes all that `token` asks for.
    /// Where that cannot be told, no.
    pub fn reaches(&self, token: &Token, as_of: AsOf) -> bool {
        !token.is_origin_only()
            && token
                .requirements()
                .iter()
                .all(|requirement| self.lane.reaches(requirement, as_of))
    }

    /// The state now.
    pub fn state(&self) -> LaneState {
        // Read before the lock is taken: a clock is foreign code.
        let now = self.fence.shared().time();
        self.lane.state.lock().state(now)
    }

    /// How far the source has been applied.
    pub fn cursor(&self) -> Option<Cursor> {
        self.lane.cursor()
    }
}

/// Whether reads may do without a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optional {
    /// An unsure lane makes reads unsure.
    No,
    /// It does not.
    Yes,
}

impl OwnCommit<'_> {
    /// The targets that were raised, for the sinks.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// From now on this node counts the commit as applied; wakes whoever waited for that.
    pub fn publish(self) {
        let hashes = self.targets.iter().map(Target::hash).collect();
        let lane = &self.lane.lane;
        let mut inner = lane.state.lock();
        let highest =
            inner
                .progress
                .own_commit(self.epoch, self.applied_at, self.position, self.bound, hashes);
        drop(inner);
        if let Some(highest) = highest {
            self.lane.fence.shared().wake_up_to(lane.source, highest);
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.lane.state.lock().taken = false;
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("source", &self.lane.source)
            .field("state", &self.state())
            .finish()
    }
}

impl fmt::Debug for OwnCommit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnCommit")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
