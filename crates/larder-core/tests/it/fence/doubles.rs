//! Doubles for what stands around a fence: a disk tier's journal, drop hooks, clocks, wakers, a source with its copies.
//!
//! Written from the contract. They record what they are told and decide nothing that the fence decides.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use larder_core::{
    AsOf, Cause, Clock, Cursor, DropHook, Epoch, Fence, FenceBuilder, Head, Invalidation, Journal, Lane,
    Moment, Origin, Position, Raised, Reason, SourceId, Stamp, StampRuns, Target, TargetHash, Timestamp,
};
use larder_testkit::{SimClock, SimEntropy};

/// A fence under a simulated clock, and a builder for one that differs.
pub(super) fn fence() -> Fence {
    builder(&SimClock::new()).build().unwrap()
}

pub(super) fn builder(clock: &SimClock) -> FenceBuilder {
    Fence::builder()
        .clock(Arc::new(clock.clone()))
        .entropy(Arc::new(SimEntropy::seeded(7)))
}

/// A fence whose one shard remembers 1,024 invalidations, so that exactly the 1,025th makes the first leave.
pub(super) fn one_shard(clock: &SimClock) -> Fence {
    builder(clock).shards(1).recent_count(1_024).build().unwrap()
}

pub(super) fn user(id: u64) -> Target {
    Target::entity("user", id).unwrap()
}

pub(super) fn tag(name: &str) -> Target {
    Target::tag("shop", name).unwrap()
}

pub(super) fn key(name: &str) -> Target {
    Target::key("shop", name).unwrap()
}

pub(super) fn by_hand() -> Cause {
    Cause::direct(Reason::new("by hand"))
}

/// Invalidates `count` targets that nothing else in the tests names.
pub(super) fn invalidate_others(fence: &Fence, count: u64) {
    for other in 0..count {
        let target = Target::key("elsewhere", other).unwrap();
        fence.invalidate(&target, by_hand());
    }
}

/// A journal in memory, as a disk tier would keep it: the last stamp of each target, and which stamps have come.
#[derive(Default)]
pub(super) struct Table {
    state: Mutex<TableState>,
}

#[derive(Default)]
struct TableState {
    last: HashMap<TargetHash, Stamp>,
    runs: StampRuns,
    floor: Stamp,
    told: Vec<Raised>,
    /// What arrives is dropped: a journal that has stalled.
    stalled: bool,
}

impl Table {
    /// The table of a disk tier that an earlier run left with these rows.
    pub(super) fn left_by_earlier_run(rows: &[(&Target, Stamp)], complete_to: Stamp) -> Arc<Table> {
        let table = Table::default();
        let mut state = table.state.lock().unwrap();
        state.last = rows
            .iter()
            .map(|(target, stamp)| (target.hash(), *stamp))
            .collect();
        state.runs = StampRuns::new(complete_to);
        drop(state);
        Arc::new(table)
    }

    /// Everything that it was told, in order, until it stalled.
    pub(super) fn told(&self) -> Vec<Raised> {
        self.state.lock().unwrap().told.clone()
    }

    /// The stamps of the invalidations of one target that it was told of.
    pub(super) fn stamps_of(&self, target: &Target) -> Vec<Stamp> {
        let hash = target.hash();
        let of_target = |raised: &Raised| match raised {
            Raised::Target {
                hash: other, stamp, ..
            } if *other == hash => Some(*stamp),
            _ => None,
        };
        self.told().iter().filter_map(of_target).collect()
    }

    /// From now on nothing arrives.
    pub(super) fn stall(&self) {
        self.state.lock().unwrap().stalled = true;
    }

    /// Retires entries filled before `floor`, and forgets the invalidations up to it, as a full table does.
    pub(super) fn forget_up_to(&self, floor: Stamp) {
        let mut state = self.state.lock().unwrap();
        state.floor = state.floor.max(floor);
        state.last.retain(|_, stamp| *stamp > floor);
    }
}

impl Journal for Table {
    fn raised(&self, raised: &[Raised]) {
        let mut state = self.state.lock().unwrap();
        if state.stalled {
            return;
        }
        for one in raised {
            if let Raised::Target { hash, stamp, .. } = one {
                let last = state.last.entry(*hash).or_default();
                *last = (*last).max(*stamp);
            }
            state.runs.note(one);
            state.told.push(*one);
        }
    }

    fn last(&self, hash: TargetHash) -> Option<Stamp> {
        self.state.lock().unwrap().last.get(&hash).copied()
    }

    fn complete_to(&self) -> Stamp {
        self.state.lock().unwrap().runs.complete_to()
    }

    fn floor(&self) -> Stamp {
        self.state.lock().unwrap().floor
    }
}

/// A drop hook made of a closure.
pub(super) struct Hook<F>(pub(super) F);

impl<F: Fn(&Target) + Send + Sync> DropHook for Hook<F> {
    fn invalidated(&self, target: &Target, _commit: Option<(SourceId, Position)>) {
        (self.0)(target);
    }
}

/// A drop hook that keeps what it hears.
#[derive(Default)]
pub(super) struct Heard(Mutex<Vec<Target>>);

impl Heard {
    pub(super) fn targets(&self) -> Vec<Target> {
        self.0.lock().unwrap().clone()
    }
}

impl DropHook for Heard {
    fn invalidated(&self, target: &Target, _commit: Option<(SourceId, Position)>) {
        self.0.lock().unwrap().push(target.clone());
    }
}

/// A clock whose coarse time lags as far as it may, and which counts how often it is read.
pub(super) struct LaggingClock {
    pub(super) time: SimClock,
    pub(super) coarse_reads: AtomicU64,
    pub(super) exact_reads: AtomicU64,
}

impl LaggingClock {
    pub(super) fn new() -> Arc<LaggingClock> {
        Arc::new(LaggingClock {
            time: SimClock::new(),
            coarse_reads: AtomicU64::new(0),
            exact_reads: AtomicU64::new(0),
        })
    }
}

impl Clock for LaggingClock {
    fn monotonic(&self) -> Moment {
        self.exact_reads.fetch_add(1, Ordering::Relaxed);
        self.time.monotonic()
    }

    fn coarse(&self) -> Moment {
        self.coarse_reads.fetch_add(1, Ordering::Relaxed);
        self.time.monotonic().saturating_sub(Duration::from_millis(10))
    }

    fn wall(&self) -> Timestamp {
        self.time.wall()
    }
}

impl fmt::Debug for LaggingClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LaggingClock")
    }
}

/// A waker that counts.
#[derive(Default)]
pub(super) struct Woken(AtomicUsize);

impl Woken {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls once, with a waker that counts.
pub(super) fn poll<F: Future + Unpin>(future: &mut F, woken: &Arc<Woken>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::clone(woken));
    pin!(future).poll(&mut Context::from_waker(&waker))
}

/// One source and epoch: what its follower would say of it. Positions are points.
#[derive(Clone, Copy)]
pub(super) struct Log {
    pub(super) source: SourceId,
    pub(super) epoch: Epoch,
}

impl Log {
    pub(super) const fn new(source: u64, epoch: u64) -> Log {
        Log {
            source: SourceId::new(source),
            epoch: Epoch::new(epoch),
        }
    }

    /// A copy that has come to `point`.
    pub(super) const fn at(self, point: u64) -> AsOf {
        AsOf::new(self.source, self.epoch, point)
    }

    /// All below `next` is delivered.
    pub(super) fn cursor(self, next: u64) -> Cursor {
        Cursor::ordered(self.source, self.epoch, Position::new(next), 0)
    }

    /// A snapshot with open positions.
    pub(super) fn snapshot(self, horizon: u64, end: u64, open: &[u64]) -> Cursor {
        let open = open.iter().copied().map(Position::new);
        Cursor::snapshot(
            self.source,
            self.epoch,
            Position::new(horizon),
            Position::new(end),
            open,
            0,
        )
        .unwrap()
    }

    /// The head when all below `next` is visible: the last of it is at point `next - 1`.
    pub(super) fn head(self, next: u64, former: &[Epoch]) -> Head {
        Head::new(
            self.cursor(next),
            former.to_vec(),
            self.at(next.saturating_sub(1)),
        )
    }

    pub(super) fn token(self, position: u64) -> larder_core::Token {
        larder_core::Token::commit(self.source, self.epoch, Position::new(position))
    }
}

/// The lane of `log` on `fence`, begun where all below `next` was visible, and caught up there.
pub(super) fn live_lane(fence: &Fence, log: Log, next: u64) -> Lane {
    let lane = fence.lane(log.source).unwrap();
    lane.begin(&log.head(next, &[]));
    lane.flushed();
    catch_up(&lane, log, next);
    lane
}

/// A round that delivers nothing new and leaves nothing over, when all below `next` is visible.
pub(super) fn catch_up(lane: &Lane, log: Log, next: u64) {
    let round = lane.round();
    lane.publish(&log.cursor(next), &[]);
    lane.caught_up(round, log.at(next.saturating_sub(1)));
}

/// This process, as rows name it.
pub(super) fn this_process() -> Origin {
    Origin::new("here", 1).unwrap()
}

/// A row of the commit at `position`.
pub(super) fn row(target: &Target, position: u64) -> Invalidation {
    Invalidation::new(target.clone(), Position::new(position), Timestamp::UNIX_EPOCH)
}
