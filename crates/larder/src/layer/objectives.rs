//! [`Objectives`]: what share of checks has matched of late, and what share of time this node was sure of what it keeps.
//!
//! What is always true: a minute is counted in one place, and leaves after a day; a window is the last whole minutes and the one that runs.

use std::collections::VecDeque;
use std::time::Duration;

use larder_core::Moment;
use larder_core::sync::Mutex;

use super::Layer;
use super::verify::Checked;

const MINUTE: Duration = Duration::from_secs(60);
/// As many minutes as the longest window has, and the one that runs.
const MINUTES: usize = 24 * 60 + 1;
/// The windows of which it is told.
const WINDOWS: [Duration; 3] = [
    Duration::from_secs(5 * 60),
    Duration::from_secs(3_600),
    Duration::from_secs(24 * 3_600),
];
/// For how long after a stale entry was found a layer's health is not what it should be.
pub(super) const DEGRADED_FOR: Duration = Duration::from_secs(3_600);

/// How fresh what is kept has been within a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Objective {
    /// The last minutes, up to now.
    pub window: Duration,
    /// Entries that were compared with their origin and judged.
    pub checks: u64,
    /// Of them those that were as their origin has them.
    pub matching: u64,
    /// How often it was looked whether this node has heard from its sources within the freshness bound: once a second.
    pub looks: u64,
    /// Of these, how often it had.
    pub sure: u64,
}

impl Objective {
    /// The share of checks that matched; none if there was no check.
    #[must_use]
    pub fn matching_ratio(&self) -> Option<f64> {
        ratio(self.matching, self.checks)
    }

    /// The share of time within the freshness bound; none if nobody has looked.
    #[must_use]
    pub fn sure_ratio(&self) -> Option<f64> {
        ratio(self.sure, self.looks)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
    let ratio = part as f64 / whole as f64;
    (whole > 0).then_some(ratio)
}

#[derive(Default)]
pub(super) struct Objectives {
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    /// By minute, the oldest first.
    minutes: VecDeque<Minute>,
    /// How many stale entries were found, and when the last was.
    stale: u64,
    last_stale: Option<Moment>,
}

#[derive(Clone, Copy, Default)]
struct Minute {
    /// Of the clock's time.
    number: u64,
    checks: u64,
    matching: u64,
    looks: u64,
    sure: u64,
}

impl Objectives {
    /// An entry was compared with its origin.
    pub(super) fn checked(&self, now: Moment, checked: &Checked) {
        let (is_match, is_stale) = match checked {
            Checked::Matching => (true, false),
            Checked::Mismatched(_) => (false, true),
            // What was not judged says nothing.
            Checked::Moved | Checked::Gone | Checked::OriginError | Checked::Unsure => return,
        };
        let mut counted = self.counted.lock();
        let minute = counted.minute(now);
        minute.checks += 1;
        minute.matching += u64::from(is_match);
        if is_stale {
            counted.stale += 1;
            counted.last_stale = Some(now);
        }
    }

    /// It was looked whether this node is sure.
    pub(super) fn looked(&self, now: Moment, is_sure: bool) {
        let mut counted = self.counted.lock();
        let minute = counted.minute(now);
        minute.looks += 1;
        minute.sure += u64::from(is_sure);
    }

    /// How many stale entries were found, and when the last was.
    pub(super) fn stale(&self) -> (u64, Option<Moment>) {
        let counted = self.counted.lock();
        (counted.stale, counted.last_stale)
    }

    fn within(&self, now: Moment, window: Duration) -> Objective {
        let first = minute_of(now.saturating_sub(window));
        let counted = self.counted.lock();
        let mut objective = Objective {
            window,
            checks: 0,
            matching: 0,
            looks: 0,
            sure: 0,
        };
        let of_window = counted.minutes.iter().filter(|minute| minute.number >= first);
        for minute in of_window {
            objective.checks += minute.checks;
            objective.matching += minute.matching;
            objective.looks += minute.looks;
            objective.sure += minute.sure;
        }
        objective
    }
}

impl Counted {
    /// The minute that runs.
    fn minute(&mut self, now: Moment) -> &mut Minute {
        let number = minute_of(now);
        if self.minutes.back().is_none_or(|last| last.number < number) {
            if self.minutes.len() == MINUTES {
                self.minutes.pop_front();
            }
            self.minutes.push_back(Minute {
                number,
                ..Minute::default()
            });
        }
        let last = self.minutes.len() - 1;
        &mut self.minutes[last]
    }
}

fn minute_of(moment: Moment) -> u64 {
    moment.since(Moment::ORIGIN).as_secs() / MINUTE.as_secs()
}

impl Layer {
    /// How fresh what is kept has been within the last five minutes, hour and day.
    #[must_use]
    pub fn objectives(&self) -> [Objective; 3] {
        let now = self.shared.fence.time();
        WINDOWS.map(|window| self.shared.objectives.within(now, window))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use larder_core::Moment;

    use super::{Checked, MINUTES, Objectives};

    fn at(seconds: u64) -> Moment {
        Moment::ORIGIN + Duration::from_secs(seconds)
    }

    /// What is counted is in each window that reaches back to it, and in no other; what was not judged counts nowhere; no more minutes are kept than
    /// a day has.
    ///
    /// Contract: S46 (partial: windows)
    #[test]
    fn a_window_counts_what_lies_within() {
        let objectives = Objectives::default();
        for minute in 0..3 * 1_440 {
            objectives.checked(at(minute * 60), &Checked::Matching);
            objectives.checked(at(minute * 60 + 59), &Checked::Moved);
            objectives.looked(at(minute * 60), minute % 2 == 0);
        }
        let now = at(3 * 86_400 - 1);
        let counts = super::WINDOWS.map(|window| objectives.within(now, window));
        // The minutes that have ended within it, and the one that runs.
        assert_eq!(counts.map(|it| it.checks), [6, 61, 1_441]);
        assert_eq!(counts.map(|it| it.matching_ratio()), [Some(1.0); 3]);
        assert_eq!(
            counts.map(|it| (it.looks, it.sure)),
            [(6, 3), (61, 30), (1_441, 720)]
        );
        assert_eq!(objectives.counted.lock().minutes.len(), MINUTES);
        let later = at(3 * 86_400 + 400);
        assert_eq!(objectives.within(later, super::WINDOWS[0]).matching_ratio(), None);
    }
}
