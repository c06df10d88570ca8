//! [`Hints`]: wakes, within this process, whoever waits for something to read.

use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};

use larder_core::sync::Mutex;

/// Counts commits, and keeps those who wait for the next.
#[derive(Default)]
pub struct Hints {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    given: u64,
    waiting: Vec<Waker>,
}

impl Hints {
    /// There may be something to read.
    pub(crate) fn give(&self) {
        let mut state = self.state.lock();
        state.given = state.given.wrapping_add(1);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for waker in waiting {
            waker.wake();
        }
    }

    /// How many hints there were.
    pub(crate) fn given(&self) -> u64 {
        self.state.lock().given
    }

    /// Resolves with the next hint that is given after this call.
    pub(crate) fn next(&self) -> impl Future<Output = ()> + Send + '_ {
        let seen = self.state.lock().given;
        poll_fn(move |context| {
            let own = context.waker().clone();
            let mut state = self.state.lock();
            if state.given != seen {
                return Poll::Ready(());
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(&own)) {
                state.waiting.push(own);
            }
            Poll::Pending
        })
    }
}
