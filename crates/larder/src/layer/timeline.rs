//! [`Timeline`]: what has befallen keys of late, so that it can be told why one is there, or is not.
//!
//! What is always true: it never grows beyond its bounds, the oldest leaves first; rejected fills are written down of every key, the rest of one in
//! [`KEYS_A_SAMPLE`] and of those that are watched; values never enter it, and a hit asks nothing of it. Invalidations are not written down a second
//! time: the fence remembers them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use larder_core::sync::{AtomicUsize, Mutex, Ordering};
use larder_core::{Befallen, Clock, Fence, Invalidated, Moment, Target, TargetHash, Trace};

use super::Layer;
use super::limits::{EVENTS_BYTES_MAX, EVENTS_MAX, TIMELINE_MAX, WATCHED_MAX};
use crate::Error;

/// Of one key in so many everything is written down.
pub(super) const KEYS_A_SAMPLE: u64 = 64;
/// What is charged for a place in the table of newest events.
const TABLE_BYTES: usize = 40;

/// What has happened to a target, or to one of its parents, and when.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TimelineEvent {
    /// When, by the clock of the fence.
    pub time: Moment,
    /// To which target.
    pub target: Target,
    /// What.
    pub what: Happened,
}

/// What has happened to a target.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Happened {
    /// It was invalidated.
    Invalidated(Invalidated),
    /// It has befallen the key in a pool.
    Befallen(Befallen),
}

/// What is written down.
pub(super) struct Timeline {
    clock: Arc<dyn Clock>,
    ring: Mutex<Ring>,
    /// How many are watched, readable without the lock.
    watching: AtomicUsize,
    watched: Mutex<HashSet<TargetHash>>,
}

#[derive(Default)]
struct Ring {
    kept: VecDeque<Kept>,
    /// The number of the oldest that is kept.
    first: u64,
    /// The number of the newest of each target.
    newest: HashMap<TargetHash, u64>,
}

struct Kept {
    of: TargetHash,
    time: Moment,
    what: Befallen,
    /// The number of the one before of the same target, plus one; zero if there was none.
    before: u64,
}

impl Timeline {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Timeline {
            clock,
            ring: Mutex::default(),
            watching: AtomicUsize::new(0),
            watched: Mutex::default(),
        }
    }

    pub(super) fn watched_count(&self) -> usize {
        self.watching.load(Ordering::Relaxed)
    }

    fn is_watched(&self, of: TargetHash) -> bool {
        self.watching.load(Ordering::Relaxed) > 0 && self.watched.lock().contains(&of)
    }

    fn of(&self, target: &Target, most: usize) -> Vec<(Moment, Befallen)> {
        self.ring.lock().of(target.hash(), most)
    }

    /// How many events are kept, and what they take up.
    #[cfg(test)]
    fn size(&self) -> (usize, usize) {
        let ring = self.ring.lock();
        (ring.kept.len(), ring.bytes())
    }
}

impl Trace for Timeline {
    fn is_told(&self, hash: u64) -> bool {
        is_sampled(hash) || self.watching.load(Ordering::Relaxed) > 0
    }

    fn tell(&self, of: &Target, hash: u64, what: Befallen) {
        let own = of.hash();
        let is_rejected = matches!(what, Befallen::Rejected { .. });
        if is_rejected || is_sampled(hash) || self.is_watched(own) {
            let time = self.clock.monotonic();
            let left = self.ring.lock().push(own, time, what);
            drop(left);
        }
    }
}

fn is_sampled(hash: u64) -> bool {
    // The lowest bits choose shards and places in tables; those in the middle are as good as any.
    (hash >> 24).is_multiple_of(KEYS_A_SAMPLE)
}

impl Ring {
    fn bytes(&self) -> usize {
        self.kept.len() * size_of::<Kept>() + self.newest.len() * TABLE_BYTES
    }

    /// Adds an event, and gives back those that had to leave.
    fn push(&mut self, of: TargetHash, time: Moment, what: Befallen) -> Vec<Kept> {
        let number = self.first + self.kept.len() as u64;
        let before = self.newest.insert(of, number).map_or(0, |before| before + 1);
        self.kept.push_back(Kept {
            of,
            time,
            what,
            before,
        });
        let mut left = Vec::new();
        while self.kept.len() > EVENTS_MAX || self.bytes() > EVENTS_BYTES_MAX {
            let Some(oldest) = self.kept.pop_front() else {
                break;
            };
            if self.newest.get(&oldest.of) == Some(&self.first) {
                self.newest.remove(&oldest.of);
            }
            self.first += 1;
            left.push(oldest);
        }
        left
    }

    /// The events of a target, newest first.
    fn of(&self, target: TargetHash, most: usize) -> Vec<(Moment, Befallen)> {
        let mut next = self.newest.get(&target).map_or(0, |newest| newest + 1);
        let events = std::iter::from_fn(|| {
            let place = next.checked_sub(1)?.checked_sub(self.first)?;
            let kept = self.kept.get(usize::try_from(place).ok()?)?;
            next = kept.before;
            Some((kept.time, kept.what.clone()))
        });
        events.take(most).collect()
    }
}

/// What has happened to a target and its parents, newest first.
pub(super) fn timeline_of(fence: &Fence, timeline: &Timeline, target: &Target) -> Vec<TimelineEvent> {
    let mut events = Vec::new();
    for target in std::iter::successors(Some(target.clone()), Target::parent) {
        let invalidated = each_commit_once(fence.recent(&target, TIMELINE_MAX));
        let invalidated = invalidated.map(|it| (it.time, Happened::Invalidated(it)));
        let befallen = timeline.of(&target, TIMELINE_MAX).into_iter();
        let befallen = befallen.map(|(time, what)| (time, Happened::Befallen(what)));
        events.extend(invalidated.chain(befallen).map(|(time, what)| TimelineEvent {
            time,
            target: target.clone(),
            what,
        }));
    }
    // Each list is newest first by itself; what happened at one moment stays in their order.
    events.sort_by_key(|event| std::cmp::Reverse(event.time));
    events.truncate(TIMELINE_MAX);
    events
}

/// A commit of this node may be met once more by its follower: that it was heard of twice is of no interest. Given and given back newest first; the first time counts.
fn each_commit_once(invalidated: Vec<Invalidated>) -> impl Iterator<Item = Invalidated> {
    let mut seen = HashSet::new();
    let mut oldest_first: Vec<Invalidated> = invalidated;
    oldest_first.reverse();
    oldest_first.retain(|it| {
        it.commit
            .is_none_or(|commit| seen.insert((commit.source, commit.position)))
    });
    oldest_first.into_iter().rev()
}

impl Layer {
    /// Writes down everything that befalls a key from now on, until [`Layer::unwatch`]: of others that is done of one in 64. Watched twice is
    /// watched.
    ///
    /// # Errors
    /// [`Error::TooMany`] if 64 others are watched.
    pub fn watch(&self, target: &Target) -> Result<(), Error> {
        let timeline = &self.shared.timeline;
        let mut watched = timeline.watched.lock();
        let hash = target.hash();
        if !watched.contains(&hash) && watched.len() == WATCHED_MAX {
            return Err(Error::TooMany {
                what: "watched targets",
                max: WATCHED_MAX,
            });
        }
        watched.insert(hash);
        timeline.watching.store(watched.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Watches a key no longer. Whether it was watched. What was written down stays.
    pub fn unwatch(&self, target: &Target) -> bool {
        let timeline = &self.shared.timeline;
        let mut watched = timeline.watched.lock();
        let was_watched = watched.remove(&target.hash());
        timeline.watching.store(watched.len(), Ordering::Relaxed);
        was_watched
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use larder_core::{Befallen, Stamp, SystemClock, Target, Trace};

    use super::{EVENTS_BYTES_MAX, EVENTS_MAX, KEYS_A_SAMPLE, Timeline};

    fn user(id: u64) -> Target {
        Target::entity("user", id).expect("an entity")
    }

    fn rejected(number: u64) -> Befallen {
        Befallen::rejected("rows", Stamp::new(number + 1).expect("a stamp"), "fenced")
    }

    /// However many events of however many keys: both bounds hold after each, the newest are there, in their order, and the table of targets
    /// forgets those of which nothing is left.
    ///
    /// Contract: S44 (partial: bounds)
    #[test]
    fn it_never_grows_beyond_its_bounds() {
        for keys in [1, 100, 200_000] {
            let timeline = Timeline::new(Arc::new(SystemClock::new()));
            let count = 2 * EVENTS_MAX as u64 + 10;
            for number in 0..count {
                timeline.tell(&user(number % keys), 1 << 24, rejected(number));
                let (events, bytes) = timeline.size();
                assert!(
                    events <= EVENTS_MAX && bytes <= EVENTS_BYTES_MAX,
                    "{events} {bytes}"
                );
            }
            let (events, _) = timeline.size();
            assert!(events as u64 > EVENTS_MAX as u64 / 4, "it keeps few: {events}");
            let last = count - 1;
            let newest = timeline.of(&user(last % keys), 3);
            let expected: Vec<u64> = (0..3).map_while(|back| last.checked_sub(back * keys)).collect();
            let kept = |number: &&u64| last - **number < events as u64;
            let expected: Vec<Befallen> = expected.iter().filter(kept).map(|it| rejected(*it)).collect();
            let newest: Vec<Befallen> = newest.into_iter().map(|(_, what)| what).collect();
            assert_eq!(newest, expected, "of {keys} keys");
            let ring = timeline.ring.lock();
            assert!(ring.newest.len() <= events);
        }
    }

    /// Contract: S44 (partial: one key in 64)
    #[test]
    fn of_one_key_in_64_everything_is_written_down() {
        let timeline = Timeline::new(Arc::new(SystemClock::new()));
        let hashes = (0..100_000_u64).map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let told = hashes.filter(|hash| timeline.is_told(*hash)).count();
        let expected = 100_000 / usize::try_from(KEYS_A_SAMPLE).expect("a small number");
        assert!(told.abs_diff(expected) < expected / 5, "{told}");
        for what in [Befallen::removed("evicted"), Befallen::ServedStale, rejected(1)] {
            timeline.tell(&user(1), 1 << 24, what.clone());
            timeline.tell(&user(2), 0, what);
        }
        assert_eq!(
            (timeline.of(&user(1), 9).len(), timeline.of(&user(2), 9).len()),
            (1, 3)
        );
    }
}
