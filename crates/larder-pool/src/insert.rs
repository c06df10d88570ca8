//! Storing one value: inserts, and what is stored in place of a certain value.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use crate::arrive::Wish;
use crate::limits::UPDATE_RETRIES_MAX;
use crate::options::{InsertOptions, IsOlder, OnConflict};
use crate::store::{Arrival, Refusal, Rule, Use};
use crate::{Entity, InsertError, Pool, UpdateError};

impl<T: Entity> Pool<T> {
    /// Stores a value under its id, for the pool's time to live, and returns it as it is stored: an `Arc` as it is.
    ///
    /// What happens if a live entry of the id is there says the pool's `on_conflict`; a dead one counts as absent. O(1)
    /// amortised: one short commit lock, one shard's lock; who leaves for want of room is chosen at O(1) too.
    ///
    /// # Errors
    /// [`InsertError`], which gives the value back.
    pub fn insert(&self, value: impl Into<Arc<T>>) -> Result<Arc<T>, InsertError<T>> {
        let value = value.into();
        let conflict = self.shared.config.on_conflict;
        if matches!(conflict, OnConflict::KeepNewest(_)) {
            return self.insert_with(value, InsertOptions::new());
        }
        let arrival = self.shared.arrive_plainly(Arc::clone(&value));
        let arrival = arrival.map_err(|unfit| unfit.refusing(Arc::clone(&value)))?;
        self.put(arrival, &Rule::Insert(conflict))?;
        Ok(value)
    }

    /// The same with another time to live. Past the clock's range it means for ever.
    ///
    /// # Errors
    /// [`InsertError`], which gives the value back; a time of zero is refused.
    pub fn insert_with_ttl(
        &self,
        value: impl Into<Arc<T>>,
        time_to_live: Duration,
    ) -> Result<Arc<T>, InsertError<T>> {
        self.insert_with(value, InsertOptions::new().time_to_live(time_to_live))
    }

    /// The same with whatever is special about this one.
    ///
    /// # Errors
    /// [`InsertError`], which gives the value back.
    pub fn insert_with(
        &self,
        value: impl Into<Arc<T>>,
        options: InsertOptions<T>,
    ) -> Result<Arc<T>, InsertError<T>> {
        let conflict = options.on_conflict.unwrap_or(self.shared.config.on_conflict);
        let arrival = self.shared.arrive(Wish::insert(value.into(), options));
        let arrival = arrival.map_err(|(unfit, value)| unfit.refusing(value))?;
        if let OnConflict::KeepNewest(is_older) = conflict {
            return self.insert_if_newer(arrival, is_older);
        }
        let value = Arc::clone(arrival.value());
        self.put(arrival, &Rule::Insert(conflict))?;
        Ok(value)
    }

    #[inline]
    fn put(&self, mut arrival: Arrival<T>, rule: &Rule<'_, T>) -> Result<(), InsertError<T>> {
        match self.shared.put(&mut arrival, rule) {
            Ok(()) => Ok(()),
            Err(refusal) => Err(refused(refusal, arrival)),
        }
    }

    /// Stores a value unless what is there is newer: compared without a lock, and stored only in place of what it was
    /// compared with.
    fn insert_if_newer(
        &self,
        mut arrival: Arrival<T>,
        is_older: IsOlder<T>,
    ) -> Result<Arc<T>, InsertError<T>> {
        let value = Arc::clone(arrival.value());
        for _ in 0..UPDATE_RETRIES_MAX {
            let seen = self.shared.read(arrival.hash, arrival.id(), Use::Untold).ok();
            let rule = match &seen {
                Some(seen) if is_older(&value, seen) => return Ok(Arc::clone(seen)),
                Some(seen) => Rule::Swap(seen),
                None => Rule::Insert(OnConflict::Reject),
            };
            match self.shared.put(&mut arrival, &rule) {
                Ok(()) => return Ok(value),
                Err(Refusal::Resident(_) | Refusal::Moved(_)) => {}
                Err(refusal) => return Err(refused(refusal, arrival)),
            }
        }
        let resident = self.shared.read(arrival.hash, arrival.id(), Use::Untold).ok();
        Err(InsertError::Moved { resident, value })
    }

    /// Stores a value in place of exactly the live value `seen` of its id, for the pool's time to live. Told as an update.
    /// The entry still depends on what it was given beside the tags of its value: by [`Pool::insert_with`], or by its loader.
    ///
    /// # Errors
    /// [`InsertError::Moved`], with what is there instead, if `seen` is not the live value; or as [`Pool::insert`].
    pub fn replace_if_same(&self, seen: &Arc<T>, value: impl Into<Arc<T>>) -> Result<Arc<T>, InsertError<T>> {
        let value: Arc<T> = value.into();
        let id = value.id();
        let there = self.shared.live(self.shared.hash(&id), &id);
        let mut wish = Wish::insert(Arc::clone(&value), InsertOptions::new());
        if let Some(prior) = there.filter(|there| Arc::ptr_eq(&there.value, seen)) {
            prior.carry_over(&mut wish);
        }
        let arrival = self.shared.arrive_as(id, wish);
        let arrival = arrival.map_err(|unfit| unfit.refusing(Arc::clone(&value)))?;
        self.put(arrival, &Rule::Swap(seen))?;
        Ok(value)
    }

    /// Computes a new value from the live one and stores it in its place; `None` if there is no live value. `change` runs
    /// without a lock, and again each time that somebody else was faster. Told as an update, for the pool's time to live;
    /// the entry still depends on what it was given beside the tags of its value.
    ///
    /// # Errors
    /// [`UpdateError::Contended`] after [`UPDATE_RETRIES_MAX`](crate::limits::UPDATE_RETRIES_MAX) rounds,
    /// [`UpdateError::IdChanged`], or what [`Pool::insert`] refuses. The entry is what it was,
    /// unless the new value is too heavy: then it leaves.
    pub fn update<Q>(&self, id: &Q, mut change: impl FnMut(&T) -> T) -> Result<Option<Arc<T>>, UpdateError<T>>
    where
        T::Id: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.shared.hash(id);
        for _ in 0..UPDATE_RETRIES_MAX {
            let Some(prior) = self.shared.live(hash, id) else {
                return Ok(None);
            };
            let seen = &prior.value;
            let value = Arc::new(change(seen));
            let mut wish = Wish::insert(value, InsertOptions::new());
            prior.carry_over(&mut wish);
            let arrival = self.shared.arrive(wish);
            let mut arrival =
                arrival.map_err(|(unfit, value)| UpdateError::Refused(unfit.refusing(value)))?;
            if arrival.id().borrow() != id {
                return Err(UpdateError::IdChanged);
            }
            let value = Arc::clone(arrival.value());
            match self.shared.put(&mut arrival, &Rule::Swap(seen)) {
                Ok(()) => return Ok(Some(value)),
                Err(Refusal::Moved(_)) => {}
                Err(refusal) => return Err(UpdateError::Refused(refused(refusal, arrival))),
            }
        }
        let rounds = UPDATE_RETRIES_MAX;
        Err(UpdateError::Contended { rounds })
    }
}

/// As the caller is told why a value was not stored.
#[cold]
pub(crate) fn refused<T: Entity>(refusal: Refusal<T>, arrival: Arrival<T>) -> InsertError<T> {
    let (weight, value) = (arrival.charge, arrival.into_value());
    match refusal {
        Refusal::Resident(resident) => InsertError::Conflict { resident, value },
        Refusal::Moved(resident) => InsertError::Moved { resident, value },
        Refusal::TooHeavy { capacity } => InsertError::TooHeavy {
            weight,
            capacity,
            value,
        },
        Refusal::Late(_) => InsertError::Fenced { value },
    }
}
