//! The two caches, each used as its documentation says: a read loads what it misses, once for all who ask at the same time;
//! a writer invalidates what it has committed.

use crate::Fault;
use crate::shop::{Product, Shop};
use larder::pool::{FetchError, Reason};
use larder::{Pool, Tag};
use std::future::Future;
use std::sync::Arc;
use thiserror::Error;

/// What keeps products in memory.
pub(crate) trait Engine: Send + Sync + Sized + 'static {
    const NAME: &str;

    /// An engine with room for `capacity` products.
    fn build(shop: Arc<Shop>, capacity: u64) -> Result<Self, Fault>;

    /// The product, from memory or loaded.
    fn read(&self, id: u32) -> impl Future<Output = Result<Arc<Product>, ReadError>> + Send;

    /// The product was changed: called after the commit.
    fn invalidate(&self, id: u32) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Every product of the category was changed: called after the commit.
    fn invalidate_category(&self, category: u32) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Why there is no product.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("read product {0} through Larder")]
    Larder(u32, #[source] FetchError),
    #[error("read product {0} through moka")]
    Moka(u32, #[source] Arc<LoadError>),
    #[error("product {0} is not in the table")]
    Missing(u32),
}

/// Why a load brought no product to moka.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    #[error("query the row")]
    Query(#[from] sqlx::Error),
    #[error("no such row")]
    Missing,
}

/// A pool of Larder.
pub(crate) struct LarderEngine {
    shop: Arc<Shop>,
    pool: Pool<Product>,
}

impl Engine for LarderEngine {
    const NAME: &str = "larder";

    fn build(shop: Arc<Shop>, capacity: u64) -> Result<Self, Fault> {
        let pool = Pool::builder().capacity_entries(capacity).build()?;
        Ok(LarderEngine { shop, pool })
    }

    async fn read(&self, id: u32) -> Result<Arc<Product>, ReadError> {
        let load = |_| {
            let shop = Arc::clone(&self.shop);
            async move { shop.load(id).await }
        };
        let read = self.pool.get_or_fetch(&id, load).await;
        read.map_err(|error| ReadError::Larder(id, error))?
            .ok_or(ReadError::Missing(id))
    }

    async fn invalidate(&self, id: u32) -> Result<(), Fault> {
        self.pool.invalidate(&id, Reason::Saved);
        Ok(())
    }

    async fn invalidate_category(&self, category: u32) -> Result<(), Fault> {
        self.pool
            .invalidate_tag(&Tag::new(format!("category:{category}"))?);
        Ok(())
    }
}

/// The future cache of moka. What is invalidated by category it has no tags for, but a predicate.
pub(crate) struct MokaEngine {
    shop: Arc<Shop>,
    cache: moka::future::Cache<u32, Arc<Product>>,
}

impl Engine for MokaEngine {
    const NAME: &str = "moka";

    fn build(shop: Arc<Shop>, capacity: u64) -> Result<Self, Fault> {
        let cache = moka::future::Cache::builder()
            .max_capacity(capacity)
            .support_invalidation_closures()
            .build();
        Ok(MokaEngine { shop, cache })
    }

    async fn read(&self, id: u32) -> Result<Arc<Product>, ReadError> {
        let load = async {
            let product = self.shop.load(id).await?;
            product.map(Arc::new).ok_or(LoadError::Missing)
        };
        let read = self.cache.try_get_with(id, load).await;
        read.map_err(|error| ReadError::Moka(id, error))
    }

    async fn invalidate(&self, id: u32) -> Result<(), Fault> {
        self.cache.invalidate(&id).await;
        Ok(())
    }

    async fn invalidate_category(&self, category: u32) -> Result<(), Fault> {
        self.cache
            .invalidate_entries_if(move |_, product| product.category == category)?;
        Ok(())
    }
}
