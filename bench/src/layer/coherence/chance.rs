//! Chance that repeats: the same seed draws the same numbers, whoever asks first.

/// `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): the number at a place of a seed's sequence, from 0 up to
/// but not including `end`.
pub(super) fn drawn(seed: u64, place: u64, end: u64) -> u64 {
    let mut mixed = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)) % end
}

/// A row: low ones more often than high ones.
pub(super) fn skewed(seed: u64, place: u64, rows: u64) -> u64 {
    drawn(!seed, place, drawn(seed, place, rows) + 1)
}
