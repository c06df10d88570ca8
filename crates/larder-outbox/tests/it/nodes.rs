//! Several nodes over one log in memory, in either order of commits, from a seed: what a node says that it has applied it does
//! not believe older any more, and at rest it keeps nothing that is not what the source has. Then the same with each of
//! some sabotages, which must be found.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_core::{
    Applied, BoxFuture, Cursor, Delivered, Fence, Head, Invalidations, Pin, Position, Source, SourceError,
    SourceId, Target, Token,
};
use larder_outbox::{CommitOrder, Follower, IsGone, MemoryStore, MemoryTx};
use larder_testkit::{Random, SimClock, SimEntropy, SimRuntime, for_each_seed};

const IDS: u64 = 8;

/// What is done wrong on the way from the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    None,
    /// Now and then a row is dropped.
    RowDropped,
    /// As the naive poller does: above the highest position that was seen, whatever was open below it.
    OpenForgotten,
    /// A purge is answered with what is left.
    PurgeHidden,
}

/// A source with a sabotage.
#[derive(Debug)]
struct Between {
    store: MemoryStore,
    sabotage: Sabotage,
    reads: larder_core::sync::Mutex<u64>,
}

impl Source for Between {
    fn id(&self) -> SourceId {
        self.store.id()
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, SourceError>> {
        self.store.head()
    }

    fn read<'a>(&'a self, cursor: &'a Cursor, limit: usize) -> BoxFuture<'a, Result<Delivered, SourceError>> {
        Box::pin(async move {
            let mut delivered = self.store.read(cursor, limit).await?;
            if self.sabotage == Sabotage::PurgeHidden && matches!(delivered, Delivered::Purged) {
                let head = self.store.head().await?;
                let batch = larder_core::Batch::new(Vec::new(), head.cursor, head.as_of, true);
                return Ok(Delivered::Rows(batch));
            }
            if let Delivered::Rows(batch) = &mut delivered {
                let mut reads = self.reads.lock();
                *reads += 1;
                if self.sabotage == Sabotage::RowDropped && reads.is_multiple_of(5) {
                    batch.rows.pop();
                }
                if self.sabotage == Sabotage::OpenForgotten {
                    let end = batch.cursor.end();
                    batch.cursor =
                        Cursor::ordered(cursor.source(), cursor.epoch(), end, batch.cursor.check());
                }
            }
            Ok(delivered)
        })
    }

    fn hinted(&self) -> BoxFuture<'_, ()> {
        self.store.hinted()
    }
}

/// A process: entries with what they were read at.
struct Node {
    fence: Fence,
    follower: Follower,
    entries: BTreeMap<u64, (u64, Pin)>,
}

/// An open transaction, and the rows that it changes.
struct Open {
    transaction: MemoryTx,
    changes: BTreeMap<u64, u64>,
}

struct World {
    random: Random,
    runtime: SimRuntime,
    store: MemoryStore,
    nodes: Vec<Node>,
    open: Vec<Open>,
    /// What is committed.
    database: BTreeMap<u64, u64>,
    versions: u64,
    /// Commits: their tokens, and what they have made of which rows.
    committed: Vec<(Token, BTreeMap<u64, u64>)>,
}

impl World {
    fn new(seed: u64, order: CommitOrder, sabotage: Sabotage) -> Self {
        let mut random = Random::seeded(seed);
        let clock = SimClock::new();
        let entropy = Arc::new(SimEntropy::seeded(random.next_u64()));
        let store = MemoryStore::new(order, Arc::new(clock.clone()), entropy);
        let node = |_| {
            let fence = Fence::builder().clock(Arc::new(clock.clone())).build().unwrap();
            let source = Between {
                store: store.clone(),
                sabotage,
                reads: larder_core::sync::Mutex::new(0),
            };
            let follower = Follower::builder(Arc::new(source), &fence)
                .rows_a_read(1 + random.index(4))
                .build()
                .unwrap();
            Node {
                fence,
                follower,
                entries: BTreeMap::new(),
            }
        };
        World {
            nodes: (0..3).map(node).collect(),
            runtime: SimRuntime::new(&clock),
            store,
            open: Vec::new(),
            database: BTreeMap::new(),
            versions: 0,
            committed: Vec::new(),
            random,
        }
    }

    /// One thing that may happen.
    fn step(&mut self) -> Result<(), String> {
        match self.random.below(100) {
            0..15 if self.open.len() < 4 => self.open.push(Open {
                transaction: self.store.begin(),
                changes: BTreeMap::new(),
            }),
            15..40 if !self.open.is_empty() => {
                let at = self.random.index(self.open.len());
                let id = self.random.below(IDS);
                self.versions += 1;
                let open = &mut self.open[at];
                open.transaction
                    .record(&Invalidations::default().entity("row", id).unwrap());
                open.changes.insert(id, self.versions);
            }
            40..52 if !self.open.is_empty() => {
                let at = self.random.index(self.open.len());
                let Open { transaction, changes } = self.open.swap_remove(at);
                // Rows of two transactions are locked: the later commit has the later version.
                let changes: BTreeMap<u64, u64> = changes
                    .into_keys()
                    .map(|id| {
                        self.versions += 1;
                        (id, self.versions)
                    })
                    .collect();
                self.database.extend(&changes);
                self.committed.push((transaction.commit(), changes));
            }
            52..56 if !self.open.is_empty() => drop(self.open.swap_remove(0)),
            56..75 => {
                let at = self.random.index(3);
                let _ = self.follow(at);
            }
            75..95 => {
                // A load: pinned before it reads.
                let (at, id) = (self.random.index(3), self.random.below(IDS));
                let pin = self.nodes[at].fence.pin(&[target(id)]).unwrap();
                let version = self.database.get(&id).copied().unwrap_or_default();
                self.nodes[at].entries.insert(id, (version, pin));
            }
            95 => self.store.set_gone(IsGone::Yes),
            96 => self.store.set_gone(IsGone::No),
            97 => {
                let newest = self.store.rows().last().map_or(1, |row| row.position().get());
                self.store.purge_below(Position::new(newest));
            }
            98 if self.open.is_empty() => self.store.new_epoch(),
            99 => {
                let at = self.random.index(3);
                self.nodes[at].follower.handle().resync();
            }
            _ => {}
        }
        self.check(|node, token| node.fence.applied(token) == Applied::Yes)
    }

    fn follow(&mut self, at: usize) -> bool {
        let stepped = self.runtime.block_on(self.nodes[at].follower.step());
        stepped.is_ok_and(|step| step.caught_up)
    }

    /// Nothing is believed that is older than a commit that counts.
    fn check(&self, counts: impl Fn(&Node, &Token) -> bool) -> Result<(), String> {
        for (number, node) in self.nodes.iter().enumerate() {
            for (token, changes) in &self.committed {
                let older = changes.iter().find(|(id, version)| {
                    let entry = node.entries.get(*id);
                    entry.is_some_and(|(read, pin)| read < *version && pin.is_fresh())
                });
                if let Some((id, version)) = older
                    && counts(node, token)
                {
                    return Err(format!("node {number} believes row {id} older than {version}"));
                }
            }
        }
        Ok(())
    }

    /// Everybody catches up, and keeps nothing that is not what is there.
    fn rest(&mut self) -> Result<(), String> {
        self.store.set_gone(IsGone::No);
        self.open.clear();
        for at in 0..3 {
            let mut rounds = 0;
            while !self.follow(at) {
                rounds += 1;
                assert!(rounds < 2_000, "a follower does not catch up");
            }
        }
        self.check(|_, _| true)?;
        for (token, _) in &self.committed {
            for node in &self.nodes {
                if node.fence.applied(token) != Applied::Yes {
                    return Err("a commit is not applied at rest".to_owned());
                }
            }
        }
        Ok(())
    }
}

fn target(id: u64) -> Target {
    Target::entity("row", id).unwrap()
}

/// A run from a seed; what was wrong.
fn run(seed: u64, order: CommitOrder, sabotage: Sabotage) -> Result<(), String> {
    let mut world = World::new(seed, order, sabotage);
    for at in 0..3 {
        world.follow(at);
    }
    for _ in 0..250 {
        world.step()?;
    }
    world.rest()
}

/// Contract: O32 (partial: memory), O46, O117 (partial: the order of commits, purges, epochs)
#[test]
fn what_a_node_has_applied_it_does_not_believe_older() {
    for order in [CommitOrder::Ordered, CommitOrder::Unordered] {
        for_each_seed(300, |seed| {
            if let Err(fault) = run(seed, order, Sabotage::None) {
                panic!("{order:?}: {fault}");
            }
        });
    }
}

/// Each sabotage is found, in most of the runs in which it can show.
///
/// Contract: O117 (partial: the order of commits, purges, epochs)
#[test]
fn every_sabotage_is_found() {
    for (order, sabotage, least) in [
        (CommitOrder::Ordered, Sabotage::RowDropped, 12),
        (CommitOrder::Unordered, Sabotage::RowDropped, 12),
        (CommitOrder::Unordered, Sabotage::OpenForgotten, 12),
        (CommitOrder::Ordered, Sabotage::PurgeHidden, 4),
        (CommitOrder::Unordered, Sabotage::PurgeHidden, 4),
    ] {
        let found = (1..=60)
            .filter(|seed| run(*seed, order, sabotage).is_err())
            .count();
        assert!(
            found >= least,
            "{sabotage:?}, {order:?}: found in {found} of 60 runs"
        );
    }
}
