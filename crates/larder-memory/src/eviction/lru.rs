//! [`Lru`]: the entry that was used longest ago leaves first, exactly.
//!
//! The order is that of one list, so it cannot wrap or tie. The price is that every use needs the exclusive lock.
//! It is also what small pools use under every policy: see [`Eviction::for_entries`](super::Eviction::for_entries).

use super::node::{Part, Residents, Uses};
use super::queue::Queue;
use super::{Policy, sealed};
use crate::slots::SlotId;

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
    fn hit(&self, _uses: &Uses) {}

    fn hit_exclusive<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        self.queue.renew(entries, id);
    }

    fn insert<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        self.queue.push(entries, id);
    }

    fn overwrite<R: Residents>(&mut self, entries: &mut R, id: SlotId, weight: u64) {
        self.queue.reweigh(entries, id, weight);
        self.queue.renew(entries, id);
    }

    fn succeed<R: Residents>(&mut self, entries: &mut R, old: SlotId, new: SlotId) {
        self.queue.replace(entries, old, new);
        self.queue.renew(entries, new);
    }

    fn remove<R: Residents>(&mut self, entries: &mut R, id: SlotId) {
        self.queue.remove(entries, id);
    }

    fn evict<R: Residents>(&mut self, entries: &mut R, keep: Option<SlotId>) -> Option<SlotId> {
        let oldest = self.queue.oldest()?;
        let victim = if Some(oldest) == keep {
            self.queue.newer(entries, oldest)?
        } else {
            oldest
        };
        self.queue.remove(entries, victim);
        Some(victim)
    }

    fn expect_departure<R: Residents>(&self, entries: &R) {
        self.queue.expect(entries, None);
    }

    fn len(&self) -> usize {
        self.queue.len()
    }

    fn weight(&self) -> u64 {
        self.queue.weight()
    }
}
