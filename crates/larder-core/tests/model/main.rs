//! The fence under shuttle: the model of `docs/formats/fence.md` over the shipping code.
//!
//! Empty unless built with `--cfg larder_shuttle`. Each test runs its world under many schedules, half of them
//! drawn at random and half by priorities, from fixed seeds; it prints how many, or at which it fell.
#![cfg(larder_shuttle)]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

// Runs a world under many schedules.
mod explore;
// What the worlds are made of: a database of versions, slots of a cache, fixed randomness.
mod world;

// M1 to M3: what readers see, which loads are accepted, which flights may be joined.
mod reads;
// M1 for targets that are known only after the load.
mod late;
// M4: cells live exactly as long as pins.
mod cells;
// M5: entries that lay on a disk, through a crash.
mod disk;
// M6: loads from copies that lag.
mod copies;
// Parts that keep no cell for their entries.
mod hooks;
// Progress, own commits, waits.
mod lanes;
