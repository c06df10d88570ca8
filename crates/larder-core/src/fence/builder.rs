//! Building a fence: every option checked at once.

use super::Fence;
use super::error::FenceError;
use super::shared::Shared;
use super::stamp::Run;
use crate::clock::{Clock, SystemClock};
use crate::entropy::{Entropy, SystemEntropy};
use crate::limits::{FENCE_SHARDS, RECENT_COUNT};
use crate::sync::Arc;

/// Options of a [`Fence`].
#[derive(Clone, Debug)]
#[must_use]
pub struct FenceBuilder {
    shards: usize,
    recent_count: usize,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Default for FenceBuilder {
    fn default() -> Self {
        FenceBuilder {
            shards: FENCE_SHARDS.default(),
            recent_count: RECENT_COUNT.default(),
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy::new()),
        }
    }
}

impl FenceBuilder {
    /// How many shards, each with one lock: a power of two from 1 to 4,096. Default: 64.
    pub fn shards(self, shards: usize) -> Self {
        FenceBuilder { shards, ..self }
    }

    /// How many recent invalidations are remembered over all shards: 1,024 to 2^24. Default: 65,536, which at
    /// 20,000 invalidations a second reaches 3 s back. About 100 bytes each, taken from the system as used.
    ///
    /// A load that takes longer than the reach, and learns of more targets at its end, goes uncached.
    pub fn recent_count(self, recent_count: usize) -> Self {
        FenceBuilder { recent_count, ..self }
    }

    /// Where time comes from. Default: [`SystemClock`].
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        FenceBuilder { clock, ..self }
    }

    /// Where the run's identity and the seed of the tables come from. Default: [`SystemEntropy`].
    pub fn entropy(self, entropy: Arc<dyn Entropy>) -> Self {
        FenceBuilder { entropy, ..self }
    }

    /// Builds the fence.
    ///
    /// # Errors
    /// [`FenceError::Config`] names an option that is out of range; [`FenceError::Several`] if both are.
    pub fn build(self) -> Result<Fence, FenceError> {
        let mut faults = Vec::new();
        if !self.shards.is_power_of_two() || FENCE_SHARDS.check(self.shards).is_err() {
            let allowed = "a power of two from 1 to 4,096";
            faults.push(FenceError::Config {
                option: "shards",
                given: self.shards,
                allowed,
            });
        }
        if RECENT_COUNT.check(self.recent_count).is_err() {
            let allowed = "1,024 to 16,777,216";
            faults.push(FenceError::Config {
                option: "recent_count",
                given: self.recent_count,
                allowed,
            });
        }
        match faults.len() {
            0 => {}
            1 => return Err(faults.remove(0)),
            _ => return Err(FenceError::Several(faults)),
        }
        let run = Run::new(self.entropy.next_u64());
        let seed = [self.entropy.next_u64(), self.entropy.next_u64()];
        let shared = Shared::new(self.shards, self.recent_count, run, seed, self.clock);
        Ok(Fence {
            shared: Arc::new(shared),
        })
    }
}
