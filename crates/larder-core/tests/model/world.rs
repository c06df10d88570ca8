//! What the worlds are made of. Written from the contract; of the crate they use the public API alone.

use std::sync::Arc;

use larder_core::sync::{AtomicU64, Mutex, Ordering};
use larder_core::{Cause, Clock, Entropy, Fence, Moment, Pin, Reason, Target, Timestamp};

/// Randomness that is the same in every schedule.
#[derive(Debug)]
pub(crate) struct Fixed;

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::try_from(index * 37 % 251).unwrap() | 1;
        }
    }
}

/// Time stands still, so that schedules repeat.
#[derive(Debug)]
pub(crate) struct Still;

impl Clock for Still {
    fn monotonic(&self) -> Moment {
        Moment::from_nanos(1)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }
}

/// A fence with few shards, so that targets meet in one.
pub(crate) fn fence() -> Fence {
    fence_of(2, 1_024)
}

pub(crate) fn fence_of(shards: usize, recent_count: usize) -> Fence {
    let builder = Fence::builder().shards(shards).recent_count(recent_count);
    builder
        .entropy(Arc::new(Fixed))
        .clock(Arc::new(Still))
        .build()
        .unwrap()
}

pub(crate) fn user(id: u32) -> Target {
    Target::entity("user", id).unwrap()
}

pub(crate) fn tag(name: &str) -> Target {
    Target::tag("default", name).unwrap()
}

pub(crate) fn by_hand() -> Cause {
    Cause::direct(Reason::default())
}

/// One row of a database, as a version, and the newest version whose invalidation has returned.
#[derive(Default)]
pub(crate) struct Row {
    version: AtomicU64,
    acknowledged: AtomicU64,
}

impl Row {
    /// Reads the committed version.
    pub(crate) fn load(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Commits the next version and returns it.
    pub(crate) fn commit(&self) -> u64 {
        self.version.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The invalidation of `version` has returned.
    pub(crate) fn acknowledge(&self, version: u64) {
        self.acknowledged.fetch_max(version, Ordering::SeqCst);
    }

    /// What a read that begins now must not fall below.
    pub(crate) fn least(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Commits, invalidates, acknowledges.
    pub(crate) fn write(&self, fence: &Fence, target: &Target) {
        let version = self.commit();
        fence.invalidate(target, by_hand());
        self.acknowledge(version);
    }
}

/// One place of a cache that stores whatever it is given, at any time, and judges when it is read.
#[derive(Default)]
pub(crate) struct Slot {
    entry: Mutex<Option<(u64, Pin)>>,
}

impl Slot {
    pub(crate) fn publish(&self, version: u64, pin: Pin) {
        let old = self.entry.lock().replace((version, pin));
        drop(old);
    }

    /// The version of the entry, if it is fresh.
    pub(crate) fn read(&self) -> Option<u64> {
        let entry = self.entry.lock();
        entry
            .as_ref()
            .filter(|(_, pin)| pin.is_fresh())
            .map(|(version, _)| *version)
    }

    pub(crate) fn evict(&self) {
        let old = self.entry.lock().take();
        drop(old);
    }
}

/// A read as services do it: from the slot if fresh, else loaded and published.
pub(crate) fn read_through(fence: &Fence, target: &Target, row: &Row, slot: &Slot) -> u64 {
    if let Some(version) = slot.read() {
        return version;
    }
    let pin = fence.pin(std::slice::from_ref(target)).unwrap();
    let version = row.load();
    slot.publish(version, pin);
    version
}
