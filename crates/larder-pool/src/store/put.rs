//! One value in: the rules of a store, and the steps that carry it out.

use std::sync::Arc;
use std::time::Duration;

use larder_core::sync::{Ordering, RwLockWriteGuard};
use larder_core::{Pin, Target};
use larder_memory::flight::Overtaken;
use larder_memory::{Charge, SlotId, prefetch};

use super::entry::{Place, Version};
use super::ledger::Commit;
use super::life::{Death, Life};
use super::room::Victims;
use super::shard::Shard;
use crate::limits::UNBOUNDED_CHARGE_MAX;
use crate::options::OnConflict;
use crate::shared::{Shared, deadline};
use crate::{Entity, FillRejection, Reason};

/// A value that is ready to be stored: whatever runs foreign code has run.
///
/// It belongs to the caller, who drops it when no lock is held. After it was stored it holds what it displaced.
pub(crate) struct Arrival<T: Entity> {
    pub(crate) hash: u64,
    /// What it will be charged, in bytes.
    pub(crate) charge: u64,
    /// The id and the value; none once they have gone into a slot of their own.
    pub(crate) named: Option<Named<T>>,
    /// Complete but for what the commit knows.
    pub(crate) life: Life,
    /// How long it may be read.
    pub(crate) time_to_live: Option<Duration>,
    /// What it depends on had not been invalidated up to `life.started`; else it counts as of its commit.
    pub(crate) is_as_of_before: bool,
    pub(crate) guard: Option<Box<Guard>>,
}

/// A value under its id.
pub(crate) struct Named<T: Entity> {
    pub(crate) id: T::Id,
    pub(crate) value: Arc<T>,
}

/// What few arrivals have.
pub(crate) struct Guard {
    /// If this is not fresh, the value is not stored. It holds the id's own target, and is not kept.
    pub(crate) pin: Option<Pin>,
    /// The target whose pins end when the id is written, if anybody may have taken one.
    pub(crate) written: Option<Target>,
}

/// Under which conditions a value is stored.
pub(crate) enum Rule<'r, T> {
    /// An insert of a caller.
    Insert(OnConflict<T>),
    /// Only in place of this live value.
    Swap(&'r Arc<T>),
    /// What a load brought: only if nothing overtook it, and in place of no live value but this one.
    Fill {
        overtaken: &'r Overtaken,
        renews: Option<&'r Arc<T>>,
    },
}

/// Why a value was not stored.
pub(crate) enum Refusal<T> {
    /// This live value is there.
    Resident(Arc<T>),
    /// This live value, or none, is there instead of the one that was to be replaced.
    Moved(Option<Arc<T>>),
    /// It would never fit.
    TooHeavy { capacity: u64 },
    /// It came too late.
    Late(FillRejection),
}

/// What the id stands for before the store.
#[derive(Clone, Copy)]
struct Prior {
    slot: SlotId,
    charge: u64,
    death: Option<Death>,
}

/// What is to be told of a store, if somebody listens.
enum Told<T> {
    Inserted(Arc<T>, Option<Arc<T>>),
    Updated(Arc<T>, Arc<T>),
    Nothing,
}

impl<T: Entity> Arrival<T> {
    /// The id of a value that was not stored yet.
    #[inline]
    pub(crate) fn id(&self) -> &T::Id {
        &self.named().id
    }

    /// The value, if it was not stored yet.
    #[inline]
    pub(crate) fn value(&self) -> &Arc<T> {
        &self.named().value
    }

    /// The value that was not stored.
    pub(crate) fn into_value(self) -> Arc<T> {
        let named = self.named.expect("invariant: what is refused stays");
        named.value
    }

    #[inline]
    fn named(&self) -> &Named<T> {
        let named = self.named.as_ref();
        named.expect("invariant: an arrival is stored once")
    }
}

impl<T: Entity> Shared<T> {
    /// Stores one value as a commit of its own.
    #[inline]
    pub(crate) fn put(&self, arrival: &mut Arrival<T>, rule: &Rule<'_, T>) -> Result<(), Refusal<T>> {
        self.commit(|commit| {
            let put = commit.put(arrival, rule);
            commit.reclaim();
            put
        })
    }
}

impl<'a, T: Entity> Commit<'a, T> {
    #[inline]
    fn put(&mut self, arrival: &mut Arrival<T>, rule: &Rule<'_, T>) -> Result<(), Refusal<T>> {
        let index = self.pool.shards.of(arrival.hash);
        let mut shard = self.pool.shards.cell(index).write();
        shard.evictor.expect_arrival(arrival.hash);
        let prior = self.prior(&shard, arrival);
        self.check(&shard, prior, arrival, rule)?;
        self.bound_charge(arrival);
        let wanted = Charge::entry(arrival.charge);
        if !self.ledger.account.could_hold(wanted) {
            self.supersede(shard, prior);
            self.written(arrival, rule);
            let capacity = self.ledger.account.bounds().bytes;
            return Err(Refusal::TooHeavy { capacity });
        }
        let credit = prior.map_or(Charge::default(), |prior| Charge::entry(prior.charge));
        if self.ledger.account.take(wanted.minus(credit)).is_ok() {
            let told = self.place(&mut shard, index, prior, arrival, rule);
            self.publish();
            drop(shard);
            self.tell(told);
        } else {
            self.put_with_victims(index, shard, prior, arrival, rule);
        }
        self.written(arrival, rule);
        Ok(())
    }

    /// A value has come in, and whoever looks for its id finds it: what is known of the id beside it is over. Unless a load
    /// brought it, whoever loads the id now must not store what it brings, and who has pinned it neither.
    #[inline]
    fn written(&mut self, arrival: &Arrival<T>, rule: &Rule<'_, T>) {
        if !matches!(rule, Rule::Fill { .. }) {
            self.overtake(arrival);
        }
        self.forget_notes(arrival.hash);
    }

    /// The rest of [`Commit::put`] where there is no room.
    #[inline(never)]
    fn put_with_victims(
        &mut self,
        index: usize,
        shard: RwLockWriteGuard<'a, Shard<T>>,
        prior: Option<Prior>,
        arrival: &mut Arrival<T>,
        rule: &Rule<'_, T>,
    ) {
        let wanted = Charge::entry(arrival.charge);
        let credit = prior.map_or(Charge::default(), |prior| Charge::entry(prior.charge));
        let own = prior.map(|prior| Place::new(index, prior.slot));
        let mut victims = Victims::default();
        let (mut shard, own_is_gone) = self.clear_room(wanted, credit, index, shard, own, &mut victims);
        let prior = prior.filter(|_| !own_is_gone);
        self.settle_own(&mut shard, index, &victims);
        let told = self.place(&mut shard, index, prior, arrival, rule);
        shard.expect_next();
        if victims.are_all_of(index) {
            self.publish();
            drop(shard);
        } else {
            self.publish_batch();
            drop(shard);
            self.settle_elsewhere(index, &victims);
        }
        self.tell(told);
        // What was displaced is dropped beside the victims, where a panic of one does not meet that of another.
        if let Some(Named { id, value }) = arrival.named.take() {
            let life = std::mem::take(&mut arrival.life);
            self.waste.id(id);
            self.waste.version(Version { value, life });
        }
    }

    #[inline]
    fn prior(&self, shard: &Shard<T>, arrival: &Arrival<T>) -> Option<Prior> {
        let slot = shard.find_settled(arrival.hash, arrival.id())?;
        // Both will be needed soon: their lines come while the other things are looked at.
        shard.entries.expect_cold(slot);
        prefetch(&**shard.entries.value(slot));
        Some(Prior {
            slot,
            charge: shard.entries.charge(slot),
            death: shard.entries.death(slot, &self.judge()),
        })
    }

    /// Whether the rule allows it, and the fence.
    #[inline]
    fn check(
        &self,
        shard: &Shard<T>,
        prior: Option<Prior>,
        arrival: &Arrival<T>,
        rule: &Rule<'_, T>,
    ) -> Result<(), Refusal<T>> {
        let live = prior.filter(|prior| prior.death.is_none());
        if let Rule::Fill { overtaken, renews } = rule {
            return self.check_fill(shard, live, arrival, overtaken, *renews);
        }
        let live = live.map(|prior| shard.entries.value(prior.slot));
        match (rule, live) {
            (Rule::Insert(OnConflict::Reject), Some(live)) => {
                return Err(Refusal::Resident(Arc::clone(live)));
            }
            (Rule::Swap(seen), live) if !live.is_some_and(|live| Arc::ptr_eq(live, seen)) => {
                return Err(Refusal::Moved(live.cloned()));
            }
            _ => {}
        }
        if self.is_fresh(arrival) {
            Ok(())
        } else {
            Err(Refusal::Late(FillRejection::Fenced))
        }
    }

    /// Whether what a load brought may be stored. What is live stays, unless it is what the load set out to renew, or must
    /// not be believed.
    fn check_fill(
        &self,
        shard: &Shard<T>,
        live: Option<Prior>,
        arrival: &Arrival<T>,
        overtaken: &Overtaken,
        renews: Option<&Arc<T>>,
    ) -> Result<(), Refusal<T>> {
        if let Some(live) = live {
            let value = shard.entries.value(live.slot);
            let stored = shard.entries.life(live.slot).stored;
            let is_renewed = renews.is_some_and(|old| Arc::ptr_eq(old, value));
            if !is_renewed && self.pool.believes(&self.judge()).allows(stored) {
                return Err(Refusal::Resident(Arc::clone(value)));
            }
        }
        if overtaken.is_set() {
            return Err(Refusal::Late(FillRejection::Overtaken));
        }
        if !self.is_fresh(arrival) {
            return Err(Refusal::Late(FillRejection::Fenced));
        }
        Ok(())
    }

    /// Whether nothing that the value depends on was invalidated since it was read. Decided under the commit lock, under
    /// which invalidations of the id's own target remove the entry: either this sees them, or they find the entry.
    #[inline]
    pub(super) fn is_fresh(&self, arrival: &Arrival<T>) -> bool {
        if !arrival.is_as_of_before {
            return true;
        }
        let pin = arrival.guard.as_ref().and_then(|guard| guard.pin.as_ref());
        pin.is_none_or(Pin::is_fresh) && self.pool.base.unchanged_since(arrival.life.started)
    }

    /// A value that is too heavy is not stored, and an older one of its id must not outlive it.
    #[cold]
    fn supersede(&mut self, mut shard: RwLockWriteGuard<'_, Shard<T>>, prior: Option<Prior>) {
        let Some(prior) = prior else { return };
        let reason = prior.death.map_or(Reason::Superseded, Death::reason);
        shard.forget(prior.slot);
        self.take_out(&mut shard, prior.slot, reason);
        self.ledger.account.give_back(Charge::entry(prior.charge));
        self.publish();
    }

    /// Puts the value into a slot of its own, or where the prior one is; there is room.
    #[inline]
    fn place(
        &mut self,
        shard: &mut RwLockWriteGuard<'_, Shard<T>>,
        index: usize,
        prior: Option<Prior>,
        arrival: &mut Arrival<T>,
        rule: &Rule<'_, T>,
    ) -> Told<T> {
        self.complete(arrival);
        match prior {
            None => {
                let told = if self.waste.is_heard() {
                    Told::Inserted(Arc::clone(arrival.value()), None)
                } else {
                    Told::Nothing
                };
                self.ledger.totals.inserts += 1;
                let slot = shard.add(arrival);
                let Shard { evictor, entries, .. } = &mut **shard;
                evictor.insert(entries, slot);
                self.tie(entries.life_mut(slot), Place::new(index, slot));
                told
            }
            Some(prior) => {
                // What the old one took up beyond the new one.
                let freed = prior.charge.saturating_sub(arrival.charge);
                self.ledger.account.give_back(Charge {
                    entries: 0,
                    bytes: freed,
                });
                self.place_over(shard, index, prior, arrival, rule)
            }
        }
    }

    /// Puts the value where the prior one is, which goes into the arrival.
    #[inline]
    fn place_over(
        &mut self,
        shard: &mut RwLockWriteGuard<'_, Shard<T>>,
        index: usize,
        prior: Prior,
        arrival: &mut Arrival<T>,
        rule: &Rule<'_, T>,
    ) -> Told<T> {
        let slot = prior.slot;
        let Shard { evictor, entries, .. } = &mut **shard;
        evictor.overwrite(entries, slot, arrival.charge);
        entries.swap(slot, arrival);
        self.ledger.untie(&mut arrival.life);
        self.tie(entries.life_mut(slot), Place::new(index, slot));
        let told = self.told_over(entries.value(slot), arrival, prior.death, rule);
        if self.ledger.is_scanned(arrival.life.born, self.sequence)
            && let Some(Named { id, value }) = arrival.named.take()
        {
            let life = std::mem::take(&mut arrival.life);
            self.waste.id(id);
            self.retire(shard, slot, arrival.hash, Version { value, life });
        }
        told
    }

    /// Counts what was put in the place of another, and says what is to be told.
    #[inline]
    fn told_over(
        &mut self,
        new: &Arc<T>,
        old: &mut Arrival<T>,
        death: Option<Death>,
        rule: &Rule<'_, T>,
    ) -> Told<T> {
        if matches!(rule, Rule::Fill { renews: Some(seen), .. } if Arc::ptr_eq(seen, new)) {
            return Told::Nothing;
        }
        let conflict = match rule {
            Rule::Insert(conflict) => *conflict,
            Rule::Swap(_) => OnConflict::Update,
            Rule::Fill { .. } => self.pool.config.on_conflict,
        };
        let is_insert = death.is_some() || conflict == OnConflict::Replace;
        if is_insert {
            self.ledger.totals.inserts += 1;
        } else {
            self.ledger.totals.updates += 1;
        }
        if death.is_none() && !self.waste.is_heard() {
            return Told::Nothing;
        }
        let Some(Named { id, value }) = old.named.take() else {
            return Told::Nothing;
        };
        if let Some(death) = death {
            self.removed(old.hash, id, &value, death.reason());
            let life = std::mem::take(&mut old.life);
            self.waste.version(Version { value, life });
            return Told::Inserted(Arc::clone(new), None);
        }
        let heard = Arc::clone(&value);
        old.named = Some(Named { id, value });
        match (is_insert, self.waste.is_for_listeners()) {
            (false, _) => Told::Updated(Arc::clone(new), heard),
            (true, true) => Told::Inserted(Arc::clone(new), Some(heard)),
            (true, false) => Told::Inserted(Arc::clone(new), None),
        }
    }

    #[inline]
    fn tell(&mut self, told: Told<T>) {
        match told {
            Told::Nothing => {}
            Told::Inserted(new, old) => self.tell_inserted(&new, old.as_ref()),
            Told::Updated(new, old) => self.tell_updated(&new, &old),
        }
    }

    /// Whoever loads the id of a value that came in must not store what it brings, and who has pinned it neither.
    #[inline]
    pub(super) fn overtake(&mut self, arrival: &Arrival<T>) {
        let guard = arrival.guard.as_ref();
        self.end_pins(guard.and_then(|guard| guard.written.as_ref()));
        self.overtake_loads(arrival.hash);
    }

    /// Who has pinned an id that was written must not store what it reads. After the last change, so that whoever pins it
    /// later finds that.
    #[inline]
    pub(super) fn end_pins(&mut self, written: Option<&Target>) {
        match written {
            Some(written) => self.pool.fence.end_pins(written),
            // The first pin of all was taken after the writer had asked whether there are any: it may be on this id.
            None if self.pool.pins_taken.load(Ordering::SeqCst) => {
                self.pool.fence.end_pins(&self.pool.written_all());
            }
            None => {}
        }
    }

    /// Without a bound on bytes nothing keeps the sum of all charges from passing what can be counted, so that none may be
    /// more than its part of that: 4 GiB.
    #[inline]
    pub(super) fn bound_charge(&self, arrival: &mut Arrival<T>) {
        if arrival.charge > UNBOUNDED_CHARGE_MAX && self.ledger.account.bounds().bytes == u64::MAX {
            arrival.charge = UNBOUNDED_CHARGE_MAX;
        }
    }

    /// Completes an arrival with what this commit knows.
    #[inline]
    pub(super) fn complete(&mut self, arrival: &mut Arrival<T>) {
        let life = &mut arrival.life;
        life.born = self.sequence;
        life.generation = self.generation;
        if !arrival.is_as_of_before {
            life.started = self.pool.fence.stamp();
        }
        life.stored = self.stored();
        if let Some(time) = arrival.time_to_live {
            let time = self.pool.jittered(time, arrival.hash, self.sequence);
            life.deadline = deadline(self.now(), Some(time));
        }
    }
}
