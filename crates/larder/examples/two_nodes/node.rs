//! One process of the service: a pool, a fence, a follower; readers who check what they read, and perhaps a writer.

use std::collections::HashMap;
use std::io::{BufRead as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::outbox::Outbox;
use larder::pool::LoadContext;
use larder::{Applied, Certainty, Entity, Fence, Invalidations, Pool};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool};

use crate::Fault;
use crate::options::Node;
use crate::words::{Said, Tally, Wrote, now_nanos};

/// Tasks that read, in each process.
const READERS: u64 = 4;
/// A commit that a node has not applied after so long is lost.
const LATE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

/// A row, as the pool keeps it.
#[derive(Entity)]
struct Counter {
    id: u64,
    version: u64,
}

/// What the tasks of a process share.
struct Process {
    options: Node,
    database: SqlitePool,
    outbox: Outbox<Sqlite>,
    fence: Fence,
    counters: Pool<Counter>,
    /// Of each row, the version below which it must not be read here any more.
    floor: Mutex<HashMap<u64, u64>>,
    reads: AtomicU64,
    loads: AtomicU64,
    stale: AtomicU64,
    late: AtomicU64,
}

pub(crate) fn run(options: &Node) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(serve(options.clone()))
}

pub(crate) fn file_options(file: &std::path::Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(5))
}

async fn serve(options: Node) -> Result<(), Fault> {
    let database = SqlitePoolOptions::new().max_connections(6);
    let database = database.connect_with(file_options(&options.file)).await?;
    let fence = Fence::builder().build()?;
    let outbox = Outbox::builder(database.clone()).open().await?;
    let process = Arc::new(Process {
        counters: Pool::builder()
            .capacity_entries(options.rows / 2)
            .fence(fence.clone())
            .build()?,
        database,
        outbox,
        fence,
        options,
        floor: Mutex::default(),
        reads: AtomicU64::new(0),
        loads: AtomicU64::new(0),
        stale: AtomicU64::new(0),
        late: AtomicU64::new(0),
    });
    let mut follower = process.outbox.follower(&process.fence).build()?;
    tokio::spawn(async move { follower.run(std::future::pending()).await });
    while process.fence.certainty() != Certainty::Sure {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    say(&Said::Ready);
    for reader in 0..READERS {
        let process = Arc::clone(&process);
        tokio::spawn(async move { process.read_for_ever(reader).await });
    }
    if process.options.writes {
        let process = Arc::clone(&process);
        tokio::spawn(async move { process.write_for_ever().await });
    }
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if told.send(line).is_err() {
                break;
            }
        }
    });
    // Nobody speaks any more, or says stop.
    while let Some(line) = heard.recv().await.filter(|line| line != "stop") {
        if let Some(wrote) = Wrote::of_line(&line) {
            tokio::spawn(Arc::clone(&process).expect(wrote));
        }
    }
    process.tell();
    Ok(())
}

impl Process {
    /// From when this node has applied a commit of the other, its row must not be read older.
    async fn expect(self: Arc<Self>, wrote: Wrote) {
        let applied = tokio::time::timeout(LATE, self.fence.when_applied(wrote.token));
        if !matches!(applied.await, Ok(Applied::Yes)) {
            self.late.fetch_add(1, Ordering::Relaxed);
            return;
        }
        say(&Said::Lag(now_nanos().saturating_sub(wrote.at_nanos)));
        self.raise_floor(wrote.row, wrote.version);
    }

    fn raise_floor(&self, row: u64, version: u64) {
        let mut floors = self
            .floor
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let floor = floors.entry(row).or_default();
        *floor = version.max(*floor);
    }

    fn floor(&self, row: u64) -> u64 {
        let floors = self
            .floor
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        floors.get(&row).copied().unwrap_or_default()
    }

    async fn read_for_ever(&self, reader: u64) {
        let mut random = Random::new(self.options.seed ^ (reader << 32));
        for read in 0_u64.. {
            let row = random.skewed(self.options.rows);
            // Looked at before the read begins.
            let floor = self.floor(row);
            match self.version(row).await {
                Ok(version) => {
                    self.reads.fetch_add(1, Ordering::Relaxed);
                    if version < floor {
                        self.stale.fetch_add(1, Ordering::Relaxed);
                        eprintln!("row {row} was read at {version}, after {floor}");
                    }
                }
                Err(error) => eprintln!("a read failed: {error}"),
            }
            if read % 1_000 == 0 {
                self.tell();
                tokio::task::yield_now().await;
            }
        }
    }

    async fn version(&self, row: u64) -> Result<u64, Fault> {
        let database = self.database.clone();
        let load = |load: LoadContext<Counter>| async move {
            let version: i64 = sqlx::query_scalar("SELECT version FROM counters WHERE id = ?")
                .bind(i64::try_from(load.id).unwrap_or(i64::MAX))
                .fetch_one(&database)
                .await?;
            let version = u64::try_from(version).unwrap_or(0);
            Ok::<_, sqlx::Error>(Counter { id: load.id, version })
        };
        if let Some(counter) = self.counters.get(&row) {
            return Ok(counter.version);
        }
        self.loads.fetch_add(1, Ordering::Relaxed);
        let counter = self.counters.get_or_fetch(&row, load).await?;
        Ok(counter.map(|counter| counter.version).unwrap_or_default())
    }

    async fn write_for_ever(&self) {
        let mut random = Random::new(self.options.seed.rotate_left(7));
        loop {
            let row = random.skewed(self.options.rows);
            match self.write(row).await {
                Ok(wrote) => {
                    self.raise_floor(wrote.row, wrote.version);
                    say(&Said::Wrote(wrote));
                }
                Err(error) => eprintln!("a write failed: {error}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn write(&self, row: u64) -> Result<Wrote, Fault> {
        let batch = Invalidations::default().entity("counter", row)?;
        let mut transaction = self.outbox.begin().await?;
        let version: i64 =
            sqlx::query_scalar("UPDATE counters SET version = version + 1 WHERE id = ? RETURNING version")
                .bind(i64::try_from(row)?)
                .fetch_one(transaction.connection())
                .await?;
        let _ = transaction.record(&batch).await?;
        let token = transaction.commit().await?;
        Ok(Wrote {
            row,
            version: u64::try_from(version)?,
            at_nanos: now_nanos(),
            token,
        })
    }

    /// Says what was done since the last time.
    fn tell(&self) {
        let since = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        say(&Said::Tally(Tally {
            reads: since(&self.reads),
            loads: since(&self.loads),
            stale: since(&self.stale),
            late: since(&self.late),
        }));
    }
}

fn say(said: &Said) {
    let mut out = std::io::stdout().lock();
    // Whoever listened may be gone; then this process ends soon.
    drop(writeln!(out, "{}", said.to_line()).and_then(|()| out.flush()));
}

/// Numbers from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A row; low ones more often than high ones.
    fn skewed(&mut self, rows: u64) -> u64 {
        let bound = 1 + self.next() % rows;
        self.next() % bound
    }
}
