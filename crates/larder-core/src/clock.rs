//! [`Clock`], the only reader of time, and [`SystemClock`], the real one.
//!
//! Always true: [`Clock::monotonic`] never goes back, and counts the time for which the machine was suspended where
//! the platform has a clock that does, so that a node that slept knows it before its first answer. Wall time may
//! jump either way and decides nothing about freshness or order.
//!
//! A clock tells the time; it does not wait. Timers and sleeps belong to whoever has a runtime.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use crate::Timestamp;

/// Reads time. Parts are given one, as `Arc<dyn Clock>`, and read time from nothing else.
///
/// Whoever implements it owes: `monotonic` never returns less than it returned before, on any thread, where one
/// call happened before the other; `coarse` never returns more than a `monotonic` that begins after it, lags it by at
/// most ten milliseconds, and never goes back either. Calls are cheap, take no lock that user code can hold, and do
/// not fail.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Now, on the clock that never goes back.
    fn monotonic(&self) -> Moment;

    /// About now, at most ten milliseconds late, for a reader to whom cost matters more. By default the same as
    /// [`Clock::monotonic`].
    fn coarse(&self) -> Moment {
        self.monotonic()
    }

    /// Now, as people say it. It jumps when somebody sets the clock.
    fn wall(&self) -> Timestamp;
}

/// A point of monotonic time: nanoseconds since the origin of the clock that gave it.
///
/// Moments of one clock can be compared; across clocks, and across restarts of a machine, they mean nothing.
/// Sums and differences stay at the ends of the range (584 years) and never wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The clock's origin.
    pub const ORIGIN: Self = Self(0);
    /// The end of time: a deadline that is never reached.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment that many nanoseconds after the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` until this moment; zero if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This much earlier, at least [`Moment::ORIGIN`].
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(duration)))
    }
}

/// This much later, at most [`Moment::MAX`].
impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(duration)))
    }
}

/// The machine's clock.
///
/// Monotonic time is `CLOCK_BOOTTIME` on Linux and Android, which counts suspended time and has its origin at boot, and
/// `CLOCK_MONOTONIC` on Apple's systems, which counts it there; elsewhere it is [`std::time::Instant`] from the first
/// reading in this process on, which on some platforms stands still while the machine is suspended.
///
/// `coarse` is as late as the kernel's tick. Linux has no coarse clock that counts suspended time, so it is the coarse one
/// that does not, plus what it lacks, which changes only when the machine was suspended: then wall time and that clock
/// have moved apart, and it is measured anew. They are compared once a tick: the kernel brings its clocks forward before the
/// machine is suspended, so a reading that was compared is never told again afterwards. No counter of the processor is read,
/// which would hold up what comes after it.
///
/// All values of this type in a process are the same clock. It does not exist on `wasm32-unknown-unknown`, which has
/// no clock of its own; a host there brings its own [`Clock`].
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemClock;

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
impl SystemClock {
    /// The machine's clock.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
impl Clock for SystemClock {
    #[inline]
    fn monotonic(&self) -> Moment {
        system::monotonic()
    }

    #[inline]
    fn coarse(&self) -> Moment {
        system::coarse()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's wall clock"
    )]
    fn wall(&self) -> Timestamp {
        use std::time::SystemTime;
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Timestamp::UNIX_EPOCH.saturating_add(after),
            Err(before) => Timestamp::UNIX_EPOCH.saturating_sub(before.duration()),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
mod system {
    use super::Moment;
    use rustix::time::ClockId;

    #[cfg(not(target_vendor = "apple"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(target_vendor = "apple")]
    const CLOCK: ClockId = ClockId::Monotonic;

    const NANOS_PER_SECOND: u64 = 1_000_000_000;

    #[inline]
    pub(super) fn monotonic() -> Moment {
        Moment::from_nanos(nanos(CLOCK))
    }

    #[inline]
    fn nanos(clock: ClockId) -> u64 {
        let now = rustix::time::clock_gettime(clock);
        // Both fields are non-negative for these clocks, and their sum fits for 584 years: this is read with every hit that asks a fence.
        let seconds = now.tv_sec.cast_unsigned();
        let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
        seconds.wrapping_mul(NANOS_PER_SECOND).wrapping_add(nanos)
    }

    #[cfg(target_vendor = "apple")]
    pub(super) fn coarse() -> Moment {
        monotonic()
    }

    #[cfg(not(target_vendor = "apple"))]
    pub(super) use lagging::coarse;

    /// The coarse clock of Linux, made to count suspended time.
    #[cfg(not(target_vendor = "apple"))]
    mod lagging {
        use std::sync::atomic::{AtomicU64, Ordering};

        use rustix::time::ClockId;

        use super::{CLOCK, Moment, nanos};

        /// What the coarse clock lacks: it only grows, when the machine was suspended.
        static LACKS: AtomicU64 = AtomicU64::new(0);
        /// How far wall time was ahead when that was measured; zero before the first time.
        static AHEAD: AtomicU64 = AtomicU64::new(0);
        /// The reading of the coarse clock with which both were last compared; the greatest number before the first time.
        static COMPARED: AtomicU64 = AtomicU64::new(u64::MAX);
        /// Differences of both that are no suspension, but readings a tick apart. Shorter than any suspension.
        const APART_NANOS: u64 = 15_000_000;

        #[inline]
        pub(in super::super) fn coarse() -> Moment {
            let now = nanos(ClockId::MonotonicCoarse);
            // Acquire, against the release below: with this reading comes what was lacking at it. The kernel brings its clocks forward before
            // the machine is suspended, so that no reading of before is told again afterwards.
            if COMPARED.load(Ordering::Acquire) != now {
                compare(now);
            }
            Moment::from_nanos(now.wrapping_add(LACKS.load(Ordering::Relaxed)))
        }

        #[cold]
        #[inline(never)]
        fn compare(now: u64) {
            let ahead = nanos(ClockId::RealtimeCoarse).wrapping_sub(now);
            // Acquire, against the release below: with this difference comes what was measured with it.
            if ahead.abs_diff(AHEAD.load(Ordering::Acquire)) > APART_NANOS {
                measure(ahead);
            }
            COMPARED.store(now, Ordering::Release);
        }

        #[cold]
        fn measure(ahead: u64) {
            let suspended = nanos(CLOCK);
            // Read last, so that what is lacking is never told too high, and the coarse time never ahead.
            let running = nanos(ClockId::Monotonic);
            LACKS.fetch_max(suspended.saturating_sub(running), Ordering::Relaxed);
            AHEAD.store(ahead, Ordering::Release);
        }
    }
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    all(target_family = "wasm", target_os = "unknown")
)))]
mod system {
    use super::Moment;
    use std::sync::OnceLock;
    use std::time::Instant;

    static ORIGIN: OnceLock<Instant> = OnceLock::new();

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's clock"
    )]
    pub(super) fn monotonic() -> Moment {
        let now = Instant::now();
        Moment::ORIGIN + now.saturating_duration_since(*ORIGIN.get_or_init(|| now))
    }

    pub(super) fn coarse() -> Moment {
        monotonic()
    }
}

fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
