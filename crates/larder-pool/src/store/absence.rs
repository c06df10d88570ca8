//! What the source does not have: noted beside the entries, under the commit lock, so that it never outlives a write.

use std::sync::Arc;

use larder_core::Moment;
use larder_memory::Charge;
use larder_memory::flight::Overtaken;

use super::entry::Phase;
use super::ledger::Commit;
use super::life::Death;
use crate::fetch::Absence;
use crate::shared::Shared;
use crate::{Entity, Reason};

impl<T: Entity> Shared<T> {
    /// Takes out the entry whose value the source no longer has, and notes its absence until the moment given: both only
    /// if nothing has overtaken the load that found out; whether that is so.
    pub(crate) fn store_absence(
        &self,
        hash: u64,
        absence: Absence,
        note: Option<(T::Id, Moment)>,
        previous: Option<&Arc<T>>,
        overtaken: &Overtaken,
    ) -> bool {
        let mut left = Some((absence, note));
        let mut is_fresh = false;
        let gone = self.commit(|commit| {
            let (absence, _) = left.as_ref()?;
            if overtaken.is_set() || !absence.is_fresh(self) {
                return None;
            }
            is_fresh = true;
            if let Some(previous) = previous {
                commit.take_gone(hash, previous);
            }
            let (absence, note) = left.take()?;
            let (id, until) = note?;
            Some(self.absences.write(hash, id, until, absence))
        });
        // Both hold what is foreign, and are dropped here, without a lock.
        drop((gone, left));
        is_fresh
    }
}

impl<T: Entity> Commit<'_, T> {
    /// Takes out an entry if it still stands for this value.
    fn take_gone(&mut self, hash: u64, value: &Arc<T>) {
        let mut shard = self.pool.shards.cell(self.pool.shards.of(hash)).write();
        let entries = &shard.entries;
        let is = |slot| entries.phase(slot) == Phase::Settled && Arc::ptr_eq(entries.value(slot), value);
        let Some(slot) = shard.find_by(hash, is) else {
            return;
        };
        let charge = Charge::entry(shard.entries.charge(slot));
        let death = shard.entries.death(slot, &self.judge());
        shard.forget(slot);
        self.take_out(&mut shard, slot, death.map_or(Reason::Deleted, Death::reason));
        self.ledger.account.give_back(charge);
        self.publish();
        drop(shard);
        self.forget_notes(hash);
    }
}
