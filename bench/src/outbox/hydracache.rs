//! HydraCache's outbox over SQLite: its database crate with its SQL feature, as its documents show it.
//!
//! Always true: the tables are those that the crate installs; each commit has a position of its own, since the crate takes two
//! rows with the same position and target for one. The crate takes connections of an older sqlx, so the pool is made with that
//! one, with the options of every other subject. Rows are as short as the crate lets them be: positions are bare numbers, and no
//! reason is given.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hydracache_db::{
    CommitPosition, InvalidationApplier, InvalidationIntentBatch, InvalidationOutbox as _,
    InvalidationOutboxWorker, SqlxInvalidationOutbox,
};
use sqlx_of_hydracache::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx_of_hydracache::{Sqlite, SqlitePool, Transaction, query};

use super::record::UPDATE;
use super::{COMMITS_AT_ONCE, Database, FILE};

/// What the rows of a backlog belong to.
const NAMESPACE: &str = "db";

/// Rows that the worker claims at once, in place of the 64 that it claims by itself. Of 16 to 4,096, it is fastest with as many
/// as the queue claims.
const ROWS_A_CLAIM: usize = 256;

/// HydraCache's outbox in a database of its own.
pub(crate) struct HydraCacheOutbox {
    database: Database,
    pool: SqlitePool,
    outbox: SqlxInvalidationOutbox,
    commits: AtomicU64,
}

impl HydraCacheOutbox {
    pub(crate) async fn new() -> Result<Self, Box<dyn Error>> {
        let database = Database::new().await?;
        let options = SqliteConnectOptions::new()
            .filename(database.folder.path().join(FILE))
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
        let pool = SqlitePoolOptions::new()
            .max_connections(3)
            .connect_with(options)
            .await?;
        let outbox = SqlxInvalidationOutbox::sqlite(pool.clone());
        outbox.install_schema().await?;
        outbox.check_schema().await?;
        Ok(Self {
            database,
            pool,
            outbox,
            commits: AtomicU64::new(0),
        })
    }

    /// One transaction: a business update, and two targets.
    pub(crate) async fn record(&self, targets: [(&str, u64); 2]) -> Result<(), Box<dyn Error>> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        query(UPDATE).execute(&mut *transaction).await?;
        self.enqueue(&mut transaction, targets).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// So many commits of two targets each.
    pub(super) async fn backlog(
        &self,
        commits: u64,
        targets: impl Fn(u64) -> [(&'static str, u64); 2],
    ) -> Result<(), Box<dyn Error>> {
        for first in (0..commits).step_by(usize::try_from(COMMITS_AT_ONCE)?) {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            for commit in first..commits.min(first + COMMITS_AT_ONCE) {
                self.enqueue(&mut transaction, targets(commit)).await?;
            }
            transaction.commit().await?;
        }
        Ok(())
    }

    /// How long the worker takes for all rows: it claims them, gives each to `applier` and acknowledges it.
    pub(super) async fn worked_off<A>(&self, applier: A) -> Result<Duration, Box<dyn Error>>
    where
        A: InvalidationApplier,
    {
        let rows = self.outbox.status(NAMESPACE).await?.pending;
        let before = self.rows("published").await?;
        let worker =
            InvalidationOutboxWorker::new(self.outbox.clone(), applier, NAMESPACE).batch_size(ROWS_A_CLAIM);
        let start = Instant::now();
        let mut left = rows;
        while left > 0 {
            let done = worker.run_once().await?;
            assert!(done.claimed > 0, "the worker finds the rows that are left");
            assert_eq!(done.published, done.claimed, "what is claimed is applied");
            left = left.saturating_sub(u64::try_from(done.published)?);
        }
        let took = start.elapsed();
        assert_eq!(
            self.rows("published").await? - before,
            rows,
            "every row is acknowledged"
        );
        Ok(took)
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// How many rows there are in a state, as HydraCache names it.
    pub(super) async fn rows(&self, state: &str) -> Result<u64, Box<dyn Error>> {
        let rows: i64 =
            sqlx::query_scalar("SELECT count(*) FROM hydracache_invalidation_outbox WHERE state = ?")
                .bind(state)
                .fetch_one(&self.database.pool)
                .await?;
        Ok(u64::try_from(rows)?)
    }

    /// How many bytes its table and the indexes of that take up.
    pub(super) async fn bytes(&self) -> Result<i64, sqlx::Error> {
        self.database.bytes_of("hydracache_invalidation_outbox").await
    }

    /// Closes and removes the database, as [`Database::close`].
    pub(super) async fn close(self) {
        self.pool.close().await;
        self.database.close().await;
    }

    /// Adds the targets of the next commit to a transaction.
    async fn enqueue(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        targets: [(&str, u64); 2],
    ) -> Result<(), Box<dyn Error>> {
        let commit = self.commits.fetch_add(1, Ordering::Relaxed);
        let position = CommitPosition::new(commit.to_string());
        let [(one, of_one), (other, of_other)] = targets;
        let batch = InvalidationIntentBatch::default()
            .invalidate_entity(one, of_one.to_string())
            .invalidate_entity(other, of_other.to_string());
        let rows = self
            .outbox
            .enqueue_in_sqlite_tx(transaction, NAMESPACE, &position, &batch)
            .await?;
        assert_eq!(rows, 2, "both targets are recorded");
        Ok(())
    }
}
