//! [`SimRuntime`]: runs tasks on the test's own thread, one at a time, in an order that is always the same.
//!
//! Always true: nothing runs but when the test says so; tasks that are ready run in the order in which they became it;
//! time passes only by [`SimRuntime::advance`], which stops at every moment for which somebody sleeps. One seedless run is
//! like every other.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use larder_core::{BlockingWork, Clock, Moment, Runtime, TaskFuture};

use crate::SimClock;

/// A runtime under a test's control. Clones are handles of one runtime.
#[derive(Clone)]
pub struct SimRuntime {
    clock: SimClock,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    tasks: BTreeMap<u64, Option<TaskFuture>>,
    ready: VecDeque<u64>,
    next_task: u64,
    /// Who sleeps until when, in the order in which they fell asleep.
    sleepers: BTreeMap<(Moment, u64), Waker>,
    next_sleeper: u64,
}

impl SimRuntime {
    /// A runtime whose sleeps end by this clock.
    #[must_use]
    pub fn new(clock: &SimClock) -> Self {
        Self {
            clock: clock.clone(),
            state: Arc::default(),
        }
    }

    /// Runs every task that is ready, and those that become it, until none is. How many polls that took.
    pub fn run(&self) -> usize {
        let mut polls = 0;
        loop {
            let Some((number, task)) = self.next_ready() else {
                return polls;
            };
            polls += 1;
            self.poll(number, task);
        }
    }

    /// Lets time pass: at each moment for which somebody sleeps, who has slept enough is woken and everything runs.
    pub fn advance(&self, duration: Duration) {
        self.run();
        let until = self.clock.monotonic() + duration;
        loop {
            let first = self.lock().sleepers.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = first.filter(|at| *at <= until) else {
                break;
            };
            self.clock.advance(at.since(self.clock.monotonic()));
            let mut due = Vec::new();
            while let Some(first) = self.lock().sleepers.first_entry() {
                if first.key().0 > at {
                    break;
                }
                due.push(first.remove());
            }
            for waker in due {
                waker.wake();
            }
            self.run();
        }
        self.clock.advance(until.since(self.clock.monotonic()));
        self.run();
    }

    /// How many tasks have not ended.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.lock().tasks.len()
    }

    /// How many sleep.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.lock().sleepers.len()
    }

    /// Runs `future` on this thread, with everything else that is ready, to its end.
    ///
    /// # Panics
    ///
    /// If it waits for something that only time or somebody else can bring.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let woken = Arc::new(Flag::default());
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            woken.take();
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            let polls = self.run();
            assert!(
                polls > 0 || woken.take(),
                "the future waits for time to pass, or for ever"
            );
        }
    }

    /// Takes the next task out to be polled, so that it can spawn others.
    fn next_ready(&self) -> Option<(u64, TaskFuture)> {
        let mut state = self.lock();
        loop {
            let number = state.ready.pop_front()?;
            if let Some(task) = state.tasks.get_mut(&number).and_then(Option::take) {
                return Some((number, task));
            }
        }
    }

    fn poll(&self, number: u64, mut task: TaskFuture) {
        let wake = WakeTask {
            number,
            state: Arc::clone(&self.state),
        };
        let waker = Waker::from(Arc::new(wake));
        let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
        let mut state = self.lock();
        if polled.is_ready() {
            state.tasks.remove(&number);
            drop(state);
            // Without the lock: it may hold what spawns on its way out.
            drop(task);
        } else if let Some(place) = state.tasks.get_mut(&number) {
            *place = Some(task);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runtime for SimRuntime {
    fn spawn(&self, task: TaskFuture) {
        let mut state = self.lock();
        let number = state.next_task;
        state.next_task += 1;
        state.tasks.insert(number, Some(task));
        state.ready.push_back(number);
    }

    fn sleep(&self, duration: Duration) -> TaskFuture {
        let runtime = self.clone();
        let until = self.clock.monotonic() + duration;
        let mut asleep = Asleep {
            runtime: self.clone(),
            place: None,
        };
        Box::pin(poll_fn(move |context| {
            if runtime.clock.monotonic() >= until {
                return Poll::Ready(());
            }
            asleep.until(until, context.waker().clone());
            Poll::Pending
        }))
    }

    fn spawn_blocking(&self, work: BlockingWork) {
        let mut work = Some(work);
        self.spawn(Box::pin(poll_fn(move |_| {
            if let Some(work) = work.take() {
                work();
            }
            Poll::Ready(())
        })));
    }
}

impl fmt::Debug for SimRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimRuntime")
            .field("tasks", &self.tasks())
            .field("sleepers", &self.sleepers())
            .finish_non_exhaustive()
    }
}

/// The place of one who sleeps, given up when the sleep is dropped.
struct Asleep {
    runtime: SimRuntime,
    place: Option<(Moment, u64)>,
}

impl Asleep {
    fn until(&mut self, until: Moment, waker: Waker) {
        let mut state = self.runtime.lock();
        let place = *self.place.get_or_insert_with(|| {
            let number = state.next_sleeper;
            state.next_sleeper += 1;
            (until, number)
        });
        let old = state.sleepers.insert(place, waker);
        drop(state);
        drop(old);
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let gone = self.runtime.lock().sleepers.remove(&place);
            drop(gone);
        }
    }
}

/// Makes one task ready.
struct WakeTask {
    number: u64,
    state: Arc<Mutex<State>>,
}

impl Wake for WakeTask {
    fn wake(self: Arc<Self>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.ready.contains(&self.number) {
            state.ready.push_back(self.number);
        }
    }
}

/// Whether the future of [`SimRuntime::block_on`] was woken.
#[derive(Default)]
struct Flag(Mutex<bool>);

impl Flag {
    fn take(&self) -> bool {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// Polls a future once, with a waker that does nothing.
///
/// For tests that place each poll by hand.
pub fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
