//! Waits for other nodes: all of a process share one look at the table of nodes, every 50 ms at most.

use std::time::Duration;

use larder_core::sync::Arc;
use larder_core::{Applied, Cursor, Moment, Token};
use tokio::sync::Mutex;

use super::relayed::Relays;
use super::{Ended, Own, Waiter};
use crate::limits::NODES_LOOK_EVERY;
use crate::{Error, NodeStatus, OutboxStore};

/// What is asked beside the fence, and what was answered. Clones of a waiter share it.
#[derive(Clone)]
pub(super) struct Others {
    pub(super) store: Arc<dyn OutboxStore>,
    /// The process in which this is, as the table of nodes knows it.
    pub(super) own_run: Option<u64>,
    pub(super) relays: Arc<Relays>,
    seen: Arc<Mutex<Option<Seen>>>,
}

struct Seen {
    at: Moment,
    nodes: Arc<Vec<NodeStatus>>,
}

impl Others {
    pub(super) fn new(store: Arc<dyn OutboxStore>) -> Self {
        Others {
            store,
            own_run: None,
            relays: Arc::default(),
            seen: Arc::default(),
        }
    }

    /// The nodes as they were at most 50 ms ago, and when; as they are now if nobody may wait for that.
    async fn look(
        &self,
        now: impl Fn() -> Moment,
        must_be_since: Option<Moment>,
    ) -> Result<(Arc<Vec<NodeStatus>>, Moment), Error> {
        let mut seen = self.seen.lock().await;
        let at = now();
        let is_good = |seen: &&Seen| match must_be_since {
            Some(since) => seen.at >= since,
            None => at.since(seen.at) < NODES_LOOK_EVERY,
        };
        if let Some(seen) = seen.as_ref().filter(is_good) {
            return Ok((Arc::clone(&seen.nodes), seen.at));
        }
        let nodes = Arc::new(self.store.nodes().list().await?);
        *seen = Some(Seen {
            at,
            nodes: Arc::clone(&nodes),
        });
        Ok((nodes, at))
    }
}

impl Waiter {
    /// Until so many live nodes have applied it, or all.
    pub(super) async fn nodes(
        &self,
        others: &Others,
        quorum: Option<usize>,
        token: &Token,
        time: Duration,
    ) -> Result<Ended, Error> {
        let began = self.fence.time();
        let mut heard = Own::of(&self.fence, token);
        loop {
            let own = heard.now(&self.fence, token);
            let left = time.saturating_sub(self.fence.time().since(began));
            // Who looks for the last time looks at what is there now.
            let must_be_since = (left < NODES_LOOK_EVERY).then_some(began);
            let (nodes, at) = others.look(|| self.fence.time(), must_be_since).await?;
            let is_own = |node: &NodeStatus| Some(node.run) == others.own_run;
            // Without a run this process is one of the table's.
            let itself = usize::from(own == Applied::Yes && others.own_run.is_some());
            let (mut applied, mut lagging) = (itself, Vec::new());
            for node in nodes.iter().filter(|node| node.is_live && !is_own(node)) {
                if self.has_applied(node, token, own) {
                    applied += 1;
                } else {
                    lagging.push(node.node.clone());
                }
            }
            let is_satisfied = match quorum {
                None => own == Applied::Yes && lagging.is_empty(),
                Some(quorum) => own == Applied::Yes && applied >= quorum,
            };
            // A node that has begun to follow since may not be in what was seen before.
            if is_satisfied && at >= began {
                return Ok(Ended::satisfied());
            }
            let left = time.saturating_sub(self.fence.time().since(began));
            let unknown = own == Applied::Unknown;
            if left.is_zero() || unknown {
                let pending = quorum.map_or(lagging.len(), |quorum| quorum.saturating_sub(applied));
                return Ok(Ended {
                    timed_out: !unknown,
                    unknown,
                    pending,
                    lagging,
                    ..Ended::default()
                });
            }
            self.sleep(left.min(NODES_LOOK_EVERY)).await;
        }
    }

    /// Whether a node has said that it has come so far. One that has begun a later epoch has flushed for it: if this node knows the epoch of the token as
    /// one before its own, and that node is in the same, all of it is applied there too.
    fn has_applied(&self, node: &NodeStatus, token: &Token, own: Applied) -> bool {
        let Some(applied) = &node.applied else {
            return false;
        };
        let is_in_own_epoch = |cursor: &Cursor| {
            let own = self.fence.cursors();
            own.iter()
                .any(|own| own.source() == cursor.source() && own.epoch() == cursor.epoch())
        };
        !token.is_origin_only()
            && token.requirements().iter().all(|requirement| {
                requirement.is_satisfied_by(applied, |_| false)
                    || (requirement.source() == applied.source()
                        && requirement.epoch() != applied.epoch()
                        && own == Applied::Yes
                        && is_in_own_epoch(applied))
            })
    }
}
