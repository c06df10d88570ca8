//! What is told of followers, groups and nodes: numbers by cause, lag, health.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_core::{Fence, Invalidations, LaneState, WidenedRows};
use larder_outbox::{
    CommitOrder, Count, Failed, Follower, FollowerMetrics, Group, Health, HealthPolicy, HealthReason, Member,
    MemoryStore, Next, OutboxRow, OutboxStore, Published, Relay, Retention,
};
use larder_testkit::{SimClock, SimEntropy, SimRuntime};

use super::ground::{MODES, ground, user};

const SECOND: Duration = Duration::from_secs(1);

/// What a follower has told.
#[derive(Debug, Default)]
struct Told {
    /// Now and then it panics, which is nobody's business but its own.
    panics: bool,
    rows: Mutex<WidenedRows>,
    lags: Mutex<Vec<Duration>>,
    gaps: Mutex<Vec<&'static str>>,
    states: Mutex<Vec<LaneState>>,
}

impl FollowerMetrics for Told {
    fn applied(&self, widened: &WidenedRows, _sinks: usize, lag: Option<Duration>) {
        let mut rows = self.rows.lock().unwrap();
        rows.to_collection += widened.to_collection;
        rows.to_namespace += widened.to_namespace;
        rows.to_everything += widened.to_everything;
        drop(rows);
        self.lags.lock().unwrap().extend(lag);
        assert!(!self.panics, "what takes figures has a bug");
    }

    fn gap(&self, cause: &'static str) {
        self.gaps.lock().unwrap().push(cause);
    }

    fn state(&self, state: LaneState) {
        self.states.lock().unwrap().push(state);
    }
}

/// What cannot be read is applied as something wider, and counted by what that is; the next row is applied as usual.
///
/// Contract: O56
#[tokio::test]
async fn what_is_widened_is_counted_by_cause() {
    for mode in MODES {
        let ground = ground(mode).await;
        let fence = Fence::builder().build().unwrap();
        let told = Told {
            panics: true,
            ..Told::default()
        };
        let told = Arc::new(told);
        let builder = ground
            .outbox
            .follower(&fence)
            .metrics(Arc::clone(&told) as Arc<dyn FollowerMetrics>);
        let mut follower = builder.build().unwrap();
        follower.step().await.unwrap();
        let written = [
            ("4", "'default'", "'user'", "zeroblob(5000)"),
            ("4", "'default'", "'user'", "zeroblob(5001)"),
            ("2", "'shop'", "''", "x''"),
            ("9", "'shop'", "'x'", "x''"),
        ];
        for (kind, namespace, name, id) in written {
            ground.outbox.record_alone(&user(1)).await.unwrap();
            let spoil = format!(
                "UPDATE larder_log SET kind = {kind}, namespace = {namespace}, name = {name}, long_id = {id} \
                 WHERE position = (SELECT max(position) FROM larder_log)"
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(spoil))
                .execute(&ground.pool)
                .await
                .unwrap();
        }
        let token = ground.outbox.record_alone(&user(2)).await.unwrap();
        let step = follower.step().await.unwrap();
        assert_eq!(step.widened, 4);
        assert_eq!(
            fence.applied(&token),
            larder_core::Applied::Yes,
            "the next row is applied as usual"
        );
        let status = follower.handle().status();
        let widened = status.widened;
        assert_eq!(
            (widened.to_collection, widened.to_namespace, widened.to_everything),
            (2, 1, 1)
        );
        assert_eq!((widened.sinks, widened.total()), (0, 4));
        assert_eq!(told.rows.lock().unwrap().total(), 4);
    }
}

/// A follower, its log, and their clocks.
struct Watched {
    clock: SimClock,
    own: SimClock,
    runtime: SimRuntime,
    store: MemoryStore,
    told: Arc<Told>,
    follower: Follower,
}

impl Watched {
    fn new() -> Self {
        let clock = SimClock::new();
        let store = MemoryStore::new(
            CommitOrder::Ordered,
            Arc::new(clock.clone()),
            Arc::new(SimEntropy::seeded(1)),
        );
        // The clock of the application is hours from that of the log, and not compared with it.
        let own = SimClock::new();
        own.set_wall(larder_core::Timestamp::from_micros(-7_200_000_000));
        let fence = Fence::builder().clock(Arc::new(own.clone())).build().unwrap();
        let told = Arc::new(Told::default());
        let builder = Follower::builder(store.source(), &fence)
            .nodes(Arc::new(store.clone()), Member::new("shop-1", 1));
        let builder = builder
            .metrics(Arc::clone(&told) as Arc<dyn FollowerMetrics>)
            .rows_a_read(2);
        Watched {
            runtime: SimRuntime::new(&clock),
            follower: builder.build().unwrap(),
            clock,
            own,
            store,
            told,
        }
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.own.advance(time);
    }

    fn step(&mut self) -> Result<larder_outbox::Step, larder_outbox::Error> {
        self.runtime.block_on(self.follower.step())
    }

    fn behind(&self, cursor: &larder_core::Cursor) -> larder_outbox::Behind {
        self.runtime.block_on(self.store.behind(cursor)).unwrap()
    }
}

/// How far it has come, what it lacks, and how late it heard.
///
/// Contract: O109 (partial: but for the horizon, and names of metrics), O73
#[test]
fn a_follower_tells_how_far_it_has_come() {
    let mut watched = Watched::new();
    let handle = watched.follower.handle();
    let status = handle.status();
    assert_eq!(
        (status.state, status.cursor, status.epoch),
        (LaneState::Starting, None, None)
    );
    watched.step().unwrap();
    let status = handle.status();
    assert_eq!(
        (status.node.as_deref(), status.state, status.gaps),
        (Some("shop-1"), LaneState::Live, 0)
    );
    let cursor = status.cursor.unwrap();
    assert_eq!(status.epoch, Some(cursor.epoch()));
    for id in 1..=3 {
        watched.store.record_alone(&user(id));
        watched.pass(SECOND);
    }
    let behind = watched.behind(&cursor);
    assert_eq!(
        (behind.rows, behind.oldest, behind.is_cut_off),
        (Count::Exactly(3), 3 * SECOND, false)
    );
    watched.step().unwrap();
    assert_eq!(
        handle.status().lag,
        Some(3 * SECOND),
        "from the commit to the read, by the clock of the log"
    );
    watched.step().unwrap();
    assert_eq!(*watched.told.lags.lock().unwrap(), [3 * SECOND, SECOND]);
    let behind = watched.behind(&handle.status().cursor.unwrap());
    assert_eq!((behind.rows, behind.oldest), (Count::Exactly(0), Duration::ZERO));
}

/// In which state it is, since when, and what has befallen it.
///
/// Contract: O109 (partial: but for the horizon, and names of metrics), O73
#[test]
fn a_follower_tells_what_befalls_it() {
    let mut watched = Watched::new();
    let handle = watched.follower.handle();
    watched.step().unwrap();
    let (cursor, live_since) = (handle.status().cursor.unwrap(), handle.status().since);
    watched.store.set_gone(larder_outbox::IsGone::Yes);
    watched.pass(10 * SECOND);
    watched.step().unwrap_err();
    let status = handle.status();
    assert_eq!((status.state, status.failures), (LaneState::Suspect, 1));
    assert!(status.since > live_since);
    watched.store.set_gone(larder_outbox::IsGone::No);
    watched.store.new_epoch();
    watched.step().unwrap();
    handle.resync();
    watched.step().unwrap();
    let status = handle.status();
    let causes: Vec<(&str, u64)> = status
        .gaps_by_cause
        .iter()
        .map(|gap| (gap.cause, gap.times))
        .collect();
    assert_eq!(causes, [("the source has begun a new epoch", 1), ("resync", 1)]);
    assert_eq!((status.gaps, status.last_gap), (2, Some("resync")));
    assert_eq!(watched.told.gaps.lock().unwrap().len(), 2);
    let states = [LaneState::Live, LaneState::Suspect, LaneState::Live];
    assert_eq!(*watched.told.states.lock().unwrap(), states);
    assert!(watched.behind(&cursor).is_cut_off, "a cursor of the epoch before");
}

/// A flush that waits for the head is seen as a gap, and nothing is sure meanwhile.
///
/// Contract: O69
#[test]
fn a_gap_is_seen_while_it_lasts() {
    let clock = SimClock::new();
    let runtime = SimRuntime::new(&clock);
    let store = MemoryStore::new(
        CommitOrder::Ordered,
        Arc::new(clock.clone()),
        Arc::new(SimEntropy::seeded(1)),
    );
    let fence = Fence::builder().clock(Arc::new(clock.clone())).build().unwrap();
    let mut follower = Follower::builder(store.source(), &fence).build().unwrap();
    runtime.block_on(follower.step()).unwrap();
    assert_eq!(fence.certainty(), larder_core::Certainty::Sure);
    follower.handle().resync();
    store.set_gone(larder_outbox::IsGone::Yes);
    assert!(runtime.block_on(follower.step()).is_err());
    assert_eq!(follower.handle().status().state, LaneState::Gap);
    assert!(
        matches!(
            fence.certainty(),
            larder_core::Certainty::Unsure {
                state: LaneState::Gap,
                ..
            }
        ),
        "though its lease is not over"
    );
    store.set_gone(larder_outbox::IsGone::No);
    assert!(runtime.block_on(follower.step()).unwrap().gap, "it is made good");
    assert_eq!(fence.certainty(), larder_core::Certainty::Sure);
}

/// Clean, or what is wrong.
///
/// Contract: O110 (partial: but for triggers and horizons), O87
#[tokio::test]
async fn health_says_what_is_wrong() {
    for mode in MODES {
        let ground = ground(mode).await;
        let store = ground.outbox.store();
        let policy = HealthPolicy::new()
            .pending_max(3)
            .age_max(60 * SECOND)
            .dead_max(1);
        assert!(
            ground.outbox.health(&policy).await.unwrap().is_clean(),
            "an empty log"
        );
        store
            .open_group(&Group::new("mail").dead_letters_max(2))
            .await
            .unwrap();
        for id in 1..=3 {
            ground.outbox.record_alone(&user(id)).await.unwrap();
        }
        assert!(
            ground.outbox.health(&policy).await.unwrap().is_clean(),
            "three rows"
        );
        let claim = store.claim("mail", "worker", 2, 30 * SECOND).await.unwrap();
        let dead = |at: usize| Failed {
            row: claim.rows()[at].id,
            error: "no".to_owned(),
            next: Next::Dead,
        };
        store.fail(&claim, &[dead(0), dead(1)]).await.unwrap();
        for id in 4..=6 {
            ground.outbox.record_alone(&user(id)).await.unwrap();
        }
        sqlx::query("UPDATE larder_log SET recorded_at = recorded_at - 100000000")
            .execute(&ground.pool)
            .await
            .unwrap();
        let health = ground.outbox.health(&policy).await.unwrap();
        let [
            HealthReason::DeadLettersFull { .. },
            HealthReason::Pending { rows: 4, .. },
            HealthReason::Age { oldest, .. },
            HealthReason::Dead { rows: 2, .. },
        ] = health.reasons()
        else {
            panic!("{health:?}");
        };
        assert!(*oldest >= 100 * SECOND);
        assert_eq!(
            health.reasons()[1].to_string(),
            "group \"mail\" has yet to do 4 rows"
        );
    }
}

/// A node that does not keep up, and one that lacks what is gone; tables that are not as they should be; a database that is gone.
///
/// Contract: O110 (partial: but for triggers and horizons)
#[tokio::test]
async fn health_says_which_node_is_too_slow() {
    for mode in MODES {
        let ground = ground(mode).await;
        let policy = HealthPolicy::new();
        let fence = Fence::builder().build().unwrap();
        let mut follower = ground.outbox.follower(&fence).build().unwrap();
        follower.step().await.unwrap();
        tokio::time::sleep(2 * SECOND / 5).await;
        follower.step().await.unwrap();
        follower.step().await.unwrap();
        ground.outbox.record_alone(&user(7)).await.unwrap();
        sqlx::query("UPDATE larder_log SET recorded_at = recorded_at - 100000000")
            .execute(&ground.pool)
            .await
            .unwrap();
        let short = policy
            .clone()
            .retention(Retention::new().retention_max(180 * SECOND));
        let health = ground.outbox.health(&short).await.unwrap();
        assert!(
            matches!(health.reasons(), [HealthReason::RetentionTooShort { .. }]),
            "{health:?}"
        );
        ground.outbox.record_alone(&user(8)).await.unwrap();
        ground
            .outbox
            .purge(Retention::new().retention_max(60 * SECOND))
            .await
            .unwrap();
        let health = ground.outbox.health(&policy).await.unwrap();
        assert!(
            matches!(health.reasons(), [HealthReason::CutOff { .. }]),
            "{health:?}"
        );
        sqlx::query("UPDATE larder_meta SET value = 99 WHERE key = 'version'")
            .execute(&ground.pool)
            .await
            .unwrap();
        let health = ground.outbox.health(&policy).await.unwrap();
        assert!(
            matches!(health.reasons(), [HealthReason::Schema { .. }]),
            "{health:?}"
        );
        ground.pool.close().await;
        ground.outbox.health(&policy).await.unwrap_err();
    }
}

/// Contract: O110 (partial: a stalled relay)
#[tokio::test]
async fn a_stalled_relay_is_not_healthy() {
    let clock = SimClock::new();
    let store = MemoryStore::new(
        CommitOrder::Ordered,
        Arc::new(clock.clone()),
        Arc::new(SimEntropy::seeded(1)),
    );
    let relay = Relay::builder(Arc::new(store.clone()), |rows: &[OutboxRow]| {
        vec![Published::Unavailable("no route".to_owned()); rows.len()]
    });
    let relay = relay.open().await.unwrap();
    store.record_alone(&Invalidations::default().entity("user", 1).unwrap());
    let policy = HealthPolicy::new();
    let health = Health::of(&store, &policy).await.unwrap();
    assert!(health.with_relay(relay.group(), &relay.diagnostics()).is_clean());
    relay.run_once().await.unwrap();
    let health = Health::of(&store, &policy)
        .await
        .unwrap()
        .with_relay(relay.group(), &relay.diagnostics());
    assert_eq!(
        health.reasons(),
        [HealthReason::Stalled {
            group: "default".to_owned()
        }]
    );
}

/// Names of the spans that are entered.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<&'static str>>>);

impl tracing::Subscriber for Spans {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("larder_outbox")
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        self.0.lock().unwrap().push(span.metadata().name());
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}

    fn event(&self, _event: &tracing::Event<'_>) {}

    fn enter(&self, _span: &tracing::span::Id) {}

    fn exit(&self, _span: &tracing::span::Id) {}
}

/// Recording, rounds and claims have spans.
///
/// Contract: O109 (partial: spans)
#[tokio::test]
async fn what_is_done_has_spans() {
    let ground = ground(MODES[0]).await;
    let fence = Fence::builder().build().unwrap();
    let mut follower = ground.outbox.follower(&fence).build().unwrap();
    let relay = Relay::builder(ground.outbox.store(), |rows: &[OutboxRow]| {
        vec![Published::Done; rows.len()]
    });
    let relay = relay.open().await.unwrap();
    let spans = Spans::default();
    let listening = tracing::subscriber::set_default(spans.clone());
    ground.outbox.record_alone(&user(1)).await.unwrap();
    follower.step().await.unwrap();
    relay.run_once().await.unwrap();
    drop(listening);
    assert_eq!(
        *spans.0.lock().unwrap(),
        ["outbox.record", "outbox.round", "outbox.claim"]
    );
}
