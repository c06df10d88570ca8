//! Small bounds evict in exact order, under every policy, and crossing the limit keeps the entries.

use larder_memory::Eviction;
use larder_memory::limits::EXACT_LRU_MAX;
use larder_testkit::eviction::{Lru, Simulator};
use larder_testkit::{Random, for_each_seed};

use crate::cache::Cache;

/// Contract: P42 (partial: the rule, without a pool)
#[test]
fn up_to_the_limit_every_policy_is_exact_lru() {
    for eviction in Eviction::ALL {
        for entries in [1, 2, EXACT_LRU_MAX] {
            let chosen = eviction.for_entries(entries);
            assert_eq!(chosen.shards_max(entries), 1, "one list orders the whole");
            let mut cache = Cache::new(chosen, entries);
            let mut model = Lru::new(usize::try_from(entries).unwrap());
            let mut random = Random::seeded(entries);
            for _ in 0..2_000 {
                let key = random.below(entries * 2);
                assert_eq!(cache.access(key), model.access(key), "{eviction:?} of {entries}");
            }
        }
        assert_eq!(eviction.for_entries(EXACT_LRU_MAX + 1), eviction);
    }
}

/// A bound that falls to the limit and rises again: the same entries stay, and the order is exact from the change on.
///
/// Contract: P42 (partial: a bound that changes, without a pool)
#[test]
fn a_bound_may_cross_the_limit() {
    for eviction in Eviction::ALL {
        for_each_seed(50, |seed| {
            let mut random = Random::seeded(seed);
            let mut cache = Cache::new(eviction, 100);
            for _ in 0..500 {
                cache.access(random.below(300));
            }
            cache.capacity = 10;
            cache.evict_down_to(10, None, &mut Vec::new());
            let stay = cache.ids.clone();
            cache
                .evictor
                .become_policy(eviction.for_entries(10), &mut cache.slots);
            assert_eq!(cache.evictor.eviction(), Eviction::Lru);
            cache.check();
            assert_eq!(cache.ids, stay);
            let mut model = Lru::new(10);
            for key in 1_000..1_010 {
                cache.access(key);
                model.access(key);
            }
            for _ in 0..100 {
                let key = 1_000 + random.below(20);
                assert_eq!(cache.access(key), model.access(key));
            }
            cache.capacity = 100;
            cache.evictor.become_policy(eviction, &mut cache.slots);
            cache.check();
            assert_eq!(cache.evictor.len(), 10);
        });
    }
}

/// A shard is never so small that its choice is worse than the whole's, and exact order has one shard at any size.
///
/// Contract: P42 (partial: one list at every size, without a pool)
#[test]
fn shards_have_enough_entries() {
    for eviction in Eviction::ALL {
        let shards = [1, 511, 1_023, 1_024, 2_047, 1 << 20].map(|entries| eviction.shards_max(entries));
        let expected = match eviction {
            Eviction::Lru => [1; 6],
            _ => [1, 1, 1, 2, 2, 2_048],
        };
        assert_eq!(shards, expected, "{eviction:?}");
        assert!(eviction.shards_max(u64::MAX).is_power_of_two(), "without a bound");
    }
}
