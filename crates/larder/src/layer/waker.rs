//! [`Waker`]: the task that wakes followers when another process has written to the files of a database, by a thread of its own.
//!
//! What is always true: whatever becomes of the thread, only hints are lost, so the task goes on and tries again; the thread ends with the task, at
//! the latest when the layer's last handle goes, and nobody waits for it.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use larder_core::sync::Mutex;
use larder_core::{BoxFuture, Clock, Moment, Runtime, SourceId};
use larder_outbox::FileHints;
use tokio::sync::oneshot;

use super::advice::{Advice, AdviceCode};
use super::parts::Log;
use super::tasks::{Done, Progress, Stop, Supervisor};

/// How often the thread looks at least, and some more: a machine may be busy.
const PERIOD: Duration = Duration::from_secs(10);
/// After how long another thread is tried.
const RETRY: Duration = Duration::from_secs(30);

/// Wakes who follows an outbox.
#[derive(Clone)]
pub(super) struct Waker {
    log: Arc<dyn Log>,
    source: SourceId,
    runtime: Arc<dyn Runtime>,
    clock: Arc<dyn Clock>,
    seen: Arc<Mutex<Seen>>,
}

/// What is seen of the thread.
#[derive(Default)]
struct Seen {
    hints: Option<Arc<FileHints>>,
    rounds: u64,
    last: Option<Moment>,
}

/// Tells a thread to stop when nobody wants its hints any more. It is not joined: this may be run by that thread, if what it woke held the last handle.
struct Stopping(Arc<FileHints>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Waker {
    pub(super) fn new(
        log: &Arc<dyn Log>,
        source: SourceId,
        hints: Option<FileHints>,
        (runtime, clock): (&Arc<dyn Runtime>, &Arc<dyn Clock>),
    ) -> Self {
        let seen = Seen {
            hints: hints.map(Arc::new),
            ..Seen::default()
        };
        Waker {
            log: Arc::clone(log),
            source,
            runtime: Arc::clone(runtime),
            clock: Arc::clone(clock),
            seen: Arc::new(Mutex::new(seen)),
        }
    }

    /// A12, while there is no thread.
    pub(super) fn advice(&self) -> Option<Advice> {
        let is_without = self.seen.lock().hints.is_none();
        let text = || {
            format!(
                "who follows source {} is not woken by what other processes commit",
                self.source
            )
        };
        is_without.then(|| Advice::new(AdviceCode::A12, text()))
    }

    /// Makes it a task.
    pub(super) fn start(self, tasks: &Supervisor) {
        let (source, progress) = (self.source, self.progress());
        let work = move |stop| -> BoxFuture<'static, Done> { Box::pin(self.clone().run(stop)) };
        tasks.run(format!("file hints {source}"), PERIOD, progress, work);
    }

    /// When the thread last looked. While there is none, that is no fault of the task.
    fn progress(&self) -> Progress {
        let (seen, clock) = (Arc::clone(&self.seen), Arc::clone(&self.clock));
        Box::new(move || {
            let mut seen = seen.lock();
            let rounds = seen.hints.as_ref().map(|hints| hints.rounds());
            if rounds.is_none_or(|rounds| rounds != seen.rounds) {
                seen.rounds = rounds.unwrap_or(0);
                seen.last = Some(clock.monotonic());
            }
            seen.last
        })
    }

    /// Goes on until it is told to stop.
    async fn run(self, stop: Stop) -> Done {
        let mut stopped = pin!(stop.stopped());
        loop {
            let ended = pin!(self.wake());
            let error = match select(stopped.as_mut(), ended).await {
                Either::Left(_) => return Ok(()),
                Either::Right((error, _)) => error,
            };
            tracing::warn!(%error, "followers are not woken by what other processes commit");
            self.seen.lock().hints = None;
            let over = self.runtime.sleep(RETRY);
            if let Either::Left(_) = select(stopped.as_mut(), over).await {
                return Ok(());
            }
        }
    }

    /// Gives hints until that fails, and gives the reason.
    async fn wake(&self) -> io::Error {
        let known = self.seen.lock().hints.clone();
        let hints = match known {
            Some(hints) => hints,
            None => match self.log.file_hints().await {
                Ok(Some(hints)) => Arc::new(hints),
                Ok(None) => return io::ErrorKind::Unsupported.into(),
                Err(error) => return io::Error::other(error),
            },
        };
        self.seen.lock().hints = Some(Arc::clone(&hints));
        let _stopping = Stopping(Arc::clone(&hints));
        let (done, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("larder-files".to_owned());
        let started = thread.spawn(move || drop(done.send(hints.run())));
        if let Err(error) = started {
            return error;
        }
        match ended.await {
            Ok(Err(error)) => error,
            // It stops by itself only if somebody else has told it to.
            Ok(Ok(())) => io::Error::other("it was told to stop"),
            Err(_) => io::Error::other("it panicked"),
        }
    }
}

#[cfg(test)]
#[cfg(all(target_os = "linux", feature = "outbox-sqlite"))]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use larder_core::sync::Mutex;
    use larder_core::{Clock, Runtime, SystemClock, TaskFuture};
    use larder_outbox::Outbox;
    use larder_pool::TokioRuntime;
    use sqlx::Sqlite;
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

    use super::super::advice::AdviceCode;
    use super::super::parts::Log;
    use super::super::tasks::{Supervisor, TaskState};
    use super::Waker;

    /// Tokio's, on which nobody sleeps long.
    #[derive(Debug, Default)]
    struct Sleepless(Mutex<Vec<Duration>>);

    impl Runtime for Sleepless {
        fn spawn(&self, task: TaskFuture) {
            TokioRuntime::current().unwrap().spawn(task);
        }

        fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
            TokioRuntime::current().unwrap().spawn_blocking(work);
        }

        fn sleep(&self, time: Duration) -> TaskFuture {
            self.0.lock().push(time);
            TokioRuntime::current().unwrap().sleep(Duration::from_millis(1))
        }
    }

    async fn until(what: impl Fn() -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while !what() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        waited.await.expect("it takes no 20 s");
    }

    async fn outbox() -> (tempfile::TempDir, Outbox<Sqlite>) {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteConnectOptions::new().filename(folder.path().join("shop.db"));
        let pool = SqlitePool::connect_with(file.create_if_missing(true))
            .await
            .unwrap();
        let builder = Outbox::builder(pool);
        builder.migrate().await.unwrap();
        (folder, builder.open().await.unwrap())
    }

    /// The thread that ends is no fault of the task: another one is tried after 30 s. It ends with the task.
    ///
    /// Contract: S38 (partial: the thread that wakes followers), S41 (partial: likewise)
    #[tokio::test]
    async fn another_thread_is_tried_and_the_last_one_ends_with_its_task() {
        let (_folder, outbox) = outbox().await;
        let sleepless = Arc::new(Sleepless::default());
        let runtime = Arc::clone(&sleepless) as Arc<dyn Runtime>;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let tasks = Supervisor::new(Arc::clone(&runtime), Arc::clone(&clock));
        let hints = outbox.file_hints().await.unwrap().unwrap();
        let log = Arc::new(outbox.clone()) as Arc<dyn Log>;
        let waker = Waker::new(&log, outbox.source_id(), Some(hints), (&runtime, &clock));
        waker.clone().start(&tasks);
        let current = || waker.seen.lock().hints.clone();
        for _ in 0..15 {
            until(|| current().is_some_and(|hints| hints.rounds() > 0)).await;
            let hints = current().unwrap();
            // It runs, and then ends as if the system told of files no more.
            hints.stop();
            until(|| current().is_none_or(|other| !Arc::ptr_eq(&other, &hints))).await;
        }
        until(|| waker.advice().is_none()).await;
        let status = tasks.statuses().remove(0);
        assert_eq!(status.name, format!("file hints {}", outbox.source_id()));
        assert_eq!((status.state, status.restarts), (TaskState::Running, 0));
        assert!(status.last_progress.is_some());
        assert_eq!(*sleepless.0.lock(), [super::RETRY; 15]);

        until(|| current().is_some_and(|hints| hints.rounds() > 0)).await;
        tasks.stop();
        for (_, end) in tasks.ends() {
            end.await;
        }
        let last = current().unwrap();
        // The thread has let go of it; what is seen of it stays.
        until(|| Arc::strong_count(&last) == 2).await;
    }

    /// A file that cannot be watched is told of, and tried again.
    ///
    /// Contract: S49 (partial: A12, of files)
    #[tokio::test]
    async fn who_cannot_be_woken_is_told_of() {
        let (folder, outbox) = outbox().await;
        drop(folder);
        let sleepless = Arc::new(Sleepless::default());
        let runtime = Arc::clone(&sleepless) as Arc<dyn Runtime>;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let tasks = Supervisor::new(Arc::clone(&runtime), Arc::clone(&clock));
        let log = Arc::new(outbox.clone()) as Arc<dyn Log>;
        let waker = Waker::new(&log, outbox.source_id(), None, (&runtime, &clock));
        waker.clone().start(&tasks);
        until(|| sleepless.0.lock().len() > 2).await;
        let told = waker.advice().unwrap();
        assert_eq!(told.code, AdviceCode::A12);
        assert!(told.text.contains(&outbox.source_id().to_string()), "{told:?}");
        assert_eq!(tasks.statuses().remove(0).state, TaskState::Running);
    }
}
