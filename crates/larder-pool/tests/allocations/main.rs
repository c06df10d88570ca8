//! What operations of a pool ask the allocator for: the binary's global allocator counts, for each thread by itself.
//!
//! Always true: a thread sees its own requests only, so tests may run beside each other. It counts requests for new or
//! grown memory; giving memory back is no request. Tables that grow now and then are grown before anything is counted.
#![allow(clippy::unwrap_used, reason = "tests may")]
#![expect(unsafe_code, reason = "an allocator cannot be implemented without it")]

#[cfg(feature = "serde")]
mod containers;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use larder_pool::{Entity, Eviction, InsertOptions, LoadContext, Loaded, Pool, PoolBuilder, PoolMetrics};
use larder_testkit::{SimEntropy, poll_once};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    // Constant, without a destructor: so reading it allocates nothing and is allowed until the thread is gone.
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

/// How many times `work` asked for memory on this thread, and what it gave.
fn requests_of<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = REQUESTS.get();
    let out = work();
    (REQUESTS.get() - before, out)
}

/// How many bytes `work` asked for on this thread, also those that were given back meanwhile, and what it gave.
#[cfg(feature = "serde")]
fn bytes_of<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = BYTES.get();
    let out = work();
    (BYTES.get() - before, out)
}

fn count(bytes: usize) {
    // A thread that is ending has no count any more, and nobody who would ask for it.
    let _ = REQUESTS.try_with(|requests| requests.set(requests.get() + 1));
    let _ = BYTES.try_with(|sum| sum.set(sum.get().saturating_add(bytes.try_into().unwrap_or(u64::MAX))));
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the promises.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are the ones that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, bytes) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[test]
fn requests_are_counted() {
    let (requests, kept) = requests_of(|| vec![0_u8; 100]);
    assert_eq!((requests, kept.len()), (1, 100));
}

struct Row(u64);

impl Entity for Row {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "row"
    }

    fn id(&self) -> u64 {
        self.0
    }
}

struct User(String);

impl Entity for User {
    type Id = String;
    type Fields = ();

    fn name() -> &'static str {
        "user"
    }

    fn id(&self) -> String {
        self.0.clone()
    }
}

struct Silent;

impl PoolMetrics for Silent {}

const HOUR: Duration = Duration::from_secs(3_600);

/// Pools that read in different ways: exact and not, with deadlines and without, with somebody who is told of each read.
fn builders(entries: u64) -> Vec<(String, PoolBuilder<Row>)> {
    let mut builders = Vec::new();
    for eviction in Eviction::ALL {
        let plain = || {
            let builder = Pool::builder().capacity_entries(entries).eviction(eviction);
            builder.entropy(Arc::new(SimEntropy::seeded(entries)))
        };
        for (what, builder) in [
            ("plain", plain()),
            ("living for a time", plain().time_to_live(HOUR).jitter(0.1)),
            ("idle for a time", plain().time_to_idle(HOUR)),
            ("measured", plain().metrics(Arc::new(Silent))),
            ("uncounted", plain().stats(false)),
        ] {
            builders.push((format!("{what}, {entries} under {eviction:?}"), builder));
        }
    }
    builders
}

/// A full pool from which many have left, so that no table has to grow.
fn full(builder: PoolBuilder<Row>, entries: u64) -> Pool<Row> {
    let pool = builder.build().unwrap();
    for id in 0..20 * entries {
        pool.insert(Row(id % (2 * entries))).unwrap();
        let _ = pool.get(&(id / 2));
    }
    pool
}

async fn never(load: LoadContext<Row>) -> Result<Loaded<Row>, std::io::Error> {
    panic!("{} was loaded", load.id)
}

/// Section 20, first row: reading allocates nothing, however the pool reads.
///
/// Contract: P52 (partial: a hit allocates nothing)
#[test]
fn a_hit_allocates_nothing() {
    for entries in [32, 500] {
        for (what, builder) in builders(entries) {
            let pool = full(builder, entries);
            pool.insert_with(Row(7), InsertOptions::new().tag("seven"))
                .unwrap();
            for id in [7, 2 * entries - 1] {
                assert!(pool.contains(&id), "{what}");
                let (requests, value) = requests_of(|| pool.get(&id));
                assert_eq!((requests, value.is_some()), (0, true), "get, {what}");
                let (requests, value) = requests_of(|| pool.peek(&id));
                assert_eq!((requests, value.is_some()), (0, true), "peek, {what}");
                let (requests, is_there) = requests_of(|| pool.contains(&id));
                assert_eq!((requests, is_there), (0, true), "contains, {what}");
                let (requests, polled) = requests_of(|| poll_once(pin!(pool.get_or_fetch(&id, never))));
                assert!(matches!(polled, Poll::Ready(Ok(Some(_)))), "{what}");
                assert_eq!(requests, 0, "get_or_fetch, {what}");
            }
            let (requests, value) = requests_of(|| pool.get(&u64::MAX));
            assert_eq!((requests, value.is_none()), (0, true), "a miss, {what}");
        }
    }
}

#[test]
fn a_borrowed_id_is_not_made_an_id_to_be_read() {
    let pool = Pool::<User>::builder().build().unwrap();
    pool.insert(User(
        "a login that is too long to be kept anywhere in place".to_owned(),
    ))
    .unwrap();
    let id = "a login that is too long to be kept anywhere in place";
    let (requests, value) = requests_of(|| pool.get(id));
    assert_eq!((requests, value.is_some()), (0, true));
    let (requests, is_there) = requests_of(|| pool.contains(id) && pool.peek(id).is_some());
    assert_eq!((requests, is_there), (0, true));
}

/// Section 20, second row: the value, and at most one allocation more, for a new id, in place of another, and where others
/// have to leave.
///
/// Contract: P43 (partial: memory that is asked for)
#[test]
fn an_insert_allocates_the_value_and_at_most_one_more() {
    for entries in [32, 500] {
        for (what, builder) in builders(entries) {
            let pool = full(builder, entries);
            // A time to idle hangs on an entry, so that is the one.
            for id in 0..2 * entries {
                let (requests, stored) = requests_of(|| pool.insert(Row(10_000 + id)).is_ok());
                assert!(stored && requests <= 2, "{requests} for a new id, {what}");
                let (requests, stored) = requests_of(|| pool.insert(Row(10_000 + id)).is_ok());
                assert!(stored && requests <= 2, "{requests} in place of another, {what}");
                let value = Arc::new(Row(20_000 + id));
                let (requests, stored) = requests_of(|| pool.insert(value).is_ok());
                assert!(
                    stored && requests <= 1,
                    "{requests} for a value that is there, {what}"
                );
            }
        }
    }
}

/// Contract: P20 (partial: its cost)
#[test]
fn a_removal_allocates_a_key() {
    for entries in [32, 500] {
        for (what, builder) in builders(entries) {
            let pool = full(builder, entries);
            // The rings of the fence's shards, and the words of the reason, are made by the first.
            for id in 10_000..12_000 {
                pool.remove(&id);
            }
            for id in (0..2 * entries).filter(|id| pool.contains(id)) {
                let (requests, value) = requests_of(|| pool.remove(&id));
                // The key that the fence is told; and what is reported, if somebody wants to know.
                let most = 1 + u64::from(what.starts_with("measured"));
                assert!(value.is_some());
                assert!(requests <= most, "{requests} for a removal, {what}");
            }
        }
    }
}
