//! A fence, a database of versions with copies that lag, a journal, entries and waits; and the oracle beside them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use larder_core::{
    Applied, Fence, Journal, Journaled, Lane, Pin, Position, PrivateCode, Reason, Stamp, Target, Token,
    WhenApplied,
};
use larder_testkit::SimClock;

use super::super::doubles::{Log, Table, Woken, builder, by_hand, poll, row, this_process};
use super::oracle::{Oracle, TARGETS, Verdict, closure};
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
    value: Option<Value>,
}

/// What was read: everything of one source up to a position.
#[derive(Clone, Copy)]
struct Value {
    lane: usize,
    position: u64,
    /// From a copy, which was compared with the targets known then.
    from_copy: bool,
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
            Step::Invalidate { targets } => self.invalidate(&chosen(targets)),
            Step::Commit { lane, targets } => {
                self.databases[of_two(lane)]
                    .commits
                    .push((chosen(targets), false));
            }
            Step::OwnCommit { lane, targets } => {
                self.own_commit(of_two(lane), &chosen(targets), lane & 2 == 0)
            }
            Step::Round { lane, limit } => self.round(of_two(lane), u64::from(limit % 8)),
            Step::Single { lane, nth } => self.single(of_two(lane), nth),
            Step::Settle { lane, nth } => self.settle(of_two(lane), nth),
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

    fn pin(&mut self, targets: &[usize]) {
        let pin = self.fence.pin(&self.named(targets)).unwrap();
        assert!(pin.is_fresh(), "M2: nothing has happened since");
        let at = self.oracle.now();
        self.keep(pin, targets, at, None);
    }

    fn keep(&mut self, pin: Pin, targets: &[usize], at: u64, value: Option<Value>) {
        if self.entries.len() >= 24 {
            self.entries.remove(0);
        }
        self.entries.push(Entry {
            pin,
            held: closure(targets.iter().copied()),
            at,
            dead: false,
            value,
        });
    }

    fn read(&mut self, nth: u8, lane: usize) {
        let position = self.head(lane);
        if let Some(nth) = nth_of(self.entries.len(), nth) {
            let entry = &mut self.entries[nth];
            entry.value.get_or_insert(Value {
                lane,
                position,
                from_copy: false,
            });
        }
    }

    fn read_copy(&mut self, nth: u8, lane: usize, behind: u8) {
        let position = self.head(lane).saturating_sub(u64::from(behind % 6));
        let Some(nth) = nth_of(self.entries.len(), nth) else {
            return;
        };
        let entry = &mut self.entries[nth];
        if entry.value.is_some() {
            return;
        }
        let verdict = self.oracle.as_of(&entry.held, lane, position);
        let accepted = entry.pin.as_of(self.logs[lane].at(position)).is_ok();
        assert!(
            verdict.allows(accepted),
            "copy at {position}: {verdict:?}, accepted: {accepted}"
        );
        self.refused_as_of += u64::from(!accepted);
        entry.dead |= !accepted;
        entry.value = Some(Value {
            lane,
            position,
            from_copy: true,
        });
    }

    fn read_unknown(&mut self, nth: u8, hold: u64) {
        let Some(nth) = nth_of(self.entries.len(), nth) else {
            return;
        };
        let entry = &mut self.entries[nth];
        let verdict = self.oracle.as_of_unknown(&entry.held, hold);
        let accepted = entry.pin.as_of_unknown(Duration::from_millis(100 * hold)).is_ok();
        assert!(
            verdict.allows(accepted),
            "hold {hold}: {verdict:?}, accepted: {accepted}"
        );
        self.refused_as_of += u64::from(!accepted);
        entry.dead |= !accepted;
    }

    fn extend(&mut self, nth: u8, targets: &[usize]) {
        let named = self.named(targets);
        let Some(nth) = nth_of(self.entries.len(), nth) else {
            return;
        };
        let entry = &mut self.entries[nth];
        // A copy is compared with the targets that are known when it says how far it has come.
        if entry.value.is_some_and(|value| value.from_copy) {
            return;
        }
        let late = closure(targets.iter().copied());
        let verdict = match self.oracle.extend(&entry.held, entry.at, &late) {
            _ if entry.dead && !late.is_subset(&entry.held) => Verdict::Either,
            verdict => verdict,
        };
        let accepted = entry.pin.extend(&named).is_ok();
        assert!(
            verdict.allows(accepted),
            "{late:?} late: {verdict:?}, accepted: {accepted}"
        );
        self.refused_too_old += u64::from(!accepted);
        if accepted {
            entry.held.extend(late);
        } else {
            entry.dead = true;
        }
    }

    fn clone_entry(&mut self, nth: u8) {
        let Some(nth) = nth_of(self.entries.len(), nth) else {
            return;
        };
        let entry = &self.entries[nth];
        let (dead, pin, held) = (
            entry.dead,
            entry.pin.clone(),
            entry.held.iter().copied().collect::<Vec<_>>(),
        );
        self.keep(pin, &held, entry.at, entry.value);
        self.entries.last_mut().unwrap().dead = dead;
    }

    fn save(&mut self, nth: u8) {
        let Some(nth) = nth_of(self.entries.len(), nth) else {
            return;
        };
        let entry = &self.entries[nth];
        if !entry.dead {
            self.saved.push(Saved {
                started: entry.pin.started(),
                targets: entry.held.iter().copied().collect(),
                at: entry.at,
                value: entry.value,
            });
        }
    }

    fn resume(&mut self, nth: u8) {
        let Some(nth) = nth_of(self.saved.len(), nth) else {
            return;
        };
        let saved = self.saved.swap_remove(nth);
        let held = closure(saved.targets.iter().copied());
        let verdict = self.oracle.extend(&BTreeSet::new(), saved.at, &held);
        let resumed = self
            .fence
            .resume(self.fence.run(), saved.started, &self.named(&saved.targets));
        assert!(
            verdict.allows(resumed.is_some()),
            "{verdict:?}, resumed: {}",
            resumed.is_some()
        );
        if let Some(pin) = resumed {
            self.keep(pin, &saved.targets, saved.at, saved.value);
        }
    }

    fn restore(&mut self, nth: u8) {
        let Some(nth) = nth_of(self.saved.len(), nth) else {
            return;
        };
        let saved = self.saved.swap_remove(nth);
        let held = closure(saved.targets.iter().copied());
        let verdict = self
            .oracle
            .restore(&held, saved.at, saved.started < self.table.floor());
        let restored = self.disk.restore(saved.started, &self.named(&saved.targets));
        assert!(
            verdict.allows(restored.is_some()),
            "{verdict:?}, restored: {}",
            restored.is_some()
        );
        if let Some(pin) = restored {
            self.keep(pin, &saved.targets, saved.at, saved.value);
        }
    }

    fn invalidate(&mut self, targets: &[usize]) {
        let before = self.fence.stamp();
        let last = self.fence.invalidate_many(&self.named(targets), &by_hand());
        assert_eq!(last.get(), before.get() + targets.len() as u64);
        targets
            .iter()
            .for_each(|target| self.oracle.invalidate(*target, None, None));
    }

    fn own_commit(&mut self, lane: usize, targets: &[usize], is_bound_known: bool) {
        self.databases[lane].commits.push((targets.to_vec(), true));
        let position = self.head(lane);
        let bound = is_bound_known.then_some(position);
        let (log, reason) = (self.logs[lane], Reason::new("own"));
        let as_of = bound.map(|point| log.at(point));
        let named = self.named(targets);
        let own = self.lanes[lane].own_commit(log.epoch, Position::new(position), as_of, &reason, named);
        for target in targets {
            self.oracle.invalidate(*target, Some((lane, position)), bound);
        }
        own.publish();
        self.oracle.publish_single(lane, position);
    }

    /// Delivers the rows of one commit, with a bound as of now.
    fn deliver(&mut self, lane: usize, position: u64) {
        let bound = self.head(lane);
        let index = usize::try_from(position - 1).unwrap();
        let (targets, is_own) = self.databases[lane].commits[index].clone();
        let row_of = |target: &Target| match is_own {
            true => row(target, position).with_origin(this_process()),
            false => row(target, position),
        };
        let rows: Vec<_> = self.named(&targets).iter().map(row_of).collect();
        self.lanes[lane].raise(&rows, self.logs[lane].at(bound));
        if is_own {
            self.oracle.settle(lane, position, bound);
        } else {
            for target in targets {
                self.oracle
                    .invalidate(target, Some((lane, position)), Some(bound));
            }
        }
    }

    fn round(&mut self, lane: usize, limit: u64) {
        let log = self.logs[lane];
        let (round, began) = (self.lanes[lane].round(), self.oracle.now());
        let next = self.lanes[lane].cursor().unwrap().end().get();
        let (head, end) = (self.head(lane), self.head(lane).min(next - 1 + limit));
        for position in next..=end {
            self.deliver(lane, position);
        }
        self.lanes[lane].publish(&log.cursor(end + 1), &[]);
        self.oracle.publish(lane, end + 1);
        if end == head {
            self.lanes[lane].caught_up(round, log.at(head));
            self.oracle.caught_up(lane, began, head);
            self.end_waits_beyond(lane, end);
        }
    }

    /// O63: who waits for what a whole round did not show learns that it cannot be told here.
    fn end_waits_beyond(&mut self, lane: usize, end: u64) {
        let (beyond, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|wait| wait.lane == lane && wait.positions.iter().any(|position| *position > end));
        self.waiting = waiting;
        for mut wait in beyond {
            assert!(
                wait.woken.count() > 0,
                "{:?} of lane {lane} lie beyond {end}",
                wait.positions
            );
            assert_eq!(poll(&mut wait.future, &wait.woken), Poll::Ready(Applied::Unknown));
        }
    }

    fn single(&mut self, lane: usize, nth: u8) {
        let cursor = self.lanes[lane].cursor().unwrap();
        let next = cursor.end().get();
        let above = usize::try_from((self.head(lane) + 1).saturating_sub(next)).unwrap();
        let Some(nth) = nth_of(above, nth) else { return };
        let position = next + nth as u64;
        self.deliver(lane, position);
        self.lanes[lane].publish(&cursor, &[Position::new(position)]);
        self.oracle.publish_single(lane, position);
    }

    fn settle(&mut self, lane: usize, nth: u8) {
        let own: Vec<u64> = (1..=self.head(lane))
            .zip(&self.databases[lane].commits)
            .filter(|(_, (_, is_own))| *is_own)
            .map(|(position, _)| position)
            .collect();
        let Some(nth) = nth_of(own.len(), nth) else { return };
        let (position, bound) = (own[nth], self.head(lane));
        self.lanes[lane].settle(Position::new(position), self.logs[lane].at(bound));
        self.oracle.settle(lane, position, bound);
    }

    fn raise_floor(&mut self, by: u64) {
        // Below the clock as well as above it.
        let floor = Stamp::new((self.fence.stamp().get() + by).saturating_sub(10)).unwrap();
        let before = self.fence.stamp();
        self.fence.raise_floor(floor);
        self.oracle.raise_floor();
        assert!(self.fence.stamp() > floor && self.fence.stamp() >= before);
    }

    fn token_of(&self, lane: usize, positions: &[u64]) -> Token {
        let tokens = positions.iter().map(|position| self.logs[lane].token(*position));
        tokens.fold(Token::default(), |all, token| all.merge(&token))
    }

    /// Positions around what has been applied and committed.
    fn positions(&self, lane: usize, raw: [u8; 2]) -> Vec<u64> {
        let around = self.head(lane).saturating_sub(4) + 1;
        raw.iter().map(|raw| around + u64::from(raw % 6)).collect()
    }

    fn token(&mut self, lane: usize, raw: [u8; 2]) {
        let positions = self.positions(lane, raw);
        let all = positions
            .iter()
            .all(|position| self.oracle.is_applied(lane, *position));
        let expected = if all { Applied::Yes } else { Applied::No };
        assert_eq!(
            self.fence.applied(&self.token_of(lane, &positions)),
            expected,
            "{positions:?}"
        );
    }

    fn wait(&mut self, lane: usize, raw: [u8; 2]) {
        let positions = self.positions(lane, raw);
        let woken = Arc::new(Woken::default());
        let mut future = self.fence.when_applied(self.token_of(lane, &positions));
        let polled = poll(&mut future, &woken);
        if positions
            .iter()
            .all(|position| self.oracle.is_applied(lane, *position))
        {
            assert_eq!(polled, Poll::Ready(Applied::Yes));
            return;
        }
        assert_eq!(polled, Poll::Pending);
        self.waiting.push(Waiting {
            future,
            woken,
            lane,
            positions,
        });
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

    fn check_waits(&mut self) {
        for mut wait in std::mem::take(&mut self.waiting) {
            let is_applied = |position: &u64| self.oracle.is_applied(wait.lane, *position);
            if wait.positions.iter().all(is_applied) {
                assert_eq!(wait.woken.count(), 1, "{:?} are applied", wait.positions);
                assert_eq!(poll(&mut wait.future, &wait.woken), Poll::Ready(Applied::Yes));
            } else {
                assert_eq!(wait.woken.count(), 0, "{:?} are not all applied", wait.positions);
                self.waiting.push(wait);
            }
        }
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
