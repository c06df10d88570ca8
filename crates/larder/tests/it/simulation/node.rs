//! A node: a layer with its pools, its clock and its way to the source, opened, closed and opened again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::outbox::{MemoryStore, Waited};
use larder::pool::WhenUnsure;
use larder::{Clock, Error, Layer, Moment, Pin, Pool, Runtime as _, ShutdownReport, Timestamp, Token};
use larder_testkit::{Random, SimClock, SimEntropy, SimRuntime};

use super::between::{Between, Home, Sabotage, Standing, Weather};
use super::database::{Database, GROUPS, Key, ROWS};
use super::features::{Feature, Plan};
use super::handle::{Answer, Handle, Heard, How, Place, listen};
use super::oracle::{Asked, Floors};
use super::things::{Brought, Moods, Page, Row, Way, builder};

/// For how long a node is sure of what it keeps.
pub const FRESHNESS: Duration = Duration::from_millis(500);

/// What every node stands on.
#[derive(Clone)]
pub struct Ground {
    pub plan: Plan,
    pub sabotage: Sabotage,
    pub store: MemoryStore,
    pub database: Arc<Mutex<Database>>,
}

pub struct Node {
    pub number: usize,
    pub ground: Ground,
    pub clock: SimClock,
    pub origin: Moment,
    pub weather: Arc<Mutex<Weather>>,
    pub moods: Arc<Mutex<Moods>>,
    pub is_paused: bool,
    random: Random,
    home: Arc<Home>,
    opening: Option<Opening>,
    pub life: Option<Life>,
    /// Where layers ran that are gone, and whether their pools are.
    pub graves: Vec<Grave>,
}

pub struct Grave {
    pub runtime: SimRuntime,
    pub are_gone: Vec<Box<dyn Fn() -> bool>>,
}

/// What one pool is, and what is known of it from outside.
pub struct Known {
    pub features: BTreeSet<Feature>,
    pub ids: u64,
    pub brought: Arc<Mutex<Brought>>,
    pub heard: Arc<Mutex<Heard>>,
    /// When a key was used last, and how many calls are under way that may have used it meanwhile.
    pub used: BTreeMap<Key, Duration>,
    pub asked_for: BTreeMap<Key, usize>,
}

/// A layer that is being opened.
struct Opening {
    runtime: SimRuntime,
    between: Arc<Between>,
    pools: Vec<Known>,
    opened: Arc<Mutex<Option<Result<Layer, Error>>>>,
}

/// A call that has come to an end, at some time since it was looked for last.
pub struct Ended {
    pub at: Duration,
    pub pool: usize,
    pub asked: Asked,
    pub answers: Vec<Answer>,
}

/// A wait that has come to an end.
pub struct WaitEnded {
    pub token: Token,
    pub commits: Vec<u64>,
    pub time: Duration,
    pub waited: Result<Waited, Error>,
}

/// A value that a caller reads by hand.
pub struct InHand {
    pub pool: usize,
    pub id: u64,
    pub value: Option<u64>,
    pub pin: Pin,
}

/// A layer that is open.
pub struct Life {
    pub runtime: SimRuntime,
    pub layer: Layer,
    pub between: Arc<Between>,
    pub pools: Vec<(Known, Box<dyn Handle>)>,
    pub floors: BTreeMap<Key, Floors>,
    pub in_hand: Vec<InHand>,
    pub ended: Arc<Mutex<Vec<Ended>>>,
    pub waits: Arc<Mutex<Vec<WaitEnded>>>,
    /// Since when it is being shut down, until when it may take.
    pub closing: Option<Duration>,
    pub reports: Arc<Mutex<Vec<ShutdownReport>>>,
}

impl Node {
    pub fn new(number: usize, ground: Ground, random: &mut Random) -> Self {
        let clock = SimClock::new();
        if ground.plan.has(Feature::SkewedClocks) {
            let hours = i64::try_from(random.below(48)).unwrap() - 24;
            let wall = clock.wall().as_micros() + hours * 3_600_000_000;
            clock.set_wall(Timestamp::from_micros(wall));
        }
        let moods = Moods {
            random: random.fork(),
            fails: ground.plan.has(Feature::LoaderFails),
            panics: ground.plan.has(Feature::LoaderPanics),
            is_slow: ground.plan.has(Feature::LoaderSlow),
        };
        Node {
            number,
            origin: clock.monotonic(),
            clock,
            ground,
            weather: Arc::default(),
            moods: Arc::new(Mutex::new(moods)),
            is_paused: false,
            random: random.fork(),
            home: Arc::default(),
            opening: None,
            life: None,
            graves: Vec::new(),
        }
    }

    pub fn now(&self) -> Duration {
        self.clock.monotonic().since(self.origin)
    }

    /// Begins to open a layer, unless there is one.
    pub fn open(&mut self) {
        if self.life.is_some() || self.opening.is_some() {
            return;
        }
        let runtime = SimRuntime::new(&self.clock);
        let place = (runtime.clone(), self.clock.clone());
        let (store, sabotage) = (self.ground.store.clone(), self.ground.sabotage);
        let between = Arc::new(Between::new(store, place, sabotage, Arc::clone(&self.weather)));
        let clock: Arc<dyn Clock> = match sabotage {
            Sabotage::ClockStands => Arc::new(Standing {
                inner: self.clock.clone(),
                weather: Arc::clone(&self.weather),
                since: Mutex::default(),
            }),
            _ => Arc::new(self.clock.clone()),
        };
        let home = self
            .ground
            .plan
            .has(Feature::Warm)
            .then(|| Arc::clone(&self.home));
        let (rows, poll_max) = (1 + self.random.index(6), 20 + self.random.below(100));
        let mut layer = Layer::builder("simulated")
            .freshness(FRESHNESS, WhenUnsure::Bypass)
            .clock(clock)
            .entropy(Arc::new(SimEntropy::seeded(self.random.next_u64())))
            .runtime(Arc::new(runtime.clone()))
            .follow(Arc::clone(&between) as Arc<dyn larder::Source>)
            .followers(move |follower| {
                let follower = follower
                    .rows_a_read(rows)
                    .poll_max(Duration::from_millis(poll_max));
                match &home {
                    Some(home) => follower.cursor_home(Arc::clone(home) as Arc<dyn larder::CursorHome>),
                    None => follower,
                }
            });
        let mut pools = Vec::new();
        for (at, features) in self.ground.plan.pools.iter().enumerate() {
            let known = Known::new(features, ROWS);
            let pool = builder::<Row>(features, self.way(&known, &runtime));
            layer = layer.pool_as(format!("{at}"), pool.listener(listen::<Row>(&known.heard)));
            pools.push(known);
        }
        let known = Known::new(&self.ground.plan.pools[0], GROUPS);
        let pool = builder::<Page>(&known.features, self.way(&known, &runtime));
        layer = layer.pool(pool.listener(listen::<Page>(&known.heard)));
        pools.push(known);
        let opened = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&opened);
        runtime.spawn(Box::pin(async move {
            let layer = layer.open().await;
            *slot.lock().unwrap() = Some(layer);
        }));
        self.opening = Some(Opening {
            runtime,
            between,
            pools,
            opened,
        });
    }

    fn way(&self, known: &Known, runtime: &SimRuntime) -> Way {
        Way {
            database: Arc::clone(&self.ground.database),
            store: self.ground.store.clone(),
            runtime: runtime.clone(),
            clock: self.clock.clone(),
            origin: self.origin,
            moods: Arc::clone(&self.moods),
            brought: Arc::clone(&known.brought),
            is_replica: known.features.contains(&Feature::Replica),
            sabotage: self.ground.sabotage,
        }
    }

    /// Runs what is ready; and takes the layer that has been opened meanwhile.
    pub fn run(&mut self) {
        if self.is_paused {
            return;
        }
        for runtime in self.runtimes() {
            runtime.run();
        }
        self.take_opened();
    }

    /// Lets time pass; a node that is paused does not notice until later.
    pub fn pass(&mut self, time: Duration) {
        let runtimes = self.runtimes();
        if self.is_paused || runtimes.is_empty() {
            self.clock.advance(time);
            return;
        }
        // They share a clock, which only one of them may move: the others catch up, as they would on a machine.
        let until = self.clock.monotonic() + time;
        for runtime in runtimes {
            runtime.advance(until.since(self.clock.monotonic()));
        }
        self.take_opened();
    }

    fn runtimes(&self) -> Vec<SimRuntime> {
        let own = self.opening.iter().map(|opening| opening.runtime.clone());
        let own = own.chain(self.life.iter().map(|life| life.runtime.clone()));
        own.chain(self.graves.iter().map(|grave| grave.runtime.clone()))
            .collect()
    }

    fn take_opened(&mut self) {
        let Some(opening) = &self.opening else { return };
        let Some(layer) = opening.opened.lock().unwrap().take() else {
            return;
        };
        let layer = layer.expect("every option is allowed, and nobody else is this node");
        let Some(opening) = self.opening.take() else {
            return;
        };
        let place = |(at, known): (usize, Known)| -> (Known, Box<dyn Handle>) {
            let handle: Box<dyn Handle> = if at < self.ground.plan.pools.len() {
                let label = format!("{at}");
                let pool: Pool<Row> = layer.pool_as(&label).unwrap();
                let label = Some(label);
                Box::new(Place { pool, label })
            } else {
                let pool: Pool<Page> = layer.pool().unwrap();
                Box::new(Place { pool, label: None })
            };
            (known, handle)
        };
        self.life = Some(Life {
            runtime: opening.runtime,
            between: opening.between,
            pools: opening.pools.into_iter().enumerate().map(place).collect(),
            layer,
            floors: BTreeMap::new(),
            in_hand: Vec::new(),
            ended: Arc::default(),
            waits: Arc::default(),
            closing: None,
            reports: Arc::default(),
        });
    }

    /// Lets go of the layer, whether or not it was shut down.
    pub fn drop_layer(&mut self) {
        let Some(life) = self.life.take() else { return };
        self.graves.push(Grave {
            runtime: life.runtime.clone(),
            are_gone: life.pools.iter().map(|(_, handle)| handle.is_gone()).collect(),
        });
    }
}

impl Known {
    fn new(features: &BTreeSet<Feature>, ids: u64) -> Self {
        Known {
            features: features.clone(),
            ids,
            brought: Arc::default(),
            heard: Arc::default(),
            used: BTreeMap::new(),
            asked_for: BTreeMap::new(),
        }
    }

    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }
}

impl Life {
    /// Begins a call, which ends when it does.
    pub fn call(&self, pool: usize, id: u64, how: How, asked: Asked) {
        let call = self.pools[pool].1.fetch(&self.layer, id, how);
        let (ended, between) = (Arc::clone(&self.ended), Arc::clone(&self.between));
        let begun = between.now();
        self.runtime.spawn(Box::pin(async move {
            let answers = call.await;
            let at = asked.at + between.now().since(begun);
            ended.lock().unwrap().push(Ended {
                at,
                pool,
                asked,
                answers,
            });
        }));
    }

    /// Begins to wait for a token.
    pub fn wait(&self, token: Token, commits: Vec<u64>, time: Duration) {
        let (layer, waits) = (self.layer.clone(), Arc::clone(&self.waits));
        self.runtime.spawn(Box::pin(async move {
            let waited = layer.wait(&token, larder::outbox::Wait::local(time)).await;
            waits.lock().unwrap().push(WaitEnded {
                token,
                commits,
                time,
                waited,
            });
        }));
    }

    /// Begins to shut the layer down: twice, since whoever asks again is told the same.
    pub fn shut_down(&mut self, now: Duration, deadline: Duration) {
        self.closing.get_or_insert(now);
        for _ in 0..2 {
            let (layer, reports) = (self.layer.clone(), Arc::clone(&self.reports));
            self.runtime.spawn(Box::pin(async move {
                let report = layer.shutdown(deadline).await;
                reports.lock().unwrap().push(report);
            }));
        }
    }
}
