//! A pool and its oracle, side by side, and what is done to both.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder_core::{Cause, Fence, Target};
use larder_pool::{
    Capacity, Changed, Entity, Event, Events, Eviction, InsertError, InsertOptions, OnConflict, Pool, Reason,
    TagSet, Watermarked,
};
use larder_testkit::{Random, SimClock, SimEntropy};

use super::oracle::{Conflict, Held, Oracle, Told};

pub(super) struct Row {
    id: u64,
    version: u64,
    team: u64,
}

impl Entity for Row {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "row"
    }

    fn id(&self) -> u64 {
        self.id
    }

    fn tags(&self, out: &mut TagSet) {
        if self.team > 0 {
            out.insert_value("team", &self.team);
        }
    }
}

impl Watermarked for Row {
    type Watermark = u64;

    fn watermark(&self) -> u64 {
        self.version % 1_000
    }
}

type Heard = Arc<Mutex<Vec<(u64, Told)>>>;

pub(super) struct World {
    random: Random,
    clock: SimClock,
    fence: Fence,
    pool: Pool<Row>,
    oracle: Oracle,
    conflict: Conflict,
    ids: u64,
    next_version: u64,
    events: Events<Row>,
    heard: Heard,
    sequence: u64,
}

impl World {
    pub(super) fn small(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let capacity = 1 + random.below(12);
        let ids = 1 + random.below(capacity + 8);
        Self::new(random, capacity, ids, true)
    }

    pub(super) fn large(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let capacity = 65 + random.below(200);
        Self::new(random, capacity, 600, false)
    }

    fn new(mut random: Random, capacity: u64, ids: u64, exact_lru: bool) -> Self {
        let (clock, heard) = (SimClock::new(), Heard::default());
        let fence = Fence::builder().clock(Arc::new(clock.clone())).build().unwrap();
        let eviction = Eviction::ALL[random.index(4)];
        let (conflict, rule) = match random.below(4) {
            0 => (Conflict::Replace, OnConflict::Replace),
            1 => (Conflict::Reject, OnConflict::Reject),
            2 => (Conflict::Update, OnConflict::Update),
            _ => (Conflict::KeepNewest, OnConflict::keep_newest()),
        };
        let listener = {
            let heard = Arc::clone(&heard);
            move |change: &Changed<'_, Row>| {
                let told = match (change.old, change.new, change.reason) {
                    (_, Some(new), None) => Told::Inserted(new.id, new.version),
                    (Some(old), None, Some(reason)) => Told::Removed(old.id, reason.as_str()),
                    _ => panic!("a change of nothing"),
                };
                heard.lock().unwrap().push((change.sequence, told));
            }
        };
        let pool = Pool::<Row>::builder()
            .capacity_entries(capacity)
            .eviction(eviction)
            .on_conflict(rule)
            .fence(fence.clone())
            .clock(Arc::new(clock.clone()))
            .entropy(Arc::new(SimEntropy::seeded(random.next_u64())))
            .event_capacity(4_096)
            .listener(listener)
            .build()
            .unwrap();
        let events = pool.events();
        Self {
            oracle: Oracle::new(
                usize::try_from(capacity).unwrap(),
                exact_lru || eviction == Eviction::Lru,
            ),
            random,
            clock,
            fence,
            pool,
            conflict,
            ids,
            next_version: 1,
            events,
            heard,
            sequence: 0,
        }
    }

    pub(super) fn run(&mut self, steps: usize) {
        let mut mirror = std::collections::BTreeMap::new();
        for _ in 0..steps {
            self.step();
            self.check(&mut mirror);
        }
    }

    fn step(&mut self) {
        let id = self.random.below(self.ids);
        match self.random.below(24) {
            0..8 => self.insert(id),
            8..13 => assert_eq!(self.pool.get(&id).map(|row| row.version), self.oracle.get(id)),
            13 => self.remove(id),
            14 => self.clock_forward(),
            15 => self.invalidate_entity(id),
            16 => self.invalidate_team(),
            17 => self.update(id),
            18 => self.batch(),
            19 => self.retain(),
            20 => self.sweep(),
            21 => self.clear_or_flush(),
            22 => self.replace_if_same(id),
            _ => self.resize(),
        }
    }

    fn row(&mut self, id: u64) -> Row {
        let version = self.next_version;
        self.next_version += 1;
        let team = self.random.below(4);
        Row { id, version, team }
    }

    fn held(&self, row: &Row, time_to_live: Option<u64>) -> Held {
        Held {
            version: row.version,
            team: row.team,
            deadline: time_to_live.map(|time| self.oracle.now + time),
            fenced: false,
            used: 0,
        }
    }

    fn insert(&mut self, id: u64) {
        let mut row = self.row(id);
        // Watermarks repeat and go back, so that older values come too.
        row.version += 1_000 * self.random.below(1_000);
        let time_to_live = [None, Some(1), Some(20), Some(500)][self.random.index(4)];
        let held = self.held(&row, time_to_live);
        let mut options = InsertOptions::new();
        if let Some(time) = time_to_live {
            options = options.time_to_live(Duration::from_millis(time));
        }
        let live = self.oracle.peek(id);
        let row = Arc::new(row);
        let stored = self.pool.insert_with(Arc::clone(&row), options);
        let mut told = self.told();
        match (self.conflict, live) {
            (Conflict::Reject, Some(version)) => {
                let Err(InsertError::Conflict { resident, .. }) = stored else {
                    panic!("a live entry was overwritten")
                };
                assert_eq!(resident.version, version);
            }
            (Conflict::KeepNewest, Some(version)) if row.version % 1_000 < version % 1_000 => {
                assert_eq!(stored.unwrap().version, version, "an older value was stored");
            }
            (conflict, _) => {
                assert!(Arc::ptr_eq(&stored.unwrap(), &row), "it is stored as it is");
                let as_update = conflict != Conflict::Replace;
                self.oracle.store(id, held, as_update, &mut told);
            }
        }
        assert_eq!(told, [], "more was told than happened");
    }

    fn remove(&mut self, id: u64) {
        let (reason, word) = [
            (Reason::Manual, "manual"),
            (Reason::Saved, "saved"),
            (Reason::Deleted, "deleted"),
        ][self.random.index(3)];
        let was_live = self.pool.invalidate(&id, reason);
        let mut told = self.told();
        assert_eq!(was_live, self.oracle.remove(id, word, &mut told));
        assert_eq!(told, []);
    }

    fn clock_forward(&mut self) {
        let by = [1, 5, 20, 300][self.random.index(4)];
        self.clock.advance(Duration::from_millis(by));
        self.oracle.now += by;
    }

    fn invalidate_entity(&mut self, id: u64) {
        let target = Target::entity("row", id).unwrap();
        self.fence.invalidate(&target, by_hand());
        let mut told = self.told();
        self.oracle.remove(id, "invalidated", &mut told);
        assert_eq!(told, []);
    }

    fn invalidate_team(&mut self) {
        let team = 1 + self.random.below(3);
        let target = Target::tag("default", format!("team:{team}")).unwrap();
        self.oracle.fence(|held| held.team == team);
        if self.random.chance(500) {
            self.fence.invalidate(&target, by_hand());
            return;
        }
        let tag = larder_pool::Tag::new(format!("team:{team}")).unwrap();
        let count = self.pool.invalidate_tag(&tag);
        let mut told = self.told();
        let gone: Vec<u64> = told
            .iter()
            .map(|told| match told {
                Told::Removed(id, _) => *id,
                other => panic!("{other:?} of a tag"),
            })
            .collect();
        assert_eq!(gone.len(), count);
        for id in gone {
            let held = self.oracle.held.remove(&id).unwrap();
            assert_eq!(held.team, team);
            told.remove(0);
        }
        assert!(
            self.oracle.held.values().all(|held| held.team != team),
            "one stayed"
        );
    }

    fn update(&mut self, id: u64) {
        let version = self.next_version;
        self.next_version += 1;
        let updated = self.pool.update(&id, |row| Row { version, ..*row });
        let updated = updated.unwrap();
        let mut told = self.told();
        assert_eq!(updated.is_some(), self.oracle.is_live(id));
        if let Some(row) = updated {
            let held = self.held(&row, None);
            self.oracle.store(id, held, true, &mut told);
        }
        assert_eq!(told, []);
    }

    fn replace_if_same(&mut self, id: u64) {
        let Some(seen) = self.pool.peek(&id) else { return };
        let stranger = Arc::new(self.row(id));
        let refused = self.pool.replace_if_same(&stranger, self_row(id));
        assert!(matches!(
            refused,
            Err(InsertError::Moved {
                resident: Some(_),
                ..
            })
        ));
        let row = self.row(id);
        let held = self.held(&row, None);
        self.pool.replace_if_same(&seen, row).unwrap();
        let mut told = self.told();
        self.oracle.store(id, held, true, &mut told);
        assert_eq!(told, []);
    }

    /// A batch of one insert and one removal, each all or nothing.
    fn batch(&mut self) {
        let (one, two) = (self.random.below(self.ids), self.random.below(self.ids));
        if one == two || self.oracle.held.len() == self.oracle.capacity {
            return;
        }
        let row = self.row(one);
        let held = self.held(&row, None);
        let batch = self.pool.batch().insert(row).remove(&two);
        let live = self.oracle.peek(one);
        let committed = batch.commit();
        let mut told = self.told();
        match (self.conflict, live) {
            (Conflict::Reject, Some(_)) => {
                assert!(committed.is_err(), "a live entry was overwritten");
            }
            (Conflict::KeepNewest, Some(version)) if held.version % 1_000 < version % 1_000 => {
                committed.unwrap();
                self.oracle.remove(two, "manual", &mut told);
            }
            (conflict, live) => {
                let stats = committed.unwrap();
                let was_live = self.oracle.is_live(two);
                assert_eq!(stats.removed, usize::from(was_live));
                let as_update = conflict != Conflict::Replace && live.is_some();
                assert_eq!(
                    (stats.inserted, stats.updated),
                    (usize::from(!as_update), usize::from(as_update))
                );
                // Removals come first, whichever id they are of.
                let is_of_two = |told: &Told| matches!(told, Told::Removed(id, _) if *id == two);
                if let Some(at) = told.iter().position(is_of_two) {
                    let removal = told.remove(at);
                    told.insert(0, removal);
                }
                self.oracle.remove(two, "manual", &mut told);
                self.oracle.store(one, held, as_update, &mut told);
            }
        }
        assert_eq!(told, []);
    }

    fn retain(&mut self) {
        let odd = self.random.below(3);
        let count = self.pool.retain(|row| row.version % 3 != odd);
        let mut told = self.told();
        let gone: Vec<u64> = self
            .oracle
            .held
            .iter()
            .filter(|(id, held)| self.oracle.is_live(**id) && held.version % 3 == odd)
            .map(|(id, _)| *id)
            .collect();
        assert_eq!(count, gone.len());
        for id in gone {
            let at = told.iter().position(|told| *told == Told::Removed(id, "manual"));
            told.remove(at.expect("it was told"));
            self.oracle.held.remove(&id);
        }
        assert_eq!(told, []);
    }

    fn sweep(&mut self) {
        let report = self.pool.sweep(usize::MAX);
        let mut told = self.told();
        assert_eq!(report.removed, self.oracle.expire(&mut told));
        assert_eq!(told, []);
        let expired = |held: &Held| held.deadline.is_some_and(|deadline| deadline <= self.oracle.now);
        assert!(
            !self.oracle.held.values().any(expired),
            "one that has expired stayed"
        );
    }

    fn clear_or_flush(&mut self) {
        if self.random.chance(700) {
            let target =
                [Target::collection("row").unwrap(), Target::Everything][self.random.index(2)].clone();
            self.fence.invalidate(&target, by_hand());
            self.oracle.fence(|_| true);
            return;
        }
        let count = self.pool.clear(Reason::Manual);
        assert_eq!(count, self.oracle.held.len());
        let told = self.told();
        let expected: Vec<Told> = (count > 0).then_some(Told::Cleared(count)).into_iter().collect();
        assert_eq!(told, expected);
        self.oracle.held.clear();
    }

    fn resize(&mut self) {
        if !self.random.chance(100) || !self.oracle.exact_lru || self.oracle.capacity > 64 {
            return;
        }
        let capacity = 1 + self.random.below(12);
        self.pool.set_capacity(Capacity::of_entries(capacity)).unwrap();
        self.oracle.capacity = usize::try_from(capacity).unwrap();
        for told in self.told() {
            let Told::Removed(id, reason) = told else {
                panic!("{told:?}")
            };
            let held = self.oracle.held.remove(&id).unwrap();
            let expired = held.deadline.is_some_and(|deadline| deadline <= self.oracle.now);
            assert_eq!(reason, if expired { "expired" } else { "evicted" });
            let older = self.oracle.held.values().filter(|other| other.used < held.used);
            assert!(expired || older.count() == 0, "another was used longer ago");
        }
        assert!(self.oracle.held.len() <= self.oracle.capacity);
    }

    /// All events since the last time, which a listener has heard too.
    fn told(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            assert!(
                event.sequence() >= self.sequence,
                "events are in the order of commits"
            );
            self.sequence = event.sequence();
            told.push(match event {
                Event::Inserted { value, .. } => Told::Inserted(value.id, value.version),
                Event::Updated { old, new, .. } => Told::Updated(old.version, new.version),
                Event::Removed { id, reason, .. } => Told::Removed(id, reason.as_str()),
                Event::Cleared { count, .. } => Told::Cleared(count),
                other => panic!("{other:?}"),
            });
        }
        told
    }

    /// Reads, sizes and counters agree, and the listener's mirror is what is resident.
    fn check(&mut self, mirror: &mut std::collections::BTreeMap<u64, u64>) {
        assert_eq!(self.told(), [], "a step left something untold");
        for (_, told) in self.heard.lock().unwrap().drain(..) {
            match told {
                Told::Inserted(id, version) => drop(mirror.insert(id, version)),
                Told::Removed(id, _) => assert!(mirror.remove(&id).is_some(), "{id} left twice"),
                other => panic!("{other:?}"),
            }
        }
        let held = self.oracle.held.iter().map(|(id, held)| (*id, held.version));
        assert_eq!(*mirror, held.collect());
        for id in 0..self.ids.min(40) {
            assert_eq!(
                self.pool.peek(&id).map(|row| row.version),
                self.oracle.peek(id),
                "of {id}"
            );
        }
        assert_eq!(self.pool.len(), self.oracle.held.len());
        assert!(self.pool.len() <= self.oracle.capacity);
        let stats = self.pool.stats();
        assert_eq!(
            (stats.hits, stats.misses.total()),
            (self.oracle.hits, self.oracle.misses)
        );
        assert_eq!(stats.entries, self.oracle.held.len() as u64);
    }
}

fn self_row(id: u64) -> Row {
    Row {
        id,
        version: 0,
        team: 0,
    }
}

fn by_hand() -> Cause {
    Cause::direct(larder_core::Reason::new("by hand"))
}
