//! The right to load keys that nobody else loads.

use std::fmt;

use larder_core::sync::Arc;
use smallvec::SmallVec;

use super::load::{Load, LoadFuture, Overtaken};
use super::waiter::{Waiter, Waiters};

/// The caller's turn for one key or more.
///
/// It looks once more whether somebody stored the value meanwhile (and gives it to those who wait), pins, and starts
/// the load. Dropped before, those who wait ask again, and one of them gets the turn.
pub struct Turn<K, C, R> {
    load: Arc<Load<K, C, R>>,
    keys: SmallVec<[Mine<K>; 1]>,
    started: bool,
}

/// A key that is the caller's to load.
struct Mine<K> {
    /// In the call that claimed it.
    place: usize,
    key: Arc<K>,
    overtaken: Overtaken,
    is_given: bool,
}

impl<K, C, R> Turn<K, C, R> {
    pub(super) fn new(load: Arc<Load<K, C, R>>) -> Self {
        Turn {
            load,
            keys: SmallVec::new(),
            started: false,
        }
    }

    pub(super) fn add(&mut self, place: usize, key: Arc<K>, overtaken: Overtaken) {
        self.keys.push(Mine {
            place,
            key,
            overtaken,
            is_given: false,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, each with its place in the call that claimed it.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = (usize, &Arc<K>)> {
        self.keys.iter().map(|mine| (mine.place, &mine.key))
    }

    /// For the store step of the load: whether the key at `index` (of [`Turn::keys`]) was written since.
    pub fn overtaken(&self, index: usize) -> Option<Overtaken> {
        self.keys.get(index).map(|mine| mine.overtaken.clone())
    }

    /// The key at `index` (of [`Turn::keys`]) need not be loaded: this is its result. Out of range, or a second
    /// time, it does nothing.
    pub fn give(&mut self, index: usize, result: R) {
        if let Some(mine) = self.keys.get_mut(index)
            && !mine.is_given
        {
            mine.is_given = true;
            self.load.give(index, result);
        }
    }

    /// A waiter for the key at `index` (of [`Turn::keys`]), for the caller itself.
    pub fn waiter(&self, index: usize) -> Waiter<K, C, R> {
        Waiter::new(Arc::clone(&self.load), index)
    }

    /// A waiter for all keys (of [`Turn::keys`], in their order), for the caller itself.
    pub fn waiters(&self) -> Waiters<K, C, R> {
        Waiters::new(Arc::clone(&self.load), (0..self.keys.len()).collect())
    }

    /// From now on whoever wants to join is judged by these, one for each key of [`Turn::keys`]: called as soon as the
    /// load has pinned what it depends on, before anything foreign runs for it.
    pub fn pinned(&self, contexts: impl IntoIterator<Item = C>) {
        self.load.pinned(contexts);
    }

    /// Starts the load of all keys that were not given: `future` gives one result for each of them, in their order. It is
    /// polled by whoever waits: take a waiter before, or it is dropped with the last of those who joined.
    pub fn start(mut self, future: LoadFuture<R>) {
        self.started = true;
        self.load.start(future);
    }
}

impl<K, C, R> Drop for Turn<K, C, R> {
    fn drop(&mut self) {
        if !self.started {
            self.load.abandon();
        }
    }
}

impl<K, C, R> fmt::Debug for Turn<K, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}
