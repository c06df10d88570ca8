//! [`Border`]: how much of the whole is the window, found by climbing the slope of the hit ratio.
//!
//! "Adaptive Software Cache Management" (Einziger, Eytan, Friedman, Manes; Middleware 2018) climbs on the ratio itself, one
//! sample after another. Real loads differ far more from sample to sample than a better border could gain (seven points
//! against one, on a recorded hour of row accesses), so that such a climber walks at random. Here the slope is measured
//! at one and the same time on both sides: fingerprints of the last that left the window, and of the last that left
//! the main space, a sixteenth of the whole each. One of the first that comes back is a hit that a larger window would
//! have had, one of the second a hit that a larger main space would have had; each moves the border by one entry towards
//! itself. It rests where space is worth the same on both sides, which is where the hit ratio is highest.
//!
//! Short ghosts are what makes it a slope: a loop that is longer than the cache never comes back within a sixteenth, so
//! unlike ARC's ("ARC: A Self-Tuning, Low Overhead Replacement Cache", Megiddo and Modha, FAST 2003) they do not
//! mistake it for recency.
//!
//! What is always true: the share stays between its bounds, and depends on nothing but what arrived and left.

use super::ghosts::Ghosts;

/// A share of the whole is counted in parts of this.
const WHOLE: u64 = 1 << 16;
const SHARE_FIRST: u64 = WHOLE / 5;
const SHARE_MIN: u64 = WHOLE / 200;
const SHARE_MAX: u64 = WHOLE - WHOLE / 100;
/// Each side remembers one for so many residents.
const GHOSTS_PART: usize = 16;

/// The window's share, and what it is learned from.
#[derive(Debug)]
pub(super) struct Border {
    share: u64,
    left_window: Ghosts,
    left_main: Ghosts,
}

impl Default for Border {
    fn default() -> Self {
        Self {
            share: SHARE_FIRST,
            left_window: Ghosts::default(),
            left_main: Ghosts::default(),
        }
    }
}

impl Border {
    /// The window's part of `whole`.
    pub(super) fn window_of(&self, whole: u64) -> u64 {
        let part = u128::from(whole) * u128::from(self.share) / u128::from(WHOLE);
        u64::try_from(part).unwrap_or(whole)
    }

    /// An entry came in, which may have left a moment ago. There are `entries`.
    pub(super) fn arrived(&mut self, hash: u64, entries: usize) {
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        let step = (WHOLE / entries.max(1)).max(1);
        let mut share = self.share;
        if self.left_window.recall(hash) {
            share = share.saturating_add(step);
        }
        if self.left_main.recall(hash) {
            share = share.saturating_sub(step);
        }
        self.share = share.clamp(SHARE_MIN, SHARE_MAX);
    }

    /// An entry was evicted from the window. There were `entries`.
    pub(super) fn left_window(&mut self, hash: u64, entries: usize) {
        self.left_window.remember(hash, (entries / GHOSTS_PART).max(1));
    }

    /// An entry was evicted from the main space. There were `entries`.
    pub(super) fn left_main(&mut self, hash: u64, entries: usize) {
        self.left_main.remember(hash, (entries / GHOSTS_PART).max(1));
    }
}

#[cfg(test)]
mod tests {
    use larder_testkit::Random;

    use super::*;

    const ENTRIES: usize = 1_000;

    /// What left one side comes back at once, again and again: the border gives that side all it may have.
    #[test]
    fn it_moves_towards_the_side_that_is_missed() {
        let mut border = Border::default();
        let mut random = Random::seeded(1);
        for (share, leaves) in [
            (SHARE_MAX, Border::left_window as fn(&mut Border, u64, usize)),
            (SHARE_MIN, Border::left_main),
        ] {
            for _ in 0..ENTRIES {
                let hash = random.next_u64();
                leaves(&mut border, hash, ENTRIES);
                border.arrived(hash, ENTRIES);
            }
            assert_eq!(border.share, share);
        }
    }

    /// What comes back after more than a sixteenth of the whole has left says nothing about the slope.
    #[test]
    fn a_long_loop_moves_nothing() {
        let mut border = Border::default();
        let loop_of = |round: u64| (0..200_u64).map(move |id| (round, id << 32));
        for (round, hash) in (0..5).flat_map(loop_of) {
            border.arrived(hash, ENTRIES);
            border.left_window(hash, ENTRIES);
            assert_eq!(border.share, SHARE_FIRST, "round {round}");
        }
    }

    #[test]
    fn the_window_is_a_share_of_any_whole() {
        let border = Border::default();
        assert_eq!(border.window_of(1_000_000), 199_996);
        assert_eq!(border.window_of(0), 0);
        assert_eq!(border.window_of(1 << 60), 13_107 << 44, "nothing overflows");
    }
}
