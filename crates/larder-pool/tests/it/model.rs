//! Random operations against a plain map: what is read, what is counted, what is told.
//!
//! The model is written from the contract. It knows who leaves for want of room where that is exact (up to 64 entries),
//! and otherwise that it was one who might.

mod oracle;
mod world;

use larder_testkit::for_each_seed;

use world::World;

/// A pool of few entries is a map with expiry, conflict rules, a fence, and exact least-recently-used eviction; its
/// events and what its listener hears, replayed, are its contents.
///
/// Contract: P13, P14, P42
#[test]
fn a_small_pool_is_a_map_with_rules() {
    for_each_seed(300, |seed| World::small(seed).run(150));
}

/// A larger pool under each policy: whoever leaves for want of room was there, live ones only when nothing expired was.
///
/// Contract: P34, P37, P40
#[test]
fn a_larger_pool_is_a_map_that_forgets() {
    for_each_seed(60, |seed| World::large(seed).run(1_200));
}
