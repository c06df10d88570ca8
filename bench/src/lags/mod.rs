//! What benchmarks of lags share: commits at random distances, a process that is started anew and says when it has applied each, and percentiles.

mod clock;
mod process;

use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) use clock::now;
pub(crate) use process::{OtherProcess, applied_now, database, for_a_while, ready, role};

/// Commits of a round.
pub(crate) const COMMITS: usize = 60;
/// The shortest and the longest pause between two commits, in microseconds.
const PAUSE_MICROS: (u64, u64) = (5_000, 40_000);
/// When what has which mark was applied.
pub(crate) type Applied = BTreeMap<u64, Duration>;

/// The lags of the rounds of one subject, in milliseconds.
#[derive(Default)]
pub(crate) struct Lags(pub(crate) Vec<Vec<f64>>);

impl Lags {
    /// Of all rounds together.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        percentile(self.0.concat(), percent)
    }

    /// How many times as long as the other's, in each round.
    pub(crate) fn over(&self, other: &Lags, percent: usize) -> Vec<f64> {
        let each = |lags: &Lags| {
            let rounds = lags.0.iter().map(|round| percentile(round.clone(), percent));
            rounds.collect::<Vec<_>>()
        };
        let both = each(self).into_iter().zip(each(other));
        both.map(|(own, others)| own / others).collect()
    }
}

/// The smallest value that so many percent of the values do not exceed.
fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100);
    values[rank.saturating_sub(1)]
}

/// Random pauses that can be drawn again (`SplitMix64`).
pub(crate) struct Pauses(pub(crate) u64);

impl Pauses {
    pub(crate) fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let (shortest, longest) = PAUSE_MICROS;
        Duration::from_micros(shortest + (mixed ^ (mixed >> 31)) % (longest - shortest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=300).rev().map(f64::from).collect();
        assert_eq!(percentile(values.clone(), 50), 150.0);
        assert_eq!(percentile(values, 99), 297.0);
        assert_eq!(percentile(vec![7.0], 99), 7.0);
    }

    #[test]
    fn pauses_are_in_their_range_and_come_again() {
        let drawn = |seed| {
            let mut pauses = Pauses(seed);
            (0..100).map(|_| pauses.next()).collect::<Vec<_>>()
        };
        let (shortest, longest) = PAUSE_MICROS;
        let range = Duration::from_micros(shortest)..Duration::from_micros(longest);
        assert!(drawn(1).iter().all(|pause| range.contains(pause)));
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }
}
