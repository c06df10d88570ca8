//! What other processes write to the files, as hints.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use larder_core::Source;
use larder_outbox::{FileHints, Outbox};
use sqlx::sqlite::{SqliteJournalMode, SqlitePoolOptions};

use super::ground::{Ground, MODES, ground, options, pool, user};

/// Longer than any hint takes, however slow the machine is.
const LONG: Duration = Duration::from_secs(20);

/// A thread that gives hints, told to stop when this goes.
struct Running {
    hints: Arc<FileHints>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Running {
    async fn over(outbox: &Outbox<sqlx::Sqlite>) -> Self {
        let hints = Arc::new(outbox.file_hints().await.unwrap().unwrap());
        let given = Arc::clone(&hints);
        let thread = Some(thread::spawn(move || given.run().unwrap()));
        Running { hints, thread }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.hints.stop();
        // The thread is gone at once, or this hangs.
        self.thread.take().unwrap().join().unwrap();
    }
}

async fn is_hinted(source: &dyn Source, within: Duration) -> bool {
    tokio::time::timeout(within, source.hinted()).await.is_ok()
}

/// Nobody writes, so after a while nobody is woken either.
async fn quiet(source: &dyn Source) {
    for _ in 0..20 {
        if !is_hinted(source, Duration::from_millis(200)).await {
            return;
        }
    }
    panic!("hints go on though nobody writes");
}

/// Another outbox, on pools of its own, as another process has.
async fn elsewhere(ground: &Ground) -> (sqlx::SqlitePool, Outbox<sqlx::Sqlite>) {
    let pool = pool(&ground.file(), ground.mode).await;
    let outbox = Outbox::builder(pool.clone()).open().await.unwrap();
    (pool, outbox)
}

/// Contract: O102 (partial: files)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_another_process_is_a_hint() {
    for mode in MODES {
        let ground = ground(mode).await;
        let source = ground.outbox.source();
        let (_pool, other) = elsewhere(&ground).await;
        other.record_alone(&user(0)).await.unwrap();
        let hinted = is_hinted(&*source, Duration::from_millis(100)).await;
        assert!(!hinted, "nothing tells of it");
        let running = Running::over(&ground.outbox).await;
        for id in 1..4 {
            quiet(&*source).await;
            let hinted = source.hinted();
            other.record_alone(&user(id)).await.unwrap();
            tokio::time::timeout(LONG, hinted).await.unwrap();
        }
        drop(running);
        other.record_alone(&user(4)).await.unwrap();
        let hinted = is_hinted(&*source, Duration::from_millis(100)).await;
        assert!(!hinted, "it was told to stop");
    }
}

/// The write-ahead log goes with the last connection, and the next one makes another file of that name.
///
/// Contract: O102 (partial: files that are made anew)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_made_anew_is_watched_as_well() {
    let ground = ground(SqliteJournalMode::Wal).await;
    let source = ground.outbox.source();
    let _running = Running::over(&ground.outbox).await;
    let log = ground.file().with_extension("db-wal");
    for id in 1..4 {
        let (pool, other) = elsewhere(&ground).await;
        ground.pool.close().await;
        pool.close().await;
        assert!(!log.exists());
        drop(other);
        quiet(&*source).await;
        let hinted = source.hinted();
        let (pool, other) = elsewhere(&ground).await;
        other.record_alone(&user(id)).await.unwrap();
        tokio::time::timeout(LONG, hinted).await.unwrap();
        quiet(&*source).await;
        assert!(log.exists());
        let hinted = source.hinted();
        other.record_alone(&user(id)).await.unwrap();
        tokio::time::timeout(LONG, hinted).await.unwrap();
        pool.close().await;
    }
}

/// A database that was given a write-ahead log under a running node told it of nothing any more.
///
/// Contract: O102 (partial: a journal of another kind)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_may_become_another() {
    let ground = ground(SqliteJournalMode::Delete).await;
    let source = ground.outbox.source();
    let _running = Running::over(&ground.outbox).await;
    let file = options(&ground.file(), SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().connect_with(file).await.unwrap();
    let other = Outbox::builder(pool).open().await.unwrap();
    for id in 0..3 {
        quiet(&*source).await;
        let hinted = source.hinted();
        other.record_alone(&user(id)).await.unwrap();
        tokio::time::timeout(LONG, hinted).await.unwrap();
    }
    assert!(ground.file().with_extension("db-wal").exists());
}

/// Contract: O102 (partial: files that cannot be watched)
#[tokio::test]
async fn without_a_file_there_are_no_file_hints() {
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.max_lifetime(None).idle_timeout(None);
    let pool = pool.connect("sqlite::memory:").await.unwrap();
    let builder = Outbox::builder(pool);
    builder.migrate().await.unwrap();
    let in_memory = builder.open().await.unwrap();
    assert!(in_memory.file_hints().await.unwrap().is_none());

    let ground = ground(SqliteJournalMode::Wal).await;
    std::fs::remove_dir_all(ground.folder.path()).unwrap();
    // Or it cannot be asked at all, if that takes another connection.
    assert!(!matches!(ground.outbox.file_hints().await, Ok(Some(_))));
}

/// Who is told to stop before it has begun does not begin.
///
/// Contract: O102 (partial: the end of file hints)
#[tokio::test]
async fn a_stop_that_comes_first_is_heard() {
    let ground = ground(SqliteJournalMode::Wal).await;
    let hints = ground.outbox.file_hints().await.unwrap().unwrap();
    for _ in 0..3 {
        hints.stop();
        hints.run().unwrap();
    }
}
