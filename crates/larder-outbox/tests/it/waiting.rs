//! Waits for tokens.

use std::sync::Arc;
use std::time::Duration;

use larder_core::{Applied, Epoch, Fence, Position, SourceId, Token};
use larder_outbox::{Wait, WaitMode, Waiter};
use larder_testkit::{SimClock, SimRuntime};

use super::ground::{MODES, ground, user};

/// Contract: O64, O65
#[tokio::test]
async fn a_wait_says_what_is_known() {
    let ground = ground(MODES[0]).await;
    let fence = Fence::builder().build().unwrap();
    let waiter = Waiter::new(&fence);
    let mut follower = ground.outbox.follower(&fence).build().unwrap();
    follower.step().await.unwrap();
    let elsewhere = larder_outbox::Outbox::builder(ground.pool.clone())
        .open()
        .await
        .unwrap();
    let token = elsewhere.record_alone(&user(1)).await.unwrap();

    let waited = waiter.wait(&token, Wait::none()).await.unwrap();
    assert_eq!(
        (waited.mode, waited.satisfied, waited.pending),
        (WaitMode::None, true, 0)
    );
    for wait in [
        Wait::local(Duration::ZERO),
        Wait::best_effort(Duration::from_millis(5)),
    ] {
        let waited = waiter.wait(&token, wait.clone()).await.unwrap();
        assert_eq!(waited.mode, *wait.mode());
        assert!(!waited.satisfied && waited.timed_out && waited.degraded && !waited.unknown);
        assert_eq!(waited.pending, 1);
    }
    let foreign = Token::commit(SourceId::new(1), Epoch::new(1), Position::new(1));
    let waited = waiter
        .wait(&foreign.merge(&token), Wait::local(Duration::from_secs(60)))
        .await
        .unwrap();
    assert!(waited.unknown && waited.degraded && !waited.timed_out && !waited.satisfied);
    assert_eq!(waited.pending, 2);
    let waited = waiter
        .wait(&Token::origin_only(), Wait::local(Duration::from_secs(60)))
        .await
        .unwrap();
    assert!(waited.degraded && waited.pending == 1);

    let (waited, step) = tokio::join!(
        waiter.wait(&token, Wait::local(Duration::from_secs(60))),
        follower.step()
    );
    step.unwrap();
    let waited = waited.unwrap();
    assert!(waited.satisfied && !(waited.degraded || waited.timed_out || waited.unknown));
    assert_eq!(waited.pending, 0);
    let counts = waiter.clone().diagnostics();
    assert_eq!(
        (counts.waits, counts.satisfied, counts.timed_out, counts.degraded),
        (6, 2, 2, 4)
    );
}

/// As many as may be wait at once; one more is told at once, and nobody else is hurt.
///
/// Contract: O65
#[test]
fn as_many_as_may_be_wait_at_once() {
    let clock = SimClock::new();
    let runtime = SimRuntime::new(&clock);
    let fence = Fence::builder().clock(Arc::new(clock.clone())).build().unwrap();
    let waiter = Waiter::new(&fence).runtime(Arc::new(runtime.clone()));
    assert!(waiter.clone().waiters_max(0).is_err() && waiter.clone().waiters_max((1 << 20) + 1).is_err());
    let waiter = waiter.waiters_max(2).unwrap();
    let lane = fence.lane(SourceId::new(1)).unwrap();
    let cursor = larder_core::Cursor::ordered(SourceId::new(1), Epoch::new(1), Position::new(1), 0);
    let as_of = larder_core::AsOf::new(SourceId::new(1), Epoch::new(1), 0);
    lane.begin(&larder_core::Head::new(cursor, Vec::new(), as_of));
    let token = Token::commit(SourceId::new(1), Epoch::new(1), Position::new(1));
    assert_eq!(fence.applied(&token), Applied::No);
    let wait = Wait::local(Duration::from_secs(1));
    let mut waits: Vec<_> = (0..2)
        .map(|_| Box::pin(waiter.wait(&token, wait.clone())))
        .collect();
    for wait in &mut waits {
        assert!(larder_testkit::poll_once(wait.as_mut()).is_pending());
    }
    let third = runtime.block_on(waiter.wait(&token, wait.clone())).unwrap();
    assert!(third.degraded && !third.timed_out && third.elapsed.is_zero());
    // One goes away: there is a place again, and it ends when its time is over.
    waits.pop();
    let mut fourth = Box::pin(waiter.wait(&token, wait.clone()));
    assert!(larder_testkit::poll_once(fourth.as_mut()).is_pending());
    runtime.advance(Duration::from_secs(1));
    let fourth = runtime.block_on(fourth).unwrap();
    assert!(fourth.timed_out);
    assert_eq!(fourth.elapsed, Duration::from_secs(1));
    drop(waits);
}

/// Ten thousand waits read nothing of the database, and other commits wake nobody in vain for long: each ends with its own.
///
/// Contract: O66
#[tokio::test]
async fn waits_cost_no_reads_and_end_with_their_own_commit() {
    let ground = ground(MODES[0]).await;
    let fence = Fence::builder().build().unwrap();
    let waiter = Waiter::new(&fence);
    let mut follower = ground.outbox.follower(&fence).rows_a_read(1).build().unwrap();
    follower.step().await.unwrap();
    let elsewhere = larder_outbox::Outbox::builder(ground.pool.clone())
        .open()
        .await
        .unwrap();
    let first = elsewhere.record_alone(&user(1)).await.unwrap();
    let second = elsewhere.record_alone(&user(2)).await.unwrap();
    let wait = Wait::local(Duration::from_secs(60));
    let mut early: Vec<_> = (0..10_000)
        .map(|_| Box::pin(waiter.wait(&first, wait.clone())))
        .collect();
    let mut late = Box::pin(waiter.wait(&second, wait.clone()));
    for wait in &mut early {
        assert!(larder_testkit::poll_once(wait.as_mut()).is_pending());
    }
    assert!(larder_testkit::poll_once(late.as_mut()).is_pending());
    // While the database can be asked nothing at all they wait as before.
    let writer = ground.outbox.begin().await.unwrap();
    for wait in early.iter_mut().take(100) {
        assert!(larder_testkit::poll_once(wait.as_mut()).is_pending());
    }
    writer.rollback().await.unwrap();
    follower.step().await.unwrap();
    for wait in early {
        assert!(wait.await.unwrap().satisfied);
    }
    assert!(
        larder_testkit::poll_once(late.as_mut()).is_pending(),
        "that is another commit"
    );
    follower.step().await.unwrap();
    assert!(late.await.unwrap().satisfied);
}
