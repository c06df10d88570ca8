//! [`Lru`]: the entry that was used longest ago leaves first, exactly.
//!
//! The order is that of one list, so it cannot wrap or tie. The price is that every use needs the exclusive lock.
//! It is also what small pools use under every policy: see [`Eviction::for_entries`](super::Eviction::for_entries).

use super::node::{Node, Part, Resident};
use super::queue::Queue;
use super::{Policy, sealed};
use crate::slots::{SlotId, Slots};

/// Exact least recently used.
#[derive(Debug)]
pub struct Lru {
    queue: Queue,
}

impl Default for Lru {
    fn default() -> Self {
        Self {
            queue: Queue::new(Part::Main),
        }
    }
}

impl sealed::Sealed for Lru {}

impl Policy for Lru {
    const SHARED_HITS: bool = false;

    #[inline]
    fn hit(&self, _node: &Node) {}

    fn hit_exclusive<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId) {
        self.queue.renew(slots, id);
    }

    fn insert<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId) {
        self.queue.push(slots, id);
    }

    fn overwrite<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId, weight: u64) {
        self.queue.reweigh(slots, id, weight);
        self.queue.renew(slots, id);
    }

    fn remove<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId) {
        self.queue.remove(slots, id);
    }

    fn evict<E: Resident>(&mut self, slots: &mut Slots<E>, keep: Option<SlotId>) -> Option<SlotId> {
        let oldest = self.queue.oldest()?;
        let victim = if Some(oldest) == keep {
            self.queue.newer(slots, oldest)?
        } else {
            oldest
        };
        self.queue.remove(slots, victim);
        Some(victim)
    }

    fn len(&self) -> usize {
        self.queue.len()
    }

    fn weight(&self) -> u64 {
        self.queue.weight()
    }
}
