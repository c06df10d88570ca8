//! The commits of this node that were applied when they committed, before the follower meets them.

use std::collections::{BTreeMap, VecDeque};

use crate::cursor::Cursor;
use crate::limits::{OWN_COMMITS, OWN_TARGETS_MAX};
use crate::position::Position;
use crate::target::TargetHash;

/// Commits remembered by position. A forgotten one is applied again by the follower: wider, never lost.
#[derive(Debug)]
pub(super) struct OwnCommits {
    by_position: BTreeMap<Position, Own>,
    /// In the order in which they were remembered, for forgetting the oldest.
    order: VecDeque<Position>,
    limit: usize,
    /// Targets kept for commits whose bound is not known.
    unsettled_targets: usize,
}

#[derive(Debug)]
struct Own {
    bound: Option<u64>,
    /// What to fill the bound in for; empty once it is known.
    targets: Box<[TargetHash]>,
}

impl Default for OwnCommits {
    fn default() -> Self {
        OwnCommits {
            by_position: BTreeMap::new(),
            order: VecDeque::new(),
            limit: OWN_COMMITS.default(),
            unsettled_targets: 0,
        }
    }
}

impl OwnCommits {
    /// Remembers a commit that has been applied here.
    pub(super) fn remember(&mut self, position: Position, bound: Option<u64>, targets: Vec<TargetHash>) {
        let targets = if bound.is_none() {
            targets.into_boxed_slice()
        } else {
            Box::default()
        };
        self.unsettled_targets += targets.len();
        if let Some(old) = self.by_position.insert(position, Own { bound, targets }) {
            self.unsettled_targets -= old.targets.len();
        } else {
            self.order.push_back(position);
        }
        while self.by_position.len() > self.limit || self.unsettled_targets > OWN_TARGETS_MAX {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.forget(oldest);
        }
    }

    /// The bound of a commit has become known. Returns the targets for which it is to be filled in.
    pub(super) fn settle(&mut self, position: Position, bound: u64) -> Box<[TargetHash]> {
        let Some(own) = self.by_position.get_mut(&position) else {
            return Box::default();
        };
        own.bound.get_or_insert(bound);
        self.unsettled_targets -= own.targets.len();
        std::mem::take(&mut own.targets)
    }

    pub(super) fn contains(&self, position: Position) -> bool {
        self.by_position.contains_key(&position)
    }

    /// The greatest position that is remembered.
    pub(super) fn last(&self) -> Option<Position> {
        self.by_position.last_key_value().map(|(position, _)| *position)
    }

    pub(super) fn bound(&self, position: Position) -> Option<u64> {
        self.by_position.get(&position).and_then(|own| own.bound)
    }

    /// Forgets what the follower has met and the cursor vouches for.
    pub(super) fn forget_included(&mut self, cursor: &Cursor) {
        while let Some(oldest) = self.order.front().copied() {
            let settled = self
                .by_position
                .get(&oldest)
                .is_none_or(|own| own.bound.is_some());
            if !(settled && cursor.includes(oldest)) {
                break;
            }
            self.order.pop_front();
            self.forget(oldest);
        }
    }

    pub(super) fn clear(&mut self) {
        let limit = self.limit;
        *self = OwnCommits {
            limit,
            ..OwnCommits::default()
        };
    }

    /// How many are kept at most; zero keeps none.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        while self.by_position.len() > limit {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.forget(oldest);
        }
    }

    fn forget(&mut self, position: Position) {
        if let Some(own) = self.by_position.remove(&position) {
            self.unsettled_targets -= own.targets.len();
        }
    }
}
