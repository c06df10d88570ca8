//! [`Driven`]: a trace through real pools over a real database, with writes mixed in, each read checked as in the demo.
//!
//! One layer reads and writes; another one, which keeps nothing, follows the same log, and says when each commit has reached it. Of an `orm` trace
//! each type has a pool of its own, and the row is what is kept; of other traces each key is a row. Sets and deletes of a trace are writes of the row,
//! which stays, so that whoever reads it next finds what was written.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder::outbox::Outbox;
use larder::pool::{LoadContext, PoolBuilder};
use larder::{Entity, Entropy, Invalidation, Layer, Pool, Position, Settled, Sink, SinkError, Target};
use serde::Serialize;
use sqlx::{Sqlite, SqlitePool};

use larder_server::trace::{Format, Op, Trace, Unit};

use crate::demo::checker::{Change, Checker, Read};
use crate::demo::figures::percentile;
use crate::demo::random::Random;
use crate::demo::shop;
use crate::demo::verdict::evidence_of;
use crate::demo::words::now_nanos;
use crate::fault::{Fault, of_transaction};
use crate::output::Steps;

/// One hit in so many is checked, and every read that was loaded.
const HITS_A_CHECK: u64 = 8;
/// After this, a version that was acknowledged must be read: the freshness of a layer that is told nothing of it.
const BOUND: Duration = Duration::from_secs(2);

/// How a trace is driven.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// So many accesses, from the beginning.
    pub(crate) limit: usize,
    /// The share of accesses that write the row instead.
    pub(crate) writes: f64,
    pub(crate) threads: u32,
    pub(crate) seed: u64,
    /// In entries, over all pools.
    pub(crate) capacity: u64,
}

/// What came of it. Times are in seconds.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Driven {
    pub(crate) accesses: u64,
    pub(crate) reads: u64,
    /// Of the trace and injected.
    pub(crate) writes: u64,
    /// Those of them that the trace does not have.
    pub(crate) injected: u64,
    /// Made when they were seen first, before the time was taken.
    pub(crate) rows: u64,
    pub(crate) pools: u64,
    pub(crate) capacity: u64,
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    /// From memory.
    pub(crate) hit_ratio: f64,
    /// Where reads were answered, the nearest first.
    pub(crate) tiers: Vec<Tier>,
    pub(crate) hit: Times,
    pub(crate) miss: Times,
    pub(crate) commit: Times,
    /// From a commit to its application by another node.
    pub(crate) lag: Times,
    pub(crate) checked: u64,
    pub(crate) stale: u64,
    pub(crate) evidence: Vec<String>,
}

/// Where reads were answered, and which share of them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tier {
    pub(crate) tier: &'static str,
    pub(crate) ratio: f64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Times {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Times {
    fn of(mut nanos: Vec<u64>) -> Self {
        Times {
            p50: percentile(&mut nanos, 0.5).as_secs_f64(),
            p99: percentile(&mut nanos, 0.99).as_secs_f64(),
        }
    }
}

/// A row that a trace names.
#[derive(Debug, Entity)]
#[entity(name = "trace_row")]
struct TraceRow {
    #[entity(id)]
    kind: u8,
    #[entity(id)]
    row: i64,
    version: u64,
}

/// When commits have reached the node that only follows.
#[derive(Default)]
struct Reached(Mutex<Vec<(u64, u64)>>);

impl Sink for Reached {
    fn apply(&self, _rows: &[Invalidation], at: Position) -> Result<Settled, SinkError> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((at.get(), now_nanos()));
        Ok(Settled::at_once())
    }

    fn widen(&self, _target: &Target) -> Result<Settled, SinkError> {
        Ok(Settled::at_once())
    }
}

/// Chance from the seed, so that the same entries leave each time.
#[derive(Debug)]
struct Seeded(Mutex<Random>);

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.chunks_mut(8) {
            let drawn = random.next().to_le_bytes();
            for (byte, drawn) in part.iter_mut().zip(drawn) {
                *byte = drawn;
            }
        }
    }
}

/// What one task has done.
#[derive(Default)]
struct Done {
    reads: u64,
    hits: u64,
    injected: u64,
    hit_nanos: Vec<u64>,
    miss_nanos: Vec<u64>,
    commit_nanos: Vec<u64>,
    checked: Vec<Read>,
    acknowledged: Vec<(u64, u64)>,
}

struct Node {
    layer: Layer,
    outbox: Outbox<Sqlite>,
    pools: BTreeMap<u8, Pool<TraceRow>>,
    accesses: Vec<((u8, i64), Op)>,
    plan: Plan,
    steps: Steps,
}

/// Drives a trace over a database in this folder.
pub(crate) async fn drive(trace: &Trace, plan: &Plan, folder: &Path, steps: Steps) -> Result<Driven, Fault> {
    let database = shop::open(&folder.join("replay.db"), plan.threads + 3).await?;
    let accesses: Vec<((u8, i64), Op)> = trace
        .accesses
        .iter(Unit::Entries)
        .take(plan.limit)
        .map(|access| (row_of(trace, access.key), access.op))
        .collect();
    let kinds = prepare(&database, &accesses).await?;
    let builder = Outbox::builder(database.clone());
    builder.migrate().await?;
    let all: u64 = kinds.values().sum();
    let seeded = Arc::new(Seeded(Mutex::new(Random::new(plan.seed))));
    let mut here = Layer::builder("replay").outbox(builder.clone()).entropy(seeded);
    for (kind, count) in &kinds {
        here = here.pool_as(
            kind.to_string(),
            pool(&database, share_of(plan.capacity, *count, all)),
        );
    }
    let here = here.open().await?;
    let there = Layer::builder("follower").outbox(builder).open().await?;
    let reached = Arc::new(Reached::default());
    let _registration = there.fence().sink(Arc::clone(&reached) as Arc<dyn Sink>)?;
    let mut pools = BTreeMap::new();
    for kind in kinds.keys() {
        pools.insert(*kind, here.pool_as(&kind.to_string())?);
    }
    let node = Arc::new(Node {
        outbox: here.outbox()?,
        layer: here,
        pools,
        accesses,
        plan: plan.clone(),
        steps,
    });
    let began = now_nanos();
    let tasks: Vec<_> = (0..plan.threads)
        .map(|task| tokio::spawn(Arc::clone(&node).run(task)))
        .collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await??);
    }
    let took = Duration::from_nanos(now_nanos().saturating_sub(began));
    node.layer.shutdown(Duration::from_secs(5)).await;
    there.shutdown(Duration::from_secs(5)).await;
    let (changes, _) = shop::history_after(&database, 0).await?;
    let reached = std::mem::take(&mut *reached.0.lock().unwrap_or_else(PoisonError::into_inner));
    let mut driven = add_up(done, changes, reached)?;
    (driven.seconds, driven.seed) = (took.as_secs_f64(), plan.seed);
    (driven.pools, driven.rows, driven.capacity) = (kinds.len() as u64, all, plan.capacity);
    Ok(driven)
}

/// What falls to so many rows of all.
fn share_of(capacity: u64, count: u64, all: u64) -> u64 {
    let share = u128::from(capacity) * u128::from(count) / u128::from(all.max(1));
    u64::try_from(share).unwrap_or(capacity).max(1)
}

/// Which row a key means.
fn row_of(trace: &Trace, key: u32) -> (u8, i64) {
    let number = trace.numbers.get(key as usize).copied();
    match (trace.format, number) {
        // Type in the upper five bits, then 18 of the row; the index is of a column.
        (Format::Orm, Some(word)) => {
            let kind = u8::try_from(word >> 27 & 0x1F).unwrap_or(0);
            (kind, i64::try_from(word >> 9 & 0x3_FFFF).unwrap_or(0))
        }
        _ => (0, i64::from(key)),
    }
}

/// The table and the history of all rows; how many there are of each kind.
async fn prepare(database: &SqlitePool, accesses: &[((u8, i64), Op)]) -> Result<BTreeMap<u8, u64>, Fault> {
    for sql in [
        "CREATE TABLE trace_rows (kind INTEGER, row INTEGER, version INTEGER NOT NULL, PRIMARY KEY (kind, row)) WITHOUT ROWID",
        shop::HISTORY,
    ] {
        sqlx::query(sql).execute(database).await?;
    }
    let distinct: std::collections::BTreeSet<(u8, i64)> = accesses.iter().map(|(row, _)| *row).collect();
    let mut kinds = BTreeMap::new();
    let mut transaction = database.begin_with("BEGIN IMMEDIATE").await?;
    for (kind, row) in distinct {
        *kinds.entry(kind).or_default() += 1;
        sqlx::query("INSERT INTO trace_rows VALUES (?, ?, 1)")
            .bind(kind)
            .bind(row)
            .execute(&mut *transaction)
            .await?;
    }
    sqlx::query("INSERT INTO history (position, kind, id, version, deleted) SELECT 0, kind, row, 1, 0 FROM trace_rows")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(kinds)
}

fn pool(database: &SqlitePool, capacity: u64) -> PoolBuilder<TraceRow> {
    let database = database.clone();
    let pool = Pool::builder().capacity_entries(capacity);
    pool.loader(move |load: LoadContext<TraceRow>| {
        let database = database.clone();
        let (kind, row) = load.id;
        async move {
            let version = sqlx::query_scalar("SELECT version FROM trace_rows WHERE kind = ? AND row = ?");
            let version: Option<i64> = version.bind(kind).bind(row).fetch_optional(&database).await?;
            let value = version.map(|version| TraceRow {
                kind,
                row,
                version: version.unsigned_abs(),
            });
            Ok::<_, sqlx::Error>(value)
        }
    })
}

impl Node {
    /// Every so many accesses, the first of them after `task` others.
    async fn run(self: Arc<Self>, task: u32) -> Result<Done, Fault> {
        let mut random = Random::new(self.plan.seed ^ u64::from(task) << 32);
        let mut done = Done::default();
        let step = usize::try_from(self.plan.threads)?;
        for ((row, op), turn) in self
            .accesses
            .iter()
            .skip(usize::try_from(task)?)
            .step_by(step)
            .zip(1_u32..)
        {
            let is_injected = random.chance(self.plan.writes) && *op == Op::Get;
            if is_injected || *op != Op::Get {
                done.injected += u64::from(is_injected);
                self.write(*row, &mut done).await?;
            } else {
                self.read(*row, &mut random, &mut done).await?;
            }
            if turn.is_multiple_of(256) {
                self.steps.add(256);
                // Hits wait for nothing: others have their turn.
                tokio::task::yield_now().await;
            }
        }
        Ok(done)
    }

    async fn read(&self, row: (u8, i64), random: &mut Random, done: &mut Done) -> Result<(), Fault> {
        let pool = self.pools.get(&row.0).ok_or("a type without a pool")?;
        let is_checked = random.below(HITS_A_CHECK) == 0;
        let applied = if is_checked { shop::applied(&self.layer) } else { 0 };
        let began_nanos = now_nanos();
        done.reads += 1;
        let (version, applied) = if let Some(value) = pool.get(&row) {
            done.hits += 1;
            done.hit_nanos.push(now_nanos().saturating_sub(began_nanos));
            if !is_checked {
                return Ok(());
            }
            (Some(value.version), applied)
        } else {
            let applied = shop::applied(&self.layer);
            let value = pool.fetch(&row).await?;
            done.miss_nanos.push(now_nanos().saturating_sub(began_nanos));
            (value.map(|value| value.version), applied)
        };
        done.checked.push(Read {
            node: 0,
            row,
            version,
            applied,
            token: None,
            began_nanos,
        });
        Ok(())
    }

    async fn write(&self, row: (u8, i64), done: &mut Done) -> Result<(), Fault> {
        let began = now_nanos();
        let written = self.layer.transaction(&self.outbox, async |tx| {
            let raise =
                "UPDATE trace_rows SET version = version + 1 WHERE kind = ? AND row = ? RETURNING version";
            let version: i64 = sqlx::query_scalar(raise)
                .bind(row.0)
                .bind(row.1)
                .fetch_one(tx.connection())
                .await?;
            shop::write_history(tx, row, version, false).await?;
            tx.invalidate::<TraceRow>(&row)?;
            Ok::<_, Fault>(())
        });
        let ((), token) = written.await.map_err(of_transaction)?;
        let at_nanos = now_nanos();
        done.commit_nanos.push(at_nanos.saturating_sub(began));
        let Some(position) = shop::position_of(&token) else {
            return Ok(());
        };
        done.acknowledged.push((position, at_nanos));
        let (began_nanos, applied) = (now_nanos(), shop::applied(&self.layer));
        let pool = self.pools.get(&row.0).ok_or("a type without a pool")?;
        let value = pool.fetch(&row).await?;
        done.checked.push(Read {
            node: 0,
            row,
            version: value.map(|value| value.version),
            applied,
            token: Some(position),
            began_nanos,
        });
        Ok(())
    }
}

fn add_up(done: Vec<Done>, changes: Vec<Change>, mut reached: Vec<(u64, u64)>) -> Result<Driven, Fault> {
    let mut checker = Checker::new(u64::try_from(BOUND.as_nanos())?);
    changes.into_iter().for_each(|change| checker.learn(change));
    let mut driven = Driven::default();
    let (mut hits, mut hit, mut miss, mut commit, mut lag) =
        (0, Vec::new(), Vec::new(), Vec::new(), Vec::new());
    reached.sort_unstable();
    for done in &done {
        for (position, at_nanos) in &done.acknowledged {
            checker.acknowledge(*position, *at_nanos);
            let at = reached.partition_point(|(reached, _)| reached < position);
            lag.extend(reached.get(at).map(|(_, at)| at.saturating_sub(*at_nanos)));
        }
    }
    for done in done {
        driven.reads += done.reads;
        driven.writes += done.acknowledged.len() as u64;
        driven.injected += done.injected;
        hits += done.hits;
        hit.extend(done.hit_nanos);
        miss.extend(done.miss_nanos);
        commit.extend(done.commit_nanos);
        checker.judge(&done.checked);
    }
    driven.accesses = driven.reads + driven.writes;
    driven.hit_ratio = crate::demo::figures::percent(hits, driven.reads) / 100.0;
    driven.tiers = vec![
        Tier {
            tier: "memory",
            ratio: driven.hit_ratio,
        },
        Tier {
            tier: "database",
            ratio: 1.0 - driven.hit_ratio,
        },
    ];
    (driven.hit, driven.miss) = (Times::of(hit), Times::of(miss));
    (driven.commit, driven.lag) = (Times::of(commit), Times::of(lag));
    (driven.checked, driven.stale) = (checker.checked(), checker.stale());
    driven.evidence = evidence_of(&checker);
    Ok(driven)
}
