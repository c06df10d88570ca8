//! Loads past everything: memory is not asked, nobody joins, nothing is kept.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use larder_core::Moment;

use super::begin::key_of;
use super::error::FetchError;
use super::fetched::{Fetched, Found, Many};
use super::flight::{Ended, LoadWatch, contained};
use super::many::{Answer, missing};
use super::options::Plan;
use super::waits::Missing;
use crate::loaded::Brought;
use crate::panics::caught;
use crate::shared::Shared;
use crate::{Entity, LoadContext, LoadManyContext, Loaded, Origin, ToId};

impl<T: Entity> Shared<T> {
    /// Loads past everything, and keeps nothing.
    pub(super) async fn load_alone<Q, L, F>(
        self: &Arc<Self>,
        id: &Q,
        plan: &Plan,
        load: L,
    ) -> Result<Fetched<T>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
        L: FnOnce(LoadContext<T>) -> F,
        F: Future<Output = Result<Loaded<T>, FetchError>>,
    {
        let own = id.to_id();
        key_of(&own)?;
        let mut watch = LoadWatch::of_plan(self, 1, plan);
        let context = LoadContext {
            id: own,
            previous: None,
        };
        let ended = match caught(|| load(context)) {
            Ok(future) => contained(future, self.limit(plan.timeout)).await,
            Err(message) => Ended::Panicked(message),
        };
        watch.end(&ended);
        let loaded = ended.into_result()?;
        let now = self.clock.coarse();
        let (value, as_of) = match loaded.brought {
            Brought::Nothing => {
                self.check_token(plan, loaded.as_of)?;
                return Ok(self.answer_nothing(now));
            }
            Brought::Unchanged => return Err(FetchError::NothingToRenew),
            Brought::Value(value) => (value, loaded.as_of),
        };
        let brought = caught(|| value.id()).map_err(|message| FetchError::panicked(&message))?;
        if brought.borrow() != id {
            watch.failed();
            let name = self.name.clone();
            return Err(FetchError::IdMismatch { name });
        }
        self.check_token(plan, as_of)?;
        Ok(self.answer(Found {
            value,
            origin: Origin::Loaded,
            stored: now,
            deadline: Moment::MAX,
            is_resident: false,
        }))
    }

    /// Loads past everything, and keeps nothing: each id once, in one call of the loader.
    pub(super) async fn load_many_alone<Q, L, F>(
        self: &Arc<Self>,
        ids: &[(u64, &Q)],
        plan: &Plan,
        load: L,
    ) -> Many<T>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
        L: FnOnce(LoadManyContext<T>) -> F,
        F: Future<Output = Result<Vec<Loaded<T>>, FetchError>>,
    {
        let wanted = missing::<T, Q>(ids, &vec![None; ids.len()]);
        let mut answers: Vec<Answer<T>> = vec![Ok(None); ids.len()];
        let (mut own, mut asked) = (Vec::new(), Vec::new());
        for wanted in &wanted {
            let id = wanted.id.to_id();
            match key_of(&id) {
                Ok(_) => {
                    asked.push(wanted);
                    own.push(id);
                }
                Err(error) => wanted
                    .places
                    .iter()
                    .for_each(|place| answers[*place] = Err(error.clone())),
            }
        }
        if own.is_empty() {
            return Many::new(answers);
        }
        let mut watch = LoadWatch::of_plan(self, own.len(), plan);
        let previous = own.iter().map(|_| None).collect();
        let context = LoadManyContext { ids: own, previous };
        let ended = match caught(|| load(context)) {
            Ok(future) => contained(future, self.limit(plan.timeout)).await,
            Err(message) => Ended::Panicked(message),
        };
        watch.end(&ended);
        let brought = ended.into_result().and_then(|loaded| {
            let sorted = caught(|| self.sorted_by_id(loaded, &asked));
            sorted.map_err(|message| FetchError::panicked(&message)).flatten()
        });
        if brought.is_err() {
            watch.failed();
        }
        for (number, wanted) in asked.into_iter().enumerate() {
            let answer = match &brought {
                Ok(values) => Ok(values[number].clone()),
                Err(error) => Err(error.clone()),
            };
            for place in &wanted.places {
                answers[*place] = answer.clone();
            }
        }
        Many::new(answers)
    }

    /// What was brought for each id that was asked for.
    fn sorted_by_id<Q>(
        &self,
        loaded: Vec<Loaded<T>>,
        asked: &[&Missing<'_, Q>],
    ) -> Result<Vec<Option<Arc<T>>>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
    {
        let places: HashMap<&Q, usize> = asked.iter().map(|asked| asked.id).zip(0..).collect();
        let mut values = vec![None; asked.len()];
        for loaded in loaded {
            match loaded.brought {
                Brought::Nothing => {}
                Brought::Unchanged => return Err(FetchError::NothingToRenew),
                Brought::Value(value) => {
                    let id = value.id();
                    let Some(place) = places.get(id.borrow()) else {
                        let name = self.name.clone();
                        return Err(FetchError::IdMismatch { name });
                    };
                    values[*place].get_or_insert(value);
                }
            }
        }
        Ok(values)
    }
}
