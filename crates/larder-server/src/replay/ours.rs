//! [`Ours`]: the policies that pools have, the very code, over keys alone.

use larder_memory::{Eviction, Evictor, Node, Resident, SlotId, Slots, Uses};

use super::simulate::Cache;

/// A cache of one shard that one of Larder's policies keeps within its capacity.
pub(crate) struct Ours {
    capacity: usize,
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
    pub(crate) fn new(eviction: Eviction, keys: usize, capacity: usize) -> Self {
        Ours {
            capacity,
            evictor: Evictor::new(eviction),
            slots: Slots::new(),
            places: vec![None; keys],
        }
    }
}

impl Cache for Ours {
    fn access(&mut self, key: u32) -> bool {
        if let Some(place) = self.places[key as usize] {
            if self.evictor.has_shared_hits() {
                self.evictor.hit(&self.slots[place].uses);
            } else {
                self.evictor.hit_exclusive(&mut self.slots, place);
            }
            return true;
        }
        if self.slots.len() == self.capacity
            && let Some(victim) = self.evictor.evict(&mut self.slots, None)
            && let Some(entry) = self.slots.remove(victim)
        {
            self.places[entry.key as usize] = None;
        }
        let entry = Entry {
            key,
            uses: Uses::default(),
            node: Node::new(1),
        };
        let place = self.slots.insert(entry);
        let place = place.expect("invariant: a trace has fewer keys than a slab has places");
        self.evictor.insert(&mut self.slots, place);
        self.places[key as usize] = Some(place);
        false
    }

    fn resident(&self) -> usize {
        self.slots.len()
    }
}

/// The finalizer of SplitMix64: numbers of keys are no hashes.
fn mixed(key: u64) -> u64 {
    let mut mixed = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use larder_memory::Eviction;

    use super::Ours;
    use crate::demo::random::Random;
    use crate::replay::plain::{Lru, Ring};
    use crate::replay::simulate::Cache;

    fn accesses(seed: u64) -> Vec<u32> {
        let mut random = Random::new(seed);
        (0..3_000)
            .map(|_| u32::try_from(random.id(100) - 1).unwrap_or(0))
            .collect()
    }

    /// LRU is shown by the plain one: pools' own does the same.
    #[test]
    fn one_lru_is_as_the_other() {
        for seed in 0..10 {
            let accesses = accesses(seed);
            for capacity in [1, 2, 7, 50, 100] {
                let (mut plain, mut ours) =
                    (Lru::new(100, capacity), Ours::new(Eviction::Lru, 100, capacity));
                for (key, at) in accesses.iter().zip(0..) {
                    assert_eq!(
                        plain.access(*key),
                        ours.access(*key),
                        "seed {seed}, capacity {capacity}, access {at}"
                    );
                }
            }
        }
    }

    /// Written once more, as slowly as can be.
    #[test]
    fn rings_keep_to_their_rules() {
        for seed in 0..10 {
            let accesses = accesses(seed);
            for looks in [false, true] {
                let mut ring = if looks {
                    Ring::clock(100, 20)
                } else {
                    Ring::fifo(100, 20)
                };
                let mut queue: Vec<(u32, bool)> = Vec::new();
                for key in &accesses {
                    let there = queue.iter().position(|(there, _)| there == key);
                    assert_eq!(ring.access(*key), there.is_some());
                    if let Some(there) = there {
                        queue[there].1 = true;
                        continue;
                    }
                    while queue.len() == 20 {
                        let (first, used) = queue.remove(0);
                        if looks && used {
                            queue.push((first, false));
                        }
                    }
                    queue.push((*key, false));
                }
            }
        }
    }
}
