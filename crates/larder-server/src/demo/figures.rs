//! [`Figures`]: what is shown while it runs, and at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::words::Tally;

/// How many commits are waited for at once, until the other node says that it has applied them.
const PENDING_MAX: usize = 100_000;

/// What is known of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeFigures {
    pub(crate) second: Tally,
    pub(crate) total: Tally,
    pub(crate) is_up: bool,
    pub(crate) is_paused: bool,
    pub(crate) applied: u64,
    /// From each commit of the other node until it was applied here.
    pub(crate) lags: Vec<u64>,
}

/// What is known of all.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) nodes: [NodeFigures; 2],
    /// Commits that are yet to be applied by the other node: by node that is to apply, position and time of the commit.
    pending: [BTreeMap<u64, u64>; 2],
    /// What each node has applied of others, and when, ascending.
    applied: [Vec<(u64, u64)>; 2],
    pub(crate) remote_reads: u64,
}

impl Figures {
    pub(crate) fn tally(&mut self, node: usize, tally: &Tally) {
        self.nodes[node].second.add(tally);
        self.nodes[node].total.add(tally);
    }

    /// A node has committed.
    pub(crate) fn committed(&mut self, node: usize, position: u64, at_nanos: u64) {
        // A commit is applied to its own process before it is acknowledged.
        self.nodes[node].applied = position.max(self.nodes[node].applied);
        let other = 1 - node;
        if self.nodes[other].is_up && self.pending[other].len() < PENDING_MAX {
            self.pending[other].insert(position, at_nanos);
        }
    }

    pub(crate) fn applied(&mut self, node: usize, position: u64, at_nanos: u64) {
        self.nodes[node].applied = position.max(self.nodes[node].applied);
        self.applied[node].push((position, at_nanos));
    }

    /// A node that starts anew has applied nothing one by one.
    pub(crate) fn restarted(&mut self, node: usize) {
        self.pending[node].clear();
        self.applied[node].clear();
    }

    /// Brings commits together with their application.
    pub(crate) fn settle(&mut self) {
        let both = self.pending.iter_mut().zip(&mut self.applied);
        for (node, (pending, applied)) in self.nodes.iter_mut().zip(both) {
            applied.sort_unstable();
            let Some(&(last, _)) = applied.last() else {
                continue;
            };
            let rest = pending.split_off(&(last + 1));
            for (position, committed) in std::mem::replace(pending, rest) {
                let at = applied.partition_point(|(applied, _)| *applied < position);
                if let Some((_, at_nanos)) = applied.get(at) {
                    node.lags.push(at_nanos.saturating_sub(committed));
                }
            }
            applied.drain(..applied.len() - 1);
        }
    }

    /// Every lag of either node.
    pub(crate) fn lags(&self) -> Vec<u64> {
        let lags = self.nodes.iter().flat_map(|node| &node.lags);
        lags.copied().collect()
    }

    pub(crate) fn total(&self) -> Tally {
        let mut total = self.nodes[0].total.clone();
        total.add(&self.nodes[1].total);
        total
    }
}

/// The value that this share of values is not above.
pub(crate) fn percentile(values: &mut [u64], share: f64) -> Duration {
    values.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place among values"
    )]
    let at = ((values.len() as f64 * share).ceil() as usize).saturating_sub(1);
    Duration::from_nanos(values.get(at).copied().unwrap_or(0))
}

/// A part of a whole, in percent.
pub(crate) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
    let share = part as f64 * 100.0 / whole as f64;
    share
}
