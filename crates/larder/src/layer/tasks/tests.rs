//! The supervisor over simulated time: how often a task is run again, when it has failed, when it is stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder_core::sync::Mutex;
use larder_core::{BoxFuture, Clock as _, Moment};
use larder_testkit::{SimClock, SimRuntime};

use super::{Done, Progress, Stop, Supervisor, TaskState};

struct Ground {
    runtime: SimRuntime,
    tasks: Supervisor,
    /// When the task was run.
    runs: Arc<Mutex<Vec<Moment>>>,
}

impl Ground {
    /// A task that ends at once, as `ends` says, each time.
    fn ending(ends: impl Fn(u64) -> BoxFuture<'static, Done> + Send + 'static) -> Self {
        let clock = SimClock::new();
        let runtime = SimRuntime::new(&clock);
        let tasks = Supervisor::new(Arc::new(runtime.clone()), Arc::new(clock.clone()));
        let runs = Arc::<Mutex<Vec<Moment>>>::default();
        let (noted, time) = (Arc::clone(&runs), clock.clone());
        let work = move |_: Stop| {
            let mut runs = noted.lock();
            runs.push(time.monotonic());
            ends(runs.len() as u64)
        };
        let progress: Progress = Box::new(|| None);
        tasks.run("broken".to_owned(), Duration::from_secs(3_600), progress, work);
        runtime.run();
        Ground { runtime, tasks, runs }
    }

    fn state(&self) -> (TaskState, u64, Option<String>) {
        let status = self.tasks.statuses().remove(0);
        (status.state, status.restarts, status.last_error)
    }
}

/// Whatever ends it (a panic, an error, an end without a word): it is run again after 100 ms, doubling to 30 s, each time counted and with its reason; more than
/// ten times in ten minutes it counts as failed, and is tried all the same.
///
/// Contract: S39
#[test]
fn what_ends_too_early_is_run_again() {
    let ground = Ground::ending(|run| {
        Box::pin(async move {
            match run % 3 {
                0 => panic!("broken"),
                1 => Err(std::io::Error::other("the channel is closed").into()),
                _ => Ok(()),
            }
        })
    });
    let mut expected = Duration::from_millis(100);
    for run in 1..=10_u64 {
        let why = match run % 3 {
            0 => "it panicked: broken",
            1 => "the channel is closed",
            _ => "it ended by itself",
        };
        assert_eq!(ground.state(), (TaskState::Restarting, run, Some(why.to_owned())));
        ground.runtime.advance(expected - Duration::from_millis(1));
        assert_eq!(ground.runs.lock().len() as u64, run, "not before {expected:?}");
        ground.runtime.advance(Duration::from_millis(1));
        assert_eq!(ground.runs.lock().len() as u64, run + 1, "after {expected:?}");
        expected = (2 * expected).min(Duration::from_secs(30));
    }
    assert_eq!(ground.state().0, TaskState::Failed);
    ground.runtime.advance(Duration::from_secs(60));
    assert_eq!(ground.runs.lock().len(), 13, "every 30 s");
    assert_eq!(ground.state().0, TaskState::Failed);
}

/// One that has failed counts as running again once it has run for longer than the longest delay, and its budget is whole after ten minutes.
///
/// Contract: S39 (partial: the budget)
#[test]
fn one_that_runs_again_is_believed_in_time() {
    let is_well = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&is_well);
    let ground = Ground::ending(move |_| {
        let is_well = well.load(Ordering::Relaxed);
        Box::pin(async move {
            if is_well {
                std::future::pending().await
            } else {
                Ok(())
            }
        })
    });
    ground.runtime.advance(Duration::from_secs(120));
    assert_eq!(ground.state().0, TaskState::Failed);
    is_well.store(true, Ordering::Relaxed);
    ground.runtime.advance(Duration::from_secs(30));
    assert_eq!(ground.state().0, TaskState::Failed, "it has only just begun");
    ground.runtime.advance(Duration::from_secs(31));
    assert_eq!(ground.state().0, TaskState::Running);
}

/// One that does nothing for ten of its periods is stuck, until it does something.
///
/// Contract: S39 (partial: stuck)
#[test]
fn one_without_progress_is_stuck() {
    let clock = SimClock::new();
    let runtime = SimRuntime::new(&clock);
    let tasks = Supervisor::new(Arc::new(runtime.clone()), Arc::new(clock.clone()));
    let last = Arc::new(Mutex::new(None::<Moment>));
    let seen = Arc::clone(&last);
    let progress: Progress = Box::new(move || *seen.lock());
    let work = |stop: Stop| -> BoxFuture<'static, Done> {
        Box::pin(async move {
            stop.stopped().await;
            Ok(())
        })
    };
    tasks.run("slow".to_owned(), Duration::from_secs(1), progress, work);
    let state = || tasks.statuses().remove(0).state;
    runtime.advance(Duration::from_secs(10));
    assert_eq!(state(), TaskState::Running);
    runtime.advance(Duration::from_secs(1));
    assert_eq!(state(), TaskState::Stuck);
    *last.lock() = Some(clock.monotonic());
    assert_eq!(state(), TaskState::Running);
    tasks.stop();
    runtime.run();
    assert_eq!((state(), runtime.tasks()), (TaskState::Ended, 0));
}
