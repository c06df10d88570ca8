//! What must hold under every schedule, under shuttle, over the shipping code.
//!
//! Empty unless built with `--cfg larder_shuttle`.
#![cfg(larder_shuttle)]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

// Runs a world under many schedules.
#[path = "../../../larder-core/tests/model/explore.rs"]
mod explore;

// A source, pools over it, and loads that can be left at each step.
mod world;
// Loads against invalidations, writes, removals, eviction; each other; drops and panics.
mod fills;
// Batches and tags against reads, scans and each other.
mod batches;
// The bounds, while many threads write.
mod room;
// Listeners, with calls of their own.
mod told;
