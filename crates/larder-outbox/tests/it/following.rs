//! Followers over SQLite: what a node learns, and when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_core::{
    Applied, Certainty, Cursor, CursorHome, Fence, Invalidation, Invalidations, LaneState, Namespace, Pin,
    Position, SaveError, Settled, Settler, Sink, SinkError, Target,
};
use larder_outbox::{Error, Follower, Outbox};
use larder_testkit::SimClock;
use sqlx::Sqlite;

use super::ground::{Ground, MODES, ground, pool, user};

/// A process of the service: an outbox of its own on the file, a fence, a follower.
struct Node {
    outbox: Outbox<Sqlite>,
    clock: SimClock,
    fence: Fence,
    follower: Follower,
}

impl Node {
    async fn on(ground: &Ground) -> Self {
        Self::with(ground, |follower| follower).await
    }

    async fn with(
        ground: &Ground,
        build: impl FnOnce(larder_outbox::FollowerBuilder) -> larder_outbox::FollowerBuilder,
    ) -> Self {
        let pool = pool(&ground.file(), ground.mode).await;
        let outbox = Outbox::builder(pool).open().await.unwrap();
        let clock = SimClock::new();
        let fence = Fence::builder().clock(Arc::new(clock.clone())).build().unwrap();
        let follower = build(outbox.follower(&fence)).build().unwrap();
        Node {
            outbox,
            clock,
            fence,
            follower,
        }
    }

    fn pin(&self, target: &Target) -> Pin {
        self.fence.pin(std::slice::from_ref(target)).unwrap()
    }
}

fn of_user(id: u64) -> Target {
    Target::entity("user", id).unwrap()
}

/// What one process commits, another believes no longer after its next round; what was not named stays.
///
/// Contract: O46, O48 (partial: fence, progress), O50 (partial: with no cursor kept every start is a cold one)
#[tokio::test]
async fn a_commit_of_one_process_reaches_the_others() {
    for mode in MODES {
        let ground = ground(mode).await;
        let (mut one, mut other) = (Node::on(&ground).await, Node::on(&ground).await);
        for node in [&mut one, &mut other] {
            let step = node.follower.step().await.unwrap();
            assert_eq!(
                (step.rows, step.caught_up, step.gap, step.state),
                (0, true, false, LaneState::Live)
            );
        }
        let (named, beside) = (other.pin(&of_user(1)), other.pin(&of_user(2)));
        let token = one.outbox.record_alone(&user(1)).await.unwrap();
        assert!(named.is_fresh(), "it has not heard of it");
        assert_eq!(other.fence.applied(&token), Applied::No);
        let step = other.follower.step().await.unwrap();
        assert_eq!((step.rows, step.caught_up), (1, true));
        assert_eq!((named.is_fresh(), beside.is_fresh()), (false, true));
        assert_eq!(other.fence.applied(&token), Applied::Yes);
        // A third one, which follows as well, takes nothing from them.
        let mut third = Node::on(&ground).await;
        third.follower.step().await.unwrap();
        assert_eq!(third.fence.applied(&token), Applied::Yes);
        assert_eq!(one.follower.step().await.unwrap().rows, 1);
    }
}

/// A commit is applied here when it returns, and ends nothing a second time when the follower meets it.
///
/// Contract: O21 (partial: without waits), O59
#[tokio::test]
async fn an_own_commit_is_applied_when_it_returns() {
    for mode in MODES {
        let ground = ground(mode).await;
        let mut node = Node::on(&ground).await;
        node.follower.step().await.unwrap();
        let before = node.pin(&of_user(1));
        let mut transaction = node.outbox.begin().await.unwrap();
        let _ = transaction.record(&user(1)).await.unwrap();
        let _ = transaction.record(&user(2)).await.unwrap();
        assert!(before.is_fresh(), "it is not committed");
        let token = transaction.commit().await.unwrap();
        assert!(!before.is_fresh());
        assert_eq!(node.fence.applied(&token), Applied::Yes);
        let (first, second) = (node.pin(&of_user(1)), node.pin(&of_user(2)));
        let step = node.follower.step().await.unwrap();
        assert_eq!(step.rows, 2);
        assert!(
            first.is_fresh() && second.is_fresh(),
            "they were filled after the commit"
        );
        assert_eq!(node.fence.applied(&token), Applied::Yes);
    }
}

/// A plain transaction is applied by `committed`; called too early it loses nothing.
///
/// Contract: O22
#[tokio::test]
async fn regression_23_a_receipt_that_is_given_too_early_loses_nothing() {
    let ground = ground(MODES[0]).await;
    let mut node = Node::on(&ground).await;
    node.follower.step().await.unwrap();
    let before = node.pin(&of_user(1));
    let mut transaction = ground.pool.begin().await.unwrap();
    let recorded = node.outbox.record(&mut transaction, &user(1)).await.unwrap();
    let token = node.outbox.committed([recorded]);
    assert!(!before.is_fresh(), "it is applied at once");
    let between = node.pin(&of_user(1));
    transaction.commit().await.unwrap();
    assert!(between.is_fresh() && node.fence.applied(&token) == Applied::No);
    node.follower.step().await.unwrap();
    assert!(
        !between.is_fresh(),
        "a load in between has read what was before the commit"
    );
    assert_eq!(node.fence.applied(&token), Applied::Yes);
}

/// Rows that are applied twice, or in another order, end what they end once applied: no more, and no less.
///
/// Contract: O49
#[test]
fn twice_or_in_another_order_is_the_same_as_once() {
    use larder_core::{AsOf, Epoch, Head, SourceId, Timestamp};
    let (source, epoch) = (SourceId::new(1), Epoch::new(1));
    larder_testkit::for_each_seed(200, |seed| {
        let mut random = larder_testkit::Random::seeded(seed);
        let rows: Vec<Invalidation> = (0..1 + random.below(12))
            .map(|at| {
                let target = match random.below(4) {
                    0 => Target::collection("user").unwrap(),
                    1 => Target::tag("shop", format!("t{}", random.below(3))).unwrap(),
                    2 if random.chance(10) => Target::namespace("shop").unwrap(),
                    _ => of_user(random.below(5)),
                };
                Invalidation::new(target, Position::new(at + 1), Timestamp::UNIX_EPOCH)
            })
            .collect();
        let fresh = |rows: &[Invalidation]| {
            let fence = Fence::builder().build().unwrap();
            let lane = fence.lane(source).unwrap();
            let cursor = Cursor::ordered(source, epoch, Position::new(1), 0);
            lane.begin(&Head::new(cursor, Vec::new(), AsOf::new(source, epoch, 0)));
            let users = (0..6).map(of_user);
            let tags = (0..4).map(|tag| Target::tag("shop", format!("t{tag}")).unwrap());
            let pins: Vec<Pin> = users
                .chain(tags)
                .map(|target| fence.pin(&[target]).unwrap())
                .collect();
            lane.raise(rows, AsOf::new(source, epoch, 100));
            pins.iter().map(Pin::is_fresh).collect::<Vec<bool>>()
        };
        let once = fresh(&rows);
        let mut other: Vec<Invalidation> = rows.iter().chain(&rows).cloned().collect();
        for at in (1..other.len()).rev() {
            other.swap(at, random.index(at + 1));
        }
        assert_eq!(fresh(&other), once);
    });
}

/// A start flushes after it has taken the head; a node that hears nothing knows it when its lease is over.
///
/// Contract: O51 (partial: a cold start), O69 (partial: `Starting`, `Live`, `Lagging`), O70 (partial: by the clock)
#[tokio::test]
async fn a_node_is_sure_while_its_lease_lasts() {
    let ground = ground(MODES[0]).await;
    ground.outbox.record_alone(&user(1)).await.unwrap();
    let mut node = Node::with(&ground, |follower| follower.freshness(Duration::from_secs(1))).await;
    assert_eq!(node.follower.handle().status().state, LaneState::Starting);
    assert!(matches!(node.fence.certainty(), Certainty::Unsure { .. }));
    let before = node.pin(&of_user(7));
    let step = node.follower.step().await.unwrap();
    assert!(
        !before.is_fresh(),
        "what was filled before the head was taken may be old"
    );
    assert_eq!((step.rows, step.state), (0, LaneState::Live));
    assert_eq!(node.fence.certainty(), Certainty::Sure);
    node.clock.advance(Duration::from_millis(999));
    assert_eq!(node.fence.certainty(), Certainty::Sure);
    node.clock.advance(Duration::from_millis(1));
    assert!(matches!(node.fence.certainty(), Certainty::Unsure { .. }));
    assert_eq!(node.follower.handle().status().state, LaneState::Lagging);
    node.follower.step().await.unwrap();
    assert_eq!(node.fence.certainty(), Certainty::Sure);
}

/// A commit that is read in parts counts as applied after the last; each part is believed no longer as soon as it was read.
///
/// Contract: O32 (partial: SQLite), O48 (partial: progress)
#[tokio::test]
async fn a_commit_in_parts_counts_when_it_is_whole() {
    let ground = ground(MODES[0]).await;
    let mut node = Node::with(&ground, |follower| follower.rows_a_read(2)).await;
    node.follower.step().await.unwrap();
    let mut batch = Invalidations::default();
    for id in 0..5 {
        batch.push(of_user(id)).unwrap();
    }
    let pins: Vec<Pin> = (0..5).map(|id| node.pin(&of_user(id))).collect();
    let token = ground.outbox.record_alone(&batch).await.unwrap();
    for (read, caught_up) in [(2, false), (4, false), (5, true)] {
        assert_eq!(node.fence.applied(&token), Applied::No);
        let step = node.follower.step().await.unwrap();
        assert_eq!(step.caught_up, caught_up);
        let fresh: Vec<bool> = pins.iter().map(Pin::is_fresh).collect();
        assert_eq!(fresh, (0..5).map(|at| at >= read).collect::<Vec<_>>());
    }
    assert_eq!(node.fence.applied(&token), Applied::Yes);
}

/// Purged rows, new epochs, a follower that is asked to: the node is flushed, counts it, and goes on.
///
/// Contract: O57 (partial: not takeover), O58 (partial: `resync`), O43
#[tokio::test]
async fn regression_12_what_cannot_be_known_is_flushed() {
    for mode in MODES {
        let ground = ground(mode).await;
        let mut node = Node::on(&ground).await;
        node.follower.step().await.unwrap();
        for gap in ["purge", "epoch", "resync"] {
            let old = ground.outbox.record_alone(&user(1)).await.unwrap();
            match gap {
                "purge" => {
                    ground.outbox.record_alone(&user(2)).await.unwrap();
                    for sql in [
                        "DELETE FROM larder_log WHERE position < 2",
                        "UPDATE larder_meta SET value = 2 WHERE key = 'floor'",
                    ] {
                        sqlx::query(sql).execute(&ground.pool).await.unwrap();
                    }
                }
                "epoch" => ground.outbox.new_epoch().await.unwrap(),
                _ => node.follower.handle().resync(),
            }
            let unrelated = node.pin(&of_user(99));
            let step = node.follower.step().await.unwrap();
            assert!(step.gap && step.caught_up, "{gap}");
            assert_eq!(step.state, LaneState::Live, "{gap}");
            assert!(!unrelated.is_fresh(), "{gap}: nobody knows what else was missed");
            assert_eq!(
                node.fence.applied(&old),
                Applied::Yes,
                "{gap}: old tokens block nobody"
            );
            let after = node.pin(&of_user(3));
            let token = ground.outbox.record_alone(&user(3)).await.unwrap();
            assert!(!node.follower.step().await.unwrap().gap);
            assert!(
                !after.is_fresh() && node.fence.applied(&token) == Applied::Yes,
                "{gap}"
            );
        }
        assert_eq!(node.follower.handle().status().gaps, 3);
    }
}

/// Contract: O53
#[tokio::test]
async fn a_follower_may_be_limited_to_namespaces() {
    let ground = ground(MODES[0]).await;
    let shop = Namespace::new("shop").unwrap();
    let mut node = Node::with(&ground, |follower| follower.namespaces([shop.clone()])).await;
    let second = node.outbox.follower(&node.fence).build();
    assert!(matches!(second, Err(Error::AlreadyFollowing)), "{second:?}");
    node.follower.step().await.unwrap();
    let ours = [
        Target::tag("shop", "a").unwrap(),
        of_user(1),
        Target::collection("x").unwrap(),
    ];
    let theirs = [
        Target::tag("other", "a").unwrap(),
        Target::key("other", "k").unwrap(),
    ];
    let pins = |targets: &[Target]| targets.iter().map(|target| node.pin(target)).collect::<Vec<_>>();
    let (of_ours, of_theirs) = (pins(&ours), pins(&theirs));
    let mut batch = Invalidations::default();
    for target in ours.into_iter().chain(theirs) {
        batch.push(target).unwrap();
    }
    let token = ground.outbox.record_alone(&batch).await.unwrap();
    assert_eq!(node.follower.step().await.unwrap().rows, 3);
    assert!(of_ours.iter().all(|pin| !pin.is_fresh()) && of_theirs.iter().all(Pin::is_fresh));
    assert_eq!(node.fence.applied(&token), Applied::Yes);
    // Whoever looks on keeps no place.
    let handle = node.follower.handle();
    drop(node.follower);
    assert_eq!(handle.status().state, LaneState::Suspect);
    node.outbox.follower(&node.fence).build().unwrap();
}

/// Contract: O72 (partial: the range), O54 (partial: the range)
#[tokio::test]
async fn every_wrong_option_of_a_follower_is_named() {
    let ground = ground(MODES[0]).await;
    let fence = Fence::builder().build().unwrap();
    let options = |build: fn(larder_outbox::FollowerBuilder) -> larder_outbox::FollowerBuilder| match build(
        ground.outbox.follower(&fence),
    )
    .build()
    {
        Err(Error::Config(config)) => config.faults().iter().map(|fault| fault.option).collect(),
        Err(other) => panic!("{other}"),
        Ok(_) => Vec::new(),
    };
    assert_eq!(
        options(|builder| builder.freshness(Duration::from_millis(99))),
        ["freshness"]
    );
    assert_eq!(
        options(|builder| builder.freshness(Duration::from_secs(3_601))),
        ["freshness"]
    );
    assert_eq!(
        options(|builder| builder.poll_max(Duration::from_millis(1_001))),
        ["freshness"]
    );
    assert_eq!(
        options(|builder| builder.poll_max(Duration::from_millis(1_000))),
        [""; 0]
    );
    assert_eq!(
        options(|builder| builder.poll_min(Duration::from_millis(200))),
        ["poll_max"]
    );
    assert_eq!(
        options(|builder| builder
            .poll_min(Duration::ZERO)
            .rows_a_read(0)
            .freshness(Duration::ZERO)),
        ["freshness", "poll_min", "rows_a_read"]
    );
    assert_eq!(options(|builder| builder.rows_a_read(10_001)), ["rows_a_read"]);
    assert_eq!(options(|builder| builder.rows_a_read(10_000)), [""; 0]);
}

/// A home in memory.
#[derive(Default)]
struct Home(Mutex<Option<Cursor>>);

impl CursorHome for Home {
    fn load(&self) -> Option<Cursor> {
        self.0.lock().unwrap().clone()
    }

    fn save(&self, cursor: &Cursor) -> Result<(), SaveError> {
        *self.0.lock().unwrap() = Some(cursor.clone());
        Ok(())
    }
}

/// A sink that does as it is told: fails so many times, panics, settles later.
#[derive(Default)]
struct Scripted {
    failures: Mutex<usize>,
    panics: Mutex<bool>,
    cannot_widen: Mutex<bool>,
    later: Mutex<bool>,
    applied: Mutex<Vec<(u64, usize)>>,
    widened: Mutex<usize>,
    settlers: Mutex<Vec<Settler>>,
}

impl Sink for Scripted {
    fn apply(&self, rows: &[Invalidation], at: Position) -> Result<Settled, SinkError> {
        assert!(!*self.panics.lock().unwrap(), "on purpose");
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err(SinkError::new("not now"));
        }
        self.applied.lock().unwrap().push((at.get(), rows.len()));
        if *self.later.lock().unwrap() {
            let (settled, settler) = Settled::later();
            self.settlers.lock().unwrap().push(settler);
            return Ok(settled);
        }
        Ok(Settled::at_once())
    }

    fn widen(&self, _target: &Target) -> Result<Settled, SinkError> {
        if *self.cannot_widen.lock().unwrap() {
            return Err(SinkError::new("never"));
        }
        *self.widened.lock().unwrap() += 1;
        Ok(Settled::at_once())
    }
}

/// A sink is told once, tried three times, then asked to widen, then reported; reads are right all the same.
///
/// Contract: O55, O48 (partial: sinks)
#[tokio::test]
async fn a_sink_that_fails_is_tried_again_then_asked_to_widen() {
    let ground = ground(MODES[0]).await;
    let mut node = Node::on(&ground).await;
    let sink = Arc::new(Scripted::default());
    let _registration = node.fence.sink(Arc::clone(&sink) as _).unwrap();
    node.follower.step().await.unwrap();
    assert_eq!(*sink.widened.lock().unwrap(), 1, "the flush of the start");
    for (failures, panics, widens, applied) in [
        (0, false, 0, 1),
        (2, false, 0, 1),
        (3, false, 1, 0),
        (0, true, 1, 0),
    ] {
        *sink.failures.lock().unwrap() = failures;
        *sink.panics.lock().unwrap() = panics;
        let (before, told) = (*sink.widened.lock().unwrap(), sink.applied.lock().unwrap().len());
        let pin = node.pin(&of_user(1));
        ground.outbox.record_alone(&user(1)).await.unwrap();
        let step = node.follower.step().await.unwrap();
        assert_eq!((step.rows, step.widened), (1, widens));
        assert_eq!(*sink.widened.lock().unwrap() - before, widens);
        assert_eq!(sink.applied.lock().unwrap().len() - told, applied);
        assert!(!pin.is_fresh());
    }
    *sink.cannot_widen.lock().unwrap() = true;
    let token = ground.outbox.record_alone(&user(1)).await.unwrap();
    node.follower.step().await.unwrap();
    assert_eq!(node.fence.applied(&token), Applied::Yes, "it goes on");
    assert_eq!(node.follower.handle().status().unsure_sinks, 1);
}

/// A cursor is saved only when what is before it is settled; a warm start goes on from there, and is not sure before it has
/// caught up. Own commits are told to the sinks once.
///
/// Contract: O48 (partial: the cursor), O51 (partial: a warm start), O59
#[tokio::test]
async fn a_cursor_is_never_saved_ahead_of_what_it_vouches_for() {
    let ground = ground(MODES[0]).await;
    let home = Arc::new(Home::default());
    let kept = |follower: larder_outbox::FollowerBuilder| follower.cursor_home(Arc::clone(&home) as _);
    let mut node = Node::with(&ground, kept).await;
    let sink = Arc::new(Scripted::default());
    let registration = node.fence.sink(Arc::clone(&sink) as _).unwrap();
    node.follower.step().await.unwrap();
    let start = home.load().unwrap();
    *sink.later.lock().unwrap() = true;
    node.outbox.record_alone(&user(1)).await.unwrap();
    ground.outbox.record_alone(&user(2)).await.unwrap();
    node.clock.advance(Duration::from_secs(1));
    node.follower.step().await.unwrap();
    assert_eq!(*sink.applied.lock().unwrap(), [(1, 1), (2, 1)], "each once");
    assert_eq!(home.load().unwrap(), start, "the sink has not settled");
    let mut settlers = std::mem::take(&mut *sink.settlers.lock().unwrap());
    settlers.pop().unwrap().settle();
    node.clock.advance(Duration::from_secs(1));
    node.follower.step().await.unwrap();
    assert_eq!(home.load().unwrap(), start, "one of the two has not");
    settlers.pop().unwrap().settle();
    node.follower.step().await.unwrap();
    assert_eq!(home.load().unwrap().horizon().get(), 3);

    // Another run of the process: what it missed comes first.
    drop((registration, node));
    ground.outbox.record_alone(&user(3)).await.unwrap();
    let mut node = Node::with(&ground, kept).await;
    let pin = node.pin(&of_user(4));
    let step = node.follower.step().await.unwrap();
    assert_eq!(
        (step.caught_up, step.gap, step.state),
        (false, false, LaneState::Starting)
    );
    let step = node.follower.step().await.unwrap();
    assert_eq!(
        (step.rows, step.caught_up, step.state),
        (1, true, LaneState::Live)
    );
    assert!(pin.is_fresh(), "nothing was flushed");
}
