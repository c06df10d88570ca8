//! [`Database`]: the databases in which an outbox can lie.

use larder_core::{AsOf, BoxFuture, Entropy, Epoch, Invalidation, Position, Source, SourceId};
use sqlx::{Pool, Transaction};
use std::path::PathBuf;
use std::sync::Arc;

use crate::hints::Hints;
use crate::names::Names;
use crate::record::{Ended, Given, Identity, Writing, Written};
use crate::{Error, Nodes, Outbox, OutboxStore, PurgeReport, Retention};

/// A database in which an outbox can lie: `sqlx::Sqlite`. Only Larder implements it.
pub trait Database: Backend {}

/// What an outbox needs of its database.
pub trait Backend: sqlx::Database {
    #[doc(hidden)]
    fn migration(names: &Names) -> Vec<String>;
    #[doc(hidden)]
    fn migrate<'a>(
        pool: &'a Pool<Self>,
        names: &'a Names,
        entropy: &'a dyn Entropy,
    ) -> BoxFuture<'a, Result<(), Error>>;
    #[doc(hidden)]
    fn open<'a>(pool: &'a Pool<Self>, names: &'a Names) -> BoxFuture<'a, Result<Identity, Error>>;
    #[doc(hidden)]
    fn register<'a>(
        pool: &'a Pool<Self>,
        names: &'a Names,
        node: &'a str,
        run: u64,
    ) -> BoxFuture<'a, Result<(), Error>>;
    #[doc(hidden)]
    fn begin(pool: &Pool<Self>) -> BoxFuture<'_, Result<Transaction<'static, Self>, sqlx::Error>>;
    /// Gives this transaction a position.
    #[doc(hidden)]
    fn give<'a>(
        connection: &'a mut Self::Connection,
        names: &'a Names,
        source: SourceId,
    ) -> BoxFuture<'a, Result<Given, Error>>;
    #[doc(hidden)]
    fn record<'a>(
        connection: &'a mut Self::Connection,
        writing: Writing<'a>,
    ) -> BoxFuture<'a, Result<Written, Error>>;
    /// Writes a batch, which may be empty, at the position that was given, asks what triggers have recorded since, and commits: all of it sent
    /// together. The connection is within another transaction then, which changes nothing, for sqlx to end. At most [`TARGETS_A_STATEMENT`](crate::limits) targets.
    #[doc(hidden)]
    fn end<'a>(
        connection: &'a mut Self::Connection,
        writing: Writing<'a>,
        given: Given,
    ) -> BoxFuture<'a, Ended>;
    #[doc(hidden)]
    fn failed(error: sqlx::Error) -> Error;
    #[doc(hidden)]
    fn is_certainly_rolled_back(error: &sqlx::Error) -> bool;
    /// The last position that was given out, as this transaction sees it.
    #[doc(hidden)]
    fn counter<'a>(
        connection: &'a mut Self::Connection,
        names: &'a Names,
    ) -> BoxFuture<'a, Result<Position, sqlx::Error>>;
    /// How many rows this connection has changed since it was opened.
    #[doc(hidden)]
    fn changes(connection: &mut Self::Connection) -> BoxFuture<'_, Result<i64, sqlx::Error>>;
    /// Everything that was recorded above a position, by whoever.
    #[doc(hidden)]
    fn since<'a>(
        connection: &'a mut Self::Connection,
        names: &'a Names,
        before: Position,
    ) -> BoxFuture<'a, Result<Vec<Invalidation>, sqlx::Error>>;
    /// A point that certainly includes a commit, where that is known when it returns.
    #[doc(hidden)]
    fn bound(source: SourceId, epoch: Epoch, position: Position) -> Option<AsOf>;
    #[doc(hidden)]
    fn renew<'a>(
        pool: &'a Pool<Self>,
        names: &'a Names,
        identity: Identity,
        entropy: &'a dyn Entropy,
    ) -> BoxFuture<'a, Result<(), Error>>;
    #[doc(hidden)]
    fn purge<'a>(
        pool: &'a Pool<Self>,
        names: &'a Names,
        retention: Retention,
    ) -> BoxFuture<'a, Result<PurgeReport, Error>>;
    #[doc(hidden)]
    fn source(
        pool: Pool<Self>,
        names: Names,
        identity: Identity,
        hints: Arc<Hints>,
        entropy: Arc<dyn Entropy>,
    ) -> Arc<dyn Source>;
    /// What of the database's settings makes it lose what was acknowledged, or slow, in words.
    #[doc(hidden)]
    fn weaknesses(pool: &Pool<Self>) -> BoxFuture<'_, Result<Vec<String>, sqlx::Error>>;
    /// The files that a commit writes to, if it is known which.
    #[doc(hidden)]
    fn files(pool: &Pool<Self>) -> BoxFuture<'_, Result<Vec<PathBuf>, sqlx::Error>>;
    #[doc(hidden)]
    fn nodes(pool: Pool<Self>, names: Names) -> Arc<dyn Nodes>;
    #[doc(hidden)]
    fn store(outbox: Outbox<Self>) -> Arc<dyn OutboxStore>
    where
        Self: Database;
}
