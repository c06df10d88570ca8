//! The budget on one thread: whole or nothing, in entries and bytes.

use larder_memory::{Bounds, Budget, Charge, Short};
use larder_testkit::{Random, for_each_seed};

const BOUNDS: Bounds = Bounds {
    entries: 3,
    bytes: 100,
};

fn charge(entries: u64, bytes: u64) -> Charge {
    Charge { entries, bytes }
}

/// At each bound n is granted and n + 1 refused, with what is missing, and a refusal leaves nothing behind.
///
/// Contract: P38 (partial: the bounds, without a pool)
#[test]
fn a_bound_is_met_and_never_passed() {
    let budget = Budget::new(BOUNDS);
    let mut room = budget.room();
    assert_eq!(room.fill(charge(1, 101)), Err(Short(charge(0, 1))));
    assert_eq!(room.fill(charge(4, 100)), Err(Short(charge(1, 0))));
    assert_eq!(budget.used(), charge(0, 0), "a refusal holds nothing");
    room.fill(charge(3, 100)).unwrap();
    room.keep(charge(3, 100));
    assert_eq!(budget.used(), charge(3, 100));
    assert_eq!(budget.room().fill(charge(1, 0)), Err(Short(charge(1, 0))));
    assert_eq!(budget.room().fill(charge(0, 1)), Err(Short(charge(0, 1))));
    assert!(budget.could_hold(charge(3, 100)), "once the others are gone");
    assert!(!budget.could_hold(charge(1, 101)));
    let none = Budget::new(Bounds::NONE);
    none.room().fill(charge(u64::MAX, u64::MAX)).unwrap();
}

/// What a reservation holds is given back unless it was kept, also by a panic in between.
///
/// Contract: P24 (partial: room, without a pool)
#[test]
fn room_that_is_not_used_is_given_back() {
    let budget = Budget::new(BOUNDS);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut room = budget.room();
        room.fill(Charge::entry(50)).unwrap();
        panic!("a weigher's");
    }));
    assert!(panic.is_err());
    assert_eq!(budget.used(), charge(0, 0));
    let mut room = budget.room();
    room.fill(Charge::entry(60)).unwrap();
    room.keep(Charge::entry(20));
    assert_eq!(
        budget.used(),
        Charge::entry(20),
        "what was too much is given back"
    );
}

/// Room goes from a victim to whom it made place for, without being free in between.
///
/// Contract: P40 (partial: room, without a pool)
#[test]
fn the_room_of_a_victim_is_handed_over() {
    let budget = Budget::new(BOUNDS);
    for bytes in [30, 30, 40] {
        let mut room = budget.room();
        room.fill(Charge::entry(bytes)).unwrap();
        room.keep(Charge::entry(bytes));
    }
    let mut room = budget.room();
    assert_eq!(room.fill(Charge::entry(50)), Err(Short(charge(1, 50))));
    room.take_over(Charge::entry(30));
    assert_eq!(
        budget.room().fill(Charge::entry(1)),
        Err(Short(charge(1, 1))),
        "nobody else gets it"
    );
    assert_eq!(room.fill(Charge::entry(50)), Err(Short(charge(0, 20))));
    room.take_over(Charge::entry(30));
    room.fill(Charge::entry(50)).unwrap();
    room.keep(Charge::entry(50));
    assert_eq!(budget.used(), charge(2, 90));
}

/// Bounds that fall tell how much must leave; they hold for newcomers at once.
///
/// Contract: P22 (partial: bounds that change, without a pool)
#[test]
fn lower_bounds_tell_the_excess() {
    let budget = Budget::new(BOUNDS);
    let mut room = budget.room();
    room.fill(charge(3, 90)).unwrap();
    room.keep(charge(3, 90));
    let lower = Bounds {
        entries: 2,
        bytes: 50,
    };
    assert_eq!(budget.set_bounds(lower), charge(1, 40));
    assert!(budget.room().fill(Charge::entry(0)).is_err());
    budget.release(Charge::entry(45));
    assert_eq!(budget.excess(), charge(0, 0));
    assert_eq!((budget.bounds(), budget.used()), (lower, charge(2, 45)));
}

/// Random reservations, some kept, some handed on, some given back: what is used is always their sum.
#[test]
fn what_is_used_is_the_sum_of_what_is_held() {
    for_each_seed(300, |seed| {
        let mut random = Random::seeded(seed);
        let budget = Budget::new(BOUNDS);
        let mut resident: Vec<Charge> = Vec::new();
        for _ in 0..200 {
            let wanted = Charge::entry(random.below(60));
            let mut room = budget.room();
            while let Err(Short(missing)) = room.fill(wanted) {
                assert!(!missing.is_nothing());
                room.take_over(resident.swap_remove(random.index(resident.len())));
            }
            if random.chance(800) {
                room.keep(wanted);
                resident.push(wanted);
            } else {
                drop(room);
            }
            let sum = resident.iter().fold(charge(0, 0), |sum, one| {
                charge(sum.entries + 1, sum.bytes + one.bytes)
            });
            assert_eq!(budget.used(), sum);
        }
    });
}
