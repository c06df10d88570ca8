//! Entropy, real and seeded.

use larder_core::{Entropy, StoreId, SystemEntropy};
use larder_testkit::SimEntropy;

/// What any source owes: it fills the whole buffer, and does not repeat itself. Each of these fails by chance less than
/// once in 2^64 runs.
fn check(entropy: &dyn Entropy) {
    for len in [0, 1, 7, 8, 9, 255, 4_096] {
        let mut ever = vec![0_u8; len];
        for _ in 0..20 {
            let mut bytes = vec![0; len];
            entropy.fill(&mut bytes);
            ever.iter_mut().zip(bytes).for_each(|(ever, byte)| *ever |= byte);
        }
        assert!(
            ever.iter().all(|byte| *byte != 0),
            "a byte of {len} was never written"
        );
    }
    assert_ne!(entropy.next_u64(), entropy.next_u64());
    assert_ne!(entropy.next_u128(), entropy.next_u128());
    assert_ne!(StoreId::generate(entropy), StoreId::generate(entropy));
}

#[test]
fn the_system_source_fills_and_does_not_repeat() {
    check(&SystemEntropy::new());
}

#[test]
fn the_seeded_source_fills_and_does_not_repeat() {
    check(&SimEntropy::seeded(0));
}

#[test]
fn one_seed_gives_one_sequence() {
    let (one, same, other) = (
        SimEntropy::seeded(1),
        SimEntropy::seeded(1),
        SimEntropy::seeded(2),
    );
    let first = one.next_u64();
    assert_eq!(first, same.next_u64());
    assert_ne!(first, other.next_u64());
    assert_eq!(
        one.clone().next_u64(),
        same.next_u64(),
        "a clone is the same source"
    );
    assert_ne!(one.next_u64(), first);
}

/// Another sequence would make every recorded seed worthless.
#[test]
fn the_sequence_of_a_seed_is_fixed_for_good() {
    let source = SimEntropy::seeded(0);
    // The first outputs of SplitMix64 with state 0, as published with the algorithm.
    assert_eq!(source.next_u64(), 0xE220_A839_7B1D_CDAF);
    assert_eq!(source.next_u64(), 0x6E78_9E6A_A1B9_65F4);
    assert_eq!(source.next_u64(), 0x06C4_5D18_8009_454F);
}
