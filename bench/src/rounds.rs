//! Alternating rounds: each subject is timed once in every round, and the median of its rounds counts.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How many rounds a comparison has. Odd, so that the median is one that was measured.
pub const ROUNDS: usize = 5;

/// The subjects of one comparison. What they borrow must be made before the comparison is.
///
/// ```
/// use larder_bench::Rounds;
///
/// let mut rounds = Rounds::new(1_000);
/// let mut sum = 0_u64;
/// rounds.subject("add", |iterations| {
///     for number in 0..iterations {
///         sum = sum.wrapping_add(number);
///     }
///     sum
/// });
/// let measured = rounds.run();
/// assert_eq!(measured[0].name(), "add");
/// ```
pub struct Rounds<'a> {
    iterations: u64,
    subjects: Vec<(String, Work<'a>)>,
}

/// Does the number of operations that it is given, and says how long they took.
type Work<'a> = Box<dyn FnMut(u64) -> Duration + 'a>;

/// What one subject took.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    name: String,
    iterations: u64,
    rounds: Vec<Duration>,
}

impl<'a> Rounds<'a> {
    /// A comparison in which each subject does `iterations` operations a round.
    #[must_use]
    pub fn new(iterations: u64) -> Self {
        Self {
            iterations,
            subjects: Vec::new(),
        }
    }

    /// Adds a subject. `work` does the number of operations that it is given and returns something of their results, which is
    /// kept from being optimised away. That keeps the sum, not each operation: put what goes into each through `black_box`.
    pub fn subject<R>(&mut self, name: &str, mut work: impl FnMut(u64) -> R + 'a) -> &mut Self {
        self.subject_timing_itself(name, move |iterations| {
            let start = Instant::now();
            black_box(work(black_box(iterations)));
            start.elapsed()
        })
    }

    /// Adds a subject that says itself how long its operations took: for one whose preparation must not count, and for one
    /// that runs on several threads.
    pub fn subject_timing_itself(&mut self, name: &str, work: impl FnMut(u64) -> Duration + 'a) -> &mut Self {
        self.subjects.push((name.to_owned(), Box::new(work)));
        self
    }

    /// Warms every subject up once, then runs the rounds. Round `r` begins with subject `r`, so that each one comes first.
    #[must_use]
    pub fn run(mut self) -> Vec<Measured> {
        let iterations = self.iterations;
        let named = |name: &String| Measured {
            name: name.clone(),
            iterations,
            rounds: Vec::new(),
        };
        let mut measured: Vec<Measured> = self.subjects.iter().map(|(name, _)| named(name)).collect();
        for (_, work) in &mut self.subjects {
            black_box(work(iterations.div_ceil(10)));
        }
        let count = self.subjects.len();
        for round in 0..ROUNDS {
            for turn in 0..count {
                let index = (round + turn) % count;
                measured[index].rounds.push(self.subjects[index].1(iterations));
            }
        }
        measured
    }
}

impl Measured {
    /// The subject's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Nanoseconds an operation took, in the median of the rounds.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits of a count of operations are enough for a report"
    )]
    pub fn nanoseconds(&self) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        median.as_secs_f64() * 1e9 / self.iterations.max(1) as f64
    }

    /// How many times as long as the other an operation took, in each round of a comparison that had both.
    #[must_use]
    pub fn over(&self, other: &Measured) -> Vec<f64> {
        let seconds = |rounds: &[Duration]| rounds.iter().map(Duration::as_secs_f64).collect::<Vec<_>>();
        let both = seconds(&self.rounds).into_iter().zip(seconds(&other.rounds));
        both.map(|(own, others)| own / others).collect()
    }

    /// Operations a second, in the median of the rounds; infinite if nothing took no time.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        1e9 / self.nanoseconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn each_subject_comes_first_in_some_round() {
        let order = RefCell::new(String::new());
        let mut rounds = Rounds::new(10);
        for name in ["a", "b"] {
            let order = &order;
            rounds.subject_timing_itself(name, move |_| {
                order.borrow_mut().push_str(name);
                Duration::from_nanos(10)
            });
        }
        let measured = rounds.run();
        assert_eq!(order.into_inner(), "ab-ab-ba-ab-ba-ab".replace('-', ""));
        assert_eq!(
            measured.iter().map(Measured::name).collect::<Vec<_>>(),
            ["a", "b"]
        );
    }

    #[test]
    fn the_median_counts() {
        let mut times = [9, 5, 1, 7, 3, 1000].map(Duration::from_micros).into_iter();
        let mut rounds = Rounds::new(1_000);
        rounds.subject_timing_itself("a", move |_| times.next().unwrap_or_default());
        let measured = rounds.run();
        assert!((measured[0].nanoseconds() - 5.0).abs() < 1e-9, "{measured:?}");
        assert!((measured[0].per_second() - 2e8).abs() < 1.0, "{measured:?}");
    }

    #[test]
    fn subjects_are_compared_round_by_round() {
        let mut rounds = Rounds::new(10);
        for (name, step) in [("a", 2), ("b", 1)] {
            let mut micros = 0;
            rounds.subject_timing_itself(name, move |_| {
                micros += step;
                Duration::from_micros(micros)
            });
        }
        let measured = rounds.run();
        assert_eq!(measured[0].over(&measured[1]), [2.0; ROUNDS]);
    }
}
