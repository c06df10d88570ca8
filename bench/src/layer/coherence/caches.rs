//! The caches of one node, each used as its documentation says: a read gives what is kept or loads it, once for all who ask at the same time; a writer
//! invalidates after the commit. None has a time to live: it would bound every wrong answer by time, which no scenario here is long enough to show.
//!
//! - *Larder*: a pool of a layer, [`larder::Pool::fetch`] and [`larder::Layer::invalidate`] on this node.
//! - *moka*: the future cache, `try_get_with` and `invalidate`. Its pages do not say what `invalidate` means to a load that is under way; it ends only
//!   what is there.
//! - *foyer* (its crate for memory, `foyer-memory`): `get_or_fetch` and `remove`. The same.
//! - *quick_cache*: `get_or_insert_async` and `remove`. Who loads holds a guard; `remove` takes the guard's place away, so that what the load brings
//!   reaches those who waited since before and is not kept.
//! - *sassi*: `get_or_fetch` and `invalidate` with the reason of a save. What is removed is what is there.
//! - *HydraCache*: `get_or_load` with a tag of the row, and `invalidate_tag`. Invalidating counts up a generation of the tag; a load that began under
//!   an older one is returned and not kept. Whether it did is asked before the value is stored, and the key is entered under its tag after that, each
//!   under a lock of its own: an invalidation in between finds nothing to remove. On one thread that does not happen; on two it does.

use std::sync::Arc;

use async_trait::async_trait;
use hydracache::{CacheOptions, HydraCache, HydraCacheBuilder};
use larder::pool::{LoadContext, Loaded};
use larder::{AsOf, Entity, Epoch, Invalidations, Layer, LayerBuilder, Pool, Reach, SourceId};
use sassi::{Cacheable, InvalidationReason, Punnu, PunnuConfig};

use super::origin::{LoadError, Origin};
use super::{Fault, Subject};

/// Room for every row of every scenario, and more: nothing is evicted.
const ROOM: u64 = 65_536;

/// What is kept of a row.
#[derive(Clone, Debug, Entity)]
#[entity(name = "counter")]
pub(super) struct Counter {
    id: u64,
    version: u64,
}

impl Cacheable for Counter {
    type Id = u64;
    type Fields = ();

    fn id(&self) -> u64 {
        self.id
    }

    fn fields() {}
}

/// A cache of one node.
#[async_trait]
pub(super) trait Cache: Send + Sync {
    /// The version of a row.
    async fn read(&self, row: u64) -> Result<u64, Fault>;

    /// The row was changed.
    async fn invalidate(&self, row: u64) -> Result<(), Fault>;
}

/// One of them, without another node.
pub(super) async fn cache(subject: Subject, origin: &Arc<Origin>) -> Result<Arc<dyn Cache>, Fault> {
    let origin = Arc::clone(origin);
    Ok(match subject {
        Subject::Larder => Arc::new(Larder::open(Layer::builder("alone"), origin, None).await?),
        Subject::Moka => Arc::new(Moka {
            cache: moka::future::Cache::new(ROOM),
            origin,
        }),
        Subject::Foyer => Arc::new(Foyer {
            cache: foyer_memory::CacheBuilder::new(usize::try_from(ROOM)?).build(),
            origin,
        }),
        Subject::QuickCache => Arc::new(QuickCache {
            cache: quick_cache::sync::Cache::new(usize::try_from(ROOM)?),
            origin,
        }),
        Subject::Sassi => Arc::new(Sassi::new(origin)?),
        Subject::HydraCache => Arc::new(Hydra {
            cache: hydra().build(),
            origin,
        }),
    })
}

pub(super) struct Larder {
    pub(super) layer: Layer,
    pool: Pool<Counter>,
}

impl Larder {
    /// A layer with a pool of counters beside what the builder has. What a copy brings is as old as it says, in the measure of this source.
    pub(super) async fn open(
        builder: LayerBuilder,
        origin: Arc<Origin>,
        copy_of: Option<(SourceId, Epoch)>,
    ) -> Result<Self, Fault> {
        let load = move |load: LoadContext<Counter>| {
            let origin = Arc::clone(&origin);
            async move {
                let brought = origin.load(load.id).await?;
                let version = brought.version;
                let loaded = Loaded::value(Counter { id: load.id, version });
                Ok::<_, LoadError>(match (copy_of, brought.as_of) {
                    (Some((source, epoch)), Some(point)) => loaded.as_of(AsOf::new(source, epoch, point)),
                    _ => loaded,
                })
            }
        };
        let pool = Pool::<Counter>::builder().capacity_entries(ROOM).loader(load);
        let layer = builder.pool(pool).open().await?;
        let pool = layer.pool()?;
        Ok(Larder { layer, pool })
    }
}

/// What ends a row.
pub(super) fn batch(row: u64) -> Result<Invalidations, Fault> {
    Ok(Invalidations::default().entity(Counter::name(), row)?)
}

#[async_trait]
impl Cache for Larder {
    async fn read(&self, row: u64) -> Result<u64, Fault> {
        let counter = self.pool.fetch(&row).await?;
        Ok(counter.ok_or("there is such a row")?.version)
    }

    async fn invalidate(&self, row: u64) -> Result<(), Fault> {
        let _ = self.layer.invalidate(&batch(row)?, Reach::ThisNode).await?;
        Ok(())
    }
}

struct Moka {
    cache: moka::future::Cache<u64, u64>,
    origin: Arc<Origin>,
}

#[async_trait]
impl Cache for Moka {
    async fn read(&self, row: u64) -> Result<u64, Fault> {
        let load = async { self.origin.load(row).await.map(|brought| brought.version) };
        Ok(self.cache.try_get_with(row, load).await?)
    }

    async fn invalidate(&self, row: u64) -> Result<(), Fault> {
        self.cache.invalidate(&row).await;
        Ok(())
    }
}

struct Foyer {
    cache: foyer_memory::Cache<u64, u64>,
    origin: Arc<Origin>,
}

#[async_trait]
impl Cache for Foyer {
    async fn read(&self, row: u64) -> Result<u64, Fault> {
        let origin = Arc::clone(&self.origin);
        let load = move || async move { origin.load(row).await.map(|brought| brought.version) };
        Ok(*self.cache.get_or_fetch(&row, load).await?.value())
    }

    async fn invalidate(&self, row: u64) -> Result<(), Fault> {
        self.cache.remove(&row);
        Ok(())
    }
}

struct QuickCache {
    cache: quick_cache::sync::Cache<u64, u64>,
    origin: Arc<Origin>,
}

#[async_trait]
impl Cache for QuickCache {
    async fn read(&self, row: u64) -> Result<u64, Fault> {
        let load = async { self.origin.load(row).await.map(|brought| brought.version) };
        Ok(self.cache.get_or_insert_async(&row, load).await?)
    }

    async fn invalidate(&self, row: u64) -> Result<(), Fault> {
        self.cache.remove(&row);
        Ok(())
    }
}

struct Sassi {
    cache: Punnu<Counter>,
    origin: Arc<Origin>,
}

impl Sassi {
    fn new(origin: Arc<Origin>) -> Result<Self, Fault> {
        let config = PunnuConfig {
            lru_size: usize::try_from(ROOM)?,
            ..PunnuConfig::default()
        };
        let cache = Punnu::builder().config(config).build();
        Ok(Sassi { cache, origin })
    }
}

#[async_trait]
impl Cache for Sassi {
    async fn read(&self, row: u64) -> Result<u64, Fault> {
        let origin = Arc::clone(&self.origin);
        let load = move |id| async move {
            let brought = origin.load(id).await;
            let brought = brought.map_err(|error| sassi::FetchError::Custom(Box::new(error)))?;
            let version = brought.version;
            Ok(Some(Counter { id, version }))
        };
        let counter = self.cache.get_or_fetch(&row, load).await?;
        Ok(counter.ok_or("there is such a row")?.version)
    }

    async fn invalidate(&self, row: u64) -> Result<(), Fault> {
        self.cache.invalidate(&row, InvalidationReason::OnSave).await?;
        Ok(())
    }
}

/// A cache of HydraCache that may be given a bus.
pub(super) fn hydra() -> HydraCacheBuilder {
    HydraCache::local().max_capacity(ROOM)
}

pub(super) struct Hydra {
    pub(super) cache: HydraCache,
    pub(super) origin: Arc<Origin>,
}

/// The tag that HydraCache's outbox makes of an entity, and the key of its only entry.
pub(super) fn tag(row: u64) -> String {
    let intent = hydracache_db::InvalidationIntent::entity("counter", row.to_string());
    let invalidation = intent.to_cache_invalidation();
    invalidation.tag_value().unwrap_or_default().to_owned()
}

#[async_trait]
impl Cache for Hydra {
    async fn read(&self, row: u64) -> Result<u64, Fault> {
        let origin = Arc::clone(&self.origin);
        let load = move || async move { origin.load(row).await.map(|brought| brought.version) };
        let key = tag(row);
        Ok(self
            .cache
            .get_or_load(&key, CacheOptions::new().tag(&key), load)
            .await?)
    }

    async fn invalidate(&self, row: u64) -> Result<(), Fault> {
        self.cache.invalidate_tag(&tag(row)).await?;
        Ok(())
    }
}
