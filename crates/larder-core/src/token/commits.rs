//! Sets of commits of one source and epoch, and the forms that a token can give them.
//!
//! A set is a list of runs of positions, so that a range costs no more than a single one. [`Position::MAX`] is in no
//! set. What a token can hold of a set is decided here; how it is written is not.

use crate::position::Position;

/// A finite set of positions: runs that ascend and do not touch, none empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commits {
    runs: Vec<Run>,
}

/// The positions from `from` to below `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    from: u64,
    to: u64,
}

impl Run {
    fn len(self) -> u64 {
        self.to - self.from
    }

    fn positions(self) -> impl Iterator<Item = Position> {
        (self.from..self.to).map(Position::new)
    }
}

/// A set as a token has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) below: Position,
    pub(super) except: Box<[Position]>,
    pub(super) singles: Box<[Position]>,
}

impl Commits {
    pub(super) fn single(position: Position) -> Self {
        Self::new(Position::ZERO, &[], &[position])
    }

    /// The positions below `below` but `except`, and `singles`. Exceptions ascend and are below `below`, singles
    /// ascend from `below` on and are not [`Position::MAX`].
    pub(super) fn new(below: Position, except: &[Position], singles: &[Position]) -> Self {
        let mut commits = Self {
            runs: Vec::with_capacity(except.len() + 1 + singles.len()),
        };
        let mut from = 0;
        for exception in except {
            commits.push(Run {
                from,
                to: exception.get(),
            });
            from = exception.next().get();
        }
        commits.push(Run {
            from,
            to: below.get(),
        });
        for single in singles {
            commits.push(Run {
                from: single.get(),
                to: single.next().get(),
            });
        }
        commits
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Appends a run that does not begin before the last one.
    fn push(&mut self, run: Run) {
        if run.from >= run.to {
            return;
        }
        match self.runs.last_mut() {
            Some(last) if run.from <= last.to => last.to = last.to.max(run.to),
            _ => self.runs.push(run),
        }
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        let mut all: Vec<Run> = self.runs.iter().chain(&other.runs).copied().collect();
        all.sort_unstable_by_key(|run| run.from);
        let mut union = Self {
            runs: Vec::with_capacity(all.len()),
        };
        all.into_iter().for_each(|run| union.push(run));
        union
    }

    /// The gap before each run.
    fn gaps(&self) -> impl Iterator<Item = Run> {
        let mut from = 0;
        self.runs.iter().map(move |run| {
            let gap = Run { from, to: run.from };
            from = run.to;
            gap
        })
    }

    /// How many positions the runs from the `first` on have.
    fn len_from(&self, first: usize) -> u64 {
        self.runs
            .iter()
            .skip(first)
            .fold(0, |sum, run| sum.saturating_add(run.len()))
    }

    /// The normal form, if there is any with at most so many exceptions and singles as a token holds.
    ///
    /// Between the end of a run and the end of the next one, raising `below` either names one exception more or is
    /// no better than raising it to the run's end. So it lies at the end of a run, or at zero.
    pub(super) fn form(&self) -> Option<Form> {
        use crate::limits::{TOKEN_EXCEPT_MAX, TOKEN_SINGLES_MAX};
        let mut gaps = self.gaps();
        let mut except = 0_u64;
        let mut best: Option<(u64, usize)> = None;
        for below_runs in 0..=self.runs.len() {
            let singles = self.len_from(below_runs);
            let fits = except <= TOKEN_EXCEPT_MAX as u64 && singles <= TOKEN_SINGLES_MAX as u64;
            if fits && best.is_none_or(|(least, _)| except + singles < least) {
                best = Some((except + singles, below_runs));
            }
            except = except.saturating_add(gaps.next().map_or(0, Run::len));
        }
        best.map(|(_, below_runs)| self.form_at(below_runs))
    }

    /// The form whose `below` is the end of so many runs.
    fn form_at(&self, below_runs: usize) -> Form {
        let last = below_runs.checked_sub(1).and_then(|last| self.runs.get(last));
        Form {
            below: Position::new(last.map_or(0, |run| run.to)),
            except: self.gaps().take(below_runs).flat_map(Run::positions).collect(),
            singles: self
                .runs
                .iter()
                .skip(below_runs)
                .copied()
                .flat_map(Run::positions)
                .collect(),
        }
    }

    /// The set itself, if so many exceptions and singles can name it; otherwise one that has more positions.
    ///
    /// `below` is raised over the lowest runs, until the rest can be named as singles. Of the gaps below it the
    /// lowest are kept, each as a whole or not at all: an old transaction may stay open for long, a young one ends
    /// soon, so requiring the young one costs less.
    pub(super) fn rounded(&self, except_max: usize, singles_max: usize) -> Self {
        let mut below_runs = 0;
        while self.len_from(below_runs) > singles_max as u64 {
            below_runs += 1;
        }
        let mut except_left = except_max as u64;
        let mut rounded = Self {
            runs: Vec::with_capacity(self.runs.len()),
        };
        for (index, (gap, run)) in self.gaps().zip(&self.runs).enumerate() {
            let kept = index >= below_runs || gap.len() <= except_left;
            if kept && index < below_runs {
                except_left -= gap.len();
            }
            let from = if kept { run.from } else { gap.from };
            rounded.push(Run { from, to: run.to });
        }
        rounded
    }
}
