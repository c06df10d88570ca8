//! Steps of sources: commits, the follower's rounds, bounds, tokens and waits.

use std::sync::Arc;
use std::task::Poll;

use larder_core::{Applied, Position, Reason, Target, Token};

use super::super::super::doubles::{Woken, poll, row, this_process};
use super::{Waiting, World, nth_of};

impl World {
    pub(super) fn own_commit(&mut self, lane: usize, targets: &[usize], is_bound_known: bool) {
        self.databases[lane].commits.push((targets.to_vec(), true));
        let position = self.head(lane);
        let bound = is_bound_known.then_some(position);
        let (log, reason) = (self.logs[lane], Reason::new("own"));
        let as_of = bound.map(|point| log.at(point));
        let named = self.named(targets);
        let own = self.lanes[lane].own_commit(log.epoch, Position::new(position), as_of, &reason, named);
        for target in targets {
            self.oracle.invalidate(*target, Some((lane, position)), bound);
        }
        own.publish();
        self.oracle.publish_single(lane, position);
    }

    /// Delivers the rows of one commit, with a bound as of now.
    fn deliver(&mut self, lane: usize, position: u64) {
        let bound = self.head(lane);
        let index = usize::try_from(position - 1).unwrap();
        let (targets, is_own) = self.databases[lane].commits[index].clone();
        let row_of = |target: &Target| match is_own {
            true => row(target, position).with_origin(this_process()),
            false => row(target, position),
        };
        let rows: Vec<_> = self.named(&targets).iter().map(row_of).collect();
        self.lanes[lane].raise(&rows, self.logs[lane].at(bound));
        if is_own {
            self.oracle.settle(lane, position, bound);
        } else {
            for target in targets {
                self.oracle
                    .invalidate(target, Some((lane, position)), Some(bound));
            }
        }
    }

    pub(super) fn round(&mut self, lane: usize, limit: u64) {
        let log = self.logs[lane];
        let (round, began) = (self.lanes[lane].round(), self.oracle.now());
        let next = self.lanes[lane].cursor().unwrap().end().get();
        let (head, end) = (self.head(lane), self.head(lane).min(next - 1 + limit));
        for position in next..=end {
            self.deliver(lane, position);
        }
        self.lanes[lane].publish(&log.cursor(end + 1), &[]);
        self.oracle.publish(lane, end + 1);
        if end == head {
            self.lanes[lane].caught_up(round, log.at(head));
            self.oracle.caught_up(lane, began, head);
            self.end_waits_beyond(lane, end);
        }
    }

    /// O63: who waits for what a whole round did not show learns that it cannot be told here.
    fn end_waits_beyond(&mut self, lane: usize, end: u64) {
        let (beyond, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|wait| wait.lane == lane && wait.positions.iter().any(|position| *position > end));
        self.waiting = waiting;
        for mut wait in beyond {
            assert!(
                wait.woken.count() > 0,
                "{:?} of lane {lane} lie beyond {end}",
                wait.positions
            );
            assert_eq!(poll(&mut wait.future, &wait.woken), Poll::Ready(Applied::Unknown));
        }
    }

    pub(super) fn single(&mut self, lane: usize, nth: u8) {
        let cursor = self.lanes[lane].cursor().unwrap();
        let next = cursor.end().get();
        let above = usize::try_from((self.head(lane) + 1).saturating_sub(next)).unwrap();
        let Some(nth) = nth_of(above, nth) else { return };
        let position = next + nth as u64;
        self.deliver(lane, position);
        self.lanes[lane].publish(&cursor, &[Position::new(position)]);
        self.oracle.publish_single(lane, position);
    }

    pub(super) fn settle(&mut self, lane: usize, nth: u8) {
        let own: Vec<u64> = (1..=self.head(lane))
            .zip(&self.databases[lane].commits)
            .filter(|(_, (_, is_own))| *is_own)
            .map(|(position, _)| position)
            .collect();
        let Some(nth) = nth_of(own.len(), nth) else { return };
        let (position, bound) = (own[nth], self.head(lane));
        self.lanes[lane].settle(Position::new(position), self.logs[lane].at(bound));
        self.oracle.settle(lane, position, bound);
    }

    fn token_of(&self, lane: usize, positions: &[u64]) -> Token {
        let tokens = positions.iter().map(|position| self.logs[lane].token(*position));
        tokens.fold(Token::default(), |all, token| all.merge(&token))
    }

    /// Positions around what has been applied and committed.
    fn positions(&self, lane: usize, raw: [u8; 2]) -> Vec<u64> {
        let around = self.head(lane).saturating_sub(4) + 1;
        raw.iter().map(|raw| around + u64::from(raw % 6)).collect()
    }

    pub(super) fn token(&mut self, lane: usize, raw: [u8; 2]) {
        let positions = self.positions(lane, raw);
        let all = positions
            .iter()
            .all(|position| self.oracle.is_applied(lane, *position));
        let expected = if all { Applied::Yes } else { Applied::No };
        assert_eq!(
            self.fence.applied(&self.token_of(lane, &positions)),
            expected,
            "{positions:?}"
        );
    }

    pub(super) fn wait(&mut self, lane: usize, raw: [u8; 2]) {
        let positions = self.positions(lane, raw);
        let woken = Arc::new(Woken::default());
        let mut future = self.fence.when_applied(self.token_of(lane, &positions));
        let polled = poll(&mut future, &woken);
        if positions
            .iter()
            .all(|position| self.oracle.is_applied(lane, *position))
        {
            assert_eq!(polled, Poll::Ready(Applied::Yes));
            return;
        }
        assert_eq!(polled, Poll::Pending);
        self.waiting.push(Waiting {
            future,
            woken,
            lane,
            positions,
        });
    }

    pub(super) fn check_waits(&mut self) {
        for mut wait in std::mem::take(&mut self.waiting) {
            let is_applied = |position: &u64| self.oracle.is_applied(wait.lane, *position);
            if wait.positions.iter().all(is_applied) {
                assert_eq!(wait.woken.count(), 1, "{:?} are applied", wait.positions);
                assert_eq!(poll(&mut wait.future, &wait.woken), Poll::Ready(Applied::Yes));
            } else {
                assert_eq!(wait.woken.count(), 0, "{:?} are not all applied", wait.positions);
                self.waiting.push(wait);
            }
        }
    }
}
