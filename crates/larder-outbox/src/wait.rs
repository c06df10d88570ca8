//! [`Waiter`]: waits until this node has applied what a token asks for, or all nodes have, or a group is done with it.
//!
//! What is always true: a wait for this node reads no database; it sits on the fence, and wakes when progress is published. For others
//! all who wait in this process read together. What a wait ends with says what is known, and nothing is called satisfied that is not.

mod others;
mod relayed;

use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use larder_core::limits::{OutOfRange, WAITERS};
use larder_core::sync::{Arc, AtomicU64, AtomicUsize, Ordering};
use larder_core::{Applied, Fence, Requirement, Runtime, TaskFuture, Token, WhenApplied};

use self::others::Others;
use crate::database::Database;
use crate::error::{ConfigError, ConfigFault};
use crate::limits::{POLL_INTERVAL, POLL_INTERVAL_RANGE};
use crate::{Error, Outbox, OutboxStore, pace};

/// For how much longer than was asked for a last look at the database may take.
const LAST_LOOK: Duration = Duration::from_millis(100);

/// For what to wait, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    mode: WaitMode,
    time: Duration,
}

/// For what a wait waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitMode {
    /// For nothing.
    None,
    /// Until this node has applied the token; a read after it has timed out goes to the origin.
    Local,
    /// The same; a read after it has timed out is served, and marked.
    BestEffort,
    /// Until every live node has applied it.
    AllNodes,
    /// Until so many live nodes have, this one included.
    Quorum(usize),
    /// Until this group has acknowledged every row of it.
    Relayed(String),
}

impl Wait {
    /// Returns at once, satisfied.
    #[must_use]
    pub const fn none() -> Self {
        Wait {
            mode: WaitMode::None,
            time: Duration::ZERO,
        }
    }

    /// Until this node has applied the token, at most `time`; of zero it looks once. Whoever reads after it has timed out goes to
    /// the origin.
    #[must_use]
    pub const fn local(time: Duration) -> Self {
        Wait {
            mode: WaitMode::Local,
            time,
        }
    }

    /// The same wait. Whoever reads after it has timed out takes what is there, and marks it.
    #[must_use]
    pub const fn best_effort(time: Duration) -> Self {
        Wait {
            mode: WaitMode::BestEffort,
            time,
        }
    }

    /// Until every live node has said that it has applied the token, this one included.
    #[must_use]
    pub const fn all_nodes(time: Duration) -> Self {
        Wait {
            mode: WaitMode::AllNodes,
            time,
        }
    }

    /// Until so many live nodes have said so, this one included.
    #[must_use]
    pub const fn quorum(nodes: usize, time: Duration) -> Self {
        Wait {
            mode: WaitMode::Quorum(nodes),
            time,
        }
    }

    /// Until this group has acknowledged every row of the commits that the token names. It ends at once if one of them is a dead letter.
    #[must_use]
    pub fn relayed(group: impl Into<String>, time: Duration) -> Self {
        Wait {
            mode: WaitMode::Relayed(group.into()),
            time,
        }
    }

    /// For what it waits.
    #[must_use]
    pub const fn mode(&self) -> &WaitMode {
        &self.mode
    }
}

/// How a wait has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waited {
    /// For what it waited.
    pub mode: WaitMode,
    /// All that the token asks for is applied; then nothing below is true.
    pub satisfied: bool,
    /// It is not: the time was over, it cannot be told here, or too many wait.
    pub degraded: bool,
    /// The time was over.
    pub timed_out: bool,
    /// This node cannot tell: the token is of a source that it does not follow, or of an epoch that it does not know.
    pub unknown: bool,
    /// How much is not done, and zero if it is satisfied: sources of the token that this node has not applied as far as it asks; of a wait for
    /// nodes, how many are lacking; of one for a group, rows.
    pub pending: usize,
    /// Of a wait for nodes, the names of the others that have not applied it.
    pub lagging: Vec<String>,
    /// How long it took, by the clock of the fence.
    pub elapsed: Duration,
}

/// Waits on one fence. Clones count together.
#[derive(Clone)]
pub struct Waiter {
    fence: Fence,
    runtime: Option<Arc<dyn Runtime>>,
    waiters_max: usize,
    poll_interval: Duration,
    counts: Arc<Counts>,
    others: Option<Others>,
}

/// What a waiter and its clones have done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaiterDiagnostics {
    /// Waits that have begun.
    pub waits: u64,
    /// Those that were satisfied.
    pub satisfied: u64,
    /// Those whose time was over.
    pub timed_out: u64,
    /// Those that were not satisfied, for whatever reason.
    pub degraded: u64,
}

#[derive(Default)]
struct Counts {
    now: AtomicUsize,
    waits: AtomicU64,
    satisfied: AtomicU64,
    timed_out: AtomicU64,
    degraded: AtomicU64,
}

/// A place among those who wait.
struct Place<'a>(&'a Counts);

impl Waiter {
    /// Waits on this fence, up to 65,536 at once, with tokio's timer.
    #[must_use]
    pub fn new(fence: &Fence) -> Self {
        Waiter {
            fence: fence.clone(),
            runtime: None,
            waiters_max: WAITERS.default(),
            poll_interval: POLL_INTERVAL,
            counts: Arc::default(),
            others: None,
        }
    }

    /// How many may wait at once: 1 to 2^20. Default: 65,536.
    ///
    /// # Errors
    /// [`OutOfRange`].
    pub fn waiters_max(mut self, waiters_max: usize) -> Result<Self, OutOfRange> {
        self.waiters_max = WAITERS.check(waiters_max)?;
        Ok(self)
    }

    /// Who measures how long. Default: tokio, in whose context a wait must then be polled.
    #[must_use]
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// The log of which waits for other nodes, and for groups, ask. Without it they are refused.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn OutboxStore>) -> Self {
        self.others = Some(Others::new(store));
        self
    }

    /// Which process of the table of nodes this one is, so that it counts as soon as it has applied something, and not only when it has said so.
    #[must_use]
    pub fn own_run(mut self, run: u64) -> Self {
        if let Some(others) = &mut self.others {
            others.own_run = Some(run);
        }
        self
    }

    /// How often waits for a group look, if nobody in this process completes rows: a millisecond to 10 s. Default: 10 ms.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn poll_interval(mut self, time: Duration) -> Result<Self, Error> {
        let fault = ConfigFault::of_time("poll_interval", time, POLL_INTERVAL_RANGE);
        ConfigError::of_any(fault.into_iter().collect())?;
        self.poll_interval = time;
        Ok(self)
    }

    /// Waits. Dropped, it leaves nothing behind.
    ///
    /// # Errors
    /// For other nodes and for groups only: what the store says, [`Error::NoSuchGroup`] among it; [`Error::Config`] if there is no store to ask.
    pub async fn wait(&self, token: &Token, wait: Wait) -> Result<Waited, Error> {
        let began = self.fence.time();
        self.counts.waits.fetch_add(1, Ordering::Relaxed);
        let ended = match &wait.mode {
            WaitMode::None => Ended::satisfied(),
            WaitMode::Local | WaitMode::BestEffort => self.local(token, wait.time).await,
            mode => self.of_others(token, mode, wait.time).await?,
        };
        let waited = Waited {
            satisfied: ended.is_satisfied,
            degraded: !ended.is_satisfied,
            timed_out: ended.timed_out,
            unknown: ended.unknown,
            pending: if ended.is_satisfied {
                0
            } else {
                ended.pending.max(1)
            },
            lagging: ended.lagging,
            elapsed: self.fence.time().since(began),
            mode: wait.mode,
        };
        self.counts.count(&waited);
        Ok(waited)
    }

    async fn local(&self, token: &Token, time: Duration) -> Ended {
        let (applied, timed_out) = self.applied(token, time).await;
        let is_satisfied = applied == Applied::Yes;
        Ended {
            is_satisfied,
            timed_out,
            unknown: applied == Applied::Unknown,
            pending: if is_satisfied { 0 } else { self.pending(token) },
            lagging: Vec::new(),
        }
    }

    async fn of_others(&self, token: &Token, mode: &WaitMode, time: Duration) -> Result<Ended, Error> {
        let Some(others) = &self.others else {
            return Err(ConfigError::of(vec![ConfigFault {
                option: "store",
                given: "none".to_owned(),
                allowed: "the log of which a wait for other nodes, or for a group, asks".to_owned(),
            }]));
        };
        let Some(_place) = Place::take(&self.counts, self.waiters_max) else {
            return Ok(Ended::default());
        };
        let asked = async {
            match mode {
                WaitMode::Relayed(group) => self.relayed(others, group, token, time).await,
                WaitMode::Quorum(nodes) => self.nodes(others, Some(*nodes), token, time).await,
                _ => self.nodes(others, None, token, time).await,
            }
        };
        // The last look may take a moment; a database that gives no answer holds up nobody for longer than was asked for.
        let over = self.sleep(time.saturating_add(LAST_LOOK));
        match select(pin!(asked), over).await {
            Either::Left((ended, _)) => ended,
            Either::Right(_) => Ok(Ended {
                timed_out: true,
                pending: 1,
                ..Ended::default()
            }),
        }
    }

    /// Whether it is applied, at the latest after `time`; and whether that was over.
    async fn applied(&self, token: &Token, time: Duration) -> (Applied, bool) {
        match self.fence.applied(token) {
            Applied::No if time.is_zero() => return (Applied::No, true),
            Applied::No => {}
            known => return (known, false),
        }
        let Some(_place) = Place::take(&self.counts, self.waiters_max) else {
            return (Applied::No, false);
        };
        let mut applied = self.fence.when_applied(token.clone());
        let mut over = self.sleep(time);
        poll_fn(|context| {
            if let Poll::Ready(applied) = Pin::new(&mut applied).poll(context) {
                return Poll::Ready((applied, false));
            }
            over.as_mut().poll(context).map(|()| (Applied::No, true))
        })
        .await
    }

    fn sleep(&self, time: Duration) -> TaskFuture {
        pace::sleep(self.runtime.as_ref(), time)
    }

    fn pending(&self, token: &Token) -> usize {
        let requirements = token.requirements().iter();
        let is_pending = |requirement: &&Requirement| self.fence.applied(&alone(requirement)) != Applied::Yes;
        // A token that only the origin satisfies names no source.
        requirements.filter(is_pending).count().max(1)
    }

    /// What it and its clones have done since the start.
    #[must_use]
    pub fn diagnostics(&self) -> WaiterDiagnostics {
        let Counts {
            waits,
            satisfied,
            timed_out,
            degraded,
            ..
        } = &*self.counts;
        WaiterDiagnostics {
            waits: waits.load(Ordering::Relaxed),
            satisfied: satisfied.load(Ordering::Relaxed),
            timed_out: timed_out.load(Ordering::Relaxed),
            degraded: degraded.load(Ordering::Relaxed),
        }
    }
}

impl<D: Database> Outbox<D> {
    /// Waits on this fence, and asks this log for other nodes and for groups.
    #[must_use]
    pub fn waiter(&self, fence: &Fence) -> Waiter {
        let mut others = Others::new(self.store());
        others.own_run = Some(self.local().origin.run());
        let mut waiter = Waiter::new(fence);
        waiter.others = Some(others);
        waiter
    }
}

/// How a wait has ended.
#[derive(Default)]
struct Ended {
    is_satisfied: bool,
    timed_out: bool,
    unknown: bool,
    pending: usize,
    lagging: Vec<String>,
}

impl Ended {
    fn satisfied() -> Self {
        Ended {
            is_satisfied: true,
            ..Ended::default()
        }
    }
}

/// Whether this node has applied a token, as a wait for others asks again and again: that a position was never given out is known only once its source was
/// asked since the wait began.
struct Own {
    asked: WhenApplied,
    known: Option<Applied>,
}

impl Own {
    fn of(fence: &Fence, token: &Token) -> Self {
        Own {
            asked: fence.when_applied(token.clone()),
            known: None,
        }
    }

    fn now(&mut self, fence: &Fence, token: &Token) -> Applied {
        if self.known.is_none() {
            self.known = (&mut self.asked).now_or_never();
        }
        self.known.unwrap_or_else(|| fence.applied(token))
    }
}

/// What a token asks of one source.
fn alone(requirement: &Requirement) -> Token {
    let (source, epoch) = (requirement.source(), requirement.epoch());
    let below = Token::below(
        source,
        epoch,
        requirement.below(),
        requirement.except().iter().copied(),
    );
    let singles = requirement.singles().iter();
    singles.fold(below, |all, position| {
        all.merge(&Token::commit(source, epoch, *position))
    })
}

impl Counts {
    fn count(&self, waited: &Waited) {
        for (counter, is_one) in [
            (&self.satisfied, waited.satisfied),
            (&self.timed_out, waited.timed_out),
            (&self.degraded, waited.degraded),
        ] {
            counter.fetch_add(u64::from(is_one), Ordering::Relaxed);
        }
    }
}

impl<'a> Place<'a> {
    fn take(counts: &'a Counts, most: usize) -> Option<Self> {
        let before = counts.now.fetch_add(1, Ordering::Relaxed);
        // Given back at once if there is none.
        let place = Place(counts);
        (before < most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter")
            .field("waiters_max", &self.waiters_max)
            .finish_non_exhaustive()
    }
}
