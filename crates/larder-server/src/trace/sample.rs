//! [`Sample`]: what any policy would hit at any capacity, from a part of the keys; [`Curves`], by which it is corrected.
//!
//! A key is in the sample if a fixed hash of it is below a threshold, so all its accesses are, or none: spatially hashed sampling (Waldspurger, Park,
//! Garthwaite and Ahmad, "Efficient MRC construction with SHARDS", FAST 2015). A cache that is smaller by the same rate is simulated over the
//! sample, which works for every policy (Waldspurger, Saemundsson, Ahmad and Park, "Cache modeling and optimization using miniature
//! simulations", USENIX ATC 2017).
//!
//! By chance a sample has too many or too few of the keys that are read most, which makes every policy look better or worse. SHARDS corrects that by
//! counting the reads that are missing as hits of every cache. Where no few keys are read very often that is wrong: a seeded trace whose
//! sample lacked 7 % of the reads was six points off with it, and one without. What the sample does to LRU is known, since LRU's curve is exact
//! over the whole and over the sample: it is off by the difference of the two, and so, nearly, is every other policy. That is what is added here (a
//! control variate).

use super::ours::mixed;
use super::{Access, Accesses, ByteCurve, Curve, OverCapacity, Policy, Simulation, Unit, limits};

/// The hash of a key is one of so many, as in the paper.
const HASHES: u64 = 1 << 24;
/// Keeps it apart from the hashes that policies use.
const SALT: u64 = 0x7368_6172_6473_0001;

/// LRU's curves in both units.
#[derive(Clone, Debug)]
pub struct Curves {
    /// In entries.
    pub by_entries: Curve,
    /// In bytes, if anything has a size.
    pub by_bytes: Option<ByteCurve>,
}

/// A part of the keys, with all their accesses.
#[derive(Clone, Debug)]
pub struct Sample {
    accesses: Accesses,
    threshold: u64,
    /// Of the sample.
    curves: Curves,
}

impl Curves {
    /// One pass each.
    #[must_use]
    pub fn of(accesses: &Accesses) -> Self {
        Curves {
            by_entries: Curve::of(accesses),
            by_bytes: accesses.has_sizes().then(|| ByteCurve::of(accesses)),
        }
    }

    /// The shares of reads and of bytes that LRU hits.
    fn ratios(&self, simulation: Simulation) -> (f64, f64) {
        let capacity = simulation.capacity();
        match (simulation.unit(), &self.by_bytes) {
            (Unit::Bytes, Some(curve)) => curve.ratios(capacity),
            _ => (self.by_entries.ratio(capacity), 0.0),
        }
    }
}

impl Sample {
    /// Of about [`SAMPLE_ACCESSES`](limits::SAMPLE_ACCESSES) accesses, and about [`SAMPLE_KEYS`](limits::SAMPLE_KEYS) keys if that is more; of a
    /// smaller trace the whole.
    #[must_use]
    pub fn of(accesses: &Accesses) -> Self {
        let part = |wanted: usize, all: usize| (wanted as u64 * HASHES).div_ceil(all.max(1) as u64);
        let by_accesses = part(limits::SAMPLE_ACCESSES, accesses.len());
        let by_keys = part(limits::SAMPLE_KEYS, accesses.distinct());
        Self::below(accesses, by_accesses.max(by_keys))
    }

    /// Of the keys whose hash is below `threshold` of 2^24.
    #[must_use]
    pub fn below(accesses: &Accesses, threshold: u64) -> Self {
        let threshold = threshold.clamp(1, HASHES);
        let mut sample = Accesses::default();
        let mut numbers = vec![u32::MAX; accesses.distinct()];
        let mut next = 0;
        for Access { key, op, weight } in accesses.iter(Unit::Bytes) {
            if mixed(u64::from(key) ^ SALT) % HASHES >= threshold {
                continue;
            }
            let number = &mut numbers[key as usize];
            if *number == u32::MAX {
                *number = next;
                next += 1;
            }
            sample.push(*number, op, weight);
        }
        Sample {
            curves: Curves::of(&sample),
            accesses: sample,
            threshold,
        }
    }

    /// The share of keys that is in it.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "both are below 2^53")]
    pub fn rate(&self) -> f64 {
        self.threshold as f64 / HASHES as f64
    }

    /// The smallest capacity in entries that it can say something of.
    #[must_use]
    pub fn entries_min(&self) -> u64 {
        if self.threshold == HASHES {
            1
        } else {
            (limits::SAMPLE_ENTRIES_MIN * HASHES).div_ceil(self.threshold)
        }
    }

    /// The shares of reads and of bytes (0 by entries) that hit under a policy at a capacity of the whole, whose curves are given: an estimate, exact
    /// if all keys are in the sample.
    ///
    /// # Errors
    /// If the policy ever holds more than fits.
    pub fn ratios(
        &self,
        policy: Policy,
        whole: Simulation,
        curves: &Curves,
    ) -> Result<(f64, f64), OverCapacity> {
        let scaled = u128::from(whole.capacity()) * u128::from(self.threshold) / u128::from(HASHES);
        let own = Simulation::of(whole.unit(), u64::try_from(scaled).unwrap_or(u64::MAX));
        let mut cache = policy.cache(own, self.accesses.distinct(), whole.capacity());
        let hits = own.run_cache(policy.name(), &mut *cache, &self.accesses)?;
        let (reads, bytes) = self.accesses.reads();
        let (exact, sampled) = (curves.ratios(whole), self.curves.ratios(own));
        #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
        let found = (
            hits.count as f64 / reads.max(1) as f64,
            hits.bytes as f64 / bytes.max(1) as f64,
        );
        Ok((
            (found.0 + (exact.0 - sampled.0)).clamp(0.0, 1.0),
            (found.1 + (exact.1 - sampled.1)).clamp(0.0, 1.0),
        ))
    }
}
