//! Relays that run until they are stopped.

use super::*;

/// Rows are published soon after a hint; who is told to stop finishes what is under way, or gives it back.
///
/// Contract: O90
#[test]
fn a_relay_runs_until_it_is_stopped() {
    let stage = Stage::new();
    let receiver = Receiver::default();
    let relay = stage.open(stage.relay(receiver.closure()).poll_max(60 * SECOND));
    let (stop, stopped) = oneshot::channel::<()>();
    let running = relay.clone();
    larder_core::Runtime::spawn(
        &stage.runtime,
        Box::pin(async move { running.run(async { stopped.await.unwrap_or_default() }).await }),
    );
    stage.runtime.advance(600 * SECOND);
    let rounds = relay.diagnostics().iterations;
    assert!(rounds < 30, "slower and slower: {rounds}");
    stage.record([1]);
    stage.runtime.run();
    assert_eq!(receiver.seen(), ["entity:user/1"], "no time has passed");
    // A store that is gone is asked again, for ever.
    stage.store.set_gone(IsGone::Yes);
    stage.runtime.advance(3_600 * SECOND);
    stage.store.set_gone(IsGone::No);
    stage.record([2]);
    stage.runtime.advance(61 * SECOND);
    assert_eq!(receiver.seen().len(), 2);
    drop(stop);
    stage.runtime.run();
    assert_eq!(stage.runtime.tasks(), 0);
    stage.record([3]);
    stage.runtime.advance(SECOND);
    assert_eq!(receiver.seen().len(), 2, "it has stopped");

    for (takes, is_finished) in [(5, true), (3_600, false)] {
        let runtime = stage.runtime.clone();
        let slow = PublishFn::new(move |rows: &[OutboxRow]| {
            let (rows, slept) = (rows.len(), larder_core::Runtime::sleep(&runtime, takes * SECOND));
            Box::pin(async move {
                slept.await;
                vec![Published::Done; rows]
            })
        });
        let relay = stage.open(stage.relay(slow));
        stage.record([4]);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = relay.clone();
        larder_core::Runtime::spawn(
            &stage.runtime,
            Box::pin(async move { running.run(async { stopped.await.unwrap_or_default() }).await }),
        );
        stage.runtime.advance(SECOND);
        drop(stop);
        stage.runtime.advance(11 * SECOND);
        assert_eq!(stage.runtime.tasks(), 0, "it has stopped");
        assert_eq!(stage.pending() == 0, is_finished);
        let next = stage.once(&stage.open(stage.relay(receiver.closure())));
        assert_eq!(
            next.claimed > 0,
            !is_finished,
            "what was given back is there at once"
        );
    }
}

/// A commit is applied here when it returns, and wakes whoever waits in this process: waits, the follower, and relays.
///
/// Contract: O21
#[tokio::test]
async fn a_commit_wakes_its_process() {
    for mode in MODES {
        let ground = ground(mode).await;
        let fence = Fence::builder().build().unwrap();
        let minute = 60 * SECOND;
        // Without a hint they would look again after a minute.
        let builder = ground.outbox.follower(&fence).poll_min(minute).poll_max(minute);
        let mut follower = builder.freshness(3 * minute).build().unwrap();
        let handle = follower.handle();
        let receiver = Receiver::default();
        let relay = Relay::builder(ground.outbox.store(), receiver.closure());
        let relay = relay.poll_min(minute).poll_max(minute).open().await.unwrap();
        let following = tokio::spawn(async move { follower.run(std::future::pending()).await });
        let relaying = tokio::spawn(async move { relay.run(std::future::pending()).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        let head = ground.outbox.head().await.unwrap().cursor;
        let next = larder_core::Token::commit(head.source(), head.epoch(), head.end());
        let waiter = ground.outbox.waiter(&fence);
        let waiting =
            tokio::spawn(async move { waiter.wait(&next, larder_outbox::Wait::local(minute)).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let pin = fence.pin(&[Target::entity("user", 1).unwrap()]).unwrap();
        let mut transaction = ground.outbox.begin().await.unwrap();
        let recorded = transaction.record(&user(1)).await.unwrap();
        transaction.commit().await.unwrap();
        assert!(!pin.is_fresh(), "it is applied when it returns");
        let woken = async {
            assert!(waiting.await.unwrap().unwrap().satisfied);
            let position = recorded.position().unwrap();
            let has_read = || {
                handle
                    .status()
                    .cursor
                    .is_some_and(|cursor| cursor.includes(position))
            };
            while receiver.seen().is_empty() || !has_read() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(20 * SECOND, woken).await.unwrap();
        following.abort();
        relaying.abort();
    }
}
