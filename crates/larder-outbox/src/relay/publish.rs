//! [`Publish`]: where a relay hands rows to.

use std::fmt;
use std::sync::Arc;

use larder_core::{BoxFuture, Cause, Fence, Invalidation, Reason, Sink};

use crate::OutboxRow;

/// Hands rows to another system.
///
/// A row may come more than once: its id says that it is the same. Rows of one target may come in another order than they were recorded.
/// A closure that answers at once is one; [`PublishFn`] makes one of a closure that gives a future; [`ToSink`] of a sink in this process.
pub trait Publish: Send + Sync {
    /// Answers for each row, in their order. While this goes on the rows are held. A panic is a failure of all of them.
    fn publish<'a>(&'a self, rows: &'a [OutboxRow]) -> BoxFuture<'a, Vec<Published>>;
}

/// What became of a row that was to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// It was.
    Done,
    /// Not this time: it comes again, until it has failed as often as it may.
    Retry(String),
    /// It never will be: it is a dead letter.
    Permanent(String),
    /// The system to which it was to go is not there. That is no failure of the row: it goes back, and comes again when the system is there.
    Unavailable(String),
}

impl<F: Fn(&[OutboxRow]) -> Vec<Published> + Send + Sync> Publish for F {
    fn publish<'a>(&'a self, rows: &'a [OutboxRow]) -> BoxFuture<'a, Vec<Published>> {
        Box::pin(async move { self(rows) })
    }
}

/// A closure that gives a boxed future: `PublishFn::new(|rows| Box::pin(async move { … }))`.
pub struct PublishFn<F>(F);

impl<F> PublishFn<F>
where
    F: for<'a> Fn(&'a [OutboxRow]) -> BoxFuture<'a, Vec<Published>> + Send + Sync,
{
    /// Publishes by this closure.
    pub fn new(publish: F) -> Self {
        PublishFn(publish)
    }
}

impl<F> Publish for PublishFn<F>
where
    F: for<'a> Fn(&'a [OutboxRow]) -> BoxFuture<'a, Vec<Published>> + Send + Sync,
{
    fn publish<'a>(&'a self, rows: &'a [OutboxRow]) -> BoxFuture<'a, Vec<Published>> {
        (self.0)(rows)
    }
}

/// Feeds a sink of this process, which is then invalidated by a relay instead of a follower: the fence is raised first, and a row
/// is done when what the sink ended is gone everywhere.
pub struct ToSink {
    fence: Fence,
    sink: Arc<dyn Sink>,
}

impl ToSink {
    /// Raises this fence, then calls this sink.
    pub fn new(fence: &Fence, sink: Arc<dyn Sink>) -> Self {
        ToSink {
            fence: fence.clone(),
            sink,
        }
    }
}

impl Publish for ToSink {
    fn publish<'a>(&'a self, rows: &'a [OutboxRow]) -> BoxFuture<'a, Vec<Published>> {
        Box::pin(async move {
            let invalidations: Vec<Invalidation> = rows.iter().map(OutboxRow::invalidation).collect();
            let Some(last) = rows.iter().map(OutboxRow::position).max() else {
                return Vec::new();
            };
            for row in rows {
                let reason = Reason::new(row.reason.as_str());
                self.fence.invalidate(&row.target, Cause::direct(reason));
            }
            let answer = match self.sink.apply(&invalidations, last) {
                Ok(settled) => {
                    settled.done().await;
                    Published::Done
                }
                Err(error) => Published::Retry(error.to_string()),
            };
            vec![answer; rows.len()]
        })
    }
}

impl<F> fmt::Debug for PublishFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishFn").finish_non_exhaustive()
    }
}

impl fmt::Debug for ToSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToSink").finish_non_exhaustive()
    }
}
