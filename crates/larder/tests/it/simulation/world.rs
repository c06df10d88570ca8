//! A database, its log, the nodes, everything that befalls them, and the end, at which all must agree.

mod calls;
mod rest;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::outbox::{CommitOrder, MemoryStore};
use larder::{Invalidations, Position, Source as _, Timestamp};
use larder_testkit::{Random, SimClock, SimEntropy, SimRuntime};

use super::between::Sabotage;
use super::database::{Database, Key, Open, ROWS};
use super::features::{Feature, Plan};
use super::node::{Ground, Node};
use super::oracle::Checked;
use super::things::tag;

/// How often something happens.
const STEPS: usize = 220;

pub struct World {
    random: Random,
    plan: Plan,
    sabotage: Sabotage,
    /// The clock of the database.
    clock: SimClock,
    store: MemoryStore,
    database: Arc<Mutex<Database>>,
    pub now: Duration,
    nodes: Vec<Node>,
    open: Vec<Open>,
    trace: DefaultHasher,
}

/// A run from a seed, with the features that it draws and those that the sabotage needs; what was wrong, or the digest of all that happened.
pub fn run(seed: u64, sabotage: Sabotage) -> Result<u64, String> {
    let mut plan = Plan::of(seed);
    let needed: &[Feature] = match sabotage {
        Sabotage::ReplaySkipped | Sabotage::ClockStands => &[Feature::SourceFails],
        Sabotage::WideningDropped => &[Feature::Unreadable],
        Sabotage::PurgeHidden => &[Feature::Purges, Feature::SourceFails],
        _ => &[],
    };
    for feature in needed {
        plan.add(*feature, None);
    }
    let mut world = World::new(seed, plan, sabotage);
    for node in &mut world.nodes {
        node.open();
    }
    for _ in 0..STEPS {
        world.step()?;
        world.collect(&[])?;
        world.check()?;
    }
    world.rest()?;
    world.end()?;
    Ok(world.trace.finish())
}

impl World {
    fn new(seed: u64, plan: Plan, sabotage: Sabotage) -> Self {
        let mut random = Random::seeded(seed ^ 0x1A7E_57ED);
        let order = match plan.has(Feature::Unordered) {
            true => CommitOrder::Unordered,
            false => CommitOrder::Ordered,
        };
        let clock = SimClock::new();
        let entropy = Arc::new(SimEntropy::seeded(random.next_u64()));
        let store = MemoryStore::new(order, Arc::new(clock.clone()), entropy);
        let database = Arc::new(Mutex::new(Database::new(store.id())));
        let ground = Ground {
            plan: plan.clone(),
            sabotage,
            store: store.clone(),
            database: Arc::clone(&database),
        };
        let count = 2 + random.index(3);
        let nodes = (0..count).map(|number| Node::new(number, ground.clone(), &mut random));
        World {
            nodes: nodes.collect(),
            random,
            plan,
            sabotage,
            clock,
            store,
            database,
            now: Duration::ZERO,
            open: Vec::new(),
            trace: DefaultHasher::new(),
        }
    }

    fn note(&mut self, what: &str, number: u64) {
        self.trace.write(what.as_bytes());
        self.trace.write_u64(number);
    }

    fn step(&mut self) -> Checked {
        let at = self.random.index(self.nodes.len());
        match self.random.below(140) {
            0..8 if self.open.len() < 3 => self.begin(),
            8..22 => self.change(),
            22..32 if !self.plan.has(Feature::LongTransactions) || self.random.chance(250) => self.commit(),
            32..34 if !self.open.is_empty() => drop(self.open.swap_remove(0)),
            34..48 => return self.read(at),
            48..72 => return self.fetch(at),
            72..80 => return self.read_with_token(at),
            80..83 => self.wait(at),
            83..89 => self.read_by_hand(at),
            89..95 => self.store_by_hand(at),
            95..98 => self.end_here(at),
            98..100 => self.end_in_pool(at),
            100 => return self.verify(at),
            101..112 => self.befall(at),
            112..117 => self.nodes[at].run(),
            _ => {
                let time = Duration::from_millis(self.random.below(70));
                self.pass(time);
            }
        }
        Ok(())
    }

    // What writers do.

    fn begin(&mut self) {
        self.open.push(Open::new(self.store.begin()));
    }

    /// Changes a row that no other transaction has changed, and records it in one of the ways there are.
    fn change(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let (at, id) = (self.random.index(self.open.len()), self.random.below(ROWS));
        if self.open.iter().any(|open| open.has(id)) {
            return;
        }
        let is_there = self.database.lock().unwrap().now(Key::Row(id)).is_some();
        let exists = !is_there || self.random.chance(700);
        let batch = Invalidations::default();
        let recorded = match self.random.below(12) {
            0 | 1 => batch
                .collection("row")
                .and_then(|batch| batch.collection("row.lists")),
            // What is not there has no tag by which it could be ended.
            2..5 if is_there => batch.tag(tag(id)).and_then(|batch| batch.collection("row.lists")),
            5 => Ok(batch.flush_everything()),
            _ => batch.entity_and_lists("row", id),
        };
        let recorded = recorded.unwrap();
        let is_unreadable = self.plan.has(Feature::Unreadable) && self.random.chance(150);
        let recorded = Some(&recorded).filter(|_| !is_unreadable);
        self.open[at].change(id, exists, recorded);
        self.note("change", id);
    }

    fn commit(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let open = self.open.swap_remove(self.random.index(self.open.len()));
        let head = SimRuntime::new(&self.clock).block_on(self.store.head()).unwrap();
        let epoch = head.cursor.epoch();
        let commit = self.database.lock().unwrap().commit(open, epoch, self.now);
        if let Some(commit) = commit {
            self.note(&format!("commit {:?}", commit.keys), commit.number);
            let head = SimRuntime::new(&self.clock).block_on(self.store.head()).unwrap();
            assert_eq!(head.as_of.point(), commit.number, "both count commits");
        }
    }

    // What befalls nodes and the log.

    fn befall(&mut self, at: usize) {
        let befallen: BTreeSet<Feature> = self.plan.run.clone();
        let Some(feature) = befallen
            .iter()
            .nth(self.random.index(befallen.len().max(1)))
            .copied()
        else {
            return;
        };
        self.note(&format!("{feature:?}"), u64::try_from(at).unwrap());
        let is_off = self.random.chance(400);
        let millis = |random: &mut Random, most| Duration::from_millis(random.below(most));
        let node = &mut self.nodes[at];
        match feature {
            Feature::SourceFails => node.weather.lock().unwrap().is_cut = !is_off,
            Feature::SourceSlow => {
                let (there, back) = (millis(&mut self.random, 150), millis(&mut self.random, 150));
                let mut weather = node.weather.lock().unwrap();
                (weather.there, weather.back) = if is_off { Default::default() } else { (there, back) };
            }
            // While it is opened nobody would catch it.
            Feature::SourcePanics if node.life.is_some() => node.weather.lock().unwrap().panics = 1,
            Feature::SkewedClocks => {
                let wall = self.random.below(100_000_000_000);
                node.clock.set_wall(Timestamp::from_micros(
                    1_700_000_000_000_000 + i64::try_from(wall).unwrap(),
                ));
            }
            Feature::Pauses => node.is_paused = !is_off,
            Feature::Purges => {
                let newest = self.store.rows().last().map_or(1, |row| row.position().get());
                self.store
                    .purge_below(Position::new(newest + self.random.below(2)));
            }
            Feature::Epochs if self.open.is_empty() && self.random.chance(300) => self.store.new_epoch(),
            Feature::Closes | Feature::Warm => self.close_or_open(at),
            _ => {}
        }
    }

    fn close_or_open(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let now = node.now();
        let deadline = [0, 60, 10_000][self.random.index(3)];
        let choice = self.random.below(4);
        match &mut node.life {
            None => {
                // Nothing catches what it does while it is opened.
                node.weather.lock().unwrap().panics = 0;
                node.open();
            }
            Some(life) if choice == 0 => {
                life.closing.get_or_insert(now);
                node.drop_layer();
            }
            Some(life) if life.closing.is_some() => {
                if choice > 1 {
                    node.drop_layer();
                }
            }
            Some(_) if node.is_paused => {}
            Some(life) => {
                life.shut_down(now, Duration::from_millis(deadline));
                node.run();
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.clock.advance(time);
        for node in &mut self.nodes {
            node.pass(time);
        }
    }

    // What is checked.

    /// Takes what has come to an end; of these nodes, what was asked last was answered at once.
    fn collect(&mut self, at_once: &[usize]) -> Checked {
        let database = Arc::clone(&self.database);
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            let Some(life) = &node.life else { continue };
            let ended = std::mem::take(&mut *life.ended.lock().unwrap());
            let waits = std::mem::take(&mut *life.waits.lock().unwrap());
            let now = node.now();
            let mut told = String::new();
            for ended in &ended {
                let was_at_once = at_once.contains(&at) && ended.asked.at == now;
                node.check_ended(&database.lock().unwrap(), ended, was_at_once)?;
                let known = &mut node.life.as_mut().expect("it is open").pools[ended.pool].0;
                for answer in &ended.answers {
                    known.used.insert(answer.key, now);
                    known.asked_for.entry(answer.key).and_modify(|calls| *calls -= 1);
                    let got = answer.got.as_ref().map_err(ToString::to_string);
                    told.push_str(&format!("{:?} {got:?} {}", answer.key, answer.stale));
                }
            }
            for wait in &waits {
                node.check_wait(&database.lock().unwrap(), wait)?;
            }
            self.note(&told, u64::try_from(waits.len()).unwrap());
        }
        Ok(())
    }

    fn check(&mut self) -> Checked {
        let (pool, id) = (self.random.index(8), self.random.below(ROWS));
        let at = self.random.index(self.nodes.len());
        self.nodes[at].check(pool, id)?;
        self.check_reports(at)
    }
}
