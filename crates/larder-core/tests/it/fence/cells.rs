//! Cells: as many as live pins depend on, and no memory for the rest.

use std::slice::from_ref;

use larder_core::{Pin, Stamp, Target};

use super::doubles::{builder, by_hand, fence, key, tag, user};

/// Contract: F13
#[test]
fn the_last_pin_takes_the_cell_with_it_and_a_new_one_needs_no_memory() {
    let fence = fence();
    let first = fence.pin(&[user(1)]).unwrap();
    let second = fence.pin(&[user(1)]).unwrap();
    drop(first);
    assert_eq!(fence.stats().cells, 3);
    fence.invalidate(&user(1), by_hand());
    assert!(!second.is_fresh());
    drop(second);
    assert_eq!(fence.stats().cells, 0);
    // Invalidated while nobody held it: the next pin is later than that.
    fence.invalidate(&user(1), by_hand());
    let third = fence.pin(&[user(1)]).unwrap();
    assert!(third.is_fresh());
    fence.invalidate(&user(1), by_hand());
    assert!(!third.is_fresh());
}

/// Every order of evicting, inserting again and invalidating: an entry is readable iff its load began after the last
/// invalidation.
///
/// Contract: F13
#[test]
fn evict_reinsert_and_remove_lose_nothing_in_any_order() {
    const STEPS: u32 = 4;
    const LENGTH: u32 = 6;
    for mut sequence in 0..STEPS.pow(LENGTH) {
        let fence = fence();
        let mut entries: Vec<(Pin, usize)> = Vec::new();
        let mut invalidations = 0;
        for _ in 0..LENGTH {
            match sequence % STEPS {
                0 => entries.push((fence.pin(&[key("it")]).unwrap(), invalidations)),
                1 if !entries.is_empty() => drop(entries.remove(0)),
                2 => drop(entries.pop()),
                _ => {
                    fence.invalidate(&key("it"), by_hand());
                    invalidations += 1;
                }
            }
            sequence /= STEPS;
            for (pin, loaded_at) in &entries {
                assert_eq!(pin.is_fresh(), *loaded_at == invalidations);
            }
            assert_eq!(fence.stats().cells, if entries.is_empty() { 0 } else { 3 });
        }
    }
}

/// Contract: F27
#[test]
fn cells_are_the_distinct_targets_and_parents_of_live_pins() {
    let fence = fence();
    assert_eq!(fence.stats().cells, 0);
    // user/1, user, everything
    let a = fence.pin(&[user(1)]).unwrap();
    assert_eq!(fence.stats().cells, 3);
    // and user/2
    let b = fence.pin(&[user(1), user(2)]).unwrap();
    assert_eq!(fence.stats().cells, 4);
    // and shop/red, shop
    let c = fence
        .pin(&[user(2), tag("red"), Target::collection("user").unwrap()])
        .unwrap();
    assert_eq!(fence.stats().cells, 6);
    fence.invalidate(&Target::Everything, by_hand());
    assert_eq!(fence.stats().cells, 6, "an invalidation makes and removes none");
    drop(b);
    assert_eq!(fence.stats().cells, 6);
    drop(a);
    assert_eq!(fence.stats().cells, 5, "user/1 is gone");
    drop(c);
    assert_eq!((fence.stats().cells, fence.stats().pins), (0, 0));
    assert_eq!(fence.stats().cell_bytes, 0);
}

/// Contract: F27
#[test]
fn what_was_refused_leaves_no_cell_behind() {
    let fence = fence();
    let mut pin = fence.pin(&[user(1)]).unwrap();
    fence.invalidate(&tag("red"), by_hand());
    assert!(pin.extend(&[user(2), tag("red")]).is_err());
    assert_eq!(fence.stats().cells, 3, "the dead pin holds what it held");
    assert!(fence.resume(fence.run(), Stamp::ZERO, &[tag("red")]).is_none());
    assert_eq!(fence.stats().cells, 3);
    drop(pin);
    assert_eq!(fence.stats().cells, 0);
}

/// Contract: F27
#[test]
fn a_table_that_has_shrunk_gives_memory_back_before_it_is_empty() {
    let fence = builder(&larder_testkit::SimClock::new())
        .shards(1)
        .build()
        .unwrap();
    let mut pins: Vec<Pin> = (0..100_000).map(|id| fence.pin(&[user(id)]).unwrap()).collect();
    let full = fence.stats();
    pins.truncate(100);
    let left = fence.stats();
    assert_eq!(left.cells, 102);
    assert!(
        left.cell_bytes < full.cell_bytes / 100,
        "{} bytes for {} cells, {} for {}",
        left.cell_bytes,
        left.cells,
        full.cell_bytes,
        full.cells
    );
}

/// A million entries filled and evicted by a memory tier that holds ten thousand.
///
/// Contract: F13, F27
#[test]
fn regression_21_a_million_evictions_leave_nothing() {
    let fence = fence();
    let mut resident = std::collections::VecDeque::new();
    for id in 0..1_000_000 {
        resident.push_back(fence.pin(from_ref(&user(id))).unwrap());
        if resident.len() > 10_000 {
            drop(resident.pop_front());
        }
        if id % 1_000 == 0 {
            fence.invalidate(&user(id), by_hand());
        }
    }
    assert_eq!(fence.stats().cells, 10_002);
    drop(resident);
    let stats = fence.stats();
    assert_eq!((stats.cells, stats.pins, stats.cell_bytes), (0, 0, 0));
}

/// Two threads that pin and let go of the same targets leave nothing either.
///
/// Contract: F13, F27
#[test]
fn cells_are_gone_when_threads_that_shared_them_are() {
    let fence = fence();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let fence = &fence;
            scope.spawn(move || {
                for round in 0..20_000 {
                    let pin = fence.pin(&[user(round % 3), tag("red")]).unwrap();
                    let clone = pin.clone();
                    drop(pin);
                    if (round + thread) % 64 == 0 {
                        fence.invalidate(&user(round % 3), by_hand());
                        assert!(!clone.is_fresh());
                    }
                }
            });
        }
    });
    let stats = fence.stats();
    assert_eq!((stats.cells, stats.pins, stats.cell_bytes), (0, 0, 0));
}
