//! A database, its log, several nodes and relays, and what is always true of them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use larder_core::{Applied, Invalidations, Position, Target, Timestamp, Token};
use larder_outbox::{
    Claim, CommitOrder, Failed, Group, MemoryCopy, MemoryStore, MemoryTx, Next, OutboxStore,
};
use larder_testkit::{Random, SimClock, SimEntropy, SimRuntime};

use super::between::Sabotage;
use super::node::{FRESHNESS, Flight, Node};

const IDS: u64 = 8;
const STEPS: usize = 300;
const GROUP: &str = "relays";

/// An open transaction, and the rows that it changes.
struct Open {
    transaction: MemoryTx,
    changes: BTreeSet<u64>,
    rows: u64,
}

/// A commit: its token, what it has made of which rows, when, and how many rows of the log it has.
#[derive(Clone)]
struct Committed {
    token: Token,
    changes: BTreeMap<u64, u64>,
    at: Duration,
    rows: u64,
}

/// A copy of everything that a backup of the database has.
struct Backup {
    log: MemoryCopy,
    database: BTreeMap<u64, u64>,
    committed: usize,
}

pub struct World {
    random: Random,
    runtime: SimRuntime,
    sabotage: Sabotage,
    order: CommitOrder,
    store: MemoryStore,
    now: Duration,
    nodes: Vec<Node>,
    open: Vec<Open>,
    /// What is committed.
    database: BTreeMap<u64, u64>,
    versions: u64,
    committed: Vec<Committed>,
    backup: Option<Backup>,
    claims: Vec<Claim>,
    published: BTreeSet<String>,
    trace: DefaultHasher,
}

fn target(id: u64) -> Target {
    Target::entity("row", id).unwrap()
}

/// A run from a seed; what was wrong, or the digest of all that happened.
pub fn run(seed: u64, order: CommitOrder, sabotage: Sabotage) -> Result<u64, String> {
    let mut world = World::new(seed, order, sabotage);
    for at in 0..world.nodes.len() {
        world.follow(at);
    }
    for _ in 0..STEPS {
        world.step();
        world.check()?;
    }
    world.rest()?;
    Ok(world.trace.finish())
}

impl World {
    fn new(seed: u64, order: CommitOrder, sabotage: Sabotage) -> Self {
        let mut random = Random::seeded(seed);
        let clock = SimClock::new();
        let entropy = Arc::new(SimEntropy::seeded(random.next_u64()));
        let store = MemoryStore::new(order, Arc::new(clock.clone()), entropy);
        let runtime = SimRuntime::new(&clock);
        runtime.block_on(store.open_group(&Group::new(GROUP))).unwrap();
        let nodes = 3 + random.index(3);
        let node = |number: usize| {
            // Each has a clock of its own, hours from the others.
            let own = SimClock::new();
            own.set_wall(Timestamp::from_micros(
                i64::try_from(number).unwrap() * 7_200_000_000,
            ));
            Node::new(&store, own, sabotage, 1 + random.index(4))
        };
        World {
            nodes: (0..nodes).map(node).collect(),
            runtime,
            sabotage,
            order,
            now: Duration::ZERO,
            open: Vec::new(),
            database: BTreeMap::new(),
            versions: 0,
            committed: Vec::new(),
            backup: None,
            claims: Vec::new(),
            published: BTreeSet::new(),
            trace: DefaultHasher::new(),
            store,
            random,
        }
    }

    fn note(&mut self, what: &str, number: u64) {
        self.trace.write(what.as_bytes());
        self.trace.write_u64(number);
    }

    /// One thing that may happen.
    fn step(&mut self) {
        let at = self.random.index(self.nodes.len());
        match self.random.below(150) {
            0..12 if self.open.len() < 4 => self.begin(),
            12..34 => self.change(),
            34..46 => self.commit(),
            46..49 if !self.open.is_empty() => drop(self.open.swap_remove(0)),
            49..68 => drop(self.follow(at)),
            68..76 => self.load(at),
            76..86 => self.land(at),
            86..90 => self.nodes[at].disk.lock().unwrap().sync(),
            90..92 => self.crash(at),
            92 => self.nodes[at].between.state.lock().unwrap().is_cut = true,
            93..95 => self.nodes[at].between.state.lock().unwrap().is_cut = false,
            95 => self.nodes[at].disk.lock().unwrap().fails = self.random.below(6),
            96 => self.purge(),
            97 if self.open.is_empty() => self.new_epoch(),
            98 => self.nodes[at].follower.handle().resync(),
            99 => self.back_up_or_restore(),
            100..112 => self.relay(),
            112..128 => self.load(at),
            128..142 => self.land(at),
            _ => {
                let time = Duration::from_millis(self.random.below(300));
                self.pass(time);
            }
        }
    }

    fn begin(&mut self) {
        self.open.push(Open {
            transaction: self.store.begin(),
            changes: BTreeSet::new(),
            rows: 0,
        });
    }

    fn change(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let at = self.random.index(self.open.len());
        let id = self.random.below(IDS);
        let open = &mut self.open[at];
        if open.changes.contains(&id) {
            return;
        }
        if self.random.chance(100) {
            // A change that another program has recorded in a way that nobody can read.
            open.transaction.record_unreadable();
        } else {
            let batch = Invalidations::default().entity("row", id).unwrap();
            open.transaction.record(&batch);
        }
        open.changes.insert(id);
        open.rows += 1;
    }

    /// Rows of two transactions are locked: the later commit has the later version.
    fn commit(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let at = self.random.index(self.open.len());
        let Open {
            transaction,
            changes,
            rows,
        } = self.open.swap_remove(at);
        let version = |id: u64| {
            self.versions += 1;
            (id, self.versions)
        };
        let changes: BTreeMap<u64, u64> = changes.into_iter().map(version).collect();
        self.database.extend(&changes);
        let token = transaction.commit();
        self.note(&format!("commit {token} {changes:?}"), rows);
        let at = self.now;
        self.committed.push(Committed {
            token,
            changes,
            at,
            rows,
        });
    }

    fn follow(&mut self, at: usize) -> bool {
        let stepped = self.runtime.block_on(self.nodes[at].follower.step());
        self.note(&format!("follow {stepped:?}"), at as u64);
        stepped.is_ok_and(|step| step.caught_up)
    }

    /// A load: pinned before it reads.
    fn load(&mut self, at: usize) {
        let id = self.random.below(IDS);
        let pin = self.nodes[at].fence.pin(&[target(id)]).unwrap();
        let version = self.database.get(&id).copied().unwrap_or_default();
        self.nodes[at].flights.push(Flight { id, version, pin });
    }

    fn land(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.flights.is_empty() {
            return;
        }
        let flight = node.flights.swap_remove(self.random.index(node.flights.len()));
        node.land(flight);
    }

    fn crash(&mut self, at: usize) {
        self.note("crash", at as u64);
        self.nodes[at].crash();
    }

    fn purge(&mut self) {
        let newest = self.store.rows().last().map_or(1, |row| row.position().get());
        self.note("purge", newest);
        self.store.purge_below(Position::new(newest));
    }

    fn new_epoch(&mut self) {
        self.note("epoch", 0);
        self.store.new_epoch();
    }

    /// The first time a copy is made, the next time the database is put back to it.
    fn back_up_or_restore(&mut self) {
        if !self.open.is_empty() {
            return;
        }
        let Some(backup) = self.backup.take() else {
            self.backup = Some(Backup {
                log: self.store.copy(),
                database: self.database.clone(),
                committed: self.committed.len(),
            });
            return;
        };
        self.note("restore", backup.committed as u64);
        self.store.restore(&backup.log);
        self.database = backup.database;
        self.committed.truncate(backup.committed);
        // Claims of rows that are undone are of no use to anybody.
        self.claims.clear();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.runtime.advance(time);
        for node in &self.nodes {
            node.clock.advance(time);
        }
    }

    /// Workers claim, publish, say so, fail, or vanish.
    fn relay(&mut self) {
        match self.random.below(4) {
            0 | 1 => {
                let limit = 1 + self.random.index(5);
                let time = Duration::from_secs(1 + self.random.below(2));
                let claim = self
                    .runtime
                    .block_on(self.store.claim(GROUP, "worker", limit, time))
                    .unwrap();
                self.note("claim", claim.rows().len() as u64);
                self.claims.push(claim);
            }
            2 if !self.claims.is_empty() => {
                let claim = self.claims.swap_remove(self.random.index(self.claims.len()));
                self.published.extend(claim.ids().iter().map(ToString::to_string));
                let done = self
                    .runtime
                    .block_on(self.store.acknowledge(&claim, &claim.ids()))
                    .unwrap();
                self.note("acknowledge", done.done as u64);
            }
            _ if !self.claims.is_empty() => {
                let claim = self.claims.swap_remove(self.random.index(self.claims.len()));
                let failed: Vec<Failed> = claim
                    .ids()
                    .into_iter()
                    .filter(|_| self.random.chance(500))
                    .map(|row| Failed {
                        row,
                        error: "no".to_owned(),
                        next: Next::Retry(Duration::from_millis(300)),
                    })
                    .collect();
                let done = self.runtime.block_on(self.store.fail(&claim, &failed)).unwrap();
                self.note("fail", done.done as u64);
            }
            _ => {}
        }
    }

    /// What a read may not find: older than a commit that counts.
    fn older(node: &Node, committed: &Committed) -> Option<(u64, u64)> {
        let older = |(id, version): (&u64, &u64)| {
            let found = [node.in_memory(*id), node.on_disk(*id)];
            let is_older = found.iter().flatten().any(|found| found < version);
            is_older.then_some((*id, *version))
        };
        committed.changes.iter().find_map(older)
    }

    fn check(&mut self) -> Result<(), String> {
        for (number, node) in self.nodes.iter().enumerate() {
            for committed in &self.committed {
                let is_applied = node.fence.applied(&committed.token) == Applied::Yes;
                let is_old = committed.at + FRESHNESS < self.now;
                if !(is_applied || (is_old && node.is_sure())) {
                    continue;
                }
                if let Some((id, version)) = Self::older(node, committed) {
                    let why = if is_applied {
                        "applied"
                    } else {
                        "older than the bound"
                    };
                    return Err(format!(
                        "node {number} reads row {id} older than {version}, which is {why}"
                    ));
                }
            }
        }
        self.check_merged()
    }

    /// A node that has applied two tokens together has applied each.
    fn check_merged(&mut self) -> Result<(), String> {
        if self.committed.len() < 2 {
            return Ok(());
        }
        let one = self.random.index(self.committed.len());
        let other = self.random.index(self.committed.len());
        let pair = [self.committed[one].clone(), self.committed[other].clone()];
        let token = match self.sabotage {
            Sabotage::TokenByMaximum => {
                let position = |committed: &Committed| {
                    committed
                        .token
                        .requirements()
                        .first()
                        .map(|one| one.max_position())
                };
                let greater = pair.iter().max_by_key(|committed| position(committed));
                greater
                    .map(|committed| committed.token.clone())
                    .unwrap_or_default()
            }
            _ => pair[0].token.merge(&pair[1].token),
        };
        for node in &self.nodes {
            if node.fence.applied(&token) != Applied::Yes {
                continue;
            }
            for committed in &pair {
                if let Some((id, version)) = Self::older(node, committed) {
                    return Err(format!(
                        "two tokens are applied, and row {id} is read older than {version}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Everybody catches up, and keeps nothing that is not what is there; every row was published.
    fn rest(&mut self) -> Result<(), String> {
        self.open.clear();
        self.pass(Duration::from_secs(10));
        for at in 0..self.nodes.len() {
            self.nodes[at].between.state.lock().unwrap().is_cut = false;
            let mut rounds = 0;
            while !self.follow(at) {
                rounds += 1;
                assert!(rounds < 2_000, "a follower does not catch up");
            }
        }
        for (number, node) in self.nodes.iter().enumerate() {
            for committed in &self.committed {
                if node.fence.applied(&committed.token) != Applied::Yes {
                    return Err("a commit is not applied at rest".to_owned());
                }
            }
            for id in 0..IDS {
                let there = self.database.get(&id).copied().unwrap_or_default();
                let found = [node.in_memory(id), node.on_disk(id)];
                if let Some(found) = found.into_iter().flatten().find(|found| *found != there) {
                    return Err(format!(
                        "at rest node {number} keeps row {id} as {found}, which is {there}"
                    ));
                }
            }
        }
        self.drain()
    }

    fn drain(&mut self) -> Result<(), String> {
        loop {
            let claim = self
                .runtime
                .block_on(self.store.claim(GROUP, "last", 64, FRESHNESS))
                .unwrap();
            if claim.is_empty() {
                break;
            }
            self.published.extend(claim.ids().iter().map(ToString::to_string));
            let done = self
                .runtime
                .block_on(self.store.acknowledge(&claim, &claim.ids()))
                .unwrap();
            self.note("drain", done.done as u64);
        }
        let dead = self
            .runtime
            .block_on(
                self.store
                    .rows_of(GROUP, larder_outbox::RowState::Dead, None, 1_000),
            )
            .unwrap();
        self.published.extend(dead.iter().map(|row| row.id.to_string()));
        for committed in &self.committed {
            let Some(requirement) = committed.token.requirements().first() else {
                continue;
            };
            let (epoch, position) = (requirement.epoch(), requirement.max_position());
            for ordinal in 0..committed.rows {
                let id = format!("{epoch}/{position}-{ordinal}");
                if !self.published.contains(&id) {
                    return Err(format!(
                        "row {id} was committed, and never published ({:?})",
                        self.order
                    ));
                }
            }
        }
        Ok(())
    }
}
