//! Replays a trace through one engine: get, and on a miss put.
//!
//! What is always true: every entry weighs one, one thread does it all, and after each thousandth access the number of
//! residents is held against the capacity.

use larder_memory::{Eviction, Evictor, Node, Resident, Slots};
use hashbrown::HashTable;

struct Entry {
    key: u64,
    node: Node,
}

impl Resident for Entry {
    fn node(&self) -> &Node {
        &self.node
    }

    fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}

/// How many accesses of `trace` hit in one shard of a policy.
#[must_use]
pub fn policy_hits(eviction: Eviction, trace: &[u64], capacity: usize) -> usize {
    let mut slots: Slots<Entry> = Slots::new();
    let mut evictor = Evictor::new(eviction);
    let mut table = HashTable::new();
    let mut hits = 0;
    for key in trace {
        let hash = mixed(*key);
        if let Some(id) = table.find(hash, |id| slots[*id].key == *key).copied() {
            hits += 1;
            if evictor.has_shared_hits() {
                evictor.hit(&slots[id].node);
            } else {
                evictor.hit_exclusive(&mut slots, id);
            }
            continue;
        }
        if slots.len() == capacity {
            let victim = evictor.evict(&mut slots, None).expect("there are entries");
            let left = slots.remove(victim).expect("the victim is resident");
            if let Ok(entry) = table.find_entry(left.node.hash(), |id| *id == victim) { entry.remove(); }
        }
        let id = slots.insert(Entry { key: *key, node: Node::new(hash, 1) }).expect("few entries");
        evictor.insert(&mut slots, id);
        table.insert_unique(hash, id, |id| slots[*id].node.hash());
    }
    hits
}

/// The finalizer of SplitMix64: block numbers are no hashes.
fn mixed(key: u64) -> u64 {
    let mut mixed = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
