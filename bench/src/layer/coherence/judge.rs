//! [`Judge`]: which reads are stale. It knows when each version of each row was acknowledged, and nothing of caches, messages or logs.
//!
//! A row begins at version 0; each write of it makes the next one. A version is *acknowledged* when the writer's call has returned: commit, and whatever
//! the writer's node owes before it answers. A commit that has returned and whose writer died before it could answer counts as acknowledged when the
//! commit returned: others may have seen it.
//!
//! A read is stale if it gives a version older than
//! - on the node of the writer: the newest one that was acknowledged before the read began (reading one's own writes);
//! - on another node: the newest one that was acknowledged longer than the bound before the read began. Once nothing has been written for longer than
//!   the bound, that is the newest of all: what is older then stays for ever.
//!
//! A version that nobody has begun to write is no answer but a fault of the benchmark. All subjects have the same judge and the same bound.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Where a read takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On the node that writes.
    WritersNode,
    /// On one that hears of it.
    OtherNode,
}

/// A read under way: of which row, and what it must not be older than.
#[derive(Clone, Copy, Debug)]
#[must_use = "end it with what was read"]
pub(super) struct Due {
    row: u64,
    least: u64,
}

/// What was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) writes: u64,
    pub(super) reads: u64,
    pub(super) stale: u64,
}

pub(super) struct Judge {
    bound: Duration,
    begun: Instant,
    rows: Vec<Row>,
    writes: AtomicU64,
    reads: AtomicU64,
    stale: AtomicU64,
}

#[derive(Default)]
struct Row {
    announced: AtomicU64,
    /// Versions and when they were acknowledged, both ascending.
    acknowledged: Mutex<Vec<(u64, Duration)>>,
}

impl Judge {
    pub(super) fn new(rows: u64, bound: Duration) -> Self {
        Judge {
            bound,
            begun: Instant::now(),
            rows: (0..rows).map(|_| Row::default()).collect(),
            writes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            stale: AtomicU64::new(0),
        }
    }

    /// Somebody is about to write a row: which version that makes. Each row has one writer at a time.
    pub(super) fn announce(&self, row: u64) -> u64 {
        self.row(row).announced.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The version is acknowledged now.
    pub(super) fn acknowledge(&self, row: u64, version: u64) {
        self.acknowledge_at(row, version, self.begun.elapsed());
    }

    fn acknowledge_at(&self, row: u64, version: u64, at: Duration) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let mut acknowledged = self.row(row).acknowledged.lock().expect("no judge panics");
        acknowledged.push((version, at));
    }

    /// A read begins now.
    pub(super) fn begin(&self, row: u64, place: Place) -> Due {
        self.begin_at(row, place, self.begun.elapsed())
    }

    fn begin_at(&self, row: u64, place: Place, now: Duration) -> Due {
        let acknowledged = self.row(row).acknowledged.lock().expect("no judge panics");
        let so_many = match place {
            Place::WritersNode => acknowledged.len(),
            Place::OtherNode => acknowledged.partition_point(|(_, at)| *at + self.bound < now),
        };
        let least = so_many.checked_sub(1).map_or(0, |last| acknowledged[last].0);
        Due { row, least }
    }

    /// The read has ended and gave this version: whether it was stale.
    pub(super) fn end(&self, due: Due, version: u64) -> bool {
        let announced = self.row(due.row).announced.load(Ordering::SeqCst);
        assert!(
            version <= announced,
            "row {} was never at version {version}",
            due.row
        );
        let is_stale = version < due.least;
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.stale.fetch_add(u64::from(is_stale), Ordering::Relaxed);
        is_stale
    }

    pub(super) fn tally(&self) -> Tally {
        Tally {
            writes: self.writes.load(Ordering::Relaxed),
            reads: self.reads.load(Ordering::Relaxed),
            stale: self.stale.load(Ordering::Relaxed),
        }
    }

    fn row(&self, row: u64) -> &Row {
        &self.rows[usize::try_from(row).expect("a row is a place in memory")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Row 3 at version 2: the first was acknowledged after 1 s, the second after 5 s.
    fn judge() -> Judge {
        let judge = Judge::new(4, SECOND);
        for (version, at) in [(1, 1), (2, 5)] {
            assert_eq!(judge.announce(3), version);
            judge.acknowledge_at(3, version, at * SECOND);
        }
        judge
    }

    #[test]
    fn on_the_writers_node_a_read_is_as_new_as_what_was_acknowledged() {
        for (version, is_stale) in [(0, true), (1, true), (2, false)] {
            let judge = judge();
            let due = judge.begin_at(3, Place::WritersNode, 5 * SECOND);
            assert_eq!(judge.end(due, version), is_stale, "{version}");
        }
    }

    #[test]
    fn on_another_node_a_read_may_be_as_old_as_the_bound() {
        for (now, version, is_stale) in [
            (2, 0, false),
            (3, 0, true),
            (6, 1, false),
            (7, 1, true),
            (7, 2, false),
        ] {
            let judge = judge();
            let due = judge.begin_at(3, Place::OtherNode, now * SECOND);
            assert_eq!(judge.end(due, version), is_stale, "{version} after {now} s");
        }
    }

    #[test]
    fn what_is_acknowledged_during_a_read_is_not_asked_of_it() {
        let judge = judge();
        let due = judge.begin_at(3, Place::WritersNode, 6 * SECOND);
        assert_eq!(judge.announce(3), 3);
        judge.acknowledge_at(3, 3, 6 * SECOND);
        assert!(!judge.end(due, 2));
        let other = judge.begin_at(0, Place::WritersNode, 6 * SECOND);
        assert!(!judge.end(other, 0), "nobody has written it");
        let expected = Tally {
            writes: 3,
            reads: 2,
            stale: 0,
        };
        assert_eq!(judge.tally(), expected);
    }

    #[test]
    #[should_panic(expected = "row 3 was never at version 4")]
    fn what_nobody_has_begun_to_write_is_a_fault() {
        let judge = judge();
        assert_eq!(judge.announce(3), 3);
        let due = judge.begin_at(3, Place::OtherNode, SECOND);
        let _ = judge.end(due, 4);
    }
}
