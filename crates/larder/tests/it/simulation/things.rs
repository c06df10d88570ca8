//! What is cached: rows with a tag, pages that depend on the rows of a group; and the loader of both, which is slow, fails, panics, or reads a copy.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::outbox::MemoryStore;
use larder::pool::{LoadContext, LoadManyContext, Loaded, Loader, Pool, TagSet};
use larder::{Clock as _, Entity, Runtime as _, Source as _, Target};
use larder_testkit::{Random, SimClock, SimRuntime, poll_once};

use super::between::Sabotage;
use super::database::{Database, Key, group};
use super::features::Feature;

/// How far a copy is behind at most, in commits.
const LAG_MAX: u64 = 4;

/// What is in pools: a version of a key, and nothing else that could tell how old it is.
pub trait Thing: Entity<Id = u64> {
    fn key(id: u64) -> Key;
    fn of(id: u64, version: u64) -> Self;
    fn version(&self) -> u64;
    /// What it depends on beside itself.
    fn depends_on() -> Option<Target>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    id: u64,
    version: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    id: u64,
    version: u64,
}

/// The tag of the rows of a group.
pub fn tag(id: u64) -> String {
    format!("group:{}", group(id))
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
        out.insert(tag(self.id));
    }
}

impl Entity for Page {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "page"
    }

    fn id(&self) -> u64 {
        self.id
    }
}

impl Thing for Row {
    fn key(id: u64) -> Key {
        Key::Row(id)
    }

    fn of(id: u64, version: u64) -> Self {
        Row { id, version }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn depends_on() -> Option<Target> {
        None
    }
}

impl Thing for Page {
    fn key(id: u64) -> Key {
        Key::Page(id)
    }

    fn of(id: u64, version: u64) -> Self {
        Page { id, version }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn depends_on() -> Option<Target> {
        Some(Target::collection("row.lists").unwrap())
    }
}

/// What loaders and callers have brought to a pool: which version of what, and when last.
#[derive(Debug, Default)]
pub struct Brought {
    last: BTreeMap<(Key, Option<u64>), Duration>,
    /// How often a loader was called, and how many calls have not ended.
    pub calls: u64,
    pub under_way: u64,
}

/// A call of a loader, until it ends or is dropped.
struct Call(Arc<Mutex<Brought>>);

impl Call {
    fn begin(brought: &Arc<Mutex<Brought>>) -> Self {
        let mut counts = brought.lock().unwrap();
        (counts.calls, counts.under_way) = (counts.calls + 1, counts.under_way + 1);
        Call(Arc::clone(brought))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.lock().unwrap().under_way -= 1;
    }
}

impl Brought {
    pub fn note(&mut self, key: Key, value: Option<u64>, at: Duration) {
        self.last.insert((key, value), at);
    }

    pub fn last(&self, key: Key, value: Option<u64>) -> Option<Duration> {
        self.last.get(&(key, value)).copied()
    }
}

/// How the loaders of a node do.
#[derive(Debug)]
pub struct Moods {
    pub random: Random,
    pub fails: bool,
    pub panics: bool,
    pub is_slow: bool,
}

/// What one call of a loader does.
struct Mood {
    before: Duration,
    after: Duration,
    fails: bool,
    panics: bool,
    /// So many commits ago.
    lag: u64,
    keeps_previous: bool,
}

/// Panics past the hook, which would print each of many.
pub fn break_down() {
    std::panic::resume_unwind(Box::new("it is broken"));
}

#[derive(Debug, thiserror::Error)]
#[error("the database does not answer")]
pub struct Refused;

/// The way of one pool of one node to the database.
#[derive(Clone)]
pub struct Way {
    pub database: Arc<Mutex<Database>>,
    pub store: MemoryStore,
    pub runtime: SimRuntime,
    pub clock: SimClock,
    pub origin: larder::Moment,
    pub moods: Arc<Mutex<Moods>>,
    pub brought: Arc<Mutex<Brought>>,
    pub is_replica: bool,
    pub sabotage: Sabotage,
}

impl Way {
    pub fn now(&self) -> Duration {
        self.clock.monotonic().since(self.origin)
    }

    fn mood(&self) -> Mood {
        let mut moods = self.moods.lock().unwrap();
        let Moods {
            fails,
            panics,
            is_slow,
            ..
        } = *moods;
        let random = &mut moods.random;
        let mut time = |of_thousand: u32| {
            let takes = is_slow && random.chance(of_thousand);
            Duration::from_millis(if takes { random.below(250) } else { 0 })
        };
        let (before, after) = (time(400), time(600));
        let is_old = self.is_replica && random.chance(500);
        let is_spoilt = self.sabotage == Sabotage::OldSnapshot && random.chance(250);
        Mood {
            before,
            after,
            fails: fails && random.chance(150),
            panics: panics && random.chance(100),
            lag: if is_old || is_spoilt {
                1 + random.below(LAG_MAX)
            } else {
                0
            },
            keeps_previous: random.chance(500),
        }
    }

    async fn sleep(&self, time: Duration) {
        if !time.is_zero() {
            self.runtime.sleep(time).await;
        }
    }

    /// What each of these keys is, all read at one moment; and what the copy says of itself, if it was one.
    fn read(&self, keys: &[Key], lag: u64) -> (Vec<Option<u64>>, Option<larder::AsOf>) {
        let database = self.database.lock().unwrap();
        let number = database.number().saturating_sub(lag);
        let values = keys.iter().map(|key| database.then(*key, number)).collect();
        let as_of = self.is_replica.then(|| {
            let std::task::Poll::Ready(Ok(head)) = poll_once(self.store.head().as_mut()) else {
                panic!("a log in memory answers at once");
            };
            database.as_of(number, head.cursor.epoch())
        });
        (values, as_of)
    }

    async fn bring(&self, keys: &[Key]) -> Result<(Vec<Option<u64>>, Option<larder::AsOf>, Mood), Refused> {
        let mood = self.mood();
        self.sleep(mood.before).await;
        let (values, as_of) = self.read(keys, mood.lag);
        self.sleep(mood.after).await;
        if mood.panics {
            break_down();
        }
        if mood.fails {
            return Err(Refused);
        }
        let mut brought = self.brought.lock().unwrap();
        for (key, value) in keys.iter().zip(&values) {
            brought.note(*key, *value, self.now());
        }
        drop(brought);
        Ok((values, as_of, mood))
    }

    fn loaded<T: Thing>(&self, id: u64, version: Option<u64>, as_of: Option<larder::AsOf>) -> Loaded<T> {
        let mut loaded = match version {
            Some(version) => Loaded::value(T::of(id, version)),
            None => Loaded::none(),
        };
        if let Some(target) = T::depends_on() {
            loaded = loaded.depends_on(target);
        }
        match as_of {
            Some(as_of) => loaded.as_of(as_of),
            None => loaded,
        }
    }
}

impl<T: Thing> Loader<T> for Way {
    type Error = Box<dyn Error + Send + Sync>;

    async fn load(&self, load: LoadContext<T>) -> Result<Loaded<T>, Self::Error> {
        let _call = Call::begin(&self.brought);
        let (values, as_of, mood) = self.bring(&[T::key(load.id)]).await?;
        let previous = load.previous.map(|previous| previous.version());
        if mood.keeps_previous && previous.is_some() && previous == values[0] && as_of.is_none() {
            return Ok(Loaded::unchanged());
        }
        Ok(self.loaded(load.id, values[0], as_of))
    }

    async fn load_many(&self, load: LoadManyContext<T>) -> Result<Vec<Loaded<T>>, Self::Error> {
        let _call = Call::begin(&self.brought);
        let keys: Vec<Key> = load.ids.iter().map(|id| T::key(*id)).collect();
        let (values, as_of, _) = self.bring(&keys).await?;
        let found = load.ids.into_iter().zip(values);
        // What is not there is left out, as a query does; of a copy one of them says how far it had come.
        let found = found.filter(|(_, version)| version.is_some() || as_of.is_some());
        let found = found.map(|(id, version)| self.loaded(id, version, as_of));
        Ok(found.collect())
    }
}

/// What a pool is, by its features.
pub fn builder<T: Thing>(
    features: &std::collections::BTreeSet<Feature>,
    way: Way,
) -> larder::pool::PoolBuilder<T> {
    use larder::pool::{Eviction, WhenUnsure, limits::ENTRY_OVERHEAD_BYTES};
    let millis = Duration::from_millis;
    let mut builder = Pool::<T>::builder();
    let few_bytes = 5 * (ENTRY_OVERHEAD_BYTES + 400);
    for feature in features {
        let few = |builder: larder::pool::PoolBuilder<T>, eviction| {
            builder.capacity_bytes(few_bytes).eviction(eviction)
        };
        builder = match feature {
            Feature::FewEntries => builder.capacity_entries(3),
            Feature::FewBytesS3Fifo => few(builder, Eviction::S3Fifo),
            Feature::FewBytesSieve => few(builder, Eviction::Sieve),
            Feature::FewBytesLru => few(builder, Eviction::Lru),
            Feature::FewBytesTinyLfu => few(builder, Eviction::AdaptiveTinyLfu),
            Feature::TimeToIdle => builder.time_to_idle(TIME_TO_IDLE),
            Feature::StaleWhileRevalidate => builder.stale_while_revalidate(STALE_FOR),
            Feature::StaleOnError => builder.stale_on_error(STALE_FOR).error_hold(millis(50)),
            Feature::RefreshAhead => builder.refresh_ahead(0.6),
            Feature::Negative => builder.negative_ttl(millis(400)),
            Feature::Batcher => builder.batcher(3, millis(5)),
            Feature::Shorten => builder.when_unsure(WhenUnsure::Shorten(SHORTENED)),
            Feature::Serve => builder.when_unsure(WhenUnsure::Serve),
            Feature::Timeout => builder.timeout(millis(150)).soft_timeout(millis(40)),
            Feature::Detach => builder.detach(),
            _ => builder,
        };
    }
    if is_mortal(features) {
        builder = builder
            .time_to_live(TIME_TO_LIVE)
            .jitter(0.3)
            .sweep_every(millis(70));
    }
    builder
        .weigher(|value: &T| usize::try_from(60 + value.version() % 5 * 60).unwrap())
        .loader(way)
}

pub const TIME_TO_LIVE: Duration = Duration::from_millis(400);
pub const TIME_TO_IDLE: Duration = Duration::from_millis(200);
pub const STALE_FOR: Duration = Duration::from_millis(300);
pub const SHORTENED: Duration = Duration::from_millis(150);

/// Whether what is in the pool has a time to live.
pub fn is_mortal(features: &std::collections::BTreeSet<Feature>) -> bool {
    let by = [
        Feature::TimeToLive,
        Feature::StaleWhileRevalidate,
        Feature::StaleOnError,
        Feature::RefreshAhead,
    ];
    by.iter().any(|feature| features.contains(feature))
}
