//! [`Runtime`]: where work goes on by itself, and where one waits for time to pass.
//!
//! Core has no runtime and starts nothing. A part that refreshes, sweeps or waits for a deadline is given a runtime; a
//! part without one links none. Nothing here knows whose runtime it is.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A future that a runtime runs to its end.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub type TaskFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A future that a runtime runs to its end.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Work that would hold up others if it ran among futures.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub type BlockingWork = Box<dyn FnOnce() + Send>;

/// Work that would hold up others if it ran among futures.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub type BlockingWork = Box<dyn FnOnce()>;

/// Runs tasks and lets time pass. Parts are given one, as `Arc<dyn Runtime>`.
///
/// Whoever implements it owes: a task that was spawned is polled until it ends, on any thread, whoever polls the spawner,
/// as long as the runtime lives; if the runtime ends before, the task is dropped. A sleep ends once its duration has
/// passed by the [`Clock`](crate::Clock) that the part was given, as nearly as the runtime can, and never before.
/// Neither call blocks, and both may be made from anywhere.
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// Runs a task by itself.
    fn spawn(&self, task: TaskFuture);

    /// Ends after `duration`. Dropping it ends it.
    fn sleep(&self, duration: Duration) -> TaskFuture;

    /// Runs work where it holds up no task.
    fn spawn_blocking(&self, work: BlockingWork);
}
