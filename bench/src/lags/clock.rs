//! A clock that all processes of a machine read the same from.

use std::time::Duration;

/// What it shows now, since some moment in the past.
#[cfg(target_os = "linux")]
pub(crate) fn now() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).expect("it began before now");
    let nanos = u32::try_from(time.tv_nsec).expect("a part of a second");
    Duration::new(seconds, nanos)
}

/// What it shows now: here the time of day, which is wrong if somebody sets it in between.
#[cfg(not(target_os = "linux"))]
pub(crate) fn now() -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("it is later than 1970")
}
