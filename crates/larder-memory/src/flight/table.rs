//! Which keys are being loaded, and by which load.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;

use hashbrown::HashTable;
use larder_core::sync::{Arc, AtomicUsize, Mutex, Ordering, fence};

use super::load::{Load, Overtaken};
use super::turn::Turn;
use super::waiter::{Place, Waiter, Waiters};

/// Shards of the table, each with one lock.
const SHARDS: usize = 16;

/// The flights of one part; all clones are one table.
///
/// `K` is the key, `C` what a flight keeps to judge who may join it, `R` what a load brings for a key.
pub struct Flights<K, C, R> {
    shared: Arc<Shared<K, C, R>>,
}

struct Shared<K, C, R> {
    shards: [Mutex<HashTable<Entry<K, C, R>>>; SHARDS],
    count: AtomicUsize,
    limit: usize,
    panicked: fn(&str) -> R,
}

struct Entry<K, C, R> {
    key: Hashed<K>,
    load: Arc<Load<K, C, R>>,
    /// Which of the load's keys it is.
    index: usize,
    overtaken: Overtaken,
}

/// A key and its hash, computed by the caller before any lock.
pub(super) struct Hashed<K> {
    pub(super) hash: u64,
    pub(super) key: Arc<K>,
}

/// What a call for one key is to do.
pub enum Claim<K, C, R> {
    /// Somebody loads it: wait.
    Joined(Waiter<K, C, R>),
    /// It is the caller's turn to look again, and then to load.
    Won(Turn<K, C, R>),
}

/// What a call for several keys is to do.
pub struct Claimed<K, C, R> {
    /// What somebody else loads, load by load: the places of the keys in the call, and who waits for them.
    pub joined: Vec<(Vec<usize>, Waiters<K, C, R>)>,
    /// The caller's turn for the others, if there are any.
    pub turn: Option<Turn<K, C, R>>,
}

/// Flights that were overtaken: kept for nothing but to be dropped where no lock is held.
#[must_use = "it may hold the last of a key, whose drop is foreign code"]
pub struct Overtook<K, C, R> {
    entries: Vec<Entry<K, C, R>>,
}

impl<K, C, R> Overtook<K, C, R> {
    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// As many keys are being loaded as may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlightsFull {
    /// How many may be.
    pub limit: usize,
}

impl<K, C, R> Flights<K, C, R> {
    /// A table for at most `limit` keys at once. `panicked` makes the result of a load that panics with this text
    /// (empty if it had none).
    pub fn new(limit: usize, panicked: fn(&str) -> R) -> Self {
        let shared = Shared {
            shards: std::array::from_fn(|_| Mutex::new(HashTable::new())),
            count: AtomicUsize::new(0),
            limit,
            panicked,
        };
        Flights {
            shared: Arc::new(shared),
        }
    }

    /// Takes these keys of `load` out of the table, where they are still its own.
    pub(super) fn forget(&self, load: &Arc<Load<K, C, R>>, keys: impl IntoIterator<Item = Hashed<K>>) {
        for key in keys {
            let mut shard = self.shard(key.hash).lock();
            let found = shard.find_entry(key.hash, |entry| {
                Arc::ptr_eq(&entry.load, load) && Arc::ptr_eq(&entry.key.key, &key.key)
            });
            let gone = found.ok().map(|found| found.remove().0);
            drop(shard);
            if gone.is_some() {
                self.shared.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// The key with this hash was written: a load of it that has begun must not store what it brings, and nobody who asks
    /// from now on joins it. No key is compared: one of the same hash counts as the same, which costs it its place in
    /// memory and nothing else. O(1) expected.
    ///
    /// Called under the lock under which the load's store step asks [`Overtaken::is_set`], and after whoever looks for the
    /// key in vain can no longer do so: then a load that begins later looks after the write. What it returns is dropped
    /// without a lock.
    pub fn overtake(&self, hash: u64) -> Overtook<K, C, R> {
        let mut entries = Vec::new();
        if !self.is_empty() {
            let mut shard = self.shard(hash).lock();
            while let Ok(found) = shard.find_entry(hash, |entry| entry.key.hash == hash) {
                entries.push(found.remove().0);
            }
        }
        self.overtook(entries)
    }

    /// [`Flights::overtake`] for every key. O(flights).
    pub fn overtake_all(&self) -> Overtook<K, C, R> {
        let mut entries = Vec::new();
        if !self.is_empty() {
            for shard in &self.shared.shards {
                entries.extend(std::mem::take(&mut *shard.lock()));
            }
        }
        self.overtook(entries)
    }

    fn overtook(&self, entries: Vec<Entry<K, C, R>>) -> Overtook<K, C, R> {
        for entry in &entries {
            entry.overtaken.set();
        }
        self.shared.count.fetch_sub(entries.len(), Ordering::Relaxed);
        Overtook { entries }
    }

    /// Whether a key with this hash is being loaded.
    pub fn contains(&self, hash: u64) -> bool {
        let shard = self.shard(hash).lock();
        shard.find(hash, |entry| entry.key.hash == hash).is_some()
    }

    /// How many keys are being loaded.
    pub fn len(&self) -> usize {
        self.shared.count.load(Ordering::Relaxed)
    }

    /// Whether nothing is being loaded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The result of a load that panicked.
    pub(super) fn panicked(&self, panic: &(dyn Any + Send)) -> R {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        (self.shared.panicked)(text.unwrap_or_default())
    }

    fn shard(&self, hash: u64) -> &Mutex<HashTable<Entry<K, C, R>>> {
        // The table itself uses the lowest and the highest bits.
        let [.., byte, _, _] = hash.to_le_bytes();
        &self.shared.shards[usize::from(byte) % SHARDS]
    }
}

impl<K: Eq, C, R> Flights<K, C, R> {
    /// Joins the flight of `key` if there is one that `may_join`, else takes the turn. `may_join` gets what the load has
    /// pinned, or none while it has not: then it begins after whoever asks now. O(1) expected.
    ///
    /// # Errors
    /// [`FlightsFull`].
    pub fn claim(
        &self,
        hash: u64,
        key: Arc<K>,
        may_join: impl FnOnce(Option<&C>) -> bool,
    ) -> Result<Claim<K, C, R>, FlightsFull> {
        let load = Load::new(self.clone());
        match self.claim_into(
            &load,
            Hashed {
                hash,
                key: Arc::clone(&key),
            },
            may_join,
        )? {
            Ok((place, index)) => Ok(Claim::Joined(Waiter::of(place, index))),
            Err(overtaken) => {
                let mut turn = Turn::new(load);
                turn.add(0, key, overtaken);
                Ok(Claim::Won(turn))
            }
        }
    }

    /// [`Flights::claim`] for several keys, which must differ: those that nobody loads become one load. `may_join`
    /// gets the place of the key. O(keys) expected.
    ///
    /// # Errors
    /// [`FlightsFull`]; then no turn is taken and nothing is joined.
    pub fn claim_many(
        &self,
        keys: impl IntoIterator<Item = (u64, Arc<K>)>,
        may_join: impl Fn(usize, Option<&C>) -> bool,
    ) -> Result<Claimed<K, C, R>, FlightsFull> {
        let load = Load::new(self.clone());
        let mut joined = Joined::default();
        // Taken at once, so that it is let go if the table turns out to be full.
        let mut turn = Turn::new(Arc::clone(&load));
        for (place, (hash, key)) in keys.into_iter().enumerate() {
            let hashed = Hashed {
                hash,
                key: Arc::clone(&key),
            };
            match self.claim_into(&load, hashed, |context| may_join(place, context))? {
                Ok((waiting, index)) => joined.add(place, waiting, index),
                Err(overtaken) => turn.add(place, key, overtaken),
            }
        }
        let turn = (!turn.is_empty()).then_some(turn);
        Ok(Claimed {
            joined: joined.by_load,
            turn,
        })
    }

    /// The inner result: a place among those who wait for a load, and which of its keys it is; or what the caller's own will be told.
    #[expect(
        clippy::type_complexity,
        reason = "two outcomes beside an error, all of them local"
    )]
    fn claim_into(
        &self,
        load: &Arc<Load<K, C, R>>,
        key: Hashed<K>,
        may_join: impl FnOnce(Option<&C>) -> bool,
    ) -> Result<Result<(Place<K, C, R>, usize), Overtaken>, FlightsFull> {
        let mut shard = self.shard(key.hash).lock();
        let found = shard.find_mut(key.hash, |entry| entry.key.is(&key));
        if let Some(entry) = found {
            if let Some(waiter) = entry.load.join(entry.index, may_join) {
                return Ok(Ok((Place::taken(Arc::clone(&entry.load), waiter), entry.index)));
            }
            // It lands for those who joined it before; from now on the key is this load's, and writers tell this one alone.
            entry.overtaken.set();
            let old = std::mem::replace(entry, Entry::new(key, load));
            let overtaken = entry.overtaken.clone();
            drop(shard);
            drop(old);
            return Ok(Err(overtaken));
        }
        let before = self.shared.count.fetch_add(1, Ordering::Relaxed);
        // Either a writer that has published now sees the count, or whoever claims sees what was published.
        fence(Ordering::SeqCst);
        if before >= self.shared.limit {
            self.shared.count.fetch_sub(1, Ordering::Relaxed);
            return Err(FlightsFull {
                limit: self.shared.limit,
            });
        }
        let (hash, entry) = (key.hash, Entry::new(key, load));
        let overtaken = entry.overtaken.clone();
        shard.insert_unique(hash, entry, |entry| entry.key.hash);
        Ok(Err(overtaken))
    }
}

/// What a call for several keys has joined.
struct Joined<K, C, R> {
    by_load: Vec<(Vec<usize>, Waiters<K, C, R>)>,
    /// Where in `by_load` a load is.
    known: HashMap<*const Load<K, C, R>, usize>,
}

impl<K, C, R> Joined<K, C, R> {
    fn add(&mut self, place: usize, waiting: Place<K, C, R>, index: usize) {
        let known = self.known.entry(waiting.load()).or_insert(self.by_load.len());
        match self.by_load.get_mut(*known) {
            // One place among those who wait is enough: the new one is given up.
            Some((places, waiters)) => {
                places.push(place);
                waiters.add(index);
            }
            None => self
                .by_load
                .push((vec![place], Waiters::of(waiting, vec![index]))),
        }
    }
}

impl<K, C, R> Default for Joined<K, C, R> {
    fn default() -> Self {
        Joined {
            by_load: Vec::new(),
            known: HashMap::new(),
        }
    }
}

impl<K, C, R> Entry<K, C, R> {
    fn new(key: Hashed<K>, load: &Arc<Load<K, C, R>>) -> Self {
        Entry {
            index: load.add_key(key.clone()),
            load: Arc::clone(load),
            key,
            overtaken: Overtaken::default(),
        }
    }
}

impl<K: Eq> Hashed<K> {
    fn is(&self, other: &Hashed<K>) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.key, &other.key) || self.key == other.key)
    }
}

impl<K> Clone for Hashed<K> {
    fn clone(&self) -> Self {
        Hashed {
            hash: self.hash,
            key: Arc::clone(&self.key),
        }
    }
}

impl<K, C, R> Clone for Flights<K, C, R> {
    fn clone(&self) -> Self {
        Flights {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<K, C, R> fmt::Debug for Overtook<K, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overtook")
            .field("flights", &self.entries.len())
            .finish()
    }
}

impl<K, C, R> fmt::Debug for Flights<K, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights")
            .field("limit", &self.shared.limit)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for FlightsFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} keys are being loaded, which is as many as may be",
            self.limit
        )
    }
}

impl std::error::Error for FlightsFull {}
