//! `follow`: a backlog of rows, read and raised on the fence, beside a poller's bare read of as many; and a shorter one beside
//! HydraCache's worker, which claims rows, invalidates each in a cache and acknowledges it.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::hydracache::{CacheOptions, HydraCache};
use hydracache_db::InvalidationIntent;
use larder_core::{Cursor, CursorHome, Fence, Position, SaveError};
use larder_outbox::Outbox;
use sqlx::Sqlite;
use tokio::runtime::Runtime;

use super::hydracache::HydraCacheOutbox;
use super::{Database, Outcome, backlog, runtime, throughput};
use crate::{Report, Rounds, Target};

/// Rows of the backlog, two for each commit.
const ROWS: u64 = 200_000;
const ROWS_A_READ: i64 = 1_000;

/// Rows of the shorter backlog: a claim leaves nothing to be read again, so HydraCache's is made anew for each round.
const ROWS_CLAIMED: u64 = 20_000;

/// A cursor that is always the first.
struct Home(Mutex<Cursor>);

impl CursorHome for Home {
    fn load(&self) -> Option<Cursor> {
        self.0.lock().ok().map(|cursor| cursor.clone())
    }

    fn save(&self, _cursor: &Cursor) -> Result<(), SaveError> {
        Ok(())
    }
}

/// Measures and reports.
///
/// # Errors
/// When a database cannot be made or written, or standard output.
pub fn follow(report: Report) -> Outcome {
    let runtime = runtime()?;
    beside_poller(report, &runtime)?;
    beside_hydracache(report, &runtime)
}

/// The targets of a commit.
pub(super) fn targets(commit: u64) -> [(&'static str, u64); 2] {
    [("account", commit), ("owner", commit)]
}

fn beside_poller(report: Report, runtime: &Runtime) -> Outcome {
    let database = runtime.block_on(Database::new())?;
    let outbox = runtime.block_on(backlog(&database, ROWS / 2, targets))?;
    let mut rounds = Rounds::new(ROWS);
    rounds.subject_timing_itself("larder", |_| followed(runtime, &outbox, ROWS));
    rounds.subject_timing_itself("poller, bare read", |_| {
        let start = Instant::now();
        let rows = runtime.block_on(polled(&database)).expect("the rows are there");
        assert_eq!(rows, ROWS, "the poller reads all");
        start.elapsed()
    });
    let measured = rounds.run();
    let targets = [("poller, bare read", Target::RatioAtLeast(0.5))];
    throughput(
        report,
        "follow",
        "rows of a backlog of 200,000",
        &measured,
        &targets,
    )?;
    Ok(())
}

fn beside_hydracache(report: Report, runtime: &Runtime) -> Outcome {
    let database = runtime.block_on(Database::new())?;
    let outbox = runtime.block_on(backlog(&database, ROWS_CLAIMED / 2, targets))?;
    let mut rounds = Rounds::new(ROWS_CLAIMED);
    rounds.subject_timing_itself("larder", |_| followed(runtime, &outbox, ROWS_CLAIMED));
    rounds.subject_timing_itself("hydracache-db, worker", |rows| {
        let took = runtime.block_on(worked_off(rows));
        took.expect("a worker that applies all rows")
    });
    let measured = rounds.run();
    let targets = [("hydracache-db, worker", Target::RatioAtLeast(20.0))];
    throughput(
        report,
        "follow",
        "rows of a backlog of 20,000",
        &measured,
        &targets,
    )?;
    Ok(())
}

/// All rows, by a follower that has just started, with a fence of its own.
pub(super) fn followed(runtime: &Runtime, outbox: &Outbox<Sqlite>, backlog: u64) -> Duration {
    let fence = Fence::builder().build().expect("a fence");
    let head = runtime.block_on(outbox.head()).expect("the head is there").cursor;
    let first = Cursor::ordered(head.source(), head.epoch(), Position::new(1), 0);
    let home = Arc::new(Home(Mutex::new(first)));
    let mut follower = outbox
        .follower(&fence)
        .cursor_home(home)
        .build()
        .expect("a follower");
    let start = Instant::now();
    let mut rows = 0;
    loop {
        let step = runtime.block_on(follower.step()).expect("the log is there");
        rows += step.rows;
        if step.caught_up {
            break;
        }
    }
    assert_eq!(u64::try_from(rows).ok(), Some(backlog), "the follower reads all");
    start.elapsed()
}

/// All rows, by HydraCache's worker with a cache of its own. It is as good as empty, as the fence is: what it holds shows that
/// the rows are applied from the first to the last, and nothing else.
async fn worked_off(rows: u64) -> Result<Duration, Box<dyn Error>> {
    let outbox = HydraCacheOutbox::new().await?;
    outbox.backlog(rows / 2, targets).await?;
    let cache = HydraCache::local().build();
    // The key, what it was read from, and whether a row ends it.
    let entries = [
        ("first", 0, true),
        ("last", rows / 2 - 1, true),
        ("other", rows, false),
    ];
    for (key, id, _) in entries {
        let intent = InvalidationIntent::entity("account", id.to_string()).to_cache_invalidation();
        let tag = intent.tag_value().ok_or("an entity is a tag")?;
        cache.put(key, id, CacheOptions::new().tag(tag)).await?;
    }
    let took = outbox.worked_off(cache.clone()).await?;
    outbox.close().await;
    for (key, _, ends) in entries {
        let is_there = cache.get::<u64>(key).await?.is_some();
        assert_ne!(is_there, ends, "{key} ends if there is a row for it");
    }
    Ok(took)
}

async fn polled(database: &Database) -> Result<u64, sqlx::Error> {
    let (mut cursor, mut rows) = (0_i64, 0);
    loop {
        let found: Vec<(i64, String)> =
            sqlx::query_as("SELECT id, body FROM poller WHERE id > ? ORDER BY id LIMIT ?")
                .bind(cursor)
                .bind(ROWS_A_READ)
                .fetch_all(&database.pool)
                .await?;
        let Some((last, _)) = found.last() else {
            return Ok(rows);
        };
        cursor = *last;
        rows += u64::try_from(found.len()).unwrap_or(0);
    }
}
