//! The policies: the same hits and victims as plain simulators, and the laws that hold for all of them.

mod adaptive;
mod laws;
mod small;

use larder_memory::Eviction;
use larder_testkit::eviction::{Lru, S3Fifo, Sieve, Simulator};
use larder_testkit::{Random, for_each_seed};

use crate::cache::Cache;

/// Thousands of traces of a few keys, with keys taken out now and then: what hits and what leaves is the same at each step.
fn check(eviction: Eviction, simulator: impl Fn(usize) -> Box<dyn Simulator>) {
    for_each_seed(3_000, |seed| {
        let mut random = Random::seeded(seed);
        let capacity = 1 + random.index(40);
        let keys = 1 + random.below(100);
        let removals = [0, 0, 30][random.index(3)];
        let mut cache = Cache::new(eviction, u64::try_from(capacity).unwrap());
        let mut model = simulator(capacity);
        for at in 0..300 {
            // Low keys are more frequent than high ones.
            let bound = 1 + random.below(keys);
            let key = random.below(bound);
            if random.chance(removals) {
                assert_eq!(cache.remove(key), model.remove(key), "removal {at} of {key}");
            } else {
                assert_eq!(
                    cache.access(key),
                    model.access(key),
                    "access {at} of {key} in {capacity}"
                );
            }
            assert_eq!(cache.slots.len(), model.len());
        }
    });
}

/// Contract: P42 (partial: the order of `Eviction::Lru`, without a pool), P43 (partial: the policies, without a pool)
#[test]
fn lru_is_what_its_simulator_is() {
    check(Eviction::Lru, |capacity| Box::new(Lru::new(capacity)));
}

/// Contract: P43 (partial: the policies, without a pool), C82 (partial: the policies, without a cache)
#[test]
fn sieve_is_what_its_simulator_is() {
    check(Eviction::Sieve, |capacity| Box::new(Sieve::new(capacity)));
}

/// Contract: P43 (partial: the policies, without a pool), C82 (partial: the policies, without a cache)
#[test]
fn s3_fifo_is_what_its_simulator_is() {
    check(Eviction::S3Fifo, |capacity| Box::new(S3Fifo::new(capacity)));
}
