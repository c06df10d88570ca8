//! The engines under one roof: each built as its documentation advises for speed, filled with the same values.

use futures_util::FutureExt as _;
use larder_pool::{Entity, Pool};
use quick_cache::DefaultHashBuilder;
use sassi::{Cacheable, Punnu, PunnuConfig};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

/// What is kept: 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Entity)]
pub(super) struct Thing {
    pub(super) id: u64,
    pub(super) amount: u64,
    pub(super) version: u64,
}

impl Thing {
    pub(super) const fn new(id: u64) -> Self {
        Self {
            id,
            amount: id,
            version: 0,
        }
    }
}

impl Cacheable for Thing {
    type Id = u64;
    type Fields = ();

    fn id(&self) -> u64 {
        self.id
    }

    fn fields() {}
}

/// `quick_cache`: its default settings, which are its fast ones, and its hash.
pub(super) type Quick = quick_cache::sync::Cache<u64, Arc<Thing>>;

/// `moka`, the synchronous one, with the fast hash of `quick_cache` in place of SipHash, as its documentation advises where
/// keys are trusted; no listener.
pub(super) type Moka = moka::sync::Cache<u64, Arc<Thing>, DefaultHashBuilder>;

/// papaya, with the same hash, as in its own benchmarks. Each operation takes a guard of its own, as one that stands alone
/// must.
pub(super) type Papaya = papaya::HashMap<u64, Arc<Thing>, DefaultHashBuilder>;

/// What all of them can do.
pub(super) trait Engine: Sync {
    fn get(&self, id: u64) -> Option<Arc<Thing>>;

    /// Stores a new value, in place of one that is there.
    fn insert(&self, id: u64);

    /// Does what is left of earlier operations.
    fn settle(&self) {}

    /// How many entries there are.
    fn count(&self) -> u64;

    /// The same engine with the entries `0..count`.
    fn filled(self, count: u64) -> Self
    where
        Self: Sized,
    {
        (0..count).for_each(|id| self.insert(id));
        self.settle();
        self
    }
}

pub(super) fn pool(capacity: u64, time_to_live: Option<Duration>) -> Pool<Thing> {
    let mut builder = Pool::builder().capacity_entries(capacity);
    if let Some(time) = time_to_live {
        builder = builder.time_to_live(time);
    }
    builder.build().expect("these are good options")
}

pub(super) fn quick(capacity: u64) -> Quick {
    Quick::new(number(capacity))
}

pub(super) fn moka(capacity: u64, time_to_live: Option<Duration>) -> Moka {
    let mut builder = moka::sync::Cache::builder()
        .max_capacity(capacity)
        .initial_capacity(number(capacity));
    if let Some(time) = time_to_live {
        builder = builder.time_to_live(time);
    }
    builder.build_with_hasher(DefaultHashBuilder::default())
}

pub(super) fn papaya(capacity: u64) -> Papaya {
    Papaya::with_capacity_and_hasher(number(capacity), DefaultHashBuilder::default())
}

/// sassi: no sweep in the background, no metrics, no second tier.
pub(super) fn sassi(capacity: u64, time_to_live: Option<Duration>) -> Punnu<Thing> {
    let config = PunnuConfig {
        lru_size: number(capacity),
        default_ttl: time_to_live,
        ..PunnuConfig::default()
    };
    Punnu::builder().config(config).build()
}

/// A plain map, for one thread: the floor.
pub(super) fn map<S: BuildHasher + Default>(count: u64) -> HashMap<u64, Arc<Thing>, S> {
    (0..count).map(|id| (id, Arc::new(Thing::new(id)))).collect()
}

pub(super) fn number(count: u64) -> usize {
    usize::try_from(count).expect("sizes are small")
}

impl Engine for Pool<Thing> {
    #[inline]
    fn get(&self, id: u64) -> Option<Arc<Thing>> {
        Pool::get(self, &id)
    }

    #[inline]
    fn insert(&self, id: u64) {
        let stored = Pool::insert(self, Thing::new(id));
        stored.expect("nothing refuses it");
    }

    fn count(&self) -> u64 {
        self.len() as u64
    }
}

impl Engine for Quick {
    #[inline]
    fn get(&self, id: u64) -> Option<Arc<Thing>> {
        Quick::get(self, &id)
    }

    #[inline]
    fn insert(&self, id: u64) {
        Quick::insert(self, id, Arc::new(Thing::new(id)));
    }

    fn count(&self) -> u64 {
        self.len() as u64
    }
}

impl Engine for Moka {
    #[inline]
    fn get(&self, id: u64) -> Option<Arc<Thing>> {
        Moka::get(self, &id)
    }

    #[inline]
    fn insert(&self, id: u64) {
        Moka::insert(self, id, Arc::new(Thing::new(id)));
    }

    fn settle(&self) {
        self.run_pending_tasks();
    }

    fn count(&self) -> u64 {
        self.entry_count()
    }
}

impl Engine for Papaya {
    #[inline]
    fn get(&self, id: u64) -> Option<Arc<Thing>> {
        self.pin().get(&id).cloned()
    }

    #[inline]
    fn insert(&self, id: u64) {
        self.pin().insert(id, Arc::new(Thing::new(id)));
    }

    fn count(&self) -> u64 {
        self.len() as u64
    }
}

impl Engine for Punnu<Thing> {
    #[inline]
    fn get(&self, id: u64) -> Option<Arc<Thing>> {
        Punnu::get(self, &id)
    }

    #[inline]
    fn insert(&self, id: u64) {
        let stored = Punnu::insert(self, Thing::new(id)).now_or_never();
        let stored = stored.expect("without a second tier it waits for nobody");
        stored.expect("nothing refuses it");
    }

    fn count(&self) -> u64 {
        self.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::ROOMY;
    use super::*;

    fn holds_all(engine: &impl Engine) {
        for id in 0..1_000 {
            assert_eq!(engine.get(id).as_deref(), Some(&Thing::new(id)));
        }
        assert_eq!((engine.count(), engine.get(1_000)), (1_000, None));
    }

    #[test]
    fn every_engine_holds_what_it_was_given() {
        assert_eq!(size_of::<Thing>(), 24);
        holds_all(&pool(ROOMY, None).filled(1_000));
        holds_all(&quick(ROOMY).filled(1_000));
        holds_all(&moka(ROOMY, None).filled(1_000));
        holds_all(&papaya(ROOMY).filled(1_000));
        holds_all(&sassi(ROOMY, None).filled(1_000));
    }

    #[test]
    fn full_engines_stay_within_their_capacity() {
        let pool = pool(100, None).filled(1_000);
        let quick = quick(100).filled(1_000);
        let moka = moka(100, None).filled(1_000);
        let sassi = sassi(100, None).filled(1_000);
        let counts = [pool.count(), quick.count(), moka.count(), sassi.count()];
        assert!(counts.iter().all(|count| *count <= 100), "{counts:?}");
    }
}
