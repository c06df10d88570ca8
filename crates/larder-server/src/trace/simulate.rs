//! [`Simulation`]: every access in order through a [`Cache`], held against the capacity at each step.

use super::{Access, Accesses, Op, Policy, Unit, limits};

/// A cache of keys that are numbered from 0. What weighs more than its capacity is not stored.
pub trait Cache {
    /// Uses a key, which weighs this from now on, and stores it if it is absent. Whether it was there.
    fn access(&mut self, key: u32, weight: u64) -> bool;

    /// Removes a key, if it is there.
    fn remove(&mut self, key: u32);

    /// What the keys that it holds weigh.
    fn resident(&self) -> u64;
}

/// A capacity, in its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulation {
    unit: Unit,
    capacity: u64,
}

/// What hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// How many reads.
    pub count: u64,
    /// How many bytes they read; 0 if nothing has a size.
    pub bytes: u128,
}

/// A cache held more than it may: then its figure says nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} holds {resident} {unit} in a capacity of {capacity} after {accesses} accesses")]
pub struct OverCapacity {
    name: &'static str,
    resident: u64,
    unit: &'static str,
    capacity: u64,
    accesses: u64,
}

/// A policy that does not know the future was better than the optimum: then one of the two figures is wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} hits {hits} times at a capacity of {capacity}, the optimum {optimum} times")]
pub struct AboveOptimum {
    name: &'static str,
    hits: u64,
    capacity: u64,
    optimum: u64,
}

/// A figure cannot be right.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// More is resident than fits.
    #[error(transparent)]
    OverCapacity(#[from] OverCapacity),
    /// More hits than can be.
    #[error(transparent)]
    AboveOptimum(#[from] AboveOptimum),
}

impl Unit {
    /// Its name, of more than one.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Unit::Entries => "entries",
            Unit::Bytes => "bytes",
        }
    }
}

impl Simulation {
    /// At a capacity of 1 to [`CAPACITY_MAX`](limits::CAPACITY_MAX); what is beyond counts as the nearest of them.
    #[must_use]
    pub fn of(unit: Unit, capacity: u64) -> Self {
        Simulation {
            unit,
            capacity: capacity.clamp(1, limits::CAPACITY_MAX),
        }
    }

    /// In what the capacity is given.
    #[must_use]
    pub fn unit(self) -> Unit {
        self.unit
    }

    /// How much fits.
    #[must_use]
    pub fn capacity(self) -> u64 {
        self.capacity
    }

    /// What hits under a policy.
    ///
    /// # Errors
    /// If it ever holds more than fits.
    pub fn run(self, policy: Policy, accesses: &Accesses) -> Result<Hits, OverCapacity> {
        let mut cache = policy.cache(self, accesses.distinct(), self.capacity);
        self.run_cache(policy.name(), &mut *cache, accesses)
    }

    /// What hits in a cache.
    ///
    /// # Errors
    /// If it ever holds more than fits.
    pub fn run_cache(
        self,
        name: &'static str,
        cache: &mut dyn Cache,
        accesses: &Accesses,
    ) -> Result<Hits, OverCapacity> {
        let mut hits = Hits::default();
        for (Access { key, op, weight }, at) in accesses.iter(self.unit).zip(1_u64..) {
            match op {
                Op::Delete => cache.remove(key),
                Op::Set => {
                    cache.access(key, weight);
                }
                Op::Get if cache.access(key, weight) => {
                    hits.count += 1;
                    // Of entries the weight is no size.
                    if self.unit == Unit::Bytes {
                        hits.bytes += u128::from(weight);
                    }
                }
                Op::Get => {}
            }
            let resident = cache.resident();
            if resident > self.capacity {
                return Err(OverCapacity {
                    name,
                    resident,
                    unit: self.unit.name(),
                    capacity: self.capacity,
                    accesses: at,
                });
            }
        }
        Ok(hits)
    }

    /// Nothing hits more often than the optimum of entries. Of sizes there is none to hold a policy to.
    ///
    /// # Errors
    /// If something does.
    pub fn hold_to(self, policy: Policy, hits: Hits, optimum: Hits) -> Result<(), AboveOptimum> {
        if self.unit == Unit::Bytes || hits.count <= optimum.count {
            return Ok(());
        }
        Err(AboveOptimum {
            name: policy.name(),
            hits: hits.count,
            capacity: self.capacity,
            optimum: optimum.count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Accesses, Cache, Hits, Op, Policy, Simulation, Unit};

    struct Keeper(u64);

    impl Cache for Keeper {
        fn access(&mut self, _key: u32, weight: u64) -> bool {
            self.0 += weight;
            false
        }

        fn remove(&mut self, _key: u32) {}

        fn resident(&self) -> u64 {
            self.0
        }
    }

    /// Contract: S137 (partial: resident above capacity fails the run)
    #[test]
    fn who_keeps_too_much_is_caught() {
        let mut accesses = Accesses::default();
        for key in 0..3 {
            accesses.push(key, Op::Get, 10);
        }
        for (unit, capacity, kept, limit) in [
            (Unit::Entries, 2, "3 entries", "2 after 3"),
            (Unit::Bytes, 29, "30 bytes", "29 after 3"),
        ] {
            let kept_too_much = Simulation::of(unit, capacity).run_cache("Keeper", &mut Keeper(0), &accesses);
            assert_eq!(
                kept_too_much.map_err(|error| error.to_string()),
                Err(format!("Keeper holds {kept} in a capacity of {limit} accesses"))
            );
            let fits = Simulation::of(unit, capacity + 1).run_cache("Keeper", &mut Keeper(0), &accesses);
            assert_eq!(fits, Ok(Hits::default()));
        }
    }

    /// Contract: S137 (partial: above the optimum fails the run, by entries)
    #[test]
    fn who_is_better_than_the_optimum_is_caught() {
        let hits = |count| Hits { count, bytes: 0 };
        let entries = Simulation::of(Unit::Entries, 10);
        assert_eq!(entries.hold_to(Policy::Lru, hits(7), hits(7)), Ok(()));
        let why = entries.hold_to(Policy::Lru, hits(8), hits(7));
        assert_eq!(
            why.map_err(|error| error.to_string()),
            Err("LRU hits 8 times at a capacity of 10, the optimum 7 times".to_owned())
        );
        // Of sizes it is a reference and no optimum.
        let bytes = Simulation::of(Unit::Bytes, 10);
        assert_eq!(bytes.hold_to(Policy::Lru, hits(8), hits(7)), Ok(()));
    }
}
