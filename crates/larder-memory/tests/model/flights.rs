//! Flights under many schedules.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use larder_core::sync::{AtomicU64, AtomicUsize, Ordering};
use larder_memory::flight::{Claim, Flights, Landed};
use shuttle::future::block_on;
use shuttle::thread;

use crate::explore::explore;

type Table = Flights<u32, u64, Result<u64, String>>;

fn table() -> Table {
    Flights::new(8, |text| Err(text.to_owned()))
}

/// Yields to the executor once, so that a load has a point at which it can be left.
async fn step() {
    let mut done = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut done, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Asks for a key until there is an answer, as a pool does. `load` runs if it is this caller's turn.
async fn fetch(
    table: &Table,
    key: u32,
    context: u64,
    loads: &Arc<AtomicUsize>,
    panics: bool,
) -> Result<u64, String> {
    loop {
        let waiter = match table
            .claim(u64::from(key), Arc::new(key), |pinned| {
                pinned.is_none_or(|pinned| *pinned >= context)
            })
            .unwrap()
        {
            Claim::Joined(waiter) => waiter,
            Claim::Won(turn) => {
                let (waiter, loads) = (turn.waiter(0), Arc::clone(loads));
                turn.pinned([context]);
                turn.start(Box::pin(async move {
                    loads.fetch_add(1, Ordering::SeqCst);
                    step().await;
                    if panics {
                        // Without the hook, which would print a trace for each schedule.
                        std::panic::resume_unwind(Box::new("as asked"));
                    }
                    vec![Ok(u64::from(key))]
                }));
                waiter
            }
        };
        match waiter.await {
            Landed::Value(result) => return result,
            Landed::Again => {}
            Landed::Recursive => panic!("nothing here waits for itself"),
        }
    }
}

/// Callers come and go, one after its first poll: whoever stays gets the value, and nothing is left over.
///
/// Contract: P55 (partial: the flight table, without a pool)
#[test]
fn whoever_stays_gets_the_value() {
    explore("whoever_stays_gets_the_value", || {
        let (table, loads) = (table(), Arc::new(AtomicUsize::new(0)));
        let leaves = {
            let (table, loads) = (table.clone(), Arc::clone(&loads));
            thread::spawn(move || {
                block_on(async move {
                    let mut fetching = pin!(fetch(&table, 1, 0, &loads, false));
                    poll_fn(|context| Poll::Ready(fetching.as_mut().poll(context).is_ready())).await;
                });
            })
        };
        let stays: Vec<_> = (0..2)
            .map(|_| {
                let (table, loads) = (table.clone(), Arc::clone(&loads));
                thread::spawn(move || {
                    assert_eq!(block_on(fetch(&table, 1, 0, &loads, false)), Ok(1));
                })
            })
            .collect();
        leaves.join().unwrap();
        for thread in stays {
            thread.join().unwrap();
        }
        assert!(table.is_empty(), "a flight is left over");
    });
}

/// A panic lands for all who share the load, and only for them.
///
/// Contract: P56 (partial: the flight table, without a pool)
#[test]
fn a_panic_lands_for_all_who_share_it() {
    explore("a_panic_lands_for_all_who_share_it", || {
        let (table, loads) = (table(), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (table, loads) = (table.clone(), Arc::clone(&loads));
                thread::spawn(move || {
                    assert_eq!(
                        block_on(fetch(&table, 1, 0, &loads, true)),
                        Err("as asked".to_owned())
                    );
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(table.is_empty(), "a flight is left over");
        assert_eq!(block_on(fetch(&table, 1, 0, &loads, false)), Ok(1));
    });
}

/// Two batches and a single call claim the same keys in different orders: each key is loaded, and nobody hangs.
///
/// Contract: P64 (partial: the flight table, without a pool)
#[test]
fn singles_and_batches_claim_the_same_keys() {
    explore("singles_and_batches_claim_the_same_keys", || {
        let (table, loads) = (table(), Arc::new(AtomicUsize::new(0)));
        let batches: Vec<_> = [[1_u32, 2], [2, 1]]
            .into_iter()
            .map(|keys| {
                let table = table.clone();
                thread::spawn(move || block_on(fetch_many(&table, keys)))
            })
            .collect();
        assert_eq!(block_on(fetch(&table, 1, 0, &loads, false)), Ok(1));
        for batch in batches {
            batch.join().unwrap();
        }
        assert!(table.is_empty(), "a flight is left over");
    });
}

async fn fetch_many(table: &Table, keys: [u32; 2]) {
    let claimed = table
        .claim_many(keys.map(|key| (u64::from(key), Arc::new(key))), |_, _| true)
        .unwrap();
    let mut waits: Vec<_> = claimed
        .joined
        .into_iter()
        .map(|(places, waiters)| (places.iter().map(|place| keys[*place]).collect(), waiters))
        .collect();
    if let Some(turn) = claimed.turn {
        let mine: Vec<u32> = turn.keys().map(|(_, key)| **key).collect();
        waits.push((mine.clone(), turn.waiters()));
        turn.pinned(mine.iter().map(|_| 0));
        turn.start(Box::pin(async move {
            step().await;
            mine.into_iter().map(|key| Ok(u64::from(key))).collect()
        }));
    }
    for (keys, waiters) in waits {
        let wanted: Vec<_> = keys
            .iter()
            .map(|key| Landed::Value(Ok(u64::from(*key))))
            .collect();
        assert_eq!(waiters.await, wanted);
    }
}

/// A store step that asks under the lock under which writers overtake never stores what is older than a write.
///
/// Contract: P46 (partial: the flight table, without a pool)
#[test]
fn a_load_that_was_overtaken_stores_nothing() {
    explore("a_load_that_was_overtaken_stores_nothing", || {
        let table = table();
        let resident = Arc::new(larder_core::sync::Mutex::new(None::<u64>));
        let origin = Arc::new(AtomicU64::new(0));
        let writer = {
            let (table, resident, origin) = (table.clone(), Arc::clone(&resident), Arc::clone(&origin));
            thread::spawn(move || {
                origin.store(1, Ordering::SeqCst);
                let mut resident = resident.lock();
                *resident = Some(1);
                drop(table.overtake(1));
            })
        };
        if let Claim::Won(turn) = table.claim(1, Arc::new(1), |_| true).unwrap() {
            let (overtaken, waiter) = (turn.overtaken(0).unwrap(), turn.waiter(0));
            let resident = Arc::clone(&resident);
            let load = Box::pin(async move {
                let value = origin.load(Ordering::SeqCst);
                step().await;
                let mut resident = resident.lock();
                if !overtaken.is_set() {
                    *resident = Some(value);
                }
                vec![Ok(value)]
            });
            turn.pinned([0]);
            turn.start(load);
            drop(block_on(waiter));
        }
        writer.join().unwrap();
        assert_eq!(
            *resident.lock(),
            Some(1),
            "an older value has replaced what was written"
        );
    });
}
