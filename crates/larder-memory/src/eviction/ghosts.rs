//! [`Ghosts`]: fingerprints of what was evicted lately, oldest forgotten first.
//!
//! A ghost is 32 bits of the hash of an id. Two ids with one fingerprint are taken for each other, which costs a
//! misjudged entry once in billions and never a wrong value.

use hashbrown::HashTable;

use crate::list::{Linked, Links, List};
use crate::slots::{SlotId, Slots};

/// Fingerprints in the order in which their entries left.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    slots: Slots<Ghost>,
    order: List,
    table: HashTable<SlotId>,
}

#[derive(Debug)]
struct Ghost {
    fingerprint: u32,
    links: Links,
}

/// How many are forgotten at most in one call: one for the newcomer, and one towards a lower bound.
const FORGOTTEN_EACH: usize = 2;

impl Ghosts {
    /// Remembers what has this hash, and forgets the oldest beyond `most`. O(1): after `most` has fallen, each call comes
    /// one nearer to it.
    pub(super) fn remember(&mut self, hash: u64, most: usize) {
        self.recall(hash);
        let ghost = Ghost {
            fingerprint: fingerprint(hash),
            links: Links::default(),
        };
        // A slab that is full only means that this one is not remembered.
        if let Ok(id) = self.slots.insert(ghost) {
            self.order.push_newest(&mut self.slots, id);
            let slots = &self.slots;
            self.table
                .insert_unique(spread(fingerprint(hash)), id, |id| spread(slots[*id].fingerprint));
        }
        for _ in 0..FORGOTTEN_EACH {
            if self.order.len() > most
                && let Some(oldest) = self.order.oldest()
            {
                self.forget(oldest);
            }
        }
    }

    /// Whether what has this hash is remembered; if so, no longer.
    pub(super) fn recall(&mut self, hash: u64) -> bool {
        let wanted = fingerprint(hash);
        let slots = &self.slots;
        let found = self
            .table
            .find(spread(wanted), |id| slots[*id].fingerprint == wanted)
            .copied();
        found.map(|id| self.forget(id)).is_some()
    }

    fn forget(&mut self, id: SlotId) {
        self.order.remove(&mut self.slots, id);
        let Some(ghost) = self.slots.remove(id) else {
            return;
        };
        if let Ok(entry) = self
            .table
            .find_entry(spread(ghost.fingerprint), |other| *other == id)
        {
            entry.remove();
        }
    }
}

/// The upper half: shards and tables usually take the lower bits.
fn fingerprint(hash: u64) -> u32 {
    let [_, _, _, _, bytes @ ..] = hash.to_le_bytes();
    u32::from_le_bytes(bytes)
}

/// The table looks at both ends of its hash (Fibonacci hashing: Knuth, volume 3, section 6.4).
fn spread(fingerprint: u32) -> u64 {
    let mixed = u64::from(fingerprint).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 32)
}

impl Linked for Ghost {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}
