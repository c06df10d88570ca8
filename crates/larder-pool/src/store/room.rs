//! Room: the expired leave first, then whom the policy chooses, until there is enough.
//!
//! Room is taken before a value is published, and who leaves for it stays readable until then.

use larder_core::Moment;
use larder_core::sync::RwLockWriteGuard;
use larder_memory::Charge;
use smallvec::SmallVec;

use super::entry::{Phase, Place};
use super::ledger::Commit;
use super::shard::Shard;
use crate::config::Reclaim;
use crate::limits::{STEP_ENTRIES, VICTIMS_AT_ONCE};
use crate::{Entity, Reason, SweepReport};

/// Steps of the wheel for each entry that may be taken out: a timer goes down seven times at most before it comes up.
const STEPS_FOR_EACH: usize = 8;

/// Entries that leave with the commit that is under way; their policies have let them go, and their room is given back.
#[derive(Default)]
pub(crate) struct Victims {
    places: SmallVec<[Place; 2]>,
}

impl Victims {
    pub(super) fn add(&mut self, place: Place) {
        self.places.push(place);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    #[inline]
    pub(super) fn are_all_of(&self, index: usize) -> bool {
        self.places.iter().all(|place| place.is_in(index))
    }

    /// The shards of those that are not in shard `index`, each once.
    fn shards_but(&self, index: usize) -> SmallVec<[usize; 2]> {
        let mut shards: SmallVec<[usize; 2]> = SmallVec::new();
        for shard in self.places.iter().map(Place::shard) {
            if shard != index && !shards.contains(&shard) {
                shards.push(shard);
            }
        }
        shards
    }
}

impl<'a, T: Entity> Commit<'a, T> {
    /// Makes room for what is `wanted` beyond the `credit` of the entry at `own`, which is not evicted, and takes it. The
    /// shard is let go meanwhile if need be. If the entry at `own` turns out to have expired, that is said, and room is
    /// taken for all that is wanted.
    pub(super) fn clear_room(
        &mut self,
        wanted: Charge,
        credit: Charge,
        index: usize,
        shard: RwLockWriteGuard<'a, Shard<T>>,
        own: Option<Place>,
        victims: &mut Victims,
    ) -> (RwLockWriteGuard<'a, Shard<T>>, bool) {
        let cell = self.pool.shards.cell(index);
        let (mut shard, mut own_is_gone, mut missing) = (shard, false, wanted.minus(credit));
        if self.is_anything_due() {
            drop(shard);
            let mut taken = false;
            while !taken && let Some(place) = self.expire_one(&mut usize::MAX.clone()) {
                if Some(place) == own {
                    (own_is_gone, missing) = (true, wanted);
                }
                taken = self.ledger.account.take(missing).is_ok();
            }
            shard = cell.write();
            if taken {
                return (shard, own_is_gone);
            }
        }
        let keep = own.filter(|_| !own_is_gone);
        if self.evict_from(&mut shard, index, keep, missing, victims, VICTIMS_AT_ONCE) {
            return (shard, own_is_gone);
        }
        // Who has been chosen so far stays readable while this shard is let go.
        self.mark_leaving(&mut shard, index, victims);
        drop(shard);
        self.evict_anywhere(index, keep, missing, victims);
        (cell.write(), own_is_gone)
    }

    /// Lets the policy of a shard choose up to `most` who leave. Whether there was room then, which is taken.
    fn evict_from(
        &mut self,
        shard: &mut Shard<T>,
        index: usize,
        keep: Option<Place>,
        missing: Charge,
        victims: &mut Victims,
        most: usize,
    ) -> bool {
        let keep = keep.filter(|place| place.is_in(index)).map(|place| place.slot);
        for _ in 0..most {
            if self.ledger.account.take(missing).is_ok() {
                return true;
            }
            let Shard { evictor, entries, .. } = shard;
            let Some(victim) = evictor.evict(entries, keep) else {
                return false;
            };
            self.ledger
                .account
                .give_back(Charge::entry(entries.charge(victim)));
            victims.add(Place::new(index, victim));
        }
        self.ledger.account.take(missing).is_ok()
    }

    /// Goes round the shards, a bounded number of entries under each lock, until there is room. Others than the own one
    /// give when that has nothing left.
    fn evict_anywhere(&mut self, index: usize, keep: Option<Place>, missing: Charge, victims: &mut Victims) {
        let mut at = index;
        loop {
            let before = victims.places.len();
            let mut shard = self.pool.shards.cell(at).write();
            let enough = self.evict_from(&mut shard, at, keep, missing, victims, STEP_ENTRIES);
            self.mark_leaving(&mut shard, at, victims);
            if enough {
                return;
            }
            if victims.places.len() == before {
                at = self.next_shard();
            }
        }
    }

    /// Round all shards that are in use.
    pub(super) fn next_shard(&mut self) -> usize {
        let next = self.ledger.next_shard % self.pool.shards.used();
        self.ledger.next_shard = next + 1;
        next
    }

    /// Marks the victims in a shard, so that readers see them until the publication and not after it.
    pub(super) fn mark_leaving(&self, shard: &mut Shard<T>, index: usize, victims: &Victims) {
        for place in victims.places.iter().filter(|place| place.is_in(index)) {
            shard.transit = self.sequence;
            shard.entries.set_phase(place.slot, Phase::Leaving);
        }
    }

    /// Takes the victims out of the shard that the caller holds until it has published.
    #[inline]
    pub(super) fn settle_own(
        &mut self,
        shard: &mut RwLockWriteGuard<'_, Shard<T>>,
        index: usize,
        victims: &Victims,
    ) {
        for place in victims.places.iter().filter(|place| place.is_in(index)) {
            self.take_out(shard, place.slot, Reason::Evicted);
        }
        shard.transit = 0;
    }

    /// Takes the victims out of the other shards, after the publication.
    pub(super) fn settle_elsewhere(&mut self, index: usize, victims: &Victims) {
        for other in victims.shards_but(index) {
            let mut shard = self.pool.shards.cell(other).write();
            self.settle_own(&mut shard, other, victims);
        }
    }

    /// Whether some deadline may have passed.
    #[inline]
    pub(super) fn is_anything_due(&self) -> bool {
        let due = self.ledger.wheel.next_due();
        due.is_some_and(|due| due <= self.now())
    }

    /// Takes out the next entry whose end has come, in at most `steps` steps, and gives back its room: where it was.
    pub(super) fn expire_one(&mut self, steps: &mut usize) -> Option<Place> {
        let (pool, now) = (self.pool, self.now());
        loop {
            let due = self.ledger.wheel.pop_due_within(now, steps)?;
            let place = due.entry;
            let mut shard = pool.shards.cell(place.shard()).write();
            let life = shard.entries.life_mut(place.slot);
            life.timer = None;
            let ends = pool.wheel_deadline(life);
            if ends > now {
                // It was used since: the timer follows only now.
                if ends != Moment::MAX {
                    life.timer = Some(self.ledger.wheel.schedule(place, ends));
                }
                continue;
            }
            let reason = life.end_reason(now);
            let charge = Charge::entry(shard.entries.charge(place.slot));
            shard.forget(place.slot);
            self.take_out(&mut shard, place.slot, reason);
            self.ledger.account.give_back(charge);
            return Some(place);
        }
    }

    /// Takes out up to `limit` entries whose end has come, in a number of steps of the wheel that `limit` bounds too.
    pub(crate) fn expire(&mut self, limit: usize) -> SweepReport {
        let most = limit.saturating_mul(STEPS_FOR_EACH);
        let mut left = most;
        let mut removed = 0;
        while removed < limit && self.expire_one(&mut left).is_some() {
            removed += 1;
        }
        SweepReport {
            removed,
            timers: most - left,
            is_cut_short: removed == limit || left == 0,
        }
    }

    /// What each write does for the expired, if the pool was told to.
    #[inline]
    pub(super) fn reclaim(&mut self) {
        if let Reclaim::EachWrite(limit) = self.pool.config.reclaim
            && self.is_anything_due()
        {
            self.expire(limit);
        }
    }
}
