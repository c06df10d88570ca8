//! [`Registry`]: the pools of a program, found by their type, or looked at without it.
//!
//! What is always true: under one type and label there is one pool; one name of an entity stands for one type. Nothing foreign runs under
//! its lock.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use larder_core::sync::RwLock;
use larder_core::{Key, ToKey as _};
use thiserror::Error;

use crate::{Capacity, Entity, EntityId, Explanation, MaybeSend, MaybeSync, Pool, PoolStats, Reason};

/// The pools of a program: one for each type, and more of a type under labels. A handle: clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry {
    pools: Arc<RwLock<BTreeMap<Place, Arc<dyn AnyPool>>>>,
}

/// Ordered as pools are listed: by the entity's name, then by the label, of which none is the first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    name: &'static str,
    label: Option<Arc<str>>,
    of: TypeId,
}

/// Why a pool was not registered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The name stands for another type.
    #[error("`{name}` is the name of another type in this registry")]
    DuplicateName {
        /// The name.
        name: &'static str,
    },
}

/// A pool of whatever type, for whoever watches and operates: by names and keys.
pub trait AnyPool: fmt::Debug + MaybeSend + MaybeSync + 'static {
    /// The name of its entity.
    fn name(&self) -> &'static str;

    /// Under which label it was registered, if under one.
    fn label(&self) -> Option<&str>;

    /// What it may hold now.
    fn capacity(&self) -> Capacity;

    /// Whether entries end by themselves, after a time to live or to idle.
    fn expires(&self) -> bool;

    /// What its own loader is called, if it has one.
    fn loader_label(&self) -> Option<&'static str>;

    /// What it holds and has done.
    fn stats(&self) -> PoolStats;

    /// What it knows of an id; none if the key is no id of this type.
    fn explain(&self, key: &Key) -> Option<Explanation>;

    /// Explanations of up to `count` residents, chosen at random.
    fn sample(&self, count: usize) -> Vec<Explanation>;

    /// Up to `limit` keys of live entries after `after`, ascending by id; from the first if that is none, or is no id of this type.
    /// O(n log n) in entries.
    fn keys_after(&self, after: Option<&Key>, limit: usize) -> Vec<Key>;

    /// Invalidates one id. Whether an entry was live; none if the key is no id of this type.
    fn invalidate(&self, key: &Key, reason: Reason) -> Option<bool>;

    /// Removes every entry. How many there were.
    fn clear(&self, reason: Reason) -> usize;

    #[doc(hidden)]
    fn as_any(&self) -> &dyn Any;
}

impl Registry {
    /// Without pools.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a pool the one of its type, and gives back the one that was.
    ///
    /// # Errors
    /// [`RegistryError::DuplicateName`] if a pool of another type has its entity's name.
    pub fn register<T: Entity>(&self, pool: Pool<T>) -> Result<Option<Pool<T>>, RegistryError> {
        self.put(None, pool)
    }

    /// Makes a pool the one of its type under a label, and gives back the one that was.
    ///
    /// # Errors
    /// [`RegistryError::DuplicateName`] if a pool of another type has its entity's name.
    pub fn register_as<T: Entity>(
        &self,
        label: impl Into<Arc<str>>,
        pool: Pool<T>,
    ) -> Result<Option<Pool<T>>, RegistryError> {
        self.put(Some(label.into()), pool)
    }

    fn put<T: Entity>(
        &self,
        label: Option<Arc<str>>,
        pool: Pool<T>,
    ) -> Result<Option<Pool<T>>, RegistryError> {
        let place = Place {
            name: T::name(),
            label: label.clone(),
            of: TypeId::of::<T>(),
        };
        let registered = Arc::new(Labelled { label, pool });
        let mut pools = self.pools.write();
        if pools
            .keys()
            .any(|other| other.name == place.name && other.of != place.of)
        {
            return Err(RegistryError::DuplicateName { name: place.name });
        }
        let replaced = pools.insert(place, registered);
        drop(pools);
        Ok(replaced.and_then(|replaced| typed(&*replaced)))
    }

    /// The pool of a type that was registered without a label.
    #[must_use]
    pub fn pool<T: Entity>(&self) -> Option<Pool<T>> {
        self.find(None)
    }

    /// The pool of a type that was registered under a label.
    #[must_use]
    pub fn pool_as<T: Entity>(&self, label: &str) -> Option<Pool<T>> {
        self.find(Some(label))
    }

    fn find<T: Entity>(&self, label: Option<&str>) -> Option<Pool<T>> {
        let place = Place {
            name: T::name(),
            label: label.map(Arc::from),
            of: TypeId::of::<T>(),
        };
        let found = self.pools.read().get(&place).cloned();
        typed(&*found?)
    }

    /// Every pool, by the name of its entity and its label.
    #[must_use]
    pub fn pools(&self) -> Vec<Arc<dyn AnyPool>> {
        let pools = self.pools.read();
        pools.values().map(Arc::clone).collect()
    }
}

fn typed<T: Entity>(pool: &dyn AnyPool) -> Option<Pool<T>> {
    let labelled = pool.as_any().downcast_ref::<Labelled<T>>()?;
    Some(labelled.pool.clone())
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pools()).finish()
    }
}

/// A pool, and under which label it is known.
struct Labelled<T: Entity> {
    label: Option<Arc<str>>,
    pool: Pool<T>,
}

impl<T: Entity> AnyPool for Labelled<T> {
    fn name(&self) -> &'static str {
        T::name()
    }

    fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    fn expires(&self) -> bool {
        let config = self.pool.config();
        config.time_to_live.is_some() || config.time_to_idle.is_some()
    }

    fn loader_label(&self) -> Option<&'static str> {
        self.pool.config().loader_label
    }

    fn capacity(&self) -> Capacity {
        self.pool.capacity()
    }

    fn stats(&self) -> PoolStats {
        self.pool.stats()
    }

    fn explain(&self, key: &Key) -> Option<Explanation> {
        T::Id::from_key(key).map(|id| self.pool.explain(&id))
    }

    fn sample(&self, count: usize) -> Vec<Explanation> {
        self.pool.sample(count)
    }

    fn keys_after(&self, after: Option<&Key>, limit: usize) -> Vec<Key> {
        let snapshot = self.pool.snapshot();
        let after = after.and_then(T::Id::from_key);
        let is_after = |id: &&T::Id| after.as_ref().is_none_or(|after| *id > after);
        let ids = snapshot.ids().filter(is_after);
        ids.filter_map(|id| id.to_key().ok()).take(limit).collect()
    }

    fn invalidate(&self, key: &Key, reason: Reason) -> Option<bool> {
        T::Id::from_key(key).map(|id| self.pool.invalidate(&id, reason))
    }

    fn clear(&self, reason: Reason) -> usize {
        self.pool.clear(reason)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl<T: Entity> fmt::Debug for Labelled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("entity", &T::name())
            .field("label", &self.label)
            .field("entries", &self.pool.len())
            .finish()
    }
}
