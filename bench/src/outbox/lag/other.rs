//! The other process: this program, started anew with a variable that says what it is to be there.
//!
//! It writes a line `ready` when it has found the end of the log, and then a line for each row that it has applied: the row's mark
//! and when, in nanoseconds of the clock that both processes share. It ends when it is killed, and by itself after a minute.

use std::error::Error;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use larder_core::{Fence, Invalidation, Position, Settled, Sink, SinkError, Target};
use larder_outbox::Outbox;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Connection as _, SqliteConnection};
use tokio::time::MissedTickBehavior;

use super::clock;
use crate::Outcome;
use crate::outbox::{options, runtime};

/// Says what the process is to be.
pub(super) const ROLE: &str = "LARDER_BENCH_LAG";
/// Says in which file.
const DATABASE: &str = "LARDER_BENCH_DATABASE";

const READY: &str = "ready";
/// How often everybody asks.
const INTERVAL: Duration = Duration::from_millis(20);
/// After this it ends by itself, should nobody be there to end it.
const LIFETIME: Duration = Duration::from_secs(60);

/// What the other process is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// A follower, which asks sooner after rows and then less and less often, up to the interval.
    Follower,
    /// A follower that always waits for the interval.
    FollowerAtIntervals,
    /// What services write by hand.
    Poller,
}

/// The other process, as long as this lives.
pub(super) struct OtherProcess {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl OtherProcess {
    /// Starts it, and waits until it has found the end of the log.
    pub(super) fn start(role: Role, file: &Path) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("lag")
            .env(ROLE, role.word())
            .env(DATABASE, file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("the output was piped")?;
        let mut other = OtherProcess {
            process,
            lines: BufReader::new(output).lines(),
        };
        let line = other.line()?;
        if line == READY {
            Ok(other)
        } else {
            Err(format!("the other process says `{line}`").into())
        }
    }

    /// The mark of the next row that it has applied, and when.
    pub(super) fn applied(&mut self) -> Result<(u64, Duration), Box<dyn Error>> {
        let line = self.line()?;
        let (mark, at) = line.split_once(' ').ok_or("a line is a mark and a time")?;
        Ok((mark.parse()?, Duration::from_nanos(at.parse()?)))
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        Ok(self.lines.next().ok_or("the other process has ended")??)
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Role {
    const ALL: [Role; 3] = [Role::Follower, Role::FollowerAtIntervals, Role::Poller];

    fn word(self) -> &'static str {
        match self {
            Role::Follower => "follower",
            Role::FollowerAtIntervals => "follower-at-intervals",
            Role::Poller => "poller",
        }
    }
}

/// The other process's part.
pub(super) fn play(role: &OsStr) -> Outcome {
    let role = Role::ALL.into_iter().find(|known| known.word() == role);
    let role = role.ok_or("the other process does not know what it is to be")?;
    let file = PathBuf::from(std::env::var_os(DATABASE).ok_or("no database is named")?);
    runtime()?.block_on(async {
        let playing = async {
            match role {
                Role::Follower => follow(&file, None).await,
                Role::FollowerAtIntervals => follow(&file, Some(INTERVAL)).await,
                Role::Poller => poll(&file).await,
            }
        };
        // Time over is as good an end as any.
        tokio::time::timeout(LIFETIME, playing).await.unwrap_or(Ok(()))
    })
}

async fn follow(file: &Path, poll_min: Option<Duration>) -> Outcome {
    let pool = SqlitePoolOptions::new()
        .max_connections(3)
        .connect_with(options(file))
        .await?;
    let outbox = Outbox::builder(pool).open().await?;
    let fence = Fence::builder().build()?;
    let _registered = fence.sink(Arc::new(Printing))?;
    let mut follower = outbox.follower(&fence).poll_max(INTERVAL);
    if let Some(poll_min) = poll_min {
        follower = follower.poll_min(poll_min);
    }
    let mut follower = follower.build()?;
    follower.step().await?;
    print(READY)?;
    follower.run(std::future::pending()).await?;
    Ok(())
}

async fn poll(file: &Path) -> Outcome {
    let mut connection = SqliteConnection::connect_with(&options(file)).await?;
    let mut cursor: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM poller")
        .fetch_one(&mut connection)
        .await?;
    print(READY)?;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let rows: Vec<(i64, String)> = sqlx::query_as("SELECT id, body FROM poller WHERE id > ? ORDER BY id")
            .bind(cursor)
            .fetch_all(&mut connection)
            .await?;
        let now = clock::now().as_nanos();
        for (id, _) in rows {
            cursor = id;
            print(&format!("{id} {now}"))?;
        }
    }
}

/// Tells the process that has started this one of each commit.
struct Printing;

impl Sink for Printing {
    fn apply(&self, rows: &[Invalidation], _at: Position) -> Result<Settled, SinkError> {
        let now = clock::now().as_nanos();
        for row in rows {
            print(&format!("{} {now}", row.position())).map_err(SinkError::new)?;
        }
        Ok(Settled::at_once())
    }

    fn widen(&self, _target: &Target) -> Result<Settled, SinkError> {
        Ok(Settled::at_once())
    }
}

fn print(line: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}
