//! [`OutboxStatus`]: what a group has yet to do.

use std::time::Duration;

use larder_core::Timestamp;

/// A number of rows, which is not counted any further than 100,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Exactly(u64),
    /// So many, or more.
    AtLeast(u64),
}

/// What a group has yet to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxStatus {
    /// Rows that have yet to be acknowledged, whether somebody holds them or not.
    pub pending: Count,
    /// For how long the oldest of them has been there, by the clock of the store; zero if there is none.
    pub oldest_pending: Duration,
    /// Dead letters.
    pub dead_lettered: Count,
    /// When rows of the group were last acknowledged, of whatever namespace; none if never.
    pub acknowledged_at: Option<Timestamp>,
    /// How often rows of the group have failed since it began, of whatever namespace.
    pub failed_attempts: u64,
    /// It has as many dead letters as it may, and claims nothing more.
    pub is_full: bool,
}

/// What a node has yet to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Behind {
    /// Rows that its cursor does not include.
    pub rows: Count,
    /// For how long the oldest of them has been there, by the clock of the store; zero if there is none.
    pub oldest: Duration,
    /// Rows that it lacks may have been purged, or are of another epoch: it will flush.
    pub is_cut_off: bool,
}

impl Behind {
    /// So many rows, the oldest so old.
    #[must_use]
    pub const fn of(rows: Count, oldest: Duration) -> Self {
        Behind {
            rows,
            oldest,
            is_cut_off: false,
        }
    }

    /// What can only flush.
    #[must_use]
    pub const fn cut_off() -> Self {
        Behind {
            rows: Count::AtLeast(0),
            oldest: Duration::ZERO,
            is_cut_off: true,
        }
    }
}

/// What a group has yet to do of certain commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenStatus {
    /// Rows that have yet to be acknowledged.
    pub pending: Count,
    /// Dead letters among them.
    pub dead_lettered: Count,
    /// The store cannot tell of all that was asked: it is of another source, or of an epoch that it does not know.
    pub unknown: bool,
}

impl Count {
    /// A number that was counted up to one beyond the limit.
    #[must_use]
    pub const fn up_to(counted: u64, limit: u64) -> Self {
        if counted > limit {
            Count::AtLeast(limit)
        } else {
            Count::Exactly(counted)
        }
    }

    /// The number, or the least that it is.
    #[must_use]
    pub const fn at_least(self) -> u64 {
        match self {
            Count::Exactly(rows) | Count::AtLeast(rows) => rows,
        }
    }
}

impl OutboxStatus {
    /// Of a group that has nothing to do and has done nothing.
    #[must_use]
    pub const fn idle() -> Self {
        OutboxStatus {
            pending: Count::Exactly(0),
            oldest_pending: Duration::ZERO,
            dead_lettered: Count::Exactly(0),
            acknowledged_at: None,
            failed_attempts: 0,
            is_full: false,
        }
    }
}

impl TokenStatus {
    /// Of so many rows, some of them dead.
    #[must_use]
    pub const fn of(pending: Count, dead_lettered: Count) -> Self {
        TokenStatus {
            pending,
            dead_lettered,
            unknown: false,
        }
    }

    /// Of what the store cannot tell.
    #[must_use]
    pub const fn unknown() -> Self {
        TokenStatus {
            pending: Count::AtLeast(0),
            dead_lettered: Count::AtLeast(0),
            unknown: true,
        }
    }

    /// Whether all rows were acknowledged.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(
            (self.pending, self.dead_lettered, self.unknown),
            (Count::Exactly(0), Count::Exactly(0), false)
        )
    }
}
