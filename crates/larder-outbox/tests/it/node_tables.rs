//! Tables of nodes, in memory and in SQLite alike.

use std::sync::Arc;
use std::time::Duration;

use larder_core::{Cursor, Fence, Position};
use larder_outbox::limits::NODES_MAX;
use larder_outbox::{
    Beaten, CommitOrder, Error, Joined, Member, MemoryStore, Nodes, Outbox, Progress, Retention,
};
use larder_testkit::{SimClock, SimEntropy};

use super::ground::{MODES, ground};
use super::members::silence;

const SECOND: Duration = Duration::from_secs(1);

/// The same over memory and over SQLite.
///
/// Contract: O52
#[tokio::test]
async fn tables_of_nodes_are_alike() {
    let ground = ground(MODES[0]).await;
    let clock = SimClock::new();
    let store = MemoryStore::new(
        CommitOrder::Ordered,
        Arc::new(clock.clone()),
        Arc::new(SimEntropy::seeded(1)),
    );
    let tables: [Arc<dyn Nodes>; 2] = [Arc::new(store), ground.outbox.nodes()];
    for (at, nodes) in tables.iter().enumerate() {
        let pass = async |time: Duration| {
            clock.advance(time);
            silence(&ground, time).await;
        };
        let member = |name: &str, run| Member::new(name, run);
        let cursor = Cursor::ordered(
            larder_core::SourceId::new(1),
            larder_core::Epoch::new(1),
            Position::new(7),
            0,
        );
        let progress = Progress {
            applied: cursor.clone(),
            saved: None,
        };
        assert_eq!(
            nodes.beat(member("a", 1), progress.clone()).await.unwrap(),
            Beaten::Superseded,
            "{at}: who never joined"
        );
        assert_eq!(nodes.join(member("a", 1)).await.unwrap(), Joined::Alone);
        assert_eq!(
            nodes.join(member("a", 1)).await.unwrap(),
            Joined::Alone,
            "the same again"
        );
        assert!(matches!(
            nodes.join(member("a", 2)).await.unwrap(),
            Joined::InUse(_)
        ));
        assert_eq!(
            nodes.beat(member("a", 1), progress.clone()).await.unwrap(),
            Beaten::Alive
        );
        let status = nodes.list().await.unwrap();
        assert_eq!(
            (status.len(), status[0].run, status[0].applied.as_ref()),
            (1, 1, Some(&cursor))
        );
        pass(11 * SECOND).await;
        assert!(!nodes.list().await.unwrap()[0].is_live);
        assert_eq!(
            nodes.beat(member("a", 1), progress.clone()).await.unwrap(),
            Beaten::Alive,
            "nobody has taken its place"
        );
        pass(11 * SECOND).await;
        assert_eq!(nodes.join(member("a", 2)).await.unwrap(), Joined::Alone);
        assert_eq!(
            nodes.beat(member("a", 1), progress.clone()).await.unwrap(),
            Beaten::Superseded
        );
        nodes.leave(member("a", 1)).await.unwrap();
        assert_eq!(
            nodes.list().await.unwrap().len(),
            1,
            "whoever is not the node takes nothing away"
        );
        nodes.leave(member("a", 2)).await.unwrap();
        assert_eq!(nodes.list().await.unwrap(), Vec::new());
    }
}

/// Contract: O52 (partial: 256 nodes)
#[tokio::test]
async fn as_many_nodes_as_there_may_be() {
    let ground = ground(MODES[0]).await;
    let clock = SimClock::new();
    let store = MemoryStore::new(
        CommitOrder::Ordered,
        Arc::new(clock.clone()),
        Arc::new(SimEntropy::seeded(1)),
    );
    let tables: [Arc<dyn Nodes>; 2] = [Arc::new(store), ground.outbox.nodes()];
    for nodes in &tables {
        let pass = async |time: Duration| {
            clock.advance(time);
            silence(&ground, time).await;
        };
        let member = |name: &str, run| Member::new(name, run);
        for at in 0..NODES_MAX {
            nodes.join(member(&format!("node-{at}"), 3)).await.unwrap();
        }
        let more = nodes.join(member("one-more", 3)).await;
        assert!(matches!(more, Err(Error::Config(_))), "{more:?}");
        pass(11 * SECOND).await;
        nodes.join(member("one-more", 3)).await.unwrap();
    }
}

/// Contract: O50 (partial: ranges), O52 (partial: ranges)
#[tokio::test]
async fn options_of_nodes_have_ranges() {
    let ground = ground(MODES[0]).await;
    let fence = Fence::builder().build().unwrap();
    let day = 24 * 3_600 * SECOND;
    for (lease, every, is_good) in [
        (SECOND, Duration::from_millis(50), true),
        (30 * day, 60 * SECOND, true),
        (SECOND - Duration::from_millis(1), SECOND, false),
        // Shorter than the freshness would be.
        (SECOND / 2, SECOND, false),
        (30 * day + SECOND, SECOND, false),
        (SECOND, Duration::from_millis(49), false),
        (SECOND, 61 * SECOND, false),
    ] {
        let builder = ground
            .outbox
            .follower(&fence)
            .freshness(SECOND)
            .node_lease(lease)
            .publish_every(every);
        assert_eq!(builder.build().is_ok(), is_good, "{lease:?} {every:?}");
    }
    let named = Outbox::builder(ground.pool.clone())
        .node("n".repeat(129))
        .open()
        .await;
    assert!(matches!(named, Err(Error::Config(_))));
    let forgotten = ground
        .outbox
        .purge(Retention::new().node_forgotten(31 * day))
        .await;
    assert!(matches!(forgotten, Err(Error::Config(_))));
}

/// A node that is sure for longer than it counts as live would not be waited for.
///
/// Contract: O52 (partial: ranges)
#[tokio::test]
async fn a_node_counts_as_live_for_as_long_as_it_is_sure() {
    let ground = ground(MODES[0]).await;
    let fence = Fence::builder().build().unwrap();
    let builder = || ground.outbox.follower(&fence).freshness(60 * SECOND);
    let refused = builder().node_lease(59 * SECOND).build();
    assert!(matches!(refused, Err(Error::Config(_))));
    builder().build().unwrap().step().await.unwrap();
    let lease = ground
        .number("SELECT (until - seen_at) / 1000000 FROM larder_node")
        .await;
    assert_eq!(lease, 60);
}
