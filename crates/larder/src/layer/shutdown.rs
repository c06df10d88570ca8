//! The end of a layer: each part is told to stop, and waited for until a deadline.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use larder_core::TaskFuture;
use tokio::sync::OnceCell;

use super::Shared;

/// How a shutdown went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Each part, in the order in which they were told.
    pub parts: Vec<PartEnded>,
    /// How long it took.
    pub took: Duration,
}

/// How a part ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartEnded {
    /// Which part.
    pub part: String,
    /// How.
    pub ended: Ended,
}

/// How a part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// It has done what it had to.
    Clean,
    /// It was still busy at the deadline, and was left.
    CutOff,
}

impl ShutdownReport {
    /// Whether every part has done what it had to.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.parts.iter().all(|part| part.ended == Ended::Clean)
    }
}

/// Whether a shutdown has begun, and how it went.
#[derive(Default)]
pub(super) struct Closing {
    begun: larder_core::sync::AtomicBool,
    report: OnceCell<ShutdownReport>,
}

impl Closing {
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(larder_core::sync::Ordering::Acquire)
    }
}

pub(super) async fn shutdown(shared: &Arc<Shared>, deadline: Duration) -> ShutdownReport {
    shared
        .closing
        .begun
        .store(true, larder_core::sync::Ordering::Release);
    let report = shared.closing.report.get_or_init(|| close(shared, deadline));
    report.await.clone()
}

async fn close(shared: &Shared, deadline: Duration) -> ShutdownReport {
    let began = shared.clock.monotonic();
    let left = || deadline.saturating_sub(shared.clock.monotonic().since(began));
    let mut parts = Vec::new();
    for pool in &shared.pools {
        let ended = within(shared.runtime.sleep(left()), pool.shutdown()).await;
        parts.push(PartEnded {
            part: pool.describe(),
            ended,
        });
    }
    shared.tasks.stop();
    for (name, end) in shared.tasks.ends() {
        let ended = within(shared.runtime.sleep(left()), end).await;
        parts.push(PartEnded { part: name, ended });
    }
    let took = shared.clock.monotonic().since(began);
    ShutdownReport { parts, took }
}

async fn within(deadline: TaskFuture, end: impl Future<Output = ()>) -> Ended {
    match select(pin!(end), deadline).await {
        Either::Left(_) => Ended::Clean,
        Either::Right(_) => Ended::CutOff,
    }
}
