//! Seeds and what is drawn from them.

use larder_testkit::{Random, for_each_seed, seeds};
use std::panic::catch_unwind;

#[test]
fn the_seeds_are_the_same_in_each_run() {
    if std::env::var_os(larder_testkit::SEED_VARIABLE).is_none()
        && std::env::var_os(larder_testkit::FACTOR_VARIABLE).is_none()
    {
        assert_eq!(seeds(3), [0, 1, 2]);
    }
    let mut ran = Vec::new();
    for_each_seed(3, |seed| ran.push(seed));
    assert_eq!(ran, seeds(3));
}

/// A check that fails fails the test, at its seed, and no later one runs.
#[test]
fn a_failing_seed_fails_the_test() {
    let last = *seeds(3).last().unwrap();
    let ran = std::sync::Mutex::new(0);
    let outcome = catch_unwind(|| {
        for_each_seed(3, |seed| {
            *ran.lock().unwrap() += 1;
            if seed == last {
                std::panic::resume_unwind(Box::new("as told"));
            }
        });
    });
    assert_eq!(outcome.unwrap_err().downcast_ref::<&str>(), Some(&"as told"));
    assert_eq!(*ran.lock().unwrap(), seeds(3).len());
}

#[test]
fn draws_are_in_range_and_reach_its_ends() {
    for_each_seed(5, |seed| {
        let mut random = Random::seeded(seed);
        let draws: Vec<u64> = (0..1_000).map(|_| random.below(6)).collect();
        assert!((0..6).all(|face| draws.contains(&face)) && draws.iter().all(|draw| *draw < 6));
        assert_eq!(random.below(1), 0);
        assert!(!random.chance(0) && random.chance(1_000));
        let (mut fork, mut bytes) = (random.fork(), [0; 13]);
        fork.fill(&mut bytes);
        assert_ne!(bytes, [0; 13]);
        assert_ne!(fork.next_u64(), random.next_u64());
    });
}
