//! The promise that what a sink's call ended is also gone outside this process.
//!
//! A sink with a tier that other nodes share answers before that tier has. A follower saves its cursor only when
//! every [`Settled`] of a round is done, so that a crash cannot leave the shared tier behind the cursor.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Mutex};

/// Whether, and when, a sink's call has also taken effect outside this process. A plain future.
#[derive(Debug, Default)]
#[must_use = "a cursor may only be saved once this is done"]
pub struct Settled {
    /// `None`: it was done at once.
    later: Option<Arc<Mutex<Later>>>,
}

/// Reports that a [`Settled`] is done. Dropped without a word, it never is.
#[derive(Debug)]
pub struct Settler {
    later: Arc<Mutex<Later>>,
}

#[derive(Debug, Default)]
struct Later {
    done: bool,
    waker: Option<Waker>,
}

impl Settled {
    /// Nothing outside this process keeps what was ended.
    pub fn at_once() -> Settled {
        Settled { later: None }
    }

    /// Not yet: done when the [`Settler`] says so.
    pub fn later() -> (Settled, Settler) {
        let later = Arc::new(Mutex::new(Later::default()));
        (
            Settled {
                later: Some(Arc::clone(&later)),
            },
            Settler { later },
        )
    }

    /// Whether it is done.
    pub fn is_done(&self) -> bool {
        self.later.as_ref().is_none_or(|later| later.lock().done)
    }

    /// Resolves when it is done.
    pub async fn done(self) {
        self.await;
    }
}

impl Future for Settled {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(later) = &self.later else {
            return Poll::Ready(());
        };
        // Cloned and dropped outside the lock: a waker is foreign code.
        let waker = context.waker().clone();
        let mut state = later.lock();
        if state.done {
            return Poll::Ready(());
        }
        let old = state.waker.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl Settler {
    /// It has taken effect everywhere.
    pub fn settle(self) {
        let mut state = self.later.lock();
        state.done = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
