//! Single-flight loads, by hand: every poll and every drop is placed.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use larder_memory::flight::{Claim, Flights, FlightsFull, Landed, LoadFuture};

mod by_hand;

use by_hand::*;

/// Contract: P53 (partial: the flight table, without a pool)
#[test]
fn callers_share_one_load_and_its_result() {
    let (table, loader) = (table(), Loader::default());
    let mut first = start(won(&table, 1), loader.load(7, 2));
    let mut others: Vec<Wait> = (0..5).map(|_| joined(&table, 1)).collect();
    assert_eq!(finish(&mut first), Landed::Value(Ok(7)));
    for other in &mut others {
        assert_eq!(poll(other), Poll::Ready(Landed::Value(Ok(7))));
    }
    assert_eq!(loader.counts(), [1, 1, 1]);
    assert!(
        table.is_empty(),
        "the flight has landed and is still in the table"
    );
    drop(won(&table, 1));
}

/// The leader goes away at each await point, with 1, 2 and 32 others: one result for all, nothing left over.
///
/// Contract: P55 (partial: the flight table, without a pool)
#[test]
fn regression_19_a_leader_that_goes_away_hands_over() {
    for others in [1, 2, 32] {
        for at in 0..5 {
            let (table, loader) = (table(), Loader::default());
            let mut leader = start(won(&table, 1), loader.load(7, 4));
            let mut waiters: Vec<Wait> = (0..others).map(|_| joined(&table, 1)).collect();
            for _ in 0..at {
                assert!(
                    poll(&mut leader).is_pending(),
                    "the load has four points to be left at"
                );
            }
            drop(leader);
            for waiter in waiters.iter_mut().rev() {
                assert_eq!(
                    finish(waiter),
                    Landed::Value(Ok(7)),
                    "{others} others, gone at {at}"
                );
            }
            assert_eq!(loader.counts(), [1, 1, 1], "{others} others, gone at {at}");
            assert!(table.is_empty());
        }
    }
}

/// Contract: P55 (partial: the flight table, without a pool)
#[test]
fn a_waiter_that_is_never_polled_holds_back_nobody() {
    let table = table();
    let (sent, received) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(Mutex::new(None::<Waker>)),
    );
    let load = {
        let (sent, received) = (Arc::clone(&sent), Arc::clone(&received));
        poll_fn(move |context| {
            *received.lock().unwrap() = Some(context.waker().clone());
            if sent.load(Ordering::SeqCst) {
                Poll::Ready(Ok(3))
            } else {
                Poll::Pending
            }
        })
    };
    let mut leader = start(won(&table, 1), load);
    let never_polled = joined(&table, 1);
    let mut other = joined(&table, 1);
    let (of_leader, of_other) = (Arc::new(Counted::default()), Arc::new(Counted::default()));
    assert!(poll_with(&mut other, &Waker::from(Arc::clone(&of_other))).is_pending());
    assert!(poll_with(&mut leader, &Waker::from(Arc::clone(&of_leader))).is_pending());
    sent.store(true, Ordering::SeqCst);
    received.lock().unwrap().take().unwrap().wake();
    // The leader was the last to drive the load, and is not polled again: the other is woken as well.
    assert_eq!((of_leader.count(), of_other.count()), (1, 1));
    assert_eq!(poll(&mut other), Poll::Ready(Landed::Value(Ok(3))));
    drop((leader, never_polled));
}

/// Contract: P55 (partial: the flight table, without a pool)
#[test]
fn a_load_that_nobody_wants_is_dropped_and_the_next_caller_begins_anew() {
    let (table, loader) = (table(), Loader::default());
    let mut leader = start(won(&table, 1), loader.load(7, 4));
    let other = joined(&table, 1);
    assert!(poll(&mut leader).is_pending());
    drop(leader);
    assert_eq!(loader.counts(), [1, 0, 0], "another still waits");
    drop(other);
    assert_eq!(
        loader.counts(),
        [1, 0, 1],
        "nobody waits, and the load is still there"
    );
    assert!(table.is_empty());
    assert_eq!(
        finish(&mut start(won(&table, 1), loader.load(8, 0))),
        Landed::Value(Ok(8))
    );
    // Started without anybody who waits: dropped at once.
    let turn = won(&table, 2);
    turn.pinned([0]);
    turn.start(Box::pin(async { vec![Ok(1)] }));
    assert!(table.is_empty(), "a load that nobody waits for is kept");
}

/// Contract: P56 (partial: the flight table, without a pool)
#[test]
fn a_panic_reaches_everyone_and_the_next_call_is_fresh() {
    struct PanicsWhenDropped;
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let table = table();
    let loads: [(&str, LoadFuture<Outcome>); 3] = [
        ("text", Box::pin(async { panic!("text") })),
        ("number 5", Box::pin(async { panic!("number {}", 5) })),
        ("", Box::pin(async { std::panic::panic_any(5_u8) })),
    ];
    for (text, load) in loads {
        let turn = won(&table, 1);
        let mut leader = turn.waiter(0);
        turn.pinned([0]);
        turn.start(load);
        let mut other = joined(&table, 1);
        assert_eq!(finish(&mut leader), Landed::Value(Err(text.to_owned())));
        assert_eq!(finish(&mut other), Landed::Value(Err(text.to_owned())));
        assert!(table.is_empty());
    }
    // A load that panics while it is dropped is contained too: nobody is left to tell.
    let dropped = PanicsWhenDropped;
    let leader = start(won(&table, 1), async move {
        let _dropped = dropped;
        pending().await
    });
    drop(leader);
    assert!(table.is_empty());
}

#[test]
fn a_load_that_breaks_its_word_says_so() {
    let table = table();
    let turn = won(&table, 1);
    let mut waiter = turn.waiter(0);
    turn.pinned([0]);
    turn.start(Box::pin(async { Vec::new() }));
    let Landed::Value(Err(text)) = finish(&mut waiter) else {
        panic!("a result from nowhere")
    };
    assert!(text.contains("fewer results"), "{text}");
}

#[test]
fn a_turn_that_is_let_go_passes_on() {
    let table = table();
    let turn = won(&table, 1);
    let (mut first, mut second) = (joined(&table, 1), joined(&table, 1));
    assert!(poll(&mut first).is_pending());
    drop(turn);
    assert_eq!(poll(&mut first), Poll::Ready(Landed::Again));
    assert_eq!(poll(&mut second), Poll::Ready(Landed::Again));
    let turn = won(&table, 1);
    drop(turn);
}

#[test]
fn what_was_found_on_the_second_look_is_given_to_all() {
    let table = table();
    let mut turn = won(&table, 1);
    let mut waiter = joined(&table, 1);
    turn.give(0, Ok(4));
    turn.give(0, Ok(5));
    drop(turn);
    assert_eq!(poll(&mut waiter), Poll::Ready(Landed::Value(Ok(4))));
    assert!(table.is_empty());
}

/// Contract: P53 (partial: the flight table, without a pool)
#[test]
fn a_flight_that_may_not_be_joined_lands_for_those_who_did() {
    let (table, old, new) = (table(), Loader::default(), Loader::default());
    let turn = won(&table, 1);
    let overtaken = turn.overtaken(0).unwrap();
    let mut first = start(turn, old.load(1, 3));
    assert!(poll(&mut first).is_pending());
    let Claim::Won(turn) = claim_at(&table, 1, 9) else {
        panic!("joined a flight that is too old")
    };
    assert!(
        overtaken.is_set(),
        "writers will tell the newer flight alone, so the older one must not store"
    );
    let mut second = turn.waiter(0);
    turn.pinned([9]);
    turn.start(Box::pin(async { vec![Ok(2)] }));
    let Claim::Joined(mut third) = claim_at(&table, 1, 9) else {
        panic!("the newer flight is not found")
    };
    assert_eq!(finish(&mut first), Landed::Value(Ok(1)));
    assert_eq!(
        table.len(),
        1,
        "the older flight took the newer one's place with it"
    );
    assert_eq!(finish(&mut second), Landed::Value(Ok(2)));
    assert_eq!(finish(&mut third), Landed::Value(Ok(2)));
    assert_eq!(
        (old.counts(), new.counts(), table.len()),
        ([1, 1, 1], [0, 0, 0], 0)
    );
}

/// Contract: P46 (partial: the flight table, without a pool)
#[test]
fn a_key_that_is_written_is_loaded_anew_and_the_old_load_knows() {
    let table = table();
    let turn = won(&table, 1);
    let overtaken = turn.overtaken(0).unwrap();
    let mut first = start(turn, async { Ok(1) });
    assert!(!overtaken.is_set());
    assert!(table.overtake(2).is_empty(), "another key was written");
    assert!(!overtaken.is_set());
    assert!(!table.overtake(1).is_empty());
    assert!(overtaken.is_set());
    assert!(table.is_empty());
    let turn = won(&table, 1);
    assert_eq!(finish(&mut first), Landed::Value(Ok(1)));
    assert_eq!(table.len(), 1, "the old load took the new turn's place with it");
    drop(turn);
}

/// Contract: P46 (partial: the flight table, without a pool)
#[test]
fn everything_may_be_overtaken_at_once() {
    let table = table();
    let turns: Vec<Right> = (1..=40).map(|key| won(&table, key)).collect();
    let overtaken: Vec<_> = turns.iter().map(|turn| turn.overtaken(0).unwrap()).collect();
    assert!(table.contains(7));
    drop(table.overtake_all());
    assert!(table.is_empty() && !table.contains(7));
    assert!(overtaken.iter().all(larder_memory::flight::Overtaken::is_set));
    // The places in the table are not theirs any more.
    let turn = won(&table, 7);
    drop(turns);
    assert_eq!(table.len(), 1);
    drop(turn);
}

/// A turn that is let go after some of its keys were given: those have their value, the others ask again.
#[test]
fn a_turn_that_is_let_go_keeps_what_it_gave() {
    let table = table();
    let keys = [1_u32, 2].map(|key| (u64::from(key), Arc::new(key)));
    let mut turn = table.claim_many(keys, |_, _| true).unwrap().turn.unwrap();
    let mut waiters = turn.waiters();
    turn.give(1, Ok(20));
    assert!(
        Pin::new(&mut waiters)
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    drop(turn);
    assert_eq!(finish(&mut waiters), [Landed::Again, Landed::Value(Ok(20))]);
}

/// Ten thousand callers of one key: each poll is cheap, whoever leaves makes room for others, and all are served.
#[test]
fn a_herd_is_served() {
    let (table, may_end) = (table(), Arc::new(AtomicBool::new(false)));
    let load = {
        let may_end = Arc::clone(&may_end);
        poll_fn(move |_| match may_end.load(Ordering::SeqCst) {
            true => Poll::Ready(Ok(7)),
            false => Poll::Pending,
        })
    };
    let mut leader = start(won(&table, 1), load);
    let mut herd: Vec<Wait> = (0..10_000).map(|_| joined(&table, 1)).collect();
    assert!(herd.iter_mut().all(|waiter| poll(waiter).is_pending()));
    herd.truncate(5_000);
    herd.extend((0..5_000).map(|_| joined(&table, 1)));
    may_end.store(true, Ordering::SeqCst);
    assert_eq!(finish(&mut leader), Landed::Value(Ok(7)));
    assert!(
        herd.iter_mut()
            .all(|waiter| poll(waiter) == Poll::Ready(Landed::Value(Ok(7))))
    );
}

/// Contract: P61 (partial: the flight table, without a pool)
#[test]
fn a_load_that_waits_for_itself_says_so() {
    let table = table();
    let turn = won(&table, 1);
    let mut within = turn.waiter(0);
    let mut leader = start(turn, async move {
        let landed = poll_fn(move |context| Pin::new(&mut within).poll(context)).await;
        assert_eq!(landed, Landed::Recursive);
        Ok(1)
    });
    assert_eq!(finish(&mut leader), Landed::Value(Ok(1)));
}

/// One key's load waits for another's, whose load waits for the first.
///
/// Contract: P61 (partial: the flight table, without a pool)
#[test]
fn a_cycle_within_a_task_is_found() {
    let table = table();
    let (one, two) = (won(&table, 1), won(&table, 2));
    let (within_one, within_two) = (two.waiter(0), one.waiter(0));
    let told = Arc::new(OnceLock::new());
    let mut leader = start(one, {
        async move {
            let landed = within_one.await;
            Ok(u64::from(landed == Landed::Value(Ok(2))))
        }
    });
    let second = start(two, {
        let told = Arc::clone(&told);
        async move {
            let _ = told.set(within_two.await);
            Ok(2)
        }
    });
    assert_eq!(finish(&mut leader), Landed::Value(Ok(1)));
    assert_eq!(told.get(), Some(&Landed::Recursive));
    drop(second);
}

/// Contract: P64 (partial: the flight table, without a pool)
#[test]
fn batches_and_single_loads_share_one_table() {
    let table = table();
    let mut single = start(won(&table, 2), async { Ok(2) });
    let keys = [1_u32, 2, 3, 4].map(|key| (u64::from(key), Arc::new(key)));
    let claimed = table.claim_many(keys, |_, _| true).unwrap();
    let [(places, mut of_single)] = <[_; 1]>::try_from(claimed.joined).unwrap();
    assert_eq!(places, [1]);
    let mut turn = claimed.turn.unwrap();
    assert_eq!(
        turn.keys().map(|(place, key)| (place, **key)).collect::<Vec<_>>(),
        [(0, 1), (2, 3), (3, 4)]
    );
    let mut waiters = turn.waiters();
    let mut joiner = joined(&table, 3);
    let again = [4_u32, 5, 1].map(|key| (u64::from(key), Arc::new(key)));
    let again = table.claim_many(again, |_, _| true).unwrap();
    let [(places, mut of_batch)] = <[_; 1]>::try_from(again.joined).unwrap();
    assert_eq!(places, [0, 2], "two keys of one load, one wait");
    drop(again.turn);
    // Found on the second look: the load brings the other two.
    turn.give(1, Ok(30));
    turn.pinned([0; 3]);
    turn.start(Box::pin(async { vec![Ok(10), Ok(40)] }));
    assert_eq!(finish(&mut joiner), Landed::Value(Ok(30)));
    let landed = finish(&mut waiters);
    assert_eq!(landed, [10, 30, 40].map(|value| Landed::Value(Ok(value))));
    assert_eq!(
        finish(&mut of_batch),
        [40, 10].map(|value| Landed::Value(Ok(value)))
    );
    assert_eq!(finish(&mut of_single), [Landed::Value(Ok(2))]);
    assert_eq!(finish(&mut single), Landed::Value(Ok(2)));
    assert!(table.is_empty());
}

/// Contract: P62 (partial: the flight table, without a pool)
#[test]
fn as_many_keys_as_may_be_are_loaded_at_once() {
    let table: Table = Flights::new(3, |text| Err(text.to_owned()));
    let turns = [won(&table, 1), won(&table, 2)];
    let keys = [3_u32, 4].map(|key| (u64::from(key), Arc::new(key)));
    assert_eq!(
        table.claim_many(keys, |_, _| true).err(),
        Some(FlightsFull { limit: 3 })
    );
    assert_eq!(table.len(), 2, "a claim that failed has left something behind");
    let third = won(&table, 3);
    assert!(table.claim(4, Arc::new(4), |_| true).is_err());
    drop(joined(&table, 3));
    drop((turns, third));
    assert!(table.is_empty());
}

/// Wakers, results and keys may call the table: none of them runs under its locks.
#[test]
fn nothing_foreign_runs_under_a_lock() {
    struct Calls(Table);
    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            drop(claim(&self.0, 1));
        }
    }
    impl Drop for Calls {
        fn drop(&mut self) {
            drop(claim(&self.0, 1));
        }
    }
    let (table, loader) = (table(), Loader::default());
    let mut leader = start(won(&table, 1), loader.load(7, 3));
    let mut other = joined(&table, 1);
    for _ in 0..3 {
        let waker = Waker::from(Arc::new(Calls(table.clone())));
        let _ = poll_with(&mut other, &waker);
        let _ = poll_with(&mut leader, &waker);
    }
    assert_eq!(finish(&mut leader), Landed::Value(Ok(7)));
    drop(other);
    assert!(
        pin!(async { 1 })
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    );
}
