//! The memory orderings of the fence under loom, over the shipping code.
//!
//! Empty unless built with `--cfg larder_loom`. Shuttle takes every atomic for sequentially consistent; loom lets
//! relaxed loads return old values, so each acquire and release here is needed by a test that falls without it
//! (`mutations/ordering-*.patch`). Prints how many executions each model took.
#![cfg(larder_loom)]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use larder_core::{
    AsOf, Cause, Clock, Cursor, Entropy, Epoch, Fence, Head, Moment, Position, Reason, SourceId, Target,
    Timestamp,
};
use loom::sync::atomic::AtomicU64;
use loom::thread;

/// Three context switches that nothing forces are enough for each of these models, and keep them small.
const PREEMPTIONS: usize = 3;

fn explore(name: &str, world: impl Fn() + Send + Sync + 'static) {
    let executions = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&executions);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        builder.check(move || {
            counter.fetch_add(1, Relaxed);
            world();
        });
    }));
    let executions = executions.load(Relaxed);
    match outcome {
        Ok(()) => println!("model: {name}: {executions} executions"),
        Err(panic) => {
            println!("model: {name}: fell at execution {executions}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[derive(Debug)]
struct Fixed;

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0x5b);
    }
}

/// It is always 100 ns past the origin.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn monotonic(&self) -> Moment {
        Moment::from_nanos(100)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }
}

fn fence() -> Fence {
    let builder = Fence::builder().shards(1).recent_count(1_024);
    builder
        .entropy(Arc::new(Fixed))
        .clock(Arc::new(Still))
        .build()
        .unwrap()
}

fn by_hand() -> Cause {
    Cause::direct(Reason::default())
}

/// A reader that finds its pin dead sees what killed it: here a write to a database in memory.
///
/// Contract: F4
#[test]
fn a_dead_pin_shows_what_killed_it() {
    explore("a_dead_pin_shows_what_killed_it", || {
        let (fence, row) = (fence(), Arc::new(AtomicU64::new(0)));
        let pin = fence.pin(&[Target::Everything]).unwrap();
        let reader = {
            let row = Arc::clone(&row);
            thread::spawn(move || {
                if !pin.is_fresh() {
                    assert_eq!(row.load(Relaxed), 1, "dead, yet what killed it cannot be seen");
                }
            })
        };
        row.store(1, Relaxed);
        fence.invalidate(&Target::Everything, by_hand());
        reader.join().unwrap();
    });
}

/// A load that begins after its pin sees whatever the invalidations up to the pin's stamp were about.
///
/// Contract: F2, F4
#[test]
fn a_load_sees_what_its_stamp_covers() {
    explore("a_load_sees_what_its_stamp_covers", || {
        let (fence, row) = (fence(), Arc::new(AtomicU64::new(0)));
        let writer = {
            let (fence, row) = (fence.clone(), Arc::clone(&row));
            thread::spawn(move || {
                row.store(1, Relaxed);
                fence.invalidate(&Target::Everything, by_hand());
            })
        };
        let pin = fence.pin(&[Target::Everything]).unwrap();
        let loaded = row.load(Relaxed);
        writer.join().unwrap();
        assert!(
            !pin.is_fresh() || loaded == 1,
            "an old value is believed after its invalidation"
        );
    });
}

/// Two holders let go of a cell at once: the one that frees it comes after all that the other read in it.
///
/// Contract: F13
#[test]
fn a_cell_is_freed_after_its_last_reader() {
    explore("a_cell_is_freed_after_its_last_reader", || {
        let fence = fence();
        let pin = fence.pin(&[Target::Everything]).unwrap();
        let other = pin.clone();
        let reader = thread::spawn(move || {
            assert!(other.is_fresh());
            drop(other);
        });
        drop(pin);
        reader.join().unwrap();
        assert_eq!(fence.stats().cells, 0);
    });
}

/// A reader that is sure because a lease was extended also sees what was invalidated before it was.
///
/// Contract: F23
#[test]
fn a_lease_vouches_for_what_was_raised_before_it() {
    explore("a_lease_vouches_for_what_was_raised_before_it", || {
        const SOURCE: SourceId = SourceId::new(1);
        const EPOCH: Epoch = Epoch::new(1);
        let fence = fence();
        let lane = fence.lane(SOURCE).unwrap();
        let (cursor, as_of) = (
            Cursor::ordered(SOURCE, EPOCH, Position::new(1), 0),
            AsOf::new(SOURCE, EPOCH, 0),
        );
        lane.begin(&Head::new(cursor.clone(), Vec::new(), as_of));
        let round = lane.round();
        lane.publish(&cursor, &[]);
        lane.caught_up(round, as_of);
        let pin = fence.pin(&[Target::Everything]).unwrap();
        let reader = {
            let fence = fence.clone();
            thread::spawn(move || {
                if fence.is_sure() {
                    assert!(
                        !pin.is_fresh(),
                        "sure, yet blind for what was raised before the lease"
                    );
                }
            })
        };
        fence.invalidate(&Target::Everything, by_hand());
        lane.lease(Moment::from_nanos(1_000_000_000));
        reader.join().unwrap();
    });
}
