//! `lag`: from a commit until another process has applied it, by polling; and until another follower of this process has, by hints.
//!
//! Always true: a commit writes a row of the outbox and one of the poller's table in one transaction, and every subject sees the
//! same sequence of pauses between commits; the other process is this program, started anew, one for each subject and round. The
//! time begins just before the transaction is told to commit, so what the commit itself takes is in it, and ends when the row is
//! with the sink, or with the poller.
//!
//! Over SQLite nothing wakes another process: hints reach only the followers of the own one. So what is measured as hinted is a
//! follower on a thread and a fence of its own; commits reach it by its source alone. It is hinted when the commit returns, so how
//! long that took stands beside it: now and then a commit of SQLite puts the write-ahead log back into the file, with an `fsync`.

mod other;

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use futures_util::future::abortable;
use larder_core::{Fence, Invalidation, Invalidations, Position, Settled, Sink, SinkError};
use larder_outbox::{Follower, Outbox};
use sqlx::Sqlite;
use tokio::runtime::Runtime;

use self::other::Role;
use super::{Database, FILE, Outcome, body, runtime};
use crate::lags::{self, Applied, COMMITS, Lags, OtherProcess, Pauses};
use crate::{ROUNDS, Report, Row, Target};

/// Within what time everything must have been applied.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures and reports. In the process that it starts it is that process's part.
///
/// # Errors
/// When a database or a process cannot be made, or standard output cannot be written.
pub fn lag(report: Report) -> Outcome {
    if let Some(role) = lags::role() {
        return other::play(&role);
    }
    let runtime = runtime()?;
    let database = runtime.block_on(Database::new())?;
    let outbox = runtime.block_on(database.outbox())?;
    polled(report, &runtime, &database, &outbox)?;
    hinted(report, &runtime, &outbox)
}

/// One commit: its marks for those who look for it, and when it began.
struct Commit {
    position: u64,
    row: u64,
    at: Duration,
    /// How long it took to return.
    took: Duration,
}

fn polled(report: Report, runtime: &Runtime, database: &Database, outbox: &Outbox<Sqlite>) -> Outcome {
    let roles = [Role::Follower, Role::FollowerAtIntervals, Role::Poller];
    let mut lags: [Lags; 3] = Default::default();
    let file = database.folder.path().join(FILE);
    for round in 0..ROUNDS {
        for turn in 0..roles.len() {
            let index = (round + turn) % roles.len();
            let of_round = seen_by(runtime, roles[index], &file, outbox, round)?;
            lags[index].0.push(of_round);
        }
    }
    let [adapting, at_intervals, poller] = &lags;
    let target = Target::RatioAtMost(1.25);
    for (case, larder) in [
        ("polling, at most 20 ms apart", adapting),
        ("polling, always 20 ms apart", at_intervals),
    ] {
        for (percent, target) in [(50, target), (99, Target::None)] {
            report.row(&Row {
                benchmark: "lag",
                case: format!("{case}: p{percent}"),
                larder: larder.percentile(percent),
                unit: "ms",
                peer: Some(("poller".to_owned(), poller.percentile(percent))),
                ratios: larder.over(poller, percent),
                target,
            })?;
        }
    }
    Ok(())
}

/// The lags of a round's commits, as one other process sees them.
fn seen_by(
    runtime: &Runtime,
    role: Role,
    file: &Path,
    outbox: &Outbox<Sqlite>,
    round: usize,
) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut other = OtherProcess::start(role.word(), file)?;
    let commits = runtime.block_on(commit(outbox, round))?;
    let mark = |commit: &Commit| match role {
        Role::Follower | Role::FollowerAtIntervals => commit.position,
        Role::Poller => commit.row,
    };
    let mut applied = Applied::new();
    while !commits.iter().all(|commit| applied.contains_key(&mark(commit))) {
        let (mark, at) = other.applied()?;
        applied.entry(mark).or_insert(at);
    }
    assert_eq!(applied.len(), commits.len(), "nothing else was committed");
    Ok(lags(&commits, &applied, mark))
}

fn hinted(report: Report, runtime: &Runtime, outbox: &Outbox<Sqlite>) -> Outcome {
    let (mut lags, mut commits) = (Lags::default(), Lags::default());
    for round in 0..ROUNDS {
        let (of_round, of_commits) = seen_here(runtime, outbox, round)?;
        lags.0.push(of_round);
        commits.0.push(of_commits);
    }
    for (percent, most) in [(50, 5.0), (99, 25.0)] {
        report.row(&Row {
            benchmark: "lag",
            case: format!("hinted, a follower of the same process: p{percent}"),
            larder: lags.percentile(percent),
            unit: "ms",
            peer: Some(("the commit alone".to_owned(), commits.percentile(percent))),
            ratios: Vec::new(),
            target: Target::AtMost(most),
        })?;
    }
    Ok(())
}

/// The lags of a round's commits, as another follower of this process sees them, and how long each commit took to return. By itself it asks once a second, so that
/// whatever it applies sooner it does because of a hint.
fn seen_here(
    runtime: &Runtime,
    outbox: &Outbox<Sqlite>,
    round: usize,
) -> Result<(Vec<f64>, Vec<f64>), Box<dyn Error>> {
    let fence = Fence::builder().build()?;
    let applied = Arc::new(Mutex::new(Applied::new()));
    let _registered = fence.sink(Arc::new(Noting(applied.clone())))?;
    // Not a follower of the outbox itself: to that one commits are applied before they return.
    let mut follower = Follower::builder(outbox.source(), &fence)
        .poll_min(Duration::from_secs(1))
        .poll_max(Duration::from_secs(1))
        .build()?;
    runtime.block_on(follower.step())?;
    let (following, stop) = abortable(async move { follower.run(std::future::pending()).await });
    let own = super::runtime()?;
    let commits = thread::scope(|scope| {
        let running = scope.spawn(move || own.block_on(following));
        let commits = runtime.block_on(commit(outbox, round));
        let until = lags::now() + PATIENCE;
        let is_all = |commits: &Vec<Commit>| {
            let applied = applied.lock().expect("no sink panics");
            commits
                .iter()
                .all(|commit| applied.contains_key(&commit.position))
        };
        while commits.as_ref().is_ok_and(|commits| !is_all(commits)) && lags::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        stop.abort();
        let stopped = running.join().expect("the follower does not panic");
        assert!(stopped.is_err(), "it follows until it is stopped");
        commits
    })?;
    let applied = applied.lock().expect("no sink panics");
    assert_eq!(
        applied.len(),
        commits.len(),
        "everything is applied, and nothing else"
    );
    let took = commits.iter().map(|commit| commit.took.as_secs_f64() * 1e3);
    Ok((lags(&commits, &applied, |commit| commit.position), took.collect()))
}

/// Commits at random distances, the same in each round of this number.
async fn commit(outbox: &Outbox<Sqlite>, round: usize) -> Result<Vec<Commit>, Box<dyn Error>> {
    let mut commits = Vec::with_capacity(COMMITS);
    let mut pauses = Pauses(u64::try_from(round)?);
    for number in 0..COMMITS as u64 {
        tokio::time::sleep(pauses.next()).await;
        let mut transaction = outbox.begin().await?;
        let batch = Invalidations::default().entity("account", number)?;
        let recorded = transaction.record(&batch).await?;
        let row = sqlx::query("INSERT INTO poller (body) VALUES (?)")
            .bind(body("account", number))
            .execute(transaction.connection())
            .await?
            .last_insert_rowid();
        let at = lags::now();
        let _ = transaction.commit().await?;
        let position = recorded
            .position()
            .ok_or("a batch that is not empty has a position")?;
        commits.push(Commit {
            position: position.get(),
            row: u64::try_from(row)?,
            at,
            took: lags::now() - at,
        });
    }
    Ok(commits)
}

/// How long each commit took to be applied, in milliseconds.
fn lags(commits: &[Commit], applied: &Applied, mark: impl Fn(&Commit) -> u64) -> Vec<f64> {
    let lag = |commit: &Commit| {
        let applied = applied[&mark(commit)];
        let lag = applied.checked_sub(commit.at);
        lag.expect("nothing is applied before it is committed")
            .as_secs_f64()
            * 1e3
    };
    commits.iter().map(lag).collect()
}

/// A sink that notes when it was told of which commit.
struct Noting(Arc<Mutex<Applied>>);

impl Sink for Noting {
    fn apply(&self, rows: &[Invalidation], _at: Position) -> Result<Settled, SinkError> {
        let now = lags::now();
        let mut applied = self.0.lock().map_err(|_| SinkError::new("a sink panicked"))?;
        for row in rows {
            applied.entry(row.position().get()).or_insert(now);
        }
        Ok(Settled::at_once())
    }

    fn widen(&self, _target: &larder_core::Target) -> Result<Settled, SinkError> {
        Ok(Settled::at_once())
    }
}
