//! [`Timestamp`]: a point of wall time, in microseconds since the Unix epoch.
//!
//! It is a number that can be stored and shown, nothing more: it may repeat, and it goes back when somebody sets
//! the clock. What orders events or decides freshness is never a `Timestamp`; what measures a duration is a
//! [`Moment`](crate::Moment). No operation on it wraps or panics: sums and differences stay at the ends of the range.

use std::fmt;
use std::time::Duration;

/// Microseconds since 1970-01-01T00:00:00Z, negative before it; leap seconds are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest timestamp, about 292,000 years before 1970.
    pub const MIN: Self = Self(i64::MIN);
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);
    /// The latest timestamp, about 292,000 years after 1970.
    pub const MAX: Self = Self(i64::MAX);

    /// The timestamp that many microseconds after (or, if negative, before) the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This much later, at most [`Timestamp::MAX`]. What is below a microsecond is cut off.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(clamp(i128::from(self.0).saturating_add(micros(duration))))
    }

    /// This much earlier, at least [`Timestamp::MIN`]. What is below a microsecond is cut off.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(clamp(i128::from(self.0).saturating_sub(micros(duration))))
    }

    /// The time from `earlier` until this timestamp; zero if `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        if self <= earlier {
            return Duration::ZERO;
        }
        Duration::from_micros(self.0.abs_diff(earlier.0))
    }
}

/// Shown as the bare number of microseconds with its unit, so that nobody takes it for seconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

/// The longest duration, 2^64 seconds, has fewer than 2^84 microseconds.
fn micros(duration: Duration) -> i128 {
    i128::try_from(duration.as_micros()).unwrap_or(i128::MAX)
}

fn clamp(micros: i128) -> i64 {
    let end = if micros < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(micros).unwrap_or(end)
}
