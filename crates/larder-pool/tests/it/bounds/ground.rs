//! Rows, and a pool under simulated time of which everything that it tells is read.

use std::sync::Arc;
use std::time::Duration;

use larder_pool::{Entity, Event, Events, Eviction, Fence, InsertOptions, Pool, PoolBuilder, TagSet};
use larder_testkit::{SimClock, SimEntropy, SimRuntime};

/// Neither `Clone` nor `Debug`, as entities need not be.
pub struct Row {
    pub id: u64,
    pub version: u64,
    /// So many tags of its own.
    pub tags: u64,
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
        for tag in 0..self.tags {
            out.insert_value("part", &tag);
        }
    }
}

pub fn row(id: u64, version: u64) -> Row {
    let tags = 0;
    Row { id, version, tags }
}

/// An event, as far as it can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The id and the version.
    Inserted(u64, u64),
    /// The id, the version before and the one now.
    Updated(u64, u64, u64),
    Removed(u64, &'static str),
    Cleared(usize, &'static str),
}

impl Told {
    pub fn of(event: &Event<Row>) -> Self {
        match event {
            Event::Inserted { value, .. } => Told::Inserted(value.id, value.version),
            Event::Updated { old, new, .. } => Told::Updated(old.id, old.version, new.version),
            Event::Removed { id, reason, .. } => Told::Removed(*id, reason.as_str()),
            Event::Cleared { count, reason, .. } => Told::Cleared(*count, reason.as_str()),
            other => panic!("{other:?} is none of these"),
        }
    }
}

pub struct World {
    pub clock: SimClock,
    pub runtime: SimRuntime,
    pub fence: Fence,
    pub pool: Pool<Row>,
    pub events: Events<Row>,
}

impl World {
    pub fn with(build: impl FnOnce(PoolBuilder<Row>) -> PoolBuilder<Row>) -> Self {
        let clock = SimClock::new();
        let runtime = SimRuntime::new(&clock);
        let fence = Fence::builder()
            .clock(Arc::new(clock.clone()))
            .entropy(Arc::new(SimEntropy::seeded(1)))
            .build()
            .unwrap();
        let builder = Pool::builder()
            .clock(Arc::new(clock.clone()))
            .entropy(Arc::new(SimEntropy::seeded(2)))
            .runtime(Arc::new(runtime.clone()))
            .fence(fence.clone())
            .event_capacity(1 << 16);
        let pool = build(builder).build().unwrap();
        let events = pool.events();
        World {
            clock,
            runtime,
            fence,
            pool,
            events,
        }
    }

    /// A pool of so many entries under this policy.
    pub fn of(entries: u64, eviction: Eviction) -> Self {
        Self::with(|builder| builder.capacity_entries(entries).eviction(eviction))
    }

    /// Milliseconds go by.
    pub fn pass(&self, millis: u64) {
        self.clock.advance(millis_of(millis));
    }

    pub fn insert(&self, id: u64) {
        self.pool.insert(row(id, 0)).unwrap();
    }

    /// Stores a row for so many milliseconds.
    pub fn insert_for(&self, id: u64, millis: u64) {
        self.pool.insert_with_ttl(row(id, 0), millis_of(millis)).unwrap();
    }

    /// Stores a row that may go unused for so many milliseconds.
    pub fn insert_idle(&self, id: u64, millis: u64) {
        let options = InsertOptions::new().time_to_idle(millis_of(millis));
        self.pool.insert_with(row(id, 0), options).unwrap();
    }

    /// What was told since the last time.
    pub fn told(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            told.push(Told::of(&event));
        }
        told
    }

    /// Who was said to have left since the last time, in their order, all for this reason.
    pub fn left(&mut self, reason: &str) -> Vec<u64> {
        let told = self.told().into_iter();
        let left = told.filter_map(|told| match told {
            Told::Removed(id, why) if why == reason => Some(id),
            Told::Removed(id, why) => panic!("{id} left because of {why}"),
            _ => None,
        });
        left.collect()
    }
}

pub fn millis_of(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The same, as pools that differ in how they read and evict: exact and not, under each policy.
pub fn kinds() -> Vec<(u64, Eviction)> {
    let mut kinds = Vec::new();
    for eviction in Eviction::ALL {
        kinds.extend([(16, eviction), (300, eviction)]);
    }
    kinds
}
