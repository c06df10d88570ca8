//! [`VerifiedPool`]: a pool whose values can be compared with what its loader brings, without its type.

use std::sync::Arc;

use larder_core::{BoxFuture, Key, ToKey as _};
use larder_pool::{Entity, EntityId as _, EntryState, FetchOptions, Pool};

use super::super::Shared;
use super::{Checked, Difference};

/// How often a sample is filled up that met the dead.
const SAMPLES_ANEW: usize = 8;

/// A pool that can be verified.
pub(in super::super) trait Verified: Send + Sync {
    fn entity(&self) -> &'static str;
    fn label(&self) -> Option<&str>;
    fn has_origin(&self) -> bool;
    fn len(&self) -> usize;
    /// Keys of live entries, the first by id.
    fn first(&self, at_most: usize) -> Vec<Key>;
    /// Keys of entries chosen at random.
    fn sample(&self, count: usize) -> Vec<Key>;
    /// Nothing if an entry is as its origin has it; how it differs, if it does for certain; else what became of it.
    fn compare<'a>(
        &'a self,
        shared: &'a Shared,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Option<Difference>, Checked>>;
}

/// When two values of a type are the same.
pub(in super::super) enum Same<T> {
    Equal(fn(&T, &T) -> bool),
    Digest(fn(&T) -> u64),
}

impl<T: PartialEq> Same<T> {
    pub(in super::super) fn equal() -> Self {
        Same::Equal(T::eq)
    }
}

impl<T> Same<T> {
    fn holds(&self, one: &T, other: &T) -> bool {
        match self {
            Same::Equal(equal) => equal(one, other),
            Same::Digest(digest) => digest(one) == digest(other),
        }
    }

    fn digest(&self, value: &T) -> Option<u64> {
        match self {
            Same::Equal(_) => None,
            Same::Digest(digest) => Some(digest(value)),
        }
    }
}

pub(in super::super) struct VerifiedPool<T: Entity> {
    pool: Pool<T>,
    label: Option<String>,
    same: Same<T>,
}

impl<T: Entity> VerifiedPool<T> {
    pub(in super::super) fn new(pool: Pool<T>, label: Option<&str>, same: Same<T>) -> Self {
        let label = label.map(str::to_owned);
        VerifiedPool { pool, label, same }
    }
}

impl<T: Entity> Verified for VerifiedPool<T> {
    fn entity(&self) -> &'static str {
        T::name()
    }

    fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    fn has_origin(&self) -> bool {
        self.pool.config().loader
    }

    fn len(&self) -> usize {
        self.pool.len()
    }

    fn first(&self, at_most: usize) -> Vec<Key> {
        let snapshot = self.pool.snapshot();
        let keys = snapshot.ids().filter_map(|id| id.to_key().ok());
        keys.take(at_most).collect()
    }

    fn sample(&self, count: usize) -> Vec<Key> {
        let mut keys = Vec::new();
        // The dead lie among the living until they are swept: some tries are for nothing.
        for _ in 0..SAMPLES_ANEW {
            let sampled = self.pool.sample(count - keys.len()).into_iter();
            let live = sampled.filter(|explanation| explanation.state == EntryState::Live);
            keys.extend(live.filter_map(|explanation| explanation.key));
            if keys.len() == count {
                break;
            }
        }
        keys
    }

    fn compare<'a>(
        &'a self,
        shared: &'a Shared,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Option<Difference>, Checked>> {
        Box::pin(async move {
            let id = T::Id::from_key(key).ok_or(Checked::Gone)?;
            let seen = self.pool.peek(&id).ok_or(Checked::Gone)?;
            let fetched = self.pool.fetch_with(&id, FetchOptions::new().bypass()).await;
            let origin = fetched.map_err(|_| Checked::OriginError)?.value;
            if origin
                .as_ref()
                .is_some_and(|origin| self.same.holds(&seen, origin))
            {
                return Ok(None);
            }
            // Everything that the load can have seen was committed before this.
            if !shared.catches_up().await {
                return Err(Checked::Unsure);
            }
            match self.pool.peek(&id) {
                Some(now) if Arc::ptr_eq(&now, &seen) => Ok(Some(Difference {
                    is_gone: origin.is_none(),
                    kept: self.same.digest(&seen),
                    origin: origin.and_then(|origin| self.same.digest(&origin)),
                })),
                Some(_) => Err(Checked::Moved),
                None => Err(Checked::Gone),
            }
        })
    }
}
