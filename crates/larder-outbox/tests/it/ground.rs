//! Databases in SQLite, each in a folder of its own, with a table of users.

use std::path::{Path, PathBuf};
use std::time::Duration;

use larder_core::{Cursor, Delivered, Invalidation, Invalidations, Namespace, Position};
use larder_outbox::Outbox;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Row as _, Sqlite, SqlitePool};
use tempfile::TempDir;

/// The modes of the journal in which everything must hold.
pub const MODES: [SqliteJournalMode; 2] = [SqliteJournalMode::Wal, SqliteJournalMode::Delete];

pub struct Ground {
    pub folder: TempDir,
    pub mode: SqliteJournalMode,
    pub pool: SqlitePool,
    pub outbox: Outbox<Sqlite>,
}

impl Ground {
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }

    /// A number that a query gives.
    pub async fn number(&self, sql: &'static str) -> i64 {
        number(&self.pool, sql).await
    }

    /// Everything that a follower sees that has seen nothing, in the text form of targets, with the positions.
    pub async fn seen(&self) -> Vec<(u64, String)> {
        let start = self.beginning().await;
        let (rows, _) = self.read_all(&start, 1_000).await;
        texts(&rows)
    }

    pub async fn beginning(&self) -> Cursor {
        let head = self.outbox.head().await.unwrap();
        Cursor::ordered(head.cursor.source(), head.cursor.epoch(), Position::new(1), 0)
    }

    /// All rows after a cursor, and the cursor after them.
    pub async fn read_all(&self, cursor: &Cursor, limit: usize) -> (Vec<Invalidation>, Cursor) {
        let source = self.outbox.source();
        let (mut all, mut cursor) = (Vec::new(), cursor.clone());
        loop {
            let Delivered::Rows(batch) = source.read(&cursor, limit).await.unwrap() else {
                panic!("rows were expected");
            };
            all.extend(batch.rows);
            cursor = batch.cursor;
            if batch.caught_up {
                return (all, cursor);
            }
        }
    }
}

pub fn texts(rows: &[Invalidation]) -> Vec<(u64, String)> {
    let texts = rows.iter().map(|row| {
        let text = row.target().to_string();
        (row.position().get(), text)
    });
    texts.collect()
}

pub async fn number(pool: &SqlitePool, sql: &'static str) -> i64 {
    sqlx::query(sql).fetch_one(pool).await.unwrap().get(0)
}

pub fn options(file: &Path, mode: SqliteJournalMode) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(mode)
        // Longer than any writer takes, however slow the machine is.
        .busy_timeout(Duration::from_secs(20))
}

pub async fn pool(file: &Path, mode: SqliteJournalMode) -> SqlitePool {
    let pool = SqlitePoolOptions::new().max_connections(4);
    pool.connect_with(options(file, mode)).await.unwrap()
}

/// A database with users, and an outbox.
pub async fn ground(mode: SqliteJournalMode) -> Ground {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool(&folder.path().join("shop.db"), mode).await;
    sqlx::query("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
        .execute(&pool)
        .await
        .unwrap();
    let builder = Outbox::builder(pool.clone());
    builder.migrate().await.unwrap();
    let outbox = builder.open().await.unwrap();
    Ground {
        folder,
        mode,
        pool,
        outbox,
    }
}

/// A batch about one user.
pub fn user(id: u64) -> Invalidations {
    Invalidations::new(Namespace::default(), "test")
        .entity("user", id)
        .unwrap()
}

/// An outbox on the same file that waits for no writer.
pub async fn impatient(ground: &Ground) -> (SqlitePool, Outbox<Sqlite>) {
    let options = options(&ground.file(), ground.mode).busy_timeout(Duration::ZERO);
    let pool = SqlitePoolOptions::new().max_connections(4);
    let pool = pool.connect_with(options).await.unwrap();
    let outbox = Outbox::builder(pool.clone()).open().await.unwrap();
    (pool, outbox)
}
