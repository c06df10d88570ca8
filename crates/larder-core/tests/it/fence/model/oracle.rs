//! What the contract says of a fence, over a small universe of targets, as a list of all that has happened.
//!
//! Imports nothing of the code. It remembers everything for ever, so it knows what must be refused; where the fence has a
//! bounded memory the contract lets it refuse more, and then the answer is [`Verdict::Either`].

use std::collections::BTreeSet;

/// How many targets there are.
pub(super) const TARGETS: usize = 21;

/// The parent of each: everything, collections, namespaces, then what lies below them.
const PARENT: [Option<usize>; TARGETS] = [
    None,
    // Collections: user, order, user.lists.
    Some(0),
    Some(0),
    Some(0),
    // Namespaces: a, b.
    Some(0),
    Some(0),
    // Three users, two orders.
    Some(1),
    Some(1),
    Some(1),
    Some(2),
    Some(2),
    // In a: two tags, two keys, a dependency, a private target.
    Some(4),
    Some(4),
    Some(4),
    Some(4),
    Some(4),
    Some(4),
    // In b: a tag, a key, a dependency, a private target.
    Some(5),
    Some(5),
    Some(5),
    Some(5),
];

/// Targets and all their parents; of none, everything.
pub(super) fn closure(targets: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
    let mut all = BTreeSet::from([0]);
    for target in targets {
        all.extend(std::iter::successors(Some(target), |target| PARENT[*target]));
    }
    all
}

/// What may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Refuse,
    /// The fence's memory is bounded: it may refuse what it need not.
    Either,
}

impl Verdict {
    /// Whether this answer is allowed.
    pub(super) fn allows(self, accepted: bool) -> bool {
        match self {
            Verdict::Accept => accepted,
            Verdict::Refuse => !accepted,
            Verdict::Either => true,
        }
    }

    fn unless(refuse: bool) -> Verdict {
        if refuse { Verdict::Refuse } else { Verdict::Accept }
    }
}

/// One invalidation.
#[derive(Clone, Copy, Debug)]
struct Event {
    target: usize,
    /// Its place among all events.
    at: u64,
    /// When, in tenths of a second.
    time: u64,
    /// The lane and the commit behind it.
    commit: Option<(usize, u64)>,
    /// A point that includes the commit, once known.
    bound: Option<u64>,
    began_unknown: bool,
}

/// What a lane's follower has told.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// All commits below are applied.
    next: u64,
    /// These too.
    singles: BTreeSet<u64>,
    /// The last caught-up read: after which events it was asked for, and up to which point it showed everything.
    caught_up: Option<(u64, u64)>,
}

/// The whole history.
#[derive(Clone, Debug)]
pub(super) struct Oracle {
    now: u64,
    pub(super) time: u64,
    events: Vec<Event>,
    /// Invalidations of targets that nobody depends on: their place among the events, when, and how many.
    floods: Vec<(u64, u64, u64)>,
    /// The last event of each target; zero if there was none.
    last: [u64; TARGETS],
    /// The event of the last raised floor; zero if there was none.
    lifted: u64,
    /// How many invalidations surely stay in the ring.
    room: u64,
    lanes: [Lane; 2],
}

impl Oracle {
    pub(super) fn new(room: u64) -> Oracle {
        let lane = Lane {
            next: 1,
            ..Lane::default()
        };
        Oracle {
            now: 0,
            time: 0,
            events: Vec::new(),
            floods: Vec::new(),
            last: [0; TARGETS],
            lifted: 0,
            room,
            lanes: [lane.clone(), lane],
        }
    }

    /// The present place among the events: a pin that is taken now has it.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// F3, F5: whatever began before this is over for the target and its children.
    pub(super) fn invalidate(&mut self, target: usize, commit: Option<(usize, u64)>, bound: Option<u64>) {
        self.now += 1;
        self.last[target] = self.now;
        self.events.push(Event {
            target,
            at: self.now,
            time: self.time,
            commit,
            bound,
            began_unknown: commit.is_some() && bound.is_none(),
        });
    }

    pub(super) fn flood(&mut self, count: u64) {
        self.now += 1;
        self.floods.push((self.now, self.time, count));
    }

    pub(super) fn raise_floor(&mut self) {
        self.now += 1;
        self.lifted = self.now;
    }

    /// F4, F6: fresh iff nothing of it was invalidated since.
    pub(super) fn is_fresh(&self, held: &BTreeSet<usize>, at: u64) -> bool {
        held.iter().all(|target| self.last[*target] <= at)
    }

    /// F10: for a pin that began at `at`, may these become targets of it?
    pub(super) fn extend(&self, held: &BTreeSet<usize>, at: u64, late: &BTreeSet<usize>) -> Verdict {
        let late: Vec<usize> = late.difference(held).copied().collect();
        if late.iter().any(|target| self.last[*target] > at) {
            return Verdict::Refuse;
        }
        let stamped_anew = self.lifted > at && late.iter().any(|target| self.last[*target] > 0);
        if !late.is_empty() && (stamped_anew || self.may_have_lost_since(at)) {
            return Verdict::Either;
        }
        Verdict::Accept
    }

    /// Whether the ring may have lost something that counts as later than `at`.
    fn may_have_lost_since(&self, at: u64) -> bool {
        self.count_since(at) > self.room || (self.lifted > at && self.has_lost())
    }

    fn has_lost(&self) -> bool {
        self.count_since(0) > self.room
    }

    /// How many invalidations there were after the event at `at`.
    fn count_since(&self, at: u64) -> u64 {
        let events = self.events.iter().rev().take_while(|event| event.at > at).count() as u64;
        let floods = self.floods.iter().filter(|(flood, ..)| *flood > at);
        events + floods.map(|(.., count)| count).sum::<u64>()
    }

    /// F14, M6: may a value of `held` from a copy of a lane's source at `point` be kept?
    pub(super) fn as_of(&self, held: &BTreeSet<usize>, lane: usize, point: u64) -> Verdict {
        let of_lane = || {
            let events = self.events.iter();
            events.filter_map(move |event| {
                event
                    .commit
                    .filter(|(of, _)| *of == lane)
                    .map(|commit| (event, commit.1))
            })
        };
        let lacks = of_lane().any(|(event, position)| held.contains(&event.target) && position > point);
        if lacks {
            return Verdict::Refuse;
        }
        let is_within = |event: &Event| event.bound.is_some_and(|bound| bound <= point);
        if !self.has_lost() {
            return Verdict::unless(
                of_lane().any(|(event, _)| held.contains(&event.target) && !is_within(event)),
            );
        }
        let shown = |event: &Event| {
            let caught_up = self.lanes[lane].caught_up;
            caught_up.is_some_and(|(began, shown)| began >= event.at && shown <= point)
        };
        let nothing_above =
            of_lane().all(|(event, _)| is_within(event) && (!event.began_unknown || shown(event)));
        if nothing_above {
            Verdict::Accept
        } else {
            Verdict::Either
        }
    }

    /// F14: the same for a copy that cannot tell, with a hold in tenths of a second.
    pub(super) fn as_of_unknown(&self, held: &BTreeSet<usize>, hold: u64) -> Verdict {
        let is_recent = |time: u64| self.time - time < hold;
        let mut recent = self.events.iter().filter(|event| is_recent(event.time));
        let is_flooded = self.floods.iter().any(|(_, time, _)| is_recent(*time));
        if recent.clone().any(|event| held.contains(&event.target)) {
            Verdict::Refuse
        } else if self.has_lost() && (is_flooded || recent.next().is_some()) {
            Verdict::Either
        } else {
            Verdict::Accept
        }
    }

    /// F17: may an entry that was filled at `at` come back from disk? `retired`: below the journal's floor.
    pub(super) fn restore(&self, held: &BTreeSet<usize>, at: u64, retired: bool) -> Verdict {
        if retired || !self.is_fresh(held, at) {
            Verdict::Refuse
        } else if self.lifted > at {
            Verdict::Either
        } else {
            Verdict::Accept
        }
    }

    /// F15: the bound of a commit is known.
    pub(super) fn settle(&mut self, lane: usize, position: u64, bound: u64) {
        for event in &mut self.events {
            if event.commit == Some((lane, position)) && event.bound.is_none() {
                event.bound = Some(bound);
            }
        }
    }

    /// F21: progress.
    pub(super) fn publish(&mut self, lane: usize, next: u64) {
        let lane = &mut self.lanes[lane];
        lane.next = lane.next.max(next);
    }

    pub(super) fn publish_single(&mut self, lane: usize, position: u64) {
        self.lanes[lane].singles.insert(position);
    }

    pub(super) fn caught_up(&mut self, lane: usize, began: u64, point: u64) {
        self.lanes[lane].caught_up = Some((began, point));
    }

    /// F22: whether a commit counts as applied.
    pub(super) fn is_applied(&self, lane: usize, position: u64) -> bool {
        let lane = &self.lanes[lane];
        position < lane.next || lane.singles.contains(&position)
    }

    /// M1: the oldest value of a lane's source that a read of `held` may still give, as a position.
    pub(super) fn oldest_allowed(&self, held: &BTreeSet<usize>, lane: usize) -> u64 {
        let of_lane = |event: &Event| {
            event
                .commit
                .filter(|(of, _)| *of == lane)
                .map(|(_, position)| position)
        };
        let covering = self.events.iter().filter(|event| held.contains(&event.target));
        covering.filter_map(of_lane).max().unwrap_or(0)
    }

    /// How many invalidations there were: all, and by lane.
    pub(super) fn counts(&self) -> (u64, [u64; 2]) {
        let of = |lane: usize| {
            let of_lane = |event: &&Event| event.commit.is_some_and(|(of, _)| of == lane);
            self.events.iter().filter(of_lane).count() as u64
        };
        (self.count_since(0), [of(0), of(1)])
    }
}
