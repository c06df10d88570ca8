//! Waiting for what a load brings, and driving it meanwhile.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use larder_core::sync::Arc;

use super::load::{Load, Turned};

/// Resolves to what the load brings for one key. Polling it drives the load; dropping it lets the others go on.
#[must_use = "futures do nothing unless polled"]
pub struct Waiter<K, C, R> {
    load: Arc<Load<K, C, R>>,
    index: usize,
    number: u64,
}

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landed<R> {
    /// This is what the load brought, or what it was given.
    Value(R),
    /// Whoever had the turn let it go before it loaded: ask again.
    Again,
    /// This wait is polled from within the load that it waits for, and would wait for ever.
    Recursive,
}

impl<K, C, R> Waiter<K, C, R> {
    pub(super) fn new(load: Arc<Load<K, C, R>>, index: usize, number: u64) -> Self {
        Waiter { load, index, number }
    }
}

impl<K, C, R> Future for Waiter<K, C, R>
where
    K: Send + Sync + 'static,
    C: Send + Sync + 'static,
    R: Clone + Send + Sync + 'static,
{
    type Output = Landed<R>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Landed<R>> {
        match self.load.poll(self.index, self.number, context.waker()) {
            Turned::Ready(landed) => Poll::Ready(landed),
            Turned::Pending => Poll::Pending,
        }
    }
}

impl<K, C, R> Drop for Waiter<K, C, R> {
    fn drop(&mut self) {
        self.load.leave(self.number);
    }
}

impl<K, C, R> fmt::Debug for Waiter<K, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").finish_non_exhaustive()
    }
}
