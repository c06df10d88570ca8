//! [`Play`]: both nodes, who reads them, and who checks; from the first start to the verdict.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::callers::{Commit, Known, Line, call_for_ever};
use super::checker::Checker;
use super::figures::{Figures, percent, percentile};
use super::process::{Heard, NAMES, Process};
use super::screen::{Screen, Second};
use super::shop::{self, Size};
use super::verdict::{Killed, Verdict, explained};
use super::words::{Said, Tally, now_nanos};
use super::{DemoOptions, Kill};
use crate::fault::{Ended, Exit, Fault};

/// After this, a version that was acknowledged must be read: the freshness of a layer that is told nothing of it.
const BOUND: Duration = Duration::from_secs(2);
const READY_WITHIN: Duration = Duration::from_secs(20);
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(10);
const CHECK_EVERY: Duration = Duration::from_millis(50);
const CALLERS: u64 = 2;

pub(crate) struct Play<'a> {
    options: &'a DemoOptions,
    file: PathBuf,
    size: Size,
    database: SqlitePool,
    nodes: [Process; 2],
    known: Arc<Known>,
    told: UnboundedSender<Heard>,
    heard: UnboundedReceiver<Heard>,
    checker: Checker,
    /// How far the history has been learnt.
    seq: i64,
    figures: Figures,
    killed: Option<Victim>,
    ran: Duration,
}

/// The node that was killed.
struct Victim {
    node: usize,
    before: Tally,
    /// What it has done in the first second after it came back.
    after: Tally,
    back_at: Option<Instant>,
}

impl<'a> Play<'a> {
    pub(crate) async fn start(
        options: &'a DemoOptions,
        file: &Path,
        database: SqlitePool,
        size: Size,
    ) -> Result<Self, Fault> {
        let (told, heard) = unbounded_channel();
        let start = |node| Process::start(options, file, size, node, 1, &told);
        let nodes = [start(0)?, start(1)?];
        let known = Arc::<Known>::default();
        let mut play = Play {
            options,
            file: file.to_owned(),
            size,
            database,
            nodes,
            known,
            told,
            heard,
            checker: Checker::new(u64::try_from(BOUND.as_nanos())?),
            seq: 0,
            figures: Figures::default(),
            killed: None,
            ran: Duration::ZERO,
        };
        play.ready().await?;
        for caller in 0..CALLERS {
            let known = Arc::clone(&play.known);
            tokio::spawn(call_for_ever(
                known,
                size,
                options.seed ^ (caller << 50),
                play.told.clone(),
            ));
        }
        Ok(play)
    }

    /// Waits until both serve.
    async fn ready(&mut self) -> Result<(), Fault> {
        let until = Instant::now() + READY_WITHIN;
        while !self.figures.nodes.iter().all(|node| node.is_up) {
            let heard = tokio::time::timeout_at(until, self.heard.recv()).await;
            let Ok(Some(heard)) = heard else {
                return Err(Ended::fault(
                    Exit::CouldNotRun,
                    format!("the nodes did not start within {READY_WITHIN:?}"),
                ));
            };
            self.hear(heard)?;
        }
        Ok(())
    }

    /// Lets them run, and kills one on the way.
    pub(crate) async fn run(&mut self, screen: &mut Screen) -> Result<(), Fault> {
        let (began, all) = (Instant::now(), self.options.time());
        let kill_at = began + all * 2 / 5;
        let (mut check, mut second) = (interval(CHECK_EVERY), interval(Duration::from_secs(1)));
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        second.tick().await;
        while began.elapsed() < all {
            tokio::select! {
                biased;
                _ = check.tick() => {
                    self.check().await?;
                    if self.killed.is_none() && Instant::now() >= kill_at {
                        self.kill().await?;
                    }
                }
                _ = second.tick() => {
                    let is_down = self.figures.nodes.iter().any(|node| !node.is_up);
                    self.figures.settle();
                    screen.second(&mut self.figures, &Second {
                        phase: if is_down { "killed" } else { "running" },
                        at: began.elapsed(),
                        all,
                        checked: self.checker.checked(),
                        stale: self.checker.stale(),
                    });
                }
                heard = self.heard.recv() => {
                    let heard = heard.ok_or("nobody speaks any more")?;
                    self.hear(heard)?;
                }
            }
        }
        self.ran = began.elapsed();
        Ok(())
    }

    fn hear(&mut self, heard: Heard) -> Result<(), Fault> {
        let (node, said) = match heard {
            Heard::Read(read) => {
                self.figures.remote_reads += 1;
                self.checker.note(read);
                return Ok(());
            }
            Heard::Ended { node, life } if life == self.nodes[node].life => {
                let how = self.nodes[node].how_it_ended();
                return Err(Ended::fault(
                    Exit::CouldNotRun,
                    format!("node {} has ended by itself: {how}", NAMES[node]),
                ));
            }
            Heard::Ended { .. } => return Ok(()),
            Heard::Said { node, life, said } => match said {
                // What one that was killed had done before is true all the same; what it has is not any more.
                Said::Ready { .. } | Said::Applied { .. } if life != self.nodes[node].life => return Ok(()),
                said => (node, said),
            },
        };
        match said {
            Said::Ready { port } => {
                let took = now_nanos().saturating_sub(self.nodes[node].started_nanos);
                let figures = &mut self.figures.nodes[node];
                (figures.is_up, figures.lives) = (true, figures.lives + 1);
                figures.starts.push(Duration::from_nanos(took));
                self.known.set_port(node, Some(port));
                if let Some(victim) = self.killed.as_mut().filter(|victim| victim.node == node) {
                    victim.back_at = Some(Instant::now());
                }
            }
            Said::Read(read) => self.checker.note(read),
            Said::Acknowledged {
                position,
                at_nanos,
                row,
                token,
            } => {
                self.checker.acknowledge(position, at_nanos);
                self.figures.committed(node, position, at_nanos);
                self.known.wrote(Commit { position, row, token });
            }
            Said::Applied { position, at_nanos } => self.figures.applied(node, position, at_nanos),
            Said::Tally(tally) => {
                self.figures.tally(node, &tally);
                if let Some(victim) = self.killed.as_mut().filter(|victim| victim.node == node)
                    && victim
                        .back_at
                        .is_some_and(|at| at.elapsed() < Duration::from_millis(1_100))
                {
                    victim.after.add(&tally);
                }
            }
        }
        Ok(())
    }

    /// Judges what was read: everything that these reads can have seen was committed before the history is asked.
    async fn check(&mut self) -> Result<(), Fault> {
        let reads = self.checker.take_waiting();
        let (changes, seq) = shop::history_after(&self.database, self.seq).await?;
        self.seq = seq;
        for change in changes {
            self.checker.learn(change);
        }
        self.checker.judge(&reads);
        Ok(())
    }

    async fn kill(&mut self) -> Result<(), Fault> {
        let node = match self.options.kill {
            Kill::A => 0,
            Kill::B => 1,
            Kill::None => return Ok(()),
        };
        self.known.set_port(node, None);
        self.nodes[node].life += 1;
        self.nodes[node].kill().await?;
        self.figures.nodes[node].is_up = false;
        self.figures.restarted(node);
        self.killed = Some(Victim {
            node,
            before: self.figures.nodes[node].total.clone(),
            after: Tally::default(),
            back_at: None,
        });
        let life = self.nodes[node].life;
        self.nodes[node] = Process::start(self.options, &self.file, self.size, node, life, &self.told)?;
        Ok(())
    }

    /// Writers rest, both nodes catch up, and all that they keep is compared.
    pub(crate) async fn end(mut self) -> Result<Verdict, Fault> {
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
        let (mut residents, mut wrong, mut evidence) = (0, 0, Vec::new());
        for (node, name) in NAMES.into_iter().enumerate() {
            let told = tokio::time::timeout(CAUGHT_UP_WITHIN, self.residents(node)).await;
            for (row, version) in told.ok().and_then(Result::ok).unwrap_or_default() {
                residents += 1;
                let now = self.checker.now(row);
                if now != Some(version) {
                    wrong += 1;
                    evidence.push(format!(
                        "node {name} keeps {row:?} at version {version}, the database has {now:?}"
                    ));
                }
            }
        }
        for node in self.nodes {
            node.end().await;
        }
        self.figures.settle();
        let total = self.figures.total();
        let mut lags = std::mem::take(&mut self.figures.lags);
        let stale = self.checker.evidence().iter().map(explained);
        let killed = self.killed.as_ref().map(|victim| {
            let start = self.figures.nodes[victim.node].starts.get(1);
            Killed {
                node: NAMES[victim.node],
                ready_after: start.map(Duration::as_secs_f64),
                hit_ratio_before: percent(victim.before.hits, victim.before.reads) / 100.0,
                hit_ratio_after: percent(victim.after.hits, victim.after.reads) / 100.0,
            }
        });
        Ok(Verdict {
            seconds: self.ran.as_secs_f64(),
            seed: self.options.seed,
            sabotage: self.options.sabotage.map(super::Sabotage::word),
            reads: total.reads,
            reads_over_loopback: self.figures.remote_reads,
            writes: total.writes,
            rollbacks: total.rollbacks,
            failures: total.failures,
            hit_ratio: percent(total.hits, total.reads) / 100.0,
            read_p50: total.time(0.5).as_secs_f64(),
            read_p99: total.time(0.99).as_secs_f64(),
            lag_p50: percentile(&mut lags, 0.5).as_secs_f64(),
            lag_p99: percentile(&mut lags, 0.99).as_secs_f64(),
            checked: self.checker.checked(),
            stale: self.checker.stale(),
            residents,
            residents_wrong: wrong,
            lost: self.checker.lost(),
            behind,
            killed,
            evidence: stale.chain(evidence).take(16).collect(),
        })
    }

    async fn listen(&mut self, time: Duration) -> Result<(), Fault> {
        let until = Instant::now() + time;
        while let Ok(Some(heard)) = tokio::time::timeout_at(until, self.heard.recv()).await {
            self.hear(heard)?;
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
        matches!(tokio::time::timeout(CAUGHT_UP_WITHIN, wait).await, Ok(Ok(())))
    }

    /// Every live entry of a node, with its version.
    async fn residents(&self, node: usize) -> Result<Vec<((u8, i64), u64)>, Fault> {
        let port = self.known.port(node).ok_or("it is not there")?;
        let mut line = Line::to(port).await?;
        let mut all = Vec::new();
        let mut answer = line.ask("residents").await?;
        while answer != "." {
            let mut words = answer.split(' ');
            let mut word = || words.next().ok_or("a word is missing");
            all.push(((word()?.parse()?, word()?.parse()?), word()?.parse()?));
            answer = line.next().await?;
        }
        Ok(all)
    }
}
