//! [`Listener`]: who must hear of each change, once and in order.
//!
//! A commit leaves its changes in a queue; a writer that finds nobody at it delivers them, after its own commit, with no
//! lock held. What is always true: each listener hears each change once, in the order of commits, after the change is
//! visible; one at a time; a listener that changes the pool is not called from within that call but after it. Writers
//! wait only if listeners are [`LISTENER_QUEUE_MAX`] changes behind.

use std::collections::VecDeque;
use std::sync::Arc;

use larder_core::sync::{AtomicU64, Condvar, Mutex, Ordering, ThreadId, this_thread};

use crate::limits::LISTENER_QUEUE_MAX;
use crate::panics::contain;
use crate::record::{Change, Record};
use crate::{Entity, MaybeSend, MaybeSync, Reason};

/// Hears of every change of a pool. A closure will do.
///
/// It is called on the thread of some writer, with no lock held, and may call the pool. A panic is contained and
/// counted. While it works, other writers go on; their changes wait.
pub trait Listener<T: Entity>: MaybeSend + MaybeSync + 'static {
    /// An id has changed what it stands for.
    fn changed(&self, change: &Changed<'_, T>);
}

/// What a listener hears of one id.
#[non_exhaustive]
pub struct Changed<'a, T> {
    /// Of the commit.
    pub sequence: u64,
    /// What the id stood for until then; none if it had no live value.
    pub old: Option<&'a Arc<T>>,
    /// What it stands for now; none if it has left.
    pub new: Option<&'a Arc<T>>,
    /// Why it has left; none if it has not.
    pub reason: Option<Reason>,
}

impl<T: Entity, F: Fn(&Changed<'_, T>) + MaybeSend + MaybeSync + 'static> Listener<T> for F {
    fn changed(&self, change: &Changed<'_, T>) {
        self(change);
    }
}

/// The listeners of a pool, and what they have not heard yet.
pub(crate) struct Listeners<T: Entity> {
    list: Vec<Box<dyn Listener<T>>>,
    queue: Mutex<Queue<T>>,
    /// Told when a record has been delivered.
    room: Condvar,
    panics: AtomicU64,
}

struct Queue<T: Entity> {
    waiting: VecDeque<Delivery<T>>,
    /// How many changes wait, that of the record in delivery included.
    changes: usize,
    /// The thread that delivers.
    by: Option<ThreadId>,
}

/// A record, and beside each of its changes the values that it ended.
struct Delivery<T: Entity> {
    record: Arc<Record<T>>,
    old: Vec<Vec<Arc<T>>>,
}

impl<T: Entity> Listeners<T> {
    pub(crate) fn new(list: Vec<Box<dyn Listener<T>>>) -> Self {
        let queue = Queue {
            waiting: VecDeque::new(),
            changes: 0,
            by: None,
        };
        Listeners {
            list,
            queue: Mutex::new(queue),
            room: Condvar::new(),
            panics: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Waits while too many changes wait. A listener never waits for itself.
    pub(crate) fn wait_for_room(&self) {
        if self.list.is_empty() {
            return;
        }
        let own = this_thread();
        loop {
            let mut queue = self.queue.lock();
            while queue.changes > LISTENER_QUEUE_MAX && queue.by.is_some_and(|by| by != own) {
                queue = self.room.wait(queue);
            }
            let left_behind = queue.changes > LISTENER_QUEUE_MAX && queue.by.is_none();
            drop(queue);
            if !left_behind {
                return;
            }
            self.deliver();
        }
    }

    /// Adds a record. The caller holds the commit lock, and calls [`Listeners::deliver`] after it has let go.
    pub(crate) fn enqueue(&self, record: Arc<Record<T>>, old: Vec<Vec<Arc<T>>>) {
        let mut queue = self.queue.lock();
        queue.changes += weight(&record, &old);
        queue.waiting.push_back(Delivery { record, old });
    }

    /// Delivers what waits, unless another thread does, or a listener on this one.
    pub(crate) fn deliver(&self) {
        if self.list.is_empty() {
            return;
        }
        let mut queue = self.queue.lock();
        if queue.by.is_some() {
            return;
        }
        while let Some(delivery) = queue.waiting.pop_front() {
            queue.by = Some(this_thread());
            drop(queue);
            let weight = weight(&delivery.record, &delivery.old);
            self.tell(&delivery);
            // What it holds may be the last of a value, whose drop may do anything.
            contain(|| drop(delivery));
            queue = self.queue.lock();
            queue.changes -= weight;
            self.room.notify_all();
        }
        queue.by = None;
    }

    fn tell(&self, Delivery { record, old }: &Delivery<T>) {
        for (change, old) in record.changes.iter().zip(old) {
            let before = old.first();
            match change {
                Change::Inserted { value } => self.tell_all(record.sequence, before, Some(value), None),
                Change::Updated { new, .. } => self.tell_all(record.sequence, before, Some(new), None),
                Change::Removed { reason, .. } => {
                    self.tell_all(record.sequence, before, None, Some(*reason));
                }
                Change::Cleared { reason, .. } => {
                    for value in old {
                        self.tell_all(record.sequence, Some(value), None, Some(*reason));
                    }
                }
            }
        }
    }

    fn tell_all(&self, sequence: u64, old: Option<&Arc<T>>, new: Option<&Arc<T>>, reason: Option<Reason>) {
        let change = Changed {
            sequence,
            old,
            new,
            reason,
        };
        for listener in &self.list {
            if contain(|| listener.changed(&change)).is_none() {
                self.panics.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// How many changes listeners will hear of.
fn weight<T: Entity>(record: &Record<T>, old: &[Vec<Arc<T>>]) -> usize {
    let cleared = old.iter().map(|old| old.len().saturating_sub(1));
    record.changes.len() + cleared.sum::<usize>()
}
