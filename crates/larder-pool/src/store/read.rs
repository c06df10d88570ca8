//! Reads: one shard's lock, shared; no lock of the fence; no allocation.

use std::borrow::Borrow;
use std::sync::Arc;

use larder_core::sync::{Ordering, fence};
use larder_core::{Target, ToKey as _};
use larder_memory::SlotId;

use super::entry::{Entries, Phase};
use super::life::{Death, Judge};
use super::shard::{Shard, ShardCell};
use crate::fetch::Found;
use crate::loaded::Previous;
use crate::shared::{Believes, Shared};
use crate::{Entity, MissCause, Tier};

/// How often reads of several ids begin anew because a batch came in between, before they keep batches out.
const READS_ANEW_MAX: usize = 3;

/// What a read is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It counts as a use of the entry, and as a hit or a miss.
    Counted,
    /// It counts if there is a live entry. Who finds none asks again, which is counted.
    CountedIfLive,
    /// It leaves no trace.
    Untold,
}

impl<T: Entity> Shared<T> {
    /// The live value of an id, if it is found in the plainest way: counted, and nothing else to be asked or told.
    #[inline]
    pub(crate) fn hit<Q>(&self, hash: u64, id: &Q) -> Option<Arc<T>>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if !self.answers_plainly() {
            return None;
        }
        let (_, shard) = self.shards.read(hash);
        let hot = shard.find_hot(hash, id)?;
        let step = || shard.entries.step_at_most(self.clock.coarse());
        if !hot.is_surely_live(self.generation(), step) {
            return None;
        }
        let value = Arc::clone(hot.value());
        shard.evictor.hit(hot.uses());
        drop(shard);
        self.hits.raise();
        Some(value)
    }

    /// [`Shared::read`] for a caller who may be within a transaction: what that has invalidated is a miss to it, and stays what it is to all others.
    pub(crate) fn read_for_caller<Q>(&self, hash: u64, id: &Q, usage: Use) -> Result<Arc<T>, MissCause>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if !self.fence.is_in_transaction() {
            return self.read(hash, id, usage);
        }
        self.read_within(hash, id, usage)
    }

    #[cold]
    fn read_within<Q>(&self, hash: u64, id: &Q, usage: Use) -> Result<Arc<T>, MissCause>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let found = self.read_as(hash, id, usage, previous)?;
        self.unless_ended(found).ok_or(MissCause::Fenced)
    }

    /// A value that was found, unless a transaction that the caller is within has invalidated something that it depends on. It is asked for its id
    /// again, outside of all locks.
    fn unless_ended(&self, found: Previous<T>) -> Option<Arc<T>> {
        let Previous { value, targets } = found;
        let own = value.id().to_key().map(|key| self.entity_target(key));
        let mut depends: Vec<Target> = own.into_iter().chain(targets).collect();
        depends.push(self.namespace_target());
        (!self.fence.is_ended_in_transaction(&depends)).then_some(value)
    }

    /// The live value of an id.
    pub(crate) fn read<Q>(&self, hash: u64, id: &Q, usage: Use) -> Result<Arc<T>, MissCause>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.read_as(hash, id, usage, |entries, slot| Arc::clone(entries.value(slot)))
    }

    /// The live value of an id, with what is known about it.
    pub(crate) fn find<Q>(&self, hash: u64, id: &Q, usage: Use) -> Result<Found<T>, MissCause>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.read_as(hash, id, usage, found)
    }

    /// The value of an id whose time to live is over, if it is resident and nothing else is wrong with it.
    pub(crate) fn stale<Q>(&self, hash: u64, id: &Q) -> Option<Found<T>>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let judge = self.judge();
        let (_, shard) = self.shards.read(hash);
        let slot = shard.find(hash, id, &self.visible)?;
        let life = shard.entries.life(slot);
        let is_stale = judge.is_stale(life) && self.believes(&judge).allows(life.stored);
        is_stale.then(|| found(&shard.entries, slot))
    }

    /// The live value of an id, and what its entry depends on beside what all entries do.
    pub(crate) fn live<Q>(&self, hash: u64, id: &Q) -> Option<Previous<T>>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.read_as(hash, id, Use::Untold, previous).ok()
    }

    /// What a load of an id may renew: its live or stale entry.
    pub(crate) fn previous<Q>(&self, hash: u64, id: &Q) -> Option<Previous<T>>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let judge = self.judge();
        let (_, shard) = self.shards.read(hash);
        let slot = shard.find(hash, id, &self.visible)?;
        let life = shard.entries.life(slot);
        let is_right = judge.death(life).is_none() || judge.is_stale(life);
        let may_renew = is_right && self.believes(&judge).allows(life.stored);
        may_renew.then(|| previous(&shard.entries, slot))
    }

    /// What `seen` makes of the live entry of an id.
    #[inline]
    fn read_as<Q, R>(
        &self,
        hash: u64,
        id: &Q,
        usage: Use,
        seen: impl FnOnce(&Entries<T>, SlotId) -> R,
    ) -> Result<R, MissCause>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if usage != Use::Untold && self.exact_lru.load(Ordering::Relaxed) {
            return self.read_exactly(hash, id, usage, seen);
        }
        let judge = self.judge();
        let (cell, shard) = self.shards.read(hash);
        let answer = match shard.find(hash, id, &self.visible) {
            None => Err(MissCause::Absent),
            Some(slot) => {
                let hot = shard.entries.hot(slot);
                let answer = self.look(&shard, slot, &judge, usage);
                let answer = answer.map(|()| seen(&shard.entries, slot));
                if usage != Use::Untold && answer.is_ok() {
                    shard.evictor.hit(hot.uses());
                }
                answer
            }
        };
        drop(shard);
        self.count(cell, usage, answer.as_ref().err().copied());
        answer
    }

    /// Whether an entry may be read; if so, a use is noted where that is not the policy's.
    #[inline]
    fn look(&self, shard: &Shard<T>, slot: SlotId, judge: &Judge<'_>, usage: Use) -> Result<(), MissCause> {
        if let Some(death) = shard.entries.death(slot, judge) {
            return Err(death.into());
        }
        let believes = self.believes(judge);
        if believes != Believes::All && !believes.allows(shard.entries.life(slot).stored) {
            return Err(MissCause::Unsure);
        }
        if usage != Use::Untold {
            shard.entries.touch(slot, judge);
        }
        Ok(())
    }

    /// The same where each use changes the order of the policy.
    fn read_exactly<Q, R>(
        &self,
        hash: u64,
        id: &Q,
        usage: Use,
        seen: impl FnOnce(&Entries<T>, SlotId) -> R,
    ) -> Result<R, MissCause>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let judge = self.judge();
        let (cell, mut guard) = self.shards.write_for_use(hash);
        let found = guard.find(hash, id, &self.visible);
        let slot = found.ok_or(MissCause::Absent);
        let slot = slot.and_then(|slot| self.look(&guard, slot, &judge, usage).map(|()| slot));
        let answer = slot.map(|slot| {
            let Shard { evictor, entries, .. } = &mut *guard;
            // Its policy has let go of one who leaves with a commit that is not yet visible.
            if entries.phase(slot) != Phase::Leaving {
                evictor.hit_exclusive(entries, slot);
            }
            seen(entries, slot)
        });
        drop(guard);
        self.count(cell, usage, answer.as_ref().err().copied());
        answer
    }

    #[inline]
    fn count(&self, cell: &ShardCell<T>, usage: Use, missed: Option<MissCause>) {
        match usage {
            Use::Untold => return,
            Use::CountedIfLive if missed.is_some() => return,
            Use::Counted | Use::CountedIfLive => {}
        }
        if self.config.stats {
            match missed {
                None => self.hits.raise(),
                Some(cause) => {
                    cell.misses[cause.index()].fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if self.metrics.is_some() {
            self.report_read(missed);
        }
    }

    #[cold]
    fn report_read(&self, missed: Option<MissCause>) {
        self.report(|metrics, name| match missed {
            None => metrics.hit(name, Tier::Memory),
            Some(cause) => metrics.miss(name, cause),
        });
    }

    /// The live values of several ids, with their hashes: no part of a batch without the rest of it. Each counts once. Within a transaction, without
    /// those that it has invalidated.
    pub(crate) fn read_many<Q>(&self, ids: &[(u64, &Q)]) -> Vec<Option<Arc<T>>>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if !self.fence.is_in_transaction() {
            return self.read_many_as(ids, |entries, slot| Arc::clone(entries.value(slot)));
        }
        let found = self.read_many_as(ids, previous).into_iter();
        found
            .map(|found| found.and_then(|found| self.unless_ended(found)))
            .collect()
    }

    /// What `seen` makes of the live entries of several ids.
    fn read_many_as<Q, R>(&self, ids: &[(u64, &Q)], seen: impl Fn(&Entries<T>, SlotId) -> R) -> Vec<Option<R>>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let read = |hash: u64, id: &Q, usage| self.read_as(hash, id, usage, &seen).ok();
        let mut usage = Use::Counted;
        for _ in 0..READS_ANEW_MAX {
            // A batch stores its sequence here before it becomes visible.
            let before = self.batches.load(Ordering::Acquire);
            if self.visible.load(Ordering::Acquire) < before {
                std::hint::spin_loop();
                continue;
            }
            let values: Vec<Option<R>> = ids.iter().map(|(hash, id)| read(*hash, id, usage)).collect();
            usage = Use::Untold;
            // Whoever has seen something of a batch sees its sequence here.
            fence(Ordering::Acquire);
            if self.batches.load(Ordering::Relaxed) == before {
                return values;
            }
        }
        // While this is held there are no batches. Whoever is told figures is told them after it.
        let ledger = self.ledger.lock();
        let values = ids.iter().map(|(hash, id)| read(*hash, id, Use::Untold));
        let values = values.collect();
        drop(ledger);
        if usage == Use::Counted {
            for (hash, id) in ids {
                drop(self.read(*hash, *id, usage));
            }
        }
        values
    }
}

/// An entry with what it depends on.
fn previous<T: Entity>(entries: &Entries<T>, slot: SlotId) -> Previous<T> {
    let extra = entries.life(slot).extra.as_deref();
    Previous {
        value: Arc::clone(entries.value(slot)),
        targets: extra.map(|extra| extra.targets.clone()).unwrap_or_default(),
    }
}

/// An entry with what is known about it.
fn found<T: Entity>(entries: &Entries<T>, slot: SlotId) -> Found<T> {
    let life = entries.life(slot);
    Found {
        value: Arc::clone(entries.value(slot)),
        origin: life.origin,
        stored: life.stored,
        deadline: life.deadline,
        is_resident: true,
    }
}

impl From<Death> for MissCause {
    fn from(death: Death) -> Self {
        match death {
            Death::Expired => MissCause::Expired,
            Death::Idle => MissCause::Idle,
            Death::Fenced => MissCause::Fenced,
        }
    }
}
