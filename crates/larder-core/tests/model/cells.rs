//! M4: a cell exists exactly while a pin holds it.

use shuttle::thread;

use crate::explore::explore;
use crate::world::{by_hand, fence, tag, user};

/// Pins are taken, cloned, extended and let go by several threads, with invalidations among them; afterwards
/// nothing is left.
///
/// Contract: F13, F27
#[test]
fn m4_no_cell_outlives_its_pins() {
    explore("m4_no_cell_outlives_its_pins", || {
        let fence = fence();
        let threads: Vec<_> = (0..3)
            .map(|id| {
                let fence = fence.clone();
                thread::spawn(move || {
                    let mut pin = fence.pin(&[user(1), tag("shared")]).unwrap();
                    let clone = pin.clone();
                    let _ = pin.extend(&[user(id)]);
                    drop(pin);
                    fence.invalidate(&user(id), by_hand());
                    drop(clone);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let stats = fence.stats();
        assert_eq!(
            (stats.cells, stats.pins, stats.cell_bytes),
            (0, 0, 0),
            "cells are left over"
        );
    });
}

/// The last pin of a target is let go while another thread takes one: the new pin's cell is the one that
/// invalidations raise.
///
/// Contract: F1, F13
#[test]
fn a_pin_taken_while_the_last_one_goes_is_still_reached() {
    explore("a_pin_taken_while_the_last_one_goes_is_still_reached", || {
        let fence = fence();
        let last = fence.pin(&[user(1)]).unwrap();
        let going = thread::spawn(move || drop(last));
        let pin = fence.pin(&[user(1)]).unwrap();
        going.join().unwrap();
        assert_eq!(fence.stats().cells, 3, "the user, its collection, everything");
        fence.invalidate(&user(1), by_hand());
        assert!(!pin.is_fresh(), "its cell is not in the table any more");
    });
}
