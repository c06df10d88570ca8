//! What a load in the air carries, and how it lands.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use larder_core::{EntityName, Moment, Pin, TaskFuture, Token};
use larder_memory::flight::{self, Overtaken};
use smallvec::SmallVec;

use super::error::FetchError;
use super::fetched::Outcome;
use super::options::Plan;
use crate::loaded::Previous;
use crate::notes::Note;
use crate::panics::caught;
use crate::shared::Shared;
use crate::{Entity, LoadOutcome};

/// The flights of a pool. Who may join is judged by the pin that was taken before the load began.
pub(crate) type Flights<T> = flight::Flights<<T as Entity>::Id, Pin, Outcome<T>>;
/// A call's turn to load.
pub(super) type Turn<T> = flight::Turn<<T as Entity>::Id, Pin, Outcome<T>>;
/// A wait for one id.
pub(super) type Waiter<T> = flight::Waiter<<T as Entity>::Id, Pin, Outcome<T>>;
/// A wait for several ids of one load.
pub(super) type Waiters<T> = flight::Waiters<<T as Entity>::Id, Pin, Outcome<T>>;
/// Flights that were overtaken.
pub(crate) type Overtook<T> = flight::Overtook<<T as Entity>::Id, Pin, Outcome<T>>;
/// What is noted about an id that the source does not have.
pub(crate) type AbsenceNote<T> = Note<<T as Entity>::Id, Absence>;
/// What is noted about an id that could not be loaded.
pub(crate) type FailureNote<T> = Note<<T as Entity>::Id, ()>;

/// The source said that there is no such entity.
pub(crate) struct Absence {
    /// Nothing that the answer depends on was invalidated since.
    pub(super) pin: Pin,
    /// As of this stamp.
    pub(super) at: Moment,
}

impl Absence {
    /// Whether it still holds in this pool.
    pub(crate) fn is_fresh<T: Entity>(&self, pool: &Shared<T>) -> bool {
        pool.is_fresh(&self.pin)
    }
}

/// The outcome of a load whose panic nobody else has caught.
pub(crate) fn panicked<T>(text: &str) -> Outcome<T> {
    Outcome::Failed(FetchError::panicked(text))
}

/// How a loader's future ended.
pub(super) enum Ended<R> {
    Done(R),
    Panicked(String),
    TimedOut(Duration),
}

/// Polls foreign code to its end: a panic is one, and so is a sleep that is over before.
pub(super) async fn contained<F: Future>(
    future: F,
    limit: Option<(TaskFuture, Duration)>,
) -> Ended<F::Output> {
    let mut future = pin!(future);
    let mut limit = limit;
    poll_fn(move |context| {
        match caught(|| future.as_mut().poll(context)) {
            Ok(Poll::Ready(done)) => return Poll::Ready(Ended::Done(done)),
            Err(message) => return Poll::Ready(Ended::Panicked(message)),
            Ok(Poll::Pending) => {}
        }
        if let Some((sleep, after)) = &mut limit
            && sleep.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Ended::TimedOut(*after));
        }
        Poll::Pending
    })
    .await
}

/// What a load carries.
pub(super) struct Run<T: Entity> {
    pub(super) pool: Weak<Shared<T>>,
    pub(super) name: EntityName,
    pub(super) legs: SmallVec<[Leg<T>; 1]>,
    pub(super) terms: Terms,
    pub(super) watch: LoadWatch<T>,
}

/// One id of it.
pub(super) struct Leg<T: Entity> {
    pub(super) id: Arc<T::Id>,
    pub(super) hash: u64,
    /// On the id alone, taken before the load began.
    pub(super) pin: Pin,
    pub(super) overtaken: Overtaken,
    /// What the load may renew.
    pub(super) previous: Option<Previous<T>>,
}

/// What was asked of it.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) negative_ttl: Option<Duration>,
    /// The load went past memory: what it brings is stored only if it certainly includes this.
    pub(super) token: Option<Token>,
    /// What the loader is called.
    pub(super) loader: &'static str,
}

/// Counts and reports one run of a loader, however it ends.
pub(super) struct LoadWatch<T: Entity> {
    pool: Weak<Shared<T>>,
    ids: usize,
    begun: Moment,
    /// When it ended; none if it was dropped before.
    ended: Option<Moment>,
    outcome: LoadOutcome,
    /// Whether it is counted at all: not if it waits for a batch that is.
    is_counted: bool,
}

impl<T: Entity> LoadWatch<T> {
    pub(super) fn new(pool: &Arc<Shared<T>>, ids: usize) -> Self {
        LoadWatch {
            pool: Arc::downgrade(pool),
            ids,
            begun: pool.clock.monotonic(),
            ended: None,
            outcome: LoadOutcome::Cancelled,
            is_counted: true,
        }
    }

    /// Not counted if it waits for a batch that is.
    pub(super) fn of_plan(pool: &Arc<Shared<T>>, ids: usize, plan: &Plan) -> Self {
        let mut watch = Self::new(pool, ids);
        watch.is_counted = plan.is_counted;
        watch
    }

    /// The loader has ended, like this as far as is known.
    pub(super) fn end<R>(&mut self, ended: &Ended<Result<R, FetchError>>) {
        self.outcome = match ended {
            Ended::Done(Ok(_)) => LoadOutcome::Loaded,
            Ended::Done(Err(_)) => LoadOutcome::Failed,
            Ended::Panicked(_) => LoadOutcome::Panicked,
            Ended::TimedOut(_) => LoadOutcome::TimedOut,
        };
        self.ended = self.pool.upgrade().map(|pool| pool.clock.monotonic());
    }

    /// What it brought turned out to be nothing that was asked for.
    pub(super) fn failed(&mut self) {
        self.outcome = LoadOutcome::Failed;
    }
}

impl<T: Entity> Drop for LoadWatch<T> {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade().filter(|_| self.is_counted) else {
            return;
        };
        let ended = self.ended.unwrap_or_else(|| pool.clock.monotonic());
        let time = ended.since(self.begun);
        pool.fetches.loaded(self.outcome, time);
        pool.report(|metrics, name| metrics.loaded(name, self.ids, time, self.outcome));
    }
}

impl<R> Ended<Result<R, FetchError>> {
    pub(super) fn into_result(self) -> Result<R, FetchError> {
        match self {
            Ended::Done(done) => done,
            Ended::Panicked(message) => Err(FetchError::panicked(&message)),
            Ended::TimedOut(after) => Err(FetchError::Timeout { after }),
        }
    }
}
