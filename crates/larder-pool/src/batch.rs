//! [`Batch`]: many changes that become visible at once, or not at all.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use larder_core::{Cause, Target, ToKey};

use crate::arrive::Wish;
use crate::error::BatchErrorKind;
use crate::limits::{BATCH_ITEMS_MAX, UPDATE_RETRIES_MAX};
use crate::options::{InsertOptions, IsOlder, OnConflict};
use crate::panics::Panics;
use crate::store::{EachRule, Operation, Stopped, Together, Use};
use crate::{BatchError, Entity, InsertError, Pool, Reason, ToId};

/// Changes of a pool, collected and then committed together. Dropped without a commit it does nothing.
///
/// Of several changes of one id the last one counts.
///
/// ```
/// # use larder_pool::{Entity, Pool};
/// # #[derive(Entity)]
/// # struct User { id: u64, name: String }
/// # let users = Pool::<User>::builder().build()?;
/// let stats = users
///     .batch()
///     .insert(User { id: 1, name: "Ada".to_owned() })
///     .insert(User { id: 2, name: "Grace".to_owned() })
///     .remove(&3)
///     .commit()?;
/// assert_eq!((stats.inserted, stats.removed), (2, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch<T: Entity> {
    pool: Pool<T>,
    changes: Vec<Change<T>>,
}

enum Change<T: Entity> {
    Insert {
        value: Arc<T>,
        time_to_live: Option<Duration>,
        /// What the value says it is, asked by the first try and kept for the others.
        id: Option<T::Id>,
    },
    Remove(T::Id, Reason),
}

/// What a batch has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchStats {
    /// Values stored for ids that had no live one, or told as inserts.
    pub inserted: usize,
    /// Values stored in place of live ones, and told as updates.
    pub updated: usize,
    /// Live entries that were removed.
    pub removed: usize,
    /// Residents that left for want of room.
    pub evicted: usize,
    /// The sequence of the commit; the last one before it if nothing has changed.
    pub sequence: u64,
}

impl<T: Entity> Pool<T> {
    /// An empty batch for this pool.
    pub fn batch(&self) -> Batch<T> {
        Batch {
            pool: self.clone(),
            changes: Vec::new(),
        }
    }

    /// Stores all of these as one commit, or none. O(k log k) for k values.
    ///
    /// # Errors
    /// [`BatchError`], which gives them back as a batch.
    pub fn insert_many<V: Into<Arc<T>>>(
        &self,
        values: impl IntoIterator<Item = V>,
    ) -> Result<BatchStats, BatchError<T>> {
        let batch = values.into_iter().fold(self.batch(), Batch::insert);
        batch.commit()
    }
}

impl<T: Entity> Batch<T> {
    /// Stores a value, for the pool's time to live.
    pub fn insert(mut self, value: impl Into<Arc<T>>) -> Self {
        self.changes.push(Change::insert(value.into(), None));
        self
    }

    /// Stores a value, for a time to live of its own.
    pub fn insert_with_ttl(mut self, value: impl Into<Arc<T>>, time_to_live: Duration) -> Self {
        self.changes
            .push(Change::insert(value.into(), Some(time_to_live)));
        self
    }

    /// Removes an id.
    pub fn remove<Q>(self, id: &Q) -> Self
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
    {
        self.invalidate(id, Reason::Manual)
    }

    /// Removes an id for a reason: [`Reason::Manual`], [`Reason::Saved`] or [`Reason::Deleted`].
    pub fn invalidate<Q>(mut self, id: &Q, reason: Reason) -> Self
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
    {
        self.changes.push(Change::Remove(id.to_id(), reason.of_caller()));
        self
    }

    /// How many changes it holds, several of one id each counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Makes all changes at once, or none. Members may evict each other, as the policy decides.
    ///
    /// # Errors
    /// [`BatchError`], with the batch as it was.
    pub fn commit(mut self) -> Result<BatchStats, BatchError<T>> {
        if self.changes.len() > BATCH_ITEMS_MAX {
            let max = BATCH_ITEMS_MAX;
            return Err(BatchError::new(BatchErrorKind::TooMany { max }, self));
        }
        for _ in 0..UPDATE_RETRIES_MAX {
            match self.try_commit() {
                Ok(Some(stats)) => return Ok(stats),
                Ok(None) => {}
                Err(kind) => return Err(BatchError::new(kind, self)),
            }
        }
        let rounds = UPDATE_RETRIES_MAX;
        Err(BatchError::new(BatchErrorKind::Contended { rounds }, self))
    }

    /// One try; `None` if others have changed what its values were compared with.
    fn try_commit(&mut self) -> Result<Option<BatchStats>, BatchErrorKind<T>> {
        let mut operations = self.operations()?;
        if operations.is_empty() {
            let sequence = self.pool.sequence();
            return Ok(Some(BatchStats {
                sequence,
                ..BatchStats::default()
            }));
        }
        let ended = self.ended(&operations);
        let mut panics = Panics::default();
        let done = panics.put_off(|| self.pool.shared.together(&mut operations));
        // After the commit, since what fails ends nothing. In between, who has pinned an id that was removed finds it
        // written.
        if !matches!(done, Some(Err(_))) {
            for (target, cause) in ended {
                panics.put_off(|| self.pool.shared.hook.invalidate(&target, cause));
            }
        }
        panics.go_on();
        match done.expect("invariant: a panic went on") {
            Ok(together) => Ok(Some(BatchStats::of(&together))),
            Err(Stopped::Moved) => Ok(None),
            Err(Stopped::Conflicts(at)) => {
                let ids = at.into_iter().filter_map(|at| operations.get(at));
                let ids = ids.map(|operation| operation.id().0.clone()).collect();
                Err(BatchErrorKind::Conflict { ids })
            }
            Err(Stopped::TooHeavy { at, capacity }) => {
                let refused = operations.into_iter().nth(at);
                let Some(Operation::Put { arrival, .. }) = refused else {
                    unreachable!("invariant: only a value is too heavy")
                };
                let error = InsertError::TooHeavy {
                    weight: arrival.charge,
                    capacity,
                    value: arrival.into_value(),
                };
                Err(BatchErrorKind::Refused { error })
            }
        }
    }

    /// The entities that are to be removed: whatever on the pool's fence depends on them ends, and with it what is being
    /// read for it.
    fn ended(&self, operations: &[Operation<T>]) -> Vec<(Target, Cause)> {
        let ended = operations.iter().filter_map(|operation| {
            let Operation::Take { id, reason, .. } = operation else {
                return None;
            };
            let key = id.to_key().ok()?;
            let cause = Cause::direct(reason.told());
            Some((self.pool.shared.entity_target(key), cause))
        });
        ended.collect()
    }

    /// The last change of each id, ready to be made, in the order of these last changes.
    fn operations(&mut self) -> Result<Vec<Operation<T>>, BatchErrorKind<T>> {
        let pool = &self.pool.shared;
        let mut operations = Vec::with_capacity(self.changes.len());
        let since = pool.fence.pin(&[]);
        let since = since.expect("invariant: no targets are fewer than a pin may hold");
        for change in &mut self.changes {
            operations.push(match change {
                Change::Remove(id, reason) => Operation::Take {
                    hash: pool.hash(id),
                    written: pool.written(id),
                    id: id.clone(),
                    reason: *reason,
                },
                Change::Insert {
                    value,
                    time_to_live,
                    id,
                } => {
                    let id = id.get_or_insert_with(|| value.id()).clone();
                    let mut options = InsertOptions::new();
                    options.time_to_live = *time_to_live;
                    let mut wish = Wish::insert(Arc::clone(value), options);
                    wish.since = Some(since.clone());
                    let arrival = pool.arrive_as(id, wish);
                    let arrival = arrival.map_err(|unfit| BatchErrorKind::Refused {
                        error: unfit.refusing(Arc::clone(value)),
                    })?;
                    let rule = EachRule::Insert(pool.config.on_conflict);
                    Operation::Put { arrival, rule }
                }
            });
        }
        let mut last: Vec<Operation<T>> = last_of_each(operations);
        if let OnConflict::KeepNewest(is_older) = pool.config.on_conflict {
            last = self.newest(last, is_older);
        }
        Ok(last)
    }

    /// Without the values that are older than what is there; the others only in place of what they were compared with.
    fn newest(&self, operations: Vec<Operation<T>>, is_older: IsOlder<T>) -> Vec<Operation<T>> {
        let compared = |operation| match operation {
            Operation::Put { arrival, .. } => {
                let seen = self
                    .pool
                    .shared
                    .read(arrival.hash, arrival.id(), Use::Untold)
                    .ok();
                if seen.as_ref().is_some_and(|seen| is_older(arrival.value(), seen)) {
                    return None;
                }
                let rule = EachRule::Seen(seen);
                Some(Operation::Put { arrival, rule })
            }
            take @ Operation::Take { .. } => Some(take),
        };
        operations.into_iter().filter_map(compared).collect()
    }
}

impl<T: Entity> Change<T> {
    fn insert(value: Arc<T>, time_to_live: Option<Duration>) -> Self {
        Change::Insert {
            value,
            time_to_live,
            id: None,
        }
    }
}

/// The last operation of each id, in the order of these last ones.
fn last_of_each<T: Entity>(operations: Vec<Operation<T>>) -> Vec<Operation<T>> {
    let mut last = HashMap::with_capacity(operations.len());
    for (at, operation) in operations.iter().enumerate() {
        last.insert(operation.id().0, at);
    }
    let mut is_last = vec![false; operations.len()];
    for at in last.into_values() {
        is_last[at] = true;
    }
    let numbered = operations.into_iter().zip(is_last);
    numbered
        .filter(|(_, is_last)| *is_last)
        .map(|(operation, _)| operation)
        .collect()
}

impl BatchStats {
    fn of<T>(together: &Together<T>) -> Self {
        BatchStats {
            inserted: together.inserted,
            updated: together.updated,
            removed: together.removed,
            evicted: together.evicted,
            sequence: together.sequence,
        }
    }
}

impl<T: Entity> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("changes", &self.changes.len())
            .finish()
    }
}
