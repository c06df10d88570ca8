//! What must hold under every schedule, under shuttle, over the shipping code.
//!
//! Empty unless built with `--cfg larder_shuttle`.
#![cfg(larder_shuttle)]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

// Runs a world under many schedules.
#[path = "../../../larder-core/tests/model/explore.rs"]
mod explore;

// Flights: hand-over with drops and panics, singles and batches, joining against writing.
mod flights;
