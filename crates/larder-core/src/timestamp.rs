//! A moment by somebody's wall clock, as a number.
//!
//! Which clock is said where the moment comes from: for a recorded invalidation it is the database's. Times of two
//! clocks are not compared, and nothing here reads one.

use std::fmt;

/// Microseconds since the Unix epoch, 1970-01-01T00:00:00Z; before it, negative. Leap seconds do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment so many microseconds after the Unix epoch.
    #[inline]
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[inline]
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }
}

/// Seconds since the Unix epoch with six decimals, such as `1.500000`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}
