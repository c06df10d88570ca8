//! [`Origin`]: where rows are changed and loaded from. It is the same for every subject of a scenario, and counts the loads.
//!
//! In memory it is a number a row; a load reads the number, lets others go first a few times (how often, is drawn by a seed), and only then returns: a
//! write and its invalidation fall in between. A replica is a copy that has replayed a part of the commits; how many it lacks is drawn by a seed at each
//! load, but it never goes back, and has replayed each commit after some time. In a database it is a table of SQLite.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;

use super::Fault;
use super::chance::drawn;
use crate::outbox::options;

/// How a row is changed.
pub(super) const UPDATE: &str = "UPDATE counters SET version = version + 1 WHERE id = ?";
const CREATE: &str = "CREATE TABLE counters (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)";
const FILL: &str = "WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < ?)
    INSERT INTO counters (id, version) SELECT n, 0 FROM number";

/// What a load brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brought {
    pub(super) version: u64,
    /// How many commits the copy had replayed, if it was one.
    pub(super) as_of: Option<u64>,
}

/// A load that has failed.
#[derive(Clone, Debug)]
pub(super) struct LoadError(String);

pub(super) struct Origin {
    rows: Rows,
    seed: u64,
    loads: AtomicU64,
    overtaken: AtomicU64,
}

enum Rows {
    /// And how often a load lets others go first, at most.
    Memory(Vec<AtomicU64>, u64),
    Replica(Vec<AtomicU64>, Mutex<Copied>),
    Database(SqlitePool),
}

/// What a replica knows.
struct Copied {
    /// The row of each commit, and when it was.
    commits: Vec<(u64, Instant)>,
    replayed: usize,
    versions: Vec<u64>,
    /// How many commits it lacks, and for how long it lacks one, at most.
    lacking_max: u64,
    lacking_for_max: Duration,
}

fn zeros(rows: u64) -> Vec<AtomicU64> {
    (0..rows).map(|_| AtomicU64::new(0)).collect()
}

fn place(row: u64) -> usize {
    usize::try_from(row).expect("a row is a place in memory")
}

impl Origin {
    pub(super) fn in_memory(rows: u64, others_first_max: u64, seed: u64) -> Arc<Self> {
        Self::of(Rows::Memory(zeros(rows), others_first_max), seed)
    }

    pub(super) fn replica(rows: u64, lacking_max: u64, lacking_for_max: Duration, seed: u64) -> Arc<Self> {
        let copy = Copied {
            commits: Vec::new(),
            replayed: 0,
            versions: vec![0; place(rows)],
            lacking_max,
            lacking_for_max,
        };
        Self::of(Rows::Replica(zeros(rows), Mutex::new(copy)), seed)
    }

    /// A table in this file, which is made.
    pub(super) async fn database(file: &Path, rows: u64, seed: u64) -> Result<Arc<Self>, Fault> {
        let pool = SqlitePoolOptions::new()
            .max_connections(3)
            .connect_with(options(file))
            .await?;
        sqlx::query(CREATE).execute(&pool).await?;
        sqlx::query(FILL)
            .bind(i64::try_from(rows)?)
            .execute(&pool)
            .await?;
        Ok(Self::of(Rows::Database(pool), seed))
    }

    fn of(rows: Rows, seed: u64) -> Arc<Self> {
        Arc::new(Origin {
            rows,
            seed,
            loads: AtomicU64::new(0),
            overtaken: AtomicU64::new(0),
        })
    }

    pub(super) fn pool(&self) -> Option<&SqlitePool> {
        match &self.rows {
            Rows::Database(pool) => Some(pool),
            Rows::Memory(..) | Rows::Replica(..) => None,
        }
    }

    pub(super) fn is_replica(&self) -> bool {
        matches!(self.rows, Rows::Replica(..))
    }

    /// A change of the row, alone in its transaction.
    pub(super) async fn commit(&self, row: u64) -> Result<(), Fault> {
        match &self.rows {
            Rows::Memory(versions, _) => {
                versions[place(row)].fetch_add(1, Ordering::SeqCst);
            }
            Rows::Replica(versions, copy) => {
                let mut copy = copy.lock().map_err(|_| "a load panicked")?;
                versions[place(row)].fetch_add(1, Ordering::SeqCst);
                copy.commits.push((row, Instant::now()));
            }
            Rows::Database(pool) => {
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
                let update = sqlx::query(UPDATE).bind(i64::try_from(row)?);
                update.execute(&mut *transaction).await?;
                transaction.commit().await?;
            }
        }
        Ok(())
    }

    /// A replica lacks nothing any more.
    pub(super) fn catch_up(&self) {
        if let Rows::Replica(_, copy) = &self.rows {
            copy.lock().expect("no load panics").lacking_max = 0;
        }
    }

    pub(super) async fn load(&self, row: u64) -> Result<Brought, LoadError> {
        let number = self.loads.fetch_add(1, Ordering::SeqCst);
        match &self.rows {
            Rows::Memory(versions, others_first_max) => {
                let of_row = &versions[place(row)];
                let version = of_row.load(Ordering::SeqCst);
                for _ in 0..drawn(self.seed, number, others_first_max + 1) {
                    tokio::task::yield_now().await;
                }
                self.note(version, of_row);
                Ok(Brought { version, as_of: None })
            }
            Rows::Replica(versions, copy) => {
                let mut copy = copy.lock().map_err(LoadError::of)?;
                let lacking = drawn(self.seed, number, copy.lacking_max + 1);
                let (point, version) = copy.read(row, place(lacking));
                drop(copy);
                self.note(version, &versions[place(row)]);
                Ok(Brought {
                    version,
                    as_of: Some(point),
                })
            }
            Rows::Database(pool) => {
                let query = sqlx::query_scalar("SELECT version FROM counters WHERE id = ?");
                let id = i64::try_from(row).map_err(LoadError::of)?;
                let version: i64 = query.bind(id).fetch_one(pool).await.map_err(LoadError::of)?;
                let version = u64::try_from(version).map_err(LoadError::of)?;
                Ok(Brought { version, as_of: None })
            }
        }
    }

    /// What is returned now is not the newest version any more.
    fn note(&self, version: u64, newest: &AtomicU64) {
        let is_overtaken = newest.load(Ordering::SeqCst) != version;
        self.overtaken
            .fetch_add(u64::from(is_overtaken), Ordering::Relaxed);
    }

    pub(super) fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }

    /// Loads that brought what was not the newest version any more when they returned. Not counted in a database.
    pub(super) fn overtaken(&self) -> u64 {
        self.overtaken.load(Ordering::Relaxed)
    }
}

impl Copied {
    /// Replays all but so many commits, if it had not come further; says how far it is, and what it has of the row.
    fn read(&mut self, row: u64, lacking: usize) -> (u64, u64) {
        let left = &self.commits[self.replayed..];
        let old = left.partition_point(|(_, at)| at.elapsed() > self.lacking_for_max);
        let until = self.replayed + left.len().saturating_sub(lacking).max(old);
        for (changed, _) in &self.commits[self.replayed..until] {
            self.versions[place(*changed)] += 1;
        }
        self.replayed = until;
        (
            u64::try_from(until).expect("memory is smaller"),
            self.versions[place(row)],
        )
    }
}

impl LoadError {
    fn of(error: impl fmt::Display) -> Self {
        LoadError(error.to_string())
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for LoadError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(future)
    }

    #[test]
    fn a_replica_is_a_state_that_there_was_and_never_goes_back() {
        ready(async {
            let origin = Origin::replica(2, 10, Duration::from_secs(3_600), 7);
            let mut last = 0;
            for commit in 1..=200 {
                origin.commit(0).await.expect("memory");
                let brought = origin.load(0).await.expect("memory");
                assert_eq!(brought.as_of, Some(brought.version), "each commit is of this row");
                assert!(brought.version >= last && commit - brought.version <= 10);
                last = brought.version;
            }
            assert!(origin.overtaken() > 0, "it lags");
            origin.catch_up();
            let brought = origin.load(0).await.expect("memory");
            assert_eq!((brought.version, origin.loads()), (200, 201));
        });
    }

    #[test]
    fn a_replica_lacks_nothing_for_long() {
        ready(async {
            let origin = Origin::replica(1, 10, Duration::ZERO, 7);
            for commit in 1..=100 {
                origin.commit(0).await.expect("memory");
                let begun = Instant::now();
                while begun.elapsed().is_zero() {}
                assert_eq!(origin.load(0).await.expect("memory").version, commit);
            }
        });
    }

    #[test]
    fn a_load_can_be_overtaken() {
        ready(async {
            let origin = Origin::in_memory(1, 3, 1);
            let writes = async {
                for _ in 0..8 {
                    origin.commit(0).await.expect("memory");
                    tokio::task::yield_now().await;
                }
            };
            let loads = async {
                for _ in 0..8 {
                    let brought = origin.load(0).await.expect("memory");
                    assert!(brought.version > 0, "the first write comes first");
                }
            };
            tokio::join!(writes, loads);
            assert!(origin.overtaken() > 0);
            assert_eq!(origin.loads(), 8);
        });
    }
}
