//! How calls end other than with a value: cancelled, panicked, too late, waiting for themselves, too many.

use std::sync::Arc;
use std::time::Duration;

use larder_pool::{FetchError, FetchOptions, LoadContext, LoadOutcome, Loaded, Pool, Reason, TokioRuntime};
use larder_testkit::{SimClock, poll_once};

use super::hand::{Call, Oops, Row, World, begun, by_hand, ended, never, row, waits};

/// What a call for a row gives.
type Answer = Result<Option<Arc<Row>>, FetchError>;

fn version(answer: Answer) -> Option<u64> {
    answer.unwrap().map(|row| row.version)
}

/// The text of the panic that a call was told of.
fn message(answer: Answer) -> String {
    match answer {
        Err(FetchError::Panicked { message }) => message.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Contract: P55 (partial: who drives)
#[test]
fn regression_19_the_leader_goes_away_at_each_step() {
    for others in [1, 2, 32] {
        for polls in 1..4 {
            let world = World::new();
            let (hand, load) = by_hand();
            let mut leader = begun(world.pool.get_or_fetch(&7, load));
            let mut calls: Vec<Call<'_, Answer>> = (0..others)
                .map(|_| begun(world.pool.get_or_fetch(&7, never)))
                .collect();
            // Held and never polled again: it holds back nobody.
            let held = begun(world.pool.get_or_fetch(&7, never));
            for _ in 1..polls {
                assert!(waits(&mut leader));
                assert!(calls.iter_mut().all(waits));
            }
            drop(leader);
            assert!(!hand.is_dropped(), "others wait");
            hand.brings(row(7, 1));
            for call in calls {
                assert_eq!(version(ended(call)), Some(1));
            }
            assert_eq!(version(ended(held)), Some(1));
            let stats = world.pool.stats();
            assert_eq!((stats.loads.total(), stats.inserts, stats.flights), (1, 1, 0));
        }
    }
}

/// Contract: P55 (partial: who drives)
#[test]
fn regression_19_every_waiter_in_turn_goes_away() {
    let world = World::new();
    let (hand, load) = by_hand();
    let mut calls = vec![begun(world.pool.get_or_fetch(&7, load))];
    for _ in 0..8 {
        calls.push(begun(world.pool.get_or_fetch(&7, never)));
        drop(calls.remove(0));
        assert!(waits(&mut calls[0]));
    }
    assert!(!hand.is_dropped());
    drop(calls);
    assert!(hand.is_dropped(), "nobody waits any more");
    let stats = world.pool.stats();
    assert_eq!((stats.loads.of(LoadOutcome::Cancelled), stats.flights), (1, 0));
    assert_eq!(world.fetch(7, row(7, 2)), Some(2));
}

/// Contract: P55
#[test]
fn a_detached_load_goes_on_by_itself() {
    let world = World::new();
    let (hand, load) = by_hand();
    let options = FetchOptions::new().detach();
    drop(begun(world.pool.get_or_fetch_with(&7, options, load)));
    assert!(!hand.is_dropped());
    hand.brings(row(7, 1));
    world.runtime.run();
    assert_eq!(world.peek(7), Some(1));
    assert_eq!(world.runtime.tasks(), 0);
}

/// Contract: P55 (partial: detached loads of a pool that says so)
#[test]
fn a_pool_may_detach_all_its_loads() {
    let world = World::with(|pool| pool.detach());
    let (hand, load) = by_hand();
    drop(begun(world.pool.get_or_fetch(&7, load)));
    let (sender, gate) = futures_channel::oneshot::channel::<()>();
    let many = world.pool.get_or_fetch_many(&[8, 9], |load| async move {
        gate.await.ok();
        Ok::<_, Oops>(load.ids.into_iter().map(|id| row(id, 2)).collect::<Vec<_>>())
    });
    drop(begun(many));
    hand.brings(row(7, 1));
    sender.send(()).unwrap();
    world.runtime.run();
    let resident = [7, 8, 9].map(|id| world.peek(id));
    assert_eq!(resident, [Some(1), Some(2), Some(2)]);
}

/// Contract: P56
#[test]
fn a_panic_of_a_loader_is_an_error_for_everyone() {
    let world = World::new();
    // In the loader itself.
    let call = world
        .pool
        .get_or_fetch(&7, |_| -> std::future::Ready<Result<Row, Oops>> {
            panic!("at once")
        });
    assert_eq!(message(ended(Box::pin(call))), "at once");
    // In its future, after others have joined.
    let (sender, gate) = futures_channel::oneshot::channel::<()>();
    let load = |_: LoadContext<Row>| async move {
        gate.await.ok();
        if true {
            panic!("{}", "later");
        }
        Ok::<_, Oops>(row(7, 1))
    };
    let calls = [
        begun(world.pool.get_or_fetch(&7, load)),
        begun(world.pool.get_or_fetch(&7, never)),
    ];
    sender.send(()).unwrap();
    for call in calls {
        assert_eq!(message(ended(call)), "later");
    }
    // Without a text.
    let silent = |_: LoadContext<Row>| async move {
        std::panic::resume_unwind(Box::new(7_u8));
        #[expect(unreachable_code, reason = "a future needs a type")]
        Ok::<_, Oops>(row(7, 1))
    };
    assert_eq!(message(ended(Box::pin(world.pool.get_or_fetch(&7, silent)))), "");
    let stats = world.pool.stats();
    assert_eq!(
        (
            stats.loads.of(LoadOutcome::Panicked),
            stats.flights,
            stats.entries
        ),
        (3, 0, 0)
    );
    assert_eq!(world.fetch(7, row(7, 2)), Some(2), "the next call is fresh");
}

/// Contract: P56 (partial: the store step)
#[test]
fn regression_10_a_panic_of_the_store_step_is_an_error_too() {
    let panics = |value: &Row| {
        assert!(value.version != 13, "weighed");
        100
    };
    let world = World::with(|pool| pool.weigher(panics));
    let (hand, load) = by_hand();
    let calls = [
        begun(world.pool.get_or_fetch(&7, load)),
        begun(world.pool.get_or_fetch(&7, never)),
    ];
    hand.brings(row(7, 13));
    for call in calls {
        assert_eq!(message(ended(call)), "weighed");
    }
    let many = world
        .pool
        .get_or_fetch_many(&[7, 8], |_| async { Ok::<_, Oops>(vec![row(8, 1), row(7, 13)]) });
    for answer in world.runtime.block_on(many).unwrap() {
        assert_eq!(message(answer), "weighed");
    }
    assert_eq!((world.pool.len(), world.pool.stats().flights), (0, 0));
    assert_eq!(world.fetch(7, row(7, 2)), Some(2));
}

/// Contract: P57 (partial: `timeout`)
#[test]
fn a_loader_that_takes_too_long_is_dropped() {
    let world = World::new();
    let (hand, load) = by_hand();
    let options = FetchOptions::new().timeout(Duration::from_secs(2));
    let mut call = begun(world.pool.get_or_fetch_with(&7, options, load));
    world.runtime.advance(Duration::from_millis(1_999));
    assert!(waits(&mut call));
    let joined = begun(world.pool.get_or_fetch(&7, never));
    world.runtime.advance(Duration::from_millis(1));
    let after = Duration::from_secs(2);
    let told = |error| match error {
        FetchError::Timeout { after } => after,
        other => panic!("{other}"),
    };
    assert_eq!(told(ended(call).unwrap_err()), after);
    assert_eq!(told(ended(joined).unwrap_err()), after);
    assert!(hand.is_dropped());
    assert_eq!(world.pool.stats().loads.of(LoadOutcome::TimedOut), 1);
    assert_eq!(world.fetch(7, row(7, 1)), Some(1));
}

/// A limit is over when the runtime that measures it has ended: nobody would end it otherwise.
///
/// Contract: P57 (partial: `timeout`)
#[test]
fn a_limit_ends_with_its_runtime() {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let runtime = Arc::new(TokioRuntime::new(tokio.handle().clone()));
    let pool = Pool::<Row>::builder().runtime(runtime).build().unwrap();
    let options = FetchOptions::new().timeout(Duration::from_secs(3_600));
    let (before, load) = by_hand();
    let call = begun(pool.get_or_fetch_with(&7, options.clone(), load));
    drop(tokio);
    assert!(matches!(ended(call), Err(FetchError::Timeout { .. })));
    assert!(before.is_dropped());
    let (after, load) = by_hand();
    let late = pool.get_or_fetch_with(&8, options, load);
    assert!(matches!(ended(Box::pin(late)), Err(FetchError::Timeout { .. })));
    assert!(after.is_dropped());
}

/// Contract: P57 (partial: who joins with a limit of its own)
#[test]
fn the_limit_of_a_call_that_joins_ends_its_wait_and_not_the_load() {
    let world = World::new();
    let (hand, load) = by_hand();
    let patient = begun(world.pool.get_or_fetch(&7, load));
    let options = FetchOptions::new().timeout(Duration::from_secs(1));
    let joined = begun(world.pool.get_or_fetch_with(&7, options, never));
    world.runtime.advance(Duration::from_secs(1));
    assert!(matches!(ended(joined), Err(FetchError::Timeout { after }) if after == Duration::from_secs(1)));
    hand.brings(row(7, 1));
    assert_eq!(version(ended(patient)), Some(1));
}

/// Contract: P57
#[test]
fn after_a_while_a_stale_value_will_do() {
    let window = Duration::from_secs(60);
    let world = World::with(|pool| pool.time_to_live(Duration::from_secs(10)).stale_on_error(window));
    world.pool.insert(row(7, 1)).unwrap();
    world.runtime.advance(Duration::from_secs(11));
    let (hand, load) = by_hand();
    let options = FetchOptions::new().soft_timeout(Duration::from_secs(1));
    let call = begun(world.pool.get_or_fetch_with(&7, options.clone(), load));
    world.runtime.advance(Duration::from_secs(1));
    let fetched = ended(call).unwrap();
    assert_eq!((fetched.value.unwrap().version, fetched.stale), (1, true));
    assert!(!hand.is_dropped(), "the load goes on");
    hand.brings(row(7, 2));
    world.runtime.run();
    assert_eq!(world.peek(7), Some(2));

    // Without a stale value there is nothing to answer with before the load has ended.
    let (hand, load) = by_hand();
    let mut call = begun(world.pool.get_or_fetch_with(&8, options, load));
    world.runtime.advance(Duration::from_secs(5));
    assert!(waits(&mut call));
    hand.brings(row(8, 1));
    assert!(!ended(call).unwrap().stale);
}

/// A value whose window was over was served after the soft timeout, for as long as nobody had swept it.
///
/// Contract: P57 (partial: the end of a window)
#[test]
fn a_soft_timeout_serves_nothing_past_its_window() {
    let second = Duration::from_secs(1);
    for (age, is_served) in [(68, true), (69, false), (1_000, false)] {
        let world = World::with(|pool| pool.time_to_live(10 * second).stale_on_error(60 * second));
        world.pool.insert(row(7, 1)).unwrap();
        world.runtime.advance(age * second);
        let (hand, load) = by_hand();
        let options = FetchOptions::new().soft_timeout(second);
        let mut call = begun(world.pool.get_or_fetch_with(&7, options, load));
        world.runtime.advance(second);
        assert_eq!(!waits(&mut call), is_served, "{age} s");
        drop(hand);
    }
}

/// Contract: P57 (partial: no deadline unless asked for)
#[test]
fn a_load_may_take_its_time_and_an_outer_limit_is_a_cancellation() {
    let world = World::new();
    let (hand, load) = by_hand();
    let mut call = begun(world.pool.get_or_fetch(&7, load));
    world.runtime.advance(Duration::from_secs(7 * 24 * 3_600));
    assert!(waits(&mut call));
    drop(call);
    assert!(hand.is_dropped());
}

/// Contract: P61
#[test]
fn regression_7_a_load_that_would_wait_for_itself_says_so() {
    let world = World::new();
    let inner = world.pool.clone();
    let call = world.pool.get_or_fetch(&7, move |_| async move {
        let answer = inner.get_or_fetch(&7, never).await;
        assert!(matches!(answer, Err(FetchError::Recursive)), "{answer:?}");
        Ok::<_, Oops>(row(7, 1))
    });
    assert_eq!(version(world.runtime.block_on(call)), Some(1));

    // Through another id: 1 loads 2, which asks for 1.
    let (outer, inner) = (world.pool.clone(), world.pool.clone());
    let call = world.pool.get_or_fetch(&1, move |_| async move {
        let load = move |_: LoadContext<Row>| async move { inner.get_or_fetch(&1, never).await };
        let answer = outer.get_or_fetch(&2, load).await;
        let Err(FetchError::Loader(error)) = answer else {
            panic!("{answer:?}")
        };
        let error = error.downcast_ref::<FetchError>().unwrap();
        assert!(matches!(error, FetchError::Recursive), "{error}");
        Ok::<_, Oops>(row(1, 1))
    });
    assert_eq!(version(world.runtime.block_on(call)), Some(1));

    // Among several.
    let inner = world.pool.clone();
    let many = world.pool.get_or_fetch_many(&[3, 4], move |_| async move {
        let answer = inner.get_or_fetch(&4, never).await;
        assert!(matches!(answer, Err(FetchError::Recursive)), "{answer:?}");
        Ok::<_, Oops>(vec![row(3, 1), row(4, 1)])
    });
    assert_eq!(world.runtime.block_on(many).unwrap().ok().unwrap().len(), 2);
    assert_eq!(world.pool.stats().flights, 0);
}

/// Contract: P62 (partial: `Busy`)
#[test]
fn as_many_ids_as_may_be_are_loaded_at_once() {
    let world = World::with(|pool| pool.flights(2));
    let (first, load) = by_hand();
    let one = begun(world.pool.get_or_fetch(&1, load));
    let (_second, load) = by_hand();
    let two = begun(world.pool.get_or_fetch(&2, load));
    let third = ended(Box::pin(world.pool.get_or_fetch(&3, never)));
    assert!(matches!(third, Err(FetchError::Busy { limit: 2 })), "{third:?}");
    let joined = begun(world.pool.get_or_fetch(&1, never));
    first.brings(row(1, 1));
    assert_eq!((version(ended(one)), version(ended(joined))), (Some(1), Some(1)));
    drop(two);
    assert_eq!(world.fetch(3, row(3, 1)), Some(1));
}

/// Contract: P23 (partial: loads), P55 (partial: a pool that goes away)
#[test]
fn a_load_keeps_no_pool_alive() {
    let world = World::new();
    let weak = world.pool.downgrade();
    let (hand, load) = by_hand();
    let pool = world.pool.clone();
    let call: Call<'static, Answer> = Box::pin(async move { pool.get_or_fetch(&7, load).await });
    let mut call = call;
    assert!(poll_once(call.as_mut()).is_pending());
    let World { pool, .. } = world;
    drop(pool);
    assert!(weak.upgrade().is_some(), "the call has a handle");
    drop(call);
    assert!(weak.upgrade().is_none());
    assert!(hand.is_dropped());
}

/// Contract: P116 (partial: options of a call)
#[test]
fn what_needs_a_runtime_says_so_when_there_is_none() {
    let clock = SimClock::new();
    let pool: Pool<Row> = Pool::builder().clock(Arc::new(clock)).build().unwrap();
    let second = Duration::from_secs(1);
    let options = [
        ("timeout", FetchOptions::new().timeout(second)),
        ("soft_timeout", FetchOptions::new().soft_timeout(second)),
        ("detach", FetchOptions::new().detach()),
        (
            "stale_while_revalidate",
            FetchOptions::new().stale_while_revalidate(second),
        ),
        ("refresh_ahead", FetchOptions::new().refresh_ahead(0.5)),
    ];
    for (option, options) in options {
        let answer = ended(Box::pin(pool.get_or_fetch_with(&7, options, never)));
        match answer {
            Err(FetchError::NeedsRuntime { option: told }) => assert_eq!(told, option),
            other => panic!("{option}: {other:?}"),
        }
    }
    let plain = ended(Box::pin(
        pool.get_or_fetch(&7, |_| async { Ok::<_, Oops>(row(7, 1)) }),
    ));
    assert_eq!(version(plain), Some(1), "loads need none");
}

/// Contract: P23 (partial: loads after it)
#[test]
fn after_a_shutdown_loads_go_on_and_what_works_in_the_background_does_not() {
    let world = World::with(|pool| {
        pool.time_to_live(Duration::from_secs(10))
            .stale_while_revalidate(Duration::from_secs(60))
    });
    world.pool.insert(row(7, 1)).unwrap();
    world.runtime.block_on(world.pool.shutdown());
    assert_eq!(world.fetch(8, row(8, 1)), Some(1));
    let options = FetchOptions::new().detach();
    let answer = ended(Box::pin(world.pool.get_or_fetch_with(&9, options, never)));
    assert!(matches!(answer, Err(FetchError::Stopped)), "{answer:?}");
    // There is nobody to renew a stale value meanwhile, so the caller does it.
    world.runtime.advance(Duration::from_secs(11));
    assert_eq!(world.fetch(7, row(7, 2)), Some(2));
    world.pool.invalidate(&7, Reason::Manual);
    assert_eq!(world.fetch(7, Loaded::none()), None);
}
