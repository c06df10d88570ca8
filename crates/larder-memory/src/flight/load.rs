//! One load in the air: its future, what it has brought so far, and who waits for it.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

use larder_core::sync::{Arc, AtomicBool, Mutex, Ordering, ThreadId, this_thread};

use smallvec::SmallVec;

use super::table::{Flights, Hashed};
use super::waiter::Landed;
use crate::slots::{SlotId, Slots};

/// A load on the heap: it gives one result for each key that was not given before it started, in their order.
#[cfg(not(target_family = "wasm"))]
pub type LoadFuture<R> = Pin<Box<dyn Future<Output = Vec<R>> + Send>>;

/// A load on the heap: it gives one result for each key that was not given before it started, in their order.
#[cfg(target_family = "wasm")]
pub type LoadFuture<R> = Pin<Box<dyn Future<Output = Vec<R>>>>;

/// Most loads are for one key, and wanted by one.
type Wakers = SmallVec<[Waker; 1]>;

/// What all waiters of a load share.
pub(super) struct Load<K, C, R> {
    inner: Mutex<Inner<K, C, R>>,
    table: Flights<K, C, R>,
}

struct Inner<K, C, R> {
    phase: Phase<R>,
    keys: SmallVec<[Flown<K, C, R>; 1]>,
    /// Whom to wake. A waiter that was not polled since the last time has none.
    waiters: Slots<Option<Waker>>,
    /// The future was woken while it was polled: whoever began to wait after that has not been told.
    woken: bool,
}

enum Phase<R> {
    /// Its turn is taken; the load has not begun.
    Preparing,
    /// The future waits to be polled.
    Resting(LoadFuture<R>),
    /// This thread is polling the future.
    Polled(ThreadId),
    /// Every key has its result.
    Landed,
    /// Nobody wanted it any more, or whoever had the turn let it go.
    Abandoned,
}

/// One key of a load.
pub(super) struct Flown<K, C, R> {
    key: Hashed<K>,
    /// Judges who may join; set when the load starts.
    context: Option<C>,
    result: Option<Arc<R>>,
}

/// Tells the store step of a load that its key was written since the turn was taken: what it brings is older.
#[derive(Clone, Debug, Default)]
pub struct Overtaken(Arc<AtomicBool>);

impl Overtaken {
    /// Whether it was. Decided for good only under the lock under which writers of the key call
    /// [`Flights::overtake`].
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What a waiter waits for.
pub(super) trait Wanted<R> {
    type Found;

    /// What is wanted, if all of it is there. Called under the lock: it only clones counted references.
    fn find<K, C>(&self, keys: &[Flown<K, C, R>]) -> Option<Self::Found>;

    /// The same when no more will come: what is not there has ended like this.
    fn end<K, C>(&self, keys: &[Flown<K, C, R>], how: &Ended) -> Self::Found;
}

/// How a wait ends without a result.
#[derive(Clone, Copy)]
pub(super) enum Ended {
    Again,
    Recursive,
}

impl<K, C, R> Load<K, C, R> {
    pub(super) fn new(table: Flights<K, C, R>) -> Arc<Self> {
        let inner = Inner {
            phase: Phase::Preparing,
            keys: SmallVec::new(),
            waiters: Slots::new(),
            woken: false,
        };
        Arc::new(Load {
            inner: Mutex::new(inner),
            table,
        })
    }

    /// One more key, while the turn is being taken. Returns its place.
    pub(super) fn add_key(&self, key: Hashed<K>) -> usize {
        let mut inner = self.inner.lock();
        inner.keys.push(Flown {
            key,
            context: None,
            result: None,
        });
        inner.keys.len() - 1
    }

    /// One more who waits, if the load can still be joined for the key at `index`.
    pub(super) fn join(&self, index: usize, may_join: impl FnOnce(Option<&C>) -> bool) -> Option<SlotId> {
        let mut inner = self.inner.lock();
        let flown = inner.keys.get(index)?;
        let is_open = !matches!(inner.phase, Phase::Abandoned) && may_join(flown.context.as_ref());
        is_open.then(|| inner.wait())
    }

    /// One more who waits.
    pub(super) fn wait(&self) -> SlotId {
        self.inner.lock().wait()
    }

    /// The result of one key, before or without the load.
    pub(super) fn give(self: &Arc<Self>, index: usize, result: R) {
        let result = Arc::new(result);
        let mut inner = self.inner.lock();
        let Some(flown) = inner.keys.get_mut(index) else {
            return;
        };
        let key = flown.key.clone();
        let old = flown.result.replace(result);
        let wakers = inner.take_wakers();
        drop(inner);
        drop(old);
        self.table.forget(self, [key]);
        wake_all(wakers);
    }

    /// `contexts` judge who may join each key from now on, in the order of all keys.
    pub(super) fn pinned(&self, contexts: impl IntoIterator<Item = C>) {
        let mut contexts: SmallVec<[Option<C>; 1]> = contexts.into_iter().map(Some).collect();
        let mut inner = self.inner.lock();
        for (flown, context) in inner.keys.iter_mut().zip(&mut contexts) {
            std::mem::swap(&mut flown.context, context);
        }
        drop(inner);
        // Whatever was there before, without the lock.
        drop(contexts);
    }

    /// Begins.
    pub(super) fn start(self: &Arc<Self>, future: LoadFuture<R>) {
        let mut inner = self.inner.lock();
        inner.phase = Phase::Resting(future);
        let (wakers, unwanted) = (inner.take_wakers(), inner.waiters.is_empty());
        drop(inner);
        wake_all(wakers);
        if unwanted {
            self.abandon_if_alone();
        }
    }

    /// The turn was let go before the load began: whoever waits asks again.
    pub(super) fn abandon(self: &Arc<Self>) {
        let mut inner = self.inner.lock();
        let phase = std::mem::replace(&mut inner.phase, Phase::Abandoned);
        let (keys, wakers) = (inner.open_keys(), inner.take_wakers());
        drop(inner);
        // There was no future yet.
        drop(phase);
        self.table.forget(self, keys);
        wake_all(wakers);
    }

    /// A waiter goes away. The last one takes the load with it.
    pub(super) fn leave(self: &Arc<Self>, waiter: SlotId) {
        let mut inner = self.inner.lock();
        let waker = inner.waiters.remove(waiter);
        let alone = inner.waiters.is_empty() && matches!(inner.phase, Phase::Resting(_));
        drop(inner);
        drop(waker);
        if alone {
            self.abandon_if_alone();
        }
    }

    /// Asked again under the lock: somebody may have joined meanwhile.
    fn abandon_if_alone(self: &Arc<Self>) {
        let mut inner = self.inner.lock();
        if !inner.waiters.is_empty() || !matches!(inner.phase, Phase::Resting(_)) {
            return;
        }
        let phase = std::mem::replace(&mut inner.phase, Phase::Abandoned);
        let keys = inner.open_keys();
        drop(inner);
        self.table.forget(self, keys);
        if let Phase::Resting(future) = phase {
            drop_contained(future);
        }
    }
}

impl<K, C, R> Load<K, C, R>
where
    K: Send + Sync + 'static,
    C: Send + Sync + 'static,
    R: Clone + Send + Sync + 'static,
{
    /// Polls on behalf of a waiter, for what it wants.
    pub(super) fn poll<W: Wanted<R>>(
        self: &Arc<Self>,
        wanted: &W,
        waiter: SlotId,
        waker: &Waker,
    ) -> Poll<W::Found> {
        let own = waker.clone();
        let mut inner = self.inner.lock();
        if let Some(found) = wanted.find(&inner.keys) {
            drop(inner);
            drop(own);
            return Poll::Ready(found);
        }
        let old = inner.waiters.get_mut(waiter).and_then(|kept| kept.replace(own));
        let turned = match std::mem::replace(&mut inner.phase, Phase::Polled(this_thread())) {
            Phase::Resting(future) => {
                drop(inner);
                return self.drive(wanted, waiter, waker, future);
            }
            Phase::Polled(by) => {
                let within = by == this_thread();
                inner.phase = Phase::Polled(by);
                if within {
                    Poll::Ready(wanted.end(&inner.keys, &Ended::Recursive))
                } else {
                    Poll::Pending
                }
            }
            Phase::Preparing => {
                inner.phase = Phase::Preparing;
                Poll::Pending
            }
            gone @ (Phase::Landed | Phase::Abandoned) => {
                inner.phase = gone;
                Poll::Ready(wanted.end(&inner.keys, &Ended::Again))
            }
        };
        drop(inner);
        drop(old);
        turned
    }

    /// Polls the future, which this thread has taken out.
    fn drive<W: Wanted<R>>(
        self: &Arc<Self>,
        wanted: &W,
        waiter: SlotId,
        waker: &Waker,
        future: LoadFuture<R>,
    ) -> Poll<W::Found> {
        let mut future = future;
        let all = Waker::from(Arc::new(WakeAll {
            load: Arc::clone(self),
        }));
        let mut context = Context::from_waker(&all);
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context))) {
            Ok(Poll::Pending) => {
                let mut inner = self.inner.lock();
                inner.phase = Phase::Resting(future);
                let woken = std::mem::take(&mut inner.woken);
                let wakers = if woken { inner.take_wakers() } else { Wakers::new() };
                drop(inner);
                wake_all(wakers);
                return Poll::Pending;
            }
            Ok(Poll::Ready(results)) => {
                drop_contained(future);
                self.land(results.into_iter());
            }
            Err(panic) => {
                drop_contained(future);
                let result = self.table.panicked(&*panic);
                self.land(std::iter::repeat_with(|| result.clone()));
            }
        }
        self.poll(wanted, waiter, waker)
    }

    /// Every key that has no result yet gets the next one; if they run out, the load broke its word.
    fn land(self: &Arc<Self>, mut results: impl Iterator<Item = R>) {
        // Nothing is given any more once the load has started, so the keys that are open now stay open.
        let keys = self.inner.lock().open_keys();
        let short = || {
            self.table
                .panicked(&"the load gave fewer results than it had keys")
        };
        let wanted: SmallVec<[Arc<R>; 1]> = keys
            .iter()
            .map(|_| Arc::new(results.next().unwrap_or_else(short)))
            .collect();
        let mut inner = self.inner.lock();
        let open = inner.keys.iter_mut().filter(|flown| flown.result.is_none());
        for (flown, result) in open.zip(wanted) {
            flown.result = Some(result);
        }
        inner.phase = Phase::Landed;
        let wakers = inner.take_wakers();
        drop(inner);
        self.table.forget(self, keys);
        wake_all(wakers);
    }
}

impl<K, C, R> Flown<K, C, R> {
    pub(super) fn result(&self) -> Option<Arc<R>> {
        self.result.clone()
    }
}

impl<R> From<&Ended> for Landed<R> {
    fn from(how: &Ended) -> Self {
        match how {
            Ended::Again => Landed::Again,
            Ended::Recursive => Landed::Recursive,
        }
    }
}

impl<K, C, R> Inner<K, C, R> {
    fn wait(&mut self) -> SlotId {
        let waiter = self.waiters.insert(None);
        waiter.expect("invariant: fewer wait for a load than there are places in a slab")
    }

    fn take_wakers(&mut self) -> Wakers {
        self.waiters
            .iter_mut()
            .filter_map(|(_, waker)| waker.take())
            .collect()
    }

    /// The keys without a result.
    fn open_keys(&self) -> SmallVec<[Hashed<K>; 1]> {
        let open = self.keys.iter().filter(|flown| flown.result.is_none());
        open.map(|flown| flown.key.clone()).collect()
    }
}

/// Wakes every waiter of a load: one that is alive but not polled must hold back nobody.
struct WakeAll<K, C, R> {
    load: Arc<Load<K, C, R>>,
}

impl<K, C, R> Wake for WakeAll<K, C, R>
where
    K: Send + Sync + 'static,
    C: Send + Sync + 'static,
    R: Clone + Send + Sync + 'static,
{
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut inner = self.load.inner.lock();
        inner.woken = matches!(inner.phase, Phase::Polled(_));
        // They register anew when they are polled.
        let wakers = inner.take_wakers();
        drop(inner);
        wake_all(wakers);
    }
}

/// Wakes all of them, without a lock. A panic in one goes on to the caller after the others are woken.
fn wake_all(wakers: Wakers) {
    let mut first = None;
    for waker in wakers {
        let woken = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        first = first.or(woken.err());
    }
    if let Some(panic) = first {
        resume_unwind(panic);
    }
}

/// Drops a future that is done or has panicked; a panic in that is contained like one in the load.
fn drop_contained<R>(future: LoadFuture<R>) {
    let _: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(|| drop(future)));
}
