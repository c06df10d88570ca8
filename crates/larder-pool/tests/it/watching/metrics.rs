//! Metrics of what happens in memory: what is reported, how often, and what becomes of panics.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use larder_core::{Cause, Target};
use larder_pool::{Capacity, MissCause, OnConflict, Pool, PoolMetrics, Reason, Tier, WeakPool};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::recorder::recorded;
use crate::bounds::ground::{Row, World, kinds, millis_of, row};

/// Contract: P120 (partial: hits and misses)
#[test]
fn each_read_is_one_hit_or_one_miss_and_looking_is_none() {
    for (entries, eviction) in kinds() {
        let (world, recorder) = recorded(|builder| builder.capacity_entries(entries).eviction(eviction));
        world.insert(1);
        world.insert_for(2, 5);
        world.insert_idle(3, 5);
        world.insert(4);
        world.pass(6);
        let targets = [
            Target::tag("default", "none").unwrap(),
            Target::collection("row").unwrap(),
        ];
        let by_hand = || Cause::direct(larder_core::Reason::new("by hand"));
        world.fence.invalidate(&targets[0], by_hand());
        recorder.take();
        let _ = (world.pool.get(&1), world.pool.peek(&1), world.pool.contains(&1));
        assert_eq!(recorder.take(), ["row hit Memory"], "{eviction:?}");
        let _ = (world.pool.get(&2), world.pool.peek(&2), world.pool.contains(&9));
        assert_eq!(recorder.take(), ["row miss expired"], "{eviction:?}");
        let _ = world.pool.get_many([&1, &3, &9]);
        assert_eq!(
            recorder.take(),
            ["row hit Memory", "row miss idle", "row miss absent"]
        );
        world.fence.invalidate(&targets[1], by_hand());
        recorder.take();
        let _ = world.pool.get(&4);
        assert_eq!(recorder.take(), ["row miss fenced"], "{eviction:?}");
    }
}

/// A change is told with its reasons first and then the size, once for each commit; what changes nothing is not told.
///
/// Contract: P120 (partial: removals and sizes)
#[test]
fn each_commit_that_changes_something_tells_the_size_once() {
    let (world, recorder) = recorded(|builder| builder.capacity_entries(4).on_conflict(OnConflict::Reject));
    let pool = &world.pool;
    let size = |entries: u64| format!("row size {entries} {}", 200 * entries);
    world.insert(1);
    assert_eq!(recorder.take(), [size(1)]);
    assert!(pool.insert(row(1, 0)).is_err());
    assert!(pool.insert_with_ttl(row(1, 0), millis_of(0)).is_err());
    assert!(!pool.invalidate(&9, Reason::Saved) && pool.sweep(5).removed == 0);
    pool.batch().remove(&9).commit().unwrap();
    assert_eq!(
        (
            pool.retain(|_| true),
            pool.update(&9, |_| row(9, 0)).unwrap().is_none()
        ),
        (0, true)
    );
    assert_eq!(recorder.take(), Vec::<String>::new(), "nothing has changed");
    pool.update(&1, |_| row(1, 1)).unwrap();
    assert_eq!(recorder.take(), [size(1)]);
    pool.insert_many((2..5).map(|id| row(id, 0))).unwrap();
    assert_eq!(recorder.take(), [size(4)], "once for a batch");
    pool.invalidate(&1, Reason::Saved);
    assert_eq!(recorder.take(), ["row removed saved".to_owned(), size(3)]);
    world.insert(5);
    world.insert(6);
    assert_eq!(
        recorder.take(),
        [size(4), "row removed evicted".to_owned(), size(4)]
    );
    pool.batch()
        .remove(&5)
        .invalidate(&6, Reason::Deleted)
        .insert(row(7, 0))
        .commit()
        .unwrap();
    let told = recorder.take();
    assert_eq!(told.len(), 3);
    assert!(
        told.contains(&"row removed manual".to_owned()) && told.contains(&"row removed deleted".to_owned())
    );
    assert_eq!(told.last(), Some(&size(3)));
    pool.set_capacity(Capacity::of_entries(1)).unwrap();
    let evicted = "row removed evicted".to_owned();
    assert_eq!(recorder.take(), [evicted.clone(), evicted, size(1)]);
    pool.set_capacity(Capacity::of_entries(4)).unwrap();
    recorder.take();
    world.insert_for(8, 5);
    world.insert_idle(9, 5);
    world.pass(6);
    recorder.take();
    pool.sweep(5);
    let mut told = recorder.take();
    assert_eq!(told.pop(), Some(size(1)));
    told.sort();
    assert_eq!(told, ["row removed expired", "row removed idle"]);
    world.insert(10);
    recorder.take();
    assert_eq!(pool.clear(Reason::Deleted), 2);
    let deleted = "row removed deleted".to_owned();
    assert_eq!(recorder.take(), [deleted.clone(), deleted, size(0)]);
}

/// Every method of it is the default.
struct Silent;

impl PoolMetrics for Silent {}

/// Panics at whatever it is told, but for the first few times.
struct Broken(AtomicUsize);

impl Broken {
    fn next(&self) {
        let count = self.0.fetch_add(1, Ordering::Relaxed);
        assert!(count < 2, "the metrics are broken");
    }
}

impl PoolMetrics for Broken {
    fn hit(&self, _: &str, _: Tier) {
        self.next();
    }

    fn miss(&self, _: &str, _: MissCause) {
        self.next();
    }

    fn size(&self, _: &str, _: u64, _: u64) {
        self.next();
    }

    fn removed(&self, _: &str, _: Reason) {
        self.next();
    }
}

/// Takes down what is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{field}={value:?} "));
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = format!("{} ", event.metadata().level());
        event.record(&mut Line(&mut line));
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Contract: P121 (partial: panics)
#[test]
fn panics_of_metrics_are_caught_counted_and_logged() {
    let log = Log::default();
    let world = World::with(|builder| {
        let broken = Broken(AtomicUsize::new(0));
        builder.capacity_entries(2).metrics(Arc::new(broken))
    });
    tracing::subscriber::with_default(log.clone(), || {
        world.insert(1);
        world.insert(2);
        assert_eq!(world.pool.stats().metrics_panics, 0);
        world.insert(3);
        assert!(world.pool.get(&3).is_some() && world.pool.get(&1).is_none());
        assert!(world.pool.remove(&2).is_some());
    });
    let stats = world.pool.stats();
    // An eviction and a size, a hit, a miss, a removal and a size.
    assert_eq!(stats.metrics_panics, 6);
    assert_eq!(
        (stats.hits, stats.misses.total(), stats.entries),
        (1, 1, 1),
        "all of it has happened"
    );
    let lines = log.0.lock().unwrap();
    let told = lines
        .iter()
        .filter(|line| line.starts_with("ERROR") && line.contains("the metrics are broken"));
    assert_eq!(told.count(), 6, "{lines:?}");
}

/// Calls the pool for each report, on this thread and on another that it waits for.
struct Caller {
    pool: OnceLock<WeakPool<Row>>,
    calls: AtomicUsize,
}

impl Caller {
    fn call(&self) {
        if self.calls.fetch_add(1, Ordering::Relaxed) >= 50 {
            return;
        }
        let Some(pool) = self.pool.get().and_then(WeakPool::upgrade) else {
            return;
        };
        let work = |pool: &Pool<Row>, id: u64| {
            let _ = (pool.peek(&id), pool.get(&1), pool.stats(), pool.len());
            pool.insert(row(id, 1)).unwrap();
            pool.batch().insert(row(id + 1, 1)).remove(&id).commit().unwrap();
            let _ = (pool.sweep(5), pool.retain(|row| row.id != id + 1), pool.events());
        };
        work(&pool, 100);
        // Held by nobody: another thread gets through as well.
        thread::scope(|scope| scope.spawn(|| work(&pool, 200)).join().unwrap());
    }
}

impl PoolMetrics for Caller {
    fn hit(&self, _: &str, _: Tier) {
        self.call();
    }

    fn miss(&self, _: &str, _: MissCause) {
        self.call();
    }

    fn removed(&self, _: &str, _: Reason) {
        self.call();
    }

    fn size(&self, _: &str, _: u64, _: u64) {
        self.call();
    }
}

/// Contract: P121 (partial: without a second tier)
#[test]
fn metrics_are_told_with_no_lock_held_and_may_call_the_pool() {
    for (entries, eviction) in kinds() {
        let caller = Arc::new(Caller {
            pool: OnceLock::new(),
            calls: AtomicUsize::new(0),
        });
        let metrics = Arc::clone(&caller);
        let world = World::with(|builder| {
            builder
                .capacity_entries(entries)
                .eviction(eviction)
                .metrics(metrics)
        });
        caller.pool.set(world.pool.downgrade()).ok().unwrap();
        let again = || caller.calls.store(0, Ordering::Relaxed);
        world.insert(1);
        again();
        assert!(world.pool.get(&1).is_some() && world.pool.get(&2).is_none());
        again();
        (2..2 + entries).for_each(|id| world.insert(id));
        again();
        world.pool.clear(Reason::Manual);
        assert!(caller.calls.load(Ordering::Relaxed) > 2);
        let stats = world.pool.stats();
        assert_eq!(stats.metrics_panics, 0);
        assert!(stats.entries <= entries);
    }
    // And who does nothing is enough.
    let world = World::with(|builder| builder.metrics(Arc::new(Silent)));
    world.insert(1);
    assert!(world.pool.get(&1).is_some() && world.pool.get(&2).is_none() && world.pool.config().metrics);
}
