//! What a shard keeps of each id, in two places: what a hit needs, 32 bytes that never lie across two lines of memory
//! (with an id of eight bytes), and what only writers need.

use std::borrow::Borrow;
use std::sync::Arc;

use larder_core::Moment;
use larder_memory::{Beside, Node, Residents, SlotId, Slots, Uses, prefetch};

use super::life::{Death, Judge, Life};
use super::put::{Arrival, Named};
use crate::Entity;

/// Where an entry lies, pool-wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    shard: u32,
    pub(crate) slot: SlotId,
}

/// The entries of one shard.
pub(crate) struct Entries<T: Entity> {
    hot: Slots<Hot<T>>,
    cold: Beside<Cold>,
    /// Deadlines are told in coarse steps from here.
    epoch: Moment,
}

/// What a hit needs of an entry.
#[repr(C, align(32))]
pub(crate) struct Hot<T: Entity> {
    hash: u64,
    id: T::Id,
    value: Arc<T>,
    /// The coarse step before which it is certainly not expired; [`NEVER`] without a deadline.
    due: u32,
    /// The pool's when it was stored: it has moved on if something was invalidated on which every entry depends.
    generation: u16,
    uses: Uses,
    marks: u8,
}

/// What only writers need of it: one line.
#[repr(align(64))]
struct Cold {
    node: Node,
    life: Life,
}

impl Default for Cold {
    fn default() -> Self {
        Cold {
            node: Node::new(0),
            life: Life::default(),
        }
    }
}

/// An entry that was taken out.
pub(crate) struct Entry<T: Entity> {
    pub(crate) hash: u64,
    pub(crate) charge: u64,
    pub(crate) id: T::Id,
    pub(crate) version: Version<T>,
}

/// What an id stands for since a commit.
pub(crate) struct Version<T> {
    pub(crate) value: Arc<T>,
    pub(crate) life: Life,
}

/// Whether readers see an entry, while a commit that changes several places is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// They do.
    Settled,
    /// They do as soon as that commit is published.
    Arriving,
    /// They do until that commit is published.
    Leaving,
}

/// No deadline.
const NEVER: u32 = u32::MAX;
/// A deadline is told in steps of 2^24 ns, 17 ms, which 32 bits hold for two years.
const STEP_BITS: u32 = 24;

/// Whether it is live must be asked of what lies apart.
const EXTRA: u8 = 1;
const ARRIVING: u8 = 2;
const LEAVING: u8 = 4;

impl<T: Entity> Entries<T> {
    pub(crate) fn new(epoch: Moment) -> Self {
        Entries {
            hot: Slots::new(),
            cold: Beside::new(),
            epoch,
        }
    }

    pub(crate) fn epoch(&self) -> Moment {
        self.epoch
    }

    /// Whether the entry is that of `id`, whose hash this is. Compares ids only if the hashes are equal.
    #[inline]
    pub(crate) fn is<Q>(&self, slot: SlotId, hash: u64, id: &Q) -> bool
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.hot[slot].is(hash, id)
    }

    /// What a hit needs, looked up once.
    #[inline]
    pub(crate) fn hot(&self, slot: SlotId) -> &Hot<T> {
        &self.hot[slot]
    }

    pub(crate) fn value(&self, slot: SlotId) -> &Arc<T> {
        &self.hot[slot].value
    }

    pub(crate) fn hash(&self, slot: SlotId) -> u64 {
        self.hot[slot].hash
    }

    pub(crate) fn life(&self, slot: SlotId) -> &Life {
        &self.cold[slot].life
    }

    pub(crate) fn life_mut(&mut self, slot: SlotId) -> &mut Life {
        &mut self.cold[slot].life
    }

    /// What the entry is charged, in bytes.
    pub(crate) fn charge(&self, slot: SlotId) -> u64 {
        self.cold[slot].node.weight()
    }

    /// Whether there is an entry.
    pub(crate) fn has(&self, slot: SlotId) -> bool {
        self.hot.get(slot).is_some()
    }

    #[inline]
    pub(crate) fn phase(&self, slot: SlotId) -> Phase {
        let marks = self.hot[slot].marks;
        if marks & ARRIVING != 0 {
            Phase::Arriving
        } else if marks & LEAVING != 0 {
            Phase::Leaving
        } else {
            Phase::Settled
        }
    }

    pub(crate) fn set_phase(&mut self, slot: SlotId, phase: Phase) {
        let marks = &mut self.hot[slot].marks;
        *marks &= !(ARRIVING | LEAVING);
        *marks |= match phase {
            Phase::Settled => 0,
            Phase::Arriving => ARRIVING,
            Phase::Leaving => LEAVING,
        };
    }

    /// Puts an arrival into a slot of its own, in no policy yet.
    #[inline]
    pub(crate) fn add(&mut self, arrival: &mut Arrival<T>) -> SlotId {
        let life = std::mem::take(&mut arrival.life);
        let named = arrival.named.take();
        let Named { id, value } = named.expect("invariant: an arrival is stored once");
        let entry = Entry {
            hash: arrival.hash,
            charge: arrival.charge,
            id,
            version: Version { value, life },
        };
        self.put(entry)
    }

    /// Puts an entry into a slot of its own, in no policy yet.
    #[inline]
    pub(crate) fn put(&mut self, entry: Entry<T>) -> SlotId {
        let Entry {
            hash,
            charge,
            id,
            version: Version { value, life },
        } = entry;
        let hot = Hot {
            hash,
            id,
            value,
            due: self.due(&life),
            generation: life.generation,
            uses: Uses::default(),
            marks: marks(&life),
        };
        let slot = self.hot.insert(hot);
        let slot = slot.expect("invariant: a pool has fewer entries than a slab has places");
        let node = Node::new(charge);
        self.cold.set(slot, Cold { node, life });
        slot
    }

    /// Exchanges what an entry stands for with an arrival, and its copy of the id; the policy is told by the caller.
    #[inline]
    pub(crate) fn swap(&mut self, slot: SlotId, arrival: &mut Arrival<T>) {
        let life = &mut arrival.life;
        let (due, marks) = (self.due(life), marks(life));
        let hot = &mut self.hot[slot];
        hot.due = due;
        hot.marks = marks;
        hot.generation = life.generation;
        let named = arrival.named.as_mut();
        let named = named.expect("invariant: an arrival is stored once");
        std::mem::swap(&mut hot.id, &mut named.id);
        std::mem::swap(&mut hot.value, &mut named.value);
        std::mem::swap(&mut self.cold[slot].life, life);
    }

    /// Asks for the line of what only writers need.
    #[inline]
    pub(crate) fn expect_cold(&self, slot: SlotId) {
        prefetch(&self.cold[slot]);
    }

    /// Takes an entry out, which its policy has let go.
    pub(crate) fn take(&mut self, slot: SlotId) -> Entry<T> {
        let hot = self.hot.remove(slot);
        let Hot { hash, id, value, .. } = hot.expect("invariant: an entry is taken out once");
        let Cold { node, life } = self.cold.take(slot);
        Entry {
            hash,
            charge: node.weight(),
            id,
            version: Version { value, life },
        }
    }

    /// All entries, with their slots.
    pub(crate) fn into_entries(mut self) -> impl Iterator<Item = (SlotId, Entry<T>)> {
        let slots: Vec<SlotId> = self.hot.iter().map(|(slot, _)| slot).collect();
        slots.into_iter().map(move |slot| (slot, self.take(slot)))
    }

    /// All values.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<T>> {
        self.hot.iter().map(|(_, hot)| &hot.value)
    }

    /// The coarse step of a moment.
    #[inline]
    fn step(&self, moment: Moment) -> u32 {
        coarse(moment, self.epoch)
    }

    /// A step that is not before the present one, of a moment that may lag by a tick of the system.
    #[inline]
    pub(crate) fn step_at_most(&self, lagging: Moment) -> u32 {
        self.step(lagging).saturating_add(2)
    }

    fn due(&self, life: &Life) -> u32 {
        if life.deadline == Moment::MAX {
            return NEVER;
        }
        coarse(life.deadline, self.epoch)
    }

    /// Why an entry is dead; `None` if it is live.
    #[inline]
    pub(crate) fn death(&self, slot: SlotId, judge: &Judge<'_>) -> Option<Death> {
        let hot = &self.hot[slot];
        if hot.generation != judge.generation {
            return Some(Death::Fenced);
        }
        if hot.is_surely_live(judge.generation, || self.step(judge.now())) {
            return None;
        }
        self.death_of_mortal(slot, judge)
    }

    #[cold]
    #[inline(never)]
    fn death_of_mortal(&self, slot: SlotId, judge: &Judge<'_>) -> Option<Death> {
        judge.death(&self.cold[slot].life)
    }

    /// Notes a use, for the time to idle.
    #[inline]
    pub(crate) fn touch(&self, slot: SlotId, judge: &Judge<'_>) {
        if self.hot[slot].marks & EXTRA != 0
            && let Some(idle) = self.cold[slot].life.idle()
        {
            idle.note(judge.now());
        }
    }
}

impl<T: Entity> Hot<T> {
    /// Whether the entry is that of `id`, whose hash this is. Compares ids only if the hashes are equal.
    #[inline]
    pub(crate) fn is<Q>(&self, hash: u64, id: &Q) -> bool
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.hash == hash && self.id.borrow() == id
    }

    #[inline]
    pub(crate) fn value(&self) -> &Arc<T> {
        &self.value
    }

    #[inline]
    pub(crate) fn uses(&self) -> &Uses {
        &self.uses
    }

    /// Whether it is live as long as its generation is the pool's, and nothing is to be noted of its uses but that.
    #[inline]
    fn is_immortal(&self) -> bool {
        self.due == NEVER && self.marks & EXTRA == 0
    }

    /// Whether it is certainly live, and nothing is to be noted of its uses but that.
    #[inline]
    pub(crate) fn is_surely_live(&self, generation: u16, step: impl FnOnce() -> u32) -> bool {
        self.generation == generation
            && (self.is_immortal() || (self.marks & EXTRA == 0 && step() < self.due))
    }
}

/// The step of a moment. Past the last one that can be told it stays there: then the exact deadline is asked.
#[inline]
fn coarse(moment: Moment, epoch: Moment) -> u32 {
    let steps = moment.as_nanos().saturating_sub(epoch.as_nanos()) >> STEP_BITS;
    u32::try_from(steps).map_or(NEVER - 1, |steps| steps.min(NEVER - 1))
}

fn marks(life: &Life) -> u8 {
    let is_asked = life
        .extra
        .as_ref()
        .is_some_and(|extra| extra.pin.is_some() || extra.idle.is_some());
    if is_asked { EXTRA } else { 0 }
}

impl<T: Entity> Residents for Entries<T> {
    fn hash(&self, id: SlotId) -> u64 {
        self.hot[id].hash
    }

    fn uses(&self, id: SlotId) -> &Uses {
        &self.hot[id].uses
    }

    fn node(&self, id: SlotId) -> &Node {
        &self.cold[id].node
    }

    fn node_mut(&mut self, id: SlotId) -> &mut Node {
        &mut self.cold[id].node
    }

    #[inline]
    fn expect(&self, id: SlotId) {
        self.hot.expect(id);
        self.expect_cold(id);
    }

    #[inline]
    fn expect_at(&self, index: usize) {
        if let Some(id) = SlotId::of_index(index) {
            self.hot.expect(id);
        }
    }

    #[inline]
    fn expect_value(&self, id: SlotId) {
        prefetch(&**self.value(id));
    }

    fn at(&self, index: usize) -> Option<SlotId> {
        self.hot.at(index)
    }

    fn places(&self) -> usize {
        self.hot.places()
    }
}

impl Place {
    pub(crate) fn new(index: usize, slot: SlotId) -> Self {
        let shard = u32::try_from(index).expect("invariant: there are at most 4,096 shards");
        Place { shard, slot }
    }

    /// The shard that it is in.
    pub(crate) fn shard(&self) -> usize {
        usize::try_from(self.shard).expect("invariant: it was made of a usize")
    }

    pub(crate) fn is_in(&self, index: usize) -> bool {
        self.shard() == index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row;

    impl Entity for Row {
        type Id = u64;
        type Fields = ();

        fn name() -> &'static str {
            "row"
        }

        fn id(&self) -> u64 {
            0
        }
    }

    /// A hit touches one line of an entry: half a line, at a place that is a multiple of it.
    #[test]
    fn what_a_hit_needs_is_half_a_line() {
        assert_eq!(size_of::<Hot<Row>>(), 32);
        assert_eq!(size_of::<Cold>(), 64);
    }

    /// Steps stay in order, and the last one never passes for no deadline.
    #[test]
    fn steps_are_in_order() {
        let epoch = Moment::from_nanos(1_000);
        let far = Moment::from_nanos(u64::MAX - 1);
        assert_eq!(coarse(Moment::ORIGIN, epoch), 0);
        assert_eq!(coarse(Moment::from_nanos((1 << 24) + 1_000), epoch), 1);
        assert_eq!(coarse(far, epoch), NEVER - 1);
    }
}
