//! Calls for several ids.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use larder_core::{Key, Pin, Stamp};
use larder_memory::flight::{Claimed, FlightsFull};
use smallvec::SmallVec;

use super::begin::{Aim, Share, key_of};
use super::error::{FetchError, LoaderError};
use super::fetched::{Many, Outcome};
use super::flight::{Ended, Leg, LoadWatch, Run, Terms, Turn};
use super::options::{FetchOptions, Plan};
use super::waits::{Missing, Outcomes, Wait};
use crate::limits::FETCH_IDS_MAX;
use crate::panics::caught;
use crate::shared::Shared;
use crate::{AnyError, Entity, LoadManyContext, Loaded, MaybeSend, Pool, ToId};

/// The answer for one id.
pub(super) type Answer<T> = Result<Option<Arc<T>>, FetchError>;

impl<T: Entity> Pool<T> {
    /// The live values of several ids, and for those that are missing what one call of `load` brings. Each id has an answer
    /// of its own: an error of one leaves the others what they are.
    ///
    /// Ids that somebody loads already are waited for, the others are loaded together, each once, and calls for one of them
    /// join. Loads that may be too old for this call are not waited for, if `load` runs anyway. The loader may bring any of
    /// them in any order; what it does not bring the source does not have. What was loaded is stored in one commit, in the
    /// loader's order, by the rules of [`Pool::get_or_fetch`]. Options are the pool's.
    ///
    /// # Errors
    /// [`FetchError::TooMany`], and what stands in the way of any load; whatever concerns an id is in its answer. If the
    /// loader fails, or brings something that was not asked for, that is the answer of all ids it was to load.
    pub async fn get_or_fetch_many<'q, Q, L, F, I, E>(
        &self,
        ids: impl IntoIterator<Item = &'q Q>,
        load: L,
    ) -> Result<Many<T>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized + 'q,
        L: FnOnce(LoadManyContext<T>) -> F,
        F: Future<Output = Result<I, E>> + MaybeSend + 'static,
        I: IntoIterator<Item: Into<Loaded<T>>> + 'static,
        E: Into<Box<AnyError>> + 'static,
    {
        let pool = &self.shared;
        let ids: Vec<(u64, &Q)> = ids.into_iter().map(|id| (pool.hash(id), id)).collect();
        let loader = std::any::type_name::<L>();
        pool.fetch_many(ids, loader, |context| brought(load(context)))
            .await
    }
}

/// What a caller's loader brings, in the pool's words.
async fn brought<T, F, I, E>(future: F) -> Result<Vec<Loaded<T>>, FetchError>
where
    F: Future<Output = Result<I, E>>,
    I: IntoIterator<Item: Into<Loaded<T>>>,
    E: Into<Box<AnyError>>,
{
    match future.await {
        Ok(values) => Ok(values.into_iter().map(Into::into).collect()),
        Err(error) => Err(FetchError::Loader(LoaderError::new(error.into()))),
    }
}

/// What a call asks for the first time, or once more.
struct Round {
    /// Where the fence stood when the call began.
    asked: Stamp,
    share: Share,
}

impl<T: Entity> Shared<T> {
    /// One call for several ids, with their hashes.
    pub(super) async fn fetch_many<Q, L, F>(
        self: &Arc<Self>,
        ids: Vec<(u64, &Q)>,
        loader: &'static str,
        load: L,
    ) -> Result<Many<T>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
        L: FnOnce(LoadManyContext<T>) -> F,
        F: Future<Output = Result<Vec<Loaded<T>>, FetchError>> + MaybeSend + 'static,
    {
        if ids.len() > FETCH_IDS_MAX {
            return Err(FetchError::TooMany { max: FETCH_IDS_MAX });
        }
        let plan = FetchOptions::new().plan_for(self, loader);
        self.check_plan(&plan)?;
        if plan.bypass {
            return Ok(Box::pin(self.load_many_alone(&ids, &plan, load)).await);
        }
        let values = self.read_many(&ids);
        let missing = missing(&ids, &values);
        let mut answers: Vec<Option<Answer<T>>> = values
            .into_iter()
            .map(|value| value.map(|value| Ok(Some(value))))
            .collect();
        if !missing.is_empty() {
            let found = Box::pin(self.fetch_all_missing(&missing, &plan, load)).await;
            for (missing, answer) in missing.iter().zip(found) {
                for place in &missing.places {
                    answers[*place] = Some(answer.clone());
                }
            }
        }
        let answers = answers.into_iter();
        let answers = answers.map(|answer| answer.expect("invariant: an id was found or is missing"));
        Ok(Many::new(answers.collect()))
    }

    async fn fetch_all_missing<Q, L, F>(
        self: &Arc<Self>,
        missing: &[Missing<'_, Q>],
        plan: &Plan,
        load: L,
    ) -> Vec<Answer<T>>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
        L: FnOnce(LoadManyContext<T>) -> F,
        F: Future<Output = Result<Vec<Loaded<T>>, FetchError>> + MaybeSend + 'static,
    {
        let mut answers = self.answers_without(missing, plan);
        let open = |answers: &[Option<Answer<T>>]| -> Vec<usize> {
            let open = answers.iter().enumerate().filter(|(_, answer)| answer.is_none());
            open.map(|(number, _)| number).collect()
        };
        let numbers = open(&answers);
        let is_renewal = numbers.is_empty();
        // Ids with a stale value are renewed with the others; if there are no others, nobody waits for it.
        let stale: Vec<usize> = (0..missing.len())
            .filter(|number| matches!(&answers[*number], Some(Ok(Some(_)))))
            .filter(|number| !self.is_held(missing[*number].hash, missing[*number].id))
            .collect();
        let wanted = if is_renewal { stale } else { numbers };
        let is_believed = self.is_sure_enough();
        let asked = if is_believed {
            self.fence.stamp()
        } else {
            self.fence.mark()
        };
        let mut round = Round {
            asked,
            share: if is_believed {
                Share::Fresh
            } else {
                Share::Since(asked)
            },
        };
        let mut load = Some(load);
        let mut outcomes: Outcomes<T> = vec![None; missing.len()];
        let waits = self.begin_many(missing, &wanted, &round, plan, &mut load, &mut outcomes);
        if is_renewal {
            for wait in waits {
                self.go_on_many(wait);
            }
        } else {
            self.wait_for_all(missing, plan, waits, &mut outcomes).await;
            // Something that these depend on was invalidated after their loads began, and before this call did; or
            // nothing came of the load that was shared.
            let is_old =
                |outcome: &Option<Outcome<T>>| outcome.as_ref().is_none_or(|it| it.is_too_old_for(asked));
            let old: Vec<usize> = wanted
                .into_iter()
                .filter(|number| is_old(&outcomes[*number]))
                .collect();
            if load.is_some() && !old.is_empty() {
                round.share = Share::Since(asked);
                let waits = self.begin_many(missing, &old, &round, plan, &mut load, &mut outcomes);
                self.wait_for_all(missing, plan, waits, &mut outcomes).await;
            }
        }
        let decided = outcomes.into_iter().enumerate();
        for (number, outcome) in decided {
            if answers[number].is_none() {
                // Foreign code of whoever had the turn has panicked before the load began.
                let outcome = outcome.unwrap_or_else(|| Outcome::Failed(FetchError::panicked("")));
                answers[number] = Some(self.conclude_one(&missing[number], plan, outcome));
            }
        }
        let answers = answers.into_iter();
        answers
            .map(|answer| answer.expect("invariant: each is decided above"))
            .collect()
    }

    /// What needs no load, or none that the call waits for.
    fn answers_without<Q>(&self, missing: &[Missing<'_, Q>], plan: &Plan) -> Vec<Option<Answer<T>>>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let answer = |missing: &Missing<'_, Q>| {
            let Missing { hash, id, .. } = missing;
            if self.absence(*hash, *id).is_some() {
                self.fetches
                    .negative
                    .fetch_add(1, larder_core::sync::Ordering::Relaxed);
                return Some(Ok(None));
            }
            if plan.stale_while_revalidate.is_none() && plan.stale_on_error.is_none() {
                return None;
            }
            let stale = self.stale_of(*hash, *id)?;
            let meanwhile = stale.is_served_meanwhile(plan) && !self.background.is_stopped();
            let is_served = meanwhile || (stale.is_held && stale.is_served_on_error(plan));
            is_served.then(|| Ok(self.answer_stale(stale.found).value))
        };
        missing.iter().map(answer).collect()
    }

    fn conclude_one<Q>(&self, missing: &Missing<'_, Q>, plan: &Plan, outcome: Outcome<T>) -> Answer<T>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        match outcome {
            Outcome::Found { found, .. } => Ok(Some(found.value)),
            Outcome::Nothing { .. } => Ok(None),
            Outcome::Failed(error) => match self.stale_on_error(missing.hash, missing.id, plan, &error) {
                Some(stale) => Ok(stale.value),
                None => Err(error),
            },
        }
    }

    /// Joins the loads of those ids that are in the air, and begins one for the others.
    fn begin_many<Q, L, F>(
        self: &Arc<Self>,
        missing: &[Missing<'_, Q>],
        wanted: &[usize],
        round: &Round,
        plan: &Plan,
        load: &mut Option<L>,
        outcomes: &mut Outcomes<T>,
    ) -> Vec<Wait<T>>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
        L: FnOnce(LoadManyContext<T>) -> F,
        F: Future<Output = Result<Vec<Loaded<T>>, FetchError>> + MaybeSend + 'static,
    {
        let (mut numbers, mut keys, mut owned) = (Vec::new(), Vec::new(), Vec::new());
        for number in wanted {
            let own = Arc::new(missing[*number].id.to_id());
            match key_of(&*own) {
                Err(error) => outcomes[*number] = Some(Outcome::Failed(error)),
                Ok(key) => {
                    numbers.push(*number);
                    keys.push(key);
                    owned.push((missing[*number].hash, own));
                }
            }
        }
        let Claimed { joined, turn, .. } = match self.claim_all(&owned, round) {
            Ok(claimed) => claimed,
            Err(full) => {
                for number in numbers {
                    outcomes[number] = Some(Outcome::Failed(FetchError::Busy { limit: full.limit }));
                }
                return Vec::new();
            }
        };
        let mut waits = Vec::new();
        for (places, waiters) in joined {
            for _ in &places {
                self.joined();
            }
            let numbers = places.iter().map(|place| numbers[*place]).collect();
            waits.push(Wait { numbers, waiters });
        }
        if let Some(turn) = turn {
            let places: Vec<usize> = turn.keys().map(|(place, _)| place).collect();
            let numbers = places.iter().map(|place| numbers[*place]).collect();
            let keys = places.into_iter().map(|place| keys[place].clone()).collect();
            let waiters = turn.waiters();
            let load = load
                .take()
                .expect("invariant: whoever has a turn has not loaded before");
            self.start_many(turn, keys, plan, load);
            waits.push(Wait { numbers, waiters });
        }
        waits
    }

    /// If all ids are being loaded, they are shared, and the loader is kept for those that turn out to be too old for the
    /// call. Else it runs anyway, also for those that may turn out to be.
    fn claim_all(
        &self,
        ids: &[(u64, Arc<T::Id>)],
        round: &Round,
    ) -> Result<Claimed<T::Id, Pin, Outcome<T>>, FlightsFull> {
        let claim = |share| {
            let may_join = |_, pin: Option<&Pin>| self.may_join(share, pin);
            self.flights.claim_many(ids.iter().cloned(), may_join)
        };
        let is_shared = || ids.iter().all(|(hash, _)| self.flights.contains(*hash));
        if matches!(round.share, Share::Fresh) && is_shared() {
            let claimed = claim(Share::Fresh)?;
            if claimed.turn.is_none() {
                return Ok(claimed);
            }
        }
        claim(Share::Since(round.asked))
    }

    /// Loads the keys of a turn that are still missing.
    fn start_many<L, F>(self: &Arc<Self>, turn: Turn<T>, keys: Vec<Key>, plan: &Plan, load: L)
    where
        L: FnOnce(LoadManyContext<T>) -> F,
        F: Future<Output = Result<Vec<Loaded<T>>, FetchError>> + MaybeSend + 'static,
    {
        let mut turn = turn;
        let ids: Vec<Arc<T::Id>> = turn.keys().map(|(_, id)| Arc::clone(id)).collect();
        let pins: Vec<Pin> = keys.into_iter().map(|key| self.flight_pin(key)).collect();
        turn.pinned(pins.iter().cloned());
        let mut legs: SmallVec<[Leg<T>; 1]> = SmallVec::with_capacity(ids.len());
        for (index, (id, pin)) in ids.iter().zip(pins).enumerate() {
            let hash = self.hash(&**id);
            if let Some(outcome) = self.look_again(hash, id, &Aim::Missing) {
                turn.give(index, outcome);
                continue;
            }
            legs.push(Leg {
                id: Arc::clone(id),
                hash,
                pin,
                overtaken: turn
                    .overtaken(index)
                    .expect("invariant: the turn has as many keys"),
                previous: self.previous(hash, &**id),
            });
        }
        if legs.is_empty() {
            return;
        }
        let context = LoadManyContext {
            ids: legs.iter().map(|leg| T::Id::clone(&leg.id)).collect(),
            previous: legs
                .iter()
                .map(|leg| leg.previous.as_ref().map(|previous| Arc::clone(&previous.value)))
                .collect(),
        };
        let mut watch = LoadWatch::of_plan(self, legs.len(), plan);
        let future = match caught(|| load(context)) {
            Ok(future) => future,
            Err(message) => {
                watch.end(&Ended::<Result<(), FetchError>>::Panicked(message.clone()));
                for index in 0..ids.len() {
                    turn.give(index, Outcome::Failed(FetchError::panicked(&message)));
                }
                return;
            }
        };
        let run = Run {
            pool: Arc::downgrade(self),
            name: self.name.clone(),
            legs,
            terms: Terms {
                negative_ttl: plan.negative_ttl,
                token: None,
                loader: plan.loader,
            },
            watch,
        };
        let detached = plan.detach.then(|| turn.waiters());
        turn.start(run.fly_many(future, self.limit(plan.timeout)));
        if let Some(waiters) = detached {
            let numbers = Vec::new();
            self.go_on_many(Wait { numbers, waiters });
        }
    }
}

/// The ids without a value, each once.
pub(super) fn missing<'q, T, Q>(ids: &[(u64, &'q Q)], values: &[Option<Arc<T>>]) -> Vec<Missing<'q, Q>>
where
    Q: std::hash::Hash + Eq + ?Sized,
{
    let mut missing: Vec<Missing<'q, Q>> = Vec::new();
    let mut known: HashMap<&Q, usize> = HashMap::new();
    for (place, ((hash, id), value)) in ids.iter().zip(values).enumerate() {
        if value.is_some() {
            continue;
        }
        let number = *known.entry(id).or_insert(missing.len());
        match missing.get_mut(number) {
            Some(missing) => missing.places.push(place),
            None => missing.push(Missing {
                hash: *hash,
                id,
                places: vec![place],
            }),
        }
    }
    missing
}
