//! Nodes that know of each other: names, signs of life, what is purged beside them, and waits for them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_core::{Cursor, CursorHome, Fence, LaneState, Pin, Position, SaveError, Target};
use larder_outbox::{
    Beaten, CommitOrder, Error, Follower, FollowerBuilder, Joined, Member, MemoryStore, NodeStatus, Nodes,
    Outbox, Progress, Retention,
};
use larder_testkit::{SimClock, SimEntropy};
use sqlx::Sqlite;

use super::ground::{Ground, MODES, ground, pool, user};

const SECOND: Duration = Duration::from_secs(1);

/// A process of the service.
struct Process {
    outbox: Outbox<Sqlite>,
    fence: Fence,
    clock: SimClock,
    follower: Follower,
}

impl Process {
    async fn on(ground: &Ground, node: &str, key: Option<[u8; 16]>) -> Self {
        Self::with(ground, node, key, |follower| follower).await
    }

    async fn with(
        ground: &Ground,
        node: &str,
        key: Option<[u8; 16]>,
        build: impl FnOnce(FollowerBuilder) -> FollowerBuilder,
    ) -> Self {
        let pool = pool(&ground.file(), ground.mode).await;
        let mut builder = Outbox::builder(pool).node(node);
        if let Some(key) = key {
            builder = builder.node_key(key);
        }
        let outbox = builder.open().await.unwrap();
        let clock = SimClock::new();
        let fence = Fence::builder().clock(Arc::new(clock.clone())).build().unwrap();
        let follower = build(outbox.follower(&fence)).build().unwrap();
        Process {
            outbox,
            fence,
            clock,
            follower,
        }
    }

    fn pin(&self) -> Pin {
        self.fence.pin(&[Target::entity("user", 1).unwrap()]).unwrap()
    }

    fn node(&self) -> String {
        self.follower.handle().status().node.unwrap()
    }

    /// Two rounds: what the first has begun to say is said in the second.
    async fn speak(&mut self) {
        self.clock.advance(SECOND);
        self.follower.step().await.unwrap();
        // The sign of life goes on beside the next round, which may be done before it.
        for _ in 0..200 {
            self.clock.advance(Duration::from_millis(1));
            self.follower.step().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            let nodes = self.outbox.nodes().list().await.unwrap();
            let own = nodes.iter().find(|node| node.node == self.node());
            let cursor = self.follower.handle().status().cursor;
            if own.is_some_and(|own| own.applied == cursor) {
                return;
            }
        }
        panic!("it has said nothing");
    }
}

async fn names(outbox: &Outbox<Sqlite>) -> Vec<(String, bool)> {
    let nodes = outbox.nodes().list().await.unwrap();
    nodes.into_iter().map(|node| (node.node, node.is_live)).collect()
}

/// Lets so much time of the database pass over the signs of life.
pub(super) async fn silence(ground: &Ground, time: Duration) {
    let micros = i64::try_from(time.as_micros()).unwrap();
    sqlx::query("UPDATE larder_node SET until = until - ?1, seen_at = seen_at - ?1")
        .bind(micros)
        .execute(&ground.pool)
        .await
        .unwrap();
}

/// Of two processes of one name the second is refused, until the first was not heard of for its lease, or has gone.
///
/// Contract: O52 (partial: names)
#[tokio::test]
async fn regression_22_names_are_unique_among_the_living() {
    for mode in MODES {
        let ground = ground(mode).await;
        let mut first = Process::on(&ground, "shop-1", None).await;
        first.follower.step().await.unwrap();
        let mut second = Process::on(&ground, "shop-1", None).await;
        let refused = second.follower.step().await.unwrap_err();
        let Error::NodeInUse { node, .. } = &refused else {
            panic!("{refused:?}")
        };
        assert_eq!(node, "shop-1");
        assert!(refused.is_retryable());
        let run = second.follower.run(std::future::ready(())).await;
        assert!(matches!(run, Err(Error::NodeInUse { .. })));
        assert_eq!(
            second.follower.handle().status().state,
            LaneState::Starting,
            "nothing was done"
        );
        // Another name, and none, which is a random one.
        Process::on(&ground, "shop-2", None)
            .await
            .follower
            .step()
            .await
            .unwrap();
        silence(&ground, 11 * SECOND).await;
        second.follower.step().await.unwrap();
        assert_eq!(second.node(), "shop-1");
        // The first one wakes up: it learns of it, flushes, and goes on under another name.
        let kept = first.pin();
        for _ in 0..100 {
            first.clock.advance(SECOND);
            first.follower.step().await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
            if first.node() != "shop-1" {
                break;
            }
        }
        assert_ne!(first.node(), "shop-1");
        let status = first.follower.handle().status();
        assert_eq!(
            (status.gaps, status.last_gap),
            (1, Some("another process is this node now"))
        );
        assert!(!kept.is_fresh(), "it was flushed");
        first.speak().await;
        let mut live = names(&ground.outbox).await;
        live.retain(|(_, is_live)| *is_live);
        assert_eq!(live.len(), 2, "{live:?}");
        let random = first.node();
        let mut expected = vec![("shop-1".to_owned(), true), (random, true)];
        expected.sort();
        assert_eq!(live, expected);
    }
}

/// Whoever has the key of a node takes its place at once, and flushes; the other one is told.
///
/// Contract: O52, O57
#[tokio::test]
async fn who_has_the_key_takes_over() {
    let ground = ground(MODES[0]).await;
    let mut first = Process::on(&ground, "shop-1", Some([7; 16])).await;
    first.follower.step().await.unwrap();
    for other in [None, Some([8; 16])] {
        let mut second = Process::on(&ground, "shop-1", other).await;
        assert!(matches!(
            second.follower.step().await,
            Err(Error::NodeInUse { .. })
        ));
    }
    let mut second = Process::on(&ground, "shop-1", Some([7; 16])).await;
    let kept = second.pin();
    let step = second.follower.step().await.unwrap();
    assert!(step.gap && step.state == LaneState::Live, "{step:?}");
    assert!(!kept.is_fresh(), "the other one may have written to its data");
    assert_eq!(
        second.follower.handle().status().last_gap,
        Some("another process was this node")
    );
    // After the other one has gone there is nobody to take over from.
    second.follower.run(std::future::ready(())).await.unwrap();
    let mut third = Process::on(&ground, "shop-1", Some([7; 16])).await;
    assert!(!third.follower.step().await.unwrap().gap);
}

/// Who stops says so; whose process is killed is not live any more when its lease is over.
///
/// Contract: O50 (partial: the table)
#[tokio::test]
async fn who_stops_says_so() {
    let ground = ground(MODES[0]).await;
    let mut one = Process::on(&ground, "one", None).await;
    let mut two = Process::on(&ground, "two", None).await;
    one.speak().await;
    two.speak().await;
    assert_eq!(
        names(&ground.outbox).await,
        [("one".to_owned(), true), ("two".to_owned(), true)]
    );
    one.follower.run(std::future::ready(())).await.unwrap();
    assert_eq!(names(&ground.outbox).await, [("two".to_owned(), true)]);
    drop(two);
    silence(&ground, 9 * SECOND).await;
    assert_eq!(names(&ground.outbox).await, [("two".to_owned(), true)]);
    silence(&ground, 2 * SECOND).await;
    assert_eq!(names(&ground.outbox).await, [("two".to_owned(), false)]);
}

/// A table of nodes that counts what is said.
#[derive(Debug)]
struct Counting {
    store: MemoryStore,
    beats: Mutex<Vec<Progress>>,
}

impl Nodes for Counting {
    fn join(&self, member: Member) -> larder_core::BoxFuture<'static, Result<Joined, Error>> {
        self.store.join(member)
    }

    fn beat(
        &self,
        member: Member,
        progress: Progress,
    ) -> larder_core::BoxFuture<'static, Result<Beaten, Error>> {
        self.beats.lock().unwrap().push(progress.clone());
        self.store.beat(member, progress)
    }

    fn leave(&self, member: Member) -> larder_core::BoxFuture<'static, Result<(), Error>> {
        self.store.leave(member)
    }

    fn list(&self) -> larder_core::BoxFuture<'static, Result<Vec<NodeStatus>, Error>> {
        self.store.list()
    }
}

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

/// Progress is told at most every `publish_every`, and signs of life without progress more rarely; what is told is what is applied and what is
/// saved, and never more.
///
/// Contract: O50
#[tokio::test]
async fn progress_is_told_now_and_then() {
    let clock = SimClock::new();
    let store = MemoryStore::new(
        CommitOrder::Ordered,
        Arc::new(clock.clone()),
        Arc::new(SimEntropy::seeded(1)),
    );
    let nodes = Arc::new(Counting {
        store: store.clone(),
        beats: Mutex::default(),
    });
    let fence = Fence::builder().clock(Arc::new(clock.clone())).build().unwrap();
    let home = Arc::new(Home::default());
    let builder = Follower::builder(store.source(), &fence)
        .nodes(Arc::clone(&nodes) as Arc<dyn Nodes>, Member::new("one", 1))
        .cursor_home(Arc::clone(&home) as Arc<dyn CursorHome>)
        .publish_every(Duration::from_millis(200));
    let mut follower = builder.build().unwrap();
    for _ in 0..1_000 {
        store.record_alone(&user(1));
        follower.step().await.unwrap();
        for progress in nodes.beats.lock().unwrap().iter() {
            assert!(
                follower
                    .handle()
                    .status()
                    .cursor
                    .unwrap()
                    .includes_all(&progress.applied)
            );
            if let Some(saved) = &progress.saved {
                assert!(
                    home.load().unwrap().includes_all(saved),
                    "never ahead of what is saved"
                );
            }
        }
        clock.advance(Duration::from_millis(10));
    }
    let busy = nodes.beats.lock().unwrap().len();
    assert!((40..=60).contains(&busy), "ten seconds: {busy}");
    assert!(nodes.beats.lock().unwrap().last().unwrap().saved.is_some());
    for _ in 0..1_000 {
        follower.step().await.unwrap();
        clock.advance(Duration::from_millis(10));
    }
    let idle = nodes.beats.lock().unwrap().len() - busy;
    assert!((8..=13).contains(&idle), "half of the freshness: {idle}");
    // A table that cannot be written keeps nobody from following, and is told again later.
    store.set_gone(larder_outbox::IsGone::Yes);
    clock.advance(SECOND);
    assert!(follower.step().await.is_err());
    store.set_gone(larder_outbox::IsGone::No);
    clock.advance(SECOND);
    follower.step().await.unwrap();
    clock.advance(SECOND);
    follower.step().await.unwrap();
    assert!(store.list().await.unwrap()[0].is_live);
}

/// What a live node has not read stays, however old by `retention_min`; what a dead one has not, only if it keeps a cursor, and then for a day.
///
/// Contract: O105, O107
#[tokio::test]
async fn what_a_node_needs_stays() {
    for mode in MODES {
        let ground = ground(mode).await;
        let mut quick = Process::on(&ground, "quick", None).await;
        let mut slow = Process::on(&ground, "slow", None).await;
        let home = Arc::new(Home::default());
        let mut keeps = Process::with(&ground, "keeps", None, |follower| {
            follower.cursor_home(Arc::clone(&home) as Arc<dyn CursorHome>)
        })
        .await;
        for node in [&mut quick, &mut slow, &mut keeps] {
            node.follower.step().await.unwrap();
            node.speak().await;
        }
        for id in 1..=10 {
            ground.outbox.record_alone(&user(id)).await.unwrap();
        }
        keeps.speak().await;
        for id in 11..=20 {
            ground.outbox.record_alone(&user(id)).await.unwrap();
        }
        quick.speak().await;
        sqlx::query("UPDATE larder_log SET recorded_at = recorded_at - 300000000")
            .execute(&ground.pool)
            .await
            .unwrap();
        let retention = Retention::new()
            .retention_min(60 * SECOND)
            .retention_max(3_600 * SECOND);
        assert_eq!(
            ground.outbox.purge(retention).await.unwrap().rows,
            0,
            "the slow one is alive"
        );
        silence(&ground, 20 * SECOND).await;
        assert_eq!(
            ground.outbox.purge(retention).await.unwrap().rows,
            10,
            "what the one that keeps a cursor has read"
        );
        let report = ground
            .outbox
            .purge(retention.below(Position::new(15)))
            .await
            .unwrap();
        assert_eq!(
            (report.rows, report.nodes_cut_off),
            (4, vec!["keeps".to_owned()]),
            "at an explicit word"
        );
        silence(&ground, 24 * 3_600 * SECOND).await;
        assert_eq!(
            ground.outbox.purge(retention).await.unwrap().rows,
            5,
            "it is forgotten; the newest stays"
        );
        assert!(
            slow.follower.step().await.unwrap().gap,
            "whoever comes back is told"
        );
        assert!(keeps.follower.step().await.unwrap().gap);
        quick.follower.step().await.unwrap();
    }
}

/// Groups are named too, and lose nothing; processes that nobody has heard of for long, and that no row speaks of, are forgotten.
///
/// Contract: O107
#[tokio::test]
async fn an_explicit_floor_says_whom_it_cuts_off() {
    let ground = ground(MODES[0]).await;
    let store = ground.outbox.store();
    for group in ["done", "behind"] {
        store.open_group(&larder_outbox::Group::new(group)).await.unwrap();
    }
    for id in 1..=5 {
        ground.outbox.record_alone(&user(id)).await.unwrap();
    }
    let claim = store.claim("done", "worker", 9, 30 * SECOND).await.unwrap();
    store.acknowledge(&claim, &claim.ids()).await.unwrap();
    let report = ground
        .outbox
        .purge(Retention::new().below(Position::new(4)))
        .await
        .unwrap();
    assert_eq!(
        (report.rows, report.groups_cut_off),
        (3, vec!["behind".to_owned()])
    );
    assert_eq!(
        store
            .claim("behind", "worker", 9, 30 * SECOND)
            .await
            .unwrap()
            .rows()
            .len(),
        5
    );
    let recorders = "SELECT count(*) FROM larder_node";
    assert_eq!(ground.number(recorders).await, 1);
    silence(&ground, 25 * 3_600 * SECOND).await;
    ground.outbox.purge(Retention::new()).await.unwrap();
    assert_eq!(ground.number(recorders).await, 1, "rows speak of it");
    let other = Outbox::builder(ground.pool.clone()).open().await.unwrap();
    other.record_alone(&user(6)).await.unwrap();
    ground
        .outbox
        .purge(Retention::new().below(Position::new(6)))
        .await
        .unwrap();
    assert_eq!(ground.number(recorders).await, 2);
    silence(&ground, 25 * 3_600 * SECOND).await;
    ground.outbox.purge(Retention::new()).await.unwrap();
    assert_eq!(
        ground.number(recorders).await,
        1,
        "no row speaks of the first any more"
    );
}
