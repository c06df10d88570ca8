//! [`Play`]: both nodes, who reads them, and who checks; from the first start to the verdict.

mod deeds;
mod end;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use self::deeds::Victim;
use super::callers::{Asked, Commit, Known, Line, call_for_ever};
use super::checker::{Checker, Read, RowKey};
use super::contrast::Contrast;
use super::figures::Figures;
use super::process::{Heard, NAMES, Process};
use super::screen::{Screen, Second};
use super::shop::{self, Size};
use super::verdict::explained;
use super::words::{Ready, Said, now_nanos};
use super::{DemoOptions, Kill};
use crate::fault::{Ended, Exit, Fault};
use crate::terminal::Keys;

/// After this, a version that was acknowledged must be read: the freshness of a layer that is told nothing of it.
const BOUND: Duration = Duration::from_secs(2);
const READY_WITHIN: Duration = Duration::from_secs(20);
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(10);
const CHECK_EVERY: Duration = Duration::from_millis(50);
const CALLERS: u64 = 2;
/// Of so many stale reads the node is asked what it knows of the row, within so long.
const EXPLAINED_MAX: usize = 4;
const EXPLAINED_WITHIN: Duration = Duration::from_millis(500);

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
    /// The plain cache beside, if it runs.
    contrast: Option<Contrast>,
    /// Why something did not work, the first time.
    first_failure: Option<String>,
    /// Stale reads in words.
    evidence: Vec<String>,
    /// The greatest position that was acknowledged.
    head: u64,
    /// How far the history has been learnt.
    seq: i64,
    figures: Figures,
    /// Nodes that were killed, in order.
    victims: Vec<Victim>,
    /// The one that is to be killed by itself has been, or none is.
    is_kill_done: bool,
    /// What keys have asked for.
    pauses: u64,
    locks: u64,
    bursts: u64,
    /// Holds the database for a while.
    lock: Option<JoinHandle<()>>,
    /// Where a node was read that is paused.
    paused_port: Option<u16>,
    ran: Duration,
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
        let bound = u64::try_from(BOUND.as_nanos())?;
        let mut play = Play {
            options,
            file: file.to_owned(),
            size,
            database,
            nodes,
            known,
            told,
            heard,
            checker: Checker::new(bound),
            contrast: options.contrast.then(|| Contrast::new(bound)),
            first_failure: None,
            evidence: Vec::new(),
            head: 0,
            seq: 0,
            figures: Figures::default(),
            victims: Vec::new(),
            is_kill_done: options.kill == Kill::None,
            pauses: 0,
            locks: 0,
            bursts: 0,
            lock: None,
            paused_port: None,
            ran: Duration::ZERO,
        };
        play.ready().await?;
        let asked = if options.contrast {
            Asked::Both
        } else {
            Asked::Pools
        };
        for caller in 0..CALLERS {
            let known = Arc::clone(&play.known);
            tokio::spawn(call_for_ever(
                known,
                asked,
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
            self.hear(heard).await?;
        }
        Ok(())
    }

    /// Lets them run, kills one on the way, and does what keys say.
    pub(crate) async fn run(&mut self, screen: &mut Screen, keys: &mut Keys) -> Result<(), Fault> {
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
                    if !self.is_kill_done && Instant::now() >= kill_at {
                        self.kill_in_time().await?;
                    }
                }
                _ = second.tick() => self.show(screen, began.elapsed(), keys),
                key = keys.next() => {
                    if key == 'q' {
                        break;
                    }
                    self.press(key).await?;
                }
                heard = self.heard.recv() => {
                    let heard = heard.ok_or("nobody speaks any more")?;
                    self.hear(heard).await?;
                }
            }
        }
        self.ran = began.elapsed();
        Ok(())
    }

    fn show(&mut self, screen: &mut Screen, at: Duration, keys: &Keys) {
        self.figures.settle();
        let phase = self.phase();
        let second = Second {
            phase,
            at,
            all: self.options.time(),
            checked: self.checker.checked(),
            stale: self.checker.stale(),
            plain: self.contrast.as_ref().map(Contrast::stale),
            are_keys_heard: keys.are_heard(),
        };
        screen.second(&mut self.figures, &second);
    }

    async fn hear(&mut self, heard: Heard) -> Result<(), Fault> {
        let (node, said) = match heard {
            Heard::Read(read) => {
                self.figures.remote_reads += 1;
                self.checker.note(read);
                return Ok(());
            }
            Heard::Plain(read) => {
                self.note_plain(read);
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
                Said::Ready(_) | Said::Applied { .. } if life != self.nodes[node].life => return Ok(()),
                said => (node, said),
            },
        };
        match said {
            Said::Ready(ready) => self.is_ready(node, ready).await,
            Said::Plain(read) => self.note_plain(read),
            Said::Failed(why) => {
                let why = format!("node {}: {why}", NAMES[node]);
                self.first_failure.get_or_insert(why);
            }
            Said::Read(read) => self.checker.note(read),
            Said::Acknowledged {
                position,
                at_nanos,
                row,
                token,
            } => {
                self.checker.acknowledge(position, at_nanos);
                if let Some(contrast) = &mut self.contrast {
                    contrast.acknowledge(position, at_nanos);
                }
                self.head = self.head.max(position);
                self.figures.committed(node, position, at_nanos);
                self.known.wrote(Commit { position, row, token });
            }
            Said::Applied { position, at_nanos } => self.figures.applied(node, position, at_nanos),
            Said::Tally(tally) => {
                self.figures.tally(node, &tally);
                for victim in &mut self.victims {
                    victim.has_done(node, &tally);
                }
            }
        }
        Ok(())
    }

    async fn is_ready(&mut self, node: usize, ready: Ready) {
        let took = now_nanos().saturating_sub(self.nodes[node].started_nanos);
        self.figures.nodes[node].is_up = true;
        self.known.set_port(node, Some(ready.port));
        let life = self.nodes[node].life;
        for victim in &mut self.victims {
            victim.is_ready(node, life, Duration::from_nanos(took), self.head, ready.applied);
        }
        self.nodes[node].plain_port = ready.plain_port;
        if self.contrast.is_some() {
            // Each hears of the other, whichever came last.
            for (node, peer) in [(0, 1), (1, 0)] {
                let port = self.nodes[peer].plain_port;
                self.nodes[node].tell(&format!("peer {port}")).await;
            }
        }
    }

    fn note_plain(&mut self, read: Read) {
        if let Some(contrast) = &mut self.contrast {
            contrast.note(read);
        }
    }

    /// Judges what was read: everything that these reads can have seen was committed before the history is asked.
    async fn check(&mut self) -> Result<(), Fault> {
        let reads = self.checker.take_waiting();
        let plain = self.contrast.as_mut().map(Contrast::take_waiting);
        let (changes, seq) = shop::history_after(&self.database, self.seq).await?;
        self.seq = seq;
        for change in changes {
            self.checker.learn(change);
            if let Some(contrast) = &mut self.contrast {
                contrast.learn(change);
            }
        }
        self.checker.judge(&reads);
        if let (Some(contrast), Some(reads)) = (&mut self.contrast, plain) {
            contrast.judge(&reads);
        }
        self.explain().await;
        Ok(())
    }

    /// Puts new evidence into words, while the node still knows of it.
    async fn explain(&mut self) {
        while let Some(evidence) = self.checker.evidence().get(self.evidence.len()) {
            let mut text = explained(evidence);
            if self.evidence.len() < EXPLAINED_MAX {
                let read = evidence.read;
                text.push_str(&self.known_of(read.node, read.row).await);
            }
            self.evidence.push(text);
        }
    }

    /// What a node knows of a row now, as a sentence; nothing if it does not answer.
    async fn known_of(&self, node: usize, (kind, id): RowKey) -> String {
        let asked = async {
            let port = self.known.port(node).ok_or("it is not there")?;
            let mut line = Line::to(port).await?;
            line.ask(&format!("explain {kind} {id}")).await
        };
        match timeout(EXPLAINED_WITHIN, asked).await {
            Ok(Ok(known)) => format!(" A moment later node {} knew of it: {known}.", NAMES[node]),
            _ => String::new(),
        }
    }
}
