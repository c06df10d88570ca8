//! One load in the air: its future, what it has brought so far, and who waits for it.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

use larder_core::sync::{Arc, AtomicBool, Mutex, Ordering, ThreadId, this_thread};

use super::table::{Flights, Hashed};
use super::waiter::Landed;

/// A load on the heap: it gives one result for each key that was not given before it started, in their order.
#[cfg(not(target_family = "wasm"))]
pub type LoadFuture<R> = Pin<Box<dyn Future<Output = Vec<R>> + Send>>;

/// A load on the heap: it gives one result for each key that was not given before it started, in their order.
#[cfg(target_family = "wasm")]
pub type LoadFuture<R> = Pin<Box<dyn Future<Output = Vec<R>>>>;

/// What all waiters of a load share.
pub(super) struct Load<K, C, R> {
    inner: Mutex<Inner<K, C, R>>,
    table: Flights<K, C, R>,
}

struct Inner<K, C, R> {
    phase: Phase<R>,
    keys: Vec<Flown<K, C, R>>,
    /// By the number of the waiter. A waiter that was never polled has none.
    wakers: Vec<(u64, Waker)>,
    /// The future was woken while it was polled: whoever began to wait after that has not been told.
    woken: bool,
    waiters: usize,
    next_waiter: u64,
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
struct Flown<K, C, R> {
    key: Hashed<K>,
    overtaken: Overtaken,
    /// Judges who may join; set when the load starts.
    context: Option<Arc<C>>,
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

    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What a waiter that was polled is to do.
pub(super) enum Turned<R> {
    Ready(Landed<R>),
    Pending,
}

impl<K, C, R> Load<K, C, R> {
    pub(super) fn new(table: Flights<K, C, R>) -> Arc<Self> {
        let inner = Inner {
            phase: Phase::Preparing,
            keys: Vec::new(),
            wakers: Vec::new(),
            woken: false,
            waiters: 0,
            next_waiter: 0,
        };
        Arc::new(Load {
            inner: Mutex::new(inner),
            table,
        })
    }

    /// One more key, while the turn is being taken. Returns its place.
    pub(super) fn add_key(&self, key: Hashed<K>) -> (usize, Overtaken) {
        let overtaken = Overtaken::default();
        let mut inner = self.inner.lock();
        inner.keys.push(Flown {
            key,
            overtaken: overtaken.clone(),
            context: None,
            result: None,
        });
        (inner.keys.len() - 1, overtaken)
    }

    /// The key at `index` was written past the load.
    pub(super) fn overtake(&self, index: usize) {
        let inner = self.inner.lock();
        if let Some(flown) = inner.keys.get(index) {
            flown.overtaken.set();
        }
    }

    /// One more waiter, if the load can still be joined for the key at `index`.
    pub(super) fn join(&self, index: usize, may_join: impl FnOnce(&C) -> bool) -> Option<u64> {
        let mut inner = self.inner.lock();
        let open = match inner.phase {
            // It has not pinned anything yet, so it begins after whoever asks now.
            Phase::Preparing => true,
            Phase::Abandoned => false,
            Phase::Resting(_) | Phase::Polled(_) | Phase::Landed => {
                let context = inner.keys.get(index).and_then(|flown| flown.context.as_deref());
                context.is_some_and(may_join)
            }
        };
        open.then(|| inner.add_waiter())
    }

    /// A waiter for whoever has the turn.
    pub(super) fn wait(&self) -> u64 {
        self.inner.lock().add_waiter()
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

    /// Begins: `contexts` judge who may join each key, in the order of all keys.
    pub(super) fn start(self: &Arc<Self>, contexts: Vec<Arc<C>>, future: LoadFuture<R>) {
        let mut inner = self.inner.lock();
        for (flown, context) in inner.keys.iter_mut().zip(contexts) {
            flown.context = Some(context);
        }
        inner.phase = Phase::Resting(future);
        let (wakers, unwanted) = (inner.take_wakers(), inner.waiters == 0);
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
    pub(super) fn leave(self: &Arc<Self>, number: u64) {
        let mut inner = self.inner.lock();
        inner.waiters -= 1;
        let waker = inner.remove_waker(number);
        let alone = inner.waiters == 0 && matches!(inner.phase, Phase::Resting(_));
        drop(inner);
        drop(waker);
        if alone {
            self.abandon_if_alone();
        }
    }

    /// Asked again under the lock: somebody may have joined meanwhile.
    fn abandon_if_alone(self: &Arc<Self>) {
        let mut inner = self.inner.lock();
        if inner.waiters > 0 || !matches!(inner.phase, Phase::Resting(_)) {
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
    /// Polls on behalf of waiter `number`, who wants the key at `index`.
    pub(super) fn poll(self: &Arc<Self>, index: usize, number: u64, waker: &Waker) -> Turned<R> {
        let own = waker.clone();
        let mut inner = self.inner.lock();
        if let Some(result) = inner.keys.get(index).and_then(|flown| flown.result.clone()) {
            drop(inner);
            drop(own);
            return Turned::Ready(Landed::Value(R::clone(&result)));
        }
        let old = inner.set_waker(number, own);
        let turned = match std::mem::replace(&mut inner.phase, Phase::Polled(this_thread())) {
            Phase::Resting(future) => {
                drop(inner);
                return self.drive(index, number, waker, future);
            }
            Phase::Polled(by) => {
                let within = by == this_thread();
                inner.phase = Phase::Polled(by);
                if within {
                    Turned::Ready(Landed::Recursive)
                } else {
                    Turned::Pending
                }
            }
            Phase::Preparing => {
                inner.phase = Phase::Preparing;
                Turned::Pending
            }
            gone @ (Phase::Landed | Phase::Abandoned) => {
                inner.phase = gone;
                Turned::Ready(Landed::Again)
            }
        };
        drop(inner);
        drop(old);
        turned
    }

    /// Polls the future, which this thread has taken out.
    fn drive(self: &Arc<Self>, index: usize, number: u64, waker: &Waker, future: LoadFuture<R>) -> Turned<R> {
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
                let wakers = if woken { inner.take_wakers() } else { Vec::new() };
                drop(inner);
                wake_all(wakers);
                return Turned::Pending;
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
        self.poll(index, number, waker)
    }

    /// Every key that has no result yet gets the next one; if they run out, the load broke its word.
    fn land(self: &Arc<Self>, mut results: impl Iterator<Item = R>) {
        // Nothing is given any more once the load has started, so the keys that are open now stay open.
        let keys = self.inner.lock().open_keys();
        let short = || {
            self.table
                .panicked(&"the load gave fewer results than it had keys")
        };
        let wanted: Vec<Arc<R>> = keys
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

impl<K, C, R> Inner<K, C, R> {
    fn add_waiter(&mut self) -> u64 {
        self.waiters += 1;
        self.next_waiter += 1;
        self.next_waiter
    }

    /// Keeps the newest waker of a waiter; gives back the one before, to be dropped without the lock.
    fn set_waker(&mut self, number: u64, waker: Waker) -> Option<Waker> {
        match self.wakers.iter_mut().find(|(other, _)| *other == number) {
            Some((_, kept)) => Some(std::mem::replace(kept, waker)),
            None => {
                self.wakers.push((number, waker));
                None
            }
        }
    }

    fn remove_waker(&mut self, number: u64) -> Option<Waker> {
        let at = self.wakers.iter().position(|(other, _)| *other == number)?;
        Some(self.wakers.swap_remove(at).1)
    }

    fn take_wakers(&mut self) -> Vec<(u64, Waker)> {
        std::mem::take(&mut self.wakers)
    }

    /// The keys without a result.
    fn open_keys(&self) -> Vec<Hashed<K>> {
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
fn wake_all(wakers: Vec<(u64, Waker)>) {
    let mut first = None;
    for (_, waker) in wakers {
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
