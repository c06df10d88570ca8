//! The shared budget under shuttle, over shards with locks of their own.
//!
//! Empty unless built with `--cfg larder_shuttle`. Each test runs its world under many schedules, from fixed seeds, and
//! prints how many, or at which it fell.
#![cfg(larder_shuttle)]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

// Runs a world under many schedules.
#[path = "../../../larder-core/tests/model/explore.rs"]
mod explore;

// Residents within the bounds, nothing evicted while there is room, nobody waits for ever.
mod budget;
