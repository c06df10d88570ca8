//! The layer: parts over one fence, on a ground of users in SQLite.

// What is likely to go wrong with a layer.
mod advising;
// Commits of which nobody can say whether they happened.
mod deciding;
// Why a target is fresh, stale or absent.
mod explaining;
// Opening, what is shown, tasks, and the end.
mod opening;
// Relays.
mod relaying;
// What is not as it should be, and what is said of it.
mod trouble;
// What is kept, against its origin.
mod verifying;
// For what a wait waits, mode by mode.
mod waiting;
// What a body sees while its transaction is open.
mod within;
// What other processes commit, as soon as they do.
#[cfg(target_os = "linux")]
mod woken;
// Transactions, waits, invalidations.
mod writing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder::outbox::Outbox;
use larder::pool::LoadContext;
use larder::{Entity, Layer, LayerBuilder, Pool};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Sqlite, SqlitePool};
use tempfile::TempDir;

pub(super) type Any = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, PartialEq, Entity)]
pub(super) struct User {
    pub(super) id: i64,
    pub(super) name: String,
}

#[derive(Debug, Entity)]
pub(super) struct Team {
    pub(super) id: i64,
}

pub(super) struct Ground {
    _folder: TempDir,
    pub(super) database: SqlitePool,
    pub(super) loads: Arc<AtomicU64>,
}

impl Ground {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("shop.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(20));
        let database = SqlitePoolOptions::new().max_connections(4);
        let database = database.connect_with(options).await.unwrap();
        for sql in [
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
            "INSERT INTO users VALUES (7, 'Ada'), (8, 'Grace')",
        ] {
            sqlx::query(sql).execute(&database).await.unwrap();
        }
        Outbox::builder(database.clone()).migrate().await.unwrap();
        Ground {
            _folder: folder,
            database,
            loads: Arc::default(),
        }
    }

    /// Connections to the same file that wait for no writer.
    pub(super) async fn impatient(&self) -> SqlitePool {
        let options = self
            .database
            .connect_options()
            .as_ref()
            .clone()
            .busy_timeout(Duration::ZERO);
        let pool = SqlitePoolOptions::new().max_connections(4);
        pool.connect_with(options).await.unwrap()
    }

    pub(super) fn users(&self) -> larder::pool::PoolBuilder<User> {
        let (database, loads) = (self.database.clone(), Arc::clone(&self.loads));
        Pool::builder().loader(move |load: LoadContext<User>| {
            let database = database.clone();
            loads.fetch_add(1, Ordering::Relaxed);
            async move {
                let name = sqlx::query_scalar("SELECT name FROM users WHERE id = ?").bind(load.id);
                let name: Option<String> = name.fetch_optional(&database).await?;
                Ok::<_, sqlx::Error>(name.map(|name| User { id: load.id, name }))
            }
        })
    }

    pub(super) fn builder(&self) -> LayerBuilder {
        let outbox = Outbox::builder(self.database.clone());
        Layer::builder("shop").outbox(outbox).pool(self.users())
    }

    pub(super) async fn layer(&self) -> Layer {
        self.builder().open().await.unwrap()
    }
}

pub(super) async fn rename(layer: &Layer, id: i64, name: &str) -> larder::Token {
    let outbox = layer.outbox::<Sqlite>().unwrap();
    let renamed = layer.transaction(&outbox, async |tx| {
        sqlx::query("UPDATE users SET name = ? WHERE id = ?")
            .bind(name)
            .bind(id)
            .execute(tx.connection())
            .await?;
        tx.reason("renamed").invalidate::<User>(&id)?;
        Ok::<_, Any>(())
    });
    renamed.await.unwrap().1
}

pub(super) async fn name(layer: &Layer, id: i64) -> String {
    let users = layer.pool::<User>().unwrap();
    users.fetch(&id).await.unwrap().unwrap().name.clone()
}

pub(super) async fn until(what: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.expect("it takes no 20 s");
}
