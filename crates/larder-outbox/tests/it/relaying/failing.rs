//! Transports and stores that fail, and what panics.

use super::*;

/// While the transport is down rows wait, uncounted, and one is tried after each backoff.
///
/// Contract: O84, O92
#[test]
fn regression_13_a_transport_that_is_down_kills_no_row() {
    let stage = Stage::new();
    let receiver = Receiver::default();
    let builder = stage.relay(receiver.closure()).batch_size(10).concurrency(3);
    let relay = stage.open(builder);
    stage.record(1..=30);
    receiver.all(&Published::Unavailable("no route".to_owned()));
    let (stop, stopped) = oneshot::channel::<()>();
    let running = relay.clone();
    larder_core::Runtime::spawn(
        &stage.runtime,
        Box::pin(async move { running.run(async { stopped.await.unwrap_or_default() }).await }),
    );
    stage.runtime.advance(600 * SECOND);
    let sizes = receiver.sizes();
    // Each of the loops had begun before the first answer.
    assert_eq!(sizes.iter().filter(|size| **size > 1).count(), 1, "{sizes:?}");
    assert!(sizes.len() < 20, "later and later: {sizes:?}");
    assert_eq!((stage.pending(), stage.dead().len()), (30, 0));
    let diagnostics = relay.diagnostics();
    assert_eq!(
        (
            diagnostics.retried,
            diagnostics.dead_lettered,
            diagnostics.acknowledged
        ),
        (0, 0, 0)
    );
    assert!(diagnostics.stalled > 590 * SECOND, "{:?}", diagnostics.stalled);
    receiver.recover();
    stage.runtime.advance(301 * SECOND);
    assert_eq!(stage.pending(), 0);
    assert_eq!(relay.diagnostics().acknowledged, 30);
    let stalled = relay.diagnostics().stalled;
    stage.runtime.advance(10 * SECOND);
    assert_eq!(relay.diagnostics().stalled, stalled, "it is there again");
    drop(stop);
    stage.runtime.run();
    assert_eq!(stage.runtime.tasks(), 0, "it has stopped");
}

/// A store whose calls fail when they are told to.
#[derive(Debug)]
struct Failing {
    store: MemoryStore,
    acknowledging_fails: AtomicU64,
}

macro_rules! as_it_is {
    ($($name:ident($($argument:ident: $Type:ty),*) -> $Answer:ty;)*) => {
        $(fn $name<'a>(&'a self, $($argument: $Type),*) -> larder_core::BoxFuture<'a, Result<$Answer, Error>> {
            OutboxStore::$name(&self.store, $($argument),*)
        })*
    };
}

impl OutboxStore for Failing {
    fn source(&self) -> Arc<dyn larder_core::Source> {
        OutboxStore::source(&self.store)
    }

    fn nodes(&self) -> Arc<dyn larder_outbox::Nodes> {
        Arc::new(self.store.clone())
    }

    fn groups(&self) -> larder_core::BoxFuture<'_, Result<Vec<String>, Error>> {
        self.store.groups()
    }

    as_it_is! {
        behind(cursor: &'a larder_core::Cursor) -> larder_outbox::Behind;
        record(batch: &'a Invalidations) -> larder_core::Token;
        open_group(group: &'a larder_outbox::Group) -> ();
        drop_group(group: &'a str) -> bool;
        claim(group: &'a str, owner: &'a str, limit: usize, time: Duration) -> larder_outbox::Claim;
        fail(claim: &'a larder_outbox::Claim, rows: &'a [larder_outbox::Failed]) -> larder_outbox::Completed;
        renew(claim: &'a larder_outbox::Claim, time: Duration) -> larder_outbox::Completed;
        release(claim: &'a larder_outbox::Claim) -> larder_outbox::Completed;
        rows_of(group: &'a str, state: RowState, after: Option<larder_outbox::RowId>, limit: usize) -> Vec<OutboxRow>;
        reset_dead_letters(which: &'a DeadLetters) -> u64;
        discard_dead_letters(which: &'a DeadLetters, reason: &'a str) -> u64;
        status(group: &'a str, namespace: Option<&'a Namespace>) -> larder_outbox::OutboxStatus;
        statuses_of(group: &'a str, tokens: &'a [larder_core::Token]) -> Vec<larder_outbox::TokenStatus>;
    }

    fn acknowledge<'a>(
        &'a self,
        claim: &'a larder_outbox::Claim,
        rows: &'a [larder_outbox::RowId],
    ) -> larder_core::BoxFuture<'a, Result<larder_outbox::Completed, Error>> {
        if self.acknowledging_fails.load(Ordering::Relaxed) > 0 {
            self.acknowledging_fails.fetch_sub(1, Ordering::Relaxed);
            return Box::pin(async { Err(Error::Store("the disk is full".into())) });
        }
        self.store.acknowledge(claim, rows)
    }
}

/// A failure of the store half way: what was done is told, and the rest can be claimed at once. A row that nobody can read stops none.
///
/// Contract: O88
#[test]
fn regression_15_a_failure_half_way_leaves_the_rest_claimable() {
    let stage = Stage::new();
    let receiver = Receiver::default();
    let store = Arc::new(Failing {
        store: stage.store.clone(),
        acknowledging_fails: AtomicU64::new(1),
    });
    let builder = Relay::builder(Arc::clone(&store) as Arc<dyn OutboxStore>, receiver.closure());
    let relay = stage.open(builder.runtime(Arc::new(stage.runtime.clone())));
    stage.record(1..=2);
    let mut transaction = stage.store.begin();
    transaction.record_unreadable();
    transaction.commit();
    stage.record([3]);
    receiver.answer(2, Published::Permanent("never".to_owned()));
    let failed = stage.runtime.block_on(relay.run_once()).unwrap_err();
    let report = failed.report;
    assert_eq!(
        (
            report.claimed,
            report.acknowledged,
            report.dead_lettered,
            report.released
        ),
        (3, 0, 2, 2)
    );
    assert!(matches!(failed.source, Error::Store(_)), "{failed:?}");
    assert_eq!(relay.diagnostics().dead_lettered, 2, "it is counted all the same");
    let report = stage.once(&relay);
    assert_eq!((report.claimed, report.acknowledged), (2, 2), "at once");
    let errors: Vec<_> = stage
        .dead()
        .iter()
        .map(|row| row.last_error.clone().unwrap())
        .collect();
    assert_eq!(errors, ["never", "the row cannot be read"]);
    // A store that is gone.
    stage.store.set_gone(IsGone::Yes);
    let failed = stage.runtime.block_on(relay.run_once()).unwrap_err();
    assert_eq!(failed.report, RelayReport::default());
    let text = format!("{failed}: {}", std::error::Error::source(&failed).unwrap());
    assert_eq!(text, "a round of the relay failed: the store failed");
}

/// What takes long is held on to; what panics has failed.
///
/// Contract: O89
#[test]
fn a_long_publish_is_held_and_a_panic_is_a_failure() {
    let stage = Stage::new();
    let runtime = stage.runtime.clone();
    let slow = PublishFn::new(move |rows: &[OutboxRow]| {
        let (rows, slept) = (rows.len(), larder_core::Runtime::sleep(&runtime, 95 * SECOND));
        Box::pin(async move {
            slept.await;
            vec![Published::Done; rows]
        })
    });
    let relay = stage.open(stage.relay(slow));
    stage.record(1..=3);
    let (sender, mut report) = oneshot::channel();
    let spawned = relay.clone();
    larder_core::Runtime::spawn(
        &stage.runtime,
        Box::pin(async move { sender.send(spawned.run_once().await.unwrap()).unwrap() }),
    );
    let thief = stage.open(stage.relay(|rows: &[OutboxRow]| vec![Published::Done; rows.len()]));
    for _ in 0..18 {
        stage.runtime.advance(5 * SECOND);
        assert_eq!(stage.once(&thief).claimed, 0, "it is held");
    }
    stage.runtime.advance(6 * SECOND);
    let report = report.try_recv().unwrap().unwrap();
    assert_eq!((report.acknowledged, report.lost), (3, 0));
    assert_eq!(relay.diagnostics().renewed, 9, "each third of the 30 seconds");

    let panics = stage.open(stage.relay(|rows: &[OutboxRow]| match rows.len() {
        1 => panic!("a bug in what publishes"),
        other => vec![Published::Done; other],
    }));
    stage.record([4]);
    assert_eq!(stage.once(&panics).retried, 1);
    let row = stage
        .runtime
        .block_on(stage.store.rows_of("default", RowState::Pending, None, 9))
        .unwrap();
    assert_eq!(row[0].last_error.as_deref(), Some("publishing panicked"));
}
