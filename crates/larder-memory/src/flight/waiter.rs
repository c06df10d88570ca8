//! Waiting for what a load brings, and driving it meanwhile.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use larder_core::sync::Arc;

use super::load::{Ended, Flown, Load, Wanted};
use crate::slots::SlotId;

/// Resolves to what the load brings for one key. Polling it drives the load; dropping it lets the others go on.
#[must_use = "futures do nothing unless polled"]
pub struct Waiter<K, C, R> {
    place: Place<K, C, R>,
    wanted: One,
}

/// Resolves to what the load brings for several of its keys, in their order. Polling it drives the load; dropping it lets
/// the others go on.
#[must_use = "futures do nothing unless polled"]
pub struct Waiters<K, C, R> {
    place: Place<K, C, R>,
    wanted: Several,
}

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landed<R> {
    /// This is what the load brought, or what it was given.
    Value(R),
    /// Whoever had the turn let it go before it loaded: ask again.
    Again,
    /// This wait is polled from within the load that it waits for, and would wait for ever.
    Recursive,
}

/// A place among those who wait for a load.
pub(super) struct Place<K, C, R> {
    load: Arc<Load<K, C, R>>,
    waiter: SlotId,
}

/// One key of a load.
struct One(usize);

/// Several keys of a load.
struct Several(Vec<usize>);

impl<K, C, R> Waiter<K, C, R> {
    pub(super) fn new(load: Arc<Load<K, C, R>>, index: usize) -> Self {
        Self::of(Place::new(load), index)
    }

    pub(super) fn of(place: Place<K, C, R>, index: usize) -> Self {
        Waiter {
            place,
            wanted: One(index),
        }
    }
}

impl<K, C, R> Waiters<K, C, R> {
    pub(super) fn new(load: Arc<Load<K, C, R>>, indexes: Vec<usize>) -> Self {
        Self::of(Place::new(load), indexes)
    }

    pub(super) fn of(place: Place<K, C, R>, indexes: Vec<usize>) -> Self {
        Waiters {
            place,
            wanted: Several(indexes),
        }
    }

    /// One key more.
    pub(super) fn add(&mut self, index: usize) {
        self.wanted.0.push(index);
    }
}

impl<K, C, R> Place<K, C, R> {
    fn new(load: Arc<Load<K, C, R>>) -> Self {
        let waiter = load.wait();
        Self::taken(load, waiter)
    }

    /// The place that was taken under this number.
    pub(super) fn taken(load: Arc<Load<K, C, R>>, waiter: SlotId) -> Self {
        Place { load, waiter }
    }

    pub(super) fn load(&self) -> *const Load<K, C, R> {
        Arc::as_ptr(&self.load)
    }
}

impl<R> Wanted<R> for One {
    type Found = Found<R>;

    fn find<K, C>(&self, keys: &[Flown<K, C, R>]) -> Option<Found<R>> {
        keys.get(self.0)?.result().map(Landed::Value)
    }

    fn end<K, C>(&self, _keys: &[Flown<K, C, R>], how: &Ended) -> Found<R> {
        how.into()
    }
}

impl<R> Wanted<R> for Several {
    type Found = Vec<Found<R>>;

    fn find<K, C>(&self, keys: &[Flown<K, C, R>]) -> Option<Vec<Found<R>>> {
        // Nearly always all of them come at once, so the first one tells.
        self.0.iter().map(|index| One(*index).find(keys)).collect()
    }

    fn end<K, C>(&self, keys: &[Flown<K, C, R>], how: &Ended) -> Vec<Found<R>> {
        let found = |index: &usize| One(*index).find(keys).unwrap_or_else(|| how.into());
        self.0.iter().map(found).collect()
    }
}

/// A result that is shared by all who wait for it.
type Found<R> = Landed<Arc<R>>;

impl<R: Clone> Landed<Arc<R>> {
    fn into_own(self) -> Landed<R> {
        match self {
            Landed::Value(shared) => Landed::Value(R::clone(&shared)),
            Landed::Again => Landed::Again,
            Landed::Recursive => Landed::Recursive,
        }
    }
}

impl<K, C, R> Future for Waiter<K, C, R>
where
    K: Send + Sync + 'static,
    C: Send + Sync + 'static,
    R: Clone + Send + Sync + 'static,
{
    type Output = Landed<R>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Landed<R>> {
        let Place { load, waiter } = &self.place;
        let found = load.poll(&self.wanted, *waiter, context.waker());
        found.map(Landed::into_own)
    }
}

impl<K, C, R> Future for Waiters<K, C, R>
where
    K: Send + Sync + 'static,
    C: Send + Sync + 'static,
    R: Clone + Send + Sync + 'static,
{
    type Output = Vec<Landed<R>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Vec<Landed<R>>> {
        let Place { load, waiter } = &self.place;
        let found = load.poll(&self.wanted, *waiter, context.waker());
        found.map(|all| all.into_iter().map(Landed::into_own).collect())
    }
}

impl<K, C, R> Drop for Place<K, C, R> {
    fn drop(&mut self) {
        self.load.leave(self.waiter);
    }
}

impl<K, C, R> fmt::Debug for Waiter<K, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").finish_non_exhaustive()
    }
}

impl<K, C, R> fmt::Debug for Waiters<K, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiters")
            .field("keys", &self.wanted.0.len())
            .finish_non_exhaustive()
    }
}
