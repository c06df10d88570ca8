//! All lanes of a fence: what each source has brought, and until when the node may believe that it heard all.
//!
//! Readers ask here, without a follower's handle; [`Lane`](super::Lane) is that handle. The moment until which
//! every lane that counts is sure is kept in one atomic, so that a read that is sure takes no lock.

use std::sync::OnceLock;
use std::time::Duration;

use super::cause::LaneIndex;
use super::error::FenceError;
use super::progress::{Applied, Progress};
use crate::as_of::AsOf;
use crate::clock::{Clock, Moment};
use crate::cursor::Cursor;
use crate::invalidations::Origin;
use crate::limits::LANES_MAX;
use crate::position::{Epoch, SourceId};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};
use crate::token::Requirement;

/// How late a coarse reading of a clock may be.
const COARSE_LATE_MAX: Duration = Duration::from_millis(10);

/// What a lane's follower last found out about its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LaneState {
    /// Not caught up since the start: what an earlier run left must read as absent.
    Starting,
    /// Caught up, and the lease is valid. The only state that is sure.
    Live,
    /// The lease is over, the source answers, and rows are left.
    Lagging,
    /// The lease is over and the source does not answer.
    Suspect,
    /// A gap was found and the flush that closes it is not done.
    Gap,
}

/// Whether this node may believe that it has heard of every invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Every lane that counts is live.
    Sure,
    /// A lane is not.
    Unsure {
        /// Since when: the end of its lease, or when it began if it never had one.
        since: Moment,
        /// What is the matter with it.
        state: LaneState,
    },
}

/// All lanes of a fence.
pub(super) struct Lanes {
    list: Mutex<Vec<Arc<LaneShared>>>,
    /// The source of each lane, readable without the lock.
    sources: [OnceLock<SourceId>; LANES_MAX],
    /// Until when every lane that counts is sure, whatever a coarse reading is late, in nanoseconds of the clock; the greatest number if none counts.
    sure_until: AtomicU64,
}

pub(super) struct LaneShared {
    pub(super) index: LaneIndex,
    pub(super) source: SourceId,
    pub(super) state: Mutex<Inner>,
}

pub(super) struct Inner {
    pub(super) progress: Progress,
    /// The follower's word; `Live` here means "live while the lease lasts, else lagging".
    pub(super) phase: LaneState,
    pub(super) lease_until: Moment,
    pub(super) since: Moment,
    pub(super) optional: bool,
    /// A follower holds the lane.
    pub(super) taken: bool,
    pub(super) origin: Option<Origin>,
}

impl Lanes {
    pub(super) fn new() -> Lanes {
        Lanes {
            list: Mutex::new(Vec::new()),
            sources: [const { OnceLock::new() }; LANES_MAX],
            sure_until: AtomicU64::new(u64::MAX),
        }
    }

    pub(super) fn source(&self, lane: LaneIndex) -> Option<SourceId> {
        self.sources.get(lane.index())?.get().copied()
    }

    pub(super) fn find(&self, source: SourceId) -> Option<Arc<LaneShared>> {
        self.list
            .lock()
            .iter()
            .find(|lane| lane.source == source)
            .cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<LaneShared>> {
        self.list.lock().clone()
    }

    /// The lane of `source`, made if need be. Fails while a follower holds it.
    pub(super) fn take(&self, source: SourceId, now: Moment) -> Result<Arc<LaneShared>, FenceError> {
        let mut list = self.list.lock();
        if let Some(lane) = list.iter().find(|lane| lane.source == source) {
            let mut inner = lane.state.lock();
            if inner.taken {
                return Err(FenceError::AlreadyFollowing { source_id: source });
            }
            inner.taken = true;
            inner.phase = LaneState::Starting;
            inner.since = now;
            drop(inner);
            return Ok(Arc::clone(lane));
        }
        let index = list.len();
        let Some(slot) = self.sources.get(index) else {
            return Err(FenceError::TooManyLanes { max: LANES_MAX });
        };
        slot.set(source)
            .expect("invariant: lanes are made one after another under the lock");
        let index = LaneIndex(u8::try_from(index).expect("invariant: at most 8 lanes"));
        let lane = Arc::new(LaneShared {
            index,
            source,
            state: Mutex::new(Inner::starting(now)),
        });
        list.push(Arc::clone(&lane));
        Ok(lane)
    }

    /// Works out anew until when every lane that counts is sure.
    pub(super) fn refresh_certainty(&self) {
        let list = self.list.lock();
        let until = list.iter().map(|lane| lane.state.lock().sure_until());
        let until = match until.min() {
            None | Some(Moment::MAX) => Moment::MAX,
            Some(until) => until.saturating_sub(COARSE_LATE_MAX),
        };
        // Stored under the lock of the list, so that an older answer never overwrites a newer one.
        self.sure_until.store(until.as_nanos(), Ordering::Release);
    }

    /// [`Lanes::certainty`], for readers who ask nothing but whether.
    #[inline]
    pub(super) fn are_sure(&self, clock: &dyn Clock) -> bool {
        self.are_surely_sure(clock) || self.certainty(clock) == Certainty::Sure
    }

    /// One atomic load, and one coarse reading of the clock if there is a lane that counts.
    #[inline]
    fn are_surely_sure(&self, clock: &dyn Clock) -> bool {
        let until = self.sure_until.load(Ordering::Acquire);
        until == u64::MAX || clock.coarse() < Moment::from_nanos(until)
    }

    /// The same; at the very end of a lease, and after it, the exact time decides, under the lock.
    pub(super) fn certainty(&self, clock: &dyn Clock) -> Certainty {
        if self.are_surely_sure(clock) {
            return Certainty::Sure;
        }
        let now = clock.monotonic();
        let list = self.list.lock();
        let unsure = list.iter().filter_map(|lane| lane.state.lock().unsure(now));
        unsure
            .min_by_key(|(since, _)| *since)
            .map_or(Certainty::Sure, |(since, state)| Certainty::Unsure {
                since,
                state,
            })
    }
}

impl Inner {
    fn starting(now: Moment) -> Inner {
        Inner {
            progress: Progress::default(),
            phase: LaneState::Starting,
            lease_until: Moment::ORIGIN,
            since: now,
            optional: false,
            taken: true,
            origin: None,
        }
    }

    pub(super) fn state(&self, now: Moment) -> LaneState {
        match self.phase {
            LaneState::Starting | LaneState::Gap => self.phase,
            _ if now < self.lease_until => LaneState::Live,
            LaneState::Suspect => LaneState::Suspect,
            _ => LaneState::Lagging,
        }
    }

    fn sure_until(&self) -> Moment {
        match self.phase {
            _ if self.optional => Moment::MAX,
            LaneState::Starting | LaneState::Gap => Moment::from_nanos(0),
            _ => self.lease_until,
        }
    }

    fn unsure(&self, now: Moment) -> Option<(Moment, LaneState)> {
        let state = self.state(now);
        let counts = !self.optional && state != LaneState::Live;
        counts.then_some(match state {
            LaneState::Starting | LaneState::Gap => (self.since, state),
            _ if self.lease_until == Moment::ORIGIN => (self.since, state),
            _ => (self.lease_until, state),
        })
    }
}

impl LaneShared {
    pub(super) fn judge(&self, requirement: &Requirement, waiting_since: Option<u64>) -> Applied {
        self.state.lock().progress.judge(requirement, waiting_since)
    }

    pub(super) fn reaches(&self, requirement: &Requirement, as_of: AsOf) -> bool {
        requirement.source() == self.source
            && as_of.source() == self.source
            && self.state.lock().progress.reaches(requirement, as_of)
    }

    pub(super) fn rounds(&self) -> u64 {
        self.state.lock().progress.rounds()
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.state.lock().progress.epoch()
    }

    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.state.lock().progress.cursor().cloned()
    }

    /// Whether points of this epoch are what the lane's bounds are measured in.
    pub(super) fn is_in_epoch_of(&self, as_of: AsOf) -> bool {
        self.state.lock().progress.epoch() == Some(as_of.epoch())
    }
}
