//! Who is registered with a fence: journals, drop hooks and sinks, and the types behind the names of entities.
//!
//! Journals and hooks are called on the way out of every invalidation, so each shard keeps a copy of their list
//! and reads it under the lock that it holds anyway. A copy is set under that lock: whoever is registered hears
//! of every invalidation that the shard sees afterwards, and finds the earlier ones in the ring.

use std::any::TypeId;
use std::collections::HashMap;

use super::attached::{Attached, AttachedToShard, DropHook};
use super::journal::{Journal, Raised};
use super::shared::Shared;
use super::stamp::Stamp;
use crate::limits::{DROP_HOOKS_MAX, SINKS_MAX};
use crate::name::EntityName;
use crate::source::Sink;
use crate::sync::Arc;
use crate::target::TargetHash;

/// The lists as registered.
#[derive(Default)]
pub(super) struct Registered {
    pub(super) list: Attached,
    pub(super) sinks: Vec<(u64, Arc<dyn Sink>)>,
    /// The type behind each name of an entity that is in use, and how often it is.
    names: HashMap<EntityName, (TypeId, usize)>,
    next: u64,
}

impl Registered {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Shared {
    /// Adds a journal. The shards do not know yet.
    pub(super) fn add_journal(&self, journal: Arc<dyn Journal>) -> u64 {
        let mut registered = self.attached.lock();
        let number = registered.number();
        registered.list.journals.push((number, journal));
        number
    }

    /// Gives every shard the lists as they are.
    pub(super) fn spread_attached(&self) {
        // Held throughout, so that an older list is never spread over a newer one.
        let registered = self.attached.lock();
        let (list, mut old) = (Arc::new(registered.list.clone()), Vec::new());
        self.each_shard(|shard| old.push(std::mem::replace(&mut shard.attached, registered.copy(&list))));
        drop(registered);
        // Dropped without a lock: it may hold the last reference to somebody's hook.
        drop(old);
    }

    /// Makes the shards know a new journal, and tells it what they have seen before.
    pub(super) fn catch_up(&self, journal: &dyn Journal) {
        // Every stamp up to this one was given out under the lock of a shard that is visited after it.
        let before = self.now();
        let mut entries = Vec::new();
        let mut dropped = Stamp::ZERO;
        let mut old = Vec::new();
        let registered = self.attached.lock();
        let list = Arc::new(registered.list.clone());
        self.each_shard(|shard| {
            entries.extend(shard.ring.iter().cloned());
            dropped = dropped.max(shard.dropped);
            old.push(std::mem::replace(&mut shard.attached, registered.copy(&list)));
        });
        drop(registered);
        drop(old);
        let mut told: Vec<Raised> = Vec::with_capacity(entries.len() + 2);
        if dropped > Stamp::ZERO {
            told.push(Raised::Target {
                hash: TargetHash::EVERYTHING,
                stamp: dropped,
                commit: None,
            });
        }
        told.extend(entries.iter().map(|entry| self.told(entry)));
        // What is neither in a ring nor at most `dropped` does not exist, so up to `before` nothing is missing.
        told.push(Raised::Skipped {
            first: Stamp::of_clock(1),
            last: before,
        });
        journal.raised(&told);
    }

    /// Adds a drop hook, if there is room for one more. The shards do not know yet.
    pub(super) fn add_hook(&self, hook: Arc<dyn DropHook>) -> Option<u64> {
        let mut registered = self.attached.lock();
        if registered.list.hooks.len() >= DROP_HOOKS_MAX {
            return None;
        }
        let number = registered.number();
        registered.list.hooks.push((number, hook));
        Some(number)
    }

    pub(super) fn add_sink(&self, sink: Arc<dyn Sink>) -> Option<u64> {
        let mut registered = self.attached.lock();
        if registered.sinks.len() >= SINKS_MAX {
            return None;
        }
        let number = registered.number();
        registered.sinks.push((number, sink));
        Some(number)
    }

    /// Whether `name` stands for no other type than `of`; if so, it does until it is given back.
    pub(super) fn claim_name(&self, name: &EntityName, of: TypeId) -> bool {
        let mut registered = self.attached.lock();
        let (known, times) = registered.names.entry(name.clone()).or_insert((of, 0));
        let free = *known == of;
        if free {
            *times += 1;
        }
        free
    }

    /// Gives a claimed name back.
    pub(super) fn give_back_name(&self, name: &EntityName) {
        let mut registered = self.attached.lock();
        if let Some((_, times)) = registered.names.get_mut(name) {
            *times -= 1;
            if *times == 0 {
                registered.names.remove(name);
            }
        }
    }

    /// Takes a registration off every list.
    pub(super) fn detach(&self, number: u64) {
        let mut registered = self.attached.lock();
        let list = &mut registered.list;
        let journals: Vec<_> = list
            .journals
            .extract_if(.., |(other, _)| *other == number)
            .collect();
        let hooks: Vec<_> = list.hooks.extract_if(.., |(other, _)| *other == number).collect();
        let sinks: Vec<_> = registered
            .sinks
            .extract_if(.., |(other, _)| *other == number)
            .collect();
        drop(registered);
        if !(journals.is_empty() && hooks.is_empty()) {
            self.spread_attached();
        }
        drop((journals, hooks, sinks));
    }
}

impl Registered {
    /// The list for one shard, behind a count of the shard's own: invalidations in different shards share no line.
    fn copy(&self, list: &Arc<Attached>) -> Option<Arc<AttachedToShard>> {
        (!self.list.is_empty()).then(|| Arc::new(AttachedToShard(Arc::clone(list))))
    }
}
