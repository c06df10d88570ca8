//! What every fuzz target is: a check of the testkit, and a tally of what it decoded.
//!
//! The checks are in `larder_testkit::decode`, which the suite calls too, with the seeds. Nothing is checked here.

use larder_testkit::decode::{Check, Tally};

/// Feeds `input` to the check, and prints the tally each time the number of inputs has doubled.
pub fn feed(check: Check, tally: &Tally, input: &[u8]) {
    let inputs = tally.count(check.run(input));
    if inputs.is_power_of_two() && inputs >= 1 << 10 {
        eprintln!("{}: {tally}", check.name());
    }
}

/// The `main` of the fuzz target with this name.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        static TALLY: larder_testkit::decode::Tally = larder_testkit::decode::Tally::new();

        libfuzzer_sys::fuzz_target!(|input: &[u8]| {
            $crate::feed(larder_testkit::decode::Check::named($name), &TALLY, input);
        });
    };
}
