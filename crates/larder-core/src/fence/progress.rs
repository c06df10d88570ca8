//! How far a node has applied one source, and which tokens that satisfies. Pure: no lock, no clock.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};

use super::own::OwnCommits;
use crate::as_of::AsOf;
use crate::cursor::Cursor;
use crate::limits::{PUBLISHED_SINGLES_MAX, REACHED_MAX};
use crate::position::{Epoch, Position};
use crate::source::Head;
use crate::target::TargetHash;
use crate::token::Requirement;

/// Whether a token's commits have been applied on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// All of them.
    Yes,
    /// Not yet.
    No,
    /// It cannot be told here, and waiting will not help: the read goes to the origin.
    Unknown,
}

impl Applied {
    /// Both must hold. What cannot be told wins, since then waiting for the other is of no use.
    pub(super) fn and(self, other: Applied) -> Applied {
        match (self, other) {
            (Applied::Unknown, _) | (_, Applied::Unknown) => Applied::Unknown,
            (Applied::No, _) | (_, Applied::No) => Applied::No,
            (Applied::Yes, Applied::Yes) => Applied::Yes,
        }
    }
}

/// The applied part of one source.
#[derive(Debug, Default)]
pub(super) struct Progress {
    epoch: Option<Epoch>,
    former: Vec<Epoch>,
    /// Whether what the former epochs had invalidated is certainly gone here: flushed, or read on from a
    /// cursor that the source carried over.
    crossed: bool,
    cursor: Option<Cursor>,
    /// Single commits above the cursor whose rows were delivered.
    singles: BTreeSet<Position>,
    pub(super) own: OwnCommits,
    /// How often what was not confirmed had to be forgotten: a commit applied before that is not remembered after it.
    forgotten: u64,
    /// Cursors applied lately, oldest first, and points of the source that include them.
    reached: VecDeque<(Cursor, AsOf)>,
    rounds: u64,
    /// The last caught-up round: its number, and the end that it saw.
    caught: Option<(u64, Position)>,
}

impl Progress {
    /// The epoch that counts; `None` before the first, and while a lane changes over to another.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    pub(super) fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// No epoch counts until [`Progress::begin`].
    pub(super) fn leave_epoch(&mut self) {
        self.epoch = None;
    }

    /// Takes up the epoch of `head`. Nothing of another epoch counts any more.
    pub(super) fn begin(&mut self, head: &Head) {
        let epoch = head.cursor.epoch();
        if self.epoch != Some(epoch) {
            self.cursor = None;
            self.singles.clear();
            self.own.clear();
            self.reached.clear();
            self.caught = None;
            self.crossed = false;
            self.epoch = Some(epoch);
        }
        self.former.clone_from(&head.former);
    }

    /// Everything that this follower feeds has been flushed after the epoch was taken up.
    pub(super) fn flushed(&mut self) {
        self.crossed = true;
    }

    /// A commit of this node has been applied here. One of another epoch, or applied before
    /// what is not confirmed was forgotten, is not remembered: the follower will apply it, or flush. Returns the position below which something may have become true.
    pub(super) fn own_commit(
        &mut self,
        epoch: Epoch,
        applied_at: u64,
        position: Position,
        bound: Option<u64>,
        targets: Vec<TargetHash>,
    ) -> Option<Position> {
        if self.epoch != Some(epoch) || self.forgotten != applied_at {
            return None;
        }
        self.own.remember(position, bound, targets);
        Some(self.highest())
    }

    /// Nothing from here on is applied. Whichever commit came last, a token that also names higher ones may be
    /// satisfied by it, and waits are listed by the highest.
    fn highest(&self) -> Position {
        let end = self.cursor.as_ref().map_or(Position::ZERO, Cursor::end);
        let single = self.singles.last().map_or(end, |last| last.next());
        let own = self.own.last().map_or(end, Position::next);
        end.max(single).max(own)
    }

    /// Forgets what a server that has recovered from a crash may contradict: all but the confirmed cursor.
    pub(super) fn forget_unconfirmed(&mut self) {
        self.singles.clear();
        self.own.clear();
        self.forgotten += 1;
    }

    /// Marks when a commit of this node is applied, to be compared when it is remembered.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// `cursor`, and the single commits above it, are applied. An older cursor changes nothing. Returns the
    /// position below which something may have become true, or `None` if this is of another epoch.
    pub(super) fn publish(&mut self, cursor: &Cursor, singles: &[Position]) -> Option<Position> {
        if self.epoch != Some(cursor.epoch()) {
            return None;
        }
        if self.cursor.as_ref().is_none_or(|old| cursor.includes_all(old)) {
            self.cursor = Some(cursor.clone());
        }
        let now = self.cursor.as_ref()?;
        self.singles.extend(singles);
        self.singles.retain(|position| !now.includes(*position));
        while self.singles.len() > PUBLISHED_SINGLES_MAX {
            self.singles.pop_first();
        }
        self.own.forget_included(now);
        Some(self.highest())
    }

    /// A read that showed everything up to `as_of` is applied as far as the published cursor.
    pub(super) fn reached(&mut self, as_of: AsOf) {
        let Some(cursor) = &self.cursor else { return };
        if self.epoch != Some(as_of.epoch()) {
            return;
        }
        if self.reached.len() == REACHED_MAX {
            self.reached.pop_front();
        }
        self.reached.push_back((cursor.clone(), as_of));
    }

    /// Numbers a round that is about to be asked for.
    pub(super) fn begin_round(&mut self) -> u64 {
        self.rounds += 1;
        self.rounds
    }

    /// Round `number` found nothing left, and its cursor has been published. Returns the position from which
    /// on a wait may have been decided: its end, or everything if that carried this node into a new epoch.
    pub(super) fn caught_up(&mut self, number: u64) -> Option<Position> {
        let end = self.cursor.as_ref()?.end();
        let crossed_before = std::mem::replace(&mut self.crossed, true);
        if self.caught.is_none_or(|(last, _)| last < number) {
            self.caught = Some((number, end));
        }
        Some(if crossed_before { end } else { Position::new(0) })
    }

    pub(super) fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Whether what `requirement` asks for has been applied. `waiting_since`: the number of rounds that had
    /// begun when the wait did, if this is asked for a wait.
    pub(super) fn judge(&self, requirement: &Requirement, waiting_since: Option<u64>) -> Applied {
        let Some(epoch) = self.epoch else {
            return Applied::No;
        };
        if requirement.epoch() != epoch {
            return match (self.former.contains(&requirement.epoch()), self.crossed) {
                (false, _) => Applied::Unknown,
                (true, false) => Applied::No,
                (true, true) => Applied::Yes,
            };
        }
        let has = |position| self.singles.contains(&position) || self.own.contains(position);
        // Before the first round nothing is known but the commits of this node.
        let nothing = || Cursor::ordered(requirement.source(), epoch, Position::ZERO, 0);
        let cursor = self
            .cursor
            .as_ref()
            .map_or_else(|| Cow::Owned(nothing()), Cow::Borrowed);
        let satisfied = requirement.is_satisfied_by(&cursor, has);
        if satisfied {
            return Applied::Yes;
        }
        let beyond_end = |(round, end): (u64, Position)| {
            waiting_since.is_some_and(|since| round > since) && requirement.max_position() >= end
        };
        if self.caught.is_some_and(beyond_end) {
            Applied::Unknown
        } else {
            Applied::No
        }
    }

    /// Whether a copy that has come to `as_of` certainly includes what `requirement` asks for.
    pub(super) fn reaches(&self, requirement: &Requirement, as_of: AsOf) -> bool {
        let epoch = self.epoch;
        if epoch != Some(as_of.epoch()) || epoch != Some(requirement.epoch()) {
            return false;
        }
        let settled = |position| {
            self.own
                .bound(position)
                .is_some_and(|bound| bound <= as_of.point())
        };
        let within = self.reached.iter().filter(|(_, at)| at.point() <= as_of.point());
        let mut cursors = within.map(|(cursor, _)| cursor);
        cursors.any(|cursor| requirement.is_satisfied_by(cursor, settled))
    }
}
