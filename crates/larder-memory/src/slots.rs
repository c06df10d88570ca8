//! [`Slots`], a slab: values at places that have a number and are used again, named by [`SlotId`].
//!
//! What is always true: an id that was given out names its value until that value is removed; a place that was freed
//! last is used first; ids are dense, so that what is kept beside a slab can be as short as the slab. A slab grows by a
//! quarter, so that never more than a fifth of its memory is unused, and lies in one piece, since readers look into it. What
//! lies beside it, for writers, grows chunk by chunk and does not move.
//!
//! What it does not do: it does not tell an id from a later one of the same place. Whoever keeps ids removes them
//! before, or together with, the value; tables, lists and wheels of a shard do so under its lock.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

use crate::chunks::Chunks;
use crate::limits::SLOTS_MAX;
use crate::prefetch::prefetch;

/// The fewest places that a slab grows by.
const GROWTH_MIN: usize = 8;
/// It grows by one in so many.
const GROWTH_PART: usize = 4;

/// Makes room in `places` for one more: by a quarter, where doubling would leave half of it unused.
fn grow<T>(places: &mut Vec<T>) {
    if places.len() == places.capacity() {
        places.reserve_exact((places.len() / GROWTH_PART).max(GROWTH_MIN));
    }
}

/// The place of one value in a [`Slots`]. Four bytes, also inside an `Option`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(NonZeroU32);

impl SlotId {
    /// The id of the place `index`, counted from zero, whether or not there is a value; `None` if a slab has no such place.
    #[must_use]
    pub fn of_index(index: usize) -> Option<Self> {
        u32::try_from(index.checked_add(1)?)
            .ok()
            .and_then(NonZeroU32::new)
            .map(Self)
    }

    /// The number of the place, counted from zero.
    #[must_use]
    pub fn index(self) -> usize {
        // Lossless wherever a slab of that many values could exist at all.
        usize::try_from(self.0.get() - 1).unwrap_or(usize::MAX)
    }
}

impl fmt::Debug for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotId({})", self.index())
    }
}

/// There is no place left; the value comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SlotsFull<T>(pub T);

impl<T> fmt::Debug for SlotsFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlotsFull")
    }
}

/// Values at numbered places, [`SLOTS_MAX`] at most.
///
/// ```
/// use larder_memory::Slots;
///
/// let mut slots = Slots::new();
/// let first = slots.insert("first")?;
/// assert_eq!(slots.get(first), Some(&"first"));
/// assert_eq!(slots.remove(first), Some("first"));
/// assert_eq!(slots.insert("second")?, first, "the place is used again");
/// # Ok::<(), larder_memory::SlotsFull<&str>>(())
/// ```
pub struct Slots<T> {
    places: Vec<Place<T>>,
    /// The place that was freed last; each free place names the one that was freed before it.
    free: Option<SlotId>,
    len: usize,
}

enum Place<T> {
    Used(T),
    Free(Option<SlotId>),
}

impl<T> Slots<T> {
    /// No places yet. Allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            places: Vec::new(),
            free: None,
            len: 0,
        }
    }

    /// How many values there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many places there are, used and free: ids are below it.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// Puts `value` into the place that was freed last, or into a new one. O(1) amortised: when there is no free place, the
    /// slab may grow by a quarter, which moves all values.
    ///
    /// # Errors
    /// [`SlotsFull`] with the value when there are [`SLOTS_MAX`] already.
    pub fn insert(&mut self, value: T) -> Result<SlotId, SlotsFull<T>> {
        if let Some(id) = self.free {
            let Some(place @ Place::Free(_)) = self.place_mut(id) else {
                unreachable!("invariant: the list of free places names free ones only")
            };
            let Place::Free(next) = std::mem::replace(place, Place::Used(value)) else {
                unreachable!("invariant: it was looked at above")
            };
            self.free = next;
            self.len += 1;
            return Ok(id);
        }
        let places = self.places();
        let Some(id) = SlotId::of_index(places).filter(|_| places < SLOTS_MAX) else {
            return Err(SlotsFull(value));
        };
        grow(&mut self.places);
        self.places.push(Place::Used(value));
        self.len += 1;
        Ok(id)
    }

    /// Takes the value out and frees its place; `None` if there is none. O(1).
    pub fn remove(&mut self, id: SlotId) -> Option<T> {
        let free = self.free;
        let place = self.place_mut(id)?;
        if matches!(place, Place::Free(_)) {
            return None;
        }
        let Place::Used(value) = std::mem::replace(place, Place::Free(free)) else {
            return None;
        };
        self.free = Some(id);
        self.len -= 1;
        Some(value)
    }

    /// The value at that place.
    #[inline]
    #[must_use]
    pub fn get(&self, id: SlotId) -> Option<&T> {
        match self.places.get(id.index())? {
            Place::Used(value) => Some(value),
            Place::Free(_) => None,
        }
    }

    /// Asks for the memory of that place.
    #[inline]
    pub fn expect(&self, id: SlotId) {
        if let Some(place) = self.places.get(id.index()) {
            prefetch(place);
        }
    }

    /// The value at that place, to change it.
    #[inline]
    #[must_use]
    pub fn get_mut(&mut self, id: SlotId) -> Option<&mut T> {
        match self.place_mut(id)? {
            Place::Used(value) => Some(value),
            Place::Free(_) => None,
        }
    }

    #[inline]
    fn place_mut(&mut self, id: SlotId) -> Option<&mut Place<T>> {
        self.places.get_mut(id.index())
    }

    /// The id of the value at place `index`, counted from zero below [`Slots::places`]. For a hand that goes round the
    /// slab a few places at a time.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<SlotId> {
        let id = SlotId::of_index(index)?;
        self.get(id).map(|_| id)
    }

    /// All values with their ids, in the order of their places. O(places).
    pub fn iter(&self) -> impl Iterator<Item = (SlotId, &T)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let Place::Used(value) = place else { return None };
            Some((SlotId::of_index(index)?, value))
        })
    }

    /// All values, to be changed, with their ids, in the order of their places. O(places).
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (SlotId, &mut T)> {
        let places = self.places.iter_mut().enumerate();
        places.filter_map(|(index, place)| {
            let Place::Used(value) = place else { return None };
            Some((SlotId::of_index(index)?, value))
        })
    }

    /// All values, in the order of their places.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        self.places.into_iter().filter_map(|place| match place {
            Place::Used(value) => Some(value),
            Place::Free(_) => None,
        })
    }
}

/// Values beside those of a [`Slots`], by the same ids: what is needed less often than those, kept apart from them.
///
/// It does not know which ids are in use: a place has its default until it is set, and what was set until it is set
/// again.
pub struct Beside<T> {
    places: Chunks<T>,
}

const UNSET: &str = "invariant: what is beside a place is set with it";

impl<T: Default> Beside<T> {
    /// Nothing set yet. Allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            places: Chunks::new(),
        }
    }

    /// Sets the value beside `id`, and gives back what was there. O(1) amortised, but for places that are missing up to
    /// there.
    pub fn set(&mut self, id: SlotId, value: T) -> T {
        while self.places.len() <= id.index() {
            self.places.push(T::default());
        }
        std::mem::replace(&mut self[id], value)
    }

    /// Takes the value out, and leaves a default.
    pub fn take(&mut self, id: SlotId) -> T {
        std::mem::take(&mut self[id])
    }
}

impl<T: Default> Default for Beside<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The value beside `id`.
///
/// Panics if nothing was ever set there or beyond it: for ids of which the caller's own structures guarantee that.
impl<T> Index<SlotId> for Beside<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: SlotId) -> &T {
        self.places.get(id.index()).expect(UNSET)
    }
}

/// As [`Index`].
impl<T> IndexMut<SlotId> for Beside<T> {
    #[inline]
    fn index_mut(&mut self, id: SlotId) -> &mut T {
        self.places.get_mut(id.index()).expect(UNSET)
    }
}

impl<T> fmt::Debug for Beside<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beside")
            .field("places", &self.places.len())
            .finish_non_exhaustive()
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Slots<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("len", &self.len)
            .field("places", &self.places())
            .finish_non_exhaustive()
    }
}

/// The value at that place.
///
/// Panics if there is none: for ids of which the caller's own structures guarantee that they live.
impl<T> Index<SlotId> for Slots<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: SlotId) -> &T {
        self.get(id)
            .expect("invariant: an id is given up before its value is removed")
    }
}

/// As [`Index`].
impl<T> IndexMut<SlotId> for Slots<T> {
    #[inline]
    fn index_mut(&mut self, id: SlotId) -> &mut T {
        self.get_mut(id)
            .expect("invariant: an id is given up before its value is removed")
    }
}
