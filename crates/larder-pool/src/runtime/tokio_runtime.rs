//! [`TokioRuntime`]: tokio's, as the seam that pools ask for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use larder_core::{BlockingWork, Runtime, TaskFuture};
use tokio::runtime::Handle;
use tokio::time::Sleep;

use crate::panics::contain;

/// A handle of a tokio runtime. Time must be enabled in it.
///
/// Sleeps end by tokio's clock, which a test may pause; the pool's own clock is another seam. They end at once when the
/// runtime has been shut down.
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    handle: Handle,
}

impl TokioRuntime {
    /// The runtime behind this handle.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// The runtime within which the caller runs; `None` if there is none.
    #[must_use]
    pub fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self::new)
    }
}

/// A sleep that is over when its runtime has ended: tokio panics then, and nobody would wake whoever waits for it.
struct Sleeping(Pin<Box<Sleep>>);

impl Future for Sleeping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        contain(|| self.0.as_mut().poll(context)).unwrap_or(Poll::Ready(()))
    }
}

impl Runtime for TokioRuntime {
    fn spawn(&self, task: TaskFuture) {
        // Whoever spawns keeps a way of its own to end the task and to wait for it.
        drop(self.handle.spawn(task));
    }

    fn sleep(&self, duration: Duration) -> TaskFuture {
        // Made within the runtime, it may be polled anywhere.
        let _entered = self.handle.enter();
        Box::pin(Sleeping(Box::pin(tokio::time::sleep(duration))))
    }

    fn spawn_blocking(&self, work: BlockingWork) {
        drop(self.handle.spawn_blocking(work));
    }
}
