//! [`Backoff`]: after how long a row that has failed comes again.

use std::time::Duration;

use crate::limits::{BACKOFF, BACKOFF_MAX};
use crate::pace::jittered;

/// After how long a row that has failed comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub(super) first: Duration,
    pub(super) most: Duration,
    is_fixed: bool,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::doubling(BACKOFF, BACKOFF_MAX)
    }
}

impl Backoff {
    /// Twice as long after each further failure, up to `most`; each time shortened by up to half, at random, so that what failed together does
    /// not come again together.
    #[must_use]
    pub const fn doubling(first: Duration, most: Duration) -> Self {
        Backoff {
            first,
            most,
            is_fixed: false,
        }
    }

    /// Always as long.
    #[must_use]
    pub const fn fixed(time: Duration) -> Self {
        Backoff {
            first: time,
            most: time,
            is_fixed: true,
        }
    }

    /// After so many failures.
    pub(super) fn after(self, failures: u32, random: u64) -> Duration {
        if self.is_fixed {
            return self.first;
        }
        let times = 1_u32 << failures.saturating_sub(1).min(31);
        jittered(self.first.saturating_mul(times).min(self.most), random)
    }
}
