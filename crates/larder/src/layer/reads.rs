//! [`ReadAt`]: reads that are never older than a token.

use std::borrow::Borrow;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use larder_core::Token;
use larder_pool::{AnyError, Entity, FetchError, FetchOptions, Fetched, LoadContext, Loaded, Pool, ToId};

use super::Layer;
use super::limits::WAIT_AT_MOST;
use super::tasks::Stop;
use crate::Error;

/// Reads through a layer that are never older than a token: from memory once this node has applied it, else from the origin.
#[derive(Clone, Debug)]
#[must_use = "read something with it"]
pub struct ReadAt<'l> {
    layer: &'l Layer,
    token: Token,
    wait_at_most: Duration,
}

impl<'l> ReadAt<'l> {
    pub(super) fn new(layer: &'l Layer, token: Token) -> Self {
        ReadAt {
            layer,
            token,
            wait_at_most: WAIT_AT_MOST,
        }
    }

    /// How long a read waits for this node before it goes to the origin. Default: 100 ms.
    pub fn wait_at_most(mut self, time: Duration) -> Self {
        self.wait_at_most = time;
        self
    }

    /// The pool of a type.
    ///
    /// # Errors
    /// [`Error::NoSuchPool`].
    pub fn pool<T: Entity>(&self) -> Result<PoolAt<T>, Error> {
        Ok(self.of(self.layer.pool()?))
    }

    /// The pool of a type that was given under a label.
    ///
    /// # Errors
    /// [`Error::NoSuchPool`].
    pub fn pool_as<T: Entity>(&self, label: &str) -> Result<PoolAt<T>, Error> {
        Ok(self.of(self.layer.pool_as(label)?))
    }

    fn of<T: Entity>(&self, pool: Pool<T>) -> PoolAt<T> {
        PoolAt {
            pool,
            options: FetchOptions::new()
                .at_least(self.token.clone())
                .wait_at_most(self.wait_at_most),
            stop: self.layer.shared.tasks.stop_signal(),
        }
    }
}

/// A pool, read never older than a token.
#[must_use = "read something with it"]
pub struct PoolAt<T: Entity> {
    pool: Pool<T>,
    options: FetchOptions,
    /// The layer is being shut down, or is gone.
    stop: Stop,
}

impl<T: Entity> PoolAt<T> {
    /// The value of an id, by the pool's own loader where it must be loaded; `None` if the origin has no such entity.
    ///
    /// # Errors
    /// [`FetchError`]; [`FetchError::NoLoader`] if the pool was built without one, [`FetchError::Stopped`] once the layer is being shut down or is gone.
    pub async fn fetch<Q>(&self, id: &Q) -> Result<Option<Arc<T>>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
    {
        Ok(self.fetched(id).await?.value)
    }

    /// [`PoolAt::fetch`], with what is known about the answer.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetched<Q>(&self, id: &Q) -> Result<Fetched<T>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
    {
        self.unless_stopped(self.pool.fetch_with(id, self.options.clone()))
            .await
    }

    /// Whatever waits ends with the layer.
    async fn unless_stopped(
        &self,
        fetch: impl Future<Output = Result<Fetched<T>, FetchError>>,
    ) -> Result<Fetched<T>, FetchError> {
        match select(pin!(fetch), pin!(self.stop.clone().stopped())).await {
            Either::Left((fetched, _)) => fetched,
            Either::Right(_) => Err(FetchError::Stopped),
        }
    }

    /// The value of an id, or what `load` brings for it.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn get_or_fetch<Q, L, F, V, E>(&self, id: &Q, load: L) -> Result<Option<Arc<T>>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
        L: FnOnce(LoadContext<T>) -> F,
        F: Future<Output = Result<V, E>> + Send + 'static,
        V: Into<Loaded<T>> + 'static,
        E: Into<Box<AnyError>> + 'static,
    {
        let fetched = self.pool.get_or_fetch_with(id, self.options.clone(), load);
        Ok(self.unless_stopped(fetched).await?.value)
    }
}

impl<T: Entity> std::fmt::Debug for PoolAt<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolAt")
            .field("entity", &T::name())
            .finish_non_exhaustive()
    }
}
