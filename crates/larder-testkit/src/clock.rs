//! [`SimClock`]: a clock that stands still until a test moves it.
//!
//! Always true: monotonic time never goes back; every handle of one clock sees the same time; nothing but the test
//! moves it. It wakes nobody: who waits for a moment is woken by the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use larder_core::{Clock, Moment, Timestamp};

/// A clock under a test's control. Clones are handles of one clock.
#[derive(Clone, Debug)]
pub struct SimClock {
    time: Arc<Time>,
}

/// Plain atomics, not those of `larder_core::sync`: a clock is no part of what a model checker explores, and each of its
/// reads would double the schedules.
#[derive(Debug)]
struct Time {
    monotonic_nanos: AtomicU64,
    wall_micros: AtomicI64,
}

impl SimClock {
    /// A clock at one hour after its origin, at 2024-01-01T00:00:00Z. Not at the origin, so that a test may look back.
    #[must_use]
    pub fn new() -> Self {
        Self::starting_at(
            Moment::from_nanos(3_600_000_000_000),
            Timestamp::from_micros(1_704_067_200_000_000),
        )
    }

    /// A clock at these points of time.
    #[must_use]
    pub fn starting_at(monotonic: Moment, wall: Timestamp) -> Self {
        let time = Time {
            monotonic_nanos: AtomicU64::new(monotonic.as_nanos()),
            wall_micros: AtomicI64::new(wall.as_micros()),
        };
        Self { time: Arc::new(time) }
    }

    /// Lets time pass: both monotonic and wall time go on by `duration`. Wall time is cut to microseconds.
    pub fn advance(&self, duration: Duration) {
        self.advance_monotonic(duration);
        self.set_wall_by(|wall| wall.saturating_add(duration));
    }

    /// Moves monotonic time only: wall time was set back by as much.
    pub fn advance_monotonic(&self, duration: Duration) {
        let add = |nanos| Some((Moment::from_nanos(nanos) + duration).as_nanos());
        // The closure never refuses, so neither does the update.
        let _ = self
            .time
            .monotonic_nanos
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
    }

    /// Sets wall time, forwards or back, as an operator or a time server does. Monotonic time does not notice.
    pub fn set_wall(&self, wall: Timestamp) {
        self.time.wall_micros.store(wall.as_micros(), Ordering::Release);
    }

    fn set_wall_by(&self, change: impl Fn(Timestamp) -> Timestamp) {
        let set = |micros| Some(change(Timestamp::from_micros(micros)).as_micros());
        let _ = self
            .time
            .wall_micros
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, set);
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SimClock {
    fn monotonic(&self) -> Moment {
        Moment::from_nanos(self.time.monotonic_nanos.load(Ordering::Acquire))
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(self.time.wall_micros.load(Ordering::Acquire))
    }
}
