//! The log in memory as relays take it: each call is done at once, under one lock.

use std::sync::Arc;
use std::time::Duration;

use larder_core::{BoxFuture, Cursor, Invalidations, Namespace, Source, Timestamp, Token};

use super::groups::Taken;
use super::{Gone, MemoryStore};
use crate::limits::PAGE_ROWS_MAX;
use crate::store::check_claim;
use crate::{
    Behind, Claim, Completed, DeadLetters, Error, Failed, Group, Lease, Nodes, OutboxRow, OutboxStatus,
    OutboxStore, RowId, RowState, TokenStatus,
};

impl MemoryStore {
    /// Does something to a group at once.
    fn at_once<'a, R: Send + 'a>(
        &'a self,
        group: &str,
        work: impl FnOnce(&mut Taken, Timestamp) -> Result<R, Error>,
    ) -> BoxFuture<'a, Result<R, Error>> {
        let now = self.shared.clock.wall();
        let mut state = self.shared.state.lock();
        let done = state.of(group).and_then(|taken| work(taken, now));
        drop(state);
        Box::pin(std::future::ready(done))
    }

    fn dead_letters<'a>(
        &'a self,
        which: &DeadLetters,
        pending_from: Option<Timestamp>,
    ) -> BoxFuture<'a, Result<u64, Error>> {
        let mut state = self.shared.state.lock();
        let groups: Vec<String> = match which.its_group() {
            Some(group) => vec![group.to_owned()],
            None => state.groups.keys().cloned().collect(),
        };
        let each = groups
            .iter()
            .map(|group| Ok(state.of(group)?.end_dead(which, pending_from)));
        let sum: Result<u64, Error> = each.sum();
        drop(state);
        Box::pin(std::future::ready(sum))
    }
}

impl OutboxStore for MemoryStore {
    fn source(&self) -> Arc<dyn Source> {
        MemoryStore::source(self)
    }

    fn nodes(&self) -> Arc<dyn Nodes> {
        Arc::new(self.clone())
    }

    fn record<'a>(&'a self, batch: &'a Invalidations) -> BoxFuture<'a, Result<Token, Error>> {
        let is_gone = self.shared.state.lock().is_gone;
        let recorded = if is_gone {
            Err(Error::Store(Box::new(Gone)))
        } else {
            Ok(self.record_alone(batch))
        };
        Box::pin(std::future::ready(recorded))
    }

    fn open_group<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, Result<(), Error>> {
        let opened = group
            .check()
            .and_then(|()| self.shared.state.lock().open_group(group));
        Box::pin(std::future::ready(opened))
    }

    fn drop_group<'a>(&'a self, group: &'a str) -> BoxFuture<'a, Result<bool, Error>> {
        let mut state = self.shared.state.lock();
        let there = state.of(group).map(drop);
        let dropped = match there {
            Ok(()) => Ok(state.groups.remove(group)),
            Err(Error::NoSuchGroup { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        drop(state);
        Box::pin(std::future::ready(dropped.map(|dropped| dropped.is_some())))
    }

    fn claim<'a>(
        &'a self,
        group: &'a str,
        owner: &'a str,
        limit: usize,
        time: Duration,
    ) -> BoxFuture<'a, Result<Claim, Error>> {
        if limit == 0 {
            return Box::pin(std::future::ready(Ok(Claim::empty(group, owner))));
        }
        if let Err(error) = check_claim(owner, limit, time) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let number = self.shared.entropy.next_u64();
        self.at_once(group, |taken, now| {
            let lease = Lease::new(number, now.saturating_add(time));
            taken.claim(owner, limit, (now, lease))
        })
    }

    fn acknowledge<'a>(
        &'a self,
        claim: &'a Claim,
        rows: &'a [RowId],
    ) -> BoxFuture<'a, Result<Completed, Error>> {
        let completed = self.at_once(
            claim.group(),
            |taken, now| Ok(taken.acknowledge(claim, rows, now)),
        );
        self.shared.completions.give();
        completed
    }

    fn fail<'a>(&'a self, claim: &'a Claim, rows: &'a [Failed]) -> BoxFuture<'a, Result<Completed, Error>> {
        let completed = self.at_once(claim.group(), |taken, now| Ok(taken.fail(claim, rows, now)));
        self.shared.completions.give();
        completed
    }

    fn renew<'a>(&'a self, claim: &'a Claim, time: Duration) -> BoxFuture<'a, Result<Completed, Error>> {
        self.at_once(claim.group(), |taken, now| {
            Ok(taken.hold(claim, Some(now.saturating_add(time)), now))
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Completed, Error>> {
        if claim.is_empty() {
            return Box::pin(std::future::ready(Ok(Completed::default())));
        }
        self.at_once(claim.group(), |taken, now| Ok(taken.hold(claim, None, now)))
    }

    fn rows_of<'a>(
        &'a self,
        group: &'a str,
        state: RowState,
        after: Option<RowId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<OutboxRow>, Error>> {
        self.at_once(group, |taken, _| {
            Ok(taken.page(state, after, limit.min(PAGE_ROWS_MAX)))
        })
    }

    fn reset_dead_letters<'a>(&'a self, which: &'a DeadLetters) -> BoxFuture<'a, Result<u64, Error>> {
        self.dead_letters(which, Some(self.shared.clock.wall()))
    }

    fn discard_dead_letters<'a>(
        &'a self,
        which: &'a DeadLetters,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<u64, Error>> {
        tracing::warn!(reason, group = which.its_group(), "dead letters are discarded");
        self.dead_letters(which, None)
    }

    fn groups(&self) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        let state = self.shared.state.lock();
        let groups = if state.is_gone {
            Err(Error::Store(Box::new(Gone)))
        } else {
            Ok(state.groups.keys().cloned().collect())
        };
        drop(state);
        Box::pin(std::future::ready(groups))
    }

    fn behind<'a>(&'a self, cursor: &'a Cursor) -> BoxFuture<'a, Result<Behind, Error>> {
        let now = self.shared.clock.wall();
        let state = self.shared.state.lock();
        let behind = if state.is_gone {
            Err(Error::Store(Box::new(Gone)))
        } else {
            Ok(state.behind(self.shared.id, cursor, now))
        };
        drop(state);
        Box::pin(std::future::ready(behind))
    }

    fn status<'a>(
        &'a self,
        group: &'a str,
        namespace: Option<&'a Namespace>,
    ) -> BoxFuture<'a, Result<OutboxStatus, Error>> {
        self.at_once(group, |taken, now| Ok(taken.status(namespace, now)))
    }

    fn statuses_of<'a>(
        &'a self,
        group: &'a str,
        tokens: &'a [Token],
    ) -> BoxFuture<'a, Result<Vec<TokenStatus>, Error>> {
        let mut state = self.shared.state.lock();
        let each = tokens
            .iter()
            .map(|token| state.status_of(group, token, self.shared.id));
        let statuses = each.collect();
        drop(state);
        Box::pin(std::future::ready(statuses))
    }

    fn completed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.completions.next())
    }
}
