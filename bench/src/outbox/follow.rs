//! `follow`: a backlog of rows, read and raised on the fence, beside a poller's bare read of as many.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use larder_core::{Cursor, CursorHome, Fence, Position, SaveError};
use larder_outbox::Outbox;
use sqlx::Sqlite;
use tokio::runtime::Runtime;

use super::{Database, Outcome, backlog, runtime, throughput};
use crate::{Report, Rounds, Target};

/// Rows of the backlog, two for each commit.
const ROWS: u64 = 200_000;
const ROWS_A_READ: i64 = 1_000;

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
    let database = runtime.block_on(Database::new())?;
    let outbox = runtime.block_on(backlog(&database, ROWS / 2, |commit| {
        [("account", commit), ("owner", commit)]
    }))?;
    let mut rounds = Rounds::new(ROWS);
    rounds.subject_timing_itself("larder", |_| followed(&runtime, &outbox));
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

/// All rows, by a follower that has just started, with a fence of its own.
fn followed(runtime: &Runtime, outbox: &Outbox<Sqlite>) -> Duration {
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
    assert_eq!(u64::try_from(rows).ok(), Some(ROWS), "the follower reads all");
    start.elapsed()
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
