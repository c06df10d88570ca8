//! `lag`: from a commit until a layer in another process has applied it, beside HydraCache's worker and bus.
//!
//! Always true: one file for all, the same sequence of pauses between commits for every subject, and rounds that take turns; the other process is this
//! program, started anew, one for each subject and round. The time begins when everything is said and only the commit is to come, so what the
//! commit takes is in it (with Larder also the statement that records), and ends when the other node's cache has applied it: for Larder in a sink of the layer's
//! fence, for HydraCache when its cache says that a tag was invalidated.
//!
//! - *Larder* commits by [`larder::Layer::transaction`]; in the other process there is a layer over the same file: as it is when nothing is said of it, woken
//!   by what is written to the file; and one that is not woken and polls, at most 100 ms apart, as it does when nothing is said of that.
//! - *HydraCache* commits with its outbox. Its worker, in the committing process, looks every 20 ms (its documentation leaves that open), applies
//!   what it claims in the cache there, which tells its bus, and the bus carries the tag to the other process by a pipe, which is as fast as a bus can be.
//!
//! What a hint is worth within a process is measured of the outbox, in its own `lag`.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::ChildStdin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::hydracache::{
    CacheInvalidation, CacheInvalidationBus, CacheInvalidationMessage, CacheInvalidationReceiver, HydraCache,
    InMemoryInvalidationBus,
};
use async_trait::async_trait;
use larder::outbox::Outbox;
use larder::{Entity as _, Invalidation, Layer, Position, Settled, Sink, SinkError, Target, Tx};
use sqlx::Sqlite;
use sqlx::sqlite::SqlitePoolOptions;
use tokio::runtime::Runtime;

use super::hydracache::{HydraOutbox, work};
use super::{Account, Fault, runtime};
use crate::lags::{self, Applied, COMMITS, Lags, OtherProcess, Pauses};
use crate::outbox::{Database, FILE, UPDATE, options};
use crate::{Outcome, ROUNDS, Report, Row};

/// What HydraCache's transactions change: as much as [`UPDATE`] does, and it is given the commit's number.
const UPDATE_TO: &str = "UPDATE accounts SET amount = ? WHERE id = 1";

/// What the other process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Woken,
    Polling,
    HydraCache,
}

/// Measures and reports. In the process that it starts it is that process's part.
///
/// # Errors
/// When a database or a process cannot be made, or standard output cannot be written.
pub fn lag(report: Report) -> Outcome {
    if let Some(role) = lags::role() {
        return play(&role);
    }
    let runtime = runtime()?;
    let database = runtime.block_on(Database::new())?;
    let file = database.folder.path().join(FILE);
    let writer = runtime.block_on(Writer::open(&database, &file));
    let writer = writer.map_err(|error| error.to_string())?;
    let mut lags: [Lags; Role::ALL.len()] = Default::default();
    for round in 0..ROUNDS {
        for turn in 0..Role::ALL.len() {
            let index = (round + turn) % Role::ALL.len();
            let of_round = seen_by(&runtime, Role::ALL[index], &file, &writer, round)?;
            lags[index].0.push(of_round);
        }
    }
    rows(report, &lags)
}

fn rows(report: Report, [woken, polling, hydracache]: &[Lags; 3]) -> Outcome {
    use crate::Target::{AtMost, None, RatioAtMost};
    for (case, larder, targets) in [
        ("woken", woken, [RatioAtMost(0.2), RatioAtMost(0.2)]),
        ("woken, in itself", woken, [AtMost(5.0), AtMost(25.0)]),
        ("polling, at most 100 ms apart", polling, [None, AtMost(60.0)]),
    ] {
        for (percent, target) in [50, 99].into_iter().zip(targets) {
            report.row(&Row {
                benchmark: "lag",
                case: format!("{case}: p{percent}"),
                larder: larder.percentile(percent),
                unit: "ms",
                peer: Some((
                    "hydracache, worker every 20 ms and bus".to_owned(),
                    hydracache.percentile(percent),
                )),
                ratios: larder.over(hydracache, percent),
                target,
            })?;
        }
    }
    Ok(())
}

/// Who commits.
struct Writer {
    layer: Layer,
    outbox: Outbox<Sqlite>,
    hydracache: HydraOutbox,
}

impl Writer {
    async fn open(database: &Database, file: &Path) -> Result<Self, Fault> {
        let builder = Outbox::builder(database.pool.clone());
        builder.migrate().await?;
        let layer = Layer::builder("writer").outbox(builder).open().await?;
        Ok(Writer {
            outbox: layer.outbox()?,
            layer,
            hydracache: HydraOutbox::in_file(file).await?,
        })
    }

    /// A commit that invalidates the account of this number: when it began.
    async fn commit(&self, role: Role, number: u64) -> Result<Duration, Fault> {
        let mut at = Duration::ZERO;
        if role == Role::HydraCache {
            let commit = self
                .hydracache
                .commit(UPDATE_TO, "account", number, || at = lags::now());
            commit.await?;
            return Ok(at);
        }
        let done = self
            .layer
            .transaction(&self.outbox, async |tx: &mut Tx<'_, Sqlite>| {
                sqlx::query(UPDATE).execute(tx.connection()).await?;
                tx.target(Target::entity(Account::name(), number)?)?;
                at = lags::now();
                Ok::<_, Fault>(())
            });
        done.await.map_err(|error| error.to_string())?;
        Ok(at)
    }
}

/// The lags of a round's commits, in milliseconds, as one other process sees them.
fn seen_by(
    runtime: &Runtime,
    role: Role,
    file: &Path,
    writer: &Writer,
    round: usize,
) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut other = OtherProcess::start(role.word(), file)?;
    let input = other.input().ok_or("the input was piped")?;
    let worker = (role == Role::HydraCache).then(|| {
        let _entered = runtime.enter();
        let cache = HydraCache::local()
            .invalidation_bus(Pipe(Mutex::new(input)))
            .build();
        runtime.spawn(work(writer.hydracache.worker("writer", cache)))
    });
    let begun = runtime.block_on(async {
        let mut begun = Applied::new();
        let mut pauses = Pauses(u64::try_from(round)?);
        // No number comes twice: a worker may be given a row of an earlier round again.
        let first = round * COMMITS;
        for number in first..first + COMMITS {
            let number = u64::try_from(number)?;
            tokio::time::sleep(pauses.next()).await;
            begun.insert(number, writer.commit(role, number).await?);
        }
        Ok::<_, Fault>(begun)
    });
    let mut left = begun.map_err(|error| error.to_string())?;
    let mut lags = Vec::with_capacity(COMMITS);
    while !left.is_empty() {
        let (number, at) = other.applied()?;
        if let Some(begun) = left.remove(&number) {
            let lag = at
                .checked_sub(begun)
                .ok_or("nothing is applied before it is committed")?;
            lags.push(lag.as_secs_f64() * 1e3);
        }
    }
    if let Some(worker) = worker {
        worker.abort();
    }
    Ok(lags)
}

/// A bus to the other process: a line for each tag.
struct Pipe(Mutex<ChildStdin>);

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipe")
    }
}

#[async_trait]
impl CacheInvalidationBus for Pipe {
    async fn publish(&self, message: CacheInvalidationMessage) -> ::hydracache::CacheResult<()> {
        let failed = |error: &dyn fmt::Display| ::hydracache::CacheError::Backend(error.to_string());
        let tag = message.invalidation().tag_value().unwrap_or_default();
        let mut pipe = self.0.lock().map_err(|error| failed(&error))?;
        writeln!(pipe, "{tag}").map_err(|error| failed(&error))
    }

    /// Nothing comes back by it.
    fn subscribe(&self) -> Box<dyn CacheInvalidationReceiver> {
        InMemoryInvalidationBus::default().subscribe()
    }
}

impl Role {
    const ALL: [Role; 3] = [Role::Woken, Role::Polling, Role::HydraCache];

    fn word(self) -> &'static str {
        match self {
            Role::Woken => "woken",
            Role::Polling => "polling",
            Role::HydraCache => "hydracache",
        }
    }
}

/// The other process's part.
fn play(role: &OsStr) -> Outcome {
    let role = Role::ALL.into_iter().find(|known| known.word() == role);
    let role = role.ok_or("the other process does not know what it is to be")?;
    let file = lags::database()?;
    runtime()?.block_on(lags::for_a_while(async {
        match role {
            Role::Woken => follow(&file, true).await,
            Role::Polling => follow(&file, false).await,
            Role::HydraCache => hear().await,
        }
    }))
}

async fn follow(file: &Path, woken: bool) -> Outcome {
    let pool = SqlitePoolOptions::new()
        .max_connections(3)
        .connect_with(options(file))
        .await?;
    let layer = Layer::builder("reader").outbox(Outbox::builder(pool));
    let layer = layer.file_hints(woken).open().await?;
    let _registered = layer.fence().sink(Arc::new(Printing))?;
    lags::ready()?;
    std::future::pending().await
}

/// Tells of each account.
struct Printing;

impl Sink for Printing {
    fn apply(&self, rows: &[Invalidation], _at: Position) -> Result<Settled, SinkError> {
        for row in rows {
            if let Target::Entity { id, .. } = row.target() {
                let number = String::from_utf8_lossy(id.as_bytes()).parse();
                let number = number.map_err(SinkError::new)?;
                lags::applied_now(number).map_err(SinkError::new)?;
            }
        }
        Ok(Settled::at_once())
    }

    fn widen(&self, _target: &Target) -> Result<Settled, SinkError> {
        Ok(Settled::at_once())
    }
}

/// HydraCache's cache, which hears of tags by its bus.
async fn hear() -> Outcome {
    let bus = Arc::new(InMemoryInvalidationBus::default());
    let cache = HydraCache::local()
        .shared_invalidation_bus(bus.clone())
        .invalidation_node_id("reader")
        .build();
    let mut events = cache.subscribe_mutations();
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        for tag in std::io::stdin().lock().lines() {
            let Ok(tag) = tag else { return };
            let message = CacheInvalidationMessage::new("writer", CacheInvalidation::tag(tag));
            if runtime.block_on(bus.publish(message)).is_err() {
                return;
            }
        }
    });
    lags::ready()?;
    while let Some(event) = events.next_event().await {
        let number = event.scope().tag().and_then(|tag| tag.rsplit(':').next());
        if let Some(number) = number {
            lags::applied_now(number.parse()?)?;
        }
    }
    Err("the cache is gone".into())
}
