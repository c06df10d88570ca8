//! What the simulated caches do, held against plain models that know nothing of them.

use larder_server::trace::{
    Access, Accesses, ByteCurve, Curve, Curves, Hits, Op, Optimum, Policy, Sample, Simulation, Unit, spread,
};
use larder_testkit::eviction::{Misses, optimum};
use larder_testkit::{Random, for_each_seed};

/// What a trace of the test may hold beside reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mix {
    Reads,
    /// Sets, deletes, and sizes that change.
    Everything,
}

/// Few keys are used often; a size follows from its key unless it changes.
fn accesses(random: &mut Random, count: usize, keys: u64, mix: Mix) -> Accesses {
    let mut accesses = Accesses::default();
    let mut numbers = std::collections::HashMap::new();
    for _ in 0..count {
        let bound = 1 + random.below(keys);
        let key = random.below(bound);
        let next = u32::try_from(numbers.len()).unwrap();
        let number = *numbers.entry(key).or_insert(next);
        let everything = mix == Mix::Everything;
        let op = match random.below(20) {
            0 if everything => Op::Delete,
            1 | 2 if everything => Op::Set,
            _ => Op::Get,
        };
        let size = if everything && random.chance(100) {
            random.below(40)
        } else {
            1 + key * 7 % 13
        };
        accesses.push(number, op, size);
    }
    accesses
}

fn hits(policy: Policy, unit: Unit, capacity: u64, accesses: &Accesses) -> Hits {
    Simulation::of(unit, capacity).run(policy, accesses).unwrap()
}

/// A key of a model.
#[derive(Clone)]
struct Kept {
    key: u32,
    weight: u64,
    is_used: bool,
    count: u64,
    last: usize,
}

/// A policy as plainly as can be: a list, the oldest first.
struct Model {
    policy: Policy,
    capacity: u64,
    kept: Vec<Kept>,
}

impl Model {
    fn run(policy: Policy, unit: Unit, capacity: u64, accesses: &Accesses) -> Hits {
        let mut model = Model {
            policy,
            capacity,
            kept: Vec::new(),
        };
        let mut hits = Hits::default();
        for (at, Access { key, op, weight }) in accesses.iter(unit).enumerate() {
            if op == Op::Delete {
                model.kept.retain(|kept| kept.key != key);
            } else if model.access(key, weight, at) && op == Op::Get {
                hits.count += 1;
                hits.bytes += u128::from(if unit == Unit::Bytes { weight } else { 0 });
            }
        }
        hits
    }

    fn weight(&self) -> u64 {
        self.kept.iter().map(|kept| kept.weight).sum()
    }

    fn access(&mut self, key: u32, weight: u64, at: usize) -> bool {
        let there = self.kept.iter().position(|kept| kept.key == key);
        let Some(there) = there else {
            if weight <= self.capacity {
                while self.weight() + weight > self.capacity {
                    self.evict(None);
                }
                self.kept.push(Kept {
                    key,
                    weight,
                    is_used: false,
                    count: 1,
                    last: at,
                });
            }
            return false;
        };
        let mut kept = self.kept[there].clone();
        (kept.weight, kept.is_used) = (weight, true);
        (kept.count, kept.last) = (kept.count + 1, at);
        if self.policy == Policy::Lru {
            self.kept.remove(there);
            self.kept.push(kept);
        } else {
            self.kept[there] = kept;
        }
        if weight > self.capacity {
            self.kept.retain(|kept| kept.key != key);
        }
        while self.weight() > self.capacity {
            self.evict(Some(key));
        }
        true
    }

    fn evict(&mut self, keep: Option<u32>) {
        let others = self.kept.iter().enumerate();
        let mut others = others.filter(|(_, kept)| Some(kept.key) != keep);
        let leaving = match self.policy {
            Policy::Lfu => others.min_by_key(|(_, kept)| (kept.count, kept.last)),
            Policy::Clock => {
                let mut first = self.kept.remove(0);
                if first.is_used || Some(first.key) == keep {
                    first.is_used = Some(first.key) == keep;
                    self.kept.push(first);
                }
                return;
            }
            _ => others.next(),
        };
        let leaving = leaving.unwrap().0;
        self.kept.remove(leaving);
    }
}

/// Each of the plain policies does what its rule says, by entries and by bytes, with sets, deletes and sizes that change.
///
/// Contract: S137 (partial: plain policies, by entries and by size)
#[test]
fn policies_keep_to_their_rules() {
    for_each_seed(20, |seed| {
        let accesses = accesses(&mut Random::seeded(seed), 600, 60, Mix::Everything);
        for policy in [Policy::Lru, Policy::Fifo, Policy::Clock, Policy::Lfu] {
            for (unit, capacities) in [
                (Unit::Entries, [1, 2, 9, 30, 70]),
                (Unit::Bytes, [1, 12, 39, 150, 600]),
            ] {
                for capacity in capacities {
                    assert_eq!(
                        hits(policy, unit, capacity, &accesses),
                        Model::run(policy, unit, capacity, &accesses),
                        "{policy:?} at {capacity} {unit:?}"
                    );
                }
            }
        }
    });
}

/// Every policy stays within its capacity by bytes; with room for everything all do the same.
///
/// Contract: S137 (partial: every policy by size)
#[test]
fn no_policy_holds_more_than_fits() {
    for_each_seed(10, |seed| {
        let accesses = accesses(&mut Random::seeded(seed), 2_000, 150, Mix::Everything);
        for policy in Policy::ALL {
            for capacity in [1, 13, 40, 300, 900] {
                let hits = hits(policy, Unit::Bytes, capacity, &accesses);
                assert!(hits.count <= accesses.reads().0 && hits.bytes <= accesses.reads().1);
            }
            let (all, most) = (
                hits(policy, Unit::Bytes, 1 << 60, &accesses),
                hits(Policy::Lru, Unit::Bytes, 1 << 60, &accesses),
            );
            assert_eq!(all, most, "{policy:?}");
        }
    });
}

/// A pool of few entries is exact LRU whatever was asked for; one entry more, and it is not.
#[test]
fn few_entries_are_lru() {
    let accesses = accesses(&mut Random::seeded(3), 4_000, 300, Mix::Reads);
    let lru = |capacity| hits(Policy::Lru, Unit::Entries, capacity, &accesses);
    for policy in [Policy::S3Fifo, Policy::Sieve, Policy::AdaptiveTinyLfu] {
        let at = |capacity| hits(policy, Unit::Entries, capacity, &accesses);
        assert_eq!(at(64), lru(64), "{policy:?}");
        assert_ne!(at(65), lru(65), "{policy:?}");
    }
}

/// The most reads that can hit, by trying every choice.
fn by_brute_force(accesses: &[(u32, Op)], capacity: usize, kept: &[u32]) -> u64 {
    let Some((&(key, op), rest)) = accesses.split_first() else {
        return 0;
    };
    let hit = u64::from(op == Op::Get && kept.contains(&key));
    let mut next: Vec<u32> = kept.iter().copied().filter(|kept| *kept != key).collect();
    if op != Op::Delete {
        next.push(key);
    }
    if next.len() <= capacity {
        return hit + by_brute_force(rest, capacity, &next);
    }
    let choices = (0..next.len()).map(|leaving| {
        let mut next = next.clone();
        next.remove(leaving);
        by_brute_force(rest, capacity, &next)
    });
    hit + choices.max().unwrap()
}

/// With sets and deletes too: nothing can hit more often, and this often can be hit.
///
/// Contract: S137 (partial: the optimum of entries)
#[test]
fn nothing_hits_more_often_than_the_optimum() {
    for_each_seed(200, |seed| {
        for mix in [Mix::Reads, Mix::Everything] {
            let accesses = accesses(&mut Random::seeded(seed), 12, 7, mix);
            let list: Vec<(u32, Op)> = accesses
                .iter(Unit::Entries)
                .map(|access| (access.key, access.op))
                .collect();
            for capacity in 1..4 {
                let best = Optimum::of(&accesses).hits(Simulation::of(Unit::Entries, capacity));
                let tried = by_brute_force(&list, usize::try_from(capacity).unwrap(), &[]);
                assert_eq!(best.count, tried, "capacity {capacity}: {list:?}");
            }
        }
    });
    for_each_seed(10, |seed| {
        let accesses = accesses(&mut Random::seeded(seed), 2_000, 100, Mix::Reads);
        let wide: Vec<u64> = accesses.keys().iter().copied().map(u64::from).collect();
        for capacity in [1, 7, 50, 100] {
            let best = Optimum::of(&accesses).hits(Simulation::of(Unit::Entries, capacity as u64));
            assert_eq!(best.count, optimum(&wide, capacity, Misses::MayBeRefused) as u64);
        }
    });
}

/// What is read again latest leaves, or is not stored: as slowly as can be.
fn farthest(accesses: &Accesses, capacity: u64) -> Hits {
    let list: Vec<Access> = accesses.iter(Unit::Bytes).collect();
    let next = |at: usize, key: u32| {
        let later = list.iter().enumerate().skip(at + 1);
        let mut later = later.filter(|(_, access)| access.key == key);
        let next = later.next().filter(|(_, access)| access.op == Op::Get);
        next.map(|(at, _)| at)
    };
    let (mut kept, mut hits) = (Vec::<(u32, u64)>::new(), Hits::default());
    for (at, access) in list.iter().enumerate() {
        let was = kept.iter().position(|(key, _)| *key == access.key);
        if was.map(|was| kept.remove(was)).is_some() && access.op == Op::Get {
            hits.count += 1;
            hits.bytes += u128::from(access.weight);
        }
        if access.op != Op::Delete && access.weight <= capacity && next(at, access.key).is_some() {
            kept.push((access.key, access.weight));
        }
        while kept.iter().map(|(_, weight)| weight).sum::<u64>() > capacity {
            let latest = (0..kept.len()).max_by_key(|place| next(at, kept[*place].0));
            kept.remove(latest.unwrap());
        }
    }
    hits
}

/// Contract: S137 (partial: the reference of sizes)
#[test]
fn the_reference_of_sizes_keeps_what_is_read_soonest() {
    for_each_seed(10, |seed| {
        let accesses = accesses(&mut Random::seeded(seed), 250, 40, Mix::Everything);
        for capacity in [1, 13, 60, 200] {
            let reference = Optimum::of(&accesses).hits(Simulation::of(Unit::Bytes, capacity));
            assert_eq!(reference, farthest(&accesses, capacity), "capacity {capacity}");
        }
    });
}

/// One pass says what a simulation of each capacity says, with sets and deletes too.
///
/// Contract: S139 (partial: the exact curve of LRU)
#[test]
fn the_curve_is_that_of_every_simulation() {
    for_each_seed(20, |seed| {
        for mix in [Mix::Reads, Mix::Everything] {
            let accesses = accesses(&mut Random::seeded(seed), 500, 40, mix);
            let curve = Curve::of(&accesses);
            for capacity in 1..=41 {
                let lru = hits(Policy::Lru, Unit::Entries, capacity, &accesses);
                assert_eq!(curve.hits(capacity), lru.count, "capacity {capacity}");
            }
            assert_eq!(curve.hits(1_000), curve.hits(40));
        }
    });
}

/// By bytes it is exact from the largest key on, and near otherwise.
///
/// Contract: S139 (partial: the curve of LRU by bytes)
#[test]
fn the_curve_by_bytes_is_that_of_simulations() {
    for_each_seed(20, |seed| {
        let unchanged = accesses(&mut Random::seeded(seed), 500, 40, Mix::Reads);
        let curve = ByteCurve::of(&unchanged);
        for capacity in 13..300 {
            let lru = hits(Policy::Lru, Unit::Bytes, capacity, &unchanged);
            assert_eq!(
                curve.hits(capacity),
                (lru.count, lru.bytes),
                "capacity {capacity}"
            );
        }
        let changed = accesses(&mut Random::seeded(seed), 2_000, 80, Mix::Everything);
        let curve = ByteCurve::of(&changed);
        for capacity in [40, 100, 200, 400, 800] {
            let lru = hits(Policy::Lru, Unit::Bytes, capacity, &changed);
            let difference = curve.ratios(capacity).0 - ratio(lru.count, changed.reads().0);
            assert!(difference.abs() < 0.08, "capacity {capacity}: {difference}");
        }
    });
}

fn ratio(part: u64, whole: u64) -> f64 {
    f64::from(u32::try_from(part).unwrap()) / f64::from(u32::try_from(whole).unwrap())
}

/// How far the estimates from a share of the keys, in 2^24ths, are from what the whole says.
fn differences(accesses: &Accesses, threshold: u64) -> Vec<f64> {
    let (sample, curves) = (Sample::below(accesses, threshold), Curves::of(accesses));
    let mut differences = Vec::new();
    for policy in Policy::ALL {
        for (unit, capacity) in [
            (Unit::Entries, 600),
            (Unit::Entries, 1_500),
            (Unit::Bytes, 4_200),
            (Unit::Bytes, 10_000),
        ] {
            let hits = hits(policy, unit, capacity, accesses);
            let (reads, bytes) = accesses.reads();
            let (bytes, hit_bytes) = (u64::try_from(bytes).unwrap(), u64::try_from(hits.bytes).unwrap());
            let simulation = Simulation::of(unit, capacity);
            let found = sample.ratios(policy, simulation, &curves).unwrap();
            differences.push((found.0 - ratio(hits.count, reads)).abs());
            differences.push((found.1 - ratio(hit_bytes, bytes)).abs());
        }
    }
    differences.sort_by(f64::total_cmp);
    differences
}

/// A sample of all keys is exact; one of a quarter is near: within three points at each capacity, and one in the middle; within four and a half if one key
/// in the sample, or not in it, is a quarter of all reads.
///
/// Contract: S139 (partial: sampled curves)
#[test]
fn a_sample_says_nearly_what_the_whole_says() {
    for_each_seed(2, |seed| {
        let even = accesses(&mut Random::seeded(seed), 20_000, 6_000, Mix::Everything);
        let sample = |threshold| Sample::below(&even, threshold);
        assert_eq!(
            (sample(1 << 24).entries_min(), sample(1 << 22).entries_min()),
            (1, 512)
        );
        assert!((sample(1 << 22).rate() - 0.25).abs() < 1e-9);
        if seed == 0 {
            assert!(
                differences(&even, 1 << 24)
                    .iter()
                    .all(|difference| *difference < 1e-9)
            );
        }
        let near = differences(&even, 1 << 22);
        assert!(
            near[near.len() - 1] < 0.03 && near[near.len() / 2] < 0.01,
            "{near:?}"
        );
        let mut hot = Accesses::default();
        for (at, access) in even.iter(Unit::Bytes).enumerate() {
            if at % 3 == 0 {
                hot.push(u32::try_from(seed).unwrap(), Op::Get, 5);
            }
            hot.push(access.key, access.op, access.weight);
        }
        let near = differences(&hot, 1 << 22);
        assert!(
            near[near.len() - 1] < 0.045 && near[near.len() / 2] < 0.02,
            "{near:?}"
        );
    });
}

/// Contract: S139 (partial: recommendations)
#[test]
fn what_is_recommended_follows_from_the_curve() {
    // Ten keys of five bytes in turn: nothing hits until all of them fit.
    let mut accesses = Accesses::default();
    for at in 0..1_000 {
        accesses.push(at % 10, Op::Get, 5);
    }
    let curve = Curve::of(&accesses);
    assert_eq!((curve.hits(9), curve.hits(10)), (0, 990));
    assert_eq!((curve.doubling_gains_little(), curve.within(0.95)), (10, 10));
    // One key hits a little, and two no more than that, but twenty hit always: the first says nothing.
    let mut two_humps = Accesses::default();
    for at in 0..2_000 {
        two_humps.push(at % 20, Op::Get, 1);
        if at % 400 == 0 {
            two_humps.push(at % 20, Op::Get, 1);
        }
    }
    let curve_of_two = Curve::of(&two_humps);
    assert!(curve_of_two.ratio(2) - curve_of_two.ratio(1) < 0.01 && curve_of_two.hits(1) > 0);
    assert_eq!(curve_of_two.doubling_gains_little(), 20);
    let curve = ByteCurve::of(&accesses);
    assert_eq!((curve.hits(49), curve.hits(50)), ((0, 0), (990, 990 * 5)));
    assert_eq!(
        (curve.doubling_gains_little(), curve.within(0.95)),
        (Some(50), Some(50))
    );
    assert_eq!(spread(1, 10), [1, 2, 3, 4, 5, 6, 7, 9, 10]);
    let wide = spread(64, 1 << 40);
    assert_eq!(
        (wide.len(), wide.first(), wide.last()),
        (17, Some(&64), Some(&(1 << 40)))
    );
    assert_eq!(spread(9, 4), [4]);
}
