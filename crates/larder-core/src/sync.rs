//! Locks and atomics, imported from here by every part so that a model checker can run the shipping code.
//!
//! Normally these are `parking_lot`'s locks and the standard atomics. With `--cfg larder_shuttle` they are
//! shuttle's, which explores schedules under sequential consistency; with `--cfg larder_loom` they are loom's,
//! which explores the memory orderings too. Never a cargo feature: a feature can be switched on by anyone.
//!
//! A panic never poisons a lock. Nothing here decides anything: no timeouts, no fairness.

#[cfg(larder_loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(larder_shuttle)]
pub use shuttle::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(not(any(larder_shuttle, larder_loom)))]
pub use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

pub use std::sync::{Arc, Weak};

#[cfg(larder_loom)]
pub use loom::thread::ThreadId;
#[cfg(all(larder_shuttle, not(larder_loom)))]
pub use shuttle::thread::ThreadId;
#[cfg(not(any(larder_shuttle, larder_loom)))]
pub use std::thread::ThreadId;

/// Which thread this is, under a model checker too, where many threads share one of the system's.
pub fn this_thread() -> ThreadId {
    #[cfg(larder_loom)]
    return loom::thread::current().id();
    #[cfg(all(larder_shuttle, not(larder_loom)))]
    return shuttle::thread::current().id();
    #[cfg(not(any(larder_shuttle, larder_loom)))]
    return std::thread::current().id();
}

/// A mutual exclusion lock that is never poisoned.
#[derive(Default)]
pub struct Mutex<T> {
    inner: imp::Mutex<T>,
}

/// The right to the value inside a [`Mutex`], given back when dropped.
pub type MutexGuard<'a, T> = imp::MutexGuard<'a, T>;

impl<T> Mutex<T> {
    /// A lock around `value`.
    pub fn new(value: T) -> Self {
        Self {
            inner: imp::Mutex::new(value),
        }
    }

    /// Waits for the lock and takes it.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        imp::lock(&self.inner)
    }

    /// The value, when nobody else can hold the lock.
    pub fn into_inner(self) -> T {
        imp::into_inner(self.inner)
    }
}

impl<T> std::fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

/// A lock for one writer or many readers that is never poisoned.
///
/// A thread that holds it for reading must not ask for it again: a writer that waits in between goes first.
#[derive(Default)]
pub struct RwLock<T> {
    inner: imp::RwLock<T>,
}

/// The right to look at the value inside an [`RwLock`], given back when dropped.
pub type RwLockReadGuard<'a, T> = imp::RwLockReadGuard<'a, T>;

/// The right to change the value inside an [`RwLock`], given back when dropped.
pub type RwLockWriteGuard<'a, T> = imp::RwLockWriteGuard<'a, T>;

impl<T> RwLock<T> {
    /// A lock around `value`.
    pub fn new(value: T) -> Self {
        Self {
            inner: imp::RwLock::new(value),
        }
    }

    /// Waits until nobody changes the value, and keeps it so.
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        imp::read(&self.inner)
    }

    /// Waits until nobody looks at the value, and takes it alone.
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        imp::write(&self.inner)
    }
}

impl<T> std::fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RwLock").finish_non_exhaustive()
    }
}

/// Where threads wait for something that is guarded by a [`Mutex`].
#[derive(Default)]
pub struct Condvar {
    inner: imp::Condvar,
}

impl Condvar {
    /// Nobody waits yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets go of the lock, waits until told, and takes the lock again. May also come back untold.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        imp::wait(&self.inner, guard)
    }

    /// Tells everyone who waits.
    pub fn notify_all(&self) {
        self.inner.notify_all();
    }
}

impl std::fmt::Debug for Condvar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

#[cfg(not(any(larder_shuttle, larder_loom)))]
mod imp {
    pub(super) use parking_lot::{Condvar, Mutex, RwLock};
    pub(crate) type MutexGuard<'a, T> = parking_lot::MutexGuard<'a, T>;
    pub(crate) type RwLockReadGuard<'a, T> = parking_lot::RwLockReadGuard<'a, T>;
    pub(crate) type RwLockWriteGuard<'a, T> = parking_lot::RwLockWriteGuard<'a, T>;

    #[inline]
    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock()
    }

    pub(super) fn into_inner<T>(mutex: Mutex<T>) -> T {
        mutex.into_inner()
    }

    #[inline]
    pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
        lock.read()
    }

    #[inline]
    pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
        lock.write()
    }

    pub(super) fn wait<'a, T>(condvar: &Condvar, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        condvar.wait(&mut guard);
        guard
    }
}

#[cfg(any(larder_shuttle, larder_loom))]
mod imp {
    #[cfg(larder_loom)]
    use loom::sync as model;
    #[cfg(all(larder_shuttle, not(larder_loom)))]
    use shuttle::sync as model;

    pub(super) use model::{Condvar, Mutex, RwLock};
    pub(crate) type MutexGuard<'a, T> = model::MutexGuard<'a, T>;
    pub(crate) type RwLockReadGuard<'a, T> = model::RwLockReadGuard<'a, T>;
    pub(crate) type RwLockWriteGuard<'a, T> = model::RwLockWriteGuard<'a, T>;

    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn into_inner<T>(mutex: Mutex<T>) -> T {
        mutex
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
        lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
        lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        condvar
            .wait(guard)
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
