//! The end of a play: writers rest, nodes catch up, what they keep is compared, and the verdict is made.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::super::Sabotage;
use super::super::callers::{Known, Line};
use super::super::checker::RowKey;
use super::super::figures::{percent, percentile};
use super::super::verdict::{Killed, Verdict, kept_wrongly};
use super::deeds::Victim;
use super::{CAUGHT_UP_WITHIN, EXPLAINED_MAX, Play};
use crate::fault::Fault;

/// So much evidence is shown.
const EVIDENCE_MAX: usize = 16;

/// What nodes keep at the end.
#[derive(Debug, Default)]
struct Kept {
    residents: u64,
    wrong: u64,
    evidence: Vec<String>,
}

impl Play<'_> {
    /// Writers rest, both nodes catch up, and all that they keep is compared.
    pub(crate) async fn end(mut self) -> Result<Verdict, Fault> {
        for node in 0..2 {
            self.resume(node);
        }
        if let Some(lock) = self.lock.take() {
            // What it holds is given back with it.
            lock.abort();
        }
        for node in &mut self.nodes {
            node.tell("rest").await;
        }
        self.listen(Duration::from_millis(500)).await?;
        let head: i64 = sqlx::query_scalar("SELECT value FROM larder_meta WHERE key = 'position'")
            .fetch_one(&self.database)
            .await?;
        let mut behind = 0;
        for node in 0..2 {
            behind += u64::from(!self.catches_up(node, head.unsigned_abs()).await);
        }
        self.listen(Duration::from_millis(300)).await?;
        self.check().await?;
        let mut kept = Kept::default();
        for node in 0..2 {
            self.compare(node, &mut kept).await;
        }
        self.figures.settle();
        let verdict = self.verdict(kept, behind);
        let [first, second] = self.nodes;
        tokio::join!(first.end(), second.end());
        Ok(verdict)
    }

    /// Every entry of a node against the database.
    async fn compare(&mut self, node: usize, kept: &mut Kept) {
        let told = timeout(CAUGHT_UP_WITHIN, residents(&self.known, node, "residents")).await;
        for (row, version) in told.ok().and_then(Result::ok).unwrap_or_default() {
            kept.residents += 1;
            let now = self.checker.now(row);
            if now == Some(version) {
                continue;
            }
            kept.wrong += 1;
            if kept.evidence.len() < EXPLAINED_MAX {
                let known = self.known_of(node, row).await;
                kept.evidence
                    .push(format!("{}{known}", kept_wrongly(node, row, version, now)));
            }
        }
        let Some(contrast) = &mut self.contrast else {
            return;
        };
        let told = timeout(CAUGHT_UP_WITHIN, residents(&self.known, node, "plain-residents")).await;
        for (row, version) in told.ok().and_then(Result::ok).unwrap_or_default() {
            contrast.resident(row, version);
        }
    }

    fn verdict(&mut self, kept: Kept, behind: u64) -> Verdict {
        let total = self.figures.total();
        let mut lags = self.figures.lags();
        let evidence = std::mem::take(&mut self.evidence).into_iter();
        let kills: Vec<Killed> = self.victims.iter().map(Victim::ended).collect();
        Verdict {
            seconds: self.ran.as_secs_f64(),
            seed: self.options.seed,
            sabotage: self.options.sabotage.map(Sabotage::word),
            reads: total.reads,
            reads_over_loopback: self.figures.remote_reads,
            writes: total.writes,
            rollbacks: total.rollbacks,
            failures: total.failures,
            first_failure: self.first_failure.take(),
            hit_ratio: percent(total.hits, total.reads) / 100.0,
            read_p50: total.time(0.5).as_secs_f64(),
            read_p99: total.time(0.99).as_secs_f64(),
            lag_p50: percentile(&mut lags, 0.5).as_secs_f64(),
            lag_p99: percentile(&mut lags, 0.99).as_secs_f64(),
            checked: self.checker.checked(),
            stale: self.checker.stale(),
            residents: kept.residents,
            residents_wrong: kept.wrong,
            lost: self.checker.lost(),
            behind,
            killed: kills.first().cloned(),
            kills,
            pauses: self.pauses,
            locks: self.locks,
            bursts: self.bursts,
            burst_writes: total.burst_writes,
            contrast: self.contrast.as_ref().map(|contrast| contrast.ended(&total)),
            evidence: evidence.chain(kept.evidence).take(EVIDENCE_MAX).collect(),
        }
    }

    async fn listen(&mut self, time: Duration) -> Result<(), Fault> {
        let until = Instant::now() + time;
        while let Ok(Some(heard)) = timeout_at(until, self.heard.recv()).await {
            self.hear(heard).await?;
        }
        Ok(())
    }

    async fn catches_up(&self, node: usize, head: u64) -> bool {
        let Some(port) = self.known.port(node) else {
            return false;
        };
        let wait = async {
            let mut line = Line::to(port).await?;
            while line.ask("applied").await?.parse::<u64>()? < head {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok::<_, Fault>(())
        };
        matches!(timeout(CAUGHT_UP_WITHIN, wait).await, Ok(Ok(())))
    }
}

/// Every live entry of a node, with its version, of its pools or of the plain cache beside.
async fn residents(known: &Known, node: usize, whose: &str) -> Result<Vec<(RowKey, u64)>, Fault> {
    let port = known.port(node).ok_or("it is not there")?;
    let mut line = Line::to(port).await?;
    let mut all = Vec::new();
    let mut answer = line.ask(whose).await?;
    while answer != "." {
        let mut words = answer.split(' ');
        let mut word = || words.next().ok_or("a word is missing");
        all.push(((word()?.parse()?, word()?.parse()?), word()?.parse()?));
        answer = line.next().await?;
    }
    Ok(all)
}
