//! [`Policy`]: everything that is simulated, by name.

use larder_memory::Eviction;

use super::lfu::Lfu;
use super::ours::Ours;
use super::queue::{Queue, Rule};
use super::weights::{Each, Ones};
use super::{Cache, Simulation, Unit};

/// What chooses who leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Of pools: W-TinyLFU with a window that adapts.
    AdaptiveTinyLfu,
    /// Of pools: two queues and ghosts.
    S3Fifo,
    /// Of pools: one queue and a hand.
    Sieve,
    /// Of pools: the least recently used leaves.
    Lru,
    /// The oldest leaves, unless it was used since it was last looked at.
    Clock,
    /// The oldest leaves.
    Fifo,
    /// The least often used leaves, of those the least recently used.
    Lfu,
}

impl Policy {
    /// All of them, those of pools first.
    pub const ALL: [Policy; 7] = [
        Policy::AdaptiveTinyLfu,
        Policy::S3Fifo,
        Policy::Sieve,
        Policy::Lru,
        Policy::Clock,
        Policy::Fifo,
        Policy::Lfu,
    ];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Policy::AdaptiveTinyLfu => "AdaptiveTinyLfu",
            Policy::S3Fifo => "S3-FIFO",
            Policy::Sieve => "SIEVE",
            Policy::Lru => "LRU",
            Policy::Clock => "CLOCK",
            Policy::Fifo => "FIFO",
            Policy::Lfu => "LFU",
        }
    }

    /// Whether pools have it.
    #[must_use]
    pub fn is_of_pools(self) -> bool {
        match self {
            Policy::AdaptiveTinyLfu | Policy::S3Fifo | Policy::Sieve | Policy::Lru => true,
            Policy::Clock | Policy::Fifo | Policy::Lfu => false,
        }
    }

    /// A cache for so many keys. A pool of few entries is exact LRU whatever was asked for, and so is this: `asked` is the capacity that this is
    /// decided by, which of a sample is more than its own.
    #[must_use]
    pub fn cache(self, simulation: Simulation, keys: usize, asked: u64) -> Box<dyn Cache> {
        let capacity = simulation.capacity();
        let is_by_bytes = simulation.unit() == Unit::Bytes;
        let eviction = match self {
            Policy::AdaptiveTinyLfu => Eviction::AdaptiveTinyLfu,
            Policy::S3Fifo => Eviction::S3Fifo,
            Policy::Sieve => Eviction::Sieve,
            Policy::Lru => return queue(Rule::Lru, simulation, keys),
            Policy::Clock => return queue(Rule::Clock, simulation, keys),
            Policy::Fifo => return queue(Rule::Fifo, simulation, keys),
            Policy::Lfu if is_by_bytes => return Box::new(Lfu::<Each>::new(keys, capacity)),
            Policy::Lfu => return Box::new(Lfu::<Ones>::new(keys, capacity)),
        };
        // Without a bound on entries there is nothing to decide by.
        let eviction = if is_by_bytes {
            eviction
        } else {
            eviction.for_entries(asked)
        };
        Box::new(Ours::new(eviction, keys, capacity))
    }
}

fn queue(rule: Rule, simulation: Simulation, keys: usize) -> Box<dyn Cache> {
    match simulation.unit() {
        Unit::Entries => Box::new(Queue::<Ones>::new(rule, keys, simulation.capacity())),
        Unit::Bytes => Box::new(Queue::<Each>::new(rule, keys, simulation.capacity())),
    }
}
