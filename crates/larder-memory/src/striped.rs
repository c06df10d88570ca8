//! [`Striped`], a counter that threads raise without getting in each other's way.
//!
//! Each of the first threads of a process has a stripe of its own, so that raising it is a load and a store to a line that
//! nobody else writes; when such a thread ends, the next one takes over its stripe. Threads beyond share the last stripe,
//! and pay for it. What is always true: no raise is lost, and a sum that is taken when nobody raises is exact.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

use larder_core::sync::{AtomicU64, Ordering};

/// A power of two.
const STRIPES: usize = 32;
/// Threads with a stripe of their own, at most; the number of the stripe that the others share.
const OWN_STRIPES: usize = STRIPES - 1;

/// A count, in parts.
#[derive(Debug)]
pub struct Striped {
    /// Those of single threads, and the one that all others share.
    stripes: Box<[Stripe; STRIPES]>,
}

/// On lines of its own: processors fetch them in pairs.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Stripe(AtomicU64);

impl Striped {
    /// Zero. About four kilobytes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stripes: Box::new(std::array::from_fn(|_| Stripe::default())),
        }
    }

    /// One more.
    #[inline]
    pub fn raise(&self) {
        let own = own_stripe();
        let Stripe(stripe) = &self.stripes[own % STRIPES];
        if own < OWN_STRIPES {
            stripe.store(stripe.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        } else {
            stripe.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The whole.
    #[must_use]
    pub fn sum(&self) -> u64 {
        let stripes = self.stripes.iter();
        stripes.map(|Stripe(stripe)| stripe.load(Ordering::Relaxed)).sum()
    }
}

impl Default for Striped {
    fn default() -> Self {
        Self::new()
    }
}

/// This thread has none yet.
const UNKNOWN: usize = usize::MAX;

thread_local! {
    /// Without a destructor, so that looking at it is one load.
    static OWN: Cell<usize> = const { Cell::new(UNKNOWN) };
    static LEASE: Lease = Lease::take();
}

/// The stripes that no thread has: those that were given back, and all from `next` on.
static FREE: Mutex<Free> = Mutex::new(Free {
    given_back: Vec::new(),
    next: 0,
});

struct Free {
    given_back: Vec<usize>,
    next: usize,
}

/// A stripe for the life of a thread.
struct Lease(usize);

#[inline]
fn own_stripe() -> usize {
    let own = OWN.get();
    if own == UNKNOWN { find_stripe() } else { own }
}

/// Under a model checker many threads are one of the system's, so none has a stripe.
#[cold]
fn find_stripe() -> usize {
    let shared = OWN_STRIPES;
    if cfg!(any(larder_shuttle, larder_loom)) {
        return shared;
    }
    // While the thread ends there is no lease to be had any more.
    LEASE.try_with(|lease| lease.0).unwrap_or(shared)
}

impl Lease {
    fn take() -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let own = free.given_back.pop().unwrap_or_else(|| {
            let next = free.next.min(OWN_STRIPES);
            free.next = next + 1;
            next
        });
        OWN.set(own);
        Self(own)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // What this thread still raises goes to the shared stripe: its own may be another's from now on.
        OWN.set(OWN_STRIPES);
        if self.0 < OWN_STRIPES {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            free.given_back.push(self.0);
        }
    }
}
