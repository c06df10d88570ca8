//! The outbox in a SQLite file.
//!
//! What is always true: there is one writer at a time, so the order of positions is the order of commits; a position
//! is given out inside the writing transaction, and comes back with it if it is rolled back.

mod ending;
mod epoch;
mod groups;
mod nodes;
mod purge;
mod record;
mod schema;
mod source;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use larder_core::{AsOf, BoxFuture, Entropy, Epoch, Invalidation, Position, Source, SourceError, SourceId};
use sqlx::pool::PoolConnection;
use sqlx::{
    AssertSqlSafe, Connection as _, Row as _, SqlSafeStr as _, Sqlite, SqliteConnection, SqlitePool,
    Transaction,
};

use self::schema::NOW_MICROS;
use self::source::SqliteSource;
use crate::database::{Backend, Database};
use crate::error::{ConfigError, ConfigFault};
use crate::hints::Hints;
use crate::names::Names;
use crate::record::{Ended, Given, Identity, Writing, Written};
use crate::retention::{PurgeReport, Retention};
use crate::{Error, Nodes, Outbox, OutboxStore};

impl Database for Sqlite {}

impl Backend for Sqlite {
    fn migration(names: &Names) -> Vec<String> {
        schema::statements(names)
    }

    fn migrate<'a>(
        pool: &'a SqlitePool,
        names: &'a Names,
        entropy: &'a dyn Entropy,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            check_database(pool).await?;
            schema::migrate(pool, names, entropy.next_u64(), entropy.next_u64()).await
        })
    }

    fn open<'a>(pool: &'a SqlitePool, names: &'a Names) -> BoxFuture<'a, Result<Identity, Error>> {
        Box::pin(open(pool, names))
    }

    fn register<'a>(
        pool: &'a SqlitePool,
        names: &'a Names,
        node: &'a str,
        run: u64,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let mut connection = acquire(pool).await.map_err(failed)?;
            register(&mut connection, names, node, run).await
        })
    }

    fn begin(pool: &SqlitePool) -> BoxFuture<'_, Result<Transaction<'static, Sqlite>, sqlx::Error>> {
        Box::pin(begin(pool, "BEGIN IMMEDIATE"))
    }

    fn give<'a>(
        connection: &'a mut SqliteConnection,
        names: &'a Names,
        source: SourceId,
    ) -> BoxFuture<'a, Result<Given, Error>> {
        Box::pin(record::give(connection, names, source))
    }

    fn record<'a>(
        connection: &'a mut SqliteConnection,
        writing: Writing<'a>,
    ) -> BoxFuture<'a, Result<Written, Error>> {
        Box::pin(async move { record::record(connection, &writing).await })
    }

    fn end<'a>(
        connection: &'a mut SqliteConnection,
        writing: Writing<'a>,
        given: Given,
    ) -> BoxFuture<'a, Ended> {
        Box::pin(async move { ending::end(connection, &writing, given).await })
    }

    fn failed(error: sqlx::Error) -> Error {
        failed(error)
    }

    fn is_certainly_rolled_back(error: &sqlx::Error) -> bool {
        is_certainly_rolled_back(error)
    }

    fn counter<'a>(
        connection: &'a mut SqliteConnection,
        names: &'a Names,
    ) -> BoxFuture<'a, Result<Position, sqlx::Error>> {
        Box::pin(record::counter(connection, names))
    }

    fn changes(connection: &mut SqliteConnection) -> BoxFuture<'_, Result<i64, sqlx::Error>> {
        Box::pin(record::changes(connection))
    }

    fn since<'a>(
        connection: &'a mut SqliteConnection,
        names: &'a Names,
        before: Position,
    ) -> BoxFuture<'a, Result<Vec<Invalidation>, sqlx::Error>> {
        Box::pin(record::since(connection, names, before))
    }

    fn bound(source: SourceId, epoch: Epoch, position: Position) -> Option<AsOf> {
        Some(AsOf::new(source, epoch, position.get()))
    }

    fn renew<'a>(
        pool: &'a SqlitePool,
        names: &'a Names,
        identity: Identity,
        entropy: &'a dyn Entropy,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(epoch::renew(pool, names, identity.epoch, entropy))
    }

    fn purge<'a>(
        pool: &'a SqlitePool,
        names: &'a Names,
        retention: Retention,
    ) -> BoxFuture<'a, Result<PurgeReport, Error>> {
        Box::pin(async move { purge::purge(pool, names, &retention).await })
    }

    fn source(
        pool: SqlitePool,
        names: Names,
        identity: Identity,
        hints: Arc<Hints>,
        entropy: Arc<dyn Entropy>,
    ) -> Arc<dyn Source> {
        Arc::new(SqliteSource {
            pool,
            names,
            id: identity.source,
            hints,
            entropy,
            watch: watch::Watch::default(),
        })
    }

    fn files(pool: &SqlitePool) -> BoxFuture<'_, Result<Vec<PathBuf>, sqlx::Error>> {
        Box::pin(files(pool))
    }

    fn weaknesses(pool: &SqlitePool) -> BoxFuture<'_, Result<Vec<String>, sqlx::Error>> {
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
                .fetch_one(&mut *connection)
                .await?;
            let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
                .fetch_one(&mut *connection)
                .await?;
            let mut weaknesses = Vec::new();
            // A private database in memory has a journal of its own, and nothing that could be lost later than itself.
            if !journal.eq_ignore_ascii_case("wal") && !journal.eq_ignore_ascii_case("memory") {
                weaknesses.push(format!("journal_mode is {journal}: readers wait for writers"));
            }
            if synchronous == 0 {
                weaknesses
                    .push("synchronous is OFF: a crash of the machine may damage the database".to_owned());
            }
            Ok(weaknesses)
        })
    }

    fn nodes(pool: SqlitePool, names: Names) -> Arc<dyn Nodes> {
        Arc::new(nodes::SqliteNodes { pool, names })
    }

    fn store(outbox: Outbox<Sqlite>) -> Arc<dyn OutboxStore> {
        Arc::new(groups::SqliteStore::new(outbox))
    }
}

/// Which log this is.
async fn open(pool: &SqlitePool, names: &Names) -> Result<Identity, Error> {
    check_database(pool).await?;
    let mut connection = acquire(pool).await.map_err(failed)?;
    let meta = schema::meta(&mut connection, names).await?;
    schema::check_version(meta.version)?;
    Ok(Identity {
        source: SourceId::new(meta.source),
        epoch: Epoch::new(meta.epoch),
    })
}

/// A transaction on a connection that is in none.
async fn begin(
    pool: &SqlitePool,
    statement: &'static str,
) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    let connection = acquire(pool).await?;
    Transaction::begin(connection, Some(statement.into_sql_str())).await
}

/// A connection that is in no transaction.
///
/// SQLite ends a transaction by itself where somebody said `OR ROLLBACK`, and sqlx goes on to count it. On such a connection a
/// snapshot would become a savepoint that nothing ever ends: it would read the same for ever. So it is closed. One that is the
/// only one of a database in memory cannot be: what is begun on it fails, and says so.
async fn acquire(pool: &SqlitePool) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
    loop {
        let mut connection = pool.acquire().await?;
        if connection.is_in_transaction() {
            // What was under way when it came back to the pool is done after this.
            connection.ping().await?;
        }
        if !connection.is_in_transaction() || is_in_memory(pool) {
            return Ok(connection);
        }
        tracing::warn!("a connection came from the pool within a transaction, and is closed");
        connection.close().await?;
    }
}

fn is_in_memory(pool: &SqlitePool) -> bool {
    let options = pool.connect_options();
    let file = options.get_filename().to_string_lossy();
    file.is_empty() || file.contains(":memory:") || file.starts_with("file:sqlx-in-memory")
}

/// The write-ahead log, and the file itself, to which commits write where there is no such log: which it is may change.
async fn files(pool: &SqlitePool) -> Result<Vec<PathBuf>, sqlx::Error> {
    if is_in_memory(pool) {
        return Ok(Vec::new());
    }
    let mut connection = pool.acquire().await?;
    let main = "SELECT file FROM pragma_database_list WHERE name = 'main'";
    let file: String = sqlx::query_scalar(main).fetch_one(&mut *connection).await?;
    Ok(vec![PathBuf::from(format!("{file}-wal")), PathBuf::from(file)])
}

/// Texts are compared as bytes, so they must be UTF-8. Every connection to a private database in memory has a database of its own, so there must be only one.
async fn check_database(pool: &SqlitePool) -> Result<(), Error> {
    let connections = pool.options().get_max_connections();
    let lifetime = pool
        .options()
        .get_max_lifetime()
        .or(pool.options().get_idle_timeout());
    let mut connection = pool.acquire().await.map_err(failed)?;
    let encoding: String = sqlx::query_scalar("PRAGMA encoding")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if encoding != "UTF-8" {
        return Err(ConfigError::of(vec![ConfigFault {
            option: "pool",
            given: format!("a database in {encoding}"),
            allowed: "a database in UTF-8".to_owned(),
        }]));
    }
    if connections == 1 && lifetime.is_none() {
        return Ok(());
    }
    let file: Option<String> = sqlx::query("SELECT file FROM pragma_database_list WHERE name = 'main'")
        .fetch_one(&mut *connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    if file.is_some_and(|file| !file.is_empty()) {
        return Ok(());
    }
    Err(ConfigError::of(vec![ConfigFault {
        option: "pool",
        given: format!("a database in memory on {connections} connections"),
        allowed: "one connection without `max_lifetime` and `idle_timeout`, or a file".to_owned(),
    }]))
}

/// Makes this process known, so that its rows can carry it.
async fn register(
    connection: &mut SqliteConnection,
    names: &Names,
    node: &str,
    run: u64,
) -> Result<(), Error> {
    let sql = format!(
        "INSERT OR IGNORE INTO {}node (node, run, seen_at) VALUES (?1, ?2, {NOW_MICROS})",
        names.prefix()
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(node)
        .bind(signed(run))
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed)
}

/// Whether a failed commit has certainly changed nothing: somebody else was in the way, a constraint was broken, or the disk
/// was full before anything was written that counts.
fn is_certainly_rolled_back(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(5 | 6 | 8 | 13 | 19))
}

/// What the database said, in the outbox's words.
fn failed(error: sqlx::Error) -> Error {
    match primary_code(&error) {
        Some(5 | 6) => Error::Busy(error),
        Some(8) => Error::ReadOnly(error),
        Some(1) if is_missing_table(&error) => Error::SchemaMissing,
        _ => Error::Database(error),
    }
}

fn source_failed(source: SourceId, error: Error) -> SourceError {
    SourceError::new(source, error)
}

/// SQLite's result code, without what extends it.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xFF)
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    let message = error.as_database_error().map(|error| error.message());
    message.is_some_and(|message| message.starts_with("no such table"))
}

/// SQLite's integers are signed: the same 64 bits.
fn signed(number: u64) -> i64 {
    number.cast_signed()
}

fn unsigned(number: i64) -> u64 {
    number.cast_unsigned()
}
