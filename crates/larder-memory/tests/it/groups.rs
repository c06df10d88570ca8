//! Groups do what a map of lists does.

use std::collections::BTreeMap;

use larder_memory::{Groups, MemberId};
use larder_testkit::{Random, for_each_seed};

/// Members join and leave in any order; each group is the list of those that stayed, in the order in which they joined.
#[test]
fn groups_are_a_map_of_lists() {
    for_each_seed(300, |seed| {
        let mut random = Random::seeded(seed);
        let mut groups = Groups::new();
        let mut model: BTreeMap<u64, Vec<(MemberId, u64)>> = BTreeMap::new();
        for number in 0..200 {
            let group = random.below(5);
            let members = model.entry(group).or_default();
            if random.below(3) > 0 || members.is_empty() {
                members.push((groups.join(group, number), number));
            } else {
                let (member, entry) = members.remove(random.index(members.len()));
                assert_eq!(groups.leave(member), Some(entry));
            }
            for (group, members) in &model {
                let entries: Vec<u64> = members.iter().map(|(_, entry)| *entry).collect();
                assert_eq!(groups.iter(group).copied().collect::<Vec<_>>(), entries);
                assert_eq!(groups.first(group), entries.first());
            }
            let count: usize = model.values().map(Vec::len).sum();
            assert_eq!((groups.len(), groups.is_empty()), (count, count == 0));
        }
    });
}

/// A member that has left is gone, and says so.
#[test]
fn a_member_leaves_once() {
    let mut groups = Groups::default();
    let member = groups.join("red", 1);
    assert_eq!(groups.leave(member), Some(1));
    assert_eq!(groups.leave(member), None);
    assert_eq!(groups.iter(&"red").count(), 0);
}
