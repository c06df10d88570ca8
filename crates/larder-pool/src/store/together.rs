//! Many changes that become visible at once.
//!
//! New entries are put beside the old ones, in slots of their own, and the old ones are marked; one store of the sequence
//! then turns every reader from the one side to the other; then the old ones are taken out. Ids are looked up before
//! the first change, so that a panic in the `Eq` of an id leaves everything as it was.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use larder_core::Target;
use larder_core::sync::{Ordering, RwLockWriteGuard, fence};
use larder_memory::flight::Overtaken;
use larder_memory::{Charge, SlotId};

use super::entry::{Entry, Phase, Place};
use super::ledger::Commit;
use super::life::Death;
use super::put::{Arrival, Refusal};
use super::shard::Shard;
use crate::limits::STEP_ENTRIES;
use crate::options::OnConflict;
use crate::shared::Shared;
use crate::{Entity, FillRejection, Reason};

/// One change of many. Their ids differ.
pub(crate) enum Operation<T: Entity> {
    Put {
        arrival: Arrival<T>,
        rule: EachRule<T>,
    },
    Take {
        id: T::Id,
        hash: u64,
        reason: Reason,
        /// The target whose pins end with it, if anybody may have taken one.
        written: Option<Target>,
    },
}

/// Under which conditions one of many values is stored.
pub(crate) enum EachRule<T> {
    /// An insert of a caller: all of the batch, or nothing.
    Insert(OnConflict<T>),
    /// Only where the id stands for exactly this live value, or for none; else nothing of the batch.
    Seen(Option<Arc<T>>),
    /// What a load brought: left out if something overtook it, or a live value is there.
    Fill { overtaken: Overtaken },
}

/// What came of many changes.
pub(crate) struct Together<T> {
    /// For each operation: whether it was left out, and why.
    pub(crate) left_out: Vec<Option<Refusal<T>>>,
    /// For each operation that removes: whether the id was live.
    pub(crate) was_live: Vec<bool>,
    pub(crate) inserted: usize,
    pub(crate) updated: usize,
    pub(crate) removed: usize,
    pub(crate) evicted: usize,
    pub(crate) sequence: u64,
}

/// Why nothing of a batch was done.
pub(crate) enum Stopped {
    /// These operations meet live entries.
    Conflicts(Vec<usize>),
    /// This operation's value would never fit.
    TooHeavy { at: usize, capacity: u64 },
    /// An entry is not what was seen.
    Moved,
}

/// What an operation's id stands for before it.
#[derive(Clone, Copy)]
struct Prior {
    place: Place,
    death: Option<Death>,
}

/// How an entry leaves.
enum Leaving {
    Removed(Reason),
    /// The member with this number stands in its place.
    Superseded(usize),
}

/// A value that was put in.
struct Member<T> {
    value: Arc<T>,
    /// Where it is; none if another member has driven it out again.
    place: Option<Place>,
    /// The live value before it.
    old: Option<Arc<T>>,
    /// Whether that is told.
    tells_old: bool,
}

/// The work so far.
struct Work<T> {
    priors: Vec<Option<Prior>>,
    /// The operations whose ids these places stand for.
    by_place: HashMap<Place, usize>,
    leaving: BTreeMap<usize, Vec<(SlotId, Leaving)>>,
    members: Vec<Member<T>>,
    arrived: HashMap<Place, usize>,
    evicted: usize,
}

impl<T: Entity> Shared<T> {
    /// Carries out all of them as one commit, or none. The caller drops them when this has returned.
    pub(crate) fn together(&self, operations: &mut [Operation<T>]) -> Result<Together<T>, Stopped> {
        self.commit(|commit| {
            let priors = commit.priors(operations);
            commit.check_all(operations, &priors)?;
            let together = commit.together(operations, priors);
            commit.written_together(operations);
            commit.reclaim();
            Ok(together)
        })
    }
}

impl<'a, T: Entity> Commit<'a, T> {
    /// Everything has come in: as [`Commit::put`] does it for one value.
    fn written_together(&mut self, operations: &[Operation<T>]) {
        // Whoever counts as loading from here on sees what was published.
        fence(Ordering::SeqCst);
        for operation in operations {
            match operation {
                Operation::Put {
                    rule: EachRule::Fill { .. },
                    ..
                } => {}
                Operation::Put { arrival, .. } => self.overtake(arrival),
                Operation::Take { hash, written, .. } => {
                    self.end_pins(written.as_ref());
                    self.overtake_loads(*hash);
                }
            }
            self.forget_notes(operation.hash());
        }
    }

    /// Looks up every id.
    fn priors(&self, operations: &[Operation<T>]) -> Vec<Option<Prior>> {
        let shards = &self.pool.shards;
        let prior = |operation: &Operation<T>| {
            let (id, hash) = operation.id();
            let index = shards.of(hash);
            let shard = shards.cell(index).read();
            let slot = shard.find_settled(hash, id)?;
            Some(Prior {
                place: Place::new(index, slot),
                death: shard.entries.death(slot, &self.judge()),
            })
        };
        operations.iter().map(prior).collect()
    }

    /// Whether all of it may be done.
    fn check_all(&self, operations: &[Operation<T>], priors: &[Option<Prior>]) -> Result<(), Stopped> {
        let mut conflicts = Vec::new();
        for (at, (operation, prior)) in operations.iter().zip(priors).enumerate() {
            let Operation::Put { arrival, rule } = operation else {
                continue;
            };
            let live = prior.filter(|prior| prior.death.is_none());
            match rule {
                EachRule::Insert(OnConflict::Reject) if live.is_some() => conflicts.push(at),
                EachRule::Seen(seen) => {
                    let now = live.map(|prior| self.value_at(prior.place));
                    if now.as_ref().map(Arc::as_ptr) != seen.as_ref().map(Arc::as_ptr) {
                        return Err(Stopped::Moved);
                    }
                }
                _ => {}
            }
            let is_fill = matches!(rule, EachRule::Fill { .. });
            if !is_fill && !self.ledger.account.could_hold(Charge::entry(arrival.charge)) {
                let capacity = self.ledger.account.bounds().bytes;
                return Err(Stopped::TooHeavy { at, capacity });
            }
        }
        if conflicts.is_empty() {
            Ok(())
        } else {
            Err(Stopped::Conflicts(conflicts))
        }
    }

    fn is_believed(&self, place: Place) -> bool {
        let shard = self.pool.shards.cell(place.shard()).read();
        let stored = shard.entries.life(place.slot).stored;
        self.pool.believes(&self.judge()).allows(stored)
    }

    fn value_at(&self, place: Place) -> Arc<T> {
        let shard = self.pool.shards.cell(place.shard()).read();
        Arc::clone(shard.entries.value(place.slot))
    }

    fn together(&mut self, operations: &mut [Operation<T>], priors: Vec<Option<Prior>>) -> Together<T> {
        let places = priors.iter().enumerate();
        let by_place = places
            .filter_map(|(at, prior)| Some(((*prior)?.place, at)))
            .collect();
        let mut work = Work {
            priors,
            by_place,
            leaving: BTreeMap::new(),
            members: Vec::new(),
            arrived: HashMap::new(),
            evicted: 0,
        };
        let mut together = Together {
            left_out: Vec::with_capacity(operations.len()),
            was_live: Vec::with_capacity(operations.len()),
            inserted: 0,
            updated: 0,
            removed: 0,
            evicted: 0,
            sequence: self.sequence,
        };
        for (at, operation) in operations.iter_mut().enumerate() {
            let live = work.priors[at].is_some_and(|prior| prior.death.is_none());
            let left_out = match operation {
                Operation::Put { arrival, rule } => self.put_one(at, arrival, rule, &mut work),
                Operation::Take { reason, .. } => {
                    together.removed += usize::from(live);
                    self.take_one(at, *reason, &mut work);
                    None
                }
            };
            together.left_out.push(left_out);
            together.was_live.push(live);
        }
        if !work.leaving.is_empty() || work.members.iter().any(|member| member.place.is_some()) {
            self.publish_batch();
            self.settle_together(&mut work);
        }
        together.evicted = work.evicted;
        // Of the last commit before, if there was nothing to do.
        together.sequence = self.ledger.sequence;
        for member in work.members.into_iter().filter(|member| member.place.is_some()) {
            match member.old {
                Some(old) if member.tells_old => {
                    together.updated += 1;
                    self.ledger.totals.updates += 1;
                    self.tell_updated(&member.value, &old);
                }
                old => {
                    together.inserted += 1;
                    self.ledger.totals.inserts += 1;
                    self.tell_inserted(&member.value, old.as_ref());
                }
            }
        }
        together
    }

    fn take_one(&mut self, at: usize, reason: Reason, work: &mut Work<T>) {
        let Some(prior) = work.priors[at].take() else {
            return;
        };
        let reason = prior.death.map_or(reason, Death::reason);
        let mut shard = self.pool.shards.cell(prior.place.shard()).write();
        shard.forget(prior.place.slot);
        let charge = Charge::entry(shard.entries.charge(prior.place.slot));
        self.mark(&mut shard, prior.place, Leaving::Removed(reason), work);
        self.ledger.account.give_back(charge);
    }

    /// Marks an entry, which its policy has let go, as leaving with this commit. Its timer is off: should its end have come,
    /// it is not taken out a second time to make room for another member.
    fn mark(&mut self, shard: &mut Shard<T>, place: Place, leaving: Leaving, work: &mut Work<T>) {
        if let Some(timer) = shard.entries.life_mut(place.slot).timer.take() {
            self.ledger.wheel.cancel(timer);
        }
        shard.transit = self.sequence;
        shard.entries.set_phase(place.slot, Phase::Leaving);
        let of_shard = work.leaving.entry(place.shard()).or_default();
        of_shard.push((place.slot, leaving));
    }

    /// Puts one value beside what is there, unless its rule leaves it out.
    fn put_one(
        &mut self,
        at: usize,
        arrival: &mut Arrival<T>,
        rule: &EachRule<T>,
        work: &mut Work<T>,
    ) -> Option<Refusal<T>> {
        let wanted = Charge::entry(arrival.charge);
        if let EachRule::Fill { overtaken } = rule
            && let Some(refusal) = self.refuse_fill(arrival, overtaken, work.priors[at])
        {
            if matches!(refusal, Refusal::TooHeavy { .. }) {
                // An older value must not outlive this one.
                self.take_one(at, Reason::Superseded, work);
            }
            return Some(refusal);
        }
        let index = self.pool.shards.of(arrival.hash);
        let (mut shard, prior) = self.room_for(at, wanted, index, work);
        self.complete(arrival);
        let value = Arc::clone(arrival.value());
        let slot = shard.add(arrival);
        shard.transit = self.sequence;
        shard.entries.set_phase(slot, Phase::Arriving);
        let place = Place::new(index, slot);
        let number = work.members.len();
        let mut old = None;
        let Shard { evictor, entries, .. } = &mut *shard;
        match prior {
            None => evictor.insert(entries, slot),
            Some(prior) => {
                evictor.succeed(entries, prior.place.slot, slot);
                let leaving = match prior.death {
                    Some(death) => Leaving::Removed(death.reason()),
                    None => {
                        old = Some(Arc::clone(entries.value(prior.place.slot)));
                        Leaving::Superseded(number)
                    }
                };
                self.mark(&mut shard, prior.place, leaving, work);
            }
        }
        drop(shard);
        work.arrived.insert(place, number);
        work.members.push(Member {
            value,
            place: Some(place),
            old,
            tells_old: self.tells_old(rule),
        });
        None
    }

    fn tells_old(&self, rule: &EachRule<T>) -> bool {
        match rule {
            EachRule::Insert(conflict) => *conflict != OnConflict::Replace,
            EachRule::Seen(_) => true,
            EachRule::Fill { .. } => self.pool.config.on_conflict != OnConflict::Replace,
        }
    }

    /// Why what a load brought is left out.
    fn refuse_fill(
        &self,
        arrival: &Arrival<T>,
        overtaken: &Overtaken,
        prior: Option<Prior>,
    ) -> Option<Refusal<T>> {
        let believed = prior.filter(|prior| prior.death.is_none() && self.is_believed(prior.place));
        if let Some(prior) = believed {
            return Some(Refusal::Resident(self.value_at(prior.place)));
        }
        if overtaken.is_set() {
            return Some(Refusal::Late(FillRejection::Overtaken));
        }
        if !self.is_fresh(arrival) {
            return Some(Refusal::Late(FillRejection::Fenced));
        }
        if !self.ledger.account.could_hold(Charge::entry(arrival.charge)) {
            let capacity = self.ledger.account.bounds().bytes;
            return Some(Refusal::TooHeavy { capacity });
        }
        None
    }

    /// Makes room for one value, and takes it: the shard that it goes to, and what its id stands for by then.
    fn room_for(
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
    fn drive_out(&mut self, shard: &mut Shard<T>, index: usize, at: usize, work: &mut Work<T>) -> bool {
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
    fn drive_out_member(&mut self, shard: &mut Shard<T>, place: Place, number: usize, work: &mut Work<T>) {
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
    fn settle_together(&mut self, work: &mut Work<T>) {
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

    fn take_out_superseded(&mut self, shard: &mut RwLockWriteGuard<'_, Shard<T>>, slot: SlotId) {
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

impl<T: Entity> Operation<T> {
    pub(crate) fn id(&self) -> (&T::Id, u64) {
        match self {
            Operation::Put { arrival, .. } => (arrival.id(), arrival.hash),
            Operation::Take { id, hash, .. } => (id, *hash),
        }
    }

    fn hash(&self) -> u64 {
        match self {
            Operation::Put { arrival, .. } => arrival.hash,
            Operation::Take { hash, .. } => *hash,
        }
    }
}
