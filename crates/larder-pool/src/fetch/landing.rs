//! How a load lands: what was brought is looked at, stored if it may be, and goes to everyone who waits.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use larder_core::sync::Ordering;
use larder_core::{Befallen, Moment, Stamp, TaskFuture};
use larder_memory::flight::LoadFuture;

use super::error::FetchError;
use super::fetched::{Found, Outcome, Reach};
use super::flight::{Absence, Leg, Run, Terms, contained, panicked};
use crate::arrive::Wish;
use crate::loaded::Brought;
use crate::panics::{caught, contain};
use crate::shared::Shared;
use crate::store::{Arrival, EachRule, Operation, Refusal, Rule, Stopped, Use};
use crate::{Entity, FillRejection, Loaded, MaybeSend, Origin};

impl<T: Entity> Run<T> {
    /// The load of one id: what the loader's future brings is stored if it may be.
    pub(super) fn fly<F>(mut self, future: F, limit: Option<(TaskFuture, Duration)>) -> LoadFuture<Outcome<T>>
    where
        F: Future<Output = Result<Loaded<T>, FetchError>> + MaybeSend + 'static,
    {
        Box::pin(async move {
            let ended = contained(future, limit).await;
            self.watch.end(&ended);
            let loaded = ended.into_result();
            let landed = caught(|| self.land_one(loaded));
            vec![landed.unwrap_or_else(|message| panicked(&message))]
        })
    }

    /// The load of several ids: everything is stored in one commit.
    pub(super) fn fly_many<F>(
        mut self,
        future: F,
        limit: Option<(TaskFuture, Duration)>,
    ) -> LoadFuture<Outcome<T>>
    where
        F: Future<Output = Result<Vec<Loaded<T>>, FetchError>> + MaybeSend + 'static,
    {
        Box::pin(async move {
            let ended = contained(future, limit).await;
            self.watch.end(&ended);
            let (loaded, count) = (ended.into_result(), self.legs.len());
            let landed = caught(|| self.land_many(loaded));
            landed.unwrap_or_else(|message| vec![panicked(&message); count])
        })
    }

    fn land_one(&mut self, loaded: Result<Loaded<T>, FetchError>) -> Outcome<T> {
        let pool = self.pool.upgrade();
        let landed = loaded.and_then(|loaded| self.prepare(pool.as_deref(), &self.legs[0], loaded, None));
        let mut store = match landed {
            Err(error) => return self.fail(pool.as_deref(), error),
            Ok(Landing::Done(outcome)) => return outcome,
            Ok(Landing::Store(store)) => store,
        };
        let Some(pool) = pool else {
            return store.outcome();
        };
        let leg = &self.legs[0];
        let rule = Rule::Fill {
            overtaken: &leg.overtaken,
            renews: leg.previous.as_ref().map(|previous| &previous.value),
        };
        let checked = pool.fence.stamp();
        let put = pool.put(&mut store.arrival, &rule);
        pool.landed(leg, &self.terms, store, put.err(), checked)
    }

    /// Nothing was brought for any leg.
    fn fail(&mut self, pool: Option<&Shared<T>>, error: FetchError) -> Outcome<T> {
        if matches!(error, FetchError::IdMismatch { .. } | FetchError::NothingToRenew) {
            self.watch.failed();
        }
        if let Some(pool) = pool {
            for leg in &self.legs {
                pool.note_failure(leg);
            }
        }
        Outcome::Failed(error)
    }

    fn land_many(&mut self, loaded: Result<Vec<Loaded<T>>, FetchError>) -> Vec<Outcome<T>> {
        let pool = self.pool.upgrade();
        let prepared = loaded.and_then(|loaded| self.prepare_many(pool.as_deref(), loaded));
        match prepared {
            Err(error) => vec![self.fail(pool.as_deref(), error); self.legs.len()],
            Ok((outcomes, stores)) => self.store_many(pool.as_deref(), outcomes, stores),
        }
    }

    /// What came of each leg, as far as it is decided, and what is to be stored, in the loader's order.
    #[expect(clippy::type_complexity, reason = "two lists, taken apart at once")]
    fn prepare_many(
        &self,
        pool: Option<&Shared<T>>,
        loaded: Vec<Loaded<T>>,
    ) -> Result<(Vec<Option<Outcome<T>>>, Vec<(usize, Store<T>)>), FetchError> {
        // All of them are looked at before anything is stored.
        let places = caught(|| self.places(&loaded));
        let places = places.unwrap_or_else(|message| Err(FetchError::panicked(&message)));
        let places = match places {
            Ok(places) => places,
            Err(error) => {
                // One by one, since more than one may panic.
                for one in loaded {
                    contain(|| drop(one));
                }
                return Err(error);
            }
        };
        let left_out = Loaded::left_out(&loaded);
        let placed = places.into_iter().zip(loaded);
        let values: Vec<_> = placed
            .filter_map(|(place, loaded)| place.map(|(at, id)| (at, id, loaded)))
            .collect();
        let mut outcomes: Vec<Option<Outcome<T>>> = vec![None; self.legs.len()];
        let mut is_brought = vec![false; self.legs.len()];
        let mut stores = Vec::with_capacity(values.len());
        for (at, id, loaded) in values {
            // Of several for one id the first one counts.
            if std::mem::replace(&mut is_brought[at], true) {
                continue;
            }
            match self.prepare(pool, &self.legs[at], loaded, Some(id))? {
                Landing::Done(outcome) => outcomes[at] = Some(outcome),
                Landing::Store(store) => stores.push((at, store)),
            }
        }
        for (at, leg) in self.legs.iter().enumerate() {
            if !is_brought[at] {
                let landing = self.prepare(pool, leg, left_out.clone(), None)?;
                let Landing::Done(outcome) = landing else {
                    unreachable!("invariant: nothing is not stored")
                };
                outcomes[at] = Some(outcome);
            }
        }
        Ok((outcomes, stores))
    }

    /// Whose each of these is, and its id; none for what is said not to be there.
    #[expect(clippy::type_complexity, reason = "a list, taken apart at once")]
    fn places(&self, loaded: &[Loaded<T>]) -> Result<Vec<Option<(usize, T::Id)>>, FetchError> {
        let legs = self.legs.iter().enumerate();
        let by_id: HashMap<&T::Id, usize> = legs.map(|(at, leg)| (&*leg.id, at)).collect();
        let place = |loaded: &Loaded<T>| match &loaded.brought {
            Brought::Nothing => Ok(None),
            Brought::Unchanged => Err(FetchError::NothingToRenew),
            Brought::Value(value) => {
                let id = value.id();
                let at = by_id.get(&id).copied().ok_or_else(|| self.mismatch())?;
                Ok(Some((at, id)))
            }
        };
        loaded.iter().map(place).collect()
    }

    fn store_many(
        &self,
        pool: Option<&Shared<T>>,
        outcomes: Vec<Option<Outcome<T>>>,
        stores: Vec<(usize, Store<T>)>,
    ) -> Vec<Outcome<T>> {
        let mut outcomes = outcomes;
        if let Some(pool) = pool {
            self.store(pool, &mut outcomes, stores);
        }
        let outcomes = outcomes.into_iter();
        outcomes
            .map(|outcome| {
                outcome.expect("invariant: without a pool nothing is to be stored, and with one it was")
            })
            .collect()
    }

    fn store(&self, pool: &Shared<T>, outcomes: &mut [Option<Outcome<T>>], stores: Vec<(usize, Store<T>)>) {
        let (mut places, mut operations) = (Vec::new(), Vec::new());
        for (at, store) in stores {
            places.push((at, store.found, store.reach));
            operations.push(Operation::Put {
                arrival: store.arrival,
                rule: EachRule::Fill {
                    overtaken: self.legs[at].overtaken.clone(),
                },
            });
        }
        let checked = pool.fence.stamp();
        let left_out = match pool.together(&mut operations) {
            Ok(together) => together.left_out,
            Err(Stopped::Conflicts(_) | Stopped::TooHeavy { .. } | Stopped::Moved) => {
                unreachable!("invariant: a fill that may not be stored is left out, and the others are not")
            }
        };
        let landed = operations.into_iter().zip(left_out).zip(places);
        for ((operation, refusal), (at, found, reach)) in landed {
            let Operation::Put { arrival, .. } = operation else {
                unreachable!("invariant: nothing else was made above")
            };
            let store = Store {
                arrival,
                found,
                reach,
            };
            outcomes[at] = Some(pool.landed(&self.legs[at], &self.terms, store, refusal, checked));
        }
    }

    fn mismatch(&self) -> FetchError {
        FetchError::IdMismatch {
            name: self.name.clone(),
        }
    }

    /// Makes what was brought for a leg ready to be stored, or says what comes of it otherwise. `id` is that of the value,
    /// if it was asked for already, and then it is the leg's. Without a pool there is nothing to be stored in.
    fn prepare(
        &self,
        pool: Option<&Shared<T>>,
        leg: &Leg<T>,
        loaded: Loaded<T>,
        id: Option<T::Id>,
    ) -> Result<Landing<T>, FetchError> {
        let reach = Reach {
            as_of: loaded.as_of,
            stamp: leg.pin.started(),
        };
        let (value, loaded) = match &loaded.brought {
            Brought::Nothing => {
                let at = Moment::ORIGIN;
                let landed = pool.map(|pool| pool.land_nothing(leg, &self.terms, loaded, reach));
                return Ok(Landing::Done(landed.unwrap_or(Outcome::Nothing { at, reach })));
            }
            Brought::Value(value) => {
                let value = Arc::clone(value);
                // What is brought as it was is renewed, and depends on what it depended on.
                let renewed = leg.previous.as_ref().filter(|_| leg.renews(&value));
                let loaded = match renewed {
                    Some(previous) => previous.renewed(loaded),
                    None => loaded,
                };
                (value, loaded)
            }
            Brought::Unchanged => {
                let previous = leg.previous.as_ref().ok_or(FetchError::NothingToRenew)?;
                (Arc::clone(&previous.value), previous.renewed(loaded))
            }
        };
        let id = id.unwrap_or_else(|| value.id());
        if id != *leg.id {
            return Err(self.mismatch());
        }
        let stored = pool.map_or(Moment::ORIGIN, |pool| pool.clock.coarse());
        let found = Found {
            value: Arc::clone(&value),
            origin: Origin::Loaded,
            stored,
            deadline: Moment::MAX,
            is_resident: false,
        };
        let Some(pool) = pool else {
            return Ok(Landing::Done(Outcome::Found { found, reach }));
        };
        let why = match pool.refuses(&self.terms, &loaded) {
            Some(why) => why,
            None => match pool.arrive_as(id, Wish::loaded(value, loaded, leg.pin.clone())) {
                Ok(arrival) => {
                    return Ok(Landing::Store(Store {
                        arrival,
                        found,
                        reach,
                    }));
                }
                Err(unfit) => unfit.rejecting(),
            },
        };
        pool.reject(leg, &self.terms, why);
        Ok(Landing::Done(Outcome::Found { found, reach }))
    }
}

/// What is to be done with what was brought for one id.
enum Landing<T: Entity> {
    Store(Store<T>),
    Done(Outcome<T>),
}

/// A value that is ready to be stored.
struct Store<T: Entity> {
    arrival: Arrival<T>,
    found: Found<T>,
    reach: Reach,
}

impl<T: Entity> Store<T> {
    fn outcome(self) -> Outcome<T> {
        Outcome::Found {
            found: self.found,
            reach: self.reach,
        }
    }
}

impl<T: Entity> Shared<T> {
    /// Why what was brought is not to be stored, whatever it is.
    fn refuses(&self, terms: &Terms, loaded: &Loaded<T>) -> Option<FillRejection> {
        if !loaded.is_kept {
            return Some(FillRejection::DoNotStore);
        }
        let token = terms.token.as_ref()?;
        let reaches = loaded.as_of.is_some_and(|point| self.fence.reaches(token, point));
        (!reaches).then_some(FillRejection::Behind)
    }

    /// A value that was loaded is not kept.
    fn reject(&self, leg: &Leg<T>, terms: &Terms, why: FillRejection) {
        self.fetches.rejected(why);
        if self.trace.is_some() {
            let what = Befallen::rejected(terms.loader, leg.pin.started(), why.as_str());
            self.befell(leg.hash, &leg.id, what);
        }
        self.report(|metrics, name| metrics.fill_rejected(name, why));
    }

    /// What comes of a value after the pool has stored it, or refused to; `checked` is where the fence stood before.
    fn landed(
        &self,
        leg: &Leg<T>,
        terms: &Terms,
        mut store: Store<T>,
        refusal: Option<Refusal<T>>,
        checked: Stamp,
    ) -> Outcome<T> {
        let why = match &refusal {
            None => {
                if self.is_traced(leg.hash) {
                    let what = Befallen::filled(terms.loader, leg.pin.started(), store.reach.as_of);
                    self.befell(leg.hash, &leg.id, what);
                }
                store.reach.stamp = checked;
                return store.outcome();
            }
            Some(Refusal::Late(why)) => *why,
            Some(Refusal::TooHeavy { .. }) => FillRejection::TooHeavy,
            Some(Refusal::Resident(_) | Refusal::Moved(_)) => FillRejection::Resident,
        };
        self.reject(leg, terms, why);
        match refusal {
            // Whoever asked for more than memory knows gets what was loaded.
            Some(Refusal::Resident(resident)) if terms.token.is_none() => {
                let found = self.find(leg.hash, &*leg.id, Use::Untold);
                let found = found.unwrap_or_else(|_| Found {
                    value: resident,
                    is_resident: true,
                    ..store.found
                });
                Outcome::Found {
                    found,
                    reach: Reach::of(checked),
                }
            }
            _ => store.outcome(),
        }
    }

    /// The source has no such entity: that is noted, if it is to be, and what the load was to renew goes. Something else if
    /// the id has a live value by now.
    fn land_nothing(&self, leg: &Leg<T>, terms: &Terms, loaded: Loaded<T>, reach: Reach) -> Outcome<T> {
        let checked = self.fence.stamp();
        if terms.token.is_none()
            && let Ok(found) = self.find(leg.hash, &*leg.id, Use::Untold)
            && !leg.renews(&found.value)
        {
            let reach = Reach::of(checked);
            return Outcome::Found { found, reach };
        }
        let at = self.clock.monotonic();
        let is_noted = match self.refuses(terms, &loaded) {
            Some(why) => {
                self.reject(leg, terms, why);
                false
            }
            None => self.note_absence(leg, terms, loaded, at),
        };
        let stamp = if is_noted { checked } else { reach.stamp };
        let reach = Reach { stamp, ..reach };
        Outcome::Nothing { at, reach }
    }

    /// Notes that there is no such entity, if that is asked for. Whether it is sure that nothing has overtaken that.
    fn note_absence(&self, leg: &Leg<T>, terms: &Terms, loaded: Loaded<T>, at: Moment) -> bool {
        let noted_for = terms.negative_ttl.filter(|time| !time.is_zero());
        if leg.previous.is_none() && noted_for.is_none() {
            return false;
        }
        match self.pin_absence(loaded, leg.pin.clone()) {
            Err(unfit) => {
                self.reject(leg, terms, unfit.rejecting());
                false
            }
            Ok(pin) => {
                let note = noted_for.map(|time| ((*leg.id).clone(), at + time));
                let absence = Absence { pin, at };
                let previous = leg.previous.as_ref().map(|previous| &previous.value);
                self.store_absence(leg.hash, absence, note, previous, &leg.overtaken)
            }
        }
    }

    /// A load has failed for an id with a value that it was to renew.
    fn note_failure(&self, leg: &Leg<T>) {
        let hold = self.config.fetch.error_hold;
        if leg.previous.is_some() && !hold.is_zero() {
            let until = self.clock.monotonic() + hold;
            // What had to go for it is dropped here, without a lock.
            drop(self.failures.write(leg.hash, (*leg.id).clone(), until, ()));
        }
    }

    /// Counts a call that shares the load of another.
    pub(super) fn joined(&self) {
        self.fetches.joins.fetch_add(1, Ordering::Relaxed);
    }
}

impl<T: Entity> Leg<T> {
    /// Whether the load set out to renew this.
    fn renews(&self, value: &Arc<T>) -> bool {
        let previous = self.previous.as_ref();
        previous.is_some_and(|previous| Arc::ptr_eq(&previous.value, value))
    }
}
