//! The commits of this node that were applied when they committed, before the follower meets them.

use std::collections::{BTreeMap, VecDeque};

use crate::cursor::Cursor;
use crate::limits::{OWN_COMMITS, OWN_TARGETS_MAX};
use crate::position::Position;
use crate::sync::Arc;
use crate::target::TargetHash;

/// Commits remembered by position. A forgotten one is applied again by the follower: wider, never lost.
#[derive(Debug)]
pub(super) struct OwnCommits {
    by_position: BTreeMap<Position, Own>,
    /// In the order in which they were remembered, for forgetting the oldest.
    order: VecDeque<Position>,
    limit: usize,
    /// Targets of all these commits.
    targets: usize,
}

#[derive(Debug)]
struct Own {
    bound: Option<u64>,
    /// What was raised when it committed, ascending.
    targets: Arc<[TargetHash]>,
}

impl Default for OwnCommits {
    fn default() -> Self {
        OwnCommits {
            by_position: BTreeMap::new(),
            order: VecDeque::new(),
            limit: OWN_COMMITS.default(),
            targets: 0,
        }
    }
}

impl OwnCommits {
    /// Remembers a commit that has been applied here.
    pub(super) fn remember(&mut self, position: Position, bound: Option<u64>, mut targets: Vec<TargetHash>) {
        targets.sort_unstable();
        self.targets += targets.len();
        let own = Own {
            bound,
            targets: targets.into(),
        };
        if let Some(old) = self.by_position.insert(position, own) {
            self.targets -= old.targets.len();
        } else {
            self.order.push_back(position);
        }
        while self.by_position.len() > self.limit || self.targets > OWN_TARGETS_MAX {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.forget(oldest);
        }
    }

    /// The bound of a commit has become known. Returns the targets for which it is to be filled in, the first time.
    pub(super) fn settle(&mut self, position: Position, bound: u64) -> Option<Arc<[TargetHash]>> {
        let own = self.by_position.get_mut(&position)?;
        if own.bound.is_some() {
            return None;
        }
        own.bound = Some(bound);
        Some(Arc::clone(&own.targets))
    }

    /// Whether the commit at `position` is remembered, and raised this target when it committed.
    pub(super) fn has_raised(&self, position: Position, hash: TargetHash) -> bool {
        let own = self.by_position.get(&position);
        own.is_some_and(|own| own.targets.binary_search(&hash).is_ok())
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
            self.targets -= own.targets.len();
        }
    }
}
