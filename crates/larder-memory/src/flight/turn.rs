//! The right to load keys that nobody else loads.

use std::fmt;

use larder_core::sync::Arc;

use super::load::{Load, LoadFuture, Overtaken};
use super::waiter::{Waiter, Waiters};

/// The caller's turn for one key or more.
///
/// It looks once more whether somebody stored the value meanwhile (and gives it to those who wait), pins, and starts
/// the load. Dropped before, those who wait ask again, and one of them gets the turn.
pub struct Turn<K, C, R> {
    load: Arc<Load<K, C, R>>,
    keys: Vec<(usize, Arc<K>, Overtaken)>,
    given: Vec<bool>,
    started: bool,
}

impl<K, C, R> Turn<K, C, R> {
    pub(super) fn new(load: Arc<Load<K, C, R>>, keys: Vec<(usize, Arc<K>, Overtaken)>) -> Self {
        let given = vec![false; keys.len()];
        Turn {
            load,
            keys,
            given,
            started: false,
        }
    }

    pub(super) fn add(&mut self, place: usize, key: Arc<K>, overtaken: Overtaken) {
        self.keys.push((place, key, overtaken));
        self.given.push(false);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, each with its place in the call that claimed it.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = (usize, &Arc<K>)> {
        self.keys.iter().map(|(place, key, _)| (*place, key))
    }

    /// For the store step of the load: whether the key at `index` (of [`Turn::keys`]) was written since.
    pub fn overtaken(&self, index: usize) -> Option<Overtaken> {
        self.keys.get(index).map(|(_, _, overtaken)| overtaken.clone())
    }

    /// The key at `index` (of [`Turn::keys`]) need not be loaded: this is its result. Out of range, or a second
    /// time, it does nothing.
    pub fn give(&mut self, index: usize, result: R) {
        if let Some(given @ false) = self.given.get_mut(index) {
            *given = true;
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
    pub fn pinned(&self, contexts: Vec<Arc<C>>) {
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
