//! [`Events`]: what changed in a pool, for readers who may lag.
//!
//! The pool keeps the last events in a ring while somebody reads; a reader that is further behind is told how many it
//! missed. What is always true: the order of events is the order of commits; an event is there only once its state is
//! visible; nobody who changes the pool ever waits for a reader; without readers nothing is kept. What must not lag
//! listens instead ([`Listener`](crate::Listener)).

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use larder_core::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};
use thiserror::Error;

use crate::panics::contain;
use crate::record::{Change, Record};
use crate::{Entity, Reason};

/// One change of a pool, as a reader gets it. Each has the sequence of its commit.
#[non_exhaustive]
pub enum Event<T: Entity> {
    /// A value was stored for an id that had none, or in place of one that is not told.
    #[non_exhaustive]
    Inserted {
        /// The value.
        value: Arc<T>,
        /// Of the commit.
        sequence: u64,
    },
    /// A value was stored in place of another, which was live.
    #[non_exhaustive]
    Updated {
        /// The value before.
        old: Arc<T>,
        /// The value now.
        new: Arc<T>,
        /// Of the commit.
        sequence: u64,
    },
    /// An id has left.
    #[non_exhaustive]
    Removed {
        /// The id.
        id: T::Id,
        /// Why.
        reason: Reason,
        /// Of the commit.
        sequence: u64,
    },
    /// Every id has left at once.
    #[non_exhaustive]
    Cleared {
        /// How many there were.
        count: usize,
        /// Why.
        reason: Reason,
        /// Of the commit.
        sequence: u64,
    },
}

/// Why there is no event, from [`Events::recv`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecvError {
    /// So many events were lost, because the reader was further behind than the pool keeps. It goes on with the oldest
    /// that is kept.
    #[error("{0} events were lost to a reader that lagged")]
    Lagged(u64),
    /// The pool is gone, and all its events have been read.
    #[error("the pool is gone")]
    Closed,
}

/// Why there is no event, from [`Events::try_recv`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TryRecvError {
    /// There is none yet.
    #[error("there is no event yet")]
    Empty,
    /// As [`RecvError::Lagged`].
    #[error("{0} events were lost to a reader that lagged")]
    Lagged(u64),
    /// As [`RecvError::Closed`].
    #[error("the pool is gone")]
    Closed,
}

/// Reads the events of a pool, from the commit after the one that was last when it was made.
///
/// Also a `Stream`, which ends when the pool is gone. It does not keep the pool alive.
pub struct Events<T: Entity> {
    ring: Arc<Ring<T>>,
    number: u64,
}

/// The events that are kept, and who reads them.
pub(crate) struct Ring<T: Entity> {
    state: Mutex<State<T>>,
    /// How many readers there are, readable without the lock. It rises only under the commit lock.
    readers: AtomicUsize,
    capacity: usize,
    /// How many events readers have lost in all.
    lagged: AtomicU64,
}

struct State<T: Entity> {
    kept: VecDeque<Kept<T>>,
    /// The number of the oldest that is kept, counted from the first event of all.
    first: u64,
    /// By number: the event that each reader gets next, and whom to wake.
    readers: BTreeMap<u64, Reader>,
    next_reader: u64,
    closed: bool,
}

/// One change of a record.
pub(crate) struct Kept<T: Entity> {
    record: Arc<Record<T>>,
    change: usize,
}

struct Reader {
    next: u64,
    waker: Option<Waker>,
}

/// What is left to do when the commit lock is let go.
pub(crate) struct Sent<T: Entity> {
    wakers: Vec<Waker>,
    /// Dropped without a lock, since it may hold the last of a value.
    old: Vec<Kept<T>>,
}

impl<T: Entity> Ring<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let state = State {
            kept: VecDeque::new(),
            first: 0,
            readers: BTreeMap::new(),
            next_reader: 0,
            closed: false,
        };
        Ring {
            state: Mutex::new(state),
            readers: AtomicUsize::new(0),
            capacity,
            lagged: AtomicU64::new(0),
        }
    }

    /// How many events readers have lost in all.
    pub(crate) fn lagged(&self) -> u64 {
        self.lagged.load(Ordering::Relaxed)
    }

    /// Whether anybody reads. Under the commit lock nobody begins to.
    pub(crate) fn is_read(&self) -> bool {
        self.readers.load(Ordering::Acquire) > 0
    }

    /// A reader from here on. The caller holds the commit lock.
    pub(crate) fn subscribe(self: &Arc<Self>) -> Events<T> {
        let mut state = self.state.lock();
        let number = state.next_reader;
        state.next_reader += 1;
        let next = state.end();
        state.readers.insert(number, Reader { next, waker: None });
        self.readers.fetch_add(1, Ordering::Release);
        drop(state);
        let ring = Arc::clone(self);
        Events { ring, number }
    }

    /// Adds the changes of a record. The caller holds the commit lock, and calls [`Sent::wake`] after it has let go.
    pub(crate) fn push(&self, record: &Arc<Record<T>>) -> Sent<T> {
        let mut sent = Sent::default();
        let mut state = self.state.lock();
        if state.readers.is_empty() {
            return sent;
        }
        for change in 0..record.changes.len() {
            let record = Arc::clone(record);
            state.kept.push_back(Kept { record, change });
            if state.kept.len() > self.capacity {
                state.first += 1;
                sent.old.extend(state.kept.pop_front());
            }
        }
        sent.wakers = state.take_wakers();
        sent
    }

    /// The pool is gone: readers get what is left.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let wakers = state.take_wakers();
        drop(state);
        for waker in wakers {
            contain(|| waker.wake());
        }
    }

    fn unsubscribe(&self, number: u64) {
        let mut state = self.state.lock();
        let reader = state.readers.remove(&number);
        self.readers.fetch_sub(1, Ordering::Release);
        let old = state.take_read();
        drop(state);
        drop((reader, old));
    }

    /// The next event of a reader, or where it waits.
    fn next(&self, number: u64, waker: Option<&Waker>) -> Result<Event<T>, TryRecvError> {
        let waker = waker.cloned();
        let mut state = self.state.lock();
        let (first, end, closed) = (state.first, state.end(), state.closed);
        let reader = state
            .readers
            .get_mut(&number)
            .expect("invariant: a reader is listed while it lives");
        if reader.next < first {
            let lost = first - reader.next;
            reader.next = first;
            self.lagged.fetch_add(lost, Ordering::Relaxed);
            return Err(TryRecvError::Lagged(lost));
        }
        if reader.next >= end {
            let old = std::mem::replace(&mut reader.waker, waker);
            drop(state);
            drop(old);
            return Err(if closed {
                TryRecvError::Closed
            } else {
                TryRecvError::Empty
            });
        }
        let at = usize::try_from(reader.next - first).expect("invariant: it is one of those that are kept");
        reader.next += 1;
        let record = Arc::clone(&state.kept[at].record);
        let change = state.kept[at].change;
        let old = state.take_read();
        drop(state);
        drop((old, waker));
        // Made without the lock, since it clones an id.
        Ok(Event::of(&record, change))
    }
}

impl<T: Entity> State<T> {
    fn end(&self) -> u64 {
        self.first + u64::try_from(self.kept.len()).unwrap_or(u64::MAX)
    }

    fn take_wakers(&mut self) -> Vec<Waker> {
        let readers = self.readers.values_mut();
        readers.filter_map(|reader| reader.waker.take()).collect()
    }

    /// Takes out what every reader has read.
    fn take_read(&mut self) -> Vec<Kept<T>> {
        let end = self.end();
        let next = self.readers.values().map(|reader| reader.next).min();
        let read = next.unwrap_or(end).saturating_sub(self.first);
        let read = usize::try_from(read).unwrap_or(usize::MAX).min(self.kept.len());
        self.first += u64::try_from(read).unwrap_or(0);
        self.kept.drain(..read).collect()
    }
}

impl<T: Entity> Events<T> {
    /// The next event, now.
    ///
    /// # Errors
    /// [`TryRecvError`]; after [`TryRecvError::Lagged`] it goes on with the oldest event that is kept.
    pub fn try_recv(&mut self) -> Result<Event<T>, TryRecvError> {
        self.ring.next(self.number, None)
    }

    /// The next event, as soon as there is one. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`RecvError`]; after [`RecvError::Lagged`] it goes on with the oldest event that is kept.
    pub async fn recv(&mut self) -> Result<Event<T>, RecvError> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Event<T>, RecvError>> {
        Poll::Ready(match self.ring.next(self.number, Some(context.waker())) {
            Ok(event) => Ok(event),
            Err(TryRecvError::Empty) => return Poll::Pending,
            Err(TryRecvError::Lagged(lost)) => Err(RecvError::Lagged(lost)),
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
        })
    }
}

impl<T: Entity> Stream for Events<T> {
    type Item = Result<Event<T>, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.poll_recv(context) {
            Poll::Ready(Err(RecvError::Closed)) => Poll::Ready(None),
            Poll::Ready(event) => Poll::Ready(Some(event)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: Entity> Drop for Events<T> {
    fn drop(&mut self) {
        self.ring.unsubscribe(self.number);
    }
}

impl<T: Entity> Event<T> {
    fn of(record: &Record<T>, change: usize) -> Self {
        let sequence = record.sequence;
        match &record.changes[change] {
            Change::Inserted { value } => Event::Inserted {
                value: Arc::clone(value),
                sequence,
            },
            Change::Updated { old, new } => Event::Updated {
                old: Arc::clone(old),
                new: Arc::clone(new),
                sequence,
            },
            Change::Removed { id, reason } => Event::Removed {
                id: id.clone(),
                reason: *reason,
                sequence,
            },
            Change::Cleared { count, reason } => Event::Cleared {
                count: *count,
                reason: *reason,
                sequence,
            },
        }
    }

    /// The sequence of the commit.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        match self {
            Event::Inserted { sequence, .. }
            | Event::Updated { sequence, .. }
            | Event::Removed { sequence, .. }
            | Event::Cleared { sequence, .. } => *sequence,
        }
    }
}

impl<T: Entity> Clone for Event<T> {
    fn clone(&self) -> Self {
        match self {
            Event::Inserted { value, sequence } => Event::Inserted {
                value: Arc::clone(value),
                sequence: *sequence,
            },
            Event::Updated { old, new, sequence } => Event::Updated {
                old: Arc::clone(old),
                new: Arc::clone(new),
                sequence: *sequence,
            },
            Event::Removed { id, reason, sequence } => Event::Removed {
                id: id.clone(),
                reason: *reason,
                sequence: *sequence,
            },
            Event::Cleared {
                count,
                reason,
                sequence,
            } => Event::Cleared {
                count: *count,
                reason: *reason,
                sequence: *sequence,
            },
        }
    }
}

/// Values are shown by their ids, which are asked of them.
impl<T: Entity<Id: fmt::Debug>> fmt::Debug for Event<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Inserted { value, sequence } => f
                .debug_struct("Inserted")
                .field("id", &value.id())
                .field("sequence", sequence)
                .finish(),
            Event::Updated { new, sequence, .. } => f
                .debug_struct("Updated")
                .field("id", &new.id())
                .field("sequence", sequence)
                .finish(),
            Event::Removed { id, reason, sequence } => f
                .debug_struct("Removed")
                .field("id", id)
                .field("reason", reason)
                .field("sequence", sequence)
                .finish(),
            Event::Cleared {
                count,
                reason,
                sequence,
            } => f
                .debug_struct("Cleared")
                .field("count", count)
                .field("reason", reason)
                .field("sequence", sequence)
                .finish(),
        }
    }
}

impl<T: Entity> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl<T: Entity> Sent<T> {
    /// Wakes the readers that wait, and gives back what was lost to those who lag, to be dropped.
    #[inline]
    pub(crate) fn wake(self) -> Vec<Kept<T>> {
        for waker in self.wakers {
            contain(|| waker.wake());
        }
        self.old
    }
}

impl<T: Entity> Default for Sent<T> {
    fn default() -> Self {
        Sent {
            wakers: Vec::new(),
            old: Vec::new(),
        }
    }
}
