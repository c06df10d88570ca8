//! [`Wheel`], a hierarchical timing wheel: finds what has expired at O(1) for each entry.
//!
//! After Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7. Eight levels of 64 buckets cover
//! every moment that there is; a level's bucket is as long as a whole turn of the level below. When the wheel reaches the
//! bucket of a higher level, its timers go down, one at a time, to where their deadlines tell them apart.
//!
//! What is always true:
//!
//! - A timer is given out once its deadline has passed, and never before. It is found, at the latest, when its deadline has
//!   passed by one tick.
//! - Scheduling, moving and cancelling are O(1). So is giving out a timer, amortised: each goes down seven times at most.
//!   However far the clock jumps, empty buckets are skipped, never visited.
//! - Nothing looks at all timers.
//!
//! What it does not do: it reads no clock, and does not know whether what it names still has that deadline. A deadline that
//! moves with each use is looked at again when its timer comes up, and scheduled anew, so that a use need not touch the
//! wheel.

use std::fmt;
use std::time::Duration;

use larder_core::Moment;

use crate::limits::WHEEL_TICK_MIN;
use crate::list::{Linked, Links, List};
use crate::slots::{SlotId, Slots};

const LEVEL_BITS: u32 = 6;
const LEVEL_BUCKETS: usize = 1 << LEVEL_BITS;
const LEVELS: usize = 8;
/// Names a timer from its scheduling until it is given out or cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(SlotId);

/// A timer whose deadline has passed. It is in the wheel no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Due<E = SlotId> {
    /// The id that it had.
    pub timer: TimerId,
    /// The entry that it was scheduled for.
    pub entry: E,
    /// The deadline that it had.
    pub deadline: Moment,
}

/// Timers of entries, in the order of their deadlines. `E` names an entry.
pub struct Wheel<E = SlotId> {
    tick_nanos: u64,
    timers: Slots<Timer<E>>,
    /// Everything before this tick has been given out or has gone down.
    now: u64,
    /// A bit for each bucket that has timers, a word a level.
    occupied: [u64; LEVELS],
    /// The buckets, level by level; none until something is scheduled.
    buckets: Option<Box<[List; LEVELS * LEVEL_BUCKETS]>>,
    /// The bucket whose timers are on their way down; it is not empty and not marked as occupied. Nothing is put into it
    /// meanwhile, because all its ticks lie on lower levels now.
    falling: Option<usize>,
}

struct Timer<E> {
    entry: E,
    deadline: Moment,
    links: Links,
    bucket: u16,
}

impl<E: Copy> Wheel<E> {
    /// A wheel that tells deadlines apart by `tick`, at least [`WHEEL_TICK_MIN`]. Allocates nothing until something is
    /// scheduled.
    #[must_use]
    pub fn new(tick: Duration) -> Self {
        let nanos = tick.max(WHEEL_TICK_MIN).as_nanos();
        Self {
            tick_nanos: u64::try_from(nanos).unwrap_or(u64::MAX),
            timers: Slots::new(),
            now: 0,
            occupied: [0; LEVELS],
            buckets: None,
            falling: None,
        }
    }

    /// How many timers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }

    /// The deadline of a timer; `None` if it is gone.
    #[must_use]
    pub fn deadline(&self, timer: TimerId) -> Option<Moment> {
        self.timers.get(timer.0).map(|timer| timer.deadline)
    }

    /// Gives `entry` a timer. A deadline of [`Moment::MAX`] never comes, and needs none. O(1).
    ///
    /// # Panics
    /// If there are [`SLOTS_MAX`](crate::limits::SLOTS_MAX) timers, more than a shard has entries.
    pub fn schedule(&mut self, entry: E, deadline: Moment) -> TimerId {
        let timer = Timer {
            entry,
            deadline,
            links: Links::default(),
            bucket: 0,
        };
        let id = self
            .timers
            .insert(timer)
            .expect("invariant: a shard has no more timers than entries");
        self.place(id);
        TimerId(id)
    }

    /// Gives a timer another deadline; false if it is gone. O(1).
    pub fn reschedule(&mut self, timer: TimerId, deadline: Moment) -> bool {
        if self.timers.get(timer.0).is_none() {
            return false;
        }
        self.unplace(timer.0);
        self.timers[timer.0].deadline = deadline;
        self.place(timer.0);
        true
    }

    /// Takes a timer off; false if it is gone. O(1).
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        if self.timers.get(timer.0).is_none() {
            return false;
        }
        self.unplace(timer.0);
        self.timers.remove(timer.0).is_some()
    }

    /// The next timer whose deadline has passed, if there is one. O(1) amortised.
    pub fn pop_due(&mut self, now: Moment) -> Option<Due<E>> {
        self.pop_due_within(now, &mut usize::MAX.clone())
    }

    /// The same in at most `steps` steps, from which it takes those that it needed: one for each timer that is given out or
    /// goes down. `None` with steps left means that nothing is due.
    pub fn pop_due_within(&mut self, now: Moment, steps: &mut usize) -> Option<Due<E>> {
        let now_tick = now.as_nanos() / self.tick_nanos;
        while *steps > 0 {
            if let Some(id) = self.falling.and_then(|bucket| self.bucket(bucket).oldest()) {
                *steps -= 1;
                self.unplace(id);
                self.place(id);
                continue;
            }
            let (level, index, start) = self.first_bucket()?;
            if start > now_tick {
                // Nothing lies between, so that what is scheduled from here on has a shorter way down.
                self.now = self.now.max(now_tick);
                return None;
            }
            self.now = self.now.max(start);
            if level > 0 {
                self.let_fall(level, index);
                continue;
            }
            *steps -= 1;
            let id = self.bucket(index).oldest()?;
            self.unplace(id);
            let timer = self.timers.remove(id)?;
            return Some(Due {
                timer: TimerId(id),
                entry: timer.entry,
                deadline: timer.deadline,
            });
        }
        None
    }

    /// A moment before which nothing is due; `None` if there are no timers. Exact to a tick for what is due within 64 ticks, else
    /// a lower bound. O(1).
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        let tick = match self.falling {
            Some(_) => self.now,
            None => self.first_bucket()?.2,
        };
        Some(Moment::from_nanos(tick.saturating_mul(self.tick_nanos)))
    }

    /// The first tick at whose beginning the deadline has passed.
    fn tick_of(&self, deadline: Moment) -> u64 {
        deadline.as_nanos().div_ceil(self.tick_nanos)
    }

    /// Puts a timer into the bucket of its deadline: on the level where its tick first differs from now.
    fn place(&mut self, id: SlotId) {
        let tick = self.tick_of(self.timers[id].deadline).max(self.now);
        let differs = (tick ^ self.now) | 1;
        let level = differs.ilog2() / LEVEL_BITS;
        let index = index_of(tick, level);
        let level = usize::try_from(level).unwrap_or(0);
        let bucket = level * LEVEL_BUCKETS + index;
        self.timers[id].bucket = u16::try_from(bucket).expect("invariant: there are 512 buckets");
        self.occupied[level] |= 1 << index;
        let buckets = self
            .buckets
            .get_or_insert_with(|| Box::new([const { List::new() }; LEVELS * LEVEL_BUCKETS]));
        buckets[bucket].push_newest(&mut self.timers, id);
    }

    /// Takes a timer out of its bucket.
    fn unplace(&mut self, id: SlotId) {
        let bucket = usize::from(self.timers[id].bucket);
        let Some(buckets) = &mut self.buckets else { return };
        buckets[bucket].remove(&mut self.timers, id);
        if buckets[bucket].is_empty() {
            self.occupied[bucket / LEVEL_BUCKETS] &= !(1 << (bucket % LEVEL_BUCKETS));
            self.falling.take_if(|falling| *falling == bucket);
        }
    }

    fn bucket(&self, bucket: usize) -> List {
        self.buckets
            .as_ref()
            .map_or_else(List::new, |buckets| buckets[bucket])
    }

    /// The earliest bucket that has timers: level, index, and the tick at which it begins. Timers on a level agree with now in
    /// all higher digits, so the lowest level that has any has the first.
    fn first_bucket(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|buckets| *buckets != 0)?;
        let index = self.occupied[level].trailing_zeros();
        let shift = u32::try_from(level).ok()? * LEVEL_BITS;
        let above = self.now.checked_shr(shift + LEVEL_BITS).unwrap_or(0) << LEVEL_BITS;
        let start = (above | u64::from(index)) << shift;
        Some((level, usize::try_from(index).ok()?, start))
    }

    /// Lets the timers of a bucket go down, one at each step from now on.
    fn let_fall(&mut self, level: usize, index: usize) {
        self.occupied[level] &= !(1 << index);
        self.falling = Some(level * LEVEL_BUCKETS + index);
    }
}

fn index_of(tick: u64, level: u32) -> usize {
    let digit = (tick >> (level * LEVEL_BITS)) % 64;
    usize::try_from(digit).unwrap_or(0)
}

impl<E: Copy> fmt::Debug for Wheel<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("len", &self.len())
            .field("next_due", &self.next_due())
            .finish_non_exhaustive()
    }
}

impl<E> Linked for Timer<E> {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}
