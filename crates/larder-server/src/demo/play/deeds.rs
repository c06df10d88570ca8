//! What befalls the nodes: one is killed in time, and what somebody asks for by a key.

use std::time::Duration;

use tokio::time::Instant;

use super::super::Kill;
use super::super::figures::percent;
use super::super::process::{NAMES, Process};
use super::super::verdict::Killed;
use super::super::words::Tally;
use super::Play;
use crate::fault::Fault;

/// How long a key locks the database.
const LOCKED: Duration = Duration::from_secs(3);
/// What a node does in this time after it has come back counts as its first second: it tells five times a second.
const FIRST_SECOND: Duration = Duration::from_millis(1_100);

/// A node that was killed.
pub(super) struct Victim {
    node: usize,
    /// The life that it came back to.
    life: u32,
    before: Tally,
    /// What it had applied before.
    applied: u64,
    back: Option<Back>,
}

/// How it came back.
struct Back {
    at: Instant,
    took: Duration,
    /// By how many positions it was behind, and how many of them it had to apply one by one.
    behind: u64,
    replayed: u64,
    /// What it has done in its first second.
    after: Tally,
}

impl Victim {
    /// A node serves, in one of its lives.
    pub(super) fn is_ready(&mut self, node: usize, life: u32, took: Duration, head: u64, applied: u64) {
        if (self.node, self.life) != (node, life) {
            return;
        }
        self.back = Some(Back {
            at: Instant::now(),
            took,
            behind: head.saturating_sub(self.applied),
            replayed: head.saturating_sub(applied),
            after: Tally::default(),
        });
    }

    pub(super) fn has_done(&mut self, node: usize, tally: &Tally) {
        let back = self.back.as_mut().filter(|_| self.node == node);
        if let Some(back) = back.filter(|back| back.at.elapsed() < FIRST_SECOND) {
            back.after.add(tally);
        }
    }

    pub(super) fn ended(&self) -> Killed {
        let back = self.back.as_ref();
        let after = back.map_or(0.0, |back| percent(back.after.hits, back.after.reads));
        Killed {
            node: NAMES[self.node],
            ready_after: back.map(|back| back.took.as_secs_f64()),
            behind: back.map(|back| back.behind),
            replayed: back.map(|back| back.replayed),
            hit_ratio_before: percent(self.before.hits, self.before.reads) / 100.0,
            hit_ratio_after: after / 100.0,
        }
    }
}

impl Play<'_> {
    /// What is going on.
    pub(super) fn phase(&self) -> &'static str {
        let nodes = &self.figures.nodes;
        if nodes.iter().any(|node| !node.is_up) {
            "killed"
        } else if nodes.iter().any(|node| node.is_paused) {
            "paused"
        } else if self.is_locked() {
            "locked"
        } else {
            "running"
        }
    }

    /// Does what a key says; others say nothing.
    pub(super) async fn press(&mut self, key: char) -> Result<(), Fault> {
        match key {
            // Each in turn, so that both come to it.
            'k' => self.kill(self.victims.len() % 2).await,
            'p' => {
                self.pause_or_resume();
                Ok(())
            }
            'd' => {
                self.lock().await;
                Ok(())
            }
            'w' => {
                self.bursts += 1;
                for node in &mut self.nodes {
                    node.tell("burst").await;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Kills the node that is to be killed, once it is there.
    pub(super) async fn kill_in_time(&mut self) -> Result<(), Fault> {
        let node = match self.options.kill {
            Kill::A => 0,
            Kill::B => 1,
            Kill::None => return Ok(()),
        };
        self.is_kill_done = self.figures.nodes[node].is_up;
        self.kill(node).await
    }

    /// Kills a node and starts it again; not one that is on its way.
    async fn kill(&mut self, node: usize) -> Result<(), Fault> {
        if !self.figures.nodes[node].is_up {
            return Ok(());
        }
        self.known.set_port(node, None);
        self.nodes[node].life += 1;
        self.nodes[node].kill().await?;
        let figures = &mut self.figures.nodes[node];
        (figures.is_up, figures.is_paused) = (false, false);
        let life = self.nodes[node].life;
        self.victims.push(Victim {
            node,
            life,
            before: figures.total.clone(),
            applied: figures.applied,
            back: None,
        });
        self.figures.restarted(node);
        self.nodes[node] = Process::start(self.options, &self.file, self.size, node, life, &self.told)?;
        Ok(())
    }

    /// Lets the node go on that is paused; if none is, pauses one, the second first.
    fn pause_or_resume(&mut self) {
        let paused = self.figures.nodes.iter().position(|node| node.is_paused);
        if let Some(paused) = paused {
            return self.resume(paused);
        }
        let node = usize::from(self.pauses.is_multiple_of(2));
        if self.figures.nodes[node].is_up && self.nodes[node].pause() {
            self.pauses += 1;
            self.figures.nodes[node].is_paused = true;
            // Nobody waits for it.
            self.paused_port = self.known.port(node);
            self.known.set_port(node, None);
        }
    }

    /// Lets a node go on, if it is paused.
    pub(super) fn resume(&mut self, node: usize) {
        if self.figures.nodes[node].is_paused && self.nodes[node].resume() {
            self.figures.nodes[node].is_paused = false;
            self.known.set_port(node, self.paused_port);
        }
    }

    fn is_locked(&self) -> bool {
        self.lock.as_ref().is_some_and(|lock| !lock.is_finished())
    }

    /// Holds the database for a while, so that nobody can write.
    async fn lock(&mut self) {
        if self.is_locked() {
            return;
        }
        self.locks += 1;
        let database = self.database.clone();
        self.lock = Some(tokio::spawn(async move {
            if let Ok(transaction) = database.begin_with("BEGIN EXCLUSIVE").await {
                tokio::time::sleep(LOCKED).await;
                drop(transaction.rollback().await);
            }
        }));
    }
}
