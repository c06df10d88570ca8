//! `expiry_churn`: what a store takes where each entry expires before anything must be evicted for room.

use super::engines::{Engine, moka, pool, sassi};
use super::insert::newer;
use super::{ENTRIES, Outcome, Rows, Unit};
use crate::{Report, Rounds, Target};
use std::time::Duration;

/// How many stores a round has.
const STORES: u64 = ENTRIES;
/// A time to live in which no engine here can store as many as it may keep.
const SHORT: Option<Duration> = Some(Duration::from_millis(2));

/// Measures and reports: keys that were never there, into engines that are full of what has expired.
///
/// # Errors
/// When standard output cannot be written.
///
/// # Panics
/// If the pool evicted what had not expired.
pub fn expiry_churn(report: Report) -> Outcome {
    let (full, expiring) = (
        pool(ENTRIES, None).filled(2 * ENTRIES),
        pool(ENTRIES, SHORT).filled(2 * ENTRIES),
    );
    let moka = moka(ENTRIES, SHORT).filled(2 * ENTRIES);
    let sassi = sassi(ENTRIES, SHORT).filled(ENTRIES);
    let mut rounds = Rounds::new(STORES);
    newer(&mut rounds, "larder", &expiring);
    newer(&mut rounds, "own insert_at_capacity", &full);
    newer(&mut rounds, "moka", &moka);
    newer(&mut rounds, "sassi", &sassi);
    let measured = &rounds.run()[..];
    let removals = expiring.stats().removals;
    assert_eq!(removals.evicted(), 0, "nothing had to go before its time");
    assert!(removals.expired() >= STORES, "what has expired went");
    let rows = Rows {
        report,
        benchmark: "expiry_churn",
        unit: Unit::Nanoseconds,
        measured,
    };
    let peers = [
        ("own insert_at_capacity", Target::RatioAtMost(1.5)),
        ("moka", Target::RatioAtMost(0.5)),
        ("sassi", Target::None),
    ];
    rows.beside("each entry expires once", "larder", &peers)
}
