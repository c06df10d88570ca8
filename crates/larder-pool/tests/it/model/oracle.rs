//! What a pool must hold, as a plain map, fed by what was asked of it and by what it told.

use std::collections::BTreeMap;

/// What happens when an id is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    Replace,
    Reject,
    Update,
    KeepNewest,
}

/// A resident id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Which value it is.
    pub(super) version: u64,
    pub(super) team: u64,
    pub(super) deadline: Option<u64>,
    pub(super) fenced: bool,
    /// Uses in their order.
    pub(super) used: u64,
}

/// What the pool told of one id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Inserted(u64, u64),
    Updated(u64, u64),
    Removed(u64, &'static str),
    Cleared(usize),
}

/// The map, the time, and what is still to be told.
#[derive(Debug)]
pub(super) struct Oracle {
    pub(super) held: BTreeMap<u64, Held>,
    pub(super) now: u64,
    pub(super) capacity: usize,
    pub(super) exact_lru: bool,
    pub(super) hits: u64,
    pub(super) misses: u64,
    uses: u64,
}

impl Oracle {
    pub(super) fn new(capacity: usize, exact_lru: bool) -> Self {
        Self {
            held: BTreeMap::new(),
            now: 0,
            capacity,
            exact_lru,
            hits: 0,
            misses: 0,
            uses: 0,
        }
    }

    pub(super) fn is_live(&self, id: u64) -> bool {
        self.held.get(&id).is_some_and(|held| self.death(held).is_none())
    }

    /// Why an entry is dead.
    fn death(&self, held: &Held) -> Option<&'static str> {
        if held.fenced {
            return Some("invalidated");
        }
        let over = held.deadline.is_some_and(|deadline| deadline <= self.now);
        over.then_some("expired")
    }

    /// The version that a read finds; it counts.
    pub(super) fn get(&mut self, id: u64) -> Option<u64> {
        if !self.is_live(id) {
            self.misses += 1;
            return None;
        }
        self.hits += 1;
        self.note_use(id);
        self.peek(id)
    }

    pub(super) fn peek(&self, id: u64) -> Option<u64> {
        self.is_live(id).then(|| self.held[&id].version)
    }

    fn note_use(&mut self, id: u64) {
        self.uses += 1;
        if let Some(held) = self.held.get_mut(&id) {
            held.used = self.uses;
        }
    }

    /// Stores a value, which the pool said it did. What was told of it is taken off the front of `told`.
    pub(super) fn store(&mut self, id: u64, held: Held, as_update: bool, told: &mut Vec<Told>) {
        let version = held.version;
        let prior = self.held.get(&id).cloned();
        if let Some(reason) = prior.as_ref().and_then(|prior| self.death(prior))
            && !told.contains(&Told::Removed(id, "evicted"))
        {
            self.take_first(told, &Told::Removed(id, reason));
            self.held.remove(&id);
            self.put(id, held);
            // It took the place of the dead one, so nobody had to leave.
            assert_eq!(told.remove(0), Told::Inserted(id, version));
            return;
        }
        if prior.is_none() && self.held.len() == self.capacity {
            self.make_room(told);
        }
        let expected = match prior {
            Some(prior) if as_update => Told::Updated(prior.version, version),
            _ => Told::Inserted(id, version),
        };
        assert!(!told.is_empty(), "{expected:?} was not told");
        assert_eq!(told.remove(0), expected);
        self.put(id, held);
    }

    fn put(&mut self, id: u64, held: Held) {
        self.held.insert(id, held);
        self.note_use(id);
    }

    fn take_first(&mut self, told: &mut Vec<Told>, expected: &Told) {
        assert_eq!(told.first(), Some(expected));
        told.remove(0);
    }

    /// Somebody had to leave: it was told who.
    fn make_room(&mut self, told: &mut Vec<Told>) {
        let Told::Removed(id, reason) = told.remove(0) else {
            panic!("there was no room, and nobody left")
        };
        let expired = |held: &Held| held.deadline.is_some_and(|deadline| deadline <= self.now);
        let left = &self.held[&id];
        match reason {
            "expired" => assert!(expired(left), "{id} had not expired"),
            "evicted" => {
                let others = self.held.values().filter(|held| expired(held)).count();
                assert_eq!(others, 0, "{id} was evicted while expired ones were resident");
                if self.exact_lru {
                    let oldest = self.held.iter().min_by_key(|(_, held)| held.used);
                    assert_eq!(Some(id), oldest.map(|(id, _)| *id), "another was used longer ago");
                }
            }
            other => panic!("{id} left for room because of {other}"),
        }
        self.held.remove(&id);
    }

    /// An id is removed for a reason of the caller's. Whether it was live.
    pub(super) fn remove(&mut self, id: u64, reason: &'static str, told: &mut Vec<Told>) -> bool {
        let Some(held) = self.held.get(&id) else {
            return false;
        };
        let death = self.death(held);
        let expected = Told::Removed(id, death.unwrap_or(reason));
        self.take_first(told, &expected);
        self.held.remove(&id);
        death.is_none()
    }

    /// What was told is that expired ones have left, in any order.
    pub(super) fn expire(&mut self, told: &mut Vec<Told>) -> usize {
        let mut count = 0;
        while let Some(Told::Removed(id, "expired")) = told.first() {
            let held = self.held.remove(id).expect("it was resident");
            assert!(held.deadline.is_some_and(|deadline| deadline <= self.now));
            told.remove(0);
            count += 1;
        }
        count
    }

    /// Everything under a target is ended; it stays until something removes it.
    pub(super) fn fence(&mut self, under: impl Fn(&Held) -> bool) {
        for held in self.held.values_mut().filter(|held| under(held)) {
            held.fenced = true;
        }
    }
}
