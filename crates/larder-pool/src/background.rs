//! [`Background`]: the tasks of a pool, which end with it.
//!
//! Every task that a pool spawns is listed here. What is always true: when the pool goes, or is shut down, each of them is
//! woken, idle or not, and ends at its next poll; who shuts down can wait for that. A task that panics ends alone.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use larder_core::sync::Mutex;
use larder_core::{Runtime, TaskFuture};

use crate::panics::contain;

/// The tasks of one pool.
#[derive(Default)]
pub(crate) struct Background {
    shared: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    stopped: bool,
    next: u64,
    /// By number, so that they end in the order in which they began: whom to wake to end the task; none while it was not
    /// polled yet.
    running: BTreeMap<u64, Option<Waker>>,
    /// Who waits for all of them to end.
    waiting: Vec<Waker>,
}

/// A task that knows when it is to end.
struct Ending {
    shared: Arc<Mutex<State>>,
    number: u64,
    /// None once it has ended.
    task: Option<TaskFuture>,
}

impl Background {
    /// Runs a task until it or the pool ends; false if the pool has stopped, and the task is dropped.
    pub(crate) fn spawn(&self, runtime: &dyn Runtime, task: TaskFuture) -> bool {
        let mut state = self.shared.lock();
        if state.stopped {
            drop(state);
            contain(|| drop(task));
            return false;
        }
        let number = state.next;
        state.next += 1;
        state.running.insert(number, None);
        drop(state);
        runtime.spawn(Box::pin(Ending {
            shared: Arc::clone(&self.shared),
            number,
            task: Some(task),
        }));
        true
    }

    /// Whether nothing is spawned any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.shared.lock().stopped
    }

    /// Lets every task end, and no other one begin.
    pub(crate) fn stop(&self) {
        let mut state = self.shared.lock();
        state.stopped = true;
        let wakers: Vec<Waker> = state.running.values_mut().filter_map(Option::take).collect();
        drop(state);
        for waker in wakers {
            contain(|| waker.wake());
        }
    }

    /// Ends when every task has.
    pub(crate) async fn ended(&self) {
        poll_fn(|context| {
            let waker = context.waker().clone();
            let mut state = self.shared.lock();
            if state.running.is_empty() {
                drop(state);
                drop(waker);
                return Poll::Ready(());
            }
            state.waiting.push(waker);
            Poll::Pending
        })
        .await;
    }
}

impl Ending {
    /// The task is over, however: it is dropped without a lock, and who waits is told.
    fn end(&mut self) {
        if let Some(task) = self.task.take() {
            contain(|| drop(task));
            let mut state = self.shared.lock();
            let waker = state.running.remove(&self.number);
            let waiting = if state.running.is_empty() {
                std::mem::take(&mut state.waiting)
            } else {
                Vec::new()
            };
            drop(state);
            drop(waker);
            for waker in waiting {
                contain(|| waker.wake());
            }
        }
    }

    /// Whether it is to end; if not, it is woken when it is.
    fn is_over(&self, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut state = self.shared.lock();
        if state.stopped {
            drop(state);
            drop(waker);
            return true;
        }
        let old = state.running.insert(self.number, Some(waker));
        drop(state);
        drop(old);
        false
    }
}

impl Future for Ending {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.is_over(context.waker()) {
            self.end();
            return Poll::Ready(());
        }
        let Some(task) = &mut self.task else {
            return Poll::Ready(());
        };
        // A panic ends the task as its end does, and is reported.
        let polled = contain(|| task.as_mut().poll(context));
        if polled == Some(Poll::Pending) {
            return Poll::Pending;
        }
        self.end();
        Poll::Ready(())
    }
}

/// A runtime that goes away drops its tasks.
impl Drop for Ending {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("Background")
            .field("stopped", &state.stopped)
            .field("running", &state.running.len())
            .finish_non_exhaustive()
    }
}
