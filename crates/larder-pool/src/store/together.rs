//! Many changes that become visible at once.
//!
//! New entries are put beside the old ones, in slots of their own, and the old ones are marked; one store of the sequence
//! then turns every reader from the one side to the other; then the old ones are taken out. Ids are looked up before
//! the first change, so that a panic in the `Eq` of an id leaves everything as it was.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use larder_core::Target;
use larder_core::sync::{Ordering, fence};
use larder_memory::flight::Overtaken;
use larder_memory::{Charge, SlotId};

use super::entry::{Phase, Place};
use super::ledger::Commit;
use super::life::Death;
use super::put::{Arrival, Refusal};
use super::shard::Shard;
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
pub(super) struct Prior {
    pub(super) place: Place,
    pub(super) death: Option<Death>,
}

/// How an entry leaves.
pub(super) enum Leaving {
    Removed(Reason),
    /// The member with this number stands in its place.
    Superseded(usize),
}

/// A value that was put in.
pub(super) struct Member<T> {
    pub(super) value: Arc<T>,
    /// Where it is; none if another member has driven it out again.
    pub(super) place: Option<Place>,
    /// The live value before it.
    pub(super) old: Option<Arc<T>>,
    /// Whether that is told.
    pub(super) tells_old: bool,
}

/// The work so far.
pub(super) struct Work<T> {
    pub(super) priors: Vec<Option<Prior>>,
    /// The operations whose ids these places stand for.
    pub(super) by_place: HashMap<Place, usize>,
    pub(super) leaving: BTreeMap<usize, Vec<(SlotId, Leaving)>>,
    pub(super) members: Vec<Member<T>>,
    pub(super) arrived: HashMap<Place, usize>,
    pub(super) evicted: usize,
}

impl<T: Entity> Shared<T> {
    /// Carries out all of them as one commit, or none. The caller drops them when this has returned.
    pub(crate) fn together(&self, operations: &mut [Operation<T>]) -> Result<Together<T>, Stopped> {
        self.commit(|commit| {
            commit.bound_charges(operations);
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
    fn bound_charges(&self, operations: &mut [Operation<T>]) {
        for operation in operations {
            if let Operation::Put { arrival, .. } = operation {
                self.bound_charge(arrival);
            }
        }
    }

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
    pub(super) fn mark(&mut self, shard: &mut Shard<T>, place: Place, leaving: Leaving, work: &mut Work<T>) {
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
