//! Where a target hash goes: which shard, and where in that shard's tables.
//!
//! Target hashes are fixed for good and anyone can compute them, so chosen keys could be made to pile up. Mixing
//! with a seed that differs in every process prevents that. The mixed value never leaves the process.

use crate::target::TargetHash;

/// A seeded mix of target hashes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    low: u64,
    high: u64,
    shard_mask: u64,
}

impl Spread {
    /// `shards` is a power of two.
    pub(super) fn new(seed: [u64; 2], shards: usize) -> Spread {
        debug_assert!(shards.is_power_of_two(), "checked by the builder");
        Spread {
            low: seed[0],
            high: seed[1],
            shard_mask: shards as u64 - 1,
        }
    }

    /// The mixed value of a hash: both halves, xored with the seed, multiplied, and folded.
    #[inline]
    pub(super) fn of(self, hash: TargetHash) -> u64 {
        let (low, high) = halves(hash);
        let product = u128::from(low ^ self.low) * u128::from(high ^ self.high);
        let folded = product ^ (product >> 64);
        let [a, b, c, d, e, f, g, h, ..] = folded.to_le_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// The shard of a hash. Its bits are apart from those that the tables use.
    #[inline]
    pub(super) fn shard_of(self, hash: TargetHash) -> usize {
        let shard = (self.of(hash) >> 40) & self.shard_mask;
        usize::try_from(shard).expect("invariant: at most 4,096 shards")
    }
}

#[inline]
fn halves(hash: TargetHash) -> (u64, u64) {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *hash.as_bytes();
    (
        u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        u64::from_le_bytes(rest),
    )
}
