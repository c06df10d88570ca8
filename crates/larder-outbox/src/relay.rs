//! [`Relay`]: takes rows of the log for a group, hands them to whatever publishes them, and says what became of them.
//!
//! What is always true: a row is acknowledged only after it was published, so one that was published may come again, and none is skipped.
//! A row that fails counts an attempt; a transport that is down counts none. Nothing here runs by itself.

mod backoff;
mod builder;
mod publish;
mod report;
mod run;

use std::borrow::Cow;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use larder_core::sync::{Arc, Mutex};
use tracing::Instrument as _;

use larder_core::{Clock, Entropy, Moment, Runtime, TargetHash};

pub use self::backoff::Backoff;
pub use self::builder::RelayBuilder;
pub use self::publish::{Publish, PublishFn, Published, ToSink};
use self::report::Counts;
pub use self::report::{RelayDiagnostics, RelayReport, RunError};
use crate::pace;
use crate::{Claim, DeadLetters, Error, Failed, Next, OutboxRow, OutboxStore, RowId};

/// Hands each row of a log to other systems, at least once: one worker of a group takes it, publishes it, and acknowledges it. What fails comes
/// again, later and later, until it is a dead letter.
///
/// A handle: clones are the same relay, and count together. Several relays of one group share its rows among them, in this process or in others.
///
/// ```
/// use std::sync::Arc;
///
/// use larder_core::{Invalidations, SystemClock, SystemEntropy};
/// use larder_outbox::{CommitOrder, MemoryStore, OutboxRow, Published, Relay};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new(
///     CommitOrder::Ordered,
///     Arc::new(SystemClock::new()),
///     Arc::new(SystemEntropy::default()),
/// );
/// store.record_alone(&Invalidations::default().entity("user", 42)?);
///
/// let relay = Relay::builder(Arc::new(store), |rows: &[OutboxRow]| {
///     rows.iter().map(|row| { println!("{} {}", row.id, row.target); Published::Done }).collect()
/// })
/// .open()
/// .await?;
/// let report = relay.run_once().await?;
/// assert_eq!((report.claimed, report.acknowledged), (1, 1));
/// # Ok(())
/// # }
/// ```
pub struct Relay<P> {
    shared: Arc<Shared<P>>,
}

/// What all clones of a relay are.
struct Shared<P> {
    store: Arc<dyn OutboxStore>,
    publish: P,
    options: Options,
    counts: Counts,
    /// Since when the transport is down, and how often it was found so.
    stalled: Mutex<Option<Stalled>>,
}

/// How a relay is to behave.
struct Options {
    group: String,
    owner: String,
    batch_size: usize,
    claim_ttl: Duration,
    backoff: Backoff,
    max_attempts: u32,
    coalesce: bool,
    concurrency: usize,
    poll_min: Duration,
    poll_max: Duration,
    runtime: Option<Arc<dyn Runtime>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

#[derive(Clone, Copy)]
struct Stalled {
    since: Moment,
    times: u32,
}

/// What came of handing a batch over.
enum Handed {
    /// An answer for each row.
    Answers(Vec<Published>),
    /// It was to stop before there was one.
    Stopped,
}

/// What the answers for a claim come to.
#[derive(Default)]
struct Sorted {
    done: Vec<RowId>,
    failed: Vec<Failed>,
    dead: usize,
    /// Rows that were not tried, since the transport is down, with what it said.
    untried: usize,
    unavailable: Option<String>,
}

impl<P: Publish> Relay<P> {
    /// One round: claims a batch, publishes it, and completes it. Without rows all numbers of the report are zero.
    ///
    /// Dropped before it is done, what it holds comes again when its time is over.
    ///
    /// # Errors
    /// [`RunError`], with what was done until then. What was published and not acknowledged comes again.
    pub async fn run_once(&self) -> Result<RelayReport, RunError> {
        let never = pin!(std::future::pending());
        self.round(self.shared.options.batch_size, never).await
    }

    async fn round(
        &self,
        limit: usize,
        stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<RelayReport, RunError> {
        let shared = &*self.shared;
        shared.counts.iterations.fetch_add(1, Ordering::Relaxed);
        let mut report = RelayReport::default();
        let options = &shared.options;
        let claimed = shared
            .store
            .claim(&options.group, &options.owner, limit, options.claim_ttl)
            .instrument(tracing::debug_span!("outbox.claim", group = options.group, limit))
            .await;
        let claim = claimed.map_err(|source| RunError { report, source })?;
        report.claimed = claim.rows().len();
        report.dead_lettered = claim.dead_lettered();
        let completed = if claim.is_empty() {
            Ok(())
        } else {
            match self.hand_over(&claim, stop).await {
                Handed::Answers(answers) => self.complete(&claim, &answers, &mut report).await,
                Handed::Stopped => self.release(&claim, &mut report).await,
            }
        };
        shared.counts.count(&report);
        completed.map_err(|source| RunError { report, source })?;
        Ok(report)
    }

    /// Publishes the rows of a claim, and holds them for as long as that takes.
    async fn hand_over(&self, claim: &Claim, mut stop: Pin<&mut impl Future<Output = ()>>) -> Handed {
        let options = &self.shared.options;
        let (rows, places) = self.distinct(claim);
        let publishing = async { self.shared.publish.publish(&rows).await };
        let mut publishing = pin!(AssertUnwindSafe(publishing).catch_unwind());
        let mut is_stopping = false;
        loop {
            let third = pace::sleep(options.runtime.as_ref(), options.claim_ttl / 3);
            // Who has been told to stop is not told again.
            let stopped = pin!(async {
                if is_stopping {
                    std::future::pending::<()>().await;
                }
                stop.as_mut().await;
            });
            let other = select(third, stopped).map(|first| match first {
                Either::Left(_) => Waited::Third,
                Either::Right(_) => Waited::Stop,
            });
            let waited = match select(publishing.as_mut(), other).await {
                Either::Left((answers, _)) => Waited::Answers(answers.ok()),
                Either::Right((waited, _)) => waited,
            };
            match waited {
                Waited::Answers(answers) => return Handed::Answers(spread(answers, &places, rows.len())),
                Waited::Stop => is_stopping = true,
                // Long enough to finish what was under way.
                Waited::Third if is_stopping => return Handed::Stopped,
                Waited::Third => {
                    let renewing = pin!(self.renew(claim));
                    // What is published meanwhile is not held up.
                    if let Either::Left((answers, _)) = select(publishing.as_mut(), renewing).await {
                        return Handed::Answers(spread(answers.ok(), &places, rows.len()));
                    }
                }
            }
        }
    }

    async fn renew(&self, claim: &Claim) {
        let shared = &*self.shared;
        match shared.store.renew(claim, shared.options.claim_ttl).await {
            Ok(_) => drop(shared.counts.renewed.fetch_add(1, Ordering::Relaxed)),
            Err(error) => tracing::warn!(%error, "a claim could not be held any longer"),
        }
    }

    /// The rows to be published, and for each row of the claim which of them it is.
    fn distinct<'a>(&self, claim: &'a Claim) -> (Cow<'a, [OutboxRow]>, Vec<usize>) {
        let rows = claim.rows();
        if !self.shared.options.coalesce {
            return (Cow::Borrowed(rows), (0..rows.len()).collect());
        }
        let mut known: std::collections::HashMap<(TargetHash, &larder_core::Target), usize> =
            std::collections::HashMap::new();
        let (mut distinct, mut places) = (Vec::new(), Vec::new());
        for row in rows {
            let place = *known.entry((row.hash(), &row.target)).or_insert_with(|| {
                distinct.push(row.clone());
                distinct.len() - 1
            });
            places.push(place);
        }
        (Cow::Owned(distinct), places)
    }

    /// Says what became of each row. A failure of the store does not keep the rest from being said.
    async fn complete(
        &self,
        claim: &Claim,
        answers: &[Published],
        report: &mut RelayReport,
    ) -> Result<(), Error> {
        let shared = &*self.shared;
        let sorted = self.sort(claim, answers);
        self.stall(&sorted);
        let mut first_error = None;
        let (dead, failures) = (sorted.dead, sorted.failed.len());
        if failures > 0 {
            match shared.store.fail(claim, &sorted.failed).await {
                Ok(completed) => {
                    // Which of them were lost is not told: the dead ones are counted as if none of those was.
                    report.dead_lettered += dead.min(completed.done);
                    report.retried += completed.done.saturating_sub(dead);
                    report.lost += completed.lost;
                }
                Err(error) => first_error = Some(error),
            }
        }
        if !sorted.done.is_empty() {
            match shared.store.acknowledge(claim, &sorted.done).await {
                Ok(completed) => {
                    report.acknowledged += completed.done;
                    report.lost += completed.lost;
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        if sorted.untried > 0 || first_error.is_some() {
            let released = self.release(claim, report).await;
            first_error = first_error.or(released.err());
        }
        first_error.map_or(Ok(()), Err)
    }

    async fn release(&self, claim: &Claim, report: &mut RelayReport) -> Result<(), Error> {
        report.released += self.shared.store.release(claim).await?.done;
        Ok(())
    }

    fn sort(&self, claim: &Claim, answers: &[Published]) -> Sorted {
        let mut sorted = Sorted::default();
        for (row, answer) in claim.rows().iter().zip(answers) {
            let (error, next) = match answer {
                Published::Done => {
                    sorted.done.push(row.id);
                    continue;
                }
                Published::Unavailable(error) => {
                    sorted.untried += 1;
                    sorted.unavailable.get_or_insert_with(|| error.clone());
                    continue;
                }
                Published::Permanent(error) => (error, Next::Dead),
                Published::Retry(error)
                    if row.attempts.saturating_add(1) >= self.shared.options.max_attempts =>
                {
                    (error, Next::Dead)
                }
                Published::Retry(error) => {
                    let random = self.shared.options.entropy.next_u64();
                    let after = self
                        .shared
                        .options
                        .backoff
                        .after(row.attempts.saturating_add(1), random);
                    (error, Next::Retry(after))
                }
            };
            sorted.dead += usize::from(next == Next::Dead);
            sorted.failed.push(Failed {
                row: row.id,
                error: error.clone(),
                next,
            });
        }
        sorted
    }

    /// Writes down whether the transport is there.
    fn stall(&self, sorted: &Sorted) {
        let shared = &*self.shared;
        let now = shared.options.clock.monotonic();
        let mut stalled = shared.stalled.lock();
        let before = *stalled;
        *stalled = sorted.unavailable.as_ref().map(|_| Stalled {
            since: now,
            times: before.map_or(1, |before| before.times.saturating_add(1)),
        });
        drop(stalled);
        if let Some(before) = before {
            shared.counts.stalled_for(now.since(before.since));
        }
        match (&sorted.unavailable, before) {
            (Some(error), None) => {
                tracing::warn!(
                    error,
                    group = shared.options.group,
                    "the transport is down, and is asked again later"
                );
            }
            (None, Some(_)) => tracing::info!(group = shared.options.group, "the transport is there again"),
            _ => {}
        }
    }

    /// Makes dead letters of this group pending again: available now, with no attempts and no error. How many.
    ///
    /// # Errors
    /// [`Error`] of the store.
    pub async fn reset_dead_letters(&self, which: &DeadLetters) -> Result<u64, Error> {
        let which = which.clone().group(&self.shared.options.group);
        self.shared.store.reset_dead_letters(&which).await
    }

    /// Ends dead letters of this group for good. How many. The reason is logged.
    ///
    /// # Errors
    /// [`Error`] of the store.
    pub async fn discard_dead_letters(&self, which: &DeadLetters, reason: &str) -> Result<u64, Error> {
        let which = which.clone().group(&self.shared.options.group);
        self.shared.store.discard_dead_letters(&which, reason).await
    }
}

impl<P> Relay<P> {
    /// What it and its clones have done since it was opened.
    #[must_use]
    pub fn diagnostics(&self) -> RelayDiagnostics {
        let shared = &*self.shared;
        let mut diagnostics = shared.counts.diagnostics();
        if let Some(stalled) = *shared.stalled.lock() {
            diagnostics.is_stalled = true;
            diagnostics.stalled += shared.options.clock.monotonic().since(stalled.since);
        }
        diagnostics
    }

    /// The group for which it works.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.shared.options.group
    }

    /// The name under which it holds rows.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.shared.options.owner
    }
}

/// What happened first.
enum Waited {
    /// The answers; none after a panic.
    Answers(Option<Vec<Published>>),
    /// A third of the time of the claim is over.
    Third,
    Stop,
}

/// An answer for each row of the claim. Who gives fewer answers than there are rows, or none at all since it panicked, has failed for those.
fn spread(answers: Option<Vec<Published>>, places: &[usize], rows: usize) -> Vec<Published> {
    let lacking = match &answers {
        None => "publishing panicked".to_owned(),
        Some(answers) => format!("{} answers were given for {rows} rows", answers.len()),
    };
    let answers = answers.unwrap_or_default();
    let answer = |place: &usize| answers.get(*place).cloned();
    let each = places
        .iter()
        .map(|place| answer(place).unwrap_or_else(|| Published::Retry(lacking.clone())));
    each.collect()
}

impl<P> Clone for Relay<P> {
    fn clone(&self) -> Self {
        Relay {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<P> fmt::Debug for Relay<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("group", &self.shared.options.group)
            .field("owner", &self.shared.options.owner)
            .finish_non_exhaustive()
    }
}
