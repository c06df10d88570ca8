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
