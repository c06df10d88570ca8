//! [`List`], a doubly linked list whose links lie beside the values that are in it.
//!
//! What is always true: each operation is O(1) and allocates nothing; a value is in at most one list through one
//! [`Links`]. A list does not own its values, and every call is given the [`LinkStore`] that their links lie in, which
//! must be the same for the life of the list.

use crate::slots::{SlotId, Slots};

/// A value's place in a list.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Links {
    newer: Option<SlotId>,
    older: Option<SlotId>,
}

/// A value that can be in a list.
pub(crate) trait Linked {
    fn links(&self) -> &Links;
    fn links_mut(&mut self) -> &mut Links;
}

/// Where the links of values lie.
pub(crate) trait LinkStore {
    fn links(&self, id: SlotId) -> &Links;
    fn links_mut(&mut self, id: SlotId) -> &mut Links;
}

impl<T: Linked> LinkStore for Slots<T> {
    fn links(&self, id: SlotId) -> &Links {
        self[id].links()
    }

    fn links_mut(&mut self, id: SlotId) -> &mut Links {
        self[id].links_mut()
    }
}

impl Links {
    /// The value that was pushed next after the one whose links these are.
    pub(crate) fn newer(&self) -> Option<SlotId> {
        self.newer
    }
}

/// Values in an order from the newest to the oldest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct List {
    newest: Option<SlotId>,
    oldest: Option<SlotId>,
    len: usize,
}

impl List {
    pub(crate) const fn new() -> Self {
        Self {
            newest: None,
            oldest: None,
            len: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn newest(&self) -> Option<SlotId> {
        self.newest
    }

    pub(crate) fn oldest(&self) -> Option<SlotId> {
        self.oldest
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value that was pushed next after `id`.
    pub(crate) fn newer(store: &impl LinkStore, id: SlotId) -> Option<SlotId> {
        store.links(id).newer
    }

    /// Puts `id`, which is in no list, at the new end.
    pub(crate) fn push_newest(&mut self, store: &mut impl LinkStore, id: SlotId) {
        *store.links_mut(id) = Links {
            newer: None,
            older: self.newest,
        };
        match self.newest {
            Some(newest) => store.links_mut(newest).newer = Some(id),
            None => self.oldest = Some(id),
        }
        self.newest = Some(id);
        self.len += 1;
    }

    /// Puts `new`, which is in no list, where `old` is in this one, and takes `old` out.
    pub(crate) fn replace(&mut self, store: &mut impl LinkStore, old: SlotId, new: SlotId) {
        let links = std::mem::take(store.links_mut(old));
        *store.links_mut(new) = links;
        match links.newer {
            Some(newer) => store.links_mut(newer).older = Some(new),
            None => self.newest = Some(new),
        }
        match links.older {
            Some(older) => store.links_mut(older).newer = Some(new),
            None => self.oldest = Some(new),
        }
    }

    /// Takes `id`, which is in this list, out of it.
    pub(crate) fn remove(&mut self, store: &mut impl LinkStore, id: SlotId) {
        let Links { newer, older } = std::mem::take(store.links_mut(id));
        match newer {
            Some(newer) => store.links_mut(newer).older = older,
            None => {
                debug_assert_eq!(self.newest, Some(id), "the value is in another list");
                self.newest = older;
            }
        }
        match older {
            Some(older) => store.links_mut(older).newer = newer,
            None => {
                debug_assert_eq!(self.oldest, Some(id), "the value is in another list");
                self.oldest = newer;
            }
        }
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use larder_testkit::{Random, for_each_seed};

    use super::*;

    #[derive(Default)]
    struct Value {
        links: Links,
    }

    impl Linked for Value {
        fn links(&self) -> &Links {
            &self.links
        }

        fn links_mut(&mut self) -> &mut Links {
            &mut self.links
        }
    }

    fn from_oldest(list: &List, slots: &Slots<Value>) -> Vec<SlotId> {
        let next = |id: &SlotId| List::newer(slots, *id);
        std::iter::successors(list.oldest(), next).collect()
    }

    /// Two lists over one slab do what two deques do, whatever is pushed, taken out and moved.
    #[test]
    fn a_list_is_a_deque() {
        for_each_seed(200, |seed| {
            let mut random = Random::seeded(seed);
            let mut slots = Slots::new();
            let mut lists = [List::default(); 2];
            let mut models = [VecDeque::new(), VecDeque::new()];
            for _ in 0..100 {
                let which = random.index(2);
                let (list, model) = (&mut lists[which], &mut models[which]);
                match random.below(5) {
                    4 if !model.is_empty() => {
                        let (at, new) = (random.index(model.len()), slots.insert(Value::default()).unwrap());
                        let old = std::mem::replace(&mut model[at], new);
                        list.replace(&mut slots, old, new);
                        slots.remove(old);
                    }
                    0 | 1 => {
                        let id = slots.insert(Value::default()).unwrap();
                        list.push_newest(&mut slots, id);
                        model.push_back(id);
                    }
                    2 if !model.is_empty() => {
                        let id = model.remove(random.index(model.len())).unwrap();
                        list.remove(&mut slots, id);
                        lists[1 - which].push_newest(&mut slots, id);
                        models[1 - which].push_back(id);
                    }
                    _ => {
                        let oldest = list.oldest();
                        assert_eq!(oldest, model.pop_front());
                        if let Some(oldest) = oldest {
                            list.remove(&mut slots, oldest);
                            slots.remove(oldest);
                        }
                    }
                }
                for (list, model) in lists.iter().zip(&models) {
                    assert_eq!(from_oldest(list, &slots), Vec::from(model.clone()));
                    assert_eq!((list.newest(), list.len()), (model.back().copied(), model.len()));
                }
            }
        });
    }
}
