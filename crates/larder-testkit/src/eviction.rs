//! Plain simulators of eviction: what each policy must do, written from its paper with deques and maps.
//!
//! What is always true: they import nothing of the code that they check; every entry weighs one; a simulator holds at most
//! its capacity. They are slow on purpose where a fast one would be less plain: [`Lru`] and [`optimum`] replay millions of
//! accesses, the others suit small traces.
//!
//! An access of a key that is absent inserts it; if the capacity is full, room is made before.

mod lru;
mod optimum;
mod s3_fifo;
mod sieve;
mod tiny_lfu;

pub use lru::Lru;
pub use optimum::{Misses, by_brute_force, optimum};
pub use s3_fifo::S3Fifo;
pub use sieve::Sieve;
pub use tiny_lfu::TinyLfu;

/// What an access found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// The key was there.
    Hit,
    /// It was not, and is now.
    Miss {
        /// What left for it.
        evicted: Option<u64>,
    },
}

impl Access {
    /// A miss for which `evicted` left.
    #[must_use]
    pub fn miss(evicted: Option<u64>) -> Self {
        Self::Miss { evicted }
    }

    /// Whether the key was there.
    #[must_use]
    pub fn is_hit(self) -> bool {
        matches!(self, Self::Hit)
    }
}

/// A cache of keys that follows one policy.
pub trait Simulator {
    /// Uses `key`, and inserts it if it is absent.
    fn access(&mut self, key: u64) -> Access;

    /// Takes `key` out for another reason than room; says whether it was there.
    fn remove(&mut self, key: u64) -> bool;

    /// How many keys there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
