//! The adaptive policy: as good as the paper's with the best window, whatever kind of load it meets, and never better than
//! the optimum.

use larder_memory::Eviction;
use larder_testkit::eviction::{Misses, Simulator, TinyLfu, optimum};
use larder_testkit::{Random, for_each_seed};

use crate::cache::Cache;

const CAPACITY: usize = 200;

/// Hits of a thousand accesses, after the first third.
fn of_thousand(trace: &[u64], mut access: impl FnMut(u64) -> bool) -> usize {
    let (warm, counted) = trace.split_at(trace.len() / 3);
    for key in warm {
        access(*key);
    }
    let hits = counted.iter().filter(|key| access(**key)).count();
    hits * 1_000 / counted.len()
}

fn adaptive(trace: &[u64]) -> usize {
    let mut cache = Cache::new(Eviction::AdaptiveTinyLfu, CAPACITY as u64);
    of_thousand(trace, |key| cache.access(key).is_hit())
}

/// The paper's policy with windows from a hundredth to nearly all.
fn windows(trace: &[u64]) -> Vec<usize> {
    let with = |window| {
        let mut model = TinyLfu::new(CAPACITY, window);
        of_thousand(trace, |key| model.access(key).is_hit())
    };
    [2, 20, 100, 198].map(with).to_vec()
}

/// `adaptive` is at most `short` of a thousand below the best window, and the windows do differ on this load.
fn check(name: &str, trace: &[u64], short: usize, apart: usize) {
    let windows = windows(trace);
    let best = windows.iter().copied().max().unwrap();
    let worst = windows.iter().copied().min().unwrap();
    let adaptive = adaptive(trace);
    println!("{name}: {adaptive}, by windows {windows:?}");
    assert!(
        best >= worst + apart,
        "{name}: the load does not tell windows apart: {windows:?}"
    );
    assert!(
        adaptive + short >= best,
        "{name}: {adaptive} of a thousand, {windows:?} with fixed windows"
    );
}

/// A popularity that does not change: the main space wants everything.
fn popular(random: &mut Random, accesses: usize) -> Vec<u64> {
    (0..accesses)
        .map(|_| {
            let bound = 1 + random.below(4_000);
            let bound = 1 + random.below(bound);
            random.below(bound)
        })
        .collect()
}

/// Each key is used a few times soon after it first comes, and never again: the window wants everything.
fn recent(random: &mut Random, accesses: usize) -> Vec<u64> {
    (0..accesses)
        .map(|at| (at as u64 / 4).saturating_sub(random.below(170)))
        .collect()
}

/// A loop that is longer than the cache: only what stays put has hits.
fn looping(accesses: usize) -> Vec<u64> {
    (0..accesses).map(|at| at as u64 % 300).collect()
}

/// Contract: P43 (partial: the window adapts, without a pool), C82 (partial: the window adapts, without a cache)
#[test]
fn it_finds_the_window_that_a_load_wants() {
    let mut random = Random::seeded(1);
    check("popular", &popular(&mut random, 60_000), 20, 20);
    check("recent", &recent(&mut random, 60_000), 20, 200);
    check("looping", &looping(60_000), 60, 300);
}

/// A load that changes kind half way: in both halves it is near the best window of that half.
///
/// Contract: P43 (partial: the window adapts, without a pool)
#[test]
fn it_follows_a_load_that_changes() {
    let mut random = Random::seeded(2);
    let first = popular(&mut random, 60_000);
    let mut second: Vec<u64> = recent(&mut random, 60_000);
    second.iter_mut().for_each(|key| *key += 1_000_000);
    let best_of = |trace: &[u64]| windows(trace).into_iter().max().unwrap();
    let mut cache = Cache::new(Eviction::AdaptiveTinyLfu, CAPACITY as u64);
    for half in [&first, &second, &first] {
        let ratio = of_thousand(half, |key| cache.access(key).is_hit());
        let best = best_of(half);
        assert!(
            ratio + 25 >= best,
            "{ratio} of a thousand, {best} with the best window"
        );
    }
}

/// Whatever it is given, it has no more hits than the optimum.
#[test]
fn it_is_never_above_the_optimum() {
    for_each_seed(500, |seed| {
        let mut random = Random::seeded(seed);
        let keys = 5 + random.below(60);
        let trace: Vec<u64> = (0..300).map(|_| random.below(keys)).collect();
        let capacity = 1 + random.index(20);
        let mut cache = Cache::new(Eviction::AdaptiveTinyLfu, capacity as u64);
        let hits = trace.iter().filter(|key| cache.access(**key).is_hit()).count();
        assert!(
            hits <= optimum(&trace, capacity, Misses::Kept),
            "{trace:?} in {capacity}"
        );
    });
}
