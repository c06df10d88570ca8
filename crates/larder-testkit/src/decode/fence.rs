//! Operations on a fence, read from bytes and compared with a map after each one.
//!
//! The map is written from the contract: a clock, the last invalidation of each target, and for each pin what it
//! depends on. Under the fuzzer this runs with the address sanitizer, which watches the cells that pins share.

use std::collections::BTreeSet;

use larder_core::{Cause, Fence, Pin, Reason, Target};

use super::Decoded;

/// The targets that operations name, with the places of their parents.
const UNIVERSE: [(&str, &[usize]); 12] = [
    ("entity:a/1", &[4, 11]),
    ("entity:a/2", &[4, 11]),
    ("entity:b/1", &[5, 11]),
    ("tag:n/x", &[8, 11]),
    ("collection:a", &[11]),
    ("collection:b", &[11]),
    ("collection:a.lists", &[11]),
    ("key:n/x", &[8, 11]),
    ("namespace:n", &[11]),
    ("dependency:m/x", &[10, 11]),
    ("namespace:m", &[11]),
    ("everything", &[]),
];

/// Fewer than the ring holds, so that nothing is ever forgotten and every answer is decided.
const OPERATIONS_MAX: usize = 512;

/// More live pins than this make room by letting the oldest go.
const PINS_MAX: usize = 24;

struct Modelled {
    pin: Pin,
    started: u64,
    depends_on: BTreeSet<usize>,
    killed: bool,
}

struct World {
    fence: Fence,
    targets: Vec<Target>,
    clock: u64,
    last: [u64; UNIVERSE.len()],
    pins: Vec<Modelled>,
}

/// One input: two bytes an operation, the first what, the second on what.
pub(super) fn check(input: &[u8]) -> Decoded {
    let mut world = World::new();
    let mut done = 0;
    for operation in input.chunks_exact(2).take(OPERATIONS_MAX) {
        if let [what, on] = *operation {
            world.apply(what, on);
            world.compare();
            done += 1;
        }
    }
    world.compare_cells();
    world.pins.clear();
    world.compare_cells();
    Decoded {
        raw: done > 0,
        framed: done > 1,
    }
}

impl World {
    fn new() -> World {
        let built = Fence::builder().shards(2).recent_count(1_024).build();
        let targets = UNIVERSE
            .iter()
            .map(|(text, _)| text.parse().expect("a target's text"));
        World {
            fence: built.expect("options in range"),
            targets: targets.collect(),
            clock: 0,
            last: [0; UNIVERSE.len()],
            pins: Vec::new(),
        }
    }

    fn apply(&mut self, what: u8, on: u8) {
        let (target, second) = (usize::from(on) % 12, usize::from(on / 12) % 12);
        match what % 8 {
            0 => self.pin(&[target]),
            1 => self.pin(&[target, second]),
            2 | 3 => self.invalidate(target),
            4 => self.with_pin(on, |world, pin| {
                let clone = Modelled {
                    pin: pin.pin.clone(),
                    depends_on: pin.depends_on.clone(),
                    ..*pin
                };
                world.pins.push(clone);
            }),
            5 => self.with_pin(what / 8, |world, pin| world.extend(pin, &[target, second])),
            6 => self.with_pin(on, |_, pin| {
                pin.pin.never_cache();
                pin.killed = true;
            }),
            _ => drop(self.take(on)),
        }
        if self.pins.len() > PINS_MAX {
            self.pins.remove(0);
        }
    }

    fn pin(&mut self, on: &[usize]) {
        let targets: Vec<Target> = on.iter().map(|index| self.targets[*index].clone()).collect();
        let pin = self.fence.pin(&targets).expect("few targets");
        let depends_on = closure(on);
        self.pins.push(Modelled {
            pin,
            started: self.clock,
            depends_on,
            killed: false,
        });
    }

    fn invalidate(&mut self, target: usize) {
        self.clock += 1;
        self.last[target] = self.clock;
        self.fence
            .invalidate(&self.targets[target], Cause::direct(Reason::default()));
    }

    fn extend(&self, pin: &mut Modelled, on: &[usize]) {
        let late: BTreeSet<usize> = &closure(on) - &pin.depends_on;
        let targets: Vec<Target> = on.iter().map(|index| self.targets[*index].clone()).collect();
        let too_old = late.iter().any(|index| self.last[*index] > pin.started);
        let extended = pin.pin.extend(&targets);
        if pin.killed {
            // Dead for good either way; what it holds then is its own affair, so it goes.
            pin.pin = self.fence.pin(&[]).expect("no targets");
            pin.pin.never_cache();
            pin.depends_on = closure(&[11]);
            return;
        }
        assert_eq!(
            extended.is_err(),
            too_old,
            "extend by {on:?} at {}, pinned at {}",
            self.clock,
            pin.started
        );
        if too_old {
            pin.killed = true;
        } else {
            pin.depends_on.extend(late);
        }
    }

    /// Takes a pin out, changes it and puts it back.
    fn with_pin(&mut self, which: u8, change: impl FnOnce(&mut World, &mut Modelled)) {
        if let Some(mut pin) = self.take(which) {
            change(self, &mut pin);
            self.pins.push(pin);
        }
    }

    fn take(&mut self, which: u8) -> Option<Modelled> {
        let index = usize::from(which).checked_rem(self.pins.len())?;
        Some(self.pins.swap_remove(index))
    }

    fn compare(&self) {
        for pin in &self.pins {
            let raised = pin.depends_on.iter().any(|index| self.last[*index] > pin.started);
            let expected = !pin.killed && !raised;
            assert_eq!(
                pin.pin.is_fresh(),
                expected,
                "pinned at {} on {:?}",
                pin.started,
                pin.depends_on
            );
        }
    }

    fn compare_cells(&self) {
        let held: BTreeSet<usize> = self
            .pins
            .iter()
            .flat_map(|pin| pin.depends_on.iter().copied())
            .collect();
        assert_eq!(self.fence.stats().cells, held.len(), "cells for {held:?}");
    }
}

/// The targets and all their parents.
fn closure(on: &[usize]) -> BTreeSet<usize> {
    on.iter()
        .flat_map(|index| UNIVERSE[*index].1.iter().chain([index]))
        .copied()
        .collect()
}
