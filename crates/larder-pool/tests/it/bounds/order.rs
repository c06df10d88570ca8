//! Who leaves, in which order: as plain simulators of the policies say.

use larder_pool::{Capacity, Eviction};
use larder_testkit::eviction::{Access, Lru, S3Fifo, Sieve, Simulator, TinyLfu};
use larder_testkit::{Random, for_each_seed};

use super::ground::{Told, World, row};

/// What is resident, the one that was used longest ago first.
#[derive(Debug, Default)]
struct Plain {
    order: Vec<u64>,
    capacity: usize,
}

impl Plain {
    fn touch(&mut self, id: u64) -> bool {
        let was_there = self.remove(id);
        self.order.push(id);
        was_there
    }

    fn remove(&mut self, id: u64) -> bool {
        let at = self.order.iter().position(|other| *other == id);
        at.map(|at| self.order.remove(at)).is_some()
    }

    /// Who has to leave, in their order, so that so many may come.
    fn make_room(&mut self, coming: usize) -> Vec<u64> {
        let excess = (self.order.len() + coming).saturating_sub(self.capacity);
        self.order.drain(..excess).collect()
    }

    fn insert(&mut self, id: u64) -> Vec<u64> {
        let left = if self.order.contains(&id) {
            vec![]
        } else {
            self.make_room(1)
        };
        self.touch(id);
        left
    }
}

/// Inserts, reads of every kind, removals, updates and batches, in pools of 1 to 64 entries, whatever policy they ask for.
///
/// Contract: P42 (partial: the order of small pools)
#[test]
fn pools_of_up_to_64_entries_evict_who_was_used_longest_ago() {
    for_each_seed(150, |seed| {
        let mut random = Random::seeded(seed);
        let capacity = 1 + random.below(64);
        let ids = capacity + 1 + random.below(capacity);
        let eviction = Eviction::ALL[random.index(4)];
        let mut world = World::of(capacity, eviction);
        let mut plain = Plain {
            capacity: usize::try_from(capacity).unwrap(),
            ..Plain::default()
        };
        for at in 0..200 {
            let id = random.below(ids);
            let left = step(&world, &mut plain, random.below(12), id);
            let told = world.told();
            let evicted = told.iter().filter_map(|told| match told {
                Told::Removed(id, "evicted") => Some(*id),
                _ => None,
            });
            assert_eq!(
                evicted.collect::<Vec<_>>(),
                left,
                "step {at}, {capacity} under {eviction:?}"
            );
        }
        assert_eq!(world.pool.len(), plain.order.len());
        assert!(plain.order.iter().all(|id| world.pool.contains(id)));
    });
}

/// One step in both; who had to leave.
fn step(world: &World, plain: &mut Plain, what: u64, id: u64) -> Vec<u64> {
    match what {
        0..5 => {
            world.insert(id);
            plain.insert(id)
        }
        5..8 => {
            let was_there = plain.order.contains(&id) && plain.touch(id);
            assert_eq!(world.pool.get(&id).is_some(), was_there);
            Vec::new()
        }
        8 => {
            // Looking is no use.
            assert_eq!(world.pool.peek(&id).is_some(), plain.order.contains(&id));
            assert_eq!(world.pool.contains(&id), plain.order.contains(&id));
            Vec::new()
        }
        9 => {
            assert_eq!(world.pool.remove(&id).is_some(), plain.remove(id));
            Vec::new()
        }
        10 => {
            let updated = world.pool.update(&id, |_| row(id, 1)).unwrap();
            let was_there = plain.order.contains(&id) && plain.touch(id);
            assert_eq!(updated.is_some(), was_there);
            Vec::new()
        }
        _ => {
            let both = [id, id + 1];
            let read = world.pool.get_many(&both);
            for (id, read) in both.into_iter().zip(read) {
                let was_there = plain.order.contains(&id) && plain.touch(id);
                assert_eq!(read.is_some(), was_there);
            }
            Vec::new()
        }
    }
}

/// `accesses` of a pool and its simulator: the same hits, and the same victim at each.
fn compare(eviction: Eviction, capacity: usize, seed: u64, mut model: impl Simulator, accesses: usize) {
    let mut random = Random::seeded(seed);
    let mut world = World::of(u64::try_from(capacity).unwrap(), eviction);
    let keys = u64::try_from(capacity).unwrap() * 3;
    for at in 0..accesses {
        // Low keys are more frequent than high ones.
        let bound = 1 + random.below(keys);
        let key = random.below(bound);
        if random.chance(10) {
            assert_eq!(world.pool.remove(&key).is_some(), model.remove(key));
            world.told();
            continue;
        }
        let access = if world.pool.get(&key).is_some() {
            Access::Hit
        } else {
            world.insert(key);
            Access::miss(world.left("evicted").first().copied())
        };
        assert_eq!(
            access,
            model.access(key),
            "access {at} of {key}, {capacity} under {eviction:?}"
        );
        assert_eq!(world.pool.len(), model.len());
    }
}

/// Contract: P42 (partial: `Lru` at every size), P43 (partial: `Lru`)
#[test]
fn lru_is_exact_at_every_size() {
    for (seed, capacity) in [1, 64, 65, 300, 2_500].into_iter().enumerate() {
        let seed = u64::try_from(seed).unwrap();
        compare(
            Eviction::Lru,
            capacity,
            seed,
            Lru::new(capacity),
            3 * capacity + 2_000,
        );
    }
}

/// Contract: P43 (partial: S3-FIFO and Sieve in a pool of one shard)
#[test]
fn the_other_policies_evict_whom_their_simulators_evict() {
    for_each_seed(15, |seed| {
        // A tenth of it is a number of entries, as in the simulator, not of bytes.
        let capacity = 70 + 10 * Random::seeded(seed).index(10);
        compare(Eviction::S3Fifo, capacity, seed, S3Fifo::new(capacity), 1_000);
        compare(Eviction::Sieve, capacity, seed, Sieve::new(capacity), 1_000);
    });
}

/// Hits of a thousand accesses after the first third, of a pool that is filled by what it misses.
fn of_thousand(trace: &[u64], mut access: impl FnMut(u64) -> bool) -> usize {
    let (warm, counted) = trace.split_at(trace.len() / 3);
    for id in warm {
        access(*id);
    }
    let hits = counted.iter().filter(|id| access(**id)).count();
    hits * 1_000 / counted.len()
}

/// Loads that want opposite windows: a popularity that does not change, and ids that are used a few times soon after they
/// first come. In both a pool has as many hits as the paper's policy with the window that suits the load, and more than
/// with the one that does not.
///
/// Contract: P43
#[test]
fn the_default_policy_adapts_to_a_load_in_a_pool() {
    const CAPACITY: usize = 200;
    let mut random = Random::seeded(6);
    let popular: Vec<u64> = std::iter::repeat_with(|| {
        let bound = 1 + random.below(4_000);
        let bound = 1 + random.below(bound);
        random.below(bound)
    })
    .take(60_000)
    .collect();
    let recent = (0..60_000_u64).map(|at| (at / 4).saturating_sub(random.below(170)));
    let recent: Vec<u64> = recent.collect();
    for (name, trace, apart) in [("popular", popular, 20), ("recent", recent, 200)] {
        let world = World::of(CAPACITY as u64, Eviction::AdaptiveTinyLfu);
        let pool = of_thousand(&trace, |id| {
            let is_hit = world.pool.get(&id).is_some();
            if !is_hit {
                world.insert(id);
            }
            is_hit
        });
        let with = |window| {
            let mut plain = TinyLfu::new(CAPACITY, window);
            of_thousand(&trace, |id| plain.access(id).is_hit())
        };
        let windows = [2, 20, 100, 198].map(with);
        let (best, worst) = (windows.iter().max().unwrap(), windows.iter().min().unwrap());
        assert!(
            best - worst >= apart,
            "{name} does not tell windows apart: {windows:?}"
        );
        assert!(
            pool + 20 >= *best,
            "{name}: {pool}, with fixed windows {windows:?}"
        );
    }
}

/// More uses than 8 or 16 bits count, and still the order is that of the last use of each.
///
/// Contract: P42 (partial: marks)
#[test]
fn marks_of_use_do_not_wrap() {
    for eviction in Eviction::ALL {
        for uses in [255, 256, 257, 65_535, 65_536, 65_537] {
            let mut world = World::of(3, eviction);
            (0..3).for_each(|id| world.insert(id));
            for _ in 0..uses {
                let _ = world.pool.get(&0);
            }
            let _ = world.pool.get(&2);
            world.told();
            world.insert(3);
            world.insert(4);
            world.insert(5);
            assert_eq!(world.left("evicted"), [1, 0, 2], "{uses} uses under {eviction:?}");
        }
    }
}

/// A pool that has become small is exact from then on, one that has become large keeps who was there.
///
/// Contract: P42
#[test]
fn a_pool_that_becomes_small_is_exact_from_then_on() {
    for_each_seed(15, |seed| {
        let mut random = Random::seeded(seed);
        let eviction = Eviction::ALL[random.index(4)];
        let mut world = World::of(65 + random.below(400), eviction);
        for round in 0..3 {
            (0..1_000).for_each(|_| world.insert(random.below(600)));
            let small = 2 + random.below(63);
            world.pool.set_capacity(Capacity::of_entries(small)).unwrap();
            assert_eq!(world.pool.len() as u64, small);
            let mut plain = Plain {
                capacity: usize::try_from(small).unwrap(),
                ..Plain::default()
            };
            // What is left is used, in an order that is known.
            for id in (0..600).filter(|id| world.pool.peek(id).is_some()) {
                assert!(world.pool.get(&id).is_some());
                plain.touch(id);
            }
            world.told();
            for at in 0..100 {
                let (what, id) = (random.below(8), random.below(100));
                let left = step(&world, &mut plain, what, id);
                assert_eq!(world.left("evicted"), left, "{round}, {at} under {eviction:?}");
            }
            let kept = world.pool.len();
            world
                .pool
                .set_capacity(Capacity::of_entries(65 + random.below(400)))
                .unwrap();
            assert_eq!((world.pool.len(), world.left("evicted")), (kept, vec![]));
        }
    });
}
