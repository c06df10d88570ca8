//! [`Checker`]: whether what was read may have been read. It knows the history of every row, and what each read says of itself; nothing of
//! how a pool, a fence or a follower works.
//!
//! A read is stale if it is older than (a) the row at the position that its node said it had applied before the read began, (b) the row at
//! the position of the token that it carried, or (c) any version whose commit had been acknowledged for longer than the bound when it
//! began. A version that never was is no answer either.

use std::collections::HashMap;
use std::fmt;

/// A row, by its kind and id.
pub(crate) type RowKey = (u8, i64);

/// One committed change of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// Of which commit.
    pub(crate) position: u64,
    pub(crate) row: RowKey,
    /// Each change of a row has a version of its own, the next of that row.
    pub(crate) version: u64,
    pub(crate) deleted: bool,
}

/// What was read, and what the read says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) node: usize,
    pub(crate) row: RowKey,
    /// The version of the row; none if there was no such row.
    pub(crate) version: Option<u64>,
    /// What the node said that it had applied, before the read began.
    pub(crate) applied: u64,
    /// The position of the token that it carried, if it carried one.
    pub(crate) token: Option<u64>,
    /// When it began, in nanoseconds of the machine's clock.
    pub(crate) began_nanos: u64,
}

/// Which promise a read has broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Applied,
    Token,
    Bound,
    NeverWas,
}

/// A read that should not have been.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    pub(crate) read: Read,
    pub(crate) broken: Broken,
    /// The version that was due at least, and the commit that brought it.
    pub(crate) due: Option<Change>,
}

/// Of how many stale reads the evidence is kept.
const EVIDENCE_MAX: usize = 16;

pub(crate) struct Checker {
    bound_nanos: u64,
    rows: HashMap<RowKey, Vec<Change>>,
    /// When the commits of positions were acknowledged.
    acknowledged: HashMap<u64, u64>,
    waiting: Vec<Read>,
    checked: u64,
    stale: u64,
    evidence: Vec<Evidence>,
}

impl Checker {
    pub(crate) fn new(bound_nanos: u64) -> Self {
        Checker {
            bound_nanos,
            rows: HashMap::new(),
            acknowledged: HashMap::new(),
            waiting: Vec::new(),
            checked: 0,
            stale: 0,
            evidence: Vec::new(),
        }
    }

    /// A change that has been committed; those of a row come in the order of their versions.
    pub(crate) fn learn(&mut self, change: Change) {
        self.rows.entry(change.row).or_default().push(change);
    }

    /// The commit of a position was acknowledged to whoever made it.
    pub(crate) fn acknowledge(&mut self, position: u64, at_nanos: u64) {
        self.acknowledged.insert(position, at_nanos);
    }

    /// A read that has ended. It is judged by [`Checker::judge`], once every change that it can have seen is known.
    pub(crate) fn note(&mut self, read: Read) {
        self.waiting.push(read);
    }

    /// Takes the reads that wait to be judged: what was committed before this must be learnt before they are.
    pub(crate) fn take_waiting(&mut self) -> Vec<Read> {
        std::mem::take(&mut self.waiting)
    }

    pub(crate) fn judge(&mut self, reads: &[Read]) {
        for read in reads {
            self.checked += 1;
            if let Some((broken, due)) = self.fault(read) {
                self.stale += 1;
                if self.evidence.len() < EVIDENCE_MAX {
                    self.evidence.push(Evidence {
                        read: *read,
                        broken,
                        due,
                    });
                }
            }
        }
    }

    fn fault(&self, read: &Read) -> Option<(Broken, Option<Change>)> {
        let none = Vec::new();
        let changes = self.rows.get(&read.row).unwrap_or(&none);
        let at = |position: u64| {
            let until = changes.partition_point(|change| change.position <= position);
            until.checked_sub(1).and_then(|last| changes.get(last))
        };
        let is_old = |change: &&Change| {
            let at = self.acknowledged.get(&change.position);
            at.is_some_and(|at| at.saturating_add(self.bound_nanos) < read.began_nanos)
        };
        let floors = [
            (Broken::Applied, at(read.applied)),
            (Broken::Token, read.token.and_then(at)),
            (Broken::Bound, changes.iter().rev().find(is_old)),
        ];
        for (broken, due) in floors {
            let Some(due) = due else { continue };
            let is_older = match read.version {
                Some(version) => version < due.version,
                // Right if the row was gone at some moment since.
                None => !changes
                    .iter()
                    .any(|change| change.version >= due.version && change.deleted),
            };
            if is_older {
                return Some((broken, Some(*due)));
            }
        }
        let is_known = read.version.is_none_or(|version| {
            let mut known = changes.iter();
            known.any(|change| change.version == version && !change.deleted)
        });
        (!is_known).then_some((Broken::NeverWas, None))
    }

    /// What a row is now: its version, or that there is none.
    pub(crate) fn now(&self, row: RowKey) -> Option<u64> {
        let last = self.rows.get(&row).and_then(|changes| changes.last());
        last.filter(|last| !last.deleted).map(|last| last.version)
    }

    /// Positions that were acknowledged and of which no change is there.
    pub(crate) fn lost(&self) -> u64 {
        let there: std::collections::HashSet<u64> = self
            .rows
            .values()
            .flatten()
            .map(|change| change.position)
            .collect();
        let lost = self
            .acknowledged
            .keys()
            .filter(|position| !there.contains(position));
        u64::try_from(lost.count()).unwrap_or(u64::MAX)
    }

    pub(crate) fn checked(&self) -> u64 {
        self.checked
    }

    pub(crate) fn stale(&self) -> u64 {
        self.stale
    }

    pub(crate) fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Broken::Applied => "older than what the node had applied",
            Broken::Token => "older than its token",
            Broken::Bound => "older than a version acknowledged longer ago than the bound",
            Broken::NeverWas => "a version that never was",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: RowKey = (1, 7);
    const BOUND: u64 = 1_000;

    /// Versions 1 to 4 at positions 0, 10, 20, 30; 3 is a deletion.
    fn checker() -> Checker {
        let mut checker = Checker::new(BOUND);
        for (position, version) in [(0, 1), (10, 2), (20, 3), (30, 4)] {
            checker.learn(Change {
                position,
                row: ROW,
                version,
                deleted: version == 3,
            });
        }
        checker.acknowledge(10, 5_000);
        checker
    }

    fn read(version: Option<u64>, applied: u64) -> Read {
        Read {
            node: 0,
            row: ROW,
            version,
            applied,
            token: None,
            began_nanos: 0,
        }
    }

    fn broken(read: Read) -> Option<Broken> {
        let mut checker = checker();
        checker.note(read);
        let waiting = checker.take_waiting();
        checker.judge(&waiting);
        assert_eq!(
            (checker.checked(), checker.stale()),
            (1, u64::from(!checker.evidence().is_empty()))
        );
        checker.evidence().first().map(|evidence| evidence.broken)
    }

    #[test]
    fn a_read_is_not_older_than_what_its_node_had_applied() {
        for (version, applied, expected) in [
            (Some(1), 0, None),
            (Some(1), 9, None),
            (Some(1), 10, Some(Broken::Applied)),
            (Some(2), 10, None),
            (Some(4), 0, None),
            (Some(2), 20, Some(Broken::Applied)),
            (None, 20, None),
            (None, 0, None),
            (None, 30, Some(Broken::Applied)),
        ] {
            assert_eq!(
                broken(read(version, applied)),
                expected,
                "{version:?} at {applied}"
            );
        }
    }

    #[test]
    fn a_read_is_not_older_than_its_token() {
        for (version, token, expected) in [
            (Some(1), 10, Some(Broken::Token)),
            (Some(2), 10, None),
            (Some(1), 5, None),
        ] {
            let read = Read {
                token: Some(token),
                ..read(version, 0)
            };
            assert_eq!(broken(read), expected, "{version:?} with {token}");
        }
    }

    #[test]
    fn a_read_is_not_older_than_the_bound_allows() {
        for (began_nanos, expected) in [(6_000, None), (6_001, Some(Broken::Bound))] {
            let read = Read {
                began_nanos,
                ..read(Some(1), 0)
            };
            assert_eq!(broken(read), expected, "begun at {began_nanos}");
        }
    }

    #[test]
    fn what_never_was_is_no_answer() {
        assert_eq!(broken(read(Some(5), 0)), Some(Broken::NeverWas));
        assert_eq!(
            broken(read(Some(3), 0)),
            Some(Broken::NeverWas),
            "a deletion has no value"
        );
        let unknown = Read {
            row: (1, 8),
            ..read(None, 30)
        };
        assert_eq!(broken(unknown), None);
    }

    #[test]
    fn what_was_acknowledged_is_there() {
        let mut checker = checker();
        assert_eq!((checker.lost(), checker.now(ROW)), (0, Some(4)));
        checker.acknowledge(15, 0);
        assert_eq!(checker.lost(), 1);
    }
}
