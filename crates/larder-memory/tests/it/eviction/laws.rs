//! What holds under every policy, for entries of any weight, whatever is done to them.

use larder_memory::limits::EVICTION_STEPS_MAX;
use larder_memory::{Eviction, Evictor, Node, Resident, Slots, Uses};
use larder_testkit::{Random, for_each_seed};

use crate::cache::{Cache, hash_of};

/// Random puts of random weights, overwrites, reads and removals: what was put is resident, the sums are true and within
/// capacity, and an entry leaves only when room is needed.
///
/// Contract: P38 (partial: one shard, without a pool), P40 (partial: one shard, without a pool)
#[test]
fn what_was_put_is_resident_and_the_rest_fits() {
    for eviction in Eviction::ALL {
        for_each_seed(400, |seed| {
            let mut random = Random::seeded(seed);
            let mut cache = Cache::new(eviction, 20 + random.below(80));
            let heaviest = 1 + random.below(20);
            for _ in 0..300 {
                let bound = 1 + random.below(50);
                let key = random.below(bound);
                match random.below(8) {
                    0..5 => put(&mut cache, key, random.below(heaviest + 1)),
                    5 => {
                        let known = cache.ids.contains_key(&key);
                        assert_eq!(cache.remove(key), known);
                    }
                    _ => assert_eq!(cache.get(key), cache.ids.contains_key(&key)),
                }
                cache.check();
            }
            let mut left = Vec::new();
            cache.evict_down_to(0, None, &mut left);
            assert_eq!(cache.evictor.weight(), 0);
        });
    }
}

fn put(cache: &mut Cache, key: u64, weight: u64) {
    let before = cache.evictor.weight();
    let old = cache.ids.get(&key).map(|id| cache.slots[*id].node.weight());
    let evicted = cache.put(key, weight);
    assert!(cache.ids.contains_key(&key), "it is resident");
    let fits = before - old.unwrap_or(0) + weight <= cache.capacity;
    assert_eq!(
        evicted.is_empty(),
        fits,
        "something leaves when room is needed, and only then"
    );
}

/// A later version in a slot of its own leaves when the earlier one, overwritten in place, would have left. Not asked of
/// AdaptiveTinyLfu, whose hand goes by places in the slab.
///
/// Contract: P43 (partial: a new version keeps its place, without a pool)
#[test]
fn a_new_version_takes_the_place_of_the_old_one() {
    for eviction in [Eviction::S3Fifo, Eviction::Sieve, Eviction::Lru] {
        for_each_seed(200, |seed| {
            let mut random = Random::seeded(seed);
            let (mut moved, mut in_place) = (Cache::new(eviction, 60), Cache::new(eviction, 60));
            for _ in 0..400 {
                let key = random.below(90);
                match random.below(4) {
                    0 if moved.ids.contains_key(&key) => {
                        let weight = moved.slots[moved.ids[&key]].node.weight();
                        moved.succeed(key, weight);
                        in_place.put(key, weight);
                    }
                    1 => assert_eq!(moved.get(key), in_place.get(key)),
                    _ => {
                        let weight = 1 + random.below(3);
                        assert_eq!(
                            moved.put(key, weight),
                            in_place.put(key, weight),
                            "{eviction:?}: another leaves"
                        );
                    }
                }
                moved.check();
            }
            let (mut one, mut other) = (Vec::new(), Vec::new());
            moved.evict_down_to(0, None, &mut one);
            in_place.evict_down_to(0, None, &mut other);
            assert_eq!(one, other, "{eviction:?}");
        });
    }
}

/// The same under AdaptiveTinyLfu: the sums stay true, and what is used over and over stays, whichever slot it is in.
///
/// Contract: P43 (partial: a new version keeps its place, without a pool)
#[test]
fn a_new_version_keeps_the_fame_of_the_old_one() {
    for eviction in Eviction::ALL {
        let mut cache = Cache::new(eviction, 100);
        for round in 0..50_u64 {
            for key in 0..30 {
                cache.access(key);
                cache.succeed(key, 1);
                cache.access(1_000 + round * 30 + key);
                cache.check();
            }
        }
        let stayed = (0..30).filter(|key| cache.ids.contains_key(key)).count();
        assert_eq!(stayed, 30, "{eviction:?}");
    }
}

/// Where all entries weigh the same, it does not matter how much: the same ones leave.
///
/// Contract: P43 (partial: weights, without a pool), C82 (partial: weights, without a cache)
#[test]
fn what_all_weigh_alike_makes_no_difference() {
    for eviction in Eviction::ALL {
        for_each_seed(60, |seed| {
            let mut random = Random::seeded(seed);
            // A tenth of it, and a two hundredth, are whole numbers of entries.
            let entries = 200 * (1 + random.below(3));
            let weight = 2 + random.below(500);
            let mut light = Cache::new(eviction, entries);
            let mut heavy = Cache::new(eviction, entries * weight);
            for _ in 0..5_000 {
                let bound = 1 + random.below(3 * entries);
                let key = random.below(bound);
                let hit = light.get(key);
                assert_eq!(heavy.get(key), hit, "{key} under {eviction:?}");
                if !hit {
                    assert_eq!(light.put(key, 1), heavy.put(key, weight), "{eviction:?}");
                }
            }
        });
    }
}

/// A hit writes to one byte of the entry that was hit, until that is full; neither the policy nor another entry changes. What
/// a pool keeps of an entry beside it lies in the same line.
///
/// Contract: P43 (partial: what a hit writes, without a pool)
#[test]
fn a_hit_writes_to_nothing_but_its_own_entry() {
    assert_eq!(size_of::<Uses>(), 1);
    for eviction in Eviction::ALL
        .into_iter()
        .filter(|policy| *policy != Eviction::Lru)
    {
        let mut cache = Cache::new(eviction, 100);
        for key in 0..150 {
            cache.access(key % 120);
        }
        let (key, id) = cache.ids.iter().map(|(key, id)| (*key, *id)).next().unwrap();
        let others = |cache: &Cache| {
            let others = cache.slots.iter().filter(|(other, _)| *other != id);
            let all = others.map(|(_, entry)| format!("{:?} {:?}", entry.uses, entry.node));
            (
                format!("{:?} {:?}", cache.evictor, cache.slots[id].node),
                all.collect::<Vec<_>>(),
            )
        };
        let before = others(&cache);
        let mut uses = format!("{:?}", cache.slots[id].uses);
        let mut writes = 0;
        for _ in 0..300 {
            assert!(cache.get(key));
            let now = format!("{:?}", cache.slots[id].uses);
            writes += usize::from(now != uses);
            uses = now;
        }
        assert_eq!(others(&cache), before, "{eviction:?}");
        assert!((1..=15).contains(&writes), "{eviction:?}: {writes} writes");
    }
}

/// The entry that must stay is kept, also when it is the only one or the oldest of all.
///
/// Contract: P40 (partial: a value just inserted stays, without a pool)
#[test]
fn the_protected_entry_stays() {
    for eviction in Eviction::ALL {
        for count in [1_u64, 2, 3, 20, 200] {
            for kept in [0, count / 2, count - 1] {
                let mut cache = Cache::new(eviction, 1_000);
                for key in 0..count {
                    cache.put(key, 1);
                }
                let keep = cache.ids[&kept];
                let mut left = Vec::new();
                cache.evict_down_to(1, Some(keep), &mut left);
                assert_eq!(left.len() as u64, count - 1, "{eviction:?}");
                assert_eq!(cache.evictor.evict(&mut cache.slots, Some(keep)), None);
                assert_eq!(cache.evictor.len(), 1, "{eviction:?}: it is still held");
            }
        }
    }
}

/// A shard in which everything was used gives way after a bounded search, however large it is. Each look at an entry that
/// is passed over is seen by the entry.
///
/// Contract: P43 (partial: bounded work, without a pool)
#[test]
fn a_hot_shard_is_not_searched_through() {
    for eviction in Eviction::ALL {
        let looks = [10_000, 100_000].map(|entries| {
            let (mut slots, mut evictor) = hot(eviction, entries);
            let before = LOOKS.get();
            assert!(evictor.evict(&mut slots, None).is_some());
            LOOKS.get() - before
        });
        assert_eq!(looks[0], looks[1], "{eviction:?}: the work depends on the size");
        assert!(
            looks[0] <= 40 * EVICTION_STEPS_MAX,
            "{eviction:?}: {} looks",
            looks[0]
        );
    }
}

thread_local! {
    static LOOKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// An entry that counts how often a policy looks at it.
struct Seen {
    hash: u64,
    uses: Uses,
    node: Node,
}

impl Seen {
    fn new(hash: u64) -> Self {
        let (uses, node) = (Uses::default(), Node::new(1));
        Seen { hash, uses, node }
    }

    fn look() {
        LOOKS.set(LOOKS.get() + 1);
    }
}

impl Resident for Seen {
    fn hash(&self) -> u64 {
        Seen::look();
        self.hash
    }

    fn uses(&self) -> &Uses {
        Seen::look();
        &self.uses
    }

    fn node(&self) -> &Node {
        Seen::look();
        &self.node
    }

    fn node_mut(&mut self) -> &mut Node {
        Seen::look();
        &mut self.node
    }
}

fn hot(eviction: Eviction, entries: u64) -> (Slots<Seen>, Evictor) {
    let (mut slots, mut evictor) = (Slots::new(), Evictor::new(eviction));
    for key in 0..entries {
        let id = slots.insert(Seen::new(hash_of(key))).unwrap();
        evictor.insert(&mut slots, id);
    }
    let ids: Vec<_> = slots.iter().map(|(id, _)| id).collect();
    for id in ids.iter().chain(&ids).chain(&ids) {
        evictor.hit(&slots[*id].uses);
    }
    (slots, evictor)
}

/// Insert at capacity costs the same number of looks at a hundred times the size.
///
/// Contract: P43 (partial: constant work, without a pool)
#[test]
fn work_does_not_grow_with_the_shard() {
    for eviction in Eviction::ALL {
        let looks = [1_000_u64, 100_000].map(|entries| {
            let (mut slots, mut evictor) = (Slots::new(), Evictor::new(eviction));
            let mut random = Random::seeded(entries);
            let mut counted = 0;
            for at in 0..entries * 3 {
                let before = LOOKS.get();
                if slots.len() as u64 == entries {
                    let victim = evictor.evict(&mut slots, None).unwrap();
                    slots.remove(victim);
                }
                let id = slots.insert(Seen::new(random.next_u64())).unwrap();
                evictor.insert(&mut slots, id);
                if at >= entries {
                    counted += LOOKS.get() - before;
                }
            }
            counted as u64 / (2 * entries)
        });
        assert!(
            looks[1] <= looks[0] + 2,
            "{eviction:?}: {looks:?} looks an insert, at 1,000 and at 100,000 entries"
        );
    }
}

/// Of a set of keys that is used over and over, with keys between that are used once, more stay than by chance: each policy
/// takes note of hits under a shared lock, or says that it does not.
///
/// Contract: P43 (partial: a hit needs a shared lock, without a pool)
#[test]
fn a_use_is_noted() {
    for eviction in Eviction::ALL {
        let mut cache = Cache::new(eviction, 100);
        assert_eq!(cache.evictor.has_shared_hits(), eviction != Eviction::Lru);
        for round in 0..50_u64 {
            for key in 0..30 {
                cache.access(key);
                cache.access(1_000 + round * 30 + key);
            }
        }
        let stayed = (0..30).filter(|key| cache.ids.contains_key(key)).count();
        assert_eq!(stayed, 30, "{eviction:?}");
    }
}
