//! Rounds until somebody says stop: at once after rows, soon after hints, slower and slower while there is nothing.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, Shared, join_all, select};

use super::{Publish, Relay, RelayReport, RunError};
use crate::{Error, pace};

/// What one of the loops of a relay remembers.
struct Pace {
    idle: Duration,
    failures: u32,
    is_full: bool,
}

/// What to do before the next round.
enum Before {
    Nothing,
    /// Waits so long, or until there is a hint.
    Waiting(Duration),
    /// Waits so long, whatever is hinted.
    Backing(Duration),
}

impl<P: Publish> Relay<P> {
    /// Repeats [`Relay::run_once`] until `stop` resolves, with as many batches in flight as it may have. A store that fails is asked again, for ever: after
    /// 100 ms, doubling to 5 s. While the transport is down one row is tried after each backoff.
    ///
    /// When it stops it waits for what is being published, up to a third of the time of a claim, and then gives back what is not done. Dropped at any
    /// moment, what it holds comes again when its time is over.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let stop = stop.shared();
        let concurrency = self.shared.options.concurrency;
        join_all((0..concurrency).map(|index| self.repeat(index, stop.clone()))).await;
    }

    async fn repeat<S: Future<Output = ()>>(&self, index: usize, stop: Shared<S>) {
        let mut pace = Pace {
            idle: self.shared.options.poll_min,
            failures: 0,
            is_full: false,
        };
        let source = self.shared.store.source();
        // This one is never polled: one that has resolved must not be asked again, and its clones are as it is.
        while stop.clone().now_or_never().is_none() {
            // Asked for before the round, so that a hint during it is not missed.
            let hinted = source.hinted();
            let before = self.next(index, &mut pace, stop.clone()).await;
            let (pause, hinted) = match before {
                Before::Nothing => continue,
                Before::Waiting(pause) => (pause, Either::Left(hinted)),
                Before::Backing(pause) => (pause, Either::Right(std::future::pending())),
            };
            let pause = pace::sleep(self.shared.options.runtime.as_ref(), pause);
            let woken = pin!(select(pause, hinted));
            if let Either::Left((Either::Right(_), _)) = select(woken, stop.clone()).await {
                pace.idle = self.shared.options.poll_min;
            }
        }
    }

    /// One round, and what to do before the next.
    async fn next<S: Future<Output = ()>>(&self, index: usize, pace: &mut Pace, stop: Shared<S>) -> Before {
        let options = &self.shared.options;
        let stalled = *self.shared.stalled.lock();
        // While the transport is down one of the loops tries one row, and the others none.
        if stalled.is_some() && index > 0 {
            return Before::Backing(options.poll_max);
        }
        let limit = if stalled.is_some() { 1 } else { options.batch_size };
        let round = self.round(limit, pin!(stop)).await;
        let stalled = *self.shared.stalled.lock();
        if let (Ok(_), Some(stalled)) = (&round, stalled) {
            let after = options.backoff.after(stalled.times, options.entropy.next_u64());
            return Before::Backing(after);
        }
        match round {
            Ok(report) => pace.after(&report, options.poll_min, options.poll_max),
            Err(error) => self.failed(pace, &error),
        }
    }

    fn failed(&self, pace: &mut Pace, error: &RunError) -> Before {
        pace.failures = pace.failures.saturating_add(1);
        let is_full = matches!(error.source, Error::DeadLettersFull { .. });
        if !(is_full && pace.is_full) {
            let cause = &error.source;
            tracing::warn!(error = %cause, group = self.shared.options.group, "a round of a relay failed");
        }
        pace.is_full = is_full;
        let random = self.shared.options.entropy.next_u64();
        Before::Backing(pace::after_failures(pace.failures, random))
    }
}

impl Pace {
    fn after(&mut self, report: &RelayReport, poll_min: Duration, poll_max: Duration) -> Before {
        (self.failures, self.is_full) = (0, false);
        if report.claimed > 0 {
            self.idle = poll_min;
            return Before::Nothing;
        }
        let pause = self.idle;
        self.idle = self.idle.saturating_mul(2).min(poll_max);
        Before::Waiting(pause)
    }
}
