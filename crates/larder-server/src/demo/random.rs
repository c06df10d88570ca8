//! [`Random`]: numbers from a seed, the same on every machine (SplitMix64).

/// Numbers from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is more than 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True this often, of once.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        // 53 bits are what a fraction holds.
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let drawn = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        drawn < share
    }

    /// An id from 1 to `rows`; low ones more often than high ones.
    pub(crate) fn id(&mut self, rows: u32) -> i64 {
        let bound = 1 + self.below(u64::from(rows));
        i64::try_from(1 + self.below(bound)).unwrap_or(1)
    }
}
