//! What a call sends.

use std::sync::{Mutex, OnceLock};

use larder_core::{Invalidations, Namespace, Target};
use larder_outbox::Outbox;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::ground::{MODES, ground, user};

/// The statements of this test binary, as sqlx tells them.
static STATEMENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Statements;

impl Subscriber for Statements {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        STATEMENTS.lock().unwrap().push(text.0);
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

/// How often something was sent that names these tables since the last call.
fn sent(prefix: &str) -> usize {
    let mut statements = STATEMENTS.lock().unwrap();
    let before = statements.len();
    statements.retain(|statement| !statement.contains(prefix));
    before - statements.len()
}

fn listen() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| tracing::subscriber::set_global_default(Statements).unwrap());
}

/// One statement for the position, and one for each 2,000 targets, the first two sent together; a commit sends none that names a table of
/// the outbox, unless the connection was used after the last record.
///
/// Contract: O17 (partial: SQLite)
#[tokio::test]
async fn a_batch_takes_two_statements_and_one_more_for_each_two_thousand_targets() {
    listen();
    let ground = ground(MODES[0]).await;
    let builder = Outbox::builder(ground.pool.clone()).prefix("counted_");
    builder.migrate().await.unwrap();
    let outbox = builder.open().await.unwrap();
    outbox.record_alone(&user(1)).await.unwrap();
    sent("counted_");
    for (targets, expected) in [(0, 0), (1, 1), (2_000, 1), (2_001, 2), (5_000, 3)] {
        let mut batch = Invalidations::new(Namespace::default(), "many")
            .collapse_count(65_536)
            .unwrap();
        for id in 0..targets {
            batch.push(Target::entity("user", id).unwrap()).unwrap();
        }
        let mut transaction = ground.pool.begin().await.unwrap();
        let recorded = outbox.record(&mut transaction, &batch).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(recorded.inserted(), usize::try_from(targets).unwrap());
        assert_eq!(sent("counted_"), expected, "{targets} targets");
        let _ = outbox.committed([recorded]);
        for is_used_last in [false, true] {
            let mut transaction = outbox.begin().await.unwrap();
            transaction.connection();
            let _ = transaction.record(&batch).await.unwrap();
            if is_used_last {
                transaction.connection();
            }
            transaction.commit().await.unwrap();
            // It is given its position when it begins. Before it ends it asks for the counter, if triggers may have recorded something
            // since it was last told.
            let expected = 1 + expected + usize::from(is_used_last || targets == 0);
            assert_eq!(
                sent("counted_"),
                expected,
                "{targets} targets, its connection used last: {is_used_last}"
            );
        }
        // Sent with the commit, the last batch asks that question itself.
        let mut transaction = outbox.begin().await.unwrap();
        transaction.connection();
        transaction.commit_with(&batch).await.unwrap();
        let expected = 1 + expected.max(1);
        assert_eq!(sent("counted_"), expected, "{targets} targets with the commit");
    }
}

/// A follower that finds nothing has read no table: whether anybody has committed it knows without.
///
/// Contract: O42
#[tokio::test]
async fn a_quiet_round_reads_no_table() {
    listen();
    for (mode, prefix) in MODES.into_iter().zip(["quiet_wal_", "quiet_delete_"]) {
        let ground = ground(mode).await;
        let builder = Outbox::builder(ground.pool.clone()).prefix(prefix);
        builder.migrate().await.unwrap();
        let outbox = builder.open().await.unwrap();
        let fence = larder_core::Fence::builder().build().unwrap();
        // Without signs of life, which are statements of their own.
        let mut follower = larder_outbox::Follower::builder(outbox.source(), &fence)
            .build()
            .unwrap();
        follower.step().await.unwrap();
        follower.step().await.unwrap();
        // As another process would.
        let elsewhere = super::ground::pool(&ground.file(), mode).await;
        let elsewhere = Outbox::builder(elsewhere).prefix(prefix).open().await.unwrap();
        for id in 0..3 {
            sent(prefix);
            for _ in 0..5 {
                let step = follower.step().await.unwrap();
                assert!(step.caught_up && step.rows == 0);
            }
            assert_eq!(sent(prefix), 0);
            elsewhere.record_alone(&user(id)).await.unwrap();
            assert_eq!(follower.step().await.unwrap().rows, 1);
        }
    }
}

/// A follower that finds rows has sent one text for all that it wants to know.
///
/// Contract: O32 (partial: SQLite)
#[tokio::test]
async fn a_round_with_rows_takes_one_trip_to_the_tables() {
    listen();
    let ground = ground(MODES[0]).await;
    let builder = Outbox::builder(ground.pool.clone()).prefix("round_");
    builder.migrate().await.unwrap();
    let outbox = builder.open().await.unwrap();
    let fence = larder_core::Fence::builder().build().unwrap();
    let mut follower = larder_outbox::Follower::builder(outbox.source(), &fence)
        .build()
        .unwrap();
    follower.step().await.unwrap();
    for id in 0..3 {
        outbox.record_alone(&user(id)).await.unwrap();
        sent("round_");
        assert_eq!(follower.step().await.unwrap().rows, 1);
        assert_eq!(sent("round_"), 1);
    }
}

/// Rows of several statements are all there, in the order in which they were named, each with a number of its own.
///
/// Contract: O19
#[tokio::test]
async fn many_targets_keep_their_order() {
    let ground = ground(MODES[0]).await;
    let mut batch = Invalidations::new(Namespace::default(), "many")
        .collapse_count(65_536)
        .unwrap();
    for id in 0..5_000 {
        batch.push(Target::entity("user", id).unwrap()).unwrap();
    }
    let mut transaction = ground.outbox.begin().await.unwrap();
    let recorded = transaction.record(&batch).await.unwrap();
    let again = transaction.record(&batch).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!((recorded.inserted(), again.inserted()), (5_000, 0));
    let seen: Vec<String> = ground.seen().await.into_iter().map(|(_, text)| text).collect();
    let expected: Vec<String> = (0..5_000).map(|id| format!("entity:user/{id}")).collect();
    assert_eq!(seen, expected);
}

/// The number is seen before the read: what is committed while that is under way is read by the next.
///
/// Contract: O42
#[tokio::test]
async fn what_was_committed_during_a_read_is_read_by_the_next() {
    let ground = ground(MODES[0]).await;
    let elsewhere = super::ground::pool(&ground.file(), ground.mode).await;
    let elsewhere = Outbox::builder(elsewhere).open().await.unwrap();
    let fence = larder_core::Fence::builder().build().unwrap();
    let mut follower = ground.outbox.follower(&fence).build().unwrap();
    follower.step().await.unwrap();
    for id in 0..60 {
        let pin = fence.pin(&[Target::entity("user", id).unwrap()]).unwrap();
        // Something to be read, or the round is over at once.
        elsewhere.record_alone(&user(1_000)).await.unwrap();
        let mut step = Box::pin(follower.step());
        // So far into the round, and then somebody commits.
        let mut is_over = false;
        for _ in 0..id % 6 {
            is_over = larder_testkit::poll_once(step.as_mut()).is_ready();
            if is_over {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        elsewhere.record_alone(&user(id)).await.unwrap();
        if is_over {
            drop(step);
        } else {
            step.await.unwrap();
        }
        follower.step().await.unwrap();
        follower.step().await.unwrap();
        assert!(!pin.is_fresh(), "{id}");
    }
}

/// A batch is claimed and acknowledged in two transactions and six trips, beginning and end of the one among them, whatever its size: what there is, the rows,
/// the claim; and, in a statement that is a transaction of its own, that it is done.
///
/// Contract: O76
#[tokio::test]
async fn a_batch_is_claimed_and_acknowledged_in_six_trips() {
    listen();
    for (mode, prefix) in MODES.into_iter().zip(["claim_wal_", "claim_delete_"]) {
        let ground = ground(mode).await;
        let builder = Outbox::builder(ground.pool.clone()).prefix(prefix);
        builder.migrate().await.unwrap();
        let outbox = builder.open().await.unwrap();
        let store = outbox.store();
        store.open_group(&larder_outbox::Group::default()).await.unwrap();
        let half_minute = std::time::Duration::from_secs(30);
        for rows in [1, 256] {
            for id in 0..rows {
                outbox.record_alone(&user(id)).await.unwrap();
            }
            sent(prefix);
            let claim = store.claim("default", "worker", 256, half_minute).await.unwrap();
            assert_eq!(claim.rows().len() as u64, rows);
            assert_eq!(sent(prefix), 3, "beside beginning and end");
            let done = store.acknowledge(&claim, &claim.ids()).await.unwrap();
            assert_eq!((done.done, sent(prefix)), (claim.rows().len(), 1));
        }
        // There is nothing: it is looked, and nothing is written.
        assert!(
            store
                .claim("default", "worker", 256, half_minute)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(sent(prefix), 2);
    }
}
