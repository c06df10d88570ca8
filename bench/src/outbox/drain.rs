//! `drain`: the rows of a backlog claimed, published to nobody and acknowledged, by a queue written by hand and by HydraCache.
//!
//! The relay has no place here yet, and no program runs this before it has one: the first subject is the one that the rows set
//! beside the others.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hydracache_db::{InvalidationApplier, InvalidationIntent};

use super::hydracache::HydraCacheOutbox;
use super::{Outcome, queue, runtime, throughput};
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
    // The relay goes here, before its peers: a subject that times itself, whose backlog is made before its clock starts.
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
struct Nobody(Arc<AtomicU64>);

#[async_trait::async_trait]
impl InvalidationApplier for Nobody {
    async fn apply_invalidation(&self, _intent: &InvalidationIntent) -> ::hydracache::CacheResult<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
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
