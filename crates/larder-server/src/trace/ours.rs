//! [`Ours`]: the policies that pools have, the very code, over keys alone.

use larder_memory::{Eviction, Evictor, Node, Resident, SlotId, Slots, Uses};

use super::Cache;

/// A cache of one shard that one of Larder's policies keeps within its capacity.
pub(super) struct Ours {
    capacity: u64,
    evictor: Evictor,
    slots: Slots<Entry>,
    places: Vec<Option<SlotId>>,
}

struct Entry {
    key: u32,
    uses: Uses,
    node: Node,
}

impl Resident for Entry {
    fn hash(&self) -> u64 {
        mixed(u64::from(self.key))
    }

    fn uses(&self) -> &Uses {
        &self.uses
    }

    fn node(&self) -> &Node {
        &self.node
    }

    fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}

impl Ours {
    pub(super) fn new(eviction: Eviction, keys: usize, capacity: u64) -> Self {
        Ours {
            capacity,
            evictor: Evictor::new(eviction),
            slots: Slots::new(),
            places: vec![None; keys],
        }
    }

    /// Lets others than `keep` leave until so much more fits, as a pool does before it stores.
    fn clear(&mut self, more: u64, keep: Option<SlotId>) {
        while self.evictor.weight() + more > self.capacity
            && let Some(victim) = self.evictor.evict(&mut self.slots, keep)
        {
            self.forget(victim);
        }
    }

    fn forget(&mut self, place: SlotId) {
        if let Some(entry) = self.slots.remove(place) {
            self.places[entry.key as usize] = None;
        }
    }

    fn use_resident(&mut self, key: u32, place: SlotId, weight: u64) {
        let before = self.slots[place].node.weight();
        if weight > self.capacity {
            self.remove(key);
        } else if before != weight {
            // What a value leaves behind is its successor's: only what is more needs room.
            self.clear(weight.saturating_sub(before), Some(place));
            self.evictor.overwrite(&mut self.slots, place, weight);
        } else if self.evictor.has_shared_hits() {
            self.evictor.hit(&self.slots[place].uses);
        } else {
            self.evictor.hit_exclusive(&mut self.slots, place);
        }
    }
}

impl Cache for Ours {
    fn access(&mut self, key: u32, weight: u64) -> bool {
        if let Some(place) = self.places[key as usize] {
            self.use_resident(key, place, weight);
            return true;
        }
        if weight > self.capacity {
            return false;
        }
        self.clear(weight, None);
        let entry = Entry {
            key,
            uses: Uses::default(),
            node: Node::new(weight),
        };
        let place = self.slots.insert(entry);
        let place = place.expect("invariant: a trace has fewer keys than a slab has places");
        self.evictor.insert(&mut self.slots, place);
        self.places[key as usize] = Some(place);
        false
    }

    fn remove(&mut self, key: u32) {
        if let Some(place) = self.places[key as usize] {
            self.evictor.remove(&mut self.slots, place);
            self.forget(place);
        }
    }

    fn resident(&self) -> u64 {
        self.evictor.weight()
    }
}

/// The finalizer of SplitMix64: numbers of keys are no hashes.
pub(super) fn mixed(key: u64) -> u64 {
    let mut mixed = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use larder_memory::Eviction;
    use larder_testkit::{Random, for_each_seed};

    use super::Ours;
    use crate::trace::Cache;
    use crate::trace::queue::{Queue, Rule};
    use crate::trace::weights::{Each, Ones};

    /// LRU is shown by the plain one: pools' own does the same, by entries and by bytes, whatever is removed or changes its size.
    ///
    /// Contract: S137 (partial: ours by size)
    #[test]
    fn one_lru_is_as_the_other() {
        for_each_seed(10, |seed| {
            for capacity in [1, 2, 7, 50, 100] {
                let mut random = Random::seeded(seed);
                let mut ours = [0, 1].map(|_| Ours::new(Eviction::Lru, 100, capacity));
                let [by_entries, by_bytes] = &mut ours;
                let mut ones = Queue::<Ones>::new(Rule::Lru, 100, capacity);
                let mut each = Queue::<Each>::new(Rule::Lru, 100, capacity);
                for at in 0..3_000 {
                    let key = u32::try_from(random.below(100)).unwrap();
                    let key = key.min(u32::try_from(random.below(100)).unwrap());
                    let weight = if random.chance(950) {
                        u64::from(key % 9)
                    } else {
                        random.below(60)
                    };
                    if random.chance(50) {
                        for cache in [&mut ones as &mut dyn Cache, &mut each, by_entries, by_bytes] {
                            cache.remove(key);
                        }
                    }
                    assert_eq!(ones.access(key, 1), by_entries.access(key, 1), "access {at}");
                    assert_eq!(
                        each.access(key, weight),
                        by_bytes.access(key, weight),
                        "access {at}"
                    );
                    assert_eq!(each.resident(), by_bytes.resident(), "access {at}");
                    assert!(each.resident() <= capacity, "access {at}");
                }
            }
        });
    }
}
