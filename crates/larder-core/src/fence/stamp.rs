//! The fence's clock values and the identity of one run of a fence.
//!
//! A stamp orders invalidations within one fence and, through the floor, across restarts. It measures no time.

use std::fmt;

/// A value of a fence's clock. Each invalidation gets one of its own, higher than all before it.
///
/// Stamps of two fences, or of two runs without a raised floor between them, must not be compared. A stamp is
/// below 2^62, so that adding to one cannot overflow: at 10^9 invalidations a second that lasts 146 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

impl Stamp {
    /// Before every stamp: no pin that may be fresh has it.
    pub const ZERO: Stamp = Stamp(0);
    /// The greatest stamp there can be.
    pub const MAX: Stamp = Stamp((1 << 62) - 2);
    /// The greatest floor: 2^61. It leaves as many stamps above it, so that a damaged file that names a huge one
    /// cannot exhaust the clock.
    pub const FLOOR_MAX: Stamp = Stamp(1 << 61);

    /// The stamp with this number, as stored by a part; `None` above [`Stamp::MAX`].
    pub const fn new(number: u64) -> Option<Stamp> {
        if number <= Self::MAX.0 {
            Some(Stamp(number))
        } else {
            None
        }
    }

    /// The number, to be stored.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// A value that the clock itself gave out.
    pub(super) const fn of_clock(number: u64) -> Stamp {
        Stamp(number)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which run of which fence a stamp belongs to: drawn at random when the fence is built.
///
/// A remote filler gets it beside the stamp at which its load began, and gives both back to
/// [`Fence::resume`](super::Fence::resume).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run(u64);

impl Run {
    /// The run with this number, as it came back from a filler.
    pub const fn new(number: u64) -> Run {
        Run(number)
    }

    /// The number, to be sent.
    pub const fn get(self) -> u64 {
        self.0
    }
}
