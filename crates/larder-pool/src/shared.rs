//! What all handles of a pool share, and the small steps that every operation needs.

use std::any::TypeId;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Weak};
use std::time::Duration;

use foldhash::quality::FixedState;
use larder_core::sync::{AtomicBool, AtomicU8, AtomicU64, Mutex, Ordering};
use larder_core::{
    Befallen, Clock, EntityName, Entropy, Fence, FenceError, Moment, NameClaim, Namespace, Pin, Registration,
    Runtime, Target, ToKey as _, Trace,
};
use larder_memory::{Bounds, Eviction, Striped};

use crate::background::Background;
use crate::builder::Weigher;
use crate::config::{Capacity, Plainness, PoolConfig, WhenUnsure};
use crate::events::Ring;
use crate::fetch::{Absence, AnyLoader, Flights, OwnLoader, panicked};
use crate::limits::{ENTRY_OVERHEAD_BYTES, FOREVER, SHARD_ENTRIES_WISHED, SHARDS_MAX};
use crate::link::Link;
use crate::listener::{Listener, Listeners};
use crate::notes::Notes;
use crate::panics::contain;
use crate::stats::FetchCounts;
use crate::store::{Judge, Ledger, Life, Shards, Sizes};
use crate::{BuildError, Entity, PoolMetrics, Reason};

/// The state behind every handle of a pool.
pub(crate) struct Shared<T: Entity> {
    pub(crate) config: PoolConfig<T>,
    pub(crate) name: EntityName,
    pub(crate) namespace: Namespace,
    hasher: FixedState,
    /// Of jitter and samples.
    seed: u64,
    /// How many numbers were drawn for samples.
    draws: AtomicU64,
    pub(crate) weigher: Option<Weigher<T>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runtime: Option<Arc<dyn Runtime>>,
    pub(crate) background: Background,
    /// Calls that would load are refused.
    pub(crate) refuses_loads: AtomicBool,
    pub(crate) metrics: Option<Arc<dyn PoolMetrics>>,
    /// Who hears what befalls single ids.
    pub(crate) trace: Option<Arc<dyn Trace>>,

    pub(crate) shards: Shards<T>,
    /// Each use changes the order of the policy, so that reads need their shard's lock alone.
    pub(crate) exact_lru: AtomicBool,
    /// What is to be asked or told of a hit, beside what every pool asks and counts: a [`Plainness`].
    pub(crate) plainness: AtomicU8,
    /// The commit lock: see its file for the order of locks.
    pub(crate) ledger: Mutex<Ledger>,
    /// The sequence of the last commit that is visible. Stored with release by the commit, after all it did.
    pub(crate) visible: AtomicU64,
    /// The sequence of the last commit that changed several places at once, stored before it becomes visible.
    pub(crate) batches: AtomicU64,
    pub(crate) sizes: Sizes,
    pub(crate) hits: Striped,

    pub(crate) flights: Flights<T>,
    /// Ids of which it is known that there is no such entity. Written and forgotten under the commit lock.
    pub(crate) absences: Notes<T::Id, Absence>,
    /// Ids with a value that could not be renewed, so that it is not tried again for a while.
    pub(crate) failures: Notes<T::Id, ()>,
    pub(crate) fetches: FetchCounts,
    pub(crate) loader: Option<OwnLoader<T>>,
    pub(crate) metrics_panics: AtomicU64,

    pub(crate) fence: Fence,
    /// On what every entry depends on: the collection, the namespace, everything.
    pub(crate) base: Pin,
    /// How often one of these was invalidated. An entry of another generation than this is dead. Raised under the commit
    /// lock, before the invalidation returns.
    pub(crate) generations: AtomicU64,
    /// Up to which generation the dead have been taken out.
    pub(crate) purged: AtomicU64,
    /// Somebody has taken a pin on an id, so writes must end the pins on theirs.
    pub(crate) pins_taken: AtomicBool,
    pub(crate) events: Arc<Ring<T>>,
    pub(crate) listeners: Listeners<T>,

    /// Dropped first of all that the fence calls: nothing of the pool is asked once it is going.
    pub(crate) hook: Registration,
    _sink: Registration,
    _claim: NameClaim,
}

/// What a pool is built from, all of it checked.
pub(crate) struct Parts<T: Entity> {
    pub(crate) config: PoolConfig<T>,
    pub(crate) name: EntityName,
    pub(crate) weigher: Option<Weigher<T>>,
    pub(crate) listeners: Vec<Box<dyn Listener<T>>>,
    pub(crate) metrics: Option<Arc<dyn PoolMetrics>>,
    pub(crate) fence: Option<Fence>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) runtime: Option<Arc<dyn Runtime>>,
    pub(crate) loader: Option<Arc<dyn AnyLoader<T>>>,
    pub(crate) trace: Option<Arc<dyn Trace>>,
}

impl<T: Entity> Shared<T> {
    pub(crate) fn build(parts: Parts<T>) -> Result<Arc<Self>, BuildError> {
        let Parts {
            config,
            name,
            clock,
            entropy,
            ..
        } = parts;
        let namespace = config.namespace.clone().unwrap_or_default();
        let fence = match parts.fence {
            Some(fence) => fence,
            None => own_fence(&clock, &entropy)?,
        };
        let joined = Joined::to(&fence, &name, &namespace)?;
        let (count, used) = shard_counts::<T>(&config);
        let eviction = config
            .eviction
            .for_entries(config.capacity.entries.unwrap_or(u64::MAX));
        let plainness = config.plainness(eviction) as u8;
        let shared = Arc::new_cyclic(|weak: &Weak<Self>| {
            joined.link.tie(weak.clone());
            Shared {
                hasher: FixedState::with_seed(entropy.next_u64()),
                seed: entropy.next_u64(),
                weigher: parts.weigher,
                runtime: parts.runtime,
                background: Background::default(),
                refuses_loads: AtomicBool::new(false),
                draws: AtomicU64::new(0),
                metrics: parts.metrics,
                trace: parts.trace,
                shards: Shards::new(count, used, eviction, clock.monotonic()),
                exact_lru: AtomicBool::new(eviction == Eviction::Lru),
                plainness: AtomicU8::new(plainness),
                ledger: Mutex::new(Ledger::new(config.capacity)),
                visible: AtomicU64::new(0),
                batches: AtomicU64::new(0),
                sizes: Sizes::default(),
                hits: Striped::new(),
                flights: Flights::new(config.fetch.flights, panicked),
                absences: Notes::new(config.fetch.negative_entries),
                failures: Notes::new(config.fetch.negative_entries),
                fetches: FetchCounts::default(),
                loader: parts
                    .loader
                    .map(|loader| OwnLoader::new(loader, config.fetch.batcher)),
                metrics_panics: AtomicU64::new(0),
                base: joined.base,
                generations: AtomicU64::new(0),
                purged: AtomicU64::new(0),
                pins_taken: AtomicBool::new(false),
                events: Arc::new(Ring::new(config.event_capacity)),
                listeners: Listeners::new(parts.listeners),
                hook: joined.hook,
                _sink: joined.sink,
                _claim: joined.claim,
                fence,
                config,
                name,
                namespace,
                clock,
            }
        });
        shared.sweep_in_background();
        Ok(shared)
    }

    /// Removes the expired at each interval, if that was asked for.
    fn sweep_in_background(self: &Arc<Self>) {
        let (Some(interval), Some(runtime)) = (self.config.sweep_every, &self.runtime) else {
            return;
        };
        let (weak, sleeping) = (Arc::downgrade(self), Arc::clone(runtime));
        let task = Box::pin(async move {
            loop {
                sleeping.sleep(interval).await;
                let Some(pool) = weak.upgrade() else { return };
                // What expires may panic when it is dropped; the others leave at the next interval.
                contain(|| pool.sweep(usize::MAX));
            }
        });
        self.background.spawn(&**runtime, task);
    }

    /// The hash by which an id is found, computed before any lock.
    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, id: &Q) -> u64 {
        self.hasher.hash_one(id)
    }

    #[inline]
    pub(crate) fn judge(&self) -> Judge<'_> {
        Judge::new(self.generation(), &*self.clock)
    }

    /// How often something was invalidated on which every entry depends, as far as entries tell it apart.
    #[inline]
    pub(crate) fn generation(&self) -> u16 {
        let [low, high, ..] = self.generations.load(Ordering::Acquire).to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// What was published last.
    pub(crate) fn sequence(&self) -> u64 {
        self.visible.load(Ordering::Acquire)
    }

    /// How long a value may be read that is stored for `time`, as the commit `sequence`: shortened by jitter, which depends
    /// on nothing but the pool's seed, the id and the sequence.
    pub(crate) fn jittered(&self, time: Duration, hash: u64, sequence: u64) -> Duration {
        // What is for ever stays so; it may also be more than a float can be turned back from.
        if self.config.jitter == 0.0 || time >= FOREVER {
            return time;
        }
        let shortened =
            time.mul_f64(1.0 - self.config.jitter * self.share_of(hash ^ sequence.rotate_left(47)));
        // A time to live stays one, and a float that stands for it is no excuse to lengthen it.
        shortened.clamp(Duration::from_nanos(1), time)
    }

    /// A number from a half to one that depends on nothing but the pool's seed and the hash of an id.
    pub(crate) fn part_of(&self, hash: u64) -> f64 {
        1.0 - self.share_of(hash) / 2.0
    }

    /// A number from zero to one.
    fn share_of(&self, number: u64) -> f64 {
        let [a, b, c, d, ..] = mixed(self.seed ^ number).to_le_bytes();
        f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX)
    }

    /// A number at random, for samples.
    pub(crate) fn random(&self) -> u64 {
        let draw = self.draws.fetch_add(1, Ordering::Relaxed);
        mixed(self.seed ^ draw.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// When the timer of a version must come up: not while it may still be served past its time to live.
    pub(crate) fn wheel_deadline(&self, life: &Life) -> Moment {
        life.ends(self.config.fetch.lingers())
    }

    /// Whether nothing that a pin depends on was invalidated since it was taken, nor anything on which every entry depends.
    pub(crate) fn is_fresh(&self, pin: &Pin) -> bool {
        pin.is_fresh() && self.base.unchanged_since(pin.started())
    }

    /// Whether entries may be believed now, and if only young ones, since when they must have been stored.
    #[inline]
    pub(crate) fn believes(&self, judge: &Judge<'_>) -> Believes {
        match self.config.when_unsure {
            WhenUnsure::Serve => Believes::All,
            _ if self.fence.is_sure() => Believes::All,
            WhenUnsure::Bypass => Believes::Nothing,
            WhenUnsure::Shorten(time) => Believes::Since(judge.now().saturating_sub(time)),
        }
    }

    /// Whether somebody hears of commits, or is told figures.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.metrics.is_some() || !self.listeners.is_empty()
    }

    /// Whether a hit may be answered without looking further.
    #[inline]
    pub(crate) fn answers_plainly(&self) -> bool {
        let plainness = self.plainness.load(Ordering::Relaxed);
        let is_plain = plainness == Plainness::Plain as u8
            || (plainness == Plainness::IfSure as u8 && self.fence.is_sure());
        is_plain && !self.fence.is_in_transaction()
    }

    /// Whether what befalls an id of this hash is written down.
    #[inline]
    pub(crate) fn is_traced(&self, hash: u64) -> bool {
        self.trace.as_ref().is_some_and(|trace| trace.is_told(hash))
    }

    /// Tells what has befallen an id. With no lock held; a panic in the id or in who hears of it is counted.
    #[cold]
    pub(crate) fn befell(&self, hash: u64, id: &T::Id, what: Befallen) {
        let Some(trace) = &self.trace else { return };
        let tell = || {
            if let Ok(key) = id.to_key() {
                trace.tell(&self.entity_target(key), hash, what);
            }
        };
        if contain(tell).is_none() {
            self.metrics_panics.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reports something, if somebody wants to know. A panic of theirs is counted.
    pub(crate) fn report(&self, tell: impl FnOnce(&dyn PoolMetrics, &str)) {
        let Some(metrics) = &self.metrics else { return };
        if contain(|| tell(&**metrics, self.name.as_str())).is_none() {
            self.metrics_panics.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reports what a commit has changed.
    pub(crate) fn measure(&self, removed: &[usize; Reason::COUNT]) {
        if self.metrics.is_none() {
            return;
        }
        let reasons = [
            Reason::Manual,
            Reason::Saved,
            Reason::Deleted,
            Reason::Evicted,
            Reason::Expired,
            Reason::Idle,
            Reason::Invalidated { position: None },
            Reason::Superseded,
        ];
        for reason in reasons {
            for _ in 0..removed[reason.index()] {
                self.report(|metrics, name| metrics.removed(name, reason));
            }
        }
        let size = self.sizes.get(&self.visible);
        self.report(|metrics, name| metrics.size(name, size.entries, size.bytes));
    }
}

impl Believes {
    /// Whether an entry that was stored then may be believed.
    #[inline]
    pub(crate) fn allows(self, stored: Moment) -> bool {
        match self {
            Believes::All => true,
            Believes::Since(moment) => stored >= moment,
            Believes::Nothing => false,
        }
    }
}

/// What may be believed while it is not certain that every invalidation was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Believes {
    All,
    Since(Moment),
    Nothing,
}

impl<T: Entity> Drop for Shared<T> {
    fn drop(&mut self) {
        self.background.stop();
        self.events.close();
    }
}

/// A fence of the pool's own.
fn own_fence(clock: &Arc<dyn Clock>, entropy: &Arc<dyn Entropy>) -> Result<Fence, BuildError> {
    Fence::builder()
        .clock(Arc::clone(clock))
        .entropy(Arc::clone(entropy))
        .build()
        .map_err(BuildError::Fence)
}

/// A pool's place on its fence, before there is a pool.
struct Joined<T: Entity> {
    link: Arc<Link<T>>,
    base: Pin,
    hook: Registration,
    sink: Registration,
    claim: NameClaim,
}

impl<T: Entity> Joined<T> {
    fn to(fence: &Fence, name: &EntityName, namespace: &Namespace) -> Result<Self, BuildError> {
        let claim = fence
            .claim_name(name, TypeId::of::<T>())
            .map_err(refused_by_fence)?;
        let targets = [
            Target::Collection {
                name: name.collection(),
            },
            Target::Namespace {
                namespace: namespace.clone(),
            },
        ];
        let base = fence.pin(&targets);
        let link = Arc::new(Link::new(name));
        Ok(Joined {
            base: base.expect("invariant: two targets are fewer than a pin may hold"),
            hook: fence
                .drop_hook(Arc::clone(&link) as _)
                .map_err(refused_by_fence)?,
            sink: fence.sink(Arc::clone(&link) as _).map_err(refused_by_fence)?,
            claim,
            link,
        })
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// The budget's bounds.
pub(crate) fn bounds(capacity: Capacity) -> Bounds {
    Bounds {
        entries: capacity.entries.unwrap_or(crate::limits::CAPACITY_ENTRIES_MAX),
        bytes: capacity.bytes.unwrap_or(u64::MAX),
    }
}

/// How many shards a pool of this type gets, and how many of them it uses at first.
fn shard_counts<T: Entity>(config: &PoolConfig<T>) -> (usize, usize) {
    let entries = entries_expected::<T>(config.capacity);
    let count = shard_count::<T>(config, entries);
    // One more use of them than at first: a small pool may grow.
    (count.max(shard_count::<T>(config, 64 * 1_024)), count)
}

/// How many shards fit a capacity.
pub(crate) fn shard_count<T>(config: &PoolConfig<T>, entries: u64) -> usize {
    let eviction = config.eviction.for_entries(entries);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let for_processors = (processors * 8).next_power_of_two();
    let for_size = (entries / SHARD_ENTRIES_WISHED).next_power_of_two();
    let wished = u64::try_from(for_processors).unwrap_or(1).max(for_size);
    let count = wished.min(eviction.shards_max(entries)).min(SHARDS_MAX);
    usize::try_from(count).unwrap_or(1)
}

/// How many entries fit, as far as can be told before any was weighed.
pub(crate) fn entries_expected<T>(capacity: Capacity) -> u64 {
    let each = ENTRY_OVERHEAD_BYTES + u64::try_from(size_of::<T>()).unwrap_or(u64::MAX);
    let by_bytes = capacity.bytes.map_or(u64::MAX, |bytes| bytes / each);
    capacity.entries.unwrap_or(u64::MAX).min(by_bytes).max(1)
}

fn refused_by_fence(error: FenceError) -> BuildError {
    match error {
        FenceError::DuplicateName { name } => BuildError::DuplicateName { name },
        other => BuildError::Fence(other),
    }
}

/// A time to live as a moment; past a hundred years it never comes.
pub(crate) fn deadline(now: Moment, time: Option<Duration>) -> Moment {
    match time {
        Some(time) if time < FOREVER => now + time,
        _ => Moment::MAX,
    }
}
