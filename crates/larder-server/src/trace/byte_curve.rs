//! [`ByteCurve`]: how often LRU hits at every capacity in bytes, from one pass over the accesses.
//!
//! As the curve of entries, with the bytes above a key instead of the places above it: a read hits where these and its own fit. That is exact from
//! the size of the largest key on, as long as nothing is deleted and no size changes. A smaller cache does not store what is larger than
//! itself, which here counts all the same, so it may do better; and what left before something was deleted or shrank does not come back,
//! though here it seems so.

use super::curve::Tree;
use super::{Access, Accesses, Op, Unit};

/// Hits by capacity in bytes.
#[derive(Clone, Debug)]
pub struct ByteCurve {
    /// From which capacity on a read hits, ascending; and the bytes of this one and all before it.
    needs: Vec<(u64, u128)>,
    reads: u64,
    bytes: u128,
}

impl ByteCurve {
    /// One pass, O(n log n).
    #[must_use]
    pub fn of(accesses: &Accesses) -> Self {
        let mut tree = Tree::<u64>::new(accesses.len());
        // When each key was used last, and what it weighed; 0 if it is in no cache of any size.
        let mut last = vec![(0_usize, 0_u64); accesses.distinct()];
        let mut all = 0_u64;
        let mut needs: Vec<(u64, u128)> = Vec::new();
        for (Access { key, op, weight }, time) in accesses.iter(Unit::Bytes).zip(1..) {
            let (before, weighed) = last[key as usize];
            if before > 0 {
                if op == Op::Get {
                    needs.push((all.wrapping_sub(tree.sum(before - 1)), u128::from(weight)));
                }
                tree.take(before, weighed);
                all = all.wrapping_sub(weighed);
            }
            if op == Op::Delete {
                last[key as usize] = (0, 0);
                continue;
            }
            last[key as usize] = (time, weight);
            tree.add(time, weight);
            all = all.wrapping_add(weight);
        }
        needs.sort_unstable();
        let mut so_far = 0;
        for (_, bytes) in &mut needs {
            so_far += *bytes;
            *bytes = so_far;
        }
        let (reads, bytes) = accesses.reads();
        ByteCurve { needs, reads, bytes }
    }

    /// How many reads hit at a capacity, and how many bytes they read.
    #[must_use]
    pub fn hits(&self, capacity: u64) -> (u64, u128) {
        let count = self.needs.partition_point(|(needed, _)| *needed <= capacity);
        let last = count.checked_sub(1).and_then(|last| self.needs.get(last));
        (count as u64, last.map_or(0, |(_, bytes)| *bytes))
    }

    /// The share of reads that hit at a capacity, and the share of bytes.
    #[must_use]
    pub fn ratios(&self, capacity: u64) -> (f64, f64) {
        let (count, bytes) = self.hits(capacity);
        #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
        let ratios = (
            count as f64 / self.reads.max(1) as f64,
            bytes as f64 / self.bytes.max(1) as f64,
        );
        ratios
    }

    /// The smallest capacity from which on doubling gains less than a point; none if nothing ever hits.
    #[must_use]
    pub fn doubling_gains_little(&self) -> Option<u64> {
        let gains = |capacity: u64| self.ratios(capacity.saturating_mul(2)).0 - self.ratios(capacity).0;
        // What doubling gains becomes less only where some read begins to hit.
        let all = self.needs.iter().map(|(needed, _)| (*needed).max(1));
        let last = all.clone().rev().find(|needed| gains(needed - 1) >= 0.01);
        last.or_else(|| all.clone().next())
    }

    /// The smallest capacity that reaches this share of the best ratio of all; none if nothing ever hits.
    #[must_use]
    pub fn within(&self, share: f64) -> Option<u64> {
        let most = self.ratios(u64::MAX).0;
        let mut capacities = self.needs.iter().map(|(needed, _)| (*needed).max(1));
        capacities.find(|capacity| self.ratios(*capacity).0 >= most * share)
    }
}
