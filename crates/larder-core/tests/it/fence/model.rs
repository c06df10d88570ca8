//! The fence against a plain map: random steps, and after each of them every answer is compared.
//!
//! The map ([`oracle`]) is written from the contract and imports nothing of the code. The world ([`world`]) does each step
//! on both sides: on the real fence with a database of versions, copies that lag and a journal, and on the map. A step
//! is four bytes, so that proptest can shrink a failure and a seed can replay a long run.
//!
//! `LARDER_SEED=<n>` runs one seed alone; `LARDER_MINUTES=<m>` goes on from that seed for so long.

// What the contract says must be, may be and must not be.
mod oracle;
// What a step does.
mod steps;
// Both sides, a step at a time.
mod world;

use std::time::Duration;

use larder_core::{Clock, SystemClock};
use larder_testkit::{Random, SEED_VARIABLE, for_each_seed, seeds};
use proptest::prelude::*;

use steps::Step;
use world::{Rings, World};

/// For how many minutes the seeded runs go on, if they are to.
const MINUTES_VARIABLE: &str = "LARDER_MINUTES";

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        // What fails is printed with the steps that are left of it; no file is written.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// M1, M2 and M6 one step at a time, with rings of one entry each, so that everything is lost at once.
    ///
    /// Contract: F5, F6, F10
    #[test]
    fn the_fence_is_a_map_with_tiny_rings(steps in prop::collection::vec(any::<[u8; 4]>(), 0..160)) {
        run(Rings::Tiny, steps);
    }

    /// The same where nothing is ever lost, so that nothing may be refused without a reason.
    ///
    /// Contract: F11, F14, F17
    #[test]
    fn the_fence_is_a_map_with_ample_rings(steps in prop::collection::vec(any::<[u8; 4]>(), 0..160)) {
        run(Rings::Ample, steps);
    }
}

/// Contract: F13, F15, F27
#[test]
fn the_fence_is_a_map_for_long() {
    let Some(minutes) = minutes() else {
        return for_each_seed(8, run_seed);
    };
    let clock = SystemClock::new();
    let end = clock.monotonic() + Duration::from_secs(60 * minutes);
    let first = if std::env::var_os(SEED_VARIABLE).is_some() {
        seeds(1)[0]
    } else {
        0
    };
    let mut seed = first;
    while clock.monotonic() < end {
        // Named before, since a panic ends the loop.
        println!("{SEED_VARIABLE}={seed}");
        run_seed(seed);
        seed = seed.wrapping_add(1);
    }
}

fn minutes() -> Option<u64> {
    let text = std::env::var(MINUTES_VARIABLE).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{MINUTES_VARIABLE}={text} is not a number")),
    )
}

/// One long run: the rings and every step come from the seed.
fn run_seed(seed: u64) {
    let mut random = Random::seeded(seed);
    let rings = [Rings::Tiny, Rings::One, Rings::Ample][random.index(3)];
    let steps = (0..2_500).map(move |_| {
        let mut bytes = [0; 4];
        random.fill(&mut bytes);
        bytes
    });
    run(rings, steps);
}

fn run(rings: Rings, steps: impl IntoIterator<Item = [u8; 4]>) {
    let mut world = World::new(rings);
    for bytes in steps {
        let step = Step::decode(bytes);
        world.step(step);
        world.check();
    }
    world.end();
}
