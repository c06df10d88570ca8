//! Answers without a load: that there is no such entity, values past their time to live, and loads ahead of its end.

use std::borrow::Borrow;
use std::time::Duration;

use larder_core::sync::Ordering;
use larder_core::{Befallen, Moment};

use super::fetched::{Fetched, Found};
use super::options::Plan;
use crate::config::WhenUnsure;
use crate::shared::Shared;
use crate::{Entity, Origin};

/// A value past its time to live that a call may be given.
pub(super) struct Stale<T> {
    pub(super) found: Found<T>,
    /// How long its time to live has been over.
    past: Duration,
    /// It could not be renewed a moment ago.
    pub(super) is_held: bool,
}

impl<T> Stale<T> {
    /// Whether its time to live has been over for less than this.
    pub(super) fn is_within(&self, window: Duration) -> bool {
        self.past < window
    }

    /// Whether it is served while a background load renews it.
    pub(super) fn is_served_meanwhile(&self, plan: &Plan) -> bool {
        plan.stale_while_revalidate
            .is_some_and(|window| self.past < window)
    }

    /// Whether it is served when a load fails.
    pub(super) fn is_served_on_error(&self, plan: &Plan) -> bool {
        plan.stale_on_error.is_some_and(|window| self.past < window)
    }
}

impl<T: Entity> Shared<T> {
    /// When the source said that there is no such entity, if that still holds.
    pub(crate) fn absence<Q>(&self, hash: u64, id: &Q) -> Option<Moment>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if !self.is_sure_enough() {
            return None;
        }
        let now = || self.clock.monotonic();
        let seen = self.absences.read(hash, id, now, |absence| {
            absence.is_fresh(self).then_some(absence.at)
        });
        seen?
    }

    /// Whether what was known before a call may answer it, as far as the fence goes. While that is unsure, an absence is believed no more than an entry; nor is
    /// what others have begun to load: what was committed since then has not been heard of.
    pub(super) fn is_sure_enough(&self) -> bool {
        self.config.when_unsure == WhenUnsure::Serve || self.fence.is_sure()
    }

    /// The value of an id past its time to live, if it is resident.
    pub(super) fn stale_of<Q>(&self, hash: u64, id: &Q) -> Option<Stale<T>>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let found = self.stale(hash, id)?;
        let now = self.clock.monotonic();
        Some(Stale {
            past: now.since(found.deadline),
            is_held: self.is_held(hash, id),
            found,
        })
    }

    /// Whether the id was loaded in vain a moment ago.
    pub(super) fn is_held<Q>(&self, hash: u64, id: &Q) -> bool
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let now = || self.clock.monotonic();
        self.failures.read(hash, id, now, |()| ()).is_some()
    }

    /// Whether so little of a value's time to live is left that it is to be loaded ahead. Ids differ, so that what was
    /// stored together is not loaded together.
    pub(super) fn is_to_be_renewed(&self, found: &Found<T>, hash: u64, part: f64) -> bool {
        if found.deadline == Moment::MAX {
            return false;
        }
        let ahead = found
            .deadline
            .since(found.stored)
            .mul_f64(part * self.part_of(hash));
        found.deadline.since(self.clock.coarse()) < ahead
    }

    /// A value from memory, or one that was loaded.
    pub(super) fn answer(&self, found: Found<T>) -> Fetched<T> {
        let is_unsure = || !self.fence.is_sure();
        Fetched {
            value: Some(found.value),
            origin: found.origin,
            age: self.clock.coarse().since(found.stored),
            stale: false,
            degraded: found.is_resident && is_unsure(),
        }
    }

    /// A value past its time to live.
    pub(super) fn answer_stale(&self, found: Found<T>) -> Fetched<T> {
        self.fetches.stale.fetch_add(1, Ordering::Relaxed);
        if self.trace.is_some() {
            self.told_stale(&found.value);
        }
        Fetched {
            stale: true,
            ..self.answer(found)
        }
    }

    /// Who is served stale is the value's own id, asked for outside of all locks.
    #[cold]
    fn told_stale(&self, value: &T) {
        let id = value.id();
        let hash = self.hash(&id);
        if self.is_traced(hash) {
            self.befell(hash, &id, Befallen::ServedStale);
        }
    }

    /// That there is no such entity, as the source said then.
    pub(super) fn answer_nothing(&self, at: Moment) -> Fetched<T> {
        Fetched {
            value: None,
            origin: Origin::Loaded,
            age: self.clock.coarse().since(at),
            stale: false,
            degraded: false,
        }
    }
}
