//! Integration tests of `larder-memory`, one binary, a module a topic.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests may"
)]

// The slab, against a plain map.
mod slots;
