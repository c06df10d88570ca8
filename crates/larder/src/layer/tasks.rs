//! [`Supervisor`]: every loop that runs by itself, watched.
//!
//! What is always true: a task that ends, fails or panics before it was told to stop is counted, logged once and run again; nobody else spawns.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use larder_core::sync::Mutex;
use larder_core::{BoxFuture, Clock, Moment, Runtime};
use tokio::sync::watch;

use super::limits::{RESTART_AFTER, RESTART_AFTER_MAX, RESTARTS_MAX, RESTARTS_WITHIN, STUCK_AFTER_PERIODS};

/// What a task's work gives: nothing, or why it could not go on.
pub(super) type Done = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// How a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// It runs.
    Running,
    /// It has ended before it should, and is run again in a moment.
    Restarting,
    /// It has ended too often: it is run again, after the longest delay.
    Failed,
    /// It runs, and has done nothing for ten of its periods.
    Stuck,
    /// It was told to stop, and has.
    Ended,
}

/// What is known of a task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskStatus {
    /// What it is called.
    pub name: String,
    /// How it does.
    pub state: TaskState,
    /// How often it does something, at least.
    pub period: Duration,
    /// When it last did; none if it never has.
    pub last_progress: Option<Moment>,
    /// How often it was run again.
    pub restarts: u64,
    /// Why it ended, the last time that it did before it should.
    pub last_error: Option<String>,
}

/// Starts tasks, and keeps them going until it is told to stop.
pub(super) struct Supervisor {
    runtime: Arc<dyn Runtime>,
    clock: Arc<dyn Clock>,
    tasks: Mutex<Vec<Arc<Task>>>,
    stop: watch::Sender<bool>,
}

/// When a task last did something.
pub(super) type Progress = Box<dyn Fn() -> Option<Moment> + Send + Sync>;

struct Task {
    name: String,
    period: Duration,
    progress: Progress,
    state: Mutex<State>,
    ended: watch::Sender<bool>,
}

struct State {
    phase: Phase,
    /// It has ended too often of late.
    is_over: bool,
    restarts: u64,
    /// When it was run again, of late.
    recent: Vec<Moment>,
    last_error: Option<String>,
    since: Moment,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Waiting,
    Ended,
}

/// Resolves when the task is to stop.
#[derive(Clone)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(super) async fn stopped(mut self) {
        // Whoever would say so is gone: that is as good.
        drop(self.0.wait_for(|stop| *stop).await);
    }
}

impl Supervisor {
    pub(super) fn new(runtime: Arc<dyn Runtime>, clock: Arc<dyn Clock>) -> Self {
        Supervisor {
            runtime,
            clock,
            tasks: Mutex::default(),
            stop: watch::Sender::new(false),
        }
    }

    /// Runs `work` until it is told to stop, again each time that it ends before.
    pub(super) fn run(
        &self,
        name: String,
        period: Duration,
        progress: Progress,
        work: impl FnMut(Stop) -> BoxFuture<'static, Done> + Send + 'static,
    ) {
        let task = Arc::new(Task {
            name,
            period,
            progress,
            state: Mutex::new(State {
                phase: Phase::Running,
                is_over: false,
                restarts: 0,
                recent: Vec::new(),
                last_error: None,
                since: self.clock.monotonic(),
            }),
            ended: watch::Sender::new(false),
        });
        self.tasks.lock().push(Arc::clone(&task));
        let stop = Stop(self.stop.subscribe());
        let keeper = Keeper {
            runtime: Arc::downgrade(&self.runtime),
            clock: Arc::clone(&self.clock),
            task,
            stop,
        };
        self.runtime.spawn(Box::pin(keeper.keep(work)));
    }

    pub(super) fn statuses(&self) -> Vec<TaskStatus> {
        let now = self.clock.monotonic();
        let tasks = self.tasks.lock().clone();
        tasks.iter().map(|task| task.status(now)).collect()
    }

    /// Tells all tasks to stop.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// What says that all tasks are told to stop.
    pub(super) fn stop_signal(&self) -> Stop {
        Stop(self.stop.subscribe())
    }

    /// Resolves once all tasks are told to stop.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stop_signal().stopped()
    }

    /// What each task is called, and a future that ends with it.
    pub(super) fn ends(&self) -> Vec<(String, impl Future<Output = ()> + Send + 'static)> {
        let tasks = self.tasks.lock().clone();
        let ends = tasks.into_iter().map(|task| {
            let mut ended = task.ended.subscribe();
            let end = async move { drop(ended.wait_for(|ended| *ended).await) };
            (task.name.clone(), end)
        });
        ends.collect()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Task {
    fn status(&self, now: Moment) -> TaskStatus {
        let last_progress = (self.progress)();
        let state = self.state.lock();
        let last = last_progress.map_or(state.since, |last| last.max(state.since));
        let is_stuck = now.since(last) > self.period.saturating_mul(STUCK_AFTER_PERIODS);
        // One that has failed must run for a while before it is believed again.
        let is_tried = state.phase == Phase::Running && now.since(state.since) > RESTART_AFTER_MAX;
        TaskStatus {
            name: self.name.clone(),
            state: match state.phase {
                Phase::Ended => TaskState::Ended,
                _ if state.is_over && !is_tried => TaskState::Failed,
                Phase::Waiting => TaskState::Restarting,
                Phase::Running if is_stuck => TaskState::Stuck,
                Phase::Running => TaskState::Running,
            },
            period: self.period,
            last_progress,
            restarts: state.restarts,
            last_error: state.last_error.clone(),
        }
    }

    /// It has ended before it should. After how long it is run again.
    fn failed(&self, now: Moment, why: String) -> Duration {
        let mut state = self.state.lock();
        state.restarts += 1;
        let within = state.recent.iter().filter(|at| now.since(**at) < RESTARTS_WITHIN);
        let mut recent: Vec<Moment> = within.copied().collect();
        recent.push(now);
        let count = u32::try_from(recent.len()).unwrap_or(u32::MAX);
        state.is_over = recent.len() > RESTARTS_MAX;
        if state.is_over {
            recent.remove(0);
        }
        state.recent = recent;
        state.phase = Phase::Waiting;
        state.last_error = Some(why);
        if state.is_over {
            return RESTART_AFTER_MAX;
        }
        let doubled = RESTART_AFTER.saturating_mul(1_u32.checked_shl(count - 1).unwrap_or(u32::MAX));
        doubled.min(RESTART_AFTER_MAX)
    }

    fn enter(&self, phase: Phase, now: Moment) {
        let mut state = self.state.lock();
        (state.phase, state.since) = (phase, now);
    }
}

/// Runs one task again and again.
struct Keeper {
    runtime: Weak<dyn Runtime>,
    clock: Arc<dyn Clock>,
    task: Arc<Task>,
    stop: Stop,
}

impl Keeper {
    async fn keep(self, mut work: impl FnMut(Stop) -> BoxFuture<'static, Done>) {
        loop {
            self.task.enter(Phase::Running, self.clock.monotonic());
            let done = AssertUnwindSafe(work(self.stop.clone())).catch_unwind().await;
            let now = self.clock.monotonic();
            if *self.stop.0.borrow() || self.stop.0.has_changed().is_err() {
                break;
            }
            let why = match done {
                Ok(Ok(())) => "it ended by itself".to_owned(),
                Ok(Err(error)) => told(&*error),
                Err(panic) => format!("it panicked: {}", text_of(&*panic)),
            };
            let name = &self.task.name;
            let after = self.task.failed(now, why.clone());
            tracing::error!(task = %name, %why, ?after, "a task ended, and is run again");
            let Some(runtime) = self.runtime.upgrade() else {
                break;
            };
            let over = runtime.sleep(after);
            drop(runtime);
            if let Either::Left(_) = select(pin!(self.stop.clone().stopped()), over).await {
                break;
            }
        }
        self.task.enter(Phase::Ended, self.clock.monotonic());
        self.task.ended.send_replace(true);
    }
}

/// An error with all its causes.
pub(super) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

pub(super) fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a text")
}

#[cfg(test)]
mod tests;
