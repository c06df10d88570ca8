//! `old_snapshot`, short form: recording, following and draining while somebody holds a snapshot open, beside the same without.
//!
//! Always true: each subject has two databases with the same history. In one of them a transaction on a connection of its own has
//! read once, before a hundred thousand rows were recorded and worked off, and stays open until everything is measured. As long
//! as it is there SQLite can put nothing that came after it back into the file, and the write-ahead log grows.
//!
//! Writing may well be faster under the snapshot for that reason: what the log is put back for is not saved, but put off.
//!
//! The long form, which this is not, holds the snapshot for five minutes.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use larder_outbox::Outbox;
use sqlx::{Connection as _, Sqlite, SqliteConnection};
use tokio::runtime::Runtime;

use super::drain::{self, Nobody};
use super::follow::{followed, targets};
use super::hydracache::HydraCacheOutbox;
use super::record;
use super::{Database, FILE, Outcome, add_backlog, add_rows, options, queue, runtime, throughput};
use crate::{Measured, Report, Rounds, Row, Target};

/// Rows that are recorded and worked off under the snapshot before anything is measured.
const CHURN: u64 = 100_000;
/// The same for HydraCache, whose worker would need a minute for more.
const CHURN_OF_HYDRACACHE: u64 = 10_000;
/// Transactions of a round of recording.
const TRANSACTIONS: u64 = 2_000;
/// Rows of a round of draining.
const ROWS: u64 = 40_000;
const ROWS_OF_HYDRACACHE: u64 = 2_000;

const COUNT_QUEUE: &str = "SELECT count(*) FROM queue";
const COUNT_LOG: &str = "SELECT count(*) FROM larder_log";
const COUNT_HYDRACACHE: &str = "SELECT count(*) FROM hydracache_invalidation_outbox";

/// Measures and reports.
///
/// # Errors
/// When a database cannot be made or written, or standard output.
pub fn old_snapshot(report: Report) -> Outcome {
    let runtime = runtime()?;
    let drained = of_larder(report, &runtime)?;
    let by_queue = of_queue(&runtime)?;
    let by_hydracache = of_hydracache(&runtime)?;
    let kept = |measured: &[Measured; 2]| median(measured[1].over(&measured[0]));
    for (case, peer, measured) in [
        ("short, drain: kept of the throughput", "queue", by_queue),
        (
            "short, drain: kept of the throughput, the peer's after 10,000 rows",
            "hydracache-db",
            by_hydracache,
        ),
    ] {
        report.row(&Row {
            benchmark: "old_snapshot",
            case: case.to_owned(),
            larder: kept(&drained),
            unit: "x",
            peer: Some((peer.to_owned(), kept(&measured))),
            ratios: Vec::new(),
            target: Target::None,
        })?;
    }
    Ok(())
}

/// A transaction that has read once, and is not ended.
struct Snapshot {
    connection: SqliteConnection,
    count: &'static str,
    rows: i64,
}

impl Snapshot {
    async fn open(database: &Database, count: &'static str) -> Result<Self, sqlx::Error> {
        let file = database.folder.path().join(FILE);
        let mut connection = SqliteConnection::connect_with(&options(&file)).await?;
        sqlx::query("BEGIN").execute(&mut connection).await?;
        let rows = sqlx::query_scalar(count).fetch_one(&mut connection).await?;
        Ok(Snapshot {
            connection,
            count,
            rows,
        })
    }

    /// Ends it. It must have seen nothing of what happened since, and so much must have happened.
    async fn close(mut self, database: &Database, churn: u64) -> Outcome {
        let seen: i64 = sqlx::query_scalar(self.count)
            .fetch_one(&mut self.connection)
            .await?;
        assert_eq!(seen, self.rows, "the snapshot was held all the time");
        let now: i64 = sqlx::query_scalar(self.count).fetch_one(&database.pool).await?;
        assert!(
            u64::try_from(now - seen)? >= churn,
            "rows were recorded behind it"
        );
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        self.connection.close().await?;
        Ok(())
    }
}

/// A log, and what it lies in.
struct Log {
    database: Database,
    outbox: Outbox<Sqlite>,
}

impl Log {
    async fn new() -> Result<Self, Box<dyn Error>> {
        let database = Database::new().await?;
        let outbox = database.outbox().await?;
        Ok(Log { database, outbox })
    }

    /// So many rows, recorded two in a commit and drained.
    async fn churn(&self, rows: u64) -> Outcome {
        add_backlog(&self.database, &self.outbox, rows / 2, targets).await?;
        drain::acknowledged(&self.outbox, rows).await?;
        Ok(())
    }

    /// How long so many rows more take to be drained.
    async fn drained(&self, rows: u64) -> Result<Duration, Box<dyn Error>> {
        add_rows(&self.database, rows).await?;
        drain::acknowledged(&self.outbox, rows).await
    }

    async fn record(&self, transactions: u64) -> Outcome {
        for id in 0..transactions {
            record::larder(&self.outbox, id).await?;
        }
        Ok(())
    }
}

/// The names of what is measured with and without a snapshot.
const SUBJECTS: [&str; 2] = ["larder", "larder, no snapshot"];

/// Measures and reports what has a target, and gives what draining took.
fn of_larder(report: Report, runtime: &Runtime) -> Result<[Measured; 2], Box<dyn Error>> {
    let (under, free) = runtime.block_on(async { tokio::try_join!(Log::new(), Log::new()) })?;
    let logs = [&under, &free];
    let snapshot = runtime.block_on(Snapshot::open(&under.database, COUNT_LOG))?;
    for log in logs {
        runtime.block_on(log.churn(CHURN))?;
    }
    let followed = measured(CHURN, SUBJECTS, |subject, _| {
        followed(runtime, &logs[subject].outbox, CHURN)
    });
    let recorded = measured(TRANSACTIONS, SUBJECTS, |subject, transactions| {
        let start = Instant::now();
        let recorded = runtime.block_on(logs[subject].record(transactions));
        recorded.expect("transactions of the outbox");
        start.elapsed()
    });
    for log in logs {
        runtime.block_on(async {
            let pending = log.outbox.store().status("default", None).await?.pending;
            drain::acknowledged(&log.outbox, pending.at_least()).await
        })?;
    }
    let drained = measured(ROWS, SUBJECTS, |subject, rows| {
        let drained = runtime.block_on(logs[subject].drained(rows));
        drained.expect("a relay that drains")
    });
    runtime.block_on(snapshot.close(&under.database, CHURN))?;
    let target = [(SUBJECTS[1], Target::RatioAtLeast(0.9))];
    for (case, measured) in [
        ("short, record", &recorded),
        ("short, follow", &followed),
        ("short, drain", &drained),
    ] {
        throughput(report, "old_snapshot", case, measured, &target)?;
    }
    Ok(drained)
}

fn of_queue(runtime: &Runtime) -> Result<[Measured; 2], Box<dyn Error>> {
    let (under, free) = runtime.block_on(async { tokio::try_join!(Database::new(), Database::new()) })?;
    let databases = [&under, &free];
    let drained = async |database: &Database, rows| {
        queue::backlog(database, rows).await?;
        queue::acknowledged(database, rows).await
    };
    for database in databases {
        runtime.block_on(queue::create(database))?;
    }
    let snapshot = runtime.block_on(Snapshot::open(&under, COUNT_QUEUE))?;
    for database in databases {
        runtime.block_on(drained(database, CHURN))?;
    }
    let drained = measured(ROWS, ["queue", "queue, no snapshot"], |subject, rows| {
        let drained = runtime.block_on(drained(databases[subject], rows));
        drained.expect("a queue that drains")
    });
    runtime.block_on(snapshot.close(&under, CHURN))?;
    Ok(drained)
}

fn of_hydracache(runtime: &Runtime) -> Result<[Measured; 2], Box<dyn Error>> {
    let (under, free) =
        runtime.block_on(async { tokio::try_join!(HydraCacheOutbox::new(), HydraCacheOutbox::new()) })?;
    let outboxes = [&under, &free];
    let drained = async |outbox: &HydraCacheOutbox, rows: u64| {
        outbox.backlog(rows / 2, targets).await?;
        let published = Arc::new(AtomicU64::new(0));
        let took = outbox.worked_off(Nobody(published.clone())).await?;
        assert_eq!(
            published.load(Ordering::Relaxed),
            rows,
            "every row is published once"
        );
        Ok::<_, Box<dyn Error>>(took)
    };
    let snapshot = runtime.block_on(Snapshot::open(under.database(), COUNT_HYDRACACHE))?;
    for outbox in outboxes {
        runtime.block_on(drained(outbox, CHURN_OF_HYDRACACHE))?;
    }
    let names = ["hydracache-db", "hydracache-db, no snapshot"];
    let drained = measured(ROWS_OF_HYDRACACHE, names, |subject, rows| {
        let drained = runtime.block_on(drained(outboxes[subject], rows));
        drained.expect("an outbox that drains")
    });
    runtime.block_on(snapshot.close(under.database(), CHURN_OF_HYDRACACHE))?;
    Ok(drained)
}

/// Both subjects, first the one with the snapshot; `work` is told which one by its number.
fn measured(iterations: u64, names: [&str; 2], work: impl Fn(usize, u64) -> Duration) -> [Measured; 2] {
    let mut rounds = Rounds::new(iterations);
    for (subject, name) in names.into_iter().enumerate() {
        let work = &work;
        rounds.subject_timing_itself(name, move |iterations| work(subject, iterations));
    }
    let measured: Result<[Measured; 2], _> = rounds.run().try_into();
    measured.unwrap_or_else(|_| unreachable!("two subjects are measured"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
