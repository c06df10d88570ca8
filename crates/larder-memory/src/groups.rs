//! [`Groups`]: which entries share something, such as a tag.
//!
//! A member is one entry in one group; an entry that is in several groups has a member in each. What is always true:
//! joining and leaving are O(1), whatever the size of the group; a group exists while it has a member; members are in
//! the order in which they joined.
//!
//! What it does not do: it does not know when an entry is gone. Whoever removes an entry lets its members leave.

use std::hash::Hash;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::list::{Linked, Links, List};
use crate::slots::{SlotId, Slots};

/// Names a member from joining to leaving. Four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(SlotId);

/// Entries `E` in groups that are named by `K`.
///
/// ```
/// use larder_memory::Groups;
///
/// let mut teams = Groups::new();
/// let ada = teams.join("red", 1);
/// teams.join("red", 2);
/// assert_eq!(teams.iter(&"red").copied().collect::<Vec<_>>(), [1, 2]);
/// teams.leave(ada);
/// assert_eq!(teams.first(&"red"), Some(&2));
/// ```
#[derive(Debug)]
pub struct Groups<K, E> {
    lists: HashMap<K, List, RandomState>,
    members: Slots<Member<K, E>>,
}

#[derive(Debug)]
struct Member<K, E> {
    group: K,
    entry: E,
    links: Links,
}

impl<K: Copy + Eq + Hash, E> Groups<K, E> {
    /// Bytes of a member in a group that has others, for who charges it to an entry.
    pub const MEMBER_BYTES: usize = size_of::<Member<K, E>>();

    /// No groups. Allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            lists: HashMap::with_hasher(RandomState::default()),
            members: Slots::new(),
        }
    }

    /// Puts an entry into a group, as its newest member. O(1) amortised.
    ///
    /// # Panics
    /// If there are [`SLOTS_MAX`](crate::limits::SLOTS_MAX) members.
    pub fn join(&mut self, group: K, entry: E) -> MemberId {
        let links = Links::default();
        let member = Member { group, entry, links };
        let id = self
            .members
            .insert(member)
            .expect("invariant: there are fewer members than fit in memory");
        self.lists
            .entry(group)
            .or_default()
            .push_newest(&mut self.members, id);
        MemberId(id)
    }

    /// Takes a member out and gives back the entry; `None` if it is gone. O(1).
    pub fn leave(&mut self, member: MemberId) -> Option<E> {
        let group = self.members.get(member.0)?.group;
        let list = self.lists.get_mut(&group)?;
        list.remove(&mut self.members, member.0);
        if list.is_empty() {
            self.lists.remove(&group);
        }
        self.members.remove(member.0).map(|member| member.entry)
    }

    /// The entry that joined a group first, of those that are in it.
    #[must_use]
    pub fn first(&self, group: &K) -> Option<&E> {
        let oldest = self.lists.get(group)?.oldest()?;
        self.members.get(oldest).map(|member| &member.entry)
    }

    /// The entries of a group, in the order in which they joined.
    pub fn iter(&self, group: &K) -> impl Iterator<Item = &E> {
        let oldest = self.lists.get(group).and_then(List::oldest);
        let ids = std::iter::successors(oldest, |id| List::newer(&self.members, *id));
        ids.filter_map(|id| self.members.get(id))
            .map(|member| &member.entry)
    }

    /// How many members there are in all groups.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether no group has a member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<K: Copy + Eq + Hash, E> Default for Groups<K, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, E> Linked for Member<K, E> {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}
