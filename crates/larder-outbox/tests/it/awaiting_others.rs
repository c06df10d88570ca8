//! Waits for other nodes, and for groups.

use std::sync::Arc;
use std::time::Duration;

use larder_core::{Epoch, Fence, Position, SourceId, Token};
use larder_outbox::{
    CommitOrder, Error, Failed, Follower, Group, Member, MemoryStore, Next, Outbox, OutboxRow, OutboxStore,
    Published, Relay, Wait, Waiter,
};
use larder_testkit::{SimClock, SimEntropy, SimRuntime, poll_once};

use super::ground::{MODES, ground, user};

const SECOND: Duration = Duration::from_secs(1);

struct Stage {
    clock: SimClock,
    runtime: SimRuntime,
    store: MemoryStore,
}

struct Node {
    fence: Fence,
    follower: Follower,
}

impl Stage {
    fn new() -> Self {
        let clock = SimClock::new();
        let runtime = SimRuntime::new(&clock);
        let store = MemoryStore::new(
            CommitOrder::Unordered,
            Arc::new(clock.clone()),
            Arc::new(SimEntropy::seeded(3)),
        );
        Stage {
            clock,
            runtime,
            store,
        }
    }

    fn node(&self, name: &str) -> Node {
        let fence = Fence::builder()
            .clock(Arc::new(self.clock.clone()))
            .build()
            .unwrap();
        let member = Member::new(name, u64::from(name.as_bytes()[0]));
        let builder =
            Follower::builder(self.store.source(), &fence).nodes(Arc::new(self.store.clone()), member);
        let follower = builder.build().unwrap();
        Node { fence, follower }
    }

    fn waiter(&self, node: &Node) -> Waiter {
        let waiter = Waiter::new(&node.fence)
            .store(Arc::new(self.store.clone()))
            .own_run(u64::from(b'a'));
        waiter.runtime(Arc::new(self.runtime.clone()))
    }

    /// A round, and a sign of life.
    fn round(&self, node: &mut Node) {
        for _ in 0..3 {
            self.clock.advance(Duration::from_millis(300));
            self.runtime.block_on(node.follower.step()).unwrap();
        }
    }
}

/// All live nodes, or so many of them; the others are named.
///
/// Contract: O67
#[test]
fn a_wait_for_nodes_names_those_that_lag() {
    let stage = Stage::new();
    let mut nodes: Vec<Node> = ["a", "b", "c"].iter().map(|name| stage.node(name)).collect();
    for node in &mut nodes {
        stage.round(node);
    }
    let waiter = stage.waiter(&nodes[0]);
    let token = stage.store.record_alone(&user(1));
    let look = |wait: Wait| stage.runtime.block_on(waiter.wait(&token, wait)).unwrap();
    let waited = look(Wait::all_nodes(Duration::ZERO));
    assert!(!waited.satisfied && waited.timed_out && waited.degraded && !waited.unknown);
    assert!(waited.pending >= 2, "{waited:?}");
    stage.round(&mut nodes[0]);
    stage.clock.advance(SECOND / 10);
    let waited = look(Wait::all_nodes(Duration::ZERO));
    assert_eq!(
        (waited.lagging, waited.pending),
        (vec!["b".to_owned(), "c".to_owned()], 2)
    );
    assert!(look(Wait::quorum(1, Duration::ZERO)).satisfied, "this one");
    assert_eq!(look(Wait::quorum(2, Duration::ZERO)).pending, 1);
    stage.round(&mut nodes[1]);
    stage.clock.advance(SECOND / 10);
    assert!(look(Wait::quorum(2, Duration::ZERO)).satisfied);
    let waited = look(Wait::all_nodes(Duration::ZERO));
    assert_eq!((waited.satisfied, waited.lagging), (false, vec!["c".to_owned()]));
    // One waits while the last one comes.
    let mut waiting = Box::pin(waiter.wait(&token, Wait::all_nodes(60 * SECOND)));
    assert!(poll_once(waiting.as_mut()).is_pending());
    stage.round(&mut nodes[2]);
    stage.runtime.advance(SECOND / 10);
    let std::task::Poll::Ready(waited) = poll_once(waiting.as_mut()) else {
        panic!("it waits on")
    };
    assert!(waited.unwrap().satisfied);
    // This one counts too.
    let token = stage.store.record_alone(&user(2));
    for node in &mut nodes[1..] {
        stage.round(node);
    }
    stage.clock.advance(SECOND / 10);
    let waited = stage
        .runtime
        .block_on(waiter.wait(&token, Wait::all_nodes(Duration::ZERO)))
        .unwrap();
    assert!(!waited.satisfied && waited.pending == 1, "{waited:?}");
    let waited = stage
        .runtime
        .block_on(waiter.wait(&token, Wait::quorum(1, Duration::ZERO)))
        .unwrap();
    assert!(!waited.satisfied, "one of so many is this one");
}

/// A node that has died is waited for no longer than its lease; one that has flushed for a new epoch has applied what was before.
///
/// Contract: O67
#[test]
fn a_wait_for_nodes_ends_with_their_leases() {
    let stage = Stage::new();
    let mut nodes: Vec<Node> = ["a", "b", "c"].iter().map(|name| stage.node(name)).collect();
    for node in &mut nodes {
        stage.round(node);
    }
    let waiter = stage.waiter(&nodes[0]);
    // The last one dies: it counts until its lease is over.
    let token = stage.store.record_alone(&user(2));
    drop(nodes.pop());
    for _ in 0..4 {
        for node in &mut nodes {
            stage.round(node);
        }
    }
    let waited = stage
        .runtime
        .block_on(waiter.wait(&token, Wait::all_nodes(Duration::ZERO)))
        .unwrap();
    assert_eq!(waited.lagging, ["c"]);
    for _ in 0..5 {
        for node in &mut nodes {
            stage.round(node);
        }
    }
    assert!(
        stage
            .runtime
            .block_on(waiter.wait(&token, Wait::all_nodes(Duration::ZERO)))
            .unwrap()
            .satisfied
    );
    // A new epoch: who has flushed for it has applied what was before.
    stage.store.new_epoch();
    for node in &mut nodes {
        stage.round(node);
    }
    stage.clock.advance(SECOND / 10);
    assert!(
        stage
            .runtime
            .block_on(waiter.wait(&token, Wait::all_nodes(Duration::ZERO)))
            .unwrap()
            .satisfied
    );
    let foreign = Token::commit(SourceId::new(1), Epoch::new(1), Position::new(1));
    let waited = stage
        .runtime
        .block_on(waiter.wait(&foreign, Wait::all_nodes(60 * SECOND)))
        .unwrap();
    assert!(
        waited.unknown && waited.degraded && !waited.timed_out,
        "nobody can tell"
    );
}

/// All who wait in a process look together.
///
/// Contract: O67
#[test]
fn waits_for_nodes_share_their_looks() {
    let stage = Stage::new();
    let mut nodes = [stage.node("a"), stage.node("b")];
    for node in &mut nodes {
        stage.round(node);
    }
    let waiter = stage.waiter(&nodes[0]);
    let token = stage.store.record_alone(&user(1));
    stage.round(&mut nodes[0]);
    let mut waits: Vec<_> = (0..100)
        .map(|_| Box::pin(waiter.wait(&token, Wait::all_nodes(60 * SECOND))))
        .collect();
    for wait in &mut waits {
        assert!(poll_once(wait.as_mut()).is_pending());
    }
    // If each looked by itself they would see at once that nobody can be asked.
    stage.store.set_gone(larder_outbox::IsGone::Yes);
    stage.clock.advance(Duration::from_millis(49));
    for _ in 0..10 {
        let mut one = Box::pin(waiter.wait(&token, Wait::all_nodes(60 * SECOND)));
        assert!(poll_once(one.as_mut()).is_pending());
    }
    stage.clock.advance(Duration::from_millis(1));
    let failed = stage
        .runtime
        .block_on(waiter.wait(&token, Wait::all_nodes(60 * SECOND)));
    assert!(matches!(failed, Err(Error::Store(_))), "{failed:?}");
}

/// Until the group is done with every row of the commit: others do not count, and a dead letter ends it at once.
///
/// Contract: O68
#[test]
fn a_wait_for_a_group_ends_with_the_commit() {
    let stage = Stage::new();
    let node = stage.node("a");
    let waiter = stage.waiter(&node);
    stage
        .runtime
        .block_on(stage.store.open_group(&Group::new("mail")))
        .unwrap();
    let other = stage.store.record_alone(&user(1));
    let token = stage.store.record_alone(&user(2).entity("user", 3).unwrap());
    let wait = || Wait::relayed("mail", 60 * SECOND);
    let mut waiting = Box::pin(waiter.wait(&token, wait()));
    assert!(poll_once(waiting.as_mut()).is_pending());
    let claim = stage
        .runtime
        .block_on(stage.store.claim("mail", "worker", 9, 30 * SECOND))
        .unwrap();
    let acknowledge = |rows: &[larder_outbox::RowId]| {
        stage
            .runtime
            .block_on(stage.store.acknowledge(&claim, rows))
            .unwrap();
    };
    acknowledge(&claim.ids()[1..2]);
    assert!(poll_once(waiting.as_mut()).is_pending(), "one of two");
    acknowledge(&claim.ids()[2..]);
    // No time has passed: it was woken.
    let std::task::Poll::Ready(waited) = poll_once(waiting.as_mut()) else {
        panic!("it waits on")
    };
    assert!(waited.unwrap().satisfied, "the row before it is not done");
    let waited = stage
        .runtime
        .block_on(waiter.wait(&other, Wait::relayed("mail", Duration::ZERO)))
        .unwrap();
    assert!(waited.timed_out && waited.pending == 1);
    let dead = Failed {
        row: claim.ids()[0],
        error: "no".to_owned(),
        next: Next::Dead,
    };
    stage.runtime.block_on(stage.store.fail(&claim, &[dead])).unwrap();
    let waited = stage.runtime.block_on(waiter.wait(&other, wait())).unwrap();
    assert!(
        waited.degraded && !waited.timed_out && !waited.satisfied,
        "at once"
    );
}

/// What may still be committed is waited for until that is decided; what cannot be asked is refused.
///
/// Contract: O68
#[test]
fn a_wait_for_a_group_waits_for_what_is_undecided() {
    let stage = Stage::new();
    let node = stage.node("a");
    let waiter = stage.waiter(&node);
    stage
        .runtime
        .block_on(stage.store.open_group(&Group::new("mail")))
        .unwrap();
    let token = stage.store.record_alone(&user(1));
    let wait = || Wait::relayed("mail", 60 * SECOND);
    // A commit that is rolled back: it is done once that is decided.
    let open = stage.store.begin();
    let far = stage.store.record_alone(&user(4));
    let position = far.requirements()[0].singles()[0];
    let undecided = Token::commit(
        far.requirements()[0].source(),
        far.requirements()[0].epoch(),
        Position::new(position.get() - 1),
    );
    let mut waiting = Box::pin(waiter.wait(&undecided, wait()));
    assert!(poll_once(waiting.as_mut()).is_pending(), "it may still commit");
    drop(open);
    stage.runtime.advance(Duration::from_millis(11));
    let std::task::Poll::Ready(waited) = poll_once(waiting.as_mut()) else {
        panic!("it waits on")
    };
    assert!(waited.unwrap().satisfied);
    let missing = stage
        .runtime
        .block_on(waiter.wait(&token, Wait::relayed("none", SECOND)));
    assert!(matches!(missing, Err(Error::NoSuchGroup { .. })));
    let without = stage
        .runtime
        .block_on(Waiter::new(&node.fence).wait(&token, wait()));
    assert!(matches!(without, Err(Error::Config(_))));
    for (time, is_good) in [
        (SECOND / 1_000, true),
        (10 * SECOND, true),
        (Duration::ZERO, false),
        (11 * SECOND, false),
    ] {
        assert_eq!(waiter.clone().poll_interval(time).is_ok(), is_good);
    }
}

/// Over a file, as a service does it: the commit of one process, relayed by another.
///
/// Contract: O68, O67 (partial: SQLite)
#[tokio::test]
async fn waits_for_others_over_a_file() {
    for mode in MODES {
        let ground = ground(mode).await;
        let fence = Fence::builder().build().unwrap();
        let mut follower = ground.outbox.follower(&fence).build().unwrap();
        follower.step().await.unwrap();
        let waiter = ground.outbox.waiter(&fence);
        let elsewhere = Outbox::builder(super::ground::pool(&ground.file(), mode).await)
            .open()
            .await
            .unwrap();
        let relay = Relay::builder(elsewhere.store(), |rows: &[OutboxRow]| {
            vec![Published::Done; rows.len()]
        });
        let relay = relay.group("mail").open().await.unwrap();
        let token = ground.outbox.record_alone(&user(1)).await.unwrap();
        let waited = waiter.wait(&token, Wait::all_nodes(SECOND)).await.unwrap();
        assert!(waited.satisfied, "there is no other: {waited:?}");
        let waited = waiter
            .wait(&token, Wait::relayed("mail", Duration::from_millis(20)))
            .await
            .unwrap();
        assert!(waited.timed_out, "{waited:?}");
        let (waited, report) = tokio::join!(
            waiter.wait(&token, Wait::relayed("mail", 20 * SECOND)),
            relay.run_once()
        );
        assert_eq!(report.unwrap().acknowledged, 1);
        assert!(waited.unwrap().satisfied);
        let other = Fence::builder().build().unwrap();
        let mut late = elsewhere.follower(&other).build().unwrap();
        late.step().await.unwrap();
        let token = ground.outbox.record_alone(&user(2)).await.unwrap();
        let waited = waiter
            .wait(&token, Wait::all_nodes(Duration::from_millis(60)))
            .await
            .unwrap();
        assert_eq!(waited.lagging.len(), 1, "the other has not heard of it");
        let running = tokio::spawn(async move { late.run(std::future::pending()).await });
        let waited = waiter.wait(&token, Wait::all_nodes(20 * SECOND)).await.unwrap();
        assert!(waited.satisfied, "{waited:?}");
        running.abort();
    }
}
