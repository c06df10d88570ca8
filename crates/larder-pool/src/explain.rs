//! [`Explanation`]: where a cached value came from, and why it is still believed, or no longer.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use larder_core::{AsOf, Explained, Key, Stamp, Target, ToKey};
use larder_memory::{Residents, SlotId};

use crate::shared::Shared;
use crate::store::{Death, Shard};
use crate::{Entity, Origin, Pool};

/// What a pool knows about one id, found without loading and without a trace.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The id's key; none if it cannot be one.
    pub key: Option<Key>,
    /// What a read would find, or a call that loads.
    pub state: EntryState,
    /// What is resident, if anything is.
    pub resident: Option<ResidentEntry>,
    /// What the fence remembers of each target that an entry of this id depends on, and of their parents.
    pub targets: Vec<Explained>,
    /// Which of them was invalidated last, in this run.
    pub deciding: Option<usize>,
}

/// What a read of an id would find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryState {
    /// Nothing is resident, or nothing that this node believes while it is unsure.
    Absent,
    /// It may be read.
    Live,
    /// Its time to live is over.
    Expired,
    /// Its time to live is over, and calls that load may still be given it.
    Stale,
    /// It was not used for its time to idle.
    Idle,
    /// Something that it depends on was invalidated after it was read.
    Fenced,
    /// Nothing that may be read is resident, and the source is known to have none.
    Negative,
    /// Nothing that may be read is resident, and it is being loaded.
    Loading,
}

/// A resident entry.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResidentEntry {
    /// How the value came in.
    pub origin: Origin,
    /// How long ago.
    pub age: Duration,
    /// How far the copy had come that it was read from, if it was one.
    pub as_of: Option<AsOf>,
    /// Nothing that it depends on was invalidated up to this stamp, when it was stored.
    pub stamp: Stamp,
    /// The sequence of the commit that brought it.
    pub sequence: u64,
    /// How much of its time to live is left: nothing if it is over; `None` if it never is.
    pub time_left: Option<Duration>,
    /// What it is charged, in bytes.
    pub weight_bytes: u64,
    /// Its tags.
    pub tags: Vec<Target>,
}

impl<T: Entity> Pool<T> {
    /// What the pool knows about an id, without loading and without a trace.
    #[must_use]
    pub fn explain<Q>(&self, id: &Q) -> Explanation
    where
        T::Id: Borrow<Q>,
        Q: Hash + Eq + ToKey + ?Sized,
    {
        let pool = &self.shared;
        let hash = pool.hash(id);
        let (_, shard) = pool.shards.read(hash);
        let seen = shard
            .find(hash, id, &pool.visible)
            .map(|slot| pool.look_at(&shard, slot));
        drop(shard);
        let mut explanation = pool.explanation(id.to_key().ok(), seen);
        if !matches!(explanation.state, EntryState::Live | EntryState::Stale) {
            if pool.absence(hash, id).is_some() {
                explanation.state = EntryState::Negative;
            } else if pool.flights.contains(hash) {
                explanation.state = EntryState::Loading;
            }
        }
        explanation
    }

    /// The explanations of up to `count` residents, chosen at random. Each value is asked for its id again; without a key is one
    /// that now says another than when it was stored.
    #[must_use]
    pub fn sample(&self, count: usize) -> Vec<Explanation> {
        let pool = &self.shared;
        let explain = |(hash, value, seen): (u64, Arc<T>, Seen)| {
            // Asked of the value once more, since no code of an id runs under a lock but its comparison. What it says
            // now is its id only if it is where that is kept.
            let id = Some(value.id()).filter(|id| pool.hash(id) == hash);
            pool.explanation(id.and_then(|id| id.to_key().ok()), Some(seen))
        };
        (0..count).filter_map(|_| pool.any()).map(explain).collect()
    }
}

/// What was seen of an entry under its lock.
struct Seen {
    state: EntryState,
    resident: ResidentEntry,
    targets: Box<[Target]>,
}

/// How many places are tried to find an entry at random, and how far each try looks on.
const TRIES: usize = 16;
const PLACES_AHEAD: usize = 64;

impl<T: Entity> Shared<T> {
    fn look_at(&self, shard: &Shard<T>, slot: SlotId) -> Seen {
        let judge = self.judge();
        let entries = &shard.entries;
        let life = entries.life(slot);
        let is_believed = self.believes(&judge).allows(life.stored);
        let lingers = life.ends(self.config.fetch.lingers()) > judge.now();
        let state = match entries.death(slot, &judge) {
            None if is_believed => EntryState::Live,
            // While the node is unsure, what it does not believe reads as absent.
            None => EntryState::Absent,
            Some(Death::Expired) if lingers && is_believed => EntryState::Stale,
            Some(Death::Expired) => EntryState::Expired,
            Some(Death::Idle) => EntryState::Idle,
            Some(Death::Fenced) => EntryState::Fenced,
        };
        let now = judge.now();
        let extra = life.extra.as_deref();
        let targets = extra.map(|extra| extra.targets.clone()).unwrap_or_default();
        let tags = extra.map_or(0, |extra| extra.tags);
        let is_mortal = life.deadline != larder_core::Moment::MAX;
        Seen {
            state,
            resident: ResidentEntry {
                origin: life.origin,
                age: now.since(life.stored),
                as_of: extra.and_then(|extra| extra.as_of),
                stamp: life.started,
                sequence: life.born,
                time_left: is_mortal.then(|| life.deadline.since(now)),
                weight_bytes: entries.charge(slot),
                tags: targets.iter().take(tags).cloned().collect(),
            },
            targets,
        }
    }

    fn explanation(&self, key: Option<Key>, seen: Option<Seen>) -> Explanation {
        let mut targets: Vec<Target> = key.iter().map(|key| self.entity_target(key.clone())).collect();
        targets.push(self.namespace_target());
        let (state, resident) = match seen {
            None => (EntryState::Absent, None),
            Some(seen) => {
                targets.extend(seen.targets);
                (seen.state, Some(seen.resident))
            }
        };
        let explained = self.fence.explain(&targets);
        Explanation {
            key,
            state,
            resident,
            targets: explained.targets,
            deciding: explained.deciding,
        }
    }

    /// Some resident, each about as likely as any other.
    fn any(&self) -> Option<(u64, Arc<T>, Seen)> {
        for _ in 0..TRIES {
            let random = self.random();
            let index = usize::try_from(random >> 32).unwrap_or(0) % self.shards.used();
            let shard = self.shards.cell(index).read();
            let places = shard.entries.places();
            if places == 0 {
                continue;
            }
            let first = usize::try_from(random & u64::from(u32::MAX)).unwrap_or(0) % places;
            let ahead = (first..places.min(first + PLACES_AHEAD)).filter_map(SlotId::of_index);
            let found = ahead.into_iter().find(|slot| shard.entries.has(*slot));
            if let Some(slot) = found {
                let seen = self.look_at(&shard, slot);
                let value = Arc::clone(shard.entries.value(slot));
                return Some((shard.entries.hash(slot), value, seen));
            }
        }
        None
    }
}
