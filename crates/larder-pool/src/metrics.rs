//! [`PoolMetrics`]: what a pool reports while it works, and the words for it.

use std::time::Duration;

use crate::{MaybeSend, MaybeSync, Reason};

/// Takes the figures of pools. Every method does nothing unless it is written; a panic in one is contained.
///
/// Called with no lock held, so that it may call the pool. `name` is that of the entity.
pub trait PoolMetrics: MaybeSend + MaybeSync + 'static {
    /// A read found a live entry.
    fn hit(&self, name: &str, tier: Tier) {
        let _ = (name, tier);
    }

    /// A read found none in any tier.
    fn miss(&self, name: &str, cause: MissCause) {
        let _ = (name, cause);
    }

    /// An entry has left.
    fn removed(&self, name: &str, reason: Reason) {
        let _ = (name, reason);
    }

    /// Once for each commit that changed something: how much is resident after it.
    fn size(&self, name: &str, entries: u64, bytes: u64) {
        let _ = (name, entries, bytes);
    }

    /// Once for each call for one id that did not find it at once, whatever came of it.
    fn fetched(&self, name: &str, duration: Duration, outcome: FetchOutcome) {
        let _ = (name, duration, outcome);
    }

    /// Once for each run of a loader, for so many ids.
    fn loaded(&self, name: &str, ids: usize, duration: Duration, outcome: LoadOutcome) {
        let _ = (name, ids, duration, outcome);
    }

    /// What was loaded was returned to those who waited, and not kept.
    fn fill_rejected(&self, name: &str, reason: FillRejection) {
        let _ = (name, reason);
    }
}

/// Where a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// In memory.
    Memory,
}

/// Why a read found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissCause {
    /// There is no entry.
    Absent,
    /// Its time to live was over.
    Expired,
    /// It was not used for its time to idle.
    Idle,
    /// Something that it depends on was invalidated.
    Fenced,
    /// The node cannot be sure to have heard of every invalidation, and the pool was told not to believe entries then.
    Unsure,
}

impl MissCause {
    /// How many there are, for tables by cause.
    pub(crate) const COUNT: usize = 5;

    /// Its place in a table by cause.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Expired => 1,
            Self::Idle => 2,
            Self::Fenced => 3,
            Self::Unsure => 4,
        }
    }

    /// Its stable word, for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Expired => "expired",
            Self::Idle => "idle",
            Self::Fenced => "fenced",
            Self::Unsure => "unsure",
        }
    }
}

/// What came of a call for one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FetchOutcome {
    /// A value.
    Found,
    /// The source has no such entity.
    NotFound,
    /// A value past its time to live.
    Stale,
    /// An error.
    Failed,
    /// The caller went away before.
    Cancelled,
}

/// What came of one run of a loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoadOutcome {
    /// It gave an answer for every id.
    Loaded,
    /// It gave an error, or a value that was not asked for.
    Failed,
    /// It panicked.
    Panicked,
    /// It took too long.
    TimedOut,
    /// Nobody waited for it any more.
    Cancelled,
}

/// Why a loaded value was returned and not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FillRejection {
    /// Something that it depends on was invalidated during the load.
    Fenced,
    /// The id was written during the load.
    Overtaken,
    /// A live entry was there already.
    Resident,
    /// It came from a copy that may lack the last invalidation of something that it depends on.
    Behind,
    /// Targets that were known only after the load were invalidated during it, or are not remembered so far back.
    TooOld,
    /// It depends on more than an entry may.
    TooManyTargets,
    /// It is heavier than the whole pool may be.
    TooHeavy,
    /// Its id cannot be a key.
    IdTooLong,
    /// Its time to live or to idle is zero.
    ZeroTtl,
    /// One of its tags is none.
    BadTag,
    /// The loader asked for it.
    DoNotStore,
}

impl FetchOutcome {
    /// Its stable word, for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "not_found",
            Self::Stale => "stale",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl LoadOutcome {
    /// How many there are, for tables by outcome.
    pub(crate) const COUNT: usize = 5;

    /// Its place in a table by outcome.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Loaded => 0,
            Self::Failed => 1,
            Self::Panicked => 2,
            Self::TimedOut => 3,
            Self::Cancelled => 4,
        }
    }

    /// Its stable word, for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FillRejection {
    /// How many there are, for tables by reason.
    pub(crate) const COUNT: usize = 11;

    /// Its place in a table by reason.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Fenced => 0,
            Self::Overtaken => 1,
            Self::Resident => 2,
            Self::Behind => 3,
            Self::TooOld => 4,
            Self::TooManyTargets => 5,
            Self::TooHeavy => 6,
            Self::IdTooLong => 7,
            Self::ZeroTtl => 8,
            Self::BadTag => 9,
            Self::DoNotStore => 10,
        }
    }

    /// Its stable word, for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fenced => "fenced",
            Self::Overtaken => "overtaken",
            Self::Resident => "resident",
            Self::Behind => "behind",
            Self::TooOld => "too_old",
            Self::TooManyTargets => "too_many_targets",
            Self::TooHeavy => "too_heavy",
            Self::IdTooLong => "id_too_long",
            Self::ZeroTtl => "zero_ttl",
            Self::BadTag => "bad_tag",
            Self::DoNotStore => "do_not_store",
        }
    }
}
