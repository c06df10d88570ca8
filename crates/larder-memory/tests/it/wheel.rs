//! The timing wheel gives out what a sorted map of deadlines would, however time jumps.

use std::collections::BTreeSet;
use std::time::Duration;

use larder_core::Moment;
use larder_memory::limits::{WHEEL_TICK, WHEEL_TICK_MIN};
use larder_memory::{SlotId, Slots, TimerId, Wheel};
use larder_testkit::{Random, for_each_seed};

/// Deadlines by timer, in order: what the wheel is a faster form of.
#[derive(Default)]
struct Model {
    by_deadline: BTreeSet<(Moment, TimerId)>,
}

impl Model {
    fn pick(&self, random: &mut Random) -> Option<(Moment, TimerId)> {
        let at = random.index(self.by_deadline.len().max(1));
        self.by_deadline.iter().nth(at).copied()
    }

    /// What must be given out by now, and what may: with deadlines whole ticks ago, and with passed ones.
    fn due(&self, now: Moment, tick: Duration) -> (usize, usize) {
        let passed = |by: Moment| self.by_deadline.iter().take_while(|(at, _)| *at <= by).count();
        let surely = if now.since(Moment::ORIGIN) < tick {
            0
        } else {
            passed(now.saturating_sub(tick))
        };
        (surely, passed(now))
    }
}

/// A stretch of time of any magnitude, from nothing to centuries.
fn stretch(random: &mut Random) -> Duration {
    let bits = random.below(64);
    Duration::from_nanos(random.next_u64() >> bits)
}

fn entries() -> Vec<SlotId> {
    let mut slots = Slots::new();
    (0..8).map(|number: u8| slots.insert(number).unwrap()).collect()
}

/// Timers are scheduled near and far, moved and cancelled, while time creeps and jumps; each comes up after its deadline and
/// within a tick of it, once.
///
/// Contract: P34 (partial: what has expired is found, without a pool), P35 (partial: the wheel, without a pool)
#[test]
fn the_wheel_is_a_sorted_map() {
    let entries = entries();
    for_each_seed(2_000, |seed| {
        let mut random = Random::seeded(seed);
        let tick = [WHEEL_TICK, WHEEL_TICK_MIN, Duration::from_millis(100)][random.index(3)];
        let (mut wheel, mut model) = (Wheel::new(tick), Model::default());
        let mut now = Moment::ORIGIN + stretch(&mut random);
        for _ in 0..120 {
            match random.below(6) {
                0 | 1 => {
                    let deadline = now + stretch(&mut random);
                    let entry = entries[random.index(entries.len())];
                    let timer = wheel.schedule(entry, deadline);
                    assert!(model.by_deadline.insert((deadline, timer)));
                }
                2 => {
                    if let Some((old, timer)) = model.pick(&mut random) {
                        let new = now + stretch(&mut random);
                        assert!(wheel.reschedule(timer, new));
                        model.by_deadline.remove(&(old, timer));
                        model.by_deadline.insert((new, timer));
                    }
                }
                3 => {
                    if let Some((deadline, timer)) = model.pick(&mut random) {
                        assert_eq!(wheel.deadline(timer), Some(deadline));
                        assert!(wheel.cancel(timer));
                        assert!(!wheel.cancel(timer), "it is gone");
                        model.by_deadline.remove(&(deadline, timer));
                    }
                }
                _ => {
                    now = now + stretch(&mut random).min(Duration::from_secs(1 << random.below(30)));
                    collect(&mut wheel, &mut model, now, tick, random.index(20));
                }
            }
            assert_eq!(wheel.len(), model.by_deadline.len());
            if let (Some(next), Some((first, _))) = (wheel.next_due(), model.by_deadline.first()) {
                assert!(next <= *first + tick, "{next:?} is later than {first:?}");
            }
        }
    });
}

/// Takes what is due, in batches of at most `limit` steps if that is not zero.
fn collect(wheel: &mut Wheel, model: &mut Model, now: Moment, tick: Duration, limit: usize) {
    let (surely, perhaps) = model.due(now, tick);
    let mut taken = 0;
    loop {
        let mut steps = if limit == 0 { usize::MAX } else { limit };
        let given = std::iter::from_fn(|| wheel.pop_due_within(now, &mut steps));
        for due in given {
            assert!(due.deadline <= now, "it comes up before its deadline");
            assert!(
                model.by_deadline.remove(&(due.deadline, due.timer)),
                "nobody scheduled it"
            );
            taken += 1;
        }
        if steps > 0 {
            break;
        }
    }
    assert!(
        (surely..=perhaps).contains(&taken),
        "{taken} of {surely} to {perhaps}"
    );
}

/// A timer is given out for the entry that it was scheduled for, exactly at a deadline of whole ticks.
///
/// Contract: P32 (partial: expired means `deadline <= now`, for whole ticks, without a pool)
#[test]
fn a_deadline_of_whole_ticks_is_met_exactly() {
    let entry = entries()[3];
    let mut wheel = Wheel::new(WHEEL_TICK);
    for millis in [0, 1, 63, 64, 65, 4_095, 4_096, 86_400_000] {
        let deadline = Moment::ORIGIN + Duration::from_millis(millis);
        let timer = wheel.schedule(entry, deadline);
        let before = deadline.saturating_sub(Duration::from_nanos(1));
        if before < deadline {
            assert_eq!(wheel.pop_due(before), None, "{millis} ms");
        }
        let due = wheel.pop_due(deadline).unwrap();
        assert_eq!((due.timer, due.entry, due.deadline), (timer, entry, deadline));
        assert!(wheel.is_empty());
        assert_eq!(wheel.next_due(), None);
    }
}

/// However many timers share a bucket or lie centuries apart, a batch takes no more steps than it may, and all batches
/// together take at most eight for each timer.
///
/// Contract: P35 (partial: O(1) for each entry, in batches, without a pool)
#[test]
fn batches_are_bounded_and_their_sum_too() {
    let entry = entries()[0];
    let mut wheel = Wheel::new(WHEEL_TICK);
    let mut random = Random::seeded(5);
    let count = 20_000;
    for number in 0..count {
        let far = if number % 2 == 0 {
            Duration::from_secs(1 << 33)
        } else {
            stretch(&mut random).min(Duration::from_secs(1 << 33))
        };
        wheel.schedule(entry, Moment::ORIGIN + far);
    }
    let (mut total, mut given) = (0, 0);
    let end = Moment::MAX;
    while !wheel.is_empty() {
        let mut steps = 100;
        while wheel.pop_due_within(end, &mut steps).is_some() {
            given += 1;
        }
        assert!(steps < 100, "it gets on");
        total += 100 - steps;
    }
    assert_eq!(given, count);
    assert!(total <= 8 * count, "{total} steps for {count} timers");
}

/// A deadline that a use has moved since is found too early, looked at, and scheduled anew: the wheel need not be touched by
/// the use.
///
/// Contract: P36 (partial: idle deadlines move without the wheel, without a pool)
#[test]
fn a_moved_deadline_is_looked_at_again() {
    let entry = entries()[0];
    let mut wheel = Wheel::new(WHEEL_TICK);
    let seconds = |count| Moment::ORIGIN + Duration::from_secs(count);
    wheel.schedule(entry, seconds(10));
    let used_until = seconds(25);
    let mut looks = 0;
    for second in 0..40 {
        while let Some(due) = wheel.pop_due(seconds(second)) {
            looks += 1;
            if used_until > seconds(second) {
                wheel.schedule(due.entry, used_until);
            } else {
                assert_eq!(second, 25, "it leaves when it expires");
            }
        }
    }
    assert_eq!((looks, wheel.len()), (2, 0));
}
