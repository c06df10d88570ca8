//! `drain`: the rows of a backlog claimed, published to nobody and acknowledged, beside a queue written by hand and HydraCache.
//!
//! All claim 256 rows at a time.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hydracache_db::{InvalidationApplier, InvalidationIntent};
use larder_outbox::{Outbox, OutboxRow, Published, Relay};
use sqlx::Sqlite;

use super::hydracache::HydraCacheOutbox;
use super::{Database, Outcome, backlog, queue, runtime, throughput};
use crate::{Report, Rounds, Target};

/// Rows of the backlog, which is made anew for each round.
const ROWS: u64 = 20_000;

/// Measures and reports.
///
/// # Errors
/// When a database cannot be made or written, or standard output.
pub fn drain(report: Report) -> Outcome {
    let runtime = runtime()?;
    let mut rounds = Rounds::new(ROWS);
    rounds.subject_timing_itself("larder", |rows| {
        runtime.block_on(relayed(rows)).expect("a relay that drains")
    });
    rounds.subject_timing_itself("queue", |rows| {
        runtime
            .block_on(queue::drained(rows))
            .expect("a queue that drains")
    });
    rounds.subject_timing_itself("hydracache-db", |rows| {
        runtime.block_on(hydracache(rows)).expect("an outbox that drains")
    });
    let measured = rounds.run();
    let targets = [
        ("queue", Target::RatioAtLeast(1.0)),
        ("hydracache-db", Target::RatioAtLeast(10.0)),
    ];
    throughput(report, "drain", "rows published to nobody", &measured, &targets)?;
    Ok(())
}

/// Publishes to nobody, and counts.
pub(super) struct Nobody(pub(super) Arc<AtomicU64>);

#[async_trait::async_trait]
impl InvalidationApplier for Nobody {
    async fn apply_invalidation(&self, _intent: &InvalidationIntent) -> ::hydracache::CacheResult<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

async fn relayed(rows: u64) -> Result<Duration, Box<dyn Error>> {
    let database = Database::new().await?;
    let outbox = backlog(&database, rows / 2, |commit| {
        [("account", commit), ("owner", commit)]
    })
    .await?;
    let took = acknowledged(&outbox, rows).await?;
    database.close().await;
    Ok(took)
}

/// How long a relay takes for all that is pending, which is so many rows.
pub(super) async fn acknowledged(outbox: &Outbox<Sqlite>, rows: u64) -> Result<Duration, Box<dyn Error>> {
    let published = Arc::new(AtomicU64::new(0));
    let count = published.clone();
    let publish = move |rows: &[OutboxRow]| {
        count.fetch_add(rows.len() as u64, Ordering::Relaxed);
        vec![Published::Done; rows.len()]
    };
    let relay = Relay::builder(outbox.store(), publish).open().await?;
    let start = Instant::now();
    while relay.run_once().await?.claimed > 0 {}
    let took = start.elapsed();
    assert_eq!(
        published.load(Ordering::Relaxed),
        rows,
        "every row is published once"
    );
    let left = outbox.store().status("default", None).await?;
    assert_eq!(left.pending.at_least(), 0, "and acknowledged");
    Ok(took)
}

async fn hydracache(rows: u64) -> Result<Duration, Box<dyn Error>> {
    let outbox = HydraCacheOutbox::new().await?;
    let targets = |commit| [("account", commit), ("owner", commit)];
    outbox.backlog(rows / 2, targets).await?;
    let published = Arc::new(AtomicU64::new(0));
    let took = outbox.worked_off(Nobody(published.clone())).await?;
    outbox.close().await;
    assert_eq!(
        published.load(Ordering::Relaxed),
        rows,
        "every row is published once"
    );
    Ok(took)
}
