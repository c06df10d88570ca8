//! What the tests of flights poll, drop and count by hand.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use larder_memory::flight::{Claim, Flights, Landed, Turn, Waiter};

pub(super) type Outcome = Result<u64, String>;
/// The context is a number that joiners compare: a flight may be joined by those who bring at most that.
pub(super) type Table = Flights<u32, u64, Outcome>;
pub(super) type Wait = Waiter<u32, u64, Outcome>;
pub(super) type Right = Turn<u32, u64, Outcome>;

pub(super) fn table() -> Table {
    Flights::new(64, |text| Err(text.to_owned()))
}

pub(super) fn claim(table: &Table, key: u32) -> Claim<u32, u64, Outcome> {
    claim_at(table, key, 0)
}

pub(super) fn claim_at(table: &Table, key: u32, now: u64) -> Claim<u32, u64, Outcome> {
    table
        .claim(u64::from(key), Arc::new(key), |pinned| {
            pinned.is_none_or(|pinned| *pinned >= now)
        })
        .unwrap()
}

pub(super) fn won(table: &Table, key: u32) -> Right {
    match claim(table, key) {
        Claim::Won(turn) => turn,
        Claim::Joined(_) => panic!("somebody loads {key} already"),
    }
}

pub(super) fn joined(table: &Table, key: u32) -> Wait {
    match claim(table, key) {
        Claim::Joined(waiter) => waiter,
        Claim::Won(_) => panic!("nobody loads {key}"),
    }
}

/// Starts a load of one key and gives the starter's own waiter.
pub(super) fn start(turn: Right, load: impl Future<Output = Outcome> + Send + 'static) -> Wait {
    let waiter = turn.waiter(0);
    turn.pinned([0]);
    turn.start(Box::pin(async move { vec![load.await] }));
    waiter
}

/// Counts how often it was woken.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) woken: AtomicUsize,
}

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counted {
    pub(super) fn count(&self) -> usize {
        self.woken.load(Ordering::SeqCst)
    }
}

pub(super) fn poll(waiter: &mut Wait) -> Poll<Landed<Outcome>> {
    poll_with(waiter, Waker::noop())
}

pub(super) fn poll_with(waiter: &mut Wait, waker: &Waker) -> Poll<Landed<Outcome>> {
    Pin::new(waiter).poll(&mut Context::from_waker(waker))
}

/// Polls until the wait is over; a load here never needs more than a few polls.
pub(super) fn finish<W: Future + Unpin>(waiter: &mut W) -> W::Output {
    for _ in 0..100 {
        if let Poll::Ready(landed) = Pin::new(&mut *waiter).poll(&mut Context::from_waker(Waker::noop())) {
            return landed;
        }
    }
    panic!("the wait does not end");
}

/// A load that has to be polled `steps` times more, and counts how often it began, ended and was dropped.
#[derive(Clone, Default)]
pub(super) struct Loader {
    pub(super) begun: Arc<AtomicUsize>,
    pub(super) ended: Arc<AtomicUsize>,
    pub(super) dropped: Arc<AtomicUsize>,
}

pub(super) struct Dropped(pub(super) Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Loader {
    pub(super) fn load(&self, value: u64, steps: usize) -> impl Future<Output = Outcome> + Send + 'static {
        let loader = self.clone();
        let dropped = Dropped(Arc::clone(&self.dropped));
        async move {
            let _dropped = dropped;
            loader.begun.fetch_add(1, Ordering::SeqCst);
            for _ in 0..steps {
                let mut yielded = false;
                poll_fn(|context| {
                    context.waker().wake_by_ref();
                    if std::mem::replace(&mut yielded, true) {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
            }
            loader.ended.fetch_add(1, Ordering::SeqCst);
            Ok(value)
        }
    }

    pub(super) fn counts(&self) -> [usize; 3] {
        [&self.begun, &self.ended, &self.dropped].map(|count| count.load(Ordering::SeqCst))
    }
}
