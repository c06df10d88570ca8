//! [`MemoryStore`]: a log in memory, for tests, for demos, and to see how a source is made.
//!
//! It behaves like either kind of database. *Ordered*, as SQLite: a commit gets its position when it commits. *Unordered*, as
//! Postgres: a transaction gets its position when it begins, and becomes visible when it commits, so that a lower position
//! may come after a higher one.
//!
//! What is always true: its lock is held for no foreign code; a panic of a caller leaves it as usable as before.

mod groups;
mod nodes;
mod store;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use larder_core::sync::Mutex;
use larder_core::{
    AsOf, Batch, BoxFuture, Clock, Cursor, Delivered, Entropy, Epoch, Head, Invalidation, Invalidations,
    Namespace, Position, Source, SourceError, SourceId, Target, Timestamp, Token, WidenedRows,
};

use self::groups::Taken;
use crate::RowId;

use crate::hints::Hints;

const PART_BITS: u32 = 32;

/// A log in memory. Clones are the same one.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

/// When a commit gets its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOrder {
    /// When it commits: positions are in the order of commits, as in SQLite.
    Ordered,
    /// When it begins: a lower position may become visible after a higher one, as in Postgres.
    Unordered,
}

/// An open transaction of a [`MemoryStore`]. Dropped, it is rolled back.
#[must_use = "it is rolled back when it is dropped"]
pub struct MemoryTx {
    store: MemoryStore,
    /// What it was given when it began; none where that comes with the commit.
    position: Option<Position>,
    batches: Vec<Recorded>,
}

struct Shared {
    id: SourceId,
    order: CommitOrder,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    hints: Hints,
    completions: Hints,
    state: Mutex<State>,
}

struct State {
    epoch: Epoch,
    former: Vec<Epoch>,
    /// The next position to be given out.
    next: u64,
    open: BTreeSet<Position>,
    log: BTreeMap<Position, Vec<Row>>,
    /// Rows below it may have been purged.
    floor: Position,
    /// What groups have yet to do.
    groups: BTreeMap<String, Taken>,
    /// Who follows it.
    nodes: nodes::Known,
    /// How many commits there were: what a copy has come to.
    commits: u64,
    is_gone: bool,
}

/// A row of the log.
#[derive(Clone)]
struct Row {
    invalidation: Invalidation,
    namespace: Namespace,
    is_readable: bool,
}

/// What was recorded in a transaction that is open.
enum Recorded {
    Batch(Invalidations),
    Unreadable,
}

/// What a source says that does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the store is gone")]
struct Gone;

impl MemoryStore {
    /// An empty log, of a source of its own.
    pub fn new(order: CommitOrder, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let state = State {
            epoch: Epoch::new(entropy.next_u64()),
            former: Vec::new(),
            next: 1,
            open: BTreeSet::new(),
            log: BTreeMap::new(),
            floor: Position::new(1),
            groups: BTreeMap::new(),
            nodes: BTreeMap::new(),
            commits: 0,
            is_gone: false,
        };
        let shared = Shared {
            id: SourceId::new(entropy.next_u64()),
            order,
            clock,
            entropy,
            hints: Hints::default(),
            completions: Hints::default(),
            state: Mutex::new(state),
        };
        MemoryStore {
            shared: Arc::new(shared),
        }
    }

    /// Begins a transaction.
    pub fn begin(&self) -> MemoryTx {
        let position = match self.shared.order {
            CommitOrder::Ordered => None,
            CommitOrder::Unordered => {
                let mut state = self.shared.state.lock();
                let position = state.give_out();
                state.open.insert(position);
                Some(position)
            }
        };
        MemoryTx {
            store: self.clone(),
            position,
            batches: Vec::new(),
        }
    }

    /// Records a batch in a transaction of its own.
    pub fn record_alone(&self, batch: &Invalidations) -> Token {
        let mut transaction = self.begin();
        transaction.record(batch);
        transaction.commit()
    }

    /// Removes the rows below a position: whoever has not read them is told so. Not beyond a transaction that is open, whose
    /// rows are yet to come.
    pub fn purge_below(&self, position: Position) {
        let mut state = self.shared.state.lock();
        let oldest = state.open.first().copied().unwrap_or(position);
        let position = position.min(oldest);
        state.floor = state.floor.max(position);
        let kept = state.log.split_off(&position);
        let purged = std::mem::replace(&mut state.log, kept);
        drop(state);
        drop(purged);
    }

    /// Begins a new epoch: the log is emptied, and transactions that are open record nothing.
    pub fn new_epoch(&self) {
        let epoch = Epoch::new(self.shared.entropy.next_u64());
        let mut state = self.shared.state.lock();
        let former = std::mem::replace(&mut state.epoch, epoch);
        state.former.push(former);
        state.open.clear();
        state.floor = Position::new(state.next);
        let emptied = std::mem::take(&mut state.log);
        drop(state);
        drop(emptied);
    }

    /// All that it holds now, as a copy of a database's file.
    #[must_use]
    pub fn copy(&self) -> MemoryCopy {
        let state = self.shared.state.lock();
        MemoryCopy {
            next: state.next,
            commits: state.commits,
            groups: state.groups.clone(),
            rows: state.log.values().map(Vec::len).sum(),
        }
    }

    /// Puts it back to an older copy of itself, as a database is restored: what was committed since is undone, groups owe what they owed then, positions are
    /// given out again, and a new epoch begins. Transactions that are open record nothing.
    pub fn restore(&self, copy: &MemoryCopy) {
        self.new_epoch();
        let mut state = self.shared.state.lock();
        state.next = copy.next;
        state.floor = Position::new(copy.next);
        state.commits = copy.commits;
        let undone = std::mem::replace(&mut state.groups, copy.groups.clone());
        drop(state);
        drop(undone);
    }

    /// Whether it answers whoever reads; as a database that is gone, or a standby.
    pub fn set_gone(&self, gone: IsGone) {
        self.shared.state.lock().is_gone = gone == IsGone::Yes;
    }

    /// All rows that are there, in the order of their positions.
    #[must_use]
    pub fn rows(&self) -> Vec<Invalidation> {
        let state = self.shared.state.lock();
        let rows = state.log.values().flatten();
        rows.map(|row| row.invalidation.clone()).collect()
    }

    /// The row of this id; none if it is not there, or of another epoch.
    #[must_use]
    pub fn row(&self, id: RowId) -> Option<Invalidation> {
        let state = self.shared.state.lock();
        let of_commit = state
            .log
            .get(&id.position())
            .filter(|_| id.epoch() == state.epoch)?;
        let row = of_commit.get(usize::try_from(id.ordinal()).ok()?)?;
        Some(row.invalidation.clone())
    }

    /// The log as a source.
    #[must_use]
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.clone())
    }
}

/// What a [`MemoryStore`] held once.
#[derive(Clone)]
pub struct MemoryCopy {
    next: u64,
    commits: u64,
    groups: BTreeMap<String, Taken>,
    rows: usize,
}

impl fmt::Debug for MemoryCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCopy")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// Whether a store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsGone {
    /// It does.
    No,
    /// It does not.
    Yes,
}

impl MemoryTx {
    /// Records a batch: targets that this transaction has recorded before count once.
    pub fn record(&mut self, batch: &Invalidations) {
        if !batch.is_empty() {
            self.batches.push(Recorded::Batch(batch.clone()));
        }
    }

    /// Records a row of a kind that nobody knows, as another program could: a follower is told that everything has ended, for a
    /// group it is a dead letter.
    pub fn record_unreadable(&mut self) {
        self.batches.push(Recorded::Unreadable);
    }

    /// Commits, and says what a read must not be older than to see it.
    pub fn commit(mut self) -> Token {
        let batches = std::mem::take(&mut self.batches);
        let store = self.store.clone();
        let now = store.shared.clock.wall();
        let mut state = store.shared.state.lock();
        // Where an epoch has begun since, it is not open any more.
        let is_lost = self
            .position
            .is_some_and(|position| !state.open.remove(&position));
        if batches.is_empty() || is_lost {
            return Token::default();
        }
        let position = self.position.take().unwrap_or_else(|| state.give_out());
        let rows = rows(&batches, position, now);
        let epoch = state.epoch;
        for group in state.groups.values_mut() {
            group.take_in(epoch, &rows);
        }
        state.log.insert(position, rows);
        state.commits += 1;
        let token = Token::commit(store.shared.id, state.epoch, position);
        drop(state);
        store.shared.hints.give();
        token
    }
}

/// What a commit records: a target counts once.
fn rows(batches: &[Recorded], position: Position, now: Timestamp) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut seen = HashSet::new();
    for recorded in batches {
        let Recorded::Batch(batch) = recorded else {
            rows.push(Row {
                invalidation: Invalidation::new(Target::Everything, position, now),
                namespace: Namespace::default(),
                is_readable: false,
            });
            continue;
        };
        for target in batch
            .targets()
            .iter()
            .filter(|target| seen.insert((*target).clone()))
        {
            let row = Invalidation::new(target.clone(), position, now);
            rows.push(Row {
                invalidation: row.with_reason(batch.reason()),
                namespace: batch.namespace().clone(),
                is_readable: true,
            });
        }
    }
    rows
}

impl Drop for MemoryTx {
    fn drop(&mut self) {
        if let Some(position) = self.position {
            self.store.shared.state.lock().open.remove(&position);
        }
    }
}

impl State {
    fn give_out(&mut self) -> Position {
        let position = Position::new(self.next);
        self.next += 1;
        position
    }

    /// The cursor of everything that is visible below `end`.
    fn cursor(&self, source: SourceId, end: Position) -> Cursor {
        let open: Vec<Position> = self.open.range(..end).copied().collect();
        let horizon = open.first().copied().unwrap_or(end);
        let cursor = Cursor::snapshot(source, self.epoch, horizon, end, open, 0);
        cursor.expect("invariant: what is open below the end ascends from the horizon on")
    }

    fn read(&self, source: SourceId, cursor: &Cursor, limit: usize, now: Timestamp) -> Delivered {
        if cursor.source() != source || cursor.epoch() != self.epoch {
            return Delivered::OtherEpoch;
        }
        if cursor.horizon() < self.floor {
            return Delivered::Purged;
        }
        let missing = self.log.range(cursor.horizon()..);
        let missing = missing.filter(|(position, _)| !cursor.includes(**position));
        let (limit, mut rows) = (limit.max(1), Vec::new());
        let mut delivered: BTreeSet<Position> = BTreeSet::new();
        let (mut part, mut caught_up, mut widened) = (None, true, WidenedRows::default());
        for (position, of_commit) in missing {
            if rows.len() == limit {
                caught_up = false;
                break;
            }
            let skipped = part_of(cursor, *position).min(of_commit.len());
            let taken = (limit - rows.len()).min(of_commit.len() - skipped);
            for row in &of_commit[skipped..skipped + taken] {
                rows.push(row.invalidation.clone());
                widened.to_everything += usize::from(!row.is_readable);
            }
            if skipped + taken < of_commit.len() {
                part = Some((*position, skipped + taken));
                caught_up = false;
                break;
            }
            delivered.insert(*position);
        }
        let cursor = if caught_up {
            self.cursor(source, Position::new(self.next))
        } else {
            self.cursor_after(cursor, &delivered, part)
        };
        let as_of = AsOf::new(source, self.epoch, self.commits);
        Delivered::Rows(
            Batch::new(rows, cursor, as_of, caught_up)
                .with_widened(widened)
                .with_read_at(now)
                .with_head(Position::new(self.next.saturating_sub(1))),
        )
    }

    /// The old cursor with these commits, which were the first that it lacked, and with a part of the next one.
    fn cursor_after(
        &self,
        old: &Cursor,
        delivered: &BTreeSet<Position>,
        part: Option<(Position, usize)>,
    ) -> Cursor {
        let after = delivered
            .last()
            .map_or(old.end(), |last| Position::new(last.get() + 1));
        let end = old.end().max(after);
        let lacks = |position: &Position| self.open.contains(position) || self.log.contains_key(position);
        let before = old.open().iter().copied().filter(lacks);
        let since = self.open.range(old.end().min(end)..end).copied();
        let open: BTreeSet<Position> = before.chain(since).filter(|at| !delivered.contains(at)).collect();
        let horizon = open.first().copied().unwrap_or(end);
        let cursor = Cursor::snapshot(old.source(), self.epoch, horizon, end, open, check(part));
        cursor.expect("invariant: what is lacking lies between the first of it and the end")
    }
}

/// What the check value of a cursor says: how many rows of which commit have been delivered. A lower position may become
/// visible before the rest of it is read, so it must be named.
fn check(part: Option<(Position, usize)>) -> u64 {
    part.map_or(0, |(position, rows)| {
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        (rows << PART_BITS) | (position.get() & u64::from(u32::MAX))
    })
}

/// How many rows of a commit a cursor has behind it.
fn part_of(cursor: &Cursor, position: Position) -> usize {
    let is_its = cursor.check() & u64::from(u32::MAX) == position.get() & u64::from(u32::MAX);
    let rows = if is_its { cursor.check() >> PART_BITS } else { 0 };
    usize::try_from(rows).unwrap_or(usize::MAX)
}

impl Source for MemoryStore {
    fn id(&self) -> SourceId {
        self.shared.id
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, SourceError>> {
        let state = self.shared.state.lock();
        let head = if state.is_gone {
            Err(SourceError::new(self.shared.id, Gone))
        } else {
            let cursor = state.cursor(self.shared.id, Position::new(state.next));
            let as_of = AsOf::new(self.shared.id, state.epoch, state.commits);
            Ok(Head::new(cursor, state.former.clone(), as_of))
        };
        drop(state);
        Box::pin(std::future::ready(head))
    }

    fn read<'a>(&'a self, cursor: &'a Cursor, limit: usize) -> BoxFuture<'a, Result<Delivered, SourceError>> {
        let now = self.shared.clock.wall();
        let state = self.shared.state.lock();
        let delivered = if state.is_gone {
            Err(SourceError::new(self.shared.id, Gone))
        } else {
            Ok(state.read(self.shared.id, cursor, limit, now))
        };
        drop(state);
        Box::pin(std::future::ready(delivered))
    }

    fn hinted(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.hints.next())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: usize = self.shared.state.lock().log.values().map(Vec::len).sum();
        f.debug_struct("MemoryStore")
            .field("rows", &rows)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTx")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
