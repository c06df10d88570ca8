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
