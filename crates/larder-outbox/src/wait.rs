//! [`Waiter`]: waits until this node has applied what a token asks for.
//!
//! What is always true: a wait reads no database; it sits on the fence, and wakes when progress is published. What it ends
//! with says what is known, and nothing is called satisfied that is not.

use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use larder_core::limits::{OutOfRange, WAITERS};
use larder_core::sync::{Arc, AtomicU64, AtomicUsize, Ordering};
use larder_core::{Applied, Fence, Requirement, Runtime, TaskFuture, Token};

/// For what to wait, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    mode: WaitMode,
    time: Duration,
}

/// For what a wait waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitMode {
    /// For nothing.
    None,
    /// Until this node has applied the token; a read after it has timed out goes to the origin.
    Local,
    /// The same; a read after it has timed out is served, and marked.
    BestEffort,
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

    /// For what it waits.
    #[must_use]
    pub const fn mode(&self) -> WaitMode {
        self.mode
    }
}

/// How a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// How many sources of the token are not applied as far as it asks; zero if it is satisfied.
    pub pending: usize,
    /// How long it took, by the clock of the fence.
    pub elapsed: Duration,
}

/// Waits on one fence. Clones count together.
#[derive(Clone)]
pub struct Waiter {
    fence: Fence,
    runtime: Option<Arc<dyn Runtime>>,
    waiters_max: usize,
    counts: Arc<Counts>,
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
            counts: Arc::default(),
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

    /// Waits. Dropped, it leaves nothing behind.
    pub async fn wait(&self, token: &Token, wait: Wait) -> Waited {
        let began = self.fence.time();
        self.counts.waits.fetch_add(1, Ordering::Relaxed);
        let (applied, timed_out) = match wait.mode {
            WaitMode::None => (Applied::Yes, false),
            WaitMode::Local | WaitMode::BestEffort => self.applied(token, wait.time).await,
        };
        let satisfied = applied == Applied::Yes;
        let waited = Waited {
            mode: wait.mode,
            satisfied,
            degraded: !satisfied,
            timed_out,
            unknown: applied == Applied::Unknown,
            pending: if satisfied { 0 } else { self.pending(token) },
            elapsed: self.fence.time().since(began),
        };
        self.counts.count(&waited);
        waited
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
        match &self.runtime {
            Some(runtime) => runtime.sleep(time),
            None => Box::pin(tokio::time::sleep(time)),
        }
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
