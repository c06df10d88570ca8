//! [`CursorStatus`]: who reads a source, and how far they have come.

use std::time::Duration;

use larder_core::{Epoch, LaneState, Moment, Position, SourceId};

use super::parts::Followed;

/// What kind of reader it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReaderKind {
    /// It brings invalidations to this node.
    Follower,
}

/// A reader of a source.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CursorStatus {
    /// What kind of reader it is.
    pub kind: ReaderKind,
    /// Which source.
    pub source: SourceId,
    /// Under which name the others know it; none where nobody knows of each other.
    pub node: Option<String>,
    /// The epoch of the source that it reads; none before its first round.
    pub epoch: Option<Epoch>,
    /// Below this position everything has been applied; none before its first round.
    pub position: Option<Position>,
    /// Where the source stood when it last answered.
    pub head: Option<Position>,
    /// How many positions it lacks up to there.
    pub behind: Option<u64>,
    /// How long after its commit the oldest of the last rows was read, by the source's clock.
    pub lag: Option<Duration>,
    /// How long ago the source last answered.
    pub last_contact: Option<Duration>,
    /// Whether what it brings may be relied on.
    pub state: LaneState,
    /// What kept it from going on, the last time.
    pub last_error: Option<String>,
}

impl CursorStatus {
    pub(super) fn of(followed: &Followed, now: Moment) -> Self {
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
            epoch: status.epoch,
            position,
            head: status.head,
            behind,
            lag: status.lag,
            last_contact: status.last_contact.map(|last| now.since(last)),
            state: status.state,
            last_error: status.last_error,
        }
    }
}
