//! [`Queue`]: a list of entries that knows what they weigh together and marks them as its own.

use super::node::{Nodes, Part, Residents};
use crate::list::List;
use crate::slots::SlotId;

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
    pub(super) fn newer(&self, entries: &impl Residents, id: SlotId) -> Option<SlotId> {
        entries.node(id).links().newer()
    }

    /// Asks for the memory of the oldest two, or of `from` and the next: of the first one what was not asked for when it
    /// was the second. Gives back the first.
    #[inline]
    pub(super) fn expect(&self, entries: &impl Residents, from: Option<SlotId>) -> Option<SlotId> {
        let first = from.or(self.oldest())?;
        entries.expect_value(first);
        if let Some(second) = self.newer(entries, first) {
            entries.expect(second);
        }
        Some(first)
    }

    /// Puts an entry that is in no queue at the new end.
    pub(super) fn push(&mut self, entries: &mut impl Residents, id: SlotId) {
        let node = entries.node_mut(id);
        assert!(node.part() == Part::Out, "an entry is in one queue at most");
        node.set_part(self.part);
        self.weight += node.weight();
        self.list.push_newest(&mut Nodes(entries), id);
    }

    /// Takes an entry of this queue out.
    pub(super) fn remove(&mut self, entries: &mut impl Residents, id: SlotId) {
        let node = entries.node_mut(id);
        assert!(node.part() == self.part, "an entry is removed from its own queue");
        node.set_part(Part::Out);
        self.weight -= node.weight();
        self.list.remove(&mut Nodes(entries), id);
    }

    /// Puts an entry that is in no queue where one of this queue is, with the uses of that one, which is taken out.
    pub(super) fn replace(&mut self, entries: &mut impl Residents, old: SlotId, new: SlotId) {
        let uses = entries.uses(old).get();
        entries.uses(new).set(uses);
        let node = entries.node_mut(old);
        assert!(node.part() == self.part, "an entry is replaced in its own queue");
        node.set_part(Part::Out);
        let left = node.weight();
        let node = entries.node_mut(new);
        assert!(node.part() == Part::Out, "an entry is in one queue at most");
        node.set_part(self.part);
        self.weight = self.weight - left + node.weight();
        self.list.replace(&mut Nodes(entries), old, new);
    }

    /// Moves an entry of this queue to the new end.
    pub(super) fn renew(&mut self, entries: &mut impl Residents, id: SlotId) {
        self.list.remove(&mut Nodes(entries), id);
        self.list.push_newest(&mut Nodes(entries), id);
    }

    /// Gives an entry of this queue another weight.
    pub(super) fn reweigh(&mut self, entries: &mut impl Residents, id: SlotId, weight: u64) {
        let node = entries.node_mut(id);
        assert!(node.part() == self.part, "an entry is weighed in its own queue");
        let old = node.weight();
        node.set_weight(weight);
        self.weight = self.weight - old + node.weight();
    }
}
