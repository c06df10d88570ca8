//! The slab does what a map from ids to values does, and uses places again.

use std::collections::HashMap;

use larder_memory::{Beside, Slots};
use larder_testkit::{Random, for_each_seed};

/// Inserts, removals and changes in any order leave the slab with what a map has.
#[test]
fn a_slab_is_a_map() {
    for_each_seed(300, |seed| {
        let mut random = Random::seeded(seed);
        let mut slots = Slots::new();
        let mut model = HashMap::new();
        let mut known = Vec::new();
        for number in 0..200_u64 {
            match random.below(3) {
                0 | 1 if known.len() < 40 => {
                    let id = slots.insert(number).unwrap();
                    assert_eq!(model.insert(id, number), None, "the place was in use");
                    known.push(id);
                }
                _ if !known.is_empty() => {
                    let id = known.swap_remove(random.index(known.len()));
                    assert_eq!(slots.remove(id), model.remove(&id));
                    assert_eq!((slots.remove(id), slots.get(id)), (None, None), "it is gone");
                }
                _ => {}
            }
            if let Some(id) = known.first() {
                *slots.get_mut(*id).unwrap() += 1_000;
                *model.get_mut(id).unwrap() += 1_000;
            }
            assert_eq!(slots.len(), model.len());
            assert!(slots.places() <= 40, "free places are used before new ones");
        }
        let listed: HashMap<_, _> = slots.iter().map(|(id, value)| (id, *value)).collect();
        assert_eq!(listed, model);
        let by_place = (0..slots.places()).filter_map(|index| slots.at(index));
        assert_eq!(by_place.count(), model.len());
    });
}

/// What is kept beside a slab is what was set last, whichever way its places are used.
#[test]
fn what_is_beside_is_what_was_set() {
    for_each_seed(50, |seed| {
        let mut random = Random::seeded(seed);
        let (mut slots, mut beside, mut known) = (Slots::new(), Beside::new(), Vec::new());
        for number in 1..500_u64 {
            if random.below(3) > 0 || known.is_empty() {
                let id = slots.insert(number).unwrap();
                assert_eq!(beside.set(id, number), 0, "it was taken out, or never set");
                known.push(id);
            } else {
                let id = known.swap_remove(random.index(known.len()));
                assert_eq!(slots.remove(id), Some(beside.take(id)));
            }
            for id in &known {
                assert_eq!(slots[*id], beside[*id]);
                beside[*id] += 1;
                slots[*id] += 1;
            }
        }
    });
}

/// Ids are small enough for the tables and links that hold millions of them.
#[test]
fn an_id_is_four_bytes() {
    assert_eq!(size_of::<Option<larder_memory::SlotId>>(), 4);
}

/// A slab that is asked for a value that is gone says so.
#[test]
#[should_panic(expected = "invariant: an id is given up before its value is removed")]
fn a_stale_id_is_no_index() {
    let mut slots = Slots::new();
    let id = slots.insert(1).unwrap();
    slots.remove(id);
    let _ = slots[id];
}
