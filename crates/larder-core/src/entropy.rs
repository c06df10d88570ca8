//! [`Entropy`], the only source of randomness, and [`SystemEntropy`], the real one.
//!
//! Salts, epoch ids, store ids and the seeds of jitter come from here, so that a seeded double makes a whole run
//! repeatable. Always true of the real one: the bytes are fit for secrets, or there are none.
//!
//! It is not a generator for hot paths: a part that needs many random numbers seeds a generator of its own once.

use std::fmt;

/// Gives random bytes. Parts are given one, as `Arc<dyn Entropy>`.
///
/// Whoever implements it owes: every byte of the buffer is overwritten; calls on several threads at once give
/// different bytes; no call blocks once the system has started.
pub trait Entropy: fmt::Debug + Send + Sync + 'static {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);

    /// A random number, uniform over its whole range.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A random number of 128 bits, uniform over its whole range: enough for an id that nobody else draws.
    fn next_u128(&self) -> u128 {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        u128::from_le_bytes(bytes)
    }
}

/// The operating system's source of randomness, fit for secrets (`getrandom` on Linux).
///
/// It does not exist on `wasm32-unknown-unknown`, which has no source of its own; a host there brings its own
/// [`Entropy`].
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemEntropy;

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
impl SystemEntropy {
    /// The operating system's source.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
impl Entropy for SystemEntropy {
    /// # Panics
    ///
    /// If the system's source fails. That happens only where a process may not reach it at all (a sandbox without the
    /// system call and without `/dev/urandom`). Ids and salts that could be guessed or repeated would break
    /// promises silently later, so nothing weaker is ever given instead.
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::fill(bytes) {
            panic!("the system's source of randomness failed, and there is no safe substitute: {error}");
        }
    }
}
