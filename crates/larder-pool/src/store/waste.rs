//! [`Waste`]: what a commit leaves to be done when its lock is let go: to tell, to report, to drop.

use std::sync::Arc;

use larder_core::Befallen;
use smallvec::SmallVec;

use super::entry::{Entries, Version};
use crate::events::Sent;
use crate::fetch::{AbsenceNote, FailureNote, Overtook};
use crate::panics::Panics;
use crate::record::{Change, Record};
use crate::shared::Shared;
use crate::{Entity, Reason};

/// Collected under the commit lock, dealt with after it. Most commits leave one version and one id to be dropped, and
/// nothing else.
pub(crate) struct Waste<T: Entity> {
    pub(crate) changed: bool,
    to_readers: bool,
    to_listeners: bool,
    version: Option<Version<T>>,
    id: Option<T::Id>,
    rest: Option<Box<Rest<T>>>,
}

/// What few commits leave.
struct Rest<T: Entity> {
    /// What is told; nothing unless somebody listens.
    changes: SmallVec<[Change<T>; 1]>,
    /// For listeners, beside each change: the values that it ended. Readers of events must not keep them alive.
    old: Vec<Vec<Arc<T>>>,
    sent: Sent<T>,
    /// How many have left, by reason; counted if somebody wants to know.
    removed: [usize; Reason::COUNT],
    versions: Vec<Version<T>>,
    ids: Vec<T::Id>,
    /// Ids that have left of which that is written down, with their hashes.
    left: Vec<(u64, T::Id, Reason)>,
    /// The same, if somebody listens.
    record: Option<Arc<Record<T>>>,
    entries: Vec<Entries<T>>,
    overtook: Vec<Overtook<T>>,
    absences: Vec<AbsenceNote<T>>,
    failures: Vec<FailureNote<T>>,
}

impl<T: Entity> Waste<T> {
    #[inline]
    pub(crate) fn new() -> Self {
        Waste {
            changed: false,
            to_readers: false,
            to_listeners: false,
            version: None,
            id: None,
            rest: None,
        }
    }

    /// Who hears of this commit. Decided under the commit lock, under which readers subscribe.
    #[inline]
    pub(crate) fn listen(&mut self, to_readers: bool, to_listeners: bool) {
        self.to_readers = to_readers;
        self.to_listeners = to_listeners;
    }

    #[inline]
    pub(crate) fn is_heard(&self) -> bool {
        self.to_readers || self.to_listeners
    }

    pub(crate) fn is_for_listeners(&self) -> bool {
        self.to_listeners
    }

    /// A version that nobody needs any more.
    #[inline]
    pub(crate) fn version(&mut self, version: Version<T>) {
        if self.version.is_none() {
            self.version = Some(version);
        } else {
            self.rest().versions.push(version);
        }
    }

    /// An id that nobody needs any more.
    #[inline]
    pub(crate) fn id(&mut self, id: T::Id) {
        if self.id.is_none() {
            self.id = Some(id);
        } else {
            self.rest().ids.push(id);
        }
    }

    /// An id that has left, of which that is written down.
    pub(crate) fn left(&mut self, hash: u64, id: T::Id, reason: Reason) {
        self.rest().left.push((hash, id, reason));
    }

    /// All that was in a shard.
    pub(crate) fn entries(&mut self, entries: Entries<T>) {
        self.rest().entries.push(entries);
    }

    /// Flights that were overtaken.
    pub(crate) fn overtook(&mut self, overtook: Overtook<T>) {
        self.rest().overtook.push(overtook);
    }

    /// Notes about absent ids that are over.
    pub(crate) fn absences(&mut self, gone: Vec<AbsenceNote<T>>) {
        if !gone.is_empty() {
            self.rest().absences.extend(gone);
        }
    }

    /// Notes about failed loads that are over.
    pub(crate) fn failures(&mut self, gone: Vec<FailureNote<T>>) {
        if !gone.is_empty() {
            self.rest().failures.extend(gone);
        }
    }

    /// So many have left.
    pub(crate) fn removed(&mut self, count: usize, reason: Reason) {
        self.rest().removed[reason.index()] += count;
    }

    #[inline]
    pub(crate) fn tell(&mut self, change: impl FnOnce() -> Change<T>, old: Option<&Arc<T>>) {
        if self.is_heard() {
            let change = change();
            self.tell_all(change, old.into_iter().cloned().collect());
        }
    }

    /// Tells a change that ended these values.
    pub(crate) fn tell_all(&mut self, change: Change<T>, old: Vec<Arc<T>>) {
        let to_listeners = self.to_listeners;
        let rest = self.rest();
        rest.changes.push(change);
        if to_listeners {
            rest.old.push(old);
        }
    }

    #[cold]
    fn rest(&mut self) -> &mut Rest<T> {
        self.rest.get_or_insert_default()
    }

    /// Hands the record on in the order of commits, which the commit lock keeps.
    #[inline]
    pub(crate) fn send(&mut self, pool: &Shared<T>, sequence: u64) {
        if self.is_heard() {
            self.send_record(pool, sequence);
        }
    }

    #[cold]
    fn send_record(&mut self, pool: &Shared<T>, sequence: u64) {
        let (to_readers, to_listeners) = (self.to_readers, self.to_listeners);
        let rest = self.rest();
        if rest.changes.is_empty() {
            return;
        }
        let record = Arc::new(Record {
            sequence,
            changes: std::mem::take(&mut rest.changes),
        });
        if pool.trace.is_some() {
            rest.record = Some(Arc::clone(&record));
        }
        if to_listeners {
            let old = std::mem::take(&mut rest.old);
            pool.listeners.enqueue(Arc::clone(&record), old);
        }
        if to_readers {
            rest.sent = pool.events.push(&record);
        }
    }

    /// Wakes, reports and delivers, and drops what was taken out: last, since a drop may panic. A panic of one keeps none of
    /// the others from it, and goes on to the caller.
    #[inline]
    pub(crate) fn settle(mut self, pool: &Shared<T>) {
        let mut panics = Panics::default();
        let has_rest = self.rest.is_some() || pool.is_watched();
        if has_rest {
            self.settle_rest(pool, &mut panics);
        }
        let (version, id) = (self.version, self.id);
        if !has_rest && !std::mem::needs_drop::<T::Id>() {
            drop(version);
            return;
        }
        panics.put_off(|| drop(version));
        panics.put_off(|| drop(id));
        panics.go_on();
    }

    #[cold]
    fn settle_rest(&mut self, pool: &Shared<T>, panics: &mut Panics) {
        let rest = *self.rest.take().unwrap_or_default();
        if self.changed {
            pool.measure(&rest.removed);
        }
        let old = rest.sent.wake();
        pool.listeners.deliver();
        for change in rest.record.iter().flat_map(|record| &record.changes) {
            if let Change::Removed { id, reason } = change {
                let told = || {
                    let hash = pool.hash(id);
                    if pool.is_traced(hash) {
                        pool.befell(hash, id, Befallen::removed(reason.as_str()));
                    }
                };
                panics.put_off(told);
            }
        }
        panics.put_off(|| drop(rest.record));
        for (hash, id, reason) in rest.left {
            pool.befell(hash, &id, Befallen::removed(reason.as_str()));
            panics.put_off(|| drop(id));
        }
        for old in old {
            panics.put_off(|| drop(old));
        }
        for version in rest.versions {
            panics.put_off(|| drop(version));
        }
        for id in rest.ids {
            panics.put_off(|| drop(id));
        }
        for (_, entry) in rest.entries.into_iter().flat_map(Entries::into_entries) {
            panics.put_off(|| drop(entry.version));
            panics.put_off(|| drop(entry.id));
        }
        for overtook in rest.overtook {
            panics.put_off(|| drop(overtook));
        }
        for note in rest.absences {
            panics.put_off(|| drop(note));
        }
        for note in rest.failures {
            panics.put_off(|| drop(note));
        }
    }
}

impl<T: Entity> Default for Rest<T> {
    fn default() -> Self {
        Rest {
            changes: SmallVec::new(),
            old: Vec::new(),
            sent: Sent::default(),
            removed: [0; Reason::COUNT],
            versions: Vec::new(),
            ids: Vec::new(),
            left: Vec::new(),
            record: None,
            entries: Vec::new(),
            overtook: Vec::new(),
            absences: Vec::new(),
            failures: Vec::new(),
        }
    }
}
