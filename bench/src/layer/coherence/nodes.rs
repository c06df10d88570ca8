//! Two nodes at work: one writes, the other reads all the time, and once more when nothing has been written for longer than the bound. What is stale is
//! what the other node reads: [`Place::OtherNode`].

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::oneshot;

use super::chance::{drawn, skewed};
use super::judge::{Judge, Place};
use super::origin::Origin;
use super::services::{Service, all_heard, service};
use super::wire::Wire;
use super::{BOUND, Fault, MARGIN, Played, SEED, Subject, runtime};

/// Rows in memory, and in a database.
const ROWS: u64 = 10_000;
const ROWS_OF_DATABASE: u64 = 1_000;
const READERS: u64 = 2;
/// After so many reads a reader rests for a moment, so that it does not take the writer's processor.
const READS_AT_A_TIME: u64 = 64;
const REST: Duration = Duration::from_millis(1);
/// Messages that are lost, of 1,000.
const LOST: u64 = 10;
/// Writers that die after the commit, of 1,000.
const DEATHS: u64 = 20;
/// How many commits a replica lacks, and for how long it lacks one, at most: not for as long as the bound, or nobody could be right.
const LACKING_MAX: u64 = 1_000;
const LACKING_FOR_MAX: Duration = Duration::from_millis(200);
/// Rows that are read twice before all else: a cache that keeps nothing is never wrong.
const PROOF: u64 = 100;

/// What happens.
struct Plan {
    rows: u64,
    writes: u64,
    /// After so many writes the writer rests for a moment.
    writes_at_a_time: u64,
    /// Messages that are lost, and writers that die, of 1,000.
    lost: u64,
    deaths: u64,
}

struct Nodes {
    service: Arc<dyn Service>,
    origin: Arc<Origin>,
    wire: Arc<Wire>,
    judge: Judge,
    plan: Plan,
    is_over: AtomicBool,
}

/// Messages are lost, one in a hundred; for Larder, hints.
pub(super) fn lost_messages(subject: Subject, writes: u64) -> Result<Played, Fault> {
    let origin = Origin::in_memory(ROWS, 0, SEED);
    in_memory(subject, writes, origin, LOST)
}

/// Loads come from a replica that lacks up to 1,000 commits of the last 200 ms and catches up in the end. No message is lost. What a load brings may be old,
/// and no subject is asked for more than the bound; what is kept of it must not stay. Larder's loader says how far the copy was; the others have no way to.
pub(super) fn lagging_replica(subject: Subject, writes: u64) -> Result<Played, Fault> {
    let origin = Origin::replica(ROWS, LACKING_MAX, LACKING_FOR_MAX, SEED);
    in_memory(subject, writes, origin, 0)
}

fn in_memory(subject: Subject, writes: u64, origin: Arc<Origin>, lost: u64) -> Result<Played, Fault> {
    let plan = Plan {
        rows: ROWS,
        writes,
        writes_at_a_time: 50,
        lost,
        deaths: 0,
    };
    runtime()?.block_on(async {
        let wire = Arc::new(Wire::losing(plan.lost, SEED));
        let service = service(subject, &origin, &wire, None).await?;
        Nodes::new(service, origin, wire, plan).play().await
    })
}

/// Over SQLite. The writer's future is dropped when its commit has returned, one time in fifty: nothing after that is done.
pub(super) fn crash(subject: Subject, writes: u64) -> Result<Played, Fault> {
    let folder = tempfile::tempdir()?;
    let file: &Path = &folder.path().join("coherence.db");
    let plan = Plan {
        rows: ROWS_OF_DATABASE,
        writes,
        writes_at_a_time: 4,
        lost: 0,
        deaths: DEATHS,
    };
    runtime()?.block_on(async {
        let origin = Origin::database(file, plan.rows, SEED).await?;
        let wire = Arc::new(Wire::losing(plan.lost, SEED));
        let service = service(subject, &origin, &wire, Some(file)).await?;
        Nodes::new(service, origin, wire, plan).play().await
    })
}

/// Reads some rows twice.
///
/// # Errors
/// If the second time loads them again.
pub(super) async fn prove_that_it_keeps(service: &dyn Service, origin: &Origin) -> Result<(), Fault> {
    for row in 0..PROOF {
        service.read(row).await?;
    }
    let loads = origin.loads();
    for row in 0..PROOF {
        service.read(row).await?;
    }
    if origin.loads() > loads + PROOF / 10 {
        return Err("it keeps nothing".into());
    }
    Ok(())
}

impl Nodes {
    fn new(service: Arc<dyn Service>, origin: Arc<Origin>, wire: Arc<Wire>, plan: Plan) -> Arc<Self> {
        Arc::new(Nodes {
            service,
            origin,
            wire,
            judge: Judge::new(plan.rows, BOUND),
            plan,
            is_over: AtomicBool::new(false),
        })
    }

    async fn play(self: Arc<Self>) -> Result<Played, Fault> {
        prove_that_it_keeps(&*self.service, &self.origin).await?;
        let readers: Vec<_> = (0..READERS)
            .map(|task| tokio::spawn(Arc::clone(&self).read_on(SEED ^ (task + 1))))
            .collect();
        let writer = tokio::spawn(Arc::clone(&self).write());
        let written = writer.await?;
        self.is_over.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.await??;
        }
        written?;
        let overtaken = self.origin.overtaken();
        all_heard(&*self.service, &self.wire).await?;
        self.origin.catch_up();
        tokio::time::sleep(BOUND + MARGIN).await;
        let mut at_rest = 0;
        for row in 0..self.plan.rows {
            at_rest += u64::from(self.read(row).await?);
        }
        Ok(Played {
            tally: self.judge.tally(),
            at_rest,
            loads: self.origin.loads(),
            overtaken: self.origin.is_replica().then_some(overtaken),
            lost: (self.plan.lost > 0).then(|| self.wire.lost()),
        })
    }

    async fn read_on(self: Arc<Self>, seed: u64) -> Result<(), Fault> {
        let mut number = 0;
        while !self.is_over.load(Ordering::SeqCst) {
            for _ in 0..READS_AT_A_TIME {
                self.read(skewed(seed, number, self.plan.rows)).await?;
                number += 1;
            }
            tokio::time::sleep(REST).await;
        }
        Ok(())
    }

    /// Whether it was stale.
    async fn read(&self, row: u64) -> Result<bool, Fault> {
        let due = self.judge.begin(row, Place::OtherNode);
        let version = self.service.read(row).await?;
        Ok(self.judge.end(due, version))
    }

    async fn write(self: Arc<Self>) -> Result<(), Fault> {
        for number in 0..self.plan.writes {
            let row = skewed(SEED, number, self.plan.rows);
            if drawn(!SEED, number, 1_000) < self.plan.deaths {
                self.write_and_die(row).await?;
            } else {
                write(&*self.service, &self.judge, row).await?;
            }
            if number % self.plan.writes_at_a_time == 0 {
                tokio::time::sleep(REST).await;
            }
        }
        Ok(())
    }

    /// The future that writes is dropped when its commit has returned.
    async fn write_and_die(&self, row: u64) -> Result<(), Fault> {
        let version = self.judge.announce(row);
        let (dying, dead) = oneshot::channel();
        let write = async {
            self.service.commit(row).await?;
            self.judge.acknowledge(row, version);
            let _ = dying.send(());
            tokio::task::yield_now().await;
            self.service.tell(row).await
        };
        match select(pin!(write), dead).await {
            Either::Left((Err(error), _)) => Err(error),
            Either::Left((Ok(()), _)) => Err("it should have died".into()),
            Either::Right(_) => Ok(()),
        }
    }
}

/// A write that lives to tell.
pub(super) async fn write(service: &dyn Service, judge: &Judge, row: u64) -> Result<(), Fault> {
    let version = judge.announce(row);
    service.commit(row).await?;
    service.tell(row).await?;
    judge.acknowledge(row, version);
    Ok(())
}
