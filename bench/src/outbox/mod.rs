//! The outbox over SQLite beside what is written by hand: the benchmarks of the outbox's contract, section 19, with its targets,
//! as far as the outbox stands.
//!
//! Always true: every subject has a database file of its own, in write-ahead mode with `synchronous = NORMAL`, and one task; in
//! `lag` they share the file, and the commits in it.
//! *Poller* is what services write by hand: a serial id, a body in JSON, `WHERE id > cursor`; *queue* is the other thing that
//! they write, rows with a state that are claimed. HydraCache's outbox is over the same SQLite, in the same process.

mod bytes;
mod drain;
mod follow;
mod hydracache;
mod lag;
mod old_snapshot;
mod queue;
mod record;
mod status;
mod wait;

use std::error::Error;
use std::fmt::Display;
use std::path::Path;

use larder_core::Invalidations;
use larder_outbox::Outbox;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

pub use bytes::bytes;
pub use drain::drain;
pub use follow::follow;
pub(crate) use hydracache::HydraCacheOutbox;
pub use lag::lag;
pub use old_snapshot::old_snapshot;
pub use record::record;
pub(crate) use record::{UPDATE, plain, poller};
pub use status::status;
pub use wait::wait;

use crate::Outcome;
use crate::{Measured, Report, Row, Target};

/// The database's name in its folder.
pub(crate) const FILE: &str = "bench.db";

/// A database in a folder that goes with it.
pub(crate) struct Database {
    pub(crate) folder: TempDir,
    pub(crate) pool: SqlitePool,
}

impl Database {
    pub(crate) async fn new() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let pool = SqlitePoolOptions::new()
            .max_connections(3)
            .connect_with(options(&folder.path().join(FILE)))
            .await?;
        sqlx::query("CREATE TABLE accounts (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)")
            .execute(&pool)
            .await?;
        sqlx::query("INSERT INTO accounts VALUES (1, 0)")
            .execute(&pool)
            .await?;
        sqlx::query("CREATE TABLE poller (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL)")
            .execute(&pool)
            .await?;
        Ok(Database { folder, pool })
    }

    /// The outbox in it, whose tables are made if they are not there.
    async fn outbox(&self) -> Result<Outbox<Sqlite>, larder_outbox::Error> {
        let builder = Outbox::builder(self.pool.clone());
        builder.migrate().await?;
        builder.open().await
    }

    /// How many bytes the pages of a table and of its indexes take up.
    async fn bytes_of(&self, table: &str) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(BYTES).bind(table).fetch_one(&self.pool).await
    }

    /// Closes and removes it, so that what SQLite writes on closing falls into nobody's time.
    async fn close(self) {
        self.pool.close().await;
    }
}

/// An index has a name of its own in `dbstat`; the schema knows whose it is.
const BYTES: &str = "SELECT coalesce(sum(pgsize), 0) FROM dbstat
    WHERE name IN (SELECT name FROM sqlite_schema WHERE tbl_name = ?)";

pub(crate) fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_time().build()
}

/// The body that the poller writes for one target.
fn body(entity: &str, id: impl Display) -> String {
    format!(r#"{{"namespace":"default","kind":"entity","name":"{entity}","id":"{id}"}}"#)
}

/// Commits that are recorded in one transaction, so that a backlog is made soon.
const COMMITS_AT_ONCE: u64 = 1_000;

/// So many commits of two targets each, in the outbox and in the poller's table.
async fn backlog(
    database: &Database,
    commits: u64,
    targets: impl Fn(u64) -> [(&'static str, u64); 2],
) -> Result<Outbox<Sqlite>, Box<dyn Error>> {
    let outbox = database.outbox().await?;
    add_backlog(database, &outbox, commits, targets).await?;
    Ok(outbox)
}

/// So many more.
async fn add_backlog(
    database: &Database,
    outbox: &Outbox<Sqlite>,
    commits: u64,
    targets: impl Fn(u64) -> [(&'static str, u64); 2],
) -> Outcome {
    for first in (0..commits).step_by(usize::try_from(COMMITS_AT_ONCE)?) {
        let mut transaction = database.pool.begin_with("BEGIN IMMEDIATE").await?;
        for commit in first..commits.min(first + COMMITS_AT_ONCE) {
            let [(one, of_one), (other, of_other)] = targets(commit);
            let batch = Invalidations::default()
                .entity(one, of_one)?
                .entity(other, of_other)?;
            let _ = outbox.record(&mut transaction, &batch).await?;
            sqlx::query("INSERT INTO poller (body) VALUES (?), (?)")
                .bind(body(one, of_one))
                .bind(body(other, of_other))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
    }
    Ok(())
}

/// Rows that [`add_rows`] records in one transaction.
const ROWS_AT_ONCE: u64 = 100_000;

/// Commits of one row each, through the view that others record through: a position each.
const RECORD: &str =
    "WITH RECURSIVE number(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < ?2)
    INSERT INTO larder_record (kind, name, id) SELECT 'entity', 'account', n FROM number";

/// So many commits of one row each, in the outbox alone: much faster than a backlog.
async fn add_rows(database: &Database, rows: u64) -> Outcome {
    for first in (0..rows).step_by(usize::try_from(ROWS_AT_ONCE)?) {
        sqlx::query(RECORD)
            .bind(i64::try_from(first)?)
            .bind(i64::try_from(rows.min(first + ROWS_AT_ONCE))?)
            .execute(&database.pool)
            .await?;
    }
    Ok(())
}

/// A row for each peer: how many a second, beside how many the peer does.
fn throughput(
    report: Report,
    benchmark: &'static str,
    case: &str,
    measured: &[Measured],
    targets: &[(&str, Target)],
) -> std::io::Result<()> {
    let Some((larder, peers)) = measured.split_first() else {
        return Ok(());
    };
    for peer in peers {
        let target = targets.iter().find(|(name, _)| *name == peer.name());
        report.row(&Row {
            benchmark,
            case: case.to_owned(),
            larder: larder.per_second(),
            unit: "/s",
            peer: Some((peer.name().to_owned(), peer.per_second())),
            ratios: peer.over(larder),
            target: target.map_or(Target::None, |(_, target)| *target),
        })?;
    }
    Ok(())
}
