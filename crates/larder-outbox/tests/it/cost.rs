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

/// How many statements have named these tables since the last call.
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

/// One statement for the position, and one for each 2,000 targets; a commit sends none that names a table of the outbox.
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
    for (targets, expected) in [(0, 0), (1, 2), (2_000, 2), (2_001, 3), (5_000, 4)] {
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
        let mut transaction = outbox.begin().await.unwrap();
        let _ = transaction.record(&batch).await.unwrap();
        transaction.commit().await.unwrap();
        // It also asks for the counter when it begins and when it ends: triggers may have recorded too.
        assert_eq!(
            sent("counted_"),
            expected + 2,
            "{targets} targets, in a transaction of its own"
        );
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
