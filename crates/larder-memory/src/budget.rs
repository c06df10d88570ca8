//! [`Budget`]: one bound on entries and bytes for all shards of a pool or cache.
//!
//! Room is reserved before a value is published and given back after it is gone. What is always true:
//!
//! - What is reserved never exceeds the bounds, so neither do the residents, at any moment that anybody can see. Only a
//!   bound that is lowered is below what is used, until whoever lowered it has evicted the excess.
//! - A reservation is granted whole or not at all, in entries and bytes together. So one that is refused found the whole pool
//!   without that room, and takes none from others even for a moment: nothing is evicted while there is room.
//! - The room of an evicted entry goes to whom it was evicted for, and nobody can take it in between.
//!
//! What it does not do: it chooses no victim and knows no shard. Its lock is a leaf: nothing is called while it is held.

use std::fmt;

use larder_core::sync::Mutex;

/// What an entry takes up, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Charge {
    /// How many entries.
    pub entries: u64,
    /// Their bytes, by the caller's weigher and overhead.
    pub bytes: u64,
}

impl Charge {
    /// One entry of so many bytes.
    #[must_use]
    pub const fn entry(bytes: u64) -> Self {
        Self { entries: 1, bytes }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_add(other.entries),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// This without `other`, none of either below zero.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(other.entries),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// Whether it takes up nothing.
    #[must_use]
    pub const fn is_nothing(self) -> bool {
        self.entries == 0 && self.bytes == 0
    }

    const fn is_within(self, bounds: Bounds) -> bool {
        self.entries <= bounds.entries && self.bytes <= bounds.bytes
    }
}

/// The most that may be resident. No bound is the greatest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// The most entries.
    pub entries: u64,
    /// The most bytes.
    pub bytes: u64,
}

impl Bounds {
    /// No bound at all.
    pub const NONE: Self = Self {
        entries: u64::MAX,
        bytes: u64::MAX,
    };
}

/// There is no room: so much is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short(pub Charge);

/// Bounds, and what is used of them: a [`Budget`] without a lock, for who has one already.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    bounds: Bounds,
    used: Charge,
}

impl Account {
    /// Nothing used yet.
    #[must_use]
    pub const fn new(bounds: Bounds) -> Self {
        let used = Charge { entries: 0, bytes: 0 };
        Self { bounds, used }
    }

    /// Takes all of it, or nothing.
    ///
    /// # Errors
    /// [`Short`] when there is not that much room.
    #[inline]
    pub fn take(&mut self, charge: Charge) -> Result<(), Short> {
        let wanted = self.used.plus(charge);
        if wanted.is_within(self.bounds) {
            self.used = wanted;
            return Ok(());
        }
        Err(Short(Charge {
            entries: wanted.entries.saturating_sub(self.bounds.entries),
            bytes: wanted.bytes.saturating_sub(self.bounds.bytes),
        }))
    }

    /// Gives back what was taken.
    ///
    /// # Panics
    /// If that is more than was taken.
    #[inline]
    pub fn give_back(&mut self, charge: Charge) {
        assert!(
            charge.entries <= self.used.entries && charge.bytes <= self.used.bytes,
            "only what was reserved is given back"
        );
        self.used = self.used.minus(charge);
    }

    /// What is taken.
    #[must_use]
    pub const fn used(&self) -> Charge {
        self.used
    }

    /// The bounds.
    #[must_use]
    pub const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Sets other bounds. What is used may be beyond them.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Whether so much would fit if nothing else were there.
    #[must_use]
    pub const fn could_hold(&self, charge: Charge) -> bool {
        charge.is_within(self.bounds)
    }

    /// What is used beyond the bounds: nothing, unless they were lowered.
    #[must_use]
    pub const fn excess(&self) -> Charge {
        Charge {
            entries: self.used.entries.saturating_sub(self.bounds.entries),
            bytes: self.used.bytes.saturating_sub(self.bounds.bytes),
        }
    }
}

/// What is left of the bounds, shared by all shards.
pub struct Budget {
    account: Mutex<Account>,
}

impl Budget {
    /// Nothing used yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            account: Mutex::new(Account::new(bounds)),
        }
    }

    /// A reservation of nothing yet, for one value that is to be published.
    pub fn room(&self) -> Room<'_> {
        Room {
            budget: self,
            held: Charge::default(),
        }
    }

    /// Gives back what an entry took up, after it is gone from its shard.
    pub fn release(&self, charge: Charge) {
        if charge.is_nothing() {
            return;
        }
        self.account.lock().give_back(charge);
    }

    /// What is reserved: the residents, and what is about to be published.
    #[must_use]
    pub fn used(&self) -> Charge {
        self.account.lock().used()
    }

    /// The bounds now.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.account.lock().bounds()
    }

    /// Whether something so large could be resident at all, in an empty pool.
    #[must_use]
    pub fn could_hold(&self, charge: Charge) -> bool {
        self.account.lock().could_hold(charge)
    }

    /// Sets other bounds. They hold for all that is reserved from now on; what is used beyond them is returned, and the caller
    /// evicts and releases until nothing is.
    pub fn set_bounds(&self, bounds: Bounds) -> Charge {
        let mut account = self.account.lock();
        account.set_bounds(bounds);
        account.excess()
    }

    /// What is used beyond the bounds: nothing, unless they were lowered.
    #[must_use]
    pub fn excess(&self) -> Charge {
        self.account.lock().excess()
    }

    /// Reserves all of it, or nothing.
    fn reserve(&self, charge: Charge) -> Result<(), Short> {
        self.account.lock().take(charge)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = *self.account.lock();
        f.debug_struct("Budget")
            .field("bounds", &account.bounds())
            .field("used", &account.used())
            .finish()
    }
}

/// A reservation for one value. What it holds is given back when it is dropped, unless the value was published.
///
/// ```
/// use larder_memory::{Bounds, Budget, Charge};
///
/// let budget = Budget::new(Bounds { entries: 1, bytes: 100 });
/// let mut room = budget.room();
/// room.fill(Charge::entry(40))?;
/// // The value is published here.
/// room.keep(Charge::entry(40));
///
/// let mut room = budget.room();
/// while room.fill(Charge::entry(60)).is_err() {
///     // A victim is chosen and taken out of its shard here.
///     room.take_over(Charge::entry(40));
/// }
/// room.keep(Charge::entry(60));
/// assert_eq!(budget.used(), Charge::entry(60));
/// # Ok::<(), larder_memory::Short>(())
/// ```
#[must_use = "dropping it gives the room back"]
#[derive(Debug)]
pub struct Room<'a> {
    budget: &'a Budget,
    held: Charge,
}

impl Room<'_> {
    /// Reserves what is missing to hold `wanted`: all of it, or nothing. O(1).
    ///
    /// # Errors
    /// [`Short`] when the whole pool has not that much room. The caller evicts an entry, hands its room over with
    /// [`Room::take_over`], and asks again. When there is nobody to evict, others hold the room for values of their own: it
    /// calls [`Room::give_back`], so that one of them gets through, and begins again.
    pub fn fill(&mut self, wanted: Charge) -> Result<(), Short> {
        let missing = wanted.minus(self.held);
        if !missing.is_nothing() {
            self.budget.reserve(missing)?;
            self.held = self.held.plus(missing);
        }
        Ok(())
    }

    /// Takes over the room of an entry that has just been taken out of its shard. It stays reserved throughout.
    pub fn take_over(&mut self, left: Charge) {
        self.held = self.held.plus(left);
    }

    /// What it holds.
    #[must_use]
    pub fn held(&self) -> Charge {
        self.held
    }

    /// Gives back all that it holds.
    pub fn give_back(&mut self) {
        self.budget.release(std::mem::take(&mut self.held));
    }

    /// The value is published and takes up `charge` from now on; what is held beyond that is given back. Called right after
    /// the value is published, before anything can go wrong in between.
    ///
    /// # Panics
    /// If it does not hold as much: the value was published without room.
    pub fn keep(mut self, charge: Charge) {
        assert!(
            charge.entries <= self.held.entries && charge.bytes <= self.held.bytes,
            "a value is published after its room is reserved"
        );
        self.held = self.held.minus(charge);
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}
