//! M1 to M3: what readers see, which loads are accepted, which flights may be joined.

use std::sync::Arc;

use larder_core::sync::{AtomicBool, Mutex, Ordering};
use larder_core::{Fence, Pin, Target};
use shuttle::thread;

use crate::explore::explore;
use crate::world::{Row, Slot, by_hand, fence, read_through, tag, user};

/// A read that starts after the invalidation of a version has returned never gets less than that version, with
/// loads in flight, stores that come late, and evictions.
///
/// Contract: F5, F7, F13
#[test]
fn m1_reads_never_fall_behind() {
    explore("m1_reads_never_fall_behind", || {
        let world = Arc::new((fence(), Row::default(), Slot::default()));
        let mut threads = Vec::new();
        for _ in 0..2 {
            let world = Arc::clone(&world);
            threads.push(thread::spawn(move || {
                let (fence, row, _) = &*world;
                row.write(fence, &user(1));
            }));
        }
        for _ in 0..2 {
            let world = Arc::clone(&world);
            threads.push(thread::spawn(move || {
                let (fence, row, slot) = &*world;
                for _ in 0..2 {
                    let least = row.least();
                    let got = read_through(fence, &user(1), row, slot);
                    assert!(
                        got >= least,
                        "read version {got}, but {least} was invalidated before"
                    );
                }
            }));
        }
        let (_, _, slot) = &*world;
        slot.evict();
        join(threads);
    });
}

/// The same when it is a parent that is invalidated: the collection, or everything.
///
/// Contract: F1, F5
#[test]
fn m1_holds_for_parents() {
    explore("m1_holds_for_parents", || {
        let world = Arc::new((fence(), Row::default(), Slot::default()));
        let above = [Target::collection("user").unwrap(), Target::Everything];
        let writers = above.map(|target| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let (fence, row, _) = &*world;
                row.write(fence, &target);
            })
        });
        let (fence, row, slot) = &*world;
        for _ in 0..3 {
            let least = row.least();
            let got = read_through(fence, &user(1), row, slot);
            assert!(
                got >= least,
                "read version {got}, but {least} was invalidated before"
            );
        }
        join(writers);
    });
}

/// A load that is pinned after the last invalidation of its targets is accepted, whatever else is invalidated.
///
/// Contract: F2, F6
#[test]
fn m2_a_load_after_the_last_invalidation_is_accepted() {
    explore("m2_a_load_after_the_last_invalidation_is_accepted", || {
        let fence = fence();
        let noise = {
            let fence = fence.clone();
            thread::spawn(move || {
                for id in 2..6 {
                    fence.invalidate(&user(id), by_hand());
                    fence.invalidate(&tag("other"), by_hand());
                }
            })
        };
        let before = fence.pin(&[user(1)]).unwrap();
        let writer = {
            let fence = fence.clone();
            thread::spawn(move || fence.invalidate(&user(1), by_hand()))
        };
        writer.join().unwrap();
        let after = fence.pin(&[user(1)]).unwrap();
        noise.join().unwrap();
        assert!(!before.is_fresh(), "pinned before the invalidation");
        assert!(
            after.is_fresh(),
            "pinned after the last invalidation, yet refused"
        );
    });
}

/// One load for all who ask while it runs, as a flight table keeps it.
struct Flight {
    pin: Pin,
    result: Mutex<Option<u64>>,
    done: AtomicBool,
}

#[derive(Default)]
struct Flights {
    current: Mutex<Option<Arc<Flight>>>,
}

impl Flights {
    /// Joins the flight if there is one that may be joined, else begins another and runs it.
    fn fetch(&self, fence: &Fence, row: &Row) -> u64 {
        let mut current = self.current.lock();
        if let Some(flight) = current.clone().filter(|flight| flight.pin.is_fresh()) {
            drop(current);
            return flight.wait();
        }
        let pin = fence.pin(&[user(1)]).unwrap();
        let flight = Arc::new(Flight {
            pin,
            result: Mutex::new(None),
            done: AtomicBool::new(false),
        });
        let old = current.replace(Arc::clone(&flight));
        drop(current);
        drop(old);
        let version = row.load();
        *flight.result.lock() = Some(version);
        flight.done.store(true, Ordering::Release);
        version
    }
}

impl Flight {
    fn wait(&self) -> u64 {
        while !self.done.load(Ordering::Acquire) {
            thread::yield_now();
        }
        self.result.lock().expect("set before done")
    }
}

/// A caller that starts after an invalidation never gets the result of a flight that began before it.
///
/// Contract: F9
#[test]
fn m3_a_flight_is_joined_only_while_its_pin_is_fresh() {
    explore("m3_a_flight_is_joined_only_while_its_pin_is_fresh", || {
        let world = Arc::new((fence(), Row::default(), Flights::default()));
        let leader = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let (fence, row, flights) = &*world;
                flights.fetch(fence, row);
            })
        };
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let (fence, row, _) = &*world;
                row.write(fence, &user(1));
            })
        };
        let (fence, row, flights) = &*world;
        for _ in 0..2 {
            let least = row.least();
            let got = flights.fetch(fence, row);
            assert!(
                got >= least,
                "joined a flight of version {got}, but {least} was invalidated before"
            );
        }
        join([leader, writer]);
    });
}

pub(crate) fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}
