//! Opening, what is shown of a layer, its tasks, and the end of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder::outbox::{Outbox, Wait, Waiter};
use larder::pool::{FetchError, WhenUnsure};
use larder::{
    BoxFuture, Certainty, Cursor, Delivered, Error, Head, Invalidations, Layer, Pool, Reach, Source,
    SourceError, SourceId, TaskState,
};
use sqlx::Sqlite;
use sqlx::sqlite::SqlitePoolOptions;

use super::{Ground, Team, User, name, rename, until};

/// All that is wrong is told at once, by part, option, what was given and what is allowed; and nothing was asked of the database.
///
/// Contract: S5 (partial: pools and outbox)
#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let nowhere = SqlitePoolOptions::new()
        .connect_lazy("sqlite:///nowhere/at/all.db")
        .unwrap();
    let wrong = Layer::builder("")
        .node("a\nb")
        .freshness(Duration::from_millis(1), WhenUnsure::Bypass)
        .pool(Pool::<User>::builder().capacity_entries(0).jitter(2.0))
        .pool(Pool::<User>::builder())
        .pool(Pool::<Team>::builder().time_to_live(Duration::ZERO))
        .outbox(Outbox::builder(nowhere).prefix("no prefix"))
        .open()
        .await;
    let Err(Error::Invalid { problems }) = wrong else {
        panic!("{wrong:?}");
    };
    let told: Vec<_> = problems
        .iter()
        .map(|problem| format!("{} {}", problem.part, problem.option))
        .collect();
    let expected = [
        "layer name",
        "layer node",
        "layer freshness",
        "pool user label",
        "outbox prefix",
        "pool user capacity_entries",
        "pool user jitter",
        "pool team time_to_live",
    ];
    assert_eq!(told, expected, "{problems:?}");
    assert!(
        problems
            .iter()
            .all(|problem| !problem.given.is_empty() && !problem.allowed.is_empty())
    );
}

/// Contract: S5 (partial: no runtime)
#[test]
fn without_a_runtime_nothing_is_opened() {
    let open = Layer::builder("shop").pool(Pool::<User>::builder()).open();
    let mut open = std::pin::pin!(open);
    let waker = std::task::Waker::noop();
    let opened = open.as_mut().poll(&mut std::task::Context::from_waker(waker));
    assert!(
        matches!(opened, std::task::Poll::Ready(Err(Error::NoRuntime))),
        "{opened:?}"
    );
}

/// Handles are of one shared object; what is not there is named, with what there is.
///
/// Contract: S15 (partial: pools and outbox), S16
#[tokio::test]
async fn what_is_not_there_is_named() {
    let ground = Ground::new().await;
    let layer = ground
        .builder()
        .pool_as("old", Pool::<User>::builder())
        .open()
        .await
        .unwrap();
    let (one, other) = (
        layer.pool::<User>().unwrap(),
        layer.clone().registry().pool::<User>().unwrap(),
    );
    one.insert(User {
        id: 1,
        name: "Barbara".to_owned(),
    })
    .unwrap();
    assert_eq!(other.get(&1).unwrap().name, "Barbara");
    assert!(layer.pool_as::<User>("old").unwrap().is_empty());
    let missing = layer.pool::<Team>().unwrap_err().to_string();
    assert_eq!(
        missing,
        "the layer has no pool of `team`; it has `user`, `user` labelled `old`"
    );
    let missing = layer.pool_as::<User>("new").unwrap_err().to_string();
    assert_eq!(
        missing,
        "the layer has no pool of `user` labelled `new`; it has `user`, `user` labelled `old`"
    );
    let alone = Layer::builder("alone").open().await.unwrap();
    assert!(matches!(
        alone.outbox::<Sqlite>(),
        Err(Error::NotConfigured { part: "outbox" })
    ));
    assert_eq!(
        alone.pool::<User>().unwrap_err().to_string(),
        "the layer has no pool of `user`; it has none"
    );
}

/// One fence judges all parts, and pools that say nothing of it are bypassed while the node is unsure.
///
/// Contract: S4 (partial: pools, outbox, relay), S48 (partial: the default)
#[tokio::test]
async fn parts_are_given_one_fence() {
    let ground = Ground::new().await;
    let serving = Pool::<User>::builder().when_unsure(WhenUnsure::Serve);
    let layer = ground
        .builder()
        .pool_as("serving", serving)
        .node("a")
        .open()
        .await
        .unwrap();
    let pools = [
        layer.pool::<User>().unwrap(),
        layer.pool_as::<User>("serving").unwrap(),
    ];
    let policies = pools.each_ref().map(|pool| pool.config().when_unsure);
    assert_eq!(policies, [WhenUnsure::Bypass, WhenUnsure::Serve]);
    for pool in &pools {
        pool.insert(User {
            id: 7,
            name: "Ada".to_owned(),
        })
        .unwrap();
    }
    layer
        .invalidate(
            &Invalidations::default().entity("user", 7).unwrap(),
            Reach::ThisNode,
        )
        .await
        .unwrap();
    assert!(pools.iter().all(|pool| pool.get(&7).is_none()));
    let cursors = layer.cursors();
    assert_eq!(cursors[0].node.as_deref(), Some("a"));
    assert_eq!(layer.fence().certainty(), Certainty::Sure);
    let second = ground.builder().node("a").open().await.unwrap_err();
    assert!(
        matches!(&second, Error::NodeInUse { node, .. } if node == "a"),
        "{second:?}"
    );
}

/// Contract: S37 (partial: followers), S47 (partial: followers and tasks)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reads_a_source_is_shown() {
    let ground = Ground::new().await;
    let layer = ground.layer().await;
    until(|| layer.health().ready).await;
    let outbox = layer.outbox::<Sqlite>().unwrap();
    for round in 0..5 {
        rename(&layer, 7, &format!("Ada {round}")).await;
    }
    until(|| layer.cursors()[0].behind == Some(0) && layer.cursors()[0].head.unwrap().get() == 5).await;
    let cursor = layer.cursors().remove(0);
    assert_eq!(cursor.source, outbox.source_id());
    assert_eq!(cursor.position.unwrap().get(), 6, "all below it");
    assert!(cursor.last_contact.unwrap() < Duration::from_secs(10) && cursor.lag.is_some());
    let tasks = layer.tasks();
    let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    let names = without_file_hints(names);
    assert_eq!(names[1..], ["freshness", "advisor"], "nothing is verified here");
    assert!(
        tasks[0].name.starts_with("follower ") && tasks[0].restarts == 0,
        "{tasks:?}"
    );
}

/// Not every system tells of files.
pub(super) fn without_file_hints<S: AsRef<str>>(mut names: Vec<S>) -> Vec<S> {
    names.retain(|name| !name.as_ref().starts_with("file hints "));
    names
}

/// A source that panics for a while, as one whose code is broken would.
#[derive(Debug)]
struct Breaking {
    inner: Arc<dyn Source>,
    reads: AtomicU64,
}

impl Source for Breaking {
    fn id(&self) -> SourceId {
        self.inner.id()
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, SourceError>> {
        self.inner.head()
    }

    fn read<'a>(&'a self, cursor: &'a Cursor, limit: usize) -> BoxFuture<'a, Result<Delivered, SourceError>> {
        let read = self.reads.fetch_add(1, Ordering::Relaxed);
        assert!(!(3..5).contains(&read), "broken at read {read}");
        self.inner.read(cursor, limit)
    }

    fn hinted(&self) -> BoxFuture<'_, ()> {
        self.inner.hinted()
    }
}

/// A task that panics is run again, and says how often and why; what is read is fresh again without a restart.
///
/// Contract: S39 (partial: panics)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn regression_12_a_task_that_panics_is_run_again() {
    let ground = Ground::new().await;
    let outbox = Outbox::builder(ground.database.clone()).open().await.unwrap();
    let source = Arc::new(Breaking {
        inner: outbox.source(),
        reads: AtomicU64::new(0),
    });
    let layer = Layer::builder("shop")
        .pool(ground.users())
        .follow(source)
        .open()
        .await
        .unwrap();
    for round in 0..10 {
        name(&layer, 7).await;
        let target = Invalidations::default().entity("user", 7).unwrap();
        let token = outbox.record_alone(&target).await.unwrap();
        let waited = layer
            .wait(&token, Wait::local(Duration::from_secs(20)))
            .await
            .unwrap();
        assert!(waited.satisfied, "{round}");
        assert!(layer.pool::<User>().unwrap().get(&7).is_none(), "{round}");
    }
    let task = layer.tasks().remove(0);
    assert_eq!((task.restarts, task.state), (2, TaskState::Running), "{task:?}");
    let why = task.last_error.unwrap();
    assert_eq!(why, "it panicked: broken at read 4");
    assert!(layer.health().ready);
}

/// A shutdown ends every task, is reported once, and leaves memory readable; a fetch is refused.
///
/// Contract: S41 (partial: pools, followers, relays), S47 (partial: stopping)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_every_task() {
    let ground = Ground::new().await;
    let layer = ground
        .builder()
        .followers(|follower| follower.poll_max(Duration::from_millis(50)))
        .freshness(Duration::from_millis(500), WhenUnsure::Bypass);
    let layer = layer.open().await.unwrap();
    name(&layer, 7).await;
    // For a second node, which there is not.
    let token = rename(&layer, 8, "Grace Hopper").await;
    let waiting = layer.clone();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let waiter = tokio::spawn(async move {
        let wait = waiting.wait(&token, Wait::quorum(2, Duration::from_secs(60)));
        begun.send(()).unwrap();
        wait.await
    });
    has_begun.await.unwrap();
    let report = layer.shutdown(Duration::from_secs(20)).await;
    assert!(report.is_clean(), "{report:?}");
    let parts: Vec<_> = report.parts.iter().map(|part| part.part.clone()).collect();
    let parts = without_file_hints(parts);
    assert_eq!((parts[0].as_str(), parts.len()), ("pool user", 4));
    assert_eq!(
        layer.clone().shutdown(Duration::ZERO).await,
        report,
        "the same report again"
    );
    let health = layer.health();
    assert!(health.live && !health.ready, "{health:?}");
    assert!(layer.tasks().iter().all(|task| task.state == TaskState::Ended));
    let pool = layer.pool::<User>().unwrap();
    assert_eq!(
        pool.get(&7).unwrap().name,
        "Ada",
        "memory answers, while it may be believed"
    );
    let refused = pool.fetch(&8).await;
    assert!(matches!(refused, Err(FetchError::Stopped)), "{refused:?}");
    until(|| layer.fence().certainty() != Certainty::Sure).await;
    assert!(pool.get(&7).is_none(), "nobody hears of invalidations any more");
    let waited = waiter.await.unwrap();
    assert!(matches!(waited, Err(Error::ShuttingDown)), "{waited:?}");
}

/// Dropping the last handle stops the tasks.
///
/// Contract: S42 (partial: tasks)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_handle_stops_the_tasks() {
    let ground = Ground::new().await;
    let layer = ground.builder().node("a").open().await.unwrap();
    let fence = layer.fence().clone();
    let outbox = layer.outbox::<Sqlite>().unwrap();
    drop((layer.clone(), layer));
    // The name is free again, since whoever had it has left.
    until(|| fence.lane(outbox.source_id()).is_ok()).await;
    let again = ground.builder().node("a").open().await.unwrap();
    assert_eq!(again.cursors()[0].node.as_deref(), Some("a"));
    drop(Waiter::new(&fence));
}

/// A transaction that ends while the layer is being shut down, or begins after it, was acknowledged and not applied here: what was in memory went on to be
/// read.
///
/// Contract: S18, S41 (partial: transactions)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_after_a_shutdown_is_applied_here() {
    let ground = Ground::new().await;
    let serving = || {
        let layer = Layer::builder("shop").outbox(Outbox::builder(ground.database.clone()));
        layer.pool(ground.users().when_unsure(WhenUnsure::Serve))
    };
    for round in 0..20_u64 {
        let layer = serving().open().await.unwrap();
        let users = layer.pool::<User>().unwrap();
        name(&layer, 7).await;
        let closing = layer.clone();
        let close = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(round * 40)).await;
            closing.shutdown(Duration::from_secs(20)).await
        });
        for write in 0..5 {
            let new = format!("Ada {round} {write}");
            rename(&layer, 7, &new).await;
            let read = users.get(&7).map(|user| user.name.clone());
            assert!(
                read.is_none_or(|read| read == new),
                "round {round}: {new} was read as an older one"
            );
        }
        close.await.unwrap();
        users
            .insert(User {
                id: 8,
                name: "old".to_owned(),
            })
            .unwrap();
        rename(&layer, 8, "new").await;
        assert!(users.get(&8).is_none(), "round {round}");
    }
}

/// A node that keeps a directory is the same node each time, also right after it was killed; a second process with that directory is refused by name, and a node of
/// the same name elsewhere too.
///
/// Contract: S12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_keeps_its_name() {
    let ground = Ground::new().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let open = || ground.builder().data_dir(&data).open();
    let layer = open().await.unwrap();
    let name = layer.cursors()[0].node.clone().unwrap();
    assert!(name.starts_with("node-") && name.len() == 21, "{name}");
    let refused = open().await.unwrap_err();
    assert!(
        matches!(&refused, Error::Locked { pid: Some(pid), .. } if *pid == std::process::id()),
        "{refused}"
    );
    let elsewhere = ground.builder().node(&name).open().await.unwrap_err();
    assert!(
        matches!(&elsewhere, Error::NodeInUse { node, .. } if *node == name),
        "{elsewhere}"
    );
    // As good as killed: nobody says that it leaves, and its sign of life is fresh.
    let kept = folder.path().join("kept");
    std::fs::create_dir(&kept).unwrap();
    std::fs::copy(data.join("node"), kept.join("node")).unwrap();
    let again = ground.builder().data_dir(&kept).open().await.unwrap();
    assert_eq!(
        again.cursors()[0].node.as_ref(),
        Some(&name),
        "it takes its name back at once"
    );
    layer.shutdown(Duration::from_secs(5)).await;
    drop(layer);
    let reopened = ground
        .builder()
        .data_dir(&data)
        .node("another")
        .open()
        .await
        .unwrap();
    assert_eq!(
        reopened.cursors()[0].node.as_deref(),
        Some("another"),
        "a name that is given"
    );
    // What does not open leaves nothing behind.
    let (nowhere, empty) = (folder.path().join("nowhere"), folder.path().join("empty"));
    std::fs::create_dir(&empty).unwrap();
    for data in [&nowhere.join("within").join("it"), &nowhere, &empty] {
        let failed = ground.builder().data_dir(data).node("another").open().await;
        let failed = failed.unwrap_err();
        assert!(matches!(failed, Error::NodeInUse { .. }), "{failed}");
    }
    assert!(!nowhere.exists() && std::fs::read_dir(&empty).unwrap().next().is_none());
}

/// Everything that a service awaits can be awaited in a task of its own, on whichever thread.
#[tokio::test]
async fn what_is_awaited_may_go_to_another_thread() {
    fn goes<F: Future + Send>(future: F) -> F {
        future
    }
    let ground = Ground::new().await;
    let layer = goes(ground.builder().verified_pool_as("other", ground.users()).open())
        .await
        .unwrap();
    let outbox = layer.outbox::<Sqlite>().unwrap();
    let done = layer.transaction(&outbox, async |_| Ok::<_, std::convert::Infallible>(7));
    let (seven, token) = goes(done).await.unwrap();
    assert_eq!(seven, 7);
    assert!(
        goes(layer.wait(&token, Wait::local(Duration::from_secs(20))))
            .await
            .unwrap()
            .satisfied
    );
    let batch = Invalidations::default().entity("user", 7).unwrap();
    goes(layer.invalidate(&batch, Reach::EveryNode)).await.unwrap();
    assert_eq!(
        goes(layer.verify(&larder::VerifyPlan::all()))
            .await
            .unwrap()
            .checked(),
        0
    );
    goes(layer.look_for_advice()).await;
    assert!(goes(layer.shutdown(Duration::from_secs(20))).await.is_clean());
}
