//! [`Life`], from when until when and under what conditions an entry may be read, and [`Judge`], who decides it.

use std::cell::Cell;
use std::time::Duration;

use larder_core::sync::{AtomicU64, Ordering};
use larder_core::{AsOf, Clock, Moment, Pin, Stamp, Target, TargetHash};
use larder_memory::{Groups, MemberId, TimerId};

use super::entry::Place;
use crate::{Origin, Reason};

/// From when, until when, and under what conditions.
pub(crate) struct Life {
    /// The sequence of the commit that brought it.
    pub(crate) born: u64,
    /// Nothing that it depends on was invalidated up to this stamp.
    pub(crate) started: Stamp,
    /// When it was stored.
    pub(crate) stored: Moment,
    /// The end of its time to live; [`Moment::MAX`] if it never ends.
    pub(crate) deadline: Moment,
    pub(crate) extra: Option<Box<Extra>>,
    pub(crate) timer: Option<TimerId>,
    pub(crate) generation: u16,
    pub(crate) origin: Origin,
}

/// What few entries have.
#[derive(Default)]
pub(crate) struct Extra {
    /// On tags and other targets of the entry's own.
    pub(crate) pin: Option<Pin>,
    /// These targets, tags first.
    pub(crate) targets: Box<[Target]>,
    /// How many of them are tags.
    pub(crate) tags: usize,
    /// The entry in the groups of its tags.
    pub(crate) members: Vec<MemberId>,
    pub(crate) idle: Option<Idle>,
    pub(crate) as_of: Option<AsOf>,
}

/// What a tag or another target of an entry takes up: the target, its cell and its share of the pin, and the entry in
/// the tag's group.
pub(crate) const TAG_BYTES: usize =
    size_of::<Target>() + 64 + Groups::<TargetHash, Place>::MEMBER_BYTES + size_of::<MemberId>();

/// A time to idle, and when the entry was used last.
pub(crate) struct Idle {
    pub(crate) after: Duration,
    used: AtomicU64,
}

/// Why an entry that is resident reads as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    Expired,
    Idle,
    Fenced,
}

/// Decides whether entries are live. Reads the clock at most once, and only for entries that ask for it.
pub(crate) struct Judge<'a> {
    pub(super) generation: u16,
    clock: &'a dyn Clock,
    now: Cell<Option<Moment>>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(generation: u16, clock: &'a dyn Clock) -> Self {
        let now = Cell::new(None);
        Judge {
            generation,
            clock,
            now,
        }
    }

    /// A judge for whom it may be `now` already.
    #[inline]
    pub(crate) fn at(generation: u16, clock: &'a dyn Clock, now: Option<Moment>) -> Self {
        let now = Cell::new(now);
        Judge {
            generation,
            clock,
            now,
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Moment {
        self.now.get().unwrap_or_else(|| {
            let now = self.clock.monotonic();
            self.now.set(Some(now));
            now
        })
    }

    /// Why a version is dead; `None` if it is live.
    pub(crate) fn death(&self, life: &Life) -> Option<Death> {
        if life.generation != self.generation {
            return Some(Death::Fenced);
        }
        let extra = life.extra.as_deref();
        if let Some(pin) = extra.and_then(|extra| extra.pin.as_ref())
            && !pin.is_fresh()
        {
            return Some(Death::Fenced);
        }
        if life.deadline != Moment::MAX && life.deadline <= self.now() {
            return Some(Death::Expired);
        }
        let is_over = life.idle().is_some_and(|idle| idle.deadline() <= self.now());
        is_over.then_some(Death::Idle)
    }
}

impl Judge<'_> {
    /// Whether its time to live is over, and nothing else is wrong with it.
    pub(crate) fn is_stale(&self, life: &Life) -> bool {
        let is_idle = || life.idle().is_some_and(|idle| idle.deadline() <= self.now());
        self.death(life) == Some(Death::Expired) && !is_idle()
    }
}

impl Life {
    /// When its timer should come up: at the earlier of its ends, as far as can be told now. It stays for so long after
    /// its time to live.
    pub(crate) fn ends(&self, lingers: Duration) -> Moment {
        // The end of time is not moved by that.
        let deadline = self.deadline + lingers;
        self.idle().map_or(deadline, |idle| idle.deadline().min(deadline))
    }

    /// Why it leaves, when its timer has come up.
    pub(crate) fn end_reason(&self, now: Moment) -> Reason {
        if self.deadline <= now {
            Reason::Expired
        } else {
            Reason::Idle
        }
    }

    pub(super) fn idle(&self) -> Option<&Idle> {
        self.extra.as_ref()?.idle.as_ref()
    }
}

impl Default for Life {
    fn default() -> Self {
        Life {
            born: 0,
            started: Stamp::ZERO,
            stored: Moment::ORIGIN,
            deadline: Moment::MAX,
            extra: None,
            timer: None,
            generation: 0,
            origin: Origin::Inserted,
        }
    }
}

impl Idle {
    pub(crate) fn new(after: Duration, now: Moment) -> Self {
        let used = AtomicU64::new(now.as_nanos());
        Idle { after, used }
    }

    /// Notes a use.
    pub(super) fn note(&self, now: Moment) {
        self.used.store(now.as_nanos(), Ordering::Relaxed);
    }

    fn deadline(&self) -> Moment {
        Moment::from_nanos(self.used.load(Ordering::Relaxed)) + self.after
    }
}

impl Death {
    /// The reason with which a dead entry leaves.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Death::Expired => Reason::Expired,
            Death::Idle => Reason::Idle,
            Death::Fenced => Reason::Invalidated { position: None },
        }
    }
}
