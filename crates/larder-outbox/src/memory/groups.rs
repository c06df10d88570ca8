//! Groups of a [`MemoryStore`]: each has copies of the rows that it has yet to do.
//!
//! What is always true: a row that is pending is either fresh, or comes again at a time, or is held until a time; all times are
//! those of the store's clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use larder_core::limits::{ERROR_TEXT_BYTES_MAX, cut_at_character};
use larder_core::{Cursor, Epoch, Namespace, Position, Requirement, SourceId, Target, Timestamp, Token};

use super::{Gone, Row, State};
use crate::limits::{COUNT_MAX, GROUPS_MAX};
use crate::{
    Behind, Claim, Completed, Count, DeadLetters, Error, Failed, Group, Lease, Next, OutboxRow, OutboxStatus,
    RowId, RowState, Start, TokenStatus,
};

/// Epoch, position, ordinal.
type Key = (u64, u64, u64);

/// A group, and what it has taken in.
#[derive(Clone)]
pub(super) struct Taken {
    group: Group,
    rows: BTreeMap<Key, OutboxRow>,
    unreadable: BTreeSet<Key>,
    fresh: BTreeSet<Key>,
    again: BTreeSet<(Timestamp, Key)>,
    held: BTreeSet<(Timestamp, Key)>,
    dead: BTreeSet<Key>,
    kept: BTreeSet<(Timestamp, Key)>,
    failed: u64,
    acknowledged_at: Option<Timestamp>,
}

fn key(id: RowId) -> Key {
    (id.epoch().get(), id.position().get(), id.ordinal())
}

impl Taken {
    fn new(group: &Group) -> Self {
        Taken {
            group: group.clone(),
            rows: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            fresh: BTreeSet::new(),
            again: BTreeSet::new(),
            held: BTreeSet::new(),
            dead: BTreeSet::new(),
            kept: BTreeSet::new(),
            failed: 0,
            acknowledged_at: None,
        }
    }

    /// Takes in the rows of a commit that are the group's.
    pub(super) fn take_in(&mut self, epoch: Epoch, rows: &[Row]) {
        for (ordinal, row) in (0_u64..).zip(rows) {
            if !self.is_its(row) {
                continue;
            }
            let invalidation = &row.invalidation;
            let id = RowId::new(epoch, invalidation.position(), ordinal);
            let target = invalidation.target().clone();
            let mut taken = OutboxRow::new(id, row.namespace.clone(), target, invalidation.recorded_at());
            taken.reason = invalidation.reason().clone();
            taken.origin = invalidation.origin().cloned();
            if !row.is_readable {
                self.unreadable.insert(key(id));
            }
            self.fresh.insert(key(id));
            self.rows.insert(key(id), taken);
        }
    }

    fn is_its(&self, row: &Row) -> bool {
        let is_everybodys = !row.is_readable
            || matches!(
                row.invalidation.target(),
                Target::Entity { .. } | Target::Collection { .. } | Target::Everything
            );
        let its = self.group.its_namespaces();
        is_everybodys || its.is_none_or(|its| its.contains(&row.namespace))
    }

    pub(super) fn claim(
        &mut self,
        owner: &str,
        limit: usize,
        (now, lease): (Timestamp, Lease),
    ) -> Result<Claim, Error> {
        if self.dead.len() >= self.group.dead_letters_max {
            return Err(Error::DeadLettersFull {
                group: self.group.name.clone(),
                dead: u64::try_from(self.dead.len()).unwrap_or(u64::MAX),
            });
        }
        let owner: Arc<str> = Arc::from(owner);
        let (mut rows, mut dead_lettered) = (Vec::new(), 0);
        while rows.len() < limit {
            let Some(taken) = self.next(rows.len(), limit, now) else {
                break;
            };
            let Some(row) = self.rows.get_mut(&taken) else {
                continue;
            };
            if self.unreadable.contains(&taken) {
                row.state = RowState::Dead;
                row.last_error = Some("the row cannot be read".to_owned());
                self.dead.insert(taken);
                dead_lettered += 1;
                continue;
            }
            row.owner = Some(Arc::clone(&owner));
            row.lease = Some(lease);
            row.claimed_at = Some(now);
            rows.push(row.clone());
            self.held.insert((lease.until(), taken));
        }
        Ok(Claim::new(&self.group.name, &owner, lease, rows).with_dead_lettered(dead_lettered))
    }

    /// The next row to be held: one whose time is over, one that is to come again, or a fresh one.
    fn next(&mut self, taken: usize, limit: usize, now: Timestamp) -> Option<Key> {
        let over = self.held.first().copied().filter(|(until, _)| *until <= now);
        if let Some(over) = over {
            self.held.remove(&over);
            return Some(over.1);
        }
        let again = self.again.first().copied().filter(|(at, _)| *at <= now);
        // Those that come again leave half of the room to fresh ones.
        let is_their_turn = taken < limit.div_ceil(2) || self.fresh.is_empty();
        if let Some(again) = again.filter(|_| is_their_turn) {
            self.again.remove(&again);
            return Some(again.1);
        }
        self.fresh.pop_first()
    }

    /// Takes a row out of the hands of a claim, if that still holds it.
    fn let_go(&mut self, claim: &Claim, id: RowId, completed: &mut Completed) -> Option<Key> {
        if claim.rows().iter().all(|row| row.id != id) {
            completed.unknown += 1;
            return None;
        }
        let number = Some(claim.lease().number());
        let row = self.rows.get_mut(&key(id));
        let Some(row) = row.filter(|row| row.lease.map(|lease| lease.number()) == number) else {
            completed.lost += 1;
            return None;
        };
        let until = row.lease.map_or(Timestamp::MIN, |lease| lease.until());
        (row.owner, row.lease, row.claimed_at) = (None, None, None);
        self.held.remove(&(until, key(id)));
        completed.done += 1;
        Some(key(id))
    }

    pub(super) fn acknowledge(&mut self, claim: &Claim, rows: &[RowId], now: Timestamp) -> Completed {
        let mut completed = Completed::default();
        for id in rows {
            let Some(done) = self.let_go(claim, *id, &mut completed) else {
                continue;
            };
            self.acknowledged_at = Some(now);
            if self.group.keep_acknowledged.is_zero() {
                self.rows.remove(&done);
            } else if let Some(row) = self.rows.get_mut(&done) {
                row.state = RowState::Acknowledged;
                row.acknowledged_at = Some(now);
                row.last_error = None;
                self.kept.insert((now, done));
            }
        }
        self.forget_old(now);
        completed
    }

    /// Rows that are done are kept for no longer than the group says.
    fn forget_old(&mut self, now: Timestamp) {
        while let Some((at, done)) = self.kept.first().copied() {
            if now.since(at) < self.group.keep_acknowledged {
                break;
            }
            self.kept.remove(&(at, done));
            self.rows.remove(&done);
        }
    }

    pub(super) fn fail(&mut self, claim: &Claim, rows: &[Failed], now: Timestamp) -> Completed {
        let mut completed = Completed::default();
        for failed in rows {
            let Some(taken) = self.let_go(claim, failed.row, &mut completed) else {
                continue;
            };
            let Some(row) = self.rows.get_mut(&taken) else {
                continue;
            };
            row.attempts = row.attempts.saturating_add(1);
            row.last_error = Some(cut_at_character(&failed.error, ERROR_TEXT_BYTES_MAX).to_owned());
            self.failed += 1;
            match failed.next {
                Next::Dead => {
                    row.state = RowState::Dead;
                    self.dead.insert(taken);
                }
                Next::Retry(after) => {
                    row.available_at = now.saturating_add(after);
                    self.again.insert((row.available_at, taken));
                }
            }
        }
        completed
    }

    pub(super) fn hold(&mut self, claim: &Claim, until: Option<Timestamp>, now: Timestamp) -> Completed {
        let mut completed = Completed::default();
        for row in claim.rows() {
            let Some(taken) = self.let_go(claim, row.id, &mut completed) else {
                continue;
            };
            let Some(row) = self.rows.get_mut(&taken) else {
                continue;
            };
            let Some(until) = until else {
                if row.attempts == 0 {
                    self.fresh.insert(taken);
                } else {
                    row.available_at = now;
                    self.again.insert((now, taken));
                }
                continue;
            };
            row.owner = Some(Arc::from(claim.owner()));
            row.lease = Some(Lease::new(claim.lease().number(), until));
            row.claimed_at = Some(now);
            self.held.insert((until, taken));
        }
        completed
    }

    /// What becomes of dead letters: pending from now on, or gone.
    pub(super) fn end_dead(&mut self, which: &DeadLetters, pending_from: Option<Timestamp>) -> u64 {
        let fits = |key: &&Key| self.rows.get(key).is_some_and(|row| which.fits(row));
        let fitting: Vec<Key> = self.dead.iter().filter(fits).copied().collect();
        for dead in &fitting {
            self.dead.remove(dead);
            match (pending_from, self.rows.get_mut(dead)) {
                (Some(now), Some(row)) => {
                    row.state = RowState::Pending;
                    row.attempts = 0;
                    row.last_error = None;
                    row.available_at = now;
                    self.again.insert((now, *dead));
                }
                _ => drop(self.rows.remove(dead)),
            }
        }
        u64::try_from(fitting.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn page(&self, state: RowState, after: Option<RowId>, limit: usize) -> Vec<OutboxRow> {
        let after = after.map(key);
        let rows = self.rows.iter();
        let rows = rows.filter(|(key, row)| Some(**key) > after && row.state == state);
        rows.take(limit).map(|(_, row)| row.clone()).collect()
    }

    pub(super) fn status(&self, namespace: Option<&Namespace>, now: Timestamp) -> OutboxStatus {
        let is_its = |row: &OutboxRow| namespace.is_none_or(|namespace| row.namespace == *namespace);
        let (counted, oldest) = self.count(is_its);
        let mut status = OutboxStatus::idle();
        status.pending = counted.pending;
        status.dead_lettered = counted.dead_lettered;
        status.oldest_pending = oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        status.acknowledged_at = self.acknowledged_at;
        status.failed_attempts = self.failed;
        status.is_full = self.dead.len() >= self.group.dead_letters_max;
        status
    }

    fn count(&self, fits: impl Fn(&OutboxRow) -> bool) -> (TokenStatus, Option<Timestamp>) {
        let (mut pending, mut dead, mut oldest) = (0, 0, None::<Timestamp>);
        for row in self.rows.values().filter(|row| fits(row)) {
            match row.state {
                RowState::Pending => {
                    pending += 1;
                    oldest = Some(oldest.map_or(row.recorded_at, |oldest| oldest.min(row.recorded_at)));
                }
                RowState::Dead => dead += 1,
                RowState::Acknowledged => {}
            }
        }
        let status = TokenStatus::of(Count::up_to(pending, COUNT_MAX), Count::up_to(dead, COUNT_MAX));
        (status, oldest)
    }
}

impl State {
    pub(super) fn behind(&self, source: SourceId, cursor: &Cursor, now: Timestamp) -> Behind {
        if cursor.source() != source || cursor.epoch() != self.epoch || cursor.horizon() < self.floor {
            return Behind::cut_off();
        }
        let (mut rows, mut oldest) = (0, None::<Timestamp>);
        for (position, of_commit) in self.log.range(cursor.horizon()..) {
            if cursor.includes(*position) {
                continue;
            }
            rows += u64::try_from(of_commit.len()).unwrap_or(u64::MAX);
            let recorded = of_commit.iter().map(|row| row.invalidation.recorded_at());
            oldest = oldest.into_iter().chain(recorded).min();
        }
        let age = oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        Behind::of(Count::up_to(rows, COUNT_MAX), age)
    }

    pub(super) fn of(&mut self, group: &str) -> Result<&mut Taken, Error> {
        if self.is_gone {
            return Err(Error::Store(Box::new(Gone)));
        }
        self.groups.get_mut(group).ok_or_else(|| Error::NoSuchGroup {
            group: group.to_owned(),
        })
    }

    pub(super) fn open_group(&mut self, group: &Group) -> Result<(), Error> {
        if self.is_gone {
            return Err(Error::Store(Box::new(Gone)));
        }
        if let Some(there) = self.groups.get_mut(&group.name) {
            if there.group.namespaces != group.namespaces {
                let its = there.group.its_namespaces();
                let its = its.map(|its| its.iter().map(Namespace::as_str).collect::<Vec<_>>());
                let has = its.map_or_else(|| "all".to_owned(), |its| its.join(", "));
                return Err(group.other_namespaces(&has));
            }
            there.group = group.clone();
            return Ok(());
        }
        if self.groups.len() >= GROUPS_MAX {
            return Err(group.one_too_many());
        }
        let mut taken = Taken::new(group);
        if group.start == Start::Oldest {
            for rows in self.log.values() {
                taken.take_in(self.epoch, rows);
            }
        }
        self.groups.insert(group.name.clone(), taken);
        Ok(())
    }

    pub(super) fn status_of(
        &mut self,
        group: &str,
        token: &Token,
        source: SourceId,
    ) -> Result<TokenStatus, Error> {
        let (epoch, next, open) = (self.epoch, self.next, self.open.clone());
        let former = self.former.clone();
        let taken = self.of(group)?;
        let (mut pending, mut dead, mut unknown) = (0_u64, 0_u64, token.is_origin_only());
        for requirement in token.requirements() {
            let is_now = requirement.epoch() == epoch;
            if requirement.source() != source || !(is_now || former.contains(&requirement.epoch())) {
                unknown = true;
                continue;
            }
            let is_of = |row: &OutboxRow| {
                row.id.epoch() == requirement.epoch() && requirement.requires(row.position())
            };
            let (counted, _) = taken.count(is_of);
            dead += counted.dead_lettered.at_least();
            pending += counted.pending.at_least();
            if is_now {
                pending = pending.saturating_add(undecided(requirement, next, &open));
            }
        }
        let mut status = TokenStatus::of(Count::up_to(pending, COUNT_MAX), Count::up_to(dead, COUNT_MAX));
        status.unknown = unknown;
        Ok(status)
    }
}

/// Commits that may still come: of transactions that are open, or have not begun.
fn undecided(requirement: &Requirement, next: u64, open: &BTreeSet<Position>) -> u64 {
    let open = open.iter().filter(|position| requirement.requires(**position));
    let singles = requirement
        .singles()
        .iter()
        .filter(|position| position.get() >= next);
    let below = requirement.below().get().saturating_sub(next);
    u64::try_from(open.count() + singles.count())
        .unwrap_or(u64::MAX)
        .saturating_add(below)
}
