//! [`OutboxRow`]: a row of the log as a group sees it, and by what it is known.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use larder_core::{Epoch, Invalidation, Namespace, Origin, Position, Reason, Target, TargetHash, Timestamp};
use thiserror::Error;

/// By what a row is known: whoever receives it more than once can tell by it.
///
/// Its text is `epoch/position-ordinal`, the epoch in 16 hexadecimal digits. It is the same for every group, whatever has become
/// of the row, and no other row of the log has it, also after the log was put back to an older copy of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowId {
    epoch: Epoch,
    position: Position,
    ordinal: u64,
}

/// A text that is no id of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an id of a row: epoch/position-ordinal")]
pub struct RowIdError;

/// What a row has come to in a group. That somebody holds it is no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RowState {
    /// It has yet to be acknowledged.
    Pending,
    /// It is done.
    Acknowledged,
    /// It has failed too often, or for good.
    Dead,
}

/// For how long a claim holds its rows, and by what it is told from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    number: u64,
    until: Timestamp,
}

/// A row of the log as a group sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxRow {
    /// By what it is known.
    pub id: RowId,
    /// The namespace of the batch in which it was recorded.
    pub namespace: Namespace,
    /// What it ends. Of a row that could not be read, something that certainly contains that.
    pub target: Target,
    /// Why it was recorded.
    pub reason: Reason,
    /// The process that recorded it; none if it was written in SQL.
    pub origin: Option<Origin>,
    /// When, by the database's clock, as all times here are.
    pub recorded_at: Timestamp,
    /// From when on it may be claimed.
    pub available_at: Timestamp,
    /// Since when it is held; none if nobody holds it.
    pub claimed_at: Option<Timestamp>,
    /// Who holds it, or did when that ran out.
    pub owner: Option<Arc<str>>,
    /// For how long.
    pub lease: Option<Lease>,
    /// When it was acknowledged. Kept for as long as the group keeps rows that are.
    pub acknowledged_at: Option<Timestamp>,
    /// How often it has failed.
    pub attempts: u32,
    /// What has become of it.
    pub state: RowState,
    /// What was said the last time that it failed, cut to 1,024 bytes; none of a row that is done or was reset.
    pub last_error: Option<String>,
}

impl RowId {
    /// The row `ordinal` of a commit.
    #[must_use]
    pub const fn new(epoch: Epoch, position: Position, ordinal: u64) -> Self {
        RowId {
            epoch,
            position,
            ordinal,
        }
    }

    /// The epoch of the log in which it was recorded.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The commit that recorded it.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Its place within the commit.
    #[must_use]
    pub const fn ordinal(&self) -> u64 {
        self.ordinal
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}-{}", self.epoch, self.position, self.ordinal)
    }
}

impl FromStr for RowId {
    type Err = RowIdError;

    fn from_str(text: &str) -> Result<Self, RowIdError> {
        let (epoch, row) = text.split_once('/').ok_or(RowIdError)?;
        let (position, ordinal) = row.split_once('-').ok_or(RowIdError)?;
        let id = RowId {
            epoch: epoch.parse().map_err(|_| RowIdError)?,
            position: position.parse().map_err(|_| RowIdError)?,
            ordinal: ordinal.parse().map_err(|_| RowIdError)?,
        };
        // One id has one text.
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(RowIdError)
        }
    }
}

impl RowState {
    /// Its word, which does not change.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            RowState::Pending => "pending",
            RowState::Acknowledged => "acknowledged",
            RowState::Dead => "dead",
        }
    }

    /// The state of a word; none for one that is not known.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [RowState::Pending, RowState::Acknowledged, RowState::Dead]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

impl fmt::Display for RowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Lease {
    /// A lease until a time of the database. Two claims never have the same number.
    #[must_use]
    pub const fn new(number: u64, until: Timestamp) -> Self {
        Lease { number, until }
    }

    /// By what it is told from all others.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// From then on somebody else may take the rows.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        self.until
    }
}

impl OutboxRow {
    /// A row that is pending, that nobody holds, and that has not failed.
    #[must_use]
    pub fn new(id: RowId, namespace: Namespace, target: Target, recorded_at: Timestamp) -> Self {
        OutboxRow {
            id,
            namespace,
            target,
            reason: Reason::default(),
            origin: None,
            recorded_at,
            available_at: recorded_at,
            claimed_at: None,
            owner: None,
            lease: None,
            acknowledged_at: None,
            attempts: 0,
            state: RowState::Pending,
            last_error: None,
        }
    }

    /// The commit that recorded it.
    #[must_use]
    pub fn position(&self) -> Position {
        self.id.position
    }

    /// Its place within the commit.
    #[must_use]
    pub fn ordinal(&self) -> u64 {
        self.id.ordinal
    }

    /// The hash of its target.
    #[must_use]
    pub fn hash(&self) -> TargetHash {
        self.target.hash()
    }

    /// Whether it is done.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.state == RowState::Acknowledged
    }

    /// Whether it has failed too often, or for good.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state == RowState::Dead
    }

    /// The row as a follower would deliver it.
    #[must_use]
    pub fn invalidation(&self) -> Invalidation {
        let invalidation = Invalidation::new(self.target.clone(), self.id.position, self.recorded_at);
        let invalidation = invalidation.with_reason(self.reason.clone());
        match &self.origin {
            Some(origin) => invalidation.with_origin(origin.clone()),
            None => invalidation,
        }
    }
}
