//! [`Cache`]: what every simulated cache is, and how it is run: each access in order, held against the capacity at each step.

use crate::fault::{Ended, Exit, Fault};

/// A cache of keys that are numbered from 0.
pub(crate) trait Cache {
    /// Uses a key, and stores it if it is absent, unless the policy would rather not. Whether it was there.
    fn access(&mut self, key: u32) -> bool;

    /// How many keys it holds.
    fn resident(&self) -> usize;
}

/// How many accesses hit.
///
/// # Errors
/// If it ever holds more than its capacity: then its figure says nothing.
pub(crate) fn hits(
    name: &str,
    cache: &mut dyn Cache,
    accesses: &[u32],
    capacity: usize,
) -> Result<u64, Fault> {
    let mut hits = 0;
    for (key, at) in accesses.iter().zip(1_u64..) {
        hits += u64::from(cache.access(*key));
        let resident = cache.resident();
        if resident > capacity {
            let text =
                format!("{name} holds {resident} entries in a capacity of {capacity} after {at} accesses");
            return Err(Ended::fault(Exit::Found, text));
        }
    }
    Ok(hits)
}

/// Nothing hits more often than the optimum.
///
/// # Errors
/// If it does: then one of the two figures is wrong.
pub(crate) fn hold_to(name: &str, hits: u64, optimum: u64, capacity: usize) -> Result<(), Fault> {
    if hits <= optimum {
        return Ok(());
    }
    let text = format!("{name} hits {hits} times at a capacity of {capacity}, the optimum {optimum} times");
    Err(Ended::fault(Exit::Found, text))
}

#[cfg(test)]
mod tests {
    use super::{Cache, hits, hold_to};

    struct Keeper(usize);

    impl Cache for Keeper {
        fn access(&mut self, _key: u32) -> bool {
            self.0 += 1;
            false
        }

        fn resident(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn who_keeps_too_much_is_caught() {
        let kept = hits("Keeper", &mut Keeper(0), &[1, 2, 3], 2);
        let why = kept.map_err(|error| error.to_string());
        assert_eq!(
            why,
            Err("Keeper holds 3 entries in a capacity of 2 after 3 accesses".to_owned())
        );
    }

    #[test]
    fn who_is_better_than_the_optimum_is_caught() {
        assert!(hold_to("LRU", 7, 7, 10).is_ok());
        let why = hold_to("LRU", 8, 7, 10).map_err(|error| error.to_string());
        assert_eq!(
            why,
            Err("LRU hits 8 times at a capacity of 10, the optimum 7 times".to_owned())
        );
    }
}
