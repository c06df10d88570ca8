//! What a layer does and says when something is not as it should be: a database that is gone, tokens of nowhere, commits that fail.

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use larder::outbox::{TransactionError, Wait};
use larder::pool::{FetchError, WhenUnsure};
use larder::{
    BoxFuture, Certainty, Cursor, Delivered, Error, Head, Invalidations, LaneState, Layer, Pool, Position,
    Reach, Source, SourceError, SourceId, Storage, Target, Token, Verdict, VerifyPlan,
};
use larder_testkit::SimStorage;
use sqlx::Sqlite;

use super::{Any, Ground, User, name, rename, until};

/// A source that does not answer while it is told not to.
#[derive(Debug)]
struct Sulking {
    inner: Arc<dyn Source>,
    is_down: Arc<AtomicBool>,
}

impl Sulking {
    fn answer(&self) -> Result<(), SourceError> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(SourceError::new(self.inner.id(), "it is down"));
        }
        Ok(())
    }
}

impl Source for Sulking {
    fn id(&self) -> SourceId {
        self.inner.id()
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, SourceError>> {
        Box::pin(async move {
            self.answer()?;
            self.inner.head().await
        })
    }

    fn read<'a>(&'a self, cursor: &'a Cursor, limit: usize) -> BoxFuture<'a, Result<Delivered, SourceError>> {
        Box::pin(async move {
            self.answer()?;
            self.inner.read(cursor, limit).await
        })
    }

    fn hinted(&self) -> BoxFuture<'_, ()> {
        self.inner.hinted()
    }
}

/// A source that is down makes a node unready, and never dead; its pools are bypassed once it is unsure, and how many reads that concerned stands beside the
/// follower and the policy. When it answers again, the node is ready again.
///
/// Contract: S47 (partial: a source that is down), S48
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_down_makes_a_node_unready() {
    let ground = Ground::new().await;
    let writer = ground.layer().await;
    let outbox = writer.outbox::<Sqlite>().unwrap();
    let is_down = Arc::new(AtomicBool::new(false));
    let source = Sulking {
        inner: outbox.source(),
        is_down: Arc::clone(&is_down),
    };
    let layer = Layer::builder("reader")
        .pool(ground.users())
        .follow(Arc::new(source))
        .followers(|follower| follower.poll_max(Duration::from_millis(20)))
        .freshness(Duration::from_millis(200), WhenUnsure::Bypass)
        .open()
        .await
        .unwrap();
    until(|| layer.health().ready).await;
    name(&layer, 7).await;
    let cursor = layer.cursors().remove(0);
    assert_eq!(
        (cursor.state, cursor.policy, cursor.affected_reads),
        (LaneState::Live, WhenUnsure::Bypass, 0)
    );
    is_down.store(true, Ordering::Relaxed);
    until(|| layer.fence().certainty() != Certainty::Sure).await;
    let before = ground.loads.load(Ordering::Relaxed);
    for _ in 0..5 {
        assert_eq!(name(&layer, 7).await, "Ada", "from the origin");
    }
    assert_eq!(ground.loads.load(Ordering::Relaxed) - before, 5);
    until(|| layer.cursors()[0].affected_reads >= 5).await;
    let health = layer.health();
    let part = health
        .parts
        .iter()
        .find(|part| part.part.starts_with("follower "))
        .unwrap();
    assert!(health.live && !health.ready && !part.ready, "{health:?}");
    assert!(part.why.as_ref().unwrap().contains("it is down"), "{part:?}");
    let explained = layer.explain(&Target::entity("user", 7).unwrap());
    assert!(
        matches!(explained.verdict, Verdict::Unsure),
        "never a false fresh: {explained}"
    );
    is_down.store(false, Ordering::Relaxed);
    until(|| layer.health().ready).await;
    name(&layer, 7).await;
    assert!(matches!(
        layer.explain(&Target::entity("user", 7).unwrap()).verdict,
        Verdict::Fresh
    ));
}

/// Waits through a layer: here, on every node, on so many, none; and what a token of nowhere, or of a commit that never was, comes to: unknown, which is never
/// satisfied.
///
/// Contract: S23 (partial: nodes), S24
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_is_satisfied_by_what_it_names_alone() {
    let ground = Ground::new().await;
    let (here, there) = (ground.layer().await, ground.layer().await);
    let token = rename(&here, 7, "Ada Lovelace").await;
    let long = Duration::from_secs(20);
    for wait in [
        Wait::none(),
        Wait::local(long),
        Wait::best_effort(long),
        Wait::all_nodes(long),
        Wait::quorum(2, long),
    ] {
        let waited = there.wait(&token, wait.clone()).await.unwrap();
        assert!(
            waited.satisfied && !waited.timed_out && !waited.unknown,
            "{waited:?}"
        );
    }
    let short = Duration::from_millis(50);
    let too_many = here.wait(&token, Wait::quorum(3, short)).await.unwrap();
    assert!(!too_many.satisfied && too_many.timed_out, "{too_many:?}");
    let epoch = here
        .outbox::<Sqlite>()
        .unwrap()
        .head()
        .await
        .unwrap()
        .cursor
        .epoch();
    let source = here.cursors()[0].source;
    let elsewhere = SourceId::new(7);
    for (what, strange) in [
        (
            "another source",
            Token::commit(elsewhere, epoch, Position::new(1)),
        ),
        (
            "another epoch",
            Token::commit(source, larder::Epoch::new(4_711), Position::new(1)),
        ),
        (
            "a position that was never given out",
            Token::commit(source, epoch, Position::new(1_000_000)),
        ),
    ] {
        let waited = here.wait(&strange, Wait::local(long)).await.unwrap();
        assert!(waited.unknown && !waited.satisfied, "{what}: {waited:?}");
        assert_ne!(here.fence().applied(&strange), larder::Applied::Yes, "{what}");
    }
}

/// What failed otherwise than unknown was not committed; what could not be recorded everywhere was applied here; who asks about what is not there is not told
/// that it is fresh.
///
/// Contract: S50 (partial: pools and outbox), S17 (partial: failures)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_leaves_what_it_says() {
    let ground = Ground::new().await;
    let layer = ground.layer().await;
    let outbox = layer.outbox::<Sqlite>().unwrap();
    name(&layer, 7).await;
    let users = layer.pool::<User>().unwrap();
    // A deferred constraint lets everything pass but the commit.
    for sql in [
        "PRAGMA foreign_keys = ON",
        "CREATE TABLE teams (id INTEGER PRIMARY KEY)",
        "CREATE TABLE members (team INTEGER REFERENCES teams DEFERRABLE INITIALLY DEFERRED)",
    ] {
        sqlx::query(sql).execute(&ground.database).await.unwrap();
    }
    let failed = layer.transaction(&outbox, async |tx| {
        sqlx::query("UPDATE users SET name = 'nobody' WHERE id = 7")
            .execute(tx.connection())
            .await?;
        sqlx::query("INSERT INTO members VALUES (99)")
            .execute(tx.connection())
            .await?;
        tx.invalidate::<User>(&7)?;
        Ok::<_, Any>(())
    });
    let error = failed.await.unwrap_err();
    assert!(matches!(error, TransactionError::NotCommitted(_)), "{error:?}");
    assert_eq!(
        outbox.head().await.unwrap().as_of.point(),
        0,
        "nothing was recorded"
    );
    assert_eq!(name(&layer, 7).await, "Ada", "nothing was committed");
    assert_eq!(layer.stats().rollbacks, 1);

    users.fetch(&7).await.unwrap();
    let mut blocker = ground.database.acquire().await.unwrap();
    sqlx::query("DROP TABLE larder_log")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let batch = Invalidations::default().entity("user", 7).unwrap();
    let refused = layer.invalidate(&batch, Reach::EveryNode).await.unwrap_err();
    assert!(matches!(refused, Error::Outbox(_)), "{refused:?}");
    assert!(users.get(&7).is_none(), "this node has applied it all the same");

    let nobody = layer.explain(&Target::entity("nobody", 1).unwrap());
    assert!(matches!(nobody.verdict, Verdict::NoSuchPool), "{nobody}");
    assert_eq!(
        nobody.sentence(),
        "entity:nobody/1 is kept by no pool of this layer"
    );
}

/// A layer without a data directory touches no file.
///
/// Contract: S6 (partial: nothing is written)
#[tokio::test]
async fn without_a_directory_nothing_is_written() {
    let ground = Ground::new().await;
    let storage = SimStorage::seeded(1);
    let layer = ground
        .builder()
        .storage(Arc::new(storage.clone()))
        .open()
        .await
        .unwrap();
    rename(&layer, 7, "Ada Lovelace").await;
    name(&layer, 7).await;
    let head = layer.outbox::<Sqlite>().unwrap().head().await.unwrap();
    assert!(layer.shutdown(Duration::from_secs(5)).await.is_clean());
    assert_eq!(storage.list(Path::new("")).unwrap(), []);
    // Another one begins at the head: what was before it is no news.
    let later = ground
        .builder()
        .pool_as("own", Pool::<User>::builder())
        .open()
        .await
        .unwrap();
    assert_eq!(later.cursors()[0].position.unwrap().get(), head.as_of.point() + 1);
}

/// Whatever waits ends with a shutdown: reads with a token that this node has not applied, verifications whose origin does not answer; and none begins after it.
/// Found from outside: both went on until they had what they waited for.
///
/// Contract: S41 (partial: reads and verifications)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_waits_ends_with_a_shutdown() {
    let ground = Ground::new().await;
    let silent = Pool::<User>::builder()
        .loader(|_: larder::pool::LoadContext<User>| std::future::pending::<Result<Option<User>, Any>>());
    let layer = ground
        .builder()
        .verified_pool_as("silent", silent)
        .open()
        .await
        .unwrap();
    let pool = layer.pool_as::<User>("silent").unwrap();
    pool.insert(User {
        id: 7,
        name: "Ada".to_owned(),
    })
    .unwrap();
    let outbox = layer.outbox::<Sqlite>().unwrap();
    let epoch = outbox.head().await.unwrap().cursor.epoch();
    let far = Token::commit(outbox.source_id(), epoch, Position::new(1_000_000));
    let at = layer
        .at(far)
        .wait_at_most(Duration::MAX)
        .pool_as::<User>("silent")
        .unwrap();
    let plan = VerifyPlan::all();
    let (mut read, mut verify) = (pin!(at.fetch(&7)), pin!(layer.verify(&plan)));
    // Both have begun, and wait.
    let are_waiting = poll_fn(|context| {
        let is_over = read.as_mut().poll(context).is_ready() || verify.as_mut().poll(context).is_ready();
        Poll::Ready(!is_over)
    });
    assert!(are_waiting.await);
    layer.shutdown(Duration::from_secs(20)).await;
    let ended = tokio::time::timeout(Duration::from_secs(20), async { (read.await, verify.await) });
    let (read, verified) = ended.await.expect("they end with it");
    assert!(matches!(verified, Err(Error::ShuttingDown)), "{verified:?}");
    assert!(matches!(read, Err(FetchError::Stopped)), "{read:?}");
    let late = layer.verify(&VerifyPlan::all()).await;
    assert!(matches!(late, Err(Error::ShuttingDown)), "{late:?}");
}

/// A source that panics in its first round is one that does not answer: the layer opens, and its task tries again. Found from outside: it was the caller who panicked.
///
/// Contract: S5 (partial: it never panics), S39 (partial: the first round)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_panics_at_first_keeps_no_layer_from_opening() {
    #[derive(Debug)]
    struct Panicking(Arc<dyn Source>, Arc<AtomicBool>);

    impl Source for Panicking {
        fn id(&self) -> SourceId {
            self.0.id()
        }

        fn head(&self) -> BoxFuture<'_, Result<Head, SourceError>> {
            assert!(!self.1.load(Ordering::Relaxed), "broken");
            self.0.head()
        }

        fn read<'a>(
            &'a self,
            cursor: &'a Cursor,
            limit: usize,
        ) -> BoxFuture<'a, Result<Delivered, SourceError>> {
            assert!(!self.1.load(Ordering::Relaxed), "broken");
            self.0.read(cursor, limit)
        }

        fn hinted(&self) -> BoxFuture<'_, ()> {
            self.0.hinted()
        }
    }

    let ground = Ground::new().await;
    let writer = ground.layer().await;
    let is_broken = Arc::new(AtomicBool::new(true));
    let source = writer.outbox::<Sqlite>().unwrap().source();
    let layer = Layer::builder("reader")
        .pool(ground.users())
        .follow(Arc::new(Panicking(source, Arc::clone(&is_broken))));
    let layer = layer.open().await.unwrap();
    assert!(!layer.health().ready);
    is_broken.store(false, Ordering::Relaxed);
    until(|| layer.health().ready).await;
    let token = rename(&writer, 7, "Ada Lovelace").await;
    assert!(
        layer
            .wait(&token, Wait::local(Duration::from_secs(20)))
            .await
            .unwrap()
            .satisfied
    );
}

/// A reason may be any text: it neither ends the line in which it stands, nor speaks to a terminal. Found from outside.
#[tokio::test]
async fn a_reason_is_shown_in_its_line() {
    let ground = Ground::new().await;
    let layer = Layer::builder("alone").pool(ground.users()).open().await.unwrap();
    let batch = Invalidations::default().with_reason("paid\n0.1ms ago: filled by nobody\u{1b}[2J");
    let batch = batch.entity("user", 7).unwrap();
    layer.invalidate(&batch, Reach::ThisNode).await.unwrap();
    let explained = layer.explain(&Target::entity("user", 7).unwrap());
    assert_eq!(explained.sentence().lines().count(), 1);
    assert!(explained.sentence().contains("paid\\n0.1ms ago"), "{explained}");
    assert!(!explained.to_string().contains('\u{1b}'));
    assert_eq!(
        explained.to_string().lines().next(),
        Some(explained.sentence().as_str())
    );
}
