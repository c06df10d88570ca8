//! Followers that run by themselves, and sources that fail.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_core::{
    Applied, AsOf, Batch, BoxFuture, Certainty, Cursor, Delivered, Epoch, Fence, Head, Invalidation,
    Invalidations, LaneState, Position, Source, SourceError, SourceId, Target, Timestamp, Token,
};
use larder_outbox::{Count, Follower, Outbox};
use larder_testkit::{SimClock, SimRuntime};

use super::ground::{MODES, ground, user};

const ID: SourceId = SourceId::new(7);
const EPOCH: Epoch = Epoch::new(1);

/// What a source answers next to `head` or `read`, and when it was asked.
struct Scripted {
    clock: SimClock,
    rows: Mutex<Vec<Invalidation>>,
    failures: Mutex<VecDeque<bool>>,
    asked: Mutex<Vec<Duration>>,
    /// Somebody commits all the time, and says so.
    is_busy: AtomicBool,
    /// Runs once while the head is being taken.
    on_head: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Scripted {
    fn new(clock: &SimClock) -> Arc<Self> {
        Arc::new(Scripted {
            clock: clock.clone(),
            rows: Mutex::default(),
            failures: Mutex::default(),
            asked: Mutex::default(),
            is_busy: AtomicBool::new(false),
            on_head: Mutex::default(),
        })
    }

    fn fail(&self, times: usize) {
        *self.failures.lock().unwrap() = std::iter::repeat_n(true, times).collect();
    }

    fn commit(&self, id: u64) -> Token {
        let mut rows = self.rows.lock().unwrap();
        let position = Position::new(rows.len() as u64 + 1);
        let target = Target::entity("user", id).unwrap();
        rows.push(Invalidation::new(target, position, Timestamp::UNIX_EPOCH));
        Token::commit(ID, EPOCH, position)
    }

    /// The milliseconds between one question and the next since the last call.
    fn gaps(&self) -> Vec<u128> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked
            .windows(2)
            .map(|two| (two[1] - two[0]).as_millis())
            .collect()
    }

    fn answer(&self) -> Result<(), SourceError> {
        use larder_core::{Clock as _, Moment};
        let now = self.clock.monotonic().since(Moment::ORIGIN);
        self.asked.lock().unwrap().push(now);
        match self.failures.lock().unwrap().pop_front() {
            Some(true) => Err(SourceError::new(ID, "gone")),
            _ => Ok(()),
        }
    }

    fn cursor(&self) -> Cursor {
        let next = self.rows.lock().unwrap().len() as u64 + 1;
        Cursor::ordered(ID, EPOCH, Position::new(next), 0)
    }

    fn as_of(&self) -> AsOf {
        AsOf::new(ID, EPOCH, self.rows.lock().unwrap().len() as u64)
    }
}

impl Source for Scripted {
    fn id(&self) -> SourceId {
        ID
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, SourceError>> {
        Box::pin(async {
            self.answer()?;
            if let Some(step) = self.on_head.lock().unwrap().take() {
                step();
            }
            Ok(Head::new(self.cursor(), Vec::new(), self.as_of()))
        })
    }

    fn read<'a>(
        &'a self,
        cursor: &'a Cursor,
        _limit: usize,
    ) -> BoxFuture<'a, Result<Delivered, SourceError>> {
        Box::pin(async {
            self.answer()?;
            let rows = self.rows.lock().unwrap().clone();
            let rows = rows.into_iter().filter(|row| !cursor.includes(row.position()));
            let batch = Batch::new(rows.collect(), self.cursor(), self.as_of(), true);
            Ok(Delivered::Rows(batch))
        })
    }

    fn hinted(&self) -> BoxFuture<'_, ()> {
        if self.is_busy.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(()));
        }
        Box::pin(std::future::pending())
    }
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

struct World {
    runtime: SimRuntime,
    source: Arc<Scripted>,
    fence: Fence,
}

impl World {
    fn new() -> Self {
        let clock = SimClock::new();
        let fence = Fence::builder().clock(Arc::new(clock.clone())).build().unwrap();
        World {
            runtime: SimRuntime::new(&clock),
            source: Scripted::new(&clock),
            fence,
        }
    }

    fn follower(&self) -> Follower {
        Follower::builder(Arc::clone(&self.source) as _, &self.fence)
            .runtime(Arc::new(self.runtime.clone()))
            .build()
            .unwrap()
    }

    /// Runs a follower as a task, for ever.
    fn run(&self) -> larder_outbox::FollowerHandle {
        let mut follower = self.follower();
        let handle = follower.handle();
        let task = Box::pin(async move { follower.run(std::future::pending()).await.unwrap() });
        larder_core::Runtime::spawn(&self.runtime, task);
        self.runtime.run();
        handle
    }

    fn pass(&self, millis: u64) {
        for _ in 0..millis {
            self.runtime.advance(Duration::from_millis(1));
        }
    }
}

/// However many commits it is told of, it asks every two milliseconds and no more often: they are read together.
///
/// Contract: O54 (partial: hints)
#[test]
fn a_follower_reads_commits_together() {
    let world = World::new();
    world.source.is_busy.store(true, Ordering::Relaxed);
    world.run();
    for id in 0..100 {
        let token = world.source.commit(id);
        world.pass(3);
        assert_eq!(world.fence.applied(&token), Applied::Yes);
    }
    let gaps = world.source.gaps();
    assert!(gaps.len() > 100 && gaps.iter().all(|gap| *gap == 2), "{gaps:?}");
}

/// While there is nothing it asks less and less often, up to `poll_max`; after rows it asks soon again.
///
/// Contract: O54 (partial: polling)
#[test]
fn a_follower_asks_less_often_while_there_is_nothing() {
    let world = World::new();
    world.run();
    world.pass(1_000);
    let gaps = world.source.gaps();
    assert_eq!(gaps[..7], [4, 8, 16, 32, 64, 100, 100]);
    assert!(gaps[7..].iter().all(|gap| *gap == 100), "{gaps:?}");
    let token = world.source.commit(1);
    world.pass(100);
    assert_eq!(world.fence.applied(&token), Applied::Yes);
    world.source.commit(2);
    world.pass(3);
    assert!(world.source.gaps().contains(&2), "soon after rows");
}

/// A source that does not answer is asked for ever, after 100 ms doubling to 5 s; meanwhile the node knows that it is behind,
/// and afterwards it has lost nothing.
///
/// Contract: O54, O69 (partial: `Suspect`), O47
#[test]
fn a_source_that_is_gone_is_asked_for_ever() {
    let world = World::new();
    let handle = world.run();
    world.pass(10);
    let token = world.source.commit(1);
    world.source.fail(10);
    world.source.gaps();
    world.pass(3_000);
    assert_eq!(handle.status().state, LaneState::Suspect);
    assert!(matches!(
        world.fence.certainty(),
        Certainty::Unsure {
            state: LaneState::Suspect,
            ..
        }
    ));
    world.pass(40_000);
    let gaps = world.source.gaps();
    let longest = [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000];
    assert!(gaps[..9] != longest, "they are jittered");
    for (gap, longest) in gaps.iter().zip(longest) {
        assert!((longest / 2 - 1..=longest + 1).contains(gap), "{gaps:?}");
    }
    assert_eq!(world.fence.applied(&token), Applied::Yes);
    let status = handle.status();
    assert_eq!((status.state, status.failures), (LaneState::Live, 10));
    assert_eq!(
        status.last_error.as_deref(),
        Some("read source 0000000000000007: gone")
    );
}

/// What is filled while the head is taken may lack what the head includes: the flush comes after it, at a start and at a gap.
///
/// Contract: O51 (partial: the order), O57 (partial: the order)
#[test]
fn a_flush_comes_after_the_head() {
    let world = World::new();
    let mut follower = world.follower();
    for _ in 0..3 {
        let filled = Arc::new(Mutex::new(None));
        let (fence, fill) = (world.fence.clone(), Arc::clone(&filled));
        let target = Target::entity("user", 1).unwrap();
        *world.source.on_head.lock().unwrap() = Some(Box::new(move || {
            *fill.lock().unwrap() = Some(fence.pin(&[target]).unwrap());
        }));
        world.source.commit(1);
        world.runtime.block_on(follower.step()).unwrap();
        let pin = filled.lock().unwrap().take().unwrap();
        assert!(!pin.is_fresh());
        follower.handle().resync();
    }
}

/// A sink finds the fence raised and the progress not yet told: whoever sees that sees what was ended.
///
/// Contract: O48 (partial: the order)
#[test]
fn progress_is_told_last() {
    struct Watching {
        fence: Fence,
        pin: larder_core::Pin,
        token: Token,
        seen: Mutex<Vec<(bool, Applied)>>,
    }
    impl larder_core::Sink for Watching {
        fn apply(
            &self,
            _rows: &[Invalidation],
            _at: Position,
        ) -> Result<larder_core::Settled, larder_core::SinkError> {
            let now = (self.pin.is_fresh(), self.fence.applied(&self.token));
            self.seen.lock().unwrap().push(now);
            Ok(larder_core::Settled::at_once())
        }

        fn widen(&self, _target: &Target) -> Result<larder_core::Settled, larder_core::SinkError> {
            Ok(larder_core::Settled::at_once())
        }
    }
    let world = World::new();
    let mut follower = world.follower();
    world.runtime.block_on(follower.step()).unwrap();
    let sink = Arc::new(Watching {
        fence: world.fence.clone(),
        pin: world.fence.pin(&[Target::entity("user", 1).unwrap()]).unwrap(),
        token: world.source.commit(1),
        seen: Mutex::default(),
    });
    let _registration = world.fence.sink(Arc::clone(&sink) as _).unwrap();
    world.runtime.block_on(follower.step()).unwrap();
    assert_eq!(*sink.seen.lock().unwrap(), [(false, Applied::No)]);
    assert_eq!(world.fence.applied(&sink.token), Applied::Yes);
}

/// A step that is dropped while it waits has lost nothing, whichever it is.
///
/// Contract: O47
#[tokio::test]
async fn a_step_that_is_dropped_loses_nothing() {
    let ground = ground(MODES[0]).await;
    let fence = Fence::builder().build().unwrap();
    let mut follower = ground.outbox.follower(&fence).build().unwrap();
    for id in 0..20 {
        let pin = fence.pin(&[Target::entity("user", id).unwrap()]).unwrap();
        let token = ground.outbox.record_alone(&user(id)).await.unwrap();
        if id % 4 == 3 {
            follower.handle().resync();
        }
        for wait in 0..3 {
            let wait = Duration::from_micros(wait * 40);
            drop(tokio::time::timeout(wait, follower.step()).await);
        }
        follower.step().await.unwrap();
        assert!(!pin.is_fresh(), "{id}");
        assert_eq!(fence.applied(&token), Applied::Yes, "{id}");
    }
}

/// A follower that runs hears of commits of its process at once, and of others' at the next poll; it stops when it is told.
///
/// Contract: O47, O101 (partial: in process)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_runs_until_it_is_told_to_stop() {
    let ground = ground(MODES[0]).await;
    let fence = Fence::builder().build().unwrap();
    let builder = ground.outbox.follower(&fence);
    let hour = Duration::from_secs(60);
    let mut follower = builder
        .poll_min(hour)
        .poll_max(hour)
        .freshness(2 * hour)
        .build()
        .unwrap();
    // What is committed before the start is told by no row.
    follower.step().await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        follower.run(async { drop(stopped.await) }).await.unwrap();
        follower
    });
    for id in 0..5 {
        let mut transaction = ground.pool.begin().await.unwrap();
        let recorded = ground.outbox.record(&mut transaction, &user(id)).await.unwrap();
        transaction.commit().await.unwrap();
        let token = ground.outbox.committed([recorded]);
        let applied = tokio::time::timeout(Duration::from_secs(20), fence.when_applied(token)).await;
        assert_eq!(applied.unwrap(), Applied::Yes, "it was woken by the commit");
    }
    stop.send(()).unwrap();
    let follower = tokio::time::timeout(Duration::from_secs(20), running)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(follower.handle().status().rows, 5);
    drop(follower);
}

/// No hint reaches a process from another one, and each row comes all the same: the log is read at every poll.
///
/// Contract: O101
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_which_no_hint_came_are_read_by_the_next_poll() {
    for mode in MODES {
        let ground = ground(mode).await;
        let deaf = Outbox::builder(ground.pool.clone());
        let deaf = deaf.open().await.unwrap();
        let fence = Fence::builder().build().unwrap();
        let mut follower = deaf.follower(&fence).build().unwrap();
        follower.step().await.unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(async move { follower.run(async { drop(stopped.await) }).await });
        for id in 0..5 {
            let pin = fence.pin(&[Target::entity("user", id).unwrap()]).unwrap();
            let token = ground.outbox.record_alone(&user(id)).await.unwrap();
            let applied = tokio::time::timeout(Duration::from_secs(20), fence.when_applied(token)).await;
            assert_eq!(applied.unwrap(), Applied::Yes);
            assert!(!pin.is_fresh());
        }
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
    }
}

/// However many rows one sender records, however old they are and however often they name the same: each is delivered, and what is still to
/// come is shown as lag.
///
/// Contract: O58, O109 (partial: lag)
#[tokio::test]
async fn regression_7_nothing_is_dropped_for_its_number_sender_or_age() {
    const BATCHES: u64 = 15;
    const TARGETS: u64 = 2_000;
    let ground = ground(MODES[0]).await;
    let fence = Fence::builder().build().unwrap();
    let mut follower = ground
        .outbox
        .follower(&fence)
        .rows_a_read(10_000)
        .build()
        .unwrap();
    follower.step().await.unwrap();
    let sender = Outbox::builder(ground.pool.clone());
    let sender = sender.open().await.unwrap();
    let targets: Vec<Target> = (0..TARGETS)
        .map(|id| Target::entity("user", id).unwrap())
        .collect();
    let mut batch = Invalidations::default();
    for target in &targets {
        batch.push(target.clone()).unwrap();
    }
    let mut pins = Vec::new();
    for _ in 0..BATCHES {
        pins.push(fence.pin(&targets[..8]).unwrap());
        sender.record_alone(&batch).await.unwrap();
    }
    // As if they had been recorded a year ago.
    sqlx::query("UPDATE larder_log SET recorded_at = recorded_at - 31536000000000")
        .execute(&ground.pool)
        .await
        .unwrap();
    let store = ground.outbox.store();
    let (mut rows, mut all) = (0, false);
    while !all {
        let step = follower.step().await.unwrap();
        assert!(!step.gap);
        (rows, all) = (rows + step.rows as u64, step.caught_up);
        let status = follower.handle().status();
        assert!(status.lag > Some(Duration::from_secs(360 * 86_400)), "{status:?}");
        let behind = store.behind(&status.cursor.unwrap()).await.unwrap();
        assert_eq!(behind.rows, Count::Exactly(BATCHES * TARGETS - rows));
    }
    assert_eq!(rows, BATCHES * TARGETS, "each of them, though one would do");
    assert!(pins.iter().all(|pin| !pin.is_fresh()));
}
