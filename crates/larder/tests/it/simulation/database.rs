//! The database of a run: rows with all that they have ever been, so that any moment of it can be read, and what a value read tells of its age.
//!
//! It is a plain map, written from what a database is. It knows nothing of what is cached.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use larder::outbox::MemoryTx;
use larder::{AsOf, Epoch, Invalidations, SourceId, Token};

/// How many ids rows have, and how many groups they are in.
pub const ROWS: u64 = 10;
pub const GROUPS: u64 = 3;

/// What is stored: rows; and pages, each of which is what the rows of a group are together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Row(u64),
    Page(u64),
}

/// Every key there is.
pub fn keys() -> impl Iterator<Item = Key> {
    (0..ROWS).map(Key::Row).chain((0..GROUPS).map(Key::Page))
}

/// The group of a row.
pub fn group(id: u64) -> u64 {
    id % GROUPS
}

/// What a key became with a commit: a version, or nothing.
#[derive(Clone, Copy, Debug)]
struct Change {
    commit: u64,
    version: Option<u64>,
}

/// A commit: what a read must carry to see it, when it was, and what it has changed.
#[derive(Clone, Debug)]
pub struct Commit {
    pub number: u64,
    pub at: Duration,
    pub token: Token,
    pub epoch: Epoch,
    pub keys: BTreeSet<Key>,
}

/// All that the database is and was. The first commit has the number one; before it is the state at number zero.
pub struct Database {
    source: SourceId,
    history: BTreeMap<Key, Vec<Change>>,
    pub commits: Vec<Commit>,
    versions: u64,
}

/// A transaction that is open.
pub struct Open {
    log: MemoryTx,
    /// Rows, and whether they will be there.
    changes: BTreeMap<u64, bool>,
}

impl Open {
    pub fn new(log: MemoryTx) -> Self {
        Open {
            log,
            changes: BTreeMap::new(),
        }
    }

    pub fn has(&self, id: u64) -> bool {
        self.changes.contains_key(&id)
    }

    /// Changes a row, and records it so; as something that nobody can read without a batch.
    pub fn change(&mut self, id: u64, exists: bool, recorded: Option<&Invalidations>) {
        self.changes.insert(id, exists);
        match recorded {
            Some(batch) => self.log.record(batch),
            None => self.log.record_unreadable(),
        }
    }
}

impl Database {
    /// Every third row is missing at first.
    pub fn new(source: SourceId) -> Self {
        let mut database = Database {
            source,
            history: BTreeMap::new(),
            commits: Vec::new(),
            versions: 0,
        };
        for key in keys() {
            let is_missing = matches!(key, Key::Row(id) if id % 4 == 3);
            database.versions += 1;
            let version = (!is_missing).then_some(database.versions);
            database.history.insert(key, vec![Change { commit: 0, version }]);
        }
        database
    }

    /// The number of the last commit.
    pub fn number(&self) -> u64 {
        self.commits.last().map_or(0, |commit| commit.number)
    }

    /// Rows that are locked by a transaction are changed by no other: so the later commit has the later version.
    pub fn commit(&mut self, open: Open, epoch: Epoch, at: Duration) -> Option<Commit> {
        let Open { log, changes } = open;
        let token = log.commit();
        if changes.is_empty() {
            return None;
        }
        let number = self.number() + 1;
        let mut keys = BTreeSet::new();
        for (id, exists) in changes {
            self.set(Key::Row(id), number, exists);
            keys.insert(Key::Row(id));
            if keys.insert(Key::Page(group(id))) {
                self.set(Key::Page(group(id)), number, true);
            }
        }
        let commit = Commit {
            number,
            at,
            token,
            epoch,
            keys,
        };
        self.commits.push(commit.clone());
        Some(commit)
    }

    fn set(&mut self, key: Key, commit: u64, exists: bool) {
        self.versions += 1;
        let version = exists.then_some(self.versions);
        let history = self.history.entry(key).or_default();
        history.push(Change { commit, version });
    }

    /// What a key was when commit `number` was the last.
    pub fn then(&self, key: Key, number: u64) -> Option<u64> {
        let history = self.history[&key].iter().rev();
        let mut until = history.skip_while(|change| change.commit > number);
        until.next().and_then(|change| change.version)
    }

    /// What a key is now.
    pub fn now(&self, key: Key) -> Option<u64> {
        self.then(key, u64::MAX)
    }

    /// The number of the last commit that left a key as this: the last one there is, if it is so now. `None` if it never was.
    pub fn last_as(&self, key: Key, value: Option<u64>) -> Option<u64> {
        let history = &self.history[&key];
        let at = history.iter().rposition(|change| change.version == value)?;
        let ended = history.get(at + 1).map(|next| next.commit - 1);
        Some(ended.unwrap_or_else(|| self.number()))
    }

    /// The number of the last commit before a moment.
    pub fn number_before(&self, moment: Duration) -> u64 {
        let before = self.commits.iter().rev().find(|commit| commit.at < moment);
        before.map_or(0, |commit| commit.number)
    }

    /// The commits that have changed a key, the last first.
    pub fn of(&self, key: Key) -> impl Iterator<Item = &Commit> {
        let commits = self.commits.iter().rev();
        commits.filter(move |commit| commit.keys.contains(&key))
    }

    /// What a copy says of itself that has come to commit `number`.
    pub fn as_of(&self, number: u64, epoch_now: Epoch) -> AsOf {
        let commit = self.commits.iter().find(|commit| commit.number == number);
        let epoch = commit.map_or(epoch_now, |commit| commit.epoch);
        AsOf::new(self.source, epoch, number)
    }
}
