//! HydraCache's outbox in a file that others use too: a change of a row and the intent to invalidate it in one transaction, and the worker that applies
//! what was committed, as its documentation shows them.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hydracache::HydraCache;
use hydracache_db::{
    CommitPosition, InvalidationIntentBatch, InvalidationOutboxWorker, SqlxInvalidationOutbox,
};
use sqlx_of_hydracache::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx_of_hydracache::{SqlitePool, query};

use super::Fault;

/// What the rows of the outbox belong to.
const NAMESPACE: &str = "db";
/// How often a worker looks: its documentation leaves that to the service, which calls it again and again.
pub(super) const INTERVAL: Duration = Duration::from_millis(20);

/// Claims rows, has them applied in a cache (which tells its bus), and acknowledges them.
pub(super) type Worker = InvalidationOutboxWorker<SqlxInvalidationOutbox, HydraCache>;

pub(super) struct HydraOutbox {
    pool: SqlitePool,
    outbox: SqlxInvalidationOutbox,
    /// Two rows with the same position and target count as one, so each commit has a position of its own.
    commits: AtomicU64,
}

impl HydraOutbox {
    /// Makes its tables in the file.
    pub(super) async fn in_file(file: &Path) -> Result<Self, Fault> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
        let pool = SqlitePoolOptions::new()
            .max_connections(3)
            .connect_with(options)
            .await?;
        let outbox = SqlxInvalidationOutbox::sqlite(pool.clone());
        outbox.install_schema().await?;
        outbox.check_schema().await?;
        Ok(HydraOutbox {
            pool,
            outbox,
            commits: AtomicU64::new(0),
        })
    }

    /// One transaction: the update, which is given the id, and the entity of that id. `before` is called just before the commit.
    pub(super) async fn commit(
        &self,
        update: &'static str,
        entity: &str,
        id: u64,
        before: impl FnOnce(),
    ) -> Result<(), Fault> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        query(update)
            .bind(i64::try_from(id)?)
            .execute(&mut *transaction)
            .await?;
        let commit = self.commits.fetch_add(1, Ordering::Relaxed);
        let position = CommitPosition::new(commit.to_string());
        let batch = InvalidationIntentBatch::default().invalidate_entity(entity, id.to_string());
        let outbox = &self.outbox;
        outbox
            .enqueue_in_sqlite_tx(&mut transaction, NAMESPACE, &position, &batch)
            .await?;
        before();
        transaction.commit().await?;
        Ok(())
    }

    /// A worker of a node.
    pub(super) fn worker(&self, node: &str, cache: HydraCache) -> Worker {
        InvalidationOutboxWorker::new(self.outbox.clone(), cache, NAMESPACE).owner(node)
    }
}

/// Has the worker look again and again; until the task that this runs in is dropped.
pub(super) async fn work(worker: Worker) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A worker that found the database busy looks again.
        let _ = worker.run_once().await;
    }
}
