//! [`FileWaker`]: the thread that wakes followers when another process has written to the database's files.
//!
//! What is always true: it ends with the layer, at the latest when the last handle goes, and nobody waits for it.

use std::sync::Arc;

use larder_outbox::FileHints;

/// A thread that gives hints, until this is dropped.
pub(super) struct FileWaker {
    hints: Arc<FileHints>,
}

impl FileWaker {
    /// `None` if there can be no more threads: then nothing is lost but hints.
    pub(super) fn start(hints: FileHints) -> Option<Self> {
        let hints = Arc::new(hints);
        let given = Arc::clone(&hints);
        let thread = std::thread::Builder::new().name("larder-files".to_owned());
        match thread.spawn(move || given.run()) {
            Ok(_) => Some(FileWaker { hints }),
            Err(error) => {
                tracing::warn!(%error, "no thread wakes followers for what other processes commit");
                None
            }
        }
    }

    pub(super) fn stop(&self) {
        self.hints.stop();
    }
}

impl Drop for FileWaker {
    fn drop(&mut self) {
        // It is not joined: this may be its own thread, if what it has woken held the last handle.
        self.stop();
    }
}

#[cfg(all(test, target_os = "linux", feature = "outbox-sqlite"))]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use larder_outbox::Outbox;
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

    use super::FileWaker;

    /// Contract: S41 (partial: the thread that wakes followers)
    #[tokio::test]
    async fn its_thread_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteConnectOptions::new().filename(folder.path().join("shop.db"));
        let pool = SqlitePool::connect_with(file.create_if_missing(true))
            .await
            .unwrap();
        let builder = Outbox::builder(pool);
        builder.migrate().await.unwrap();
        let outbox = builder.open().await.unwrap();
        for is_told in [true, false] {
            let waker = FileWaker::start(outbox.file_hints().await.unwrap().unwrap()).unwrap();
            let hints = Arc::downgrade(&waker.hints);
            if is_told {
                waker.stop();
            }
            let held = is_told.then_some(waker);
            let ended = tokio::time::timeout(Duration::from_secs(20), async {
                while hints.strong_count() > usize::from(is_told) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
            ended.await.unwrap();
            drop(held);
        }
    }
}
