//! One node, and loads that are overtaken by a write and its invalidation.
//!
//! 16 tasks read 64 rows, 2 write them, each row by one of them: it commits, invalidates, and only then the version is acknowledged. Two threads run them
//! all. What is stale here is what the writer's own node reads, at any time: [`Place::WritersNode`]. In the end each row is read once more, when nothing
//! is written any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use super::caches::{Cache, cache};
use super::chance::drawn;
use super::judge::{Judge, Place};
use super::origin::Origin;
use super::{BOUND, Fault, Played, SEED, Subject, runtime};

const ROWS: u64 = 64;
const READERS: u64 = 16;
const WRITERS: u64 = 2;
/// How often a load lets others go first, at most.
const OTHERS_FIRST_MAX: u64 = 8;
/// How much a task does before it lets others go on.
const READS_AT_A_TIME: u64 = 2;

struct Race {
    cache: Arc<dyn Cache>,
    origin: Arc<Origin>,
    judge: Judge,
    writes: u64,
    is_over: AtomicBool,
}

pub(super) fn play(subject: Subject, writes: u64) -> Result<Played, Fault> {
    runtime()?.block_on(async {
        let origin = Origin::in_memory(ROWS, OTHERS_FIRST_MAX, SEED);
        let race = Arc::new(Race {
            cache: cache(subject, &origin).await?,
            origin,
            judge: Judge::new(ROWS, BOUND),
            writes,
            is_over: AtomicBool::new(false),
        });
        let mut readers = JoinSet::new();
        for task in 0..READERS {
            readers.spawn(Arc::clone(&race).read_on(SEED ^ (task + 1)));
        }
        let mut writers = JoinSet::new();
        for task in 0..WRITERS {
            writers.spawn(Arc::clone(&race).write(task));
        }
        while let Some(done) = writers.join_next().await {
            done??;
        }
        race.is_over.store(true, Ordering::SeqCst);
        while let Some(done) = readers.join_next().await {
            done??;
        }
        let overtaken = race.origin.overtaken();
        let mut at_rest = 0;
        for row in 0..ROWS {
            at_rest += u64::from(race.read(row).await?);
        }
        Ok(Played {
            tally: race.judge.tally(),
            at_rest,
            loads: race.origin.loads(),
            overtaken: Some(overtaken),
            lost: None,
        })
    })
}

impl Race {
    async fn read_on(self: Arc<Self>, seed: u64) -> Result<(), Fault> {
        let mut number = 0;
        while !self.is_over.load(Ordering::SeqCst) {
            for _ in 0..READS_AT_A_TIME {
                self.read(drawn(seed, number, ROWS)).await?;
                number += 1;
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Whether it was stale.
    async fn read(&self, row: u64) -> Result<bool, Fault> {
        let due = self.judge.begin(row, Place::WritersNode);
        let version = self.cache.read(row).await?;
        Ok(self.judge.end(due, version))
    }

    /// Every row whose number leaves `task` over.
    async fn write(self: Arc<Self>, task: u64) -> Result<(), Fault> {
        for number in 0..self.writes / WRITERS {
            let row = drawn(SEED ^ !task, number, ROWS / WRITERS) * WRITERS + task;
            let version = self.judge.announce(row);
            self.origin.commit(row).await?;
            self.cache.invalidate(row).await?;
            self.judge.acknowledge(row, version);
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}
