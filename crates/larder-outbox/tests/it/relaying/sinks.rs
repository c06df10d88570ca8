//! Sinks of this process that are fed by a relay.

use super::*;

/// What a sink was called with, and when it is done with it.
#[derive(Default)]
struct Slow {
    fence: Mutex<Option<Fence>>,
    calls: Mutex<Vec<(Vec<Invalidation>, Position, bool)>>,
    settlers: Mutex<Vec<Settler>>,
    fails: AtomicU64,
}

impl Sink for Slow {
    fn apply(&self, rows: &[Invalidation], at: Position) -> Result<Settled, SinkError> {
        if self.fails.load(Ordering::Relaxed) > 0 {
            self.fails.fetch_sub(1, Ordering::Relaxed);
            return Err(SinkError::new("not now"));
        }
        let fence = self.fence.lock().unwrap();
        let last = fence.as_ref().unwrap().last(rows[0].target());
        let was_raised = matches!(last, larder_core::Last::At(_));
        self.calls.lock().unwrap().push((rows.to_vec(), at, was_raised));
        let (settled, settler) = Settled::later();
        self.settlers.lock().unwrap().push(settler);
        Ok(settled)
    }

    fn widen(&self, _target: &Target) -> Result<Settled, SinkError> {
        Ok(Settled::at_once())
    }
}

/// A sink of this process can be fed by a relay: the fence first, then the sink, and a row is done when the sink is.
///
/// Contract: O81
#[test]
fn a_sink_can_be_fed_by_a_relay() {
    let stage = Stage::new();
    let fence = Fence::builder()
        .clock(Arc::new(stage.clock.clone()))
        .build()
        .unwrap();
    let sink = Arc::new(Slow::default());
    *sink.fence.lock().unwrap() = Some(fence.clone());
    sink.fails.store(1, Ordering::Relaxed);
    let relay = stage.open(stage.relay(larder_outbox::ToSink::new(
        &fence,
        Arc::clone(&sink) as Arc<dyn Sink>,
    )));
    stage.record(1..=2);
    let pin = fence.pin(&[Target::entity("user", 2).unwrap()]).unwrap();
    assert_eq!(stage.once(&relay).retried, 2, "a sink that fails");
    assert!(!pin.is_fresh(), "the fence is raised all the same");
    stage.clock.advance(10 * SECOND);
    let (sender, mut report) = oneshot::channel();
    let spawned = relay.clone();
    larder_core::Runtime::spawn(
        &stage.runtime,
        Box::pin(async move { sender.send(spawned.run_once().await.unwrap()).unwrap() }),
    );
    stage.runtime.run();
    assert_eq!(report.try_recv().unwrap(), None, "it is not settled");
    let (rows, at, was_raised) = sink.calls.lock().unwrap().remove(0);
    assert_eq!((rows.len(), at), (2, rows[1].position()));
    assert!(was_raised, "the fence comes first");
    sink.settlers.lock().unwrap().remove(0).settle();
    stage.runtime.run();
    assert_eq!(report.try_recv().unwrap().unwrap().acknowledged, 2);
}
