//! How soon somebody who asks again and again asks again.

use std::time::Duration;

use larder_core::Runtime;
use larder_core::TaskFuture;
use larder_core::sync::Arc;

use crate::limits::{RETRY_MAX, RETRY_MIN};

/// After so many failures in a row: doubles with each, and is shortened by up to half, so that many nodes do not come at once.
pub(crate) fn after_failures(failures: u32, random: u64) -> Duration {
    let doubled = RETRY_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16));
    jittered(doubled.min(RETRY_MAX), random)
}

/// Shortens a time by up to half.
pub(crate) fn jittered(longest: Duration, random: u64) -> Duration {
    let part = u32::try_from(random % 1_000).unwrap_or(0);
    longest - longest / 2 * part / 1_000
}

/// Ends after a time, by this runtime, or by tokio's if there is none.
pub(crate) fn sleep(runtime: Option<&Arc<dyn Runtime>>, time: Duration) -> TaskFuture {
    match runtime {
        Some(runtime) => runtime.sleep(time),
        None => Box::pin(tokio::time::sleep(time)),
    }
}
