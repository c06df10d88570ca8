//! Chance that repeats: the same seed gives the same products in the same order.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
pub(crate) struct Random(u64);

impl Random {
    /// A sequence of its own for each task.
    pub(crate) fn new(seed: u64, task: u64) -> Self {
        let mut random = Random(seed);
        Random(random.next() ^ task.wrapping_mul(0xD134_2543_DE82_EF95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        number ^ (number >> 31)
    }

    /// A number from 0 up to, but not including, `end`: any of them alike.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        let [a, b, c, d, ..] = self.next().to_le_bytes();
        let scaled = (u64::from(u32::from_le_bytes([a, b, c, d])) * u64::from(end)) >> 32;
        u32::try_from(scaled).unwrap_or(0)
    }

    /// A number from 0 up to, but not including, `end`: `k` about as often as `1 / (k + 1)`, as by Zipf's law.
    pub(crate) fn popular(&mut self, end: u32) -> u32 {
        let [a, b, c, d, ..] = self.next().to_le_bytes();
        let part = f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX);
        let bound = f64::from(end) + 1.0;
        // The rank of each number is where its logarithm lies between those of 1 and the bound.
        let rank = bound.powf(part).floor();
        ranked(rank).clamp(1, end) - 1
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number from 1 to 2^24; from floats there is no other way"
)]
fn ranked(rank: f64) -> u32 {
    rank as u32
}
