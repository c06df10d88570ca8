//! An entity whose foreign code does what a test plans: a panic, a call of the pool, a wait, at the n-th time that a
//! thread comes by.

use std::any::Any;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use larder_pool::{
    Changed, Entity, EntityId, Event, Events, Fence, InsertOptions, Key, MissCause, OnConflict, Pool,
    PoolMetrics, Reason, TagSet, Tier, ToKey, Watermarked,
};
use larder_testkit::{SimClock, SimEntropy};

use super::rows::fence;

/// Where foreign code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    Id,
    Hash,
    Eq,
    Ord,
    CloneId,
    DropId,
    Key,
    Tags,
    Watermark,
    Weigher,
    Drop,
    /// In closures of calls.
    Closure,
    Listener,
    Metrics,
}

struct Plan {
    spot: Spot,
    /// How often it is passed by before.
    left: usize,
    step: Step,
}

enum Step {
    Once(Box<dyn FnOnce()>),
    Each(fn()),
}

thread_local! {
    static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
}

/// This thread takes `step` when it comes to the spot, after it has come by so often.
pub fn plan(spot: Spot, after: usize, step: impl FnOnce() + 'static) {
    let (left, step) = (after, Step::Once(Box::new(step)));
    PLAN.with(|plan| *plan.borrow_mut() = Some(Plan { spot, left, step }));
}

/// The same each time that it comes to the spot, until [`is_done`] ends it.
pub fn plan_each(spot: Spot, step: fn()) {
    let (left, step) = (0, Step::Each(step));
    PLAN.with(|plan| *plan.borrow_mut() = Some(Plan { spot, left, step }));
}

/// Forgets the plan. Whether it was carried out.
pub fn is_done() -> bool {
    PLAN.with(|plan| plan.borrow_mut().take()).is_none()
}

pub fn pass(spot: Spot) {
    // Nothing is planned any more where a thread ends.
    let step = PLAN.try_with(|plan| {
        let mut plan = plan.borrow_mut();
        let of_here = plan.as_mut().filter(|plan| plan.spot == spot)?;
        if of_here.left > 0 {
            of_here.left -= 1;
            return None;
        }
        if let Step::Each(step) = of_here.step {
            return Some(Step::Each(step));
        }
        plan.take().map(|plan| plan.step)
    });
    match step {
        Ok(Some(Step::Once(step))) => step(),
        Ok(Some(Step::Each(step))) => step(),
        Ok(None) | Err(_) => {}
    }
}

/// What is thrown: not told to the panic hook, so that tests are quiet.
struct Thrown;

pub fn throw() {
    resume_unwind(Box::new(Thrown));
}

pub fn is_thrown(panic: &(dyn Any + Send)) -> bool {
    panic.is::<Thrown>()
}

pub struct ThornId(pub u64);

impl Clone for ThornId {
    fn clone(&self) -> Self {
        pass(Spot::CloneId);
        ThornId(self.0)
    }
}

impl Drop for ThornId {
    fn drop(&mut self) {
        pass(Spot::DropId);
    }
}

impl Hash for ThornId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        pass(Spot::Hash);
        self.0.hash(state);
    }
}

impl PartialEq for ThornId {
    fn eq(&self, other: &Self) -> bool {
        pass(Spot::Eq);
        self.0 == other.0
    }
}

impl Eq for ThornId {}

impl PartialOrd for ThornId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ThornId {
    fn cmp(&self, other: &Self) -> Ordering {
        pass(Spot::Ord);
        self.0.cmp(&other.0)
    }
}

impl ToKey for ThornId {
    fn append_to(&self, out: &mut Vec<u8>) {
        pass(Spot::Key);
        self.0.append_to(out);
    }
}

impl EntityId for ThornId {
    fn from_key(key: &Key) -> Option<Self> {
        pass(Spot::Key);
        u64::from_key(key).map(ThornId)
    }
}

pub struct Thorn {
    pub id: u64,
    pub version: u64,
}

impl Drop for Thorn {
    fn drop(&mut self) {
        pass(Spot::Drop);
    }
}

impl Entity for Thorn {
    type Id = ThornId;
    type Fields = ();

    fn name() -> &'static str {
        "thorn"
    }

    fn id(&self) -> ThornId {
        pass(Spot::Id);
        ThornId(self.id)
    }

    fn tags(&self, out: &mut TagSet) {
        pass(Spot::Tags);
        if self.id.is_multiple_of(2) {
            out.insert("even");
        }
    }
}

impl Watermarked for Thorn {
    type Watermark = u64;

    fn watermark(&self) -> u64 {
        pass(Spot::Watermark);
        self.version
    }
}

pub fn thorn(id: u64, version: u64) -> Thorn {
    Thorn { id, version }
}

struct Passing;

impl PoolMetrics for Passing {
    fn hit(&self, _: &str, _: Tier) {
        pass(Spot::Metrics);
    }

    fn miss(&self, _: &str, _: MissCause) {
        pass(Spot::Metrics);
    }

    fn removed(&self, _: &str, _: Reason) {
        pass(Spot::Metrics);
    }

    fn size(&self, _: &str, _: u64, _: u64) {
        pass(Spot::Metrics);
    }
}

/// How a pool of thorns is built.
#[derive(Clone, Copy, Debug)]
pub struct Plot {
    pub capacity: u64,
    pub rule: OnConflict<Thorn>,
    /// Whether there are a listener, a reader of events and metrics.
    pub watched: bool,
}

impl Plot {
    pub const ALL: [fn() -> Plot; 4] = [
        || Plot::new(8, OnConflict::Replace, false),
        || Plot::new(1_000, OnConflict::Update, true),
        || Plot::new(8, OnConflict::keep_newest(), true),
        || Plot::new(1_000, OnConflict::Reject, false),
    ];

    pub fn new(capacity: u64, rule: OnConflict<Thorn>, watched: bool) -> Self {
        Plot {
            capacity,
            rule,
            watched,
        }
    }
}

pub struct Garden {
    pub fence: Fence,
    pub pool: Pool<Thorn>,
    pub events: Option<Events<Thorn>>,
}

impl Garden {
    /// A pool with the ids 1 to 8, of which 7 and 8 have expired: full, if it has room for eight.
    pub fn new(plot: Plot) -> Self {
        let clock = SimClock::new();
        let fence = fence(&clock);
        let mut builder = Pool::builder()
            .capacity_entries(plot.capacity)
            .on_conflict(plot.rule)
            .weigher(|_: &Thorn| {
                pass(Spot::Weigher);
                100
            })
            .clock(Arc::new(clock.clone()))
            .entropy(Arc::new(SimEntropy::seeded(3)))
            .fence(fence.clone());
        if plot.watched {
            builder = builder
                .metrics(Arc::new(Passing))
                .listener(|_: &Changed<'_, Thorn>| pass(Spot::Listener));
        }
        let pool = builder.build().unwrap();
        let events = plot.watched.then(|| pool.events());
        for id in 1..=6 {
            pool.insert(thorn(id, 1)).unwrap();
        }
        for id in 7..=8 {
            pool.insert_with_ttl(thorn(id, 1), Duration::from_secs(1))
                .unwrap();
        }
        clock.advance(Duration::from_secs(2));
        Garden { fence, pool, events }
    }

    /// What can be seen of it, without foreign code that counts.
    pub fn state(&self) -> State {
        let stats = self.pool.stats();
        State {
            live: (0..60)
                .filter_map(|id| Some((id, self.pool.peek(&ThornId(id))?.version)))
                .collect(),
            entries: self.pool.len(),
            bytes: self.pool.weight_bytes(),
            sequence: self.pool.sequence(),
            stored: stats.inserts + stats.updates,
            removed: stats.removals.total(),
            capacity: self.pool.capacity().entries,
        }
    }

    /// Reads all events, which keep values alive until then. The ids that were told as inserted.
    pub fn read_events(&mut self) -> Vec<u64> {
        let mut inserted = Vec::new();
        while let Some(Ok(event)) = self.events.as_mut().map(Events::try_recv) {
            if let Event::Inserted { value, .. } = event {
                inserted.push(value.id);
            }
        }
        inserted
    }

    /// It takes in, gives and lets go as ever.
    pub fn check_usable(&self) {
        let value = self.pool.insert(thorn(59, 9)).ok().unwrap();
        assert!(Arc::ptr_eq(&value, &self.pool.get(&ThornId(59)).unwrap()));
        let done = self
            .pool
            .batch()
            .insert(thorn(58, 9))
            .remove(&ThornId(59))
            .commit();
        assert_eq!(done.unwrap().removed, 1);
        assert!(!self.pool.contains(&ThornId(59)) && self.pool.contains(&ThornId(58)));
        assert!(self.pool.len() <= usize::try_from(self.pool.capacity().entries.unwrap()).unwrap());
        let left = self.pool.clear(Reason::Manual);
        assert!(left > 0 && self.pool.is_empty());
    }
}

/// What can be seen of a pool.
#[derive(Debug, PartialEq, Eq)]
pub struct State {
    pub live: Vec<(u64, u64)>,
    pub entries: usize,
    pub bytes: usize,
    pub sequence: u64,
    pub stored: u64,
    pub removed: u64,
    pub capacity: Option<u64>,
}

/// A call, by name.
pub type Call = (&'static str, fn(&Garden));

/// Every call that runs foreign code. What they answer is seen in the state.
pub const CALLS: [Call; 24] = [
    ("insert", |garden| drop(garden.pool.insert(thorn(20, 2)))),
    ("insert over", |garden| drop(garden.pool.insert(thorn(1, 2)))),
    ("insert older", |garden| drop(garden.pool.insert(thorn(1, 0)))),
    ("insert over the expired", |garden| {
        drop(garden.pool.insert(thorn(7, 2)))
    }),
    ("insert with options", insert_with_options),
    ("replace if same", |garden| {
        let seen = garden.pool.peek(&ThornId(3)).unwrap();
        drop(garden.pool.replace_if_same(&seen, thorn(3, 2)));
    }),
    ("update", |garden| {
        drop(garden.pool.update(&ThornId(4), |old| {
            pass(Spot::Closure);
            thorn(old.id, old.version + 1)
        }));
    }),
    ("batch", batch),
    ("insert many", |garden| {
        drop(garden.pool.insert_many((30..36).map(|id| thorn(id, 2))));
    }),
    ("remove", |garden| drop(garden.pool.remove(&ThornId(2)))),
    ("remove the expired", |garden| {
        drop(garden.pool.remove(&ThornId(8)))
    }),
    ("invalidate", |garden| {
        garden.pool.invalidate(&ThornId(5), Reason::Saved);
    }),
    ("clear", |garden| {
        garden.pool.clear(Reason::Manual);
    }),
    ("retain", |garden| {
        garden.pool.retain(|thorn| {
            pass(Spot::Closure);
            thorn.id > 3
        });
    }),
    ("sweep", |garden| {
        garden.pool.sweep(usize::MAX);
    }),
    ("invalidate a tag", |garden| {
        garden
            .pool
            .invalidate_tag(&larder_pool::Tag::new("even").unwrap());
    }),
    ("set capacity", |garden| {
        let capacity = larder_pool::Capacity::of_entries(2);
        garden.pool.set_capacity(capacity).unwrap();
    }),
    ("get", |garden| drop(garden.pool.get(&ThornId(6)))),
    ("get many", |garden| {
        let ids = [ThornId(1), ThornId(50), ThornId(7)];
        drop(garden.pool.get_many(&ids));
    }),
    ("peek", |garden| drop(garden.pool.peek(&ThornId(6)))),
    ("contains", |garden| {
        let _ = garden.pool.contains(&ThornId(6));
    }),
    ("explain", |garden| drop(garden.pool.explain(&ThornId(6)))),
    ("sample", |garden| drop(garden.pool.sample(3))),
    ("pin", |garden| drop(garden.pool.pin(&ThornId(6)))),
];

fn insert_with_options(garden: &Garden) {
    let options = InsertOptions::new()
        .time_to_live(Duration::from_secs(9))
        .time_to_idle(Duration::from_secs(5))
        .tag("special")
        .pin(garden.pool.pin(&ThornId(2)));
    drop(garden.pool.insert_with(thorn(2, 2), options));
}

fn batch(garden: &Garden) {
    let batch = garden
        .pool
        .batch()
        .insert(thorn(20, 2))
        .insert(thorn(21, 2))
        .insert(thorn(21, 3))
        .remove(&ThornId(1))
        .invalidate(&ThornId(2), Reason::Deleted)
        .insert_with_ttl(thorn(7, 2), Duration::from_secs(9))
        .insert(thorn(22, 2));
    drop(batch.commit());
}
