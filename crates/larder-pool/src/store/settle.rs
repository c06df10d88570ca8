//! What many changes at once drive out, and how they end: room is made member by member, who leaves is marked until the
//! publication and taken out after it.

use std::collections::BTreeMap;

use larder_core::sync::RwLockWriteGuard;
use larder_memory::{Charge, SlotId};

use super::entry::{Entry, Phase, Place};
use super::ledger::Commit;
use super::shard::Shard;
use super::together::{Leaving, Prior, Work};
use crate::limits::STEP_ENTRIES;
use crate::{Entity, Reason};

impl<'a, T: Entity> Commit<'a, T> {
    /// Makes room for one value, and takes it: the shard that it goes to, and what its id stands for by then.
    pub(super) fn room_for(
        &mut self,
        at: usize,
        wanted: Charge,
        index: usize,
        work: &mut Work<T>,
    ) -> (RwLockWriteGuard<'a, Shard<T>>, Option<Prior>) {
        let pool = self.pool;
        let (mut from, mut own_is_empty) = (index, false);
        loop {
            let prior = work.priors[at];
            let mut shard = pool.shards.cell(index).write();
            let credit = prior.map(|prior| Charge::entry(shard.entries.charge(prior.place.slot)));
            let credit = credit.unwrap_or_default();
            if self.ledger.account.take(wanted.minus(credit)).is_ok() {
                self.ledger.account.give_back(credit.minus(wanted));
                return (shard, prior);
            }
            if from != index {
                drop(shard);
                shard = pool.shards.cell(from).write();
            }
            if self.is_anything_due() {
                drop(shard);
                if let Some(place) = self.expire_one(&mut usize::MAX.clone())
                    && let Some(other) = work.by_place.get(&place)
                {
                    work.priors[*other] = None;
                }
                continue;
            }
            own_is_empty |= !self.drive_out(&mut shard, from, at, work);
            if own_is_empty {
                from = self.next_shard();
            }
        }
    }

    /// Lets the policy of a shard choose one who leaves; false if there is none.
    pub(super) fn drive_out(
        &mut self,
        shard: &mut Shard<T>,
        index: usize,
        at: usize,
        work: &mut Work<T>,
    ) -> bool {
        // What this operation's value is to take the place of is not driven out for it.
        let keep = work.priors[at].filter(|prior| prior.place.is_in(index));
        let Shard { evictor, entries, .. } = &mut *shard;
        let Some(slot) = evictor.evict(entries, keep.map(|prior| prior.place.slot)) else {
            return false;
        };
        self.ledger.account.give_back(Charge::entry(entries.charge(slot)));
        let place = Place::new(index, slot);
        if let Some(number) = work.arrived.remove(&place) {
            self.drive_out_member(shard, place, number, work);
            return true;
        }
        if let Some(other) = work.by_place.get(&place) {
            work.priors[*other] = None;
        }
        work.evicted += 1;
        self.mark(shard, place, Leaving::Removed(Reason::Evicted), work);
        true
    }

    /// A member leaves before anybody has seen it; what it stood in the place of has been evicted, then.
    pub(super) fn drive_out_member(
        &mut self,
        shard: &mut Shard<T>,
        place: Place,
        number: usize,
        work: &mut Work<T>,
    ) {
        let Entry { id, mut version, .. } = shard.take(place.slot);
        self.ledger.untie(&mut version.life);
        self.waste.id(id);
        self.waste.version(version);
        work.members[number].place = None;
        let of_shard = work.leaving.get_mut(&place.shard()).into_iter().flatten();
        for (_, leaving) in of_shard {
            if matches!(leaving, Leaving::Superseded(by) if *by == number) {
                *leaving = Leaving::Removed(Reason::Evicted);
                work.evicted += 1;
            }
        }
    }

    /// After the publication: takes out who leaves and settles who has arrived.
    pub(super) fn settle_together(&mut self, work: &mut Work<T>) {
        let mut arrived: BTreeMap<usize, Vec<SlotId>> = BTreeMap::new();
        for place in work.members.iter().filter_map(|member| member.place) {
            arrived.entry(place.shard()).or_default().push(place.slot);
        }
        let mut touched: Vec<usize> = arrived.keys().copied().collect();
        for (index, leaving) in std::mem::take(&mut work.leaving) {
            touched.push(index);
            let mut leaving = leaving.into_iter().peekable();
            while leaving.peek().is_some() {
                let mut shard = self.pool.shards.cell(index).write();
                for (slot, how) in leaving.by_ref().take(STEP_ENTRIES) {
                    match how {
                        Leaving::Removed(reason) => self.take_out(&mut shard, slot, reason),
                        Leaving::Superseded(_) => self.take_out_superseded(&mut shard, slot),
                    }
                }
            }
        }
        for (index, slots) in arrived {
            for some in slots.chunks(STEP_ENTRIES) {
                let mut shard = self.pool.shards.cell(index).write();
                for slot in some {
                    shard.entries.set_phase(*slot, Phase::Settled);
                    self.tie(shard.entries.life_mut(*slot), Place::new(index, *slot));
                }
            }
        }
        for index in touched {
            self.pool.shards.cell(index).write().transit = 0;
        }
    }

    pub(super) fn take_out_superseded(&mut self, shard: &mut RwLockWriteGuard<'_, Shard<T>>, slot: SlotId) {
        let Entry {
            hash,
            id,
            mut version,
            ..
        } = shard.take(slot);
        self.ledger.untie(&mut version.life);
        self.waste.id(id);
        self.retire(shard, slot, hash, version);
    }
}
