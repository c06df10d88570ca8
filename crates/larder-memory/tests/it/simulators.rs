//! The simulators that policies are compared with are right themselves.

use larder_testkit::eviction::{Access, Lru, Misses, Simulator, by_brute_force, optimum};
use larder_testkit::{Random, for_each_seed};

fn small_trace(random: &mut Random) -> (Vec<u64>, usize) {
    let keys = 2 + random.below(5);
    let trace = (0..12).map(|_| random.below(keys)).collect();
    (trace, 1 + random.index(3))
}

/// No choice of what to keep has more hits than the optimum, and some choice has as many.
#[test]
fn the_optimum_equals_brute_force_on_a_thousand_traces() {
    for_each_seed(1_000, |seed| {
        let (trace, capacity) = small_trace(&mut Random::seeded(seed));
        let [kept, refused] = [Misses::Kept, Misses::MayBeRefused].map(|misses| {
            let most = by_brute_force(&trace, capacity, misses);
            assert_eq!(
                optimum(&trace, capacity, misses),
                most,
                "{trace:?} in {capacity}, {misses:?}"
            );
            most
        });
        assert!(kept <= refused, "more choices, more hits");
    });
}

/// A key hits under LRU exactly if fewer than `capacity` other keys were used since: counted, not simulated.
#[test]
fn lru_equals_brute_force_on_a_thousand_traces() {
    for_each_seed(1_000, |seed| {
        let (trace, capacity) = small_trace(&mut Random::seeded(seed));
        let mut lru = Lru::new(capacity);
        for (at, key) in trace.iter().enumerate() {
            let before = &trace[..at];
            let since = before
                .iter()
                .rposition(|other| other == key)
                .map(|last| &before[last + 1..]);
            let hits = since.is_some_and(|since| {
                let mut others = since.to_vec();
                others.sort_unstable();
                others.dedup();
                others.len() < capacity
            });
            assert_eq!(
                lru.access(*key) == Access::Hit,
                hits,
                "{trace:?} in {capacity} at {at}"
            );
        }
    });
}
