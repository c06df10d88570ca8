//! The table of nodes of a [`MemoryStore`].

use std::collections::BTreeMap;

use larder_core::{BoxFuture, Timestamp};

use super::{Gone, MemoryStore};
use crate::limits::NODES_MAX;
use crate::{Beaten, Error, Joined, Member, NodeStatus, Nodes, Progress};

/// One process of each name.
pub(super) type Known = BTreeMap<String, Process>;

pub(super) struct Process {
    member: Member,
    last_seen: Timestamp,
    /// It does not live from then on.
    until: Timestamp,
    progress: Option<Progress>,
}

fn join(known: &mut Known, member: Member, now: Timestamp) -> Result<Joined, Error> {
    let live = |process: &&Process| process.until > now && process.member.node != member.node;
    if known.values().filter(live).count() >= NODES_MAX {
        return Err(member.one_too_many());
    }
    let other = known.get(&member.node);
    let other = other.filter(|other| other.member.run != member.run && other.until > now);
    let joined = match other {
        Some(other) if member.key.is_none() || other.member.key != member.key => {
            return Ok(Joined::InUse(other.last_seen));
        }
        Some(_) => Joined::TookOver,
        None => Joined::Alone,
    };
    let until = now.saturating_add(member.lease);
    let process = Process {
        last_seen: now,
        until,
        progress: None,
        member,
    };
    known.insert(process.member.node.clone(), process);
    Ok(joined)
}

impl MemoryStore {
    fn with_nodes<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Known, Timestamp) -> Result<R, Error>,
    ) -> BoxFuture<'static, Result<R, Error>> {
        let now = self.shared.clock.wall();
        let mut state = self.shared.state.lock();
        let done = if state.is_gone {
            Err(Error::Store(Box::new(Gone)))
        } else {
            work(&mut state.nodes, now)
        };
        drop(state);
        Box::pin(std::future::ready(done))
    }
}

impl Nodes for MemoryStore {
    fn join(&self, member: Member) -> BoxFuture<'static, Result<Joined, Error>> {
        self.with_nodes(|known, now| join(known, member, now))
    }

    fn beat(&self, member: Member, progress: Progress) -> BoxFuture<'static, Result<Beaten, Error>> {
        self.with_nodes(|known, now| {
            let process = known.get_mut(&member.node);
            let Some(process) = process.filter(|process| process.member.run == member.run) else {
                return Ok(Beaten::Superseded);
            };
            process.last_seen = now;
            process.until = now.saturating_add(member.lease);
            process.progress = Some(progress);
            Ok(Beaten::Alive)
        })
    }

    fn leave(&self, member: Member) -> BoxFuture<'static, Result<(), Error>> {
        self.with_nodes(|known, now| {
            let process = known.get_mut(&member.node);
            let Some(process) = process.filter(|process| process.member.run == member.run) else {
                return Ok(());
            };
            process.until = now;
            let saves = process
                .progress
                .as_ref()
                .is_some_and(|progress| progress.saved.is_some());
            if !saves {
                known.remove(&member.node);
            }
            Ok(())
        })
    }

    fn list(&self) -> BoxFuture<'static, Result<Vec<NodeStatus>, Error>> {
        self.with_nodes(|known, now| {
            let status = |process: &Process| {
                let mut status = NodeStatus::new(&process.member.node, process.member.run, process.last_seen);
                status.is_live = process.until > now;
                status.applied = process.progress.as_ref().map(|progress| progress.applied.clone());
                status
            };
            Ok(known.values().map(status).collect())
        })
    }
}
