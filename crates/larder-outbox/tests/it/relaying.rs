//! Relays: what becomes of the rows that they hand over. Over a log in memory, whose time is the test's.

// Sinks of this process.
mod sinks;
// Transports and stores that fail.
mod failing;
// Relays that run.
mod running;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_channel::oneshot;
use larder_core::{
    Fence, Invalidation, Invalidations, Namespace, Position, Settled, Settler, Sink, SinkError, Target,
};
use larder_outbox::{
    Backoff, CommitOrder, DeadLetters, Error, IsGone, MemoryStore, OutboxRow, OutboxStore, Publish,
    PublishFn, Published, Relay, RelayBuilder, RelayReport, RowState,
};
use larder_testkit::{SimClock, SimEntropy, SimRuntime};

use super::ground::{MODES, ground, user};

/// A store, its time, and what was published.
struct Stage {
    clock: SimClock,
    runtime: SimRuntime,
    store: MemoryStore,
}

const SECOND: Duration = Duration::from_secs(1);

impl Stage {
    fn new() -> Self {
        let clock = SimClock::new();
        let entropy = Arc::new(SimEntropy::seeded(3));
        let store = MemoryStore::new(CommitOrder::Ordered, Arc::new(clock.clone()), entropy);
        let runtime = SimRuntime::new(&clock);
        Stage {
            clock,
            runtime,
            store,
        }
    }

    fn record(&self, users: impl IntoIterator<Item = u64>) {
        for id in users {
            self.store.record_alone(&user(id));
        }
    }

    fn relay<P: Publish>(&self, publish: P) -> RelayBuilder<P> {
        Relay::builder(Arc::new(self.store.clone()), publish)
            .runtime(Arc::new(self.runtime.clone()))
            .clock(Arc::new(self.clock.clone()))
            .entropy(Arc::new(SimEntropy::seeded(5)))
    }

    fn open<P: Publish>(&self, builder: RelayBuilder<P>) -> Relay<P> {
        self.runtime.block_on(builder.open()).unwrap()
    }

    fn once<P: Publish>(&self, relay: &Relay<P>) -> RelayReport {
        self.runtime.block_on(relay.run_once()).unwrap()
    }

    fn pending(&self) -> u64 {
        let status = self.runtime.block_on(self.store.status("default", None)).unwrap();
        status.pending.at_least()
    }

    fn dead(&self) -> Vec<OutboxRow> {
        self.runtime
            .block_on(self.store.rows_of("default", RowState::Dead, None, 100))
            .unwrap()
    }
}

/// What was published, and what is answered.
#[derive(Clone, Default)]
struct Receiver {
    batches: Arc<Mutex<Vec<Vec<String>>>>,
    /// By target; `Done` for all others.
    answers: Arc<Mutex<BTreeMap<String, Published>>>,
}

impl Receiver {
    fn answer(&self, user: u64, answer: Published) {
        self.answers
            .lock()
            .unwrap()
            .insert(format!("entity:user/{user}"), answer);
    }

    fn all(&self, answer: &Published) {
        for id in 0..100 {
            self.answer(id, answer.clone());
        }
    }

    fn recover(&self) {
        self.answers.lock().unwrap().clear();
    }

    fn sizes(&self) -> Vec<usize> {
        self.batches.lock().unwrap().iter().map(Vec::len).collect()
    }

    fn seen(&self) -> Vec<String> {
        self.batches.lock().unwrap().concat()
    }

    fn publish(&self, rows: &[OutboxRow]) -> Vec<Published> {
        let targets: Vec<String> = rows.iter().map(|row| row.target.to_string()).collect();
        self.batches.lock().unwrap().push(targets.clone());
        let answers = self.answers.lock().unwrap();
        let answer = |target: &String| answers.get(target).cloned().unwrap_or(Published::Done);
        targets.iter().map(answer).collect()
    }

    fn closure(&self) -> impl Fn(&[OutboxRow]) -> Vec<Published> + Send + Sync + use<> {
        let receiver = self.clone();
        move |rows: &[OutboxRow]| receiver.publish(rows)
    }
}

/// Contract: O81, O82
#[test]
fn each_row_gets_its_own_answer() {
    let stage = Stage::new();
    let receiver = Receiver::default();
    let relay = stage.open(stage.relay(receiver.closure()));
    assert_eq!(stage.once(&relay), RelayReport::default(), "no rows: all zero");
    stage.record(1..=4);
    receiver.answer(2, Published::Retry("later".to_owned()));
    receiver.answer(3, Published::Permanent("never".to_owned()));
    let report = stage.once(&relay);
    assert_eq!((report.claimed, report.acknowledged), (4, 2));
    assert_eq!((report.retried, report.dead_lettered, report.lost), (1, 1, 0));
    let dead = stage.dead();
    assert_eq!(
        (dead[0].attempts, dead[0].last_error.as_deref()),
        (1, Some("never"))
    );
    receiver.recover();
    stage.clock.advance(10 * SECOND);
    let report = stage.once(&relay);
    assert_eq!((report.claimed, report.acknowledged), (1, 1));
    // A closure that gives a future; it answers for one row too few.
    stage.record(5..=6);
    let slow = PublishFn::new(|rows: &[OutboxRow]| {
        let answers = vec![Published::Done; rows.len() - 1];
        Box::pin(async move {
            std::future::ready(()).await;
            answers
        })
    });
    let relay = stage.open(stage.relay(slow));
    let report = stage.once(&relay);
    assert_eq!(
        (report.acknowledged, report.retried),
        (1, 1),
        "who says nothing has failed"
    );
}

/// All that is out of range is named at once; zero is not one.
///
/// Contract: O83
#[test]
fn options_have_ranges() {
    let stage = Stage::new();
    let answer = |rows: &[OutboxRow]| vec![Published::Done; rows.len()];
    let relay = stage
        .relay(answer)
        .group("")
        .owner("a\nb")
        .batch_size(0)
        .claim_ttl(Duration::ZERO)
        .backoff(Backoff::doubling(SECOND, SECOND / 2))
        .max_attempts(0)
        .namespaces([])
        .keep_acknowledged(91 * 24 * 3_600 * SECOND)
        .concurrency(17)
        .poll_min(Duration::ZERO)
        .dead_letters_max(0);
    let Err(Error::Config(config)) = stage.runtime.block_on(relay.open()) else {
        panic!("it was taken");
    };
    let named: Vec<&str> = config.faults().iter().map(|fault| fault.option).collect();
    let expected = [
        "group",
        "namespaces",
        "keep_acknowledged",
        "dead_letters_max",
        "owner",
        "batch_size",
        "max_attempts",
        "concurrency",
        "claim_ttl",
        "backoff_max",
        "poll_min",
    ];
    assert_eq!(named, expected);
    for (batch_size, max_attempts, concurrency, is_good) in [
        (1, 1, 1, true),
        (4_096, 1_000, 16, true),
        (4_097, 1, 1, false),
        (1, 1_001, 1, false),
        (1, 1, 0, false),
    ] {
        let relay = stage
            .relay(answer)
            .batch_size(batch_size)
            .max_attempts(max_attempts)
            .concurrency(concurrency);
        assert_eq!(stage.runtime.block_on(relay.open()).is_ok(), is_good);
    }
    let (one, other) = (stage.open(stage.relay(answer)), stage.open(stage.relay(answer)));
    assert_ne!(one.owner(), other.owner(), "no two have one name");
    assert!(one.owner().contains(&format!("/{}/", std::process::id())));
    assert_eq!(one.group(), "default");
}

/// Twelve failures, each later than the one before, make a dead letter; reset, it begins anew.
///
/// Contract: O84, O85, O86
#[test]
fn regression_13_a_row_that_fails_twelve_times_is_dead() {
    let stage = Stage::new();
    let receiver = Receiver::default();
    let relay = stage.open(stage.relay(receiver.closure()));
    stage.record([1]);
    receiver.answer(1, Published::Retry("no".to_owned()));
    for attempt in 1..=12_u32 {
        let report = stage.once(&relay);
        assert_eq!(report.claimed, 1, "attempt {attempt}");
        assert_eq!(
            (report.retried, report.dead_lettered),
            if attempt < 12 { (1, 0) } else { (0, 1) }
        );
        if attempt < 12 {
            let longest = (SECOND * 2_u32.pow(attempt - 1)).min(300 * SECOND);
            stage.clock.advance(longest / 2 - Duration::from_millis(1));
            assert_eq!(stage.once(&relay).claimed, 0, "not before half of {longest:?}");
            stage.clock.advance(longest / 2 + Duration::from_millis(1));
        }
    }
    stage.clock.advance(3_600 * SECOND);
    assert_eq!(stage.once(&relay).claimed, 0);
    assert_eq!(stage.dead()[0].attempts, 12);
    receiver.recover();
    let other = DeadLetters::all().group("another");
    assert_eq!(
        stage.runtime.block_on(relay.reset_dead_letters(&other)).unwrap(),
        1,
        "those of its own group"
    );
    assert_eq!(stage.once(&relay).acknowledged, 1);
    // Always after as long.
    let fixed = stage.open(
        stage
            .relay(receiver.closure())
            .backoff(Backoff::fixed(7 * SECOND)),
    );
    stage.record([2]);
    receiver.answer(2, Published::Retry("no".to_owned()));
    for _ in 0..3 {
        assert_eq!(stage.once(&fixed).retried, 1);
        stage.clock.advance(7 * SECOND - Duration::from_millis(1));
        assert_eq!(stage.once(&fixed).claimed, 0);
        stage.clock.advance(Duration::from_millis(1));
    }
    receiver.answer(2, Published::Permanent("never".to_owned()));
    assert_eq!(stage.once(&fixed).dead_lettered, 1);
    assert_eq!(
        stage
            .runtime
            .block_on(fixed.discard_dead_letters(&DeadLetters::all(), "test"))
            .unwrap(),
        1
    );
    assert_eq!(stage.dead(), Vec::new());
}

/// A relay whose claim has run out, since it stood still, is told what it has lost, and changes nothing.
///
/// Contract: O78
#[test]
fn regression_14_who_comes_too_late_has_lost() {
    let stage = Stage::new();
    let clock = stage.clock.clone();
    let late = stage.open(stage.relay(move |rows: &[OutboxRow]| {
        // The process was stopped, so that it could hold on to nothing.
        clock.advance(60 * SECOND);
        vec![Published::Retry("too late".to_owned()); rows.len()]
    }));
    stage.record(1..=2);
    let store = stage.store.clone();
    let first = stage
        .runtime
        .block_on(store.claim("default", "late", 9, 30 * SECOND))
        .unwrap();
    stage.clock.advance(60 * SECOND);
    let receiver = Receiver::default();
    let quick = stage.open(stage.relay(receiver.closure()));
    assert_eq!(stage.once(&quick).acknowledged, 2);
    let completed = stage
        .runtime
        .block_on(store.acknowledge(&first, &first.ids()))
        .unwrap();
    assert_eq!((completed.done, completed.lost), (0, 2));
    // Nobody has taken them: it may still say what became of them.
    stage.record([3]);
    assert_eq!(stage.once(&late).retried, 1);
}

/// Rows of one target are published once, and share what becomes of it.
///
/// Contract: O91
#[test]
fn rows_of_one_target_can_be_published_once() {
    let stage = Stage::new();
    let receiver = Receiver::default();
    let relay = stage.open(stage.relay(receiver.closure()).coalesce());
    stage.record([1, 2, 1, 3, 1, 2]);
    receiver.answer(2, Published::Permanent("never".to_owned()));
    let report = stage.once(&relay);
    assert_eq!(
        receiver.seen(),
        ["entity:user/1", "entity:user/2", "entity:user/3"]
    );
    assert_eq!(
        (report.claimed, report.acknowledged, report.dead_lettered),
        (6, 4, 2)
    );
    // Without it each is published.
    let each = stage.open(stage.relay(receiver.closure()));
    stage.record([1, 1]);
    assert_eq!(stage.once(&each).acknowledged, 2);
    assert_eq!(receiver.seen().len(), 5);
}

/// Clones count together.
///
/// Contract: O92
#[test]
fn clones_count_together() {
    let stage = Stage::new();
    let receiver = Receiver::default();
    let relay = stage.open(stage.relay(receiver.closure()).batch_size(2));
    stage.record(1..=5);
    receiver.answer(5, Published::Retry("later".to_owned()));
    for relay in [relay.clone(), relay.clone(), relay.clone()] {
        stage.once(&relay);
    }
    let all = relay.diagnostics();
    assert_eq!((all.iterations, all.claimed, all.acknowledged), (3, 5, 4));
    assert_eq!(
        (all.retried, all.dead_lettered, all.lost, all.renewed),
        (1, 0, 0, 0)
    );
}

/// Contract: O80
#[test]
fn states_have_words() {
    for (state, word) in [
        (RowState::Pending, "pending"),
        (RowState::Acknowledged, "acknowledged"),
        (RowState::Dead, "dead"),
    ] {
        assert_eq!((state.word(), RowState::of_word(word)), (word, Some(state)));
    }
    assert_eq!(RowState::of_word("claimed"), None, "a claim is no state");
    let stage = Stage::new();
    let relay = stage.open(stage.relay(|rows: &[OutboxRow]| vec![Published::Done; rows.len()]));
    stage.record([1]);
    drop(relay);
    let claim = stage
        .runtime
        .block_on(stage.store.claim("default", "worker", 1, SECOND))
        .unwrap();
    let id = claim.rows()[0].id;
    assert_eq!(id.to_string(), format!("{}/1-0", id.epoch()));
    assert_eq!(id.to_string().parse(), Ok(id));
    for text in [
        "",
        "1-0",
        "0000000000000000/1",
        "0000000000000000/01-0",
        "0000000000000000/1-+0",
        "0/1-0",
    ] {
        assert!(text.parse::<larder_outbox::RowId>().is_err(), "{text}");
    }
}

/// Over a file, as a service does it: tokio's timers, several relays of one group, and of another.
///
/// Contract: O74 (partial: relays), O76
#[tokio::test]
async fn relays_share_the_rows_of_a_file() {
    for mode in MODES {
        let ground = ground(mode).await;
        let receivers = [Receiver::default(), Receiver::default()];
        let mut relays = Vec::new();
        for index in 0..4 {
            let receiver = &receivers[index / 3];
            let group = if index < 3 { "mail" } else { "search" };
            let builder = Relay::builder(ground.outbox.store(), receiver.closure())
                .group(group)
                .batch_size(3);
            let relay = builder.open().await.unwrap();
            relays.push(relay);
        }
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let mut tasks = Vec::new();
        for relay in relays {
            let mut stopped = stopped.clone();
            tasks.push(tokio::spawn(async move {
                relay
                    .run(async { drop(stopped.wait_for(|stopped| *stopped).await) })
                    .await;
            }));
        }
        for id in 0..50 {
            ground.outbox.record_alone(&user(id)).await.unwrap();
        }
        let end = tokio::time::Instant::now() + 20 * SECOND;
        while receivers.iter().any(|receiver| receiver.seen().len() < 50) && tokio::time::Instant::now() < end
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.send(true).unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        for receiver in &receivers {
            let mut seen = receiver.seen();
            seen.sort();
            let mut expected: Vec<String> = (0..50).map(|id| format!("entity:user/{id}")).collect();
            expected.sort();
            assert_eq!(seen, expected, "each once");
        }
        assert_eq!(ground.number("SELECT count(*) FROM larder_claim").await, 0);
        assert_eq!(ground.number("SELECT count(*) FROM larder_delivery").await, 0);
    }
}
