//! [`Queue`]: a list of entries that knows what they weigh together and marks them as its own.

use super::node::{Part, Resident};
use crate::list::List;
use crate::slots::{SlotId, Slots};

/// Entries in an order, from the newest to the oldest.
#[derive(Debug)]
pub(super) struct Queue {
    list: List,
    weight: u64,
    part: Part,
}

impl Queue {
    /// An empty queue whose entries are marked with `part`.
    pub(super) const fn new(part: Part) -> Self {
        Self {
            list: List::new(),
            weight: 0,
            part,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    pub(super) fn oldest(&self) -> Option<SlotId> {
        self.list.oldest()
    }

    /// The entry that came next after `id`, if there is one.
    pub(super) fn newer<E: Resident>(&self, slots: &Slots<E>, id: SlotId) -> Option<SlotId> {
        List::newer(slots, id)
    }

    /// Puts an entry that is in no queue at the new end.
    pub(super) fn push<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId) {
        let node = slots[id].node_mut();
        assert!(node.part() == Part::Out, "an entry is in one queue at most");
        node.set_part(self.part);
        self.weight += node.weight();
        self.list.push_newest(slots, id);
    }

    /// Takes an entry of this queue out.
    pub(super) fn remove<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId) {
        let node = slots[id].node_mut();
        assert!(node.part() == self.part, "an entry is removed from its own queue");
        node.set_part(Part::Out);
        self.weight -= node.weight();
        self.list.remove(slots, id);
    }

    /// Moves an entry of this queue to the new end.
    pub(super) fn renew<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId) {
        self.list.remove(slots, id);
        self.list.push_newest(slots, id);
    }

    /// Gives an entry of this queue another weight.
    pub(super) fn reweigh<E: Resident>(&mut self, slots: &mut Slots<E>, id: SlotId, weight: u64) {
        let node = slots[id].node_mut();
        assert!(node.part() == self.part, "an entry is weighed in its own queue");
        self.weight = self.weight - node.weight() + weight;
        node.set_weight(weight);
    }
}
