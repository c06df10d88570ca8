//! `status`: what a group has yet to do, asked after a million acknowledged rows and after none.
//!
//! Always true: nothing is pending in either log, so that whatever the answer costs more is the cost of what is done.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_outbox::{Count, Outbox, OutboxRow, Published, Relay};
use sqlx::Sqlite;
use tokio::runtime::Runtime;

use super::{Database, Outcome, add_rows, runtime};
use crate::{Report, Rounds, Row, Target};

/// Rows that are acknowledged before anything is measured.
const ROWS: u64 = 1_000_000;
/// Questions of a round.
const QUESTIONS: u64 = 2_000;
const GROUP: &str = "default";

/// Measures and reports.
///
/// # Errors
/// When a database cannot be made or written, or standard output.
pub fn status(report: Report) -> Outcome {
    let runtime = runtime()?;
    let (done, none) = runtime.block_on(async { tokio::try_join!(Database::new(), Database::new()) })?;
    let after_many = runtime.block_on(acknowledged(&done, ROWS))?;
    let after_none = runtime.block_on(acknowledged(&none, 0))?;
    let mut rounds = Rounds::new(QUESTIONS);
    rounds.subject("larder", |times| ask(&runtime, &after_many, times));
    rounds.subject("larder, after none", |times| ask(&runtime, &after_none, times));
    let measured = rounds.run();
    let [many, none] = &measured[..] else {
        unreachable!("two subjects are measured")
    };
    report.row(&Row {
        benchmark: "status",
        case: "after 1,000,000 acknowledged rows".to_owned(),
        larder: many.nanoseconds() / 1e3,
        unit: "us",
        peer: Some((none.name().to_owned(), none.nanoseconds() / 1e3)),
        ratios: many.over(none),
        target: Target::RatioAtMost(1.5),
    })?;
    Ok(())
}

/// A log of which a group has had so many rows, and has acknowledged them all.
async fn acknowledged(database: &Database, rows: u64) -> Result<Outbox<Sqlite>, Box<dyn Error>> {
    let outbox = database.outbox().await?;
    add_rows(database, rows).await?;
    let published = Arc::new(AtomicU64::new(0));
    let count = published.clone();
    let publish = move |rows: &[OutboxRow]| {
        count.fetch_add(rows.len() as u64, Ordering::Relaxed);
        vec![Published::Done; rows.len()]
    };
    let relay = Relay::builder(outbox.store(), publish)
        .group(GROUP)
        .batch_size(4_096)
        .open()
        .await?;
    let mut done = 0;
    loop {
        let round = relay.run_once().await?;
        if round.claimed == 0 {
            break;
        }
        done += u64::try_from(round.acknowledged)?;
    }
    assert_eq!(
        published.load(Ordering::Relaxed),
        rows,
        "every row is published once"
    );
    assert_eq!(done, rows, "and acknowledged");
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM larder_log")
        .fetch_one(&database.pool)
        .await?;
    assert_eq!(u64::try_from(kept)?, rows, "nothing is purged");
    Ok(outbox)
}

fn ask(runtime: &Runtime, outbox: &Outbox<Sqlite>, times: u64) -> u64 {
    let store = outbox.store();
    let mut pending = 0;
    for _ in 0..times {
        let status = runtime.block_on(store.status(GROUP, None));
        let status = status.expect("the group is there");
        assert_eq!(status.pending, Count::Exactly(0), "all is acknowledged");
        pending += status.pending.at_least();
    }
    pending
}
