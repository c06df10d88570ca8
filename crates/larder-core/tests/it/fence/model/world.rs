//! A fence, a database of versions with copies that lag, a journal, entries and waits; and the oracle beside them.

// Loads and entries.
mod loads;
// Sources, their followers, and whoever waits for them.
mod sources;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use larder_core::{Fence, Journal, Journaled, Lane, Pin, PrivateCode, Stamp, Target, WhenApplied};
use larder_testkit::SimClock;

use super::super::doubles::{Log, Table, Woken, builder, by_hand, invalidate_others, this_process};
use super::oracle::{Oracle, TARGETS};
use super::steps::Step;

/// What of the past the fence remembers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rings {
    /// One invalidation in each of 1,024 rings.
    Tiny,
    /// 1,024 invalidations in one ring.
    One,
    /// The default.
    Ample,
}

/// A load in flight or a resident entry.
struct Entry {
    pin: Pin,
    /// What it depends on, parents included.
    held: BTreeSet<usize>,
    /// The place among the oracle's events at which it began.
    at: u64,
    dead: bool,
    /// What it depends on was compared with a copy: late targets cannot be.
    compared: bool,
    value: Option<Value>,
}

/// What was read: everything of one source up to a position.
#[derive(Clone, Copy)]
struct Value {
    lane: usize,
    position: u64,
}

/// An entry as a disk or a remote filler keeps it.
struct Saved {
    started: Stamp,
    targets: Vec<usize>,
    at: u64,
    value: Option<Value>,
}

/// A database: its commits from position 1 on, each with its targets, and whether this node made it.
#[derive(Default)]
struct Database {
    commits: Vec<(Vec<usize>, bool)>,
}

/// Somebody waits for these commits.
struct Waiting {
    future: WhenApplied,
    woken: Arc<Woken>,
    lane: usize,
    positions: Vec<u64>,
}

pub(super) struct World {
    fence: Fence,
    clock: SimClock,
    oracle: Oracle,
    targets: Vec<Target>,
    logs: [Log; 2],
    lanes: [Lane; 2],
    databases: [Database; 2],
    table: Arc<Table>,
    disk: Journaled,
    entries: Vec<Entry>,
    saved: Vec<Saved>,
    waiting: Vec<Waiting>,
    refused_too_old: u64,
    refused_as_of: u64,
}

/// The oracle's universe, in its order.
fn universe() -> Vec<Target> {
    let private = |space| Target::private(PrivateCode::new(200).unwrap(), space, "p").unwrap();
    let all = vec![
        Target::Everything,
        Target::collection("user").unwrap(),
        Target::collection("order").unwrap(),
        Target::collection("user.lists").unwrap(),
        Target::namespace("a").unwrap(),
        Target::namespace("b").unwrap(),
        Target::entity("user", 1).unwrap(),
        Target::entity("user", 2).unwrap(),
        Target::entity("user", 3).unwrap(),
        Target::entity("order", 1).unwrap(),
        Target::entity("order", 2).unwrap(),
        Target::tag("a", "x").unwrap(),
        Target::tag("a", "y").unwrap(),
        Target::key("a", "x").unwrap(),
        Target::key("a", "y").unwrap(),
        Target::dependency("a", "x").unwrap(),
        private("a"),
        Target::tag("b", "x").unwrap(),
        Target::key("b", "x").unwrap(),
        Target::dependency("b", "x").unwrap(),
        private("b"),
    ];
    assert_eq!(all.len(), TARGETS);
    all
}

impl World {
    pub(super) fn new(rings: Rings) -> World {
        let clock = SimClock::new();
        let builder = builder(&clock);
        let (builder, room) = match rings {
            Rings::Tiny => (builder.shards(1_024).recent_count(1_024), 1),
            Rings::One => (builder.shards(1).recent_count(1_024), 1_024),
            Rings::Ample => (builder, 1_024),
        };
        let fence = builder.build().unwrap();
        let logs = [Log::new(1, 1), Log::new(2, 1)];
        let lanes = logs.map(|log| {
            let lane = fence.lane(log.source).unwrap();
            lane.set_origin(this_process());
            lane.begin(&log.head(1, &[]));
            lane.publish(&log.cursor(1), &[]);
            lane
        });
        let table = Arc::new(Table::default());
        let disk = fence.journal(Arc::clone(&table) as Arc<dyn Journal>);
        World {
            fence,
            clock,
            oracle: Oracle::new(room),
            targets: universe(),
            logs,
            lanes,
            databases: Default::default(),
            table,
            disk,
            entries: Vec::new(),
            saved: Vec::new(),
            waiting: Vec::new(),
            refused_too_old: 0,
            refused_as_of: 0,
        }
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Pin { targets } => self.pin(&chosen(targets)),
            Step::Read { nth, lane } => self.read(nth, of_two(lane)),
            Step::ReadCopy { nth, lane, behind } => self.read_copy(nth, of_two(lane), behind),
            Step::ReadUnknown { nth, hold } => self.read_unknown(nth, u64::from(hold % 30)),
            Step::Extend { nth, targets } => self.extend(nth, &chosen(targets)),
            Step::Clone { nth } => self.clone_entry(nth),
            Step::Drop { nth } => {
                drop(nth_of(self.entries.len(), nth).map(|nth| self.entries.swap_remove(nth)))
            }
            Step::NeverCache { nth } => {
                if let Some(nth) = nth_of(self.entries.len(), nth) {
                    self.entries[nth].pin.never_cache();
                    self.entries[nth].dead = true;
                }
            }
            Step::Save { nth } => self.save(nth),
            Step::Resume { nth } => self.resume(nth),
            Step::Restore { nth } => self.restore(nth),
            Step::Invalidate { targets } => self.invalidate(&invalidated(targets)),
            Step::Commit { lane, targets } => {
                self.databases[of_two(lane)]
                    .commits
                    .push((invalidated(targets), false));
            }
            Step::OwnCommit { lane, targets } => {
                self.own_commit(of_two(lane), &invalidated(targets), lane & 2 == 0)
            }
            Step::Round { lane, limit } => self.round(of_two(lane), u64::from(limit % 8)),
            Step::Single { lane, nth } => self.single(of_two(lane), nth),
            Step::Settle { lane, nth } => self.settle(of_two(lane), nth),
            Step::Flood => self.flood(),
            Step::RaiseFloor { by } => self.raise_floor(u64::from(by % 40)),
            Step::Forget { back } => {
                let floor = self.fence.stamp().get().saturating_sub(u64::from(back));
                self.table.forget_up_to(Stamp::new(floor).unwrap());
            }
            Step::Token { lane, positions } => self.token(of_two(lane), positions),
            Step::Wait { lane, positions } => self.wait(of_two(lane), positions),
            Step::Advance { tenths } => {
                let tenths = u64::from(tenths % 16);
                self.clock.advance(Duration::from_millis(100 * tenths));
                self.oracle.time += tenths;
            }
        }
    }

    fn named(&self, targets: &[usize]) -> Vec<Target> {
        targets
            .iter()
            .map(|target| self.targets[*target].clone())
            .collect()
    }

    /// The position of the last commit.
    fn head(&self, lane: usize) -> u64 {
        self.databases[lane].commits.len() as u64
    }

    fn invalidate(&mut self, targets: &[usize]) {
        let before = self.fence.stamp();
        let last = self.fence.invalidate_many(&self.named(targets), &by_hand());
        assert_eq!(last.get(), before.get() + targets.len() as u64);
        targets
            .iter()
            .for_each(|target| self.oracle.invalidate(*target, None, None));
    }

    /// Others are invalidated, so many that no ring remembers what came before.
    fn flood(&mut self) {
        const COUNT: u64 = 1_200;
        invalidate_others(&self.fence, COUNT);
        self.oracle.flood(COUNT);
    }

    fn raise_floor(&mut self, by: u64) {
        // Below the clock as well as above it.
        let floor = Stamp::new((self.fence.stamp().get() + by).saturating_sub(10)).unwrap();
        let before = self.fence.stamp();
        self.fence.raise_floor(floor);
        self.oracle.raise_floor();
        assert!(self.fence.stamp() > floor && self.fence.stamp() >= before);
    }

    /// Compares every answer with the oracle's.
    pub(super) fn check(&mut self) {
        for entry in &self.entries {
            let fresh = entry.pin.is_fresh();
            let expected = !entry.dead && self.oracle.is_fresh(&entry.held, entry.at);
            assert_eq!(fresh, expected, "{:?} since {}", entry.held, entry.at);
            if let Some(value) = entry.value.filter(|_| fresh) {
                let oldest = self.oracle.oldest_allowed(&entry.held, value.lane);
                assert!(
                    value.position >= oldest,
                    "M1: {} is served, {oldest} was applied",
                    value.position
                );
            }
        }
        self.check_waits();
        self.check_stats();
    }

    fn check_stats(&self) {
        let stats = self.fence.stats();
        let held: BTreeSet<usize> = self
            .entries
            .iter()
            .flat_map(|entry| entry.held.iter().copied())
            .collect();
        assert_eq!(
            stats.cells,
            held.len(),
            "cells are the distinct targets and parents of live pins"
        );
        assert_eq!(stats.waiting, self.waiting.len());
        let (all, by_lane) = self.oracle.counts();
        assert_eq!(stats.by_kind.total(), all);
        assert_eq!(stats.direct, all - by_lane[0] - by_lane[1]);
        let by_source: Vec<u64> = stats.by_source.iter().map(|(_, count)| *count).collect();
        assert_eq!(by_source, by_lane);
        assert_eq!(
            (stats.refused_too_old, stats.refused_as_of),
            (self.refused_too_old, self.refused_as_of)
        );
        assert_eq!(
            self.table.complete_to(),
            self.fence.stamp(),
            "the journal has missed nothing"
        );
    }

    /// At rest nothing is left.
    pub(super) fn end(mut self) {
        self.entries.clear();
        self.waiting.clear();
        let stats = self.fence.stats();
        assert_eq!(
            (stats.cells, stats.pins, stats.cell_bytes, stats.waiting),
            (0, 0, 0, 0)
        );
    }
}

/// One or two different targets to be invalidated: seldom one that covers many, so that entries live for a while.
fn invalidated(raw: [u8; 2]) -> Vec<usize> {
    const LEAVES: u8 = 6;
    chosen(raw.map(|raw| {
        let covers_many = usize::from(raw) % TARGETS < usize::from(LEAVES);
        if covers_many && raw < 210 {
            LEAVES + raw % 15
        } else {
            raw
        }
    }))
}

/// The most recent of so many, or one of the two before it.
fn recent_of(count: usize, raw: u8) -> Option<usize> {
    nth_of(count.min(3), raw).map(|back| count - 1 - back)
}

/// One or two different targets of the universe.
fn chosen(raw: [u8; 2]) -> Vec<usize> {
    let [first, second] = raw.map(|raw| usize::from(raw) % TARGETS);
    if raw[0] < 128 || first == second {
        vec![first]
    } else {
        vec![first, second]
    }
}

fn of_two(raw: u8) -> usize {
    usize::from(raw & 1)
}

fn nth_of(count: usize, raw: u8) -> Option<usize> {
    (count > 0).then(|| usize::from(raw) % count)
}
