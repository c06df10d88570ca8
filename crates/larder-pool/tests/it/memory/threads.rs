//! Batches and scans beside other threads: whoever sees anything of a commit sees all of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use larder_pool::{Eviction, Pool, PoolBuilder, Reason};

use super::rows::{Row, World, row};

const LONG: Duration = Duration::from_secs(20);
const IDS: u64 = 40;
const ROUNDS: u64 = 60;

/// A few shards and one lock each; one lock for all; and some with what is asked of entries beside.
const POOLS: [fn(PoolBuilder<Row>) -> PoolBuilder<Row>; 4] = [
    |pool| pool,
    |pool| pool.eviction(Eviction::Lru),
    |pool| pool.capacity_entries(60),
    |pool| pool.time_to_live(LONG).time_to_idle(LONG),
];

/// Says that the writer is done, also if it panics, so that nobody waits for it.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Writes all ids in each round, as one batch; every third round by removing them and writing them anew.
fn write_rounds(pool: &Pool<Row>) {
    for round in 1..=ROUNDS {
        match round % 3 {
            0 => {
                let batch = (0..IDS).fold(pool.batch(), |batch, id| batch.remove(&id));
                assert_eq!(batch.commit().unwrap().removed, 40);
            }
            1 if round > 1 => assert_eq!(pool.clear(Reason::Manual), 40),
            _ => {}
        }
        pool.insert_many((0..IDS).map(|id| row(id, round))).unwrap();
    }
}

/// Contract: P27 (partial: reads), P19 (partial: `get_many` and batches)
#[test]
fn nobody_sees_a_part_of_a_batch() {
    for build in POOLS {
        let world = World::with(build);
        let pool = &world.pool;
        let is_over = AtomicBool::new(false);
        let seen = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _over = Over(&is_over);
                write_rounds(pool);
            });
            scope.spawn(|| {
                let ids: Vec<u64> = (0..IDS).collect();
                while !is_over.load(Ordering::SeqCst) {
                    let values = pool.get_many(&ids);
                    let versions: Vec<_> = values
                        .iter()
                        .map(|row| row.as_ref().map(|row| row.version))
                        .collect();
                    assert!(
                        versions.iter().all(|version| *version == versions[0]),
                        "{versions:?}"
                    );
                    seen.fetch_max(versions[0].unwrap_or(0), Ordering::SeqCst);
                    assert!([0, 40].contains(&pool.len()), "{} are resident", pool.len());
                }
            });
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    // One after the other: whatever comes later is no older.
                    let mut at_least = 0;
                    for id in 0..IDS {
                        if let Some(row) = pool.get(&id) {
                            assert!(row.version >= at_least, "{id}: {} after {at_least}", row.version);
                            at_least = row.version;
                        }
                    }
                }
            });
        });
        assert_eq!(world.live(IDS).len(), 40);
    }
}

/// Who has seen something of a commit tells another thread, which then sees all of it.
///
/// Contract: P27
#[test]
fn whoever_is_told_of_a_batch_sees_all_of_it() {
    for build in POOLS {
        let world = World::with(build);
        let pool = &world.pool;
        let (tell, told) = channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                // Ids in an order of which the batch knows nothing: each is the first that is seen at times.
                let mut last = 0;
                while last < ROUNDS {
                    let id = last * 7 % IDS;
                    let Some(row) = pool.get(&id) else { continue };
                    if row.version > last {
                        last = row.version;
                        tell.send(row.version).unwrap();
                    }
                }
                drop(tell);
            });
            scope.spawn(move || {
                while let Ok(version) = told.recv_timeout(LONG) {
                    for id in (0..IDS).rev() {
                        let now = pool.peek(&id).map_or(0, |row| row.version);
                        assert!(now >= version, "{id} is at {now}, not {version}");
                    }
                    assert!(pool.sequence() >= version);
                }
            });
            for round in 1..=ROUNDS {
                pool.insert_many((0..IDS).map(|id| row(id, round))).unwrap();
            }
        });
    }
}

/// Batches move parts of a sum from row to row, replace rows and swap some for others: each scan finds the same sum, and
/// that of a commit no older than the last that had returned before.
///
/// Contract: P31 (partial: `retain`; queries, snapshots and exports are not built)
#[test]
fn a_scan_sees_one_commit() {
    for build in POOLS {
        let world = World::with(build);
        let pool = &world.pool;
        pool.insert_many((0..IDS).map(|id| row(id, 100))).unwrap();
        let is_over = AtomicBool::new(false);
        let returned = AtomicU64::new(pool.sequence());
        thread::scope(|scope| {
            scope.spawn(|| {
                let _over = Over(&is_over);
                for round in 0..300 {
                    let (from, to) = (round * 7 % IDS, (round * 11 + 1) % IDS);
                    let batch = shift(pool, from, to);
                    // The clock of the commits is a row of its own.
                    let next = pool.sequence() + 1;
                    let sequence = batch.insert(row(999, next)).commit().unwrap().sequence;
                    assert_eq!(sequence, next);
                    returned.store(sequence, Ordering::SeqCst);
                }
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::SeqCst) {
                        let at_least = returned.load(Ordering::SeqCst);
                        let (mut sum, mut rows, mut clock) = (0, 0, 1);
                        let removed = pool.retain(|row| {
                            match row.id {
                                999 => clock = row.version,
                                _ => (sum, rows) = (sum + row.version, rows + 1),
                            }
                            true
                        });
                        assert_eq!((sum, rows, removed), (IDS * 100, IDS, 0), "at {clock}");
                        assert!(clock >= at_least, "{clock} is older than {at_least}");
                    }
                });
            }
        });
    }
}

/// Takes one off a row and gives it to another, which also takes its place under another id, or back.
fn shift(pool: &Pool<Row>, from: u64, to: u64) -> larder_pool::Batch<Row> {
    let of = |id: u64| {
        let here = pool.peek(&id);
        here.unwrap_or_else(|| pool.peek(&(id + 500)).unwrap())
    };
    if from == to {
        return pool.batch();
    }
    let (one, other) = (of(from), of(to));
    let elsewhere = if other.id < 500 {
        other.id + 500
    } else {
        other.id - 500
    };
    let batch = pool
        .batch()
        .insert(row(one.id, one.version - u64::from(one.version > 0)));
    let batch = batch.remove(&other.id);
    batch.insert(row(elsewhere, other.version + u64::from(one.version > 0)))
}

/// A scan that is held up keeps its state, whatever writers do, however often; and lets go of it in the end.
///
/// Contract: P31 (partial: `retain`, undisturbed)
#[test]
fn a_scan_that_takes_long_is_undisturbed() {
    for build in POOLS {
        let world = World::with(build);
        let pool = &world.pool;
        let first: Vec<_> = (0..IDS).map(|id| pool.insert(row(id, 1)).unwrap()).collect();
        let mut seen = Vec::new();
        pool.retain(|row| {
            if seen.len() % 10 == 0 {
                churn(pool);
            }
            seen.push((row.id, row.version));
            true
        });
        seen.sort_unstable();
        assert_eq!(seen, (0..IDS).map(|id| (id, 1)).collect::<Vec<_>>());
        assert_eq!(
            (pool.len(), world.live(100).len()),
            (1, 1),
            "of what came meanwhile one is left"
        );
        let held = first.iter().map(std::sync::Arc::strong_count).max();
        assert!(
            held <= Some(1 + 1),
            "events alone may hold what the scan has held"
        );
    }
}

/// Everything goes and comes several times over.
fn churn(pool: &Pool<Row>) {
    for version in 2..6 {
        pool.insert_many((0..IDS).map(|id| row(id, version))).unwrap();
        pool.batch().remove(&3).insert(row(50, version)).commit().unwrap();
        pool.clear(Reason::Manual);
        pool.insert(row(60, version)).unwrap();
    }
}

/// In a small pool each hit moves its entry in the order of use, also one that a batch is about to replace: readers go on,
/// and the order stays whole.
///
/// Contract: P27 (partial: hits on what leaves), P42 (partial: beside batches)
#[test]
fn hits_on_what_a_batch_replaces_keep_the_order_of_use_whole() {
    let world = World::with(|pool| pool.capacity_entries(64));
    let pool = &world.pool;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..2 {
            let is_over = &is_over;
            scope.spawn(move || {
                let mut id = number;
                while !is_over.load(Ordering::SeqCst) {
                    id = (id + 7) % 64;
                    let _ = pool.get(&id);
                }
            });
        }
        let _over = Over(&is_over);
        for round in 0..300 {
            let batch = (0..64).fold(pool.batch(), |batch, id| match (id + round) % 9 {
                0 => batch.remove(&id),
                _ => batch.insert(row(id, round)),
            });
            batch.commit().unwrap();
        }
    });
    // Those that come drive out the others one by one, in the order in which they were used.
    pool.insert_many((0..64).map(|id| row(id, 1_000))).unwrap();
    (0..64).rev().for_each(|id| drop(pool.get(&id)));
    for new in 0..64 {
        pool.insert(row(100 + new, 1)).unwrap();
        assert!(
            !pool.contains(&(63 - new)),
            "{} was used before the others",
            63 - new
        );
        assert_eq!(pool.len(), 64);
    }
}
