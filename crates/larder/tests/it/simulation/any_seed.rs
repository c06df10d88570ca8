//! The check that holds from any seed; alone here, since `cargo xtask sim` runs with each seed what is beside it.

use larder_testkit::for_each_seed;

use super::between::Sabotage;
use super::features::seeds_for_all_pairs;
use super::world::run;

/// Contract: S25 (partial: pools), S27 (partial: pools), S48 (partial: bypass)
#[test]
fn no_read_is_older_than_it_may_be() {
    for_each_seed(seeds_for_all_pairs(), |seed| {
        if let Err(fault) = run(seed, Sabotage::None) {
            panic!("{fault}");
        }
    });
}
