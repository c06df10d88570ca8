//! Integration tests of `larder-memory`, one binary, a module a topic.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

// Single-flight loads.
mod flight;
// The slab, against a plain map.
mod slots;
// Groups against a map of lists.
mod groups;
// A cache of keys over the shipping policies, for the tests that replay traces.
mod cache;
// The policies, against plain simulators and by their laws.
mod eviction;
// The simulators themselves, against brute force.
mod simulators;
// The timing wheel, against a sorted map.
mod wheel;
// The budget on one thread; schedules are tried in `tests/model`.
mod budget;
