//! [`CursorStatus`]: who reads a source, and how far they have come.

use std::time::Duration;

use larder_core::sync::Ordering;
use larder_core::{Epoch, LaneState, Position, SourceId};
use larder_pool::{MissCause, WhenUnsure};

use super::Shared;
use super::parts::Followed;

/// What kind of reader it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReaderKind {
    /// It brings invalidations to this node.
    Follower,
    /// It hands rows to another system.
    Relay,
}

/// A reader of a source.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CursorStatus {
    /// What kind of reader it is.
    pub kind: ReaderKind,
    /// Which source.
    pub source: SourceId,
    /// Under which name the others know it: the node's, or a relay's own. None where nobody knows of each other.
    pub node: Option<String>,
    /// Of a relay: its group, with which it shares the rows.
    pub group: Option<String>,
    /// The epoch of the source that it reads; none before its first round.
    pub epoch: Option<Epoch>,
    /// Below this position everything has been applied, or acknowledged; none before its first round.
    pub position: Option<Position>,
    /// Where the source stood when it last answered.
    pub head: Option<Position>,
    /// How many positions it lacks up to there; of a relay, how many rows its group has yet to acknowledge, counted up to 100,000.
    pub behind: Option<u64>,
    /// How long after its commit the oldest of the last rows was read, by the source's clock; of a relay, how old the oldest row is that is pending.
    pub lag: Option<Duration>,
    /// How long ago the source last answered; of a relay, how long ago it last began a round.
    pub last_contact: Option<Duration>,
    /// Whether what it brings may be relied on. A relay is live if nothing is pending, lagging if something is, and suspect while its transport is down.
    pub state: LaneState,
    /// What pools that say nothing of it do while it may not.
    pub policy: WhenUnsure,
    /// How many reads were answered by the source instead of memory while it was not: of pools that are bypassed or shortened then.
    pub affected_reads: u64,
    /// What kept it from going on, the last time.
    pub last_error: Option<String>,
}

impl CursorStatus {
    pub(super) fn of(followed: &Followed, shared: &Shared) -> Self {
        let now = shared.fence.time();
        let status = followed.handle.status();
        let position = status.cursor.as_ref().map(|cursor| cursor.horizon());
        let behind = status.head.zip(position).map(|(head, next)| {
            let next_of_head = head.get().saturating_add(1);
            next_of_head.saturating_sub(next.get())
        });
        CursorStatus {
            kind: ReaderKind::Follower,
            source: followed.source,
            node: status.node,
            group: None,
            epoch: status.epoch,
            position,
            head: status.head,
            behind,
            lag: status.lag,
            last_contact: status.last_contact.map(|last| now.since(last)),
            state: status.state,
            policy: shared.when_unsure,
            affected_reads: followed.affected_reads.load(Ordering::Relaxed),
            last_error: status.last_error,
        }
    }
}

impl Shared {
    /// Followers and relays.
    pub(super) fn cursors(&self) -> Vec<CursorStatus> {
        let mut cursors = self.following();
        let now = self.fence.time();
        let relays = self.relays.iter();
        cursors.extend(relays.map(|relay| relay.cursor(now, self.when_unsure)));
        cursors
    }

    /// Followers alone: what is applied here.
    pub(super) fn following(&self) -> Vec<CursorStatus> {
        self.note_unsure_reads();
        let followed = self.followed.iter();
        followed
            .map(|followed| CursorStatus::of(followed, self))
            .collect()
    }

    /// Counts the reads that found this node unsure since this was last asked, for each follower that is not live; for all, if none of them says why.
    pub(super) fn note_unsure_reads(&self) {
        let pools = self.registry.pools();
        let now: u64 = pools
            .iter()
            .map(|pool| pool.stats().misses.of(MissCause::Unsure))
            .sum();
        let more = now.saturating_sub(std::mem::replace(&mut *self.unsure_reads.lock(), now));
        if more == 0 {
            return;
        }
        let is_live = |followed: &&Followed| followed.handle.status().state == LaneState::Live;
        let (live, other): (Vec<&Followed>, Vec<&Followed>) = self.followed.iter().partition(is_live);
        let blamed = if other.is_empty() { live } else { other };
        for followed in blamed {
            followed.affected_reads.fetch_add(more, Ordering::Relaxed);
        }
    }
}
