//! Parts of a layer without their types: pools, outboxes, and what is followed.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

use larder_core::sync::AtomicU64;
use larder_core::{BoxFuture, Head, Invalidations, SourceError, SourceId, Token};
use larder_outbox::{Database, Error, FileHints, Follower, FollowerHandle, Health, HealthPolicy, Outbox};
use larder_pool::{Entity, Pool};

/// A pool of whatever type.
pub(super) trait LayerPool: Send + Sync {
    fn describe(&self) -> String;
    /// Refuses loads from here on, and ends what goes on by itself.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}

impl<T: Entity> LayerPool for Pool<T> {
    fn describe(&self) -> String {
        format!("pool {}", T::name())
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.refuse_loads();
        Box::pin(Pool::shutdown(self))
    }
}

/// An outbox in whatever database.
pub(super) trait Log: fmt::Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn database(&self) -> TypeId;
    fn head(&self) -> BoxFuture<'_, Result<Head, SourceError>>;
    fn file_hints(&self) -> BoxFuture<'_, Result<Option<FileHints>, Error>>;
    fn record_alone<'a>(&'a self, batch: &'a Invalidations) -> BoxFuture<'a, Result<Token, Error>>;
    /// What of the database's settings is not as it should be.
    fn weaknesses(&self) -> BoxFuture<'_, Result<Vec<String>, Error>>;
    fn health(&self) -> BoxFuture<'_, Result<Health, Error>>;
}

impl<D: Database> Log for Outbox<D> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn database(&self) -> TypeId {
        TypeId::of::<D>()
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, SourceError>> {
        Box::pin(Outbox::head(self))
    }

    fn file_hints(&self) -> BoxFuture<'_, Result<Option<FileHints>, Error>> {
        Box::pin(Outbox::file_hints(self))
    }

    fn record_alone<'a>(&'a self, batch: &'a Invalidations) -> BoxFuture<'a, Result<Token, Error>> {
        Box::pin(Outbox::record_alone(self, batch))
    }

    fn weaknesses(&self) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        Box::pin(Outbox::weaknesses(self))
    }

    fn health(&self) -> BoxFuture<'_, Result<Health, Error>> {
        Box::pin(async move { Outbox::health(self, &HealthPolicy::default()).await })
    }
}

/// A source that this node follows.
pub(super) struct Followed {
    pub(super) source: SourceId,
    pub(super) handle: FollowerHandle,
    /// How many reads found what was kept not to be relied on, while this was not live.
    pub(super) affected_reads: AtomicU64,
    /// Kept after its task has ended: as long as there is a layer, its own commits are applied here.
    pub(super) _follower: Arc<tokio::sync::Mutex<Follower>>,
}
