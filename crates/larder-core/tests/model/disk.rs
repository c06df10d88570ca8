//! M5: entries that lay on a disk, beside invalidations and through a crash that loses what was not synced.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use larder_core::sync::{AtomicU32, Mutex, Ordering};
use larder_core::{
    AsOf, Cursor, Epoch, Fence, Head, Invalidation, Journal, Journaled, Last, Position, Raised, SourceId,
    Stamp, StampRuns, Target, TargetHash, Timestamp,
};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use crate::explore::{explore, explore_times};
use crate::reads::join;
use crate::world::{Row, by_hand, fence, fence_of, user};

const SOURCE: SourceId = SourceId::new(7);
const EPOCH: Epoch = Epoch::new(1);

/// The journal of a disk tier: one sequence of rows, of which a crash may lose what was not synced.
#[derive(Default)]
struct Tape {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    rows: Vec<TapeRow>,
    synced: usize,
    table: HashMap<TargetHash, Stamp>,
    runs: StampRuns,
}

#[derive(Clone)]
enum TapeRow {
    Raised(TargetHash, Stamp),
    Cursor(Cursor),
}

impl Journal for Tape {
    fn raised(&self, raised: &[Raised]) {
        let mut inner = self.inner.lock();
        for one in raised {
            if let Raised::Target { hash, stamp, .. } = one {
                inner.rows.push(TapeRow::Raised(*hash, *stamp));
                let last = inner.table.entry(*hash).or_default();
                *last = (*last).max(*stamp);
            }
            inner.runs.note(one);
        }
    }

    fn last(&self, hash: TargetHash) -> Option<Stamp> {
        self.inner.lock().table.get(&hash).copied()
    }

    fn complete_to(&self) -> Stamp {
        self.inner.lock().runs.complete_to()
    }

    fn floor(&self) -> Stamp {
        Stamp::ZERO
    }
}

impl Tape {
    /// Saves a cursor after the rows that it vouches for, and syncs both.
    fn save(&self, cursor: Cursor) {
        let mut inner = self.inner.lock();
        inner.rows.push(TapeRow::Cursor(cursor));
        inner.synced = inner.rows.len();
    }

    /// What is found after a crash: the synced rows and any number of the others. `floor`: the limit that was
    /// stored ahead of use, up to which nothing can be missing that the cursor does not bring again.
    fn after_crash(&self, floor: Stamp) -> (Tape, Option<Cursor>) {
        let inner = self.inner.lock();
        let kept = thread_rng().gen_range(inner.synced..inner.rows.len() + 1);
        let mut found = Inner {
            runs: StampRuns::new(floor),
            ..Inner::default()
        };
        let mut cursor = None;
        for row in &inner.rows[..kept] {
            match row {
                TapeRow::Raised(hash, stamp) => {
                    let last = found.table.entry(*hash).or_default();
                    *last = (*last).max(*stamp);
                }
                TapeRow::Cursor(saved) => cursor = Some(saved.clone()),
            }
        }
        (
            Tape {
                inner: Mutex::new(found),
            },
            cursor,
        )
    }
}

/// A source whose commits are ordered: entry `n` is the commit at position `n`.
#[derive(Default)]
struct Log {
    commits: Mutex<Vec<Target>>,
}

impl Log {
    fn commit(&self, row: &Row, target: Target) {
        let mut commits = self.commits.lock();
        row.commit();
        commits.push(target);
    }

    fn read(&self, from: u64) -> (Vec<Invalidation>, Cursor, AsOf) {
        let commits = self.commits.lock();
        let rows = commits.iter().enumerate().skip(usize::try_from(from).unwrap());
        let rows = rows.map(|(at, target)| {
            Invalidation::new(
                target.clone(),
                Position::new(at as u64),
                Timestamp::from_micros(0),
            )
        });
        let next = commits.len() as u64;
        (rows.collect(), cursor(next), AsOf::new(SOURCE, EPOCH, next))
    }
}

fn cursor(next: u64) -> Cursor {
    Cursor::ordered(SOURCE, EPOCH, Position::new(next), 0)
}

/// Entries on disk: what was loaded, and the stamp of its pin. The disk loses nothing here; the journal does.
type Disk = Mutex<Vec<(u64, Stamp)>>;

fn load_to_disk(fence: &Fence, row: &Row, disk: &Disk) {
    let pin = fence.pin(&[user(1)]).unwrap();
    let version = row.load();
    disk.lock().push((version, pin.started()));
}

/// One node's follower: brings the log to the fence, and saves the cursor after the journal's rows.
fn follow(fence: &Fence, log: &Log, row: &Row, journal: &Tape, from: u64) -> u64 {
    let lane = fence.lane(SOURCE).unwrap();
    let (_, head, as_of) = log.read(from);
    lane.begin(&Head::new(head, Vec::new(), as_of));
    let mut at = from;
    for _ in 0..2 {
        let round = lane.round();
        let (rows, cursor, as_of) = log.read(at);
        lane.raise(&rows, as_of);
        lane.publish(&cursor, &[]);
        lane.caught_up(round, as_of);
        at = cursor.end().get();
        row.acknowledge(at);
        journal.save(cursor);
    }
    at
}

/// A crash loses any unsynced part of the journal; the follower replays from the journal's cursor; only then are
/// entries from disk served. No read gets less than what had been invalidated before.
///
/// Contract: F16, F17, F18
#[test]
fn m5_holds_across_a_crash() {
    explore_times("m5_holds_across_a_crash", 3, || {
        let (log, row) = (Arc::new(Log::default()), Arc::new(Row::default()));
        let (tape, disk) = (Arc::new(Tape::default()), Arc::new(Disk::default()));
        {
            let fence = fence();
            let journaled = fence.journal(Arc::clone(&tape) as Arc<dyn Journal>);
            // The first run's clock is well ahead of where the second one's begins.
            for id in 10..30 {
                fence.invalidate(&user(id), by_hand());
            }
            let loader = {
                let (fence, row, disk) = (fence.clone(), Arc::clone(&row), Arc::clone(&disk));
                thread::spawn(move || load_to_disk(&fence, &row, &disk))
            };
            let writer = {
                let (log, row) = (Arc::clone(&log), Arc::clone(&row));
                thread::spawn(move || log.commit(&row, user(1)))
            };
            follow(&fence, &log, &row, &tape, 0);
            join([loader, writer]);
            drop(journaled);
        }
        // Stored ahead of use, above whatever the first run may have given out.
        let floor = Stamp::new(1_000).unwrap();
        let (tape, saved) = tape.after_crash(floor);
        second_run(&log, &row, Arc::new(tape), saved, floor, &disk.lock().clone());
    });
}

fn second_run(
    log: &Log,
    row: &Arc<Row>,
    tape: Arc<Tape>,
    saved: Option<Cursor>,
    floor: Stamp,
    disk: &[(u64, Stamp)],
) {
    let fence = fence();
    fence.raise_floor(floor);
    let journaled = fence.journal(Arc::clone(&tape) as Arc<dyn Journal>);
    // Without a cursor every start is a cold one: here that means from the beginning of the log.
    follow(
        &fence,
        log,
        row,
        &tape,
        saved.map_or(0, |cursor| cursor.end().get()),
    );
    let writer = {
        let (fence, row) = (fence.clone(), Arc::clone(row));
        thread::spawn(move || row.write(&fence, &user(1)))
    };
    check_restored(&journaled, row, disk);
    writer.join().unwrap();
    check_restored(&journaled, row, disk);
    // The clock of this run passes where that of the first one ended.
    for id in 40..80 {
        fence.invalidate(&user(id), by_hand());
    }
    check_restored(&journaled, row, disk);
    assert_eq!(
        row.least(),
        row.load(),
        "not everything committed has been applied"
    );
}

fn check_restored(journaled: &Journaled, row: &Row, disk: &[(u64, Stamp)]) {
    for (version, started) in disk {
        let restored = journaled.restore(*started, &[user(1)]);
        let least = row.least();
        if restored.is_some_and(|pin| pin.is_fresh()) {
            assert!(
                *version >= least,
                "restored version {version}, but {least} was invalidated before"
            );
        }
    }
}

/// A restore races with an invalidation whose stamp is in the ring and not yet in the journal.
///
/// Contract: F17, F19
#[test]
fn restore_sees_what_the_journal_was_not_told_yet() {
    explore("restore_sees_what_the_journal_was_not_told_yet", || {
        restore_race(&fence(), &[user(1)]);
    });
}

/// The same when the stamp has already left the ring, pushed out by a neighbour's.
///
/// Contract: F17, F11
#[test]
fn restore_sees_what_has_left_the_ring() {
    explore_times("restore_sees_what_has_left_the_ring", 2, || {
        let neighbour = neighbour_of(&user(1));
        restore_race(&narrow_fence(), &[user(1), neighbour]);
    });
}

/// Targets are invalidated by a thread each while an entry of the first is restored.
fn restore_race(fence: &Fence, targets: &[Target]) {
    let (row, disk) = (Arc::new(Row::default()), Disk::default());
    let journaled = fence.journal(Arc::new(Tape::default()));
    load_to_disk(fence, &row, &disk);
    let (version, started) = disk.lock()[0];
    let threads = targets.iter().cloned().map(|target| {
        let (fence, row) = (fence.clone(), Arc::clone(&row));
        thread::spawn(move || {
            if target == user(1) {
                row.write(&fence, &target);
            } else {
                fence.invalidate(&target, by_hand());
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    let restored = journaled.restore(started, &[user(1)]);
    join(threads);
    let is_fresh = restored.is_some_and(|pin| pin.is_fresh());
    assert!(
        !is_fresh || version >= row.least(),
        "restored although it was invalidated"
    );
}

/// A fence whose rings hold one entry each.
fn narrow_fence() -> Fence {
    fence_of(1_024, 1_024)
}

/// A target that pushes `of` out of its ring. The same in every schedule, since randomness is fixed.
fn neighbour_of(of: &Target) -> Target {
    static FOUND: OnceLock<u32> = OnceLock::new();
    if FOUND.get().is_none() {
        let fence = narrow_fence();
        fence.invalidate(of, by_hand());
        let mut ids = 2..;
        let id = ids.find(|id| {
            fence.invalidate(&user(*id), by_hand());
            matches!(fence.last(of), Last::Before(_))
        });
        let _ = FOUND.set(id.unwrap());
    }
    user(*FOUND.get().unwrap())
}

/// A journal that is attached while invalidations run knows each of them, or that it lacks some.
///
/// Contract: F19, F18
#[test]
fn a_journal_attached_late_misses_nothing() {
    explore("a_journal_attached_late_misses_nothing", || {
        let (fence, tape) = (fence(), Arc::new(Tape::default()));
        let first = fence.invalidate(&user(1), by_hand());
        let done = Arc::new(AtomicU32::new(0));
        let writer = {
            let (fence, done) = (fence.clone(), Arc::clone(&done));
            thread::spawn(move || {
                for id in 2..4 {
                    fence.invalidate(&user(id), by_hand());
                    done.store(id, Ordering::SeqCst);
                }
            })
        };
        let journaled = fence.journal(Arc::clone(&tape) as Arc<dyn Journal>);
        let returned = done.load(Ordering::SeqCst);
        assert!(
            tape.last(user(1).hash()) >= Some(first),
            "not told of what came before"
        );
        for id in 2..=returned {
            assert!(tape.last(user(id).hash()).is_some(), "not told of user {id}");
        }
        writer.join().unwrap();
        assert!(tape.last(user(3).hash()).is_some(), "not told of what came later");
        assert_eq!(
            tape.complete_to(),
            fence.stamp(),
            "the account of stamps has a hole"
        );
        drop(journaled);
    });
}

/// A floor that is raised while invalidations run leaves nothing below it that could let an entry from disk in.
///
/// Contract: F16, F17
#[test]
fn a_raised_floor_lets_nothing_in() {
    explore("a_raised_floor_lets_nothing_in", || {
        let (fence, row) = (fence(), Arc::new(Row::default()));
        let journaled = fence.journal(Arc::new(Tape::default()));
        // Stored by an earlier run, whose clock was far ahead of this one's.
        let (on_disk, floor) = (Stamp::new(500).unwrap(), Stamp::new(1_000).unwrap());
        let writer = {
            let (fence, row) = (fence.clone(), Arc::clone(&row));
            thread::spawn(move || row.write(&fence, &user(1)))
        };
        fence.raise_floor(floor);
        let least = row.least();
        let restored = journaled.restore(on_disk, &[user(1)]);
        let before = restored.as_ref().is_some_and(larder_core::Pin::is_fresh);
        assert!(
            !before || least == 0 || row.least() == 0,
            "restored although it was invalidated"
        );
        writer.join().unwrap();
        assert!(!restored.is_some_and(|pin| pin.is_fresh()), "still believed");
        assert!(
            journaled.restore(on_disk, &[user(1)]).is_none(),
            "restored although it was invalidated"
        );
        assert!(fence.stamp() > floor, "the clock is not above the floor");
    });
}
