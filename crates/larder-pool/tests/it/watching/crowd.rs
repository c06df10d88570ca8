//! Listeners under many writers: each change once, in the order of commits, and writers who wait when too much waits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::thread;

use larder_pool::limits::LISTENER_QUEUE_MAX;
use larder_pool::{Changed, Eviction, Pool, Reason, WeakPool};
use larder_testkit::Random;

use crate::bounds::ground::{Row, row};

const WRITERS: usize = 8;

/// Runs 8 writers at once.
fn writers(work: impl Fn(u64) + Sync) {
    let start = Barrier::new(WRITERS);
    thread::scope(|scope| {
        for writer in 0..WRITERS as u64 {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                start.wait();
                work(writer);
            });
        }
    });
}

/// A mirror that finds fault with what it hears.
#[derive(Default)]
struct Mirror {
    rows: BTreeMap<u64, Arc<Row>>,
    sequence: u64,
    came: u64,
    left: u64,
    faults: usize,
}

impl Mirror {
    fn hear(&mut self, change: &Changed<'_, Row>) {
        let id = change.new.or(change.old).unwrap().id;
        let before = match change.new {
            Some(new) => self.rows.insert(id, Arc::clone(new)),
            None => self.rows.remove(&id),
        };
        let is_chained = before.as_ref().map(Arc::as_ptr) == change.old.map(Arc::as_ptr);
        // The same commit, or the one after.
        let is_next = change.sequence == self.sequence || change.sequence == self.sequence + 1;
        self.faults += usize::from(!is_chained) + usize::from(!is_next);
        self.sequence = change.sequence;
        self.came += u64::from(change.new.is_some());
        self.left += u64::from(change.new.is_none());
    }
}

/// 8 writers of all kinds, a listener that writes too, two that only hear: nothing is heard twice, too early or never.
///
/// Contract: P123 (partial: many writers)
#[test]
fn each_change_is_heard_once_and_in_the_order_of_commits_under_many_writers() {
    for (eviction, entries) in Eviction::ALL.into_iter().zip([20, 100, 50, 300]) {
        let mirrors: [Arc<Mutex<Mirror>>; 2] = Default::default();
        let cell = Arc::new(OnceLock::<WeakPool<Row>>::new());
        let (first, second, own) = (
            Arc::clone(&mirrors[0]),
            Arc::clone(&mirrors[1]),
            Arc::clone(&cell),
        );
        let pool = Pool::builder()
            .capacity_entries(entries)
            .eviction(eviction)
            .listener(move |change: &Changed<'_, Row>| first.lock().unwrap().hear(change))
            .listener(move |change: &Changed<'_, Row>| {
                let Some(new) = change.new.filter(|new| new.version % 16 == 1) else {
                    return;
                };
                let pool = own.get().and_then(WeakPool::upgrade).unwrap();
                pool.insert(row(1_000 + new.id, 0)).unwrap();
                pool.remove(&new.id);
            })
            .listener(move |change: &Changed<'_, Row>| second.lock().unwrap().hear(change))
            .build()
            .unwrap();
        cell.set(pool.downgrade()).ok().unwrap();
        writers(|writer| {
            let mut random = Random::seeded(writer);
            for _ in 0..120 {
                let (id, version) = (random.below(150), random.below(1_000));
                match random.below(8) {
                    0..4 => drop(pool.insert(row(id, version)).unwrap()),
                    4 => drop(pool.insert_many((id..id + 8).map(|id| row(id, version))).unwrap()),
                    5 => drop(pool.update(&id, |_| row(id, version))),
                    6 => drop(pool.remove(&id)),
                    _ if random.chance(100) => drop(pool.clear(Reason::Manual)),
                    _ => drop(pool.retain(|row| row.id % 13 != id % 13)),
                }
            }
        });
        // Who writes returns before its changes were heard, if another delivers: the last of them has.
        let stats = pool.stats();
        assert_eq!(stats.listener_panics, 0);
        for mirror in &mirrors {
            let mirror = mirror.lock().unwrap();
            assert_eq!(mirror.faults, 0, "{eviction:?}");
            assert_eq!(mirror.sequence, pool.sequence(), "{eviction:?}");
            assert_eq!(
                (mirror.came, mirror.left),
                (stats.inserts + stats.updates, stats.removals.total())
            );
            assert_eq!(mirror.rows.len(), pool.len());
            let is_resident =
                |row: &Arc<Row>| pool.peek(&row.id).is_some_and(|other| Arc::ptr_eq(row, &other));
            assert!(mirror.rows.values().all(is_resident), "{eviction:?}");
        }
    }
}

/// The listener is held at the first change until the queue is full. From then on each writer gets in what it was at, and
/// the next only when something was heard.
///
/// Contract: P123 (partial: writers who wait)
#[test]
fn writers_wait_while_too_many_changes_wait_for_a_listener() {
    const EACH: usize = 250;
    const ROUNDS: usize = LISTENER_QUEUE_MAX / EACH / WRITERS + 10;
    let (heard, ahead) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let written = Arc::new(AtomicUsize::new(0));
    let (own_heard, own_ahead, own_written) = (Arc::clone(&heard), Arc::clone(&ahead), Arc::clone(&written));
    let pool = Pool::builder()
        .capacity_entries(u64::try_from(EACH * WRITERS).unwrap())
        .listener(move |_: &Changed<'_, Row>| {
            let heard = own_heard.fetch_add(1, Ordering::SeqCst) + 1;
            if heard == 1 {
                // As many as may come before anybody has to wait do come.
                while own_written.load(Ordering::SeqCst) < LISTENER_QUEUE_MAX - EACH {
                    thread::yield_now();
                }
                // Time enough for whoever does not wait.
                (0..100_000).for_each(|_| thread::yield_now());
            }
            let ahead = (own_written.load(Ordering::SeqCst) + 1).saturating_sub(heard);
            own_ahead.fetch_max(ahead, Ordering::SeqCst);
        })
        .build()
        .unwrap();
    writers(|writer| {
        let first = writer * EACH as u64;
        let rows: Vec<Arc<Row>> = (first..first + EACH as u64)
            .map(|id| Arc::new(row(id, 0)))
            .collect();
        for _ in 0..ROUNDS {
            pool.insert_many(rows.iter().map(Arc::clone)).unwrap();
            // A batch is counted when its call returns, so that the first to deliver is not waited for.
            written.fetch_add(EACH, Ordering::SeqCst);
        }
    });
    assert_eq!(
        heard.load(Ordering::SeqCst),
        ROUNDS * EACH * WRITERS,
        "all of it was heard"
    );
    let most = LISTENER_QUEUE_MAX + (WRITERS + 1) * EACH;
    let ahead = ahead.load(Ordering::SeqCst);
    assert!(ahead <= most, "{ahead} changes waited, at most {most} may");
    assert_eq!(pool.stats().listener_panics, 0);
}
