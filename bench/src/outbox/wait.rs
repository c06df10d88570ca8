//! `wait`: from the round that applies a commit until the last of those who wait for it is woken and done.

use std::future::Future as _;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use larder_core::{Fence, Invalidations, SystemClock, SystemEntropy};
use larder_outbox::{CommitOrder, MemoryStore, Wait, Waiter};

use super::{Outcome, runtime};
use crate::{ROUNDS, Report, Row, Target};

/// Measures and reports.
///
/// # Errors
/// When standard output cannot be written.
pub fn wait(report: Report) -> Outcome {
    for (waiters, target) in [(1, Target::AtMost(100.0)), (10_000, Target::AtMost(20_000.0))] {
        let mut micros = (0..ROUNDS)
            .map(|_| once(waiters))
            .collect::<Result<Vec<f64>, _>>()?;
        micros.sort_unstable_by(f64::total_cmp);
        report.row(&Row {
            benchmark: "wait",
            case: format!("{waiters} waiting: apply to the last woken"),
            larder: micros.get(micros.len() / 2).copied().unwrap_or_default(),
            unit: "us",
            peer: None,
            ratios: Vec::new(),
            target,
        })?;
    }
    Ok(())
}

/// So many wait for one commit; how long after the round began the last of them is done, in microseconds.
fn once(waiters: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let runtime = runtime()?;
    let store = MemoryStore::new(
        CommitOrder::Ordered,
        Arc::new(SystemClock::default()),
        Arc::new(SystemEntropy::default()),
    );
    let fence = Fence::builder().build()?;
    let mut follower = larder_outbox::Follower::builder(store.source(), &fence).build()?;
    runtime.block_on(follower.step())?;
    let token = store.record_alone(&Invalidations::default().entity("user", 1)?);
    let waiter = Waiter::new(&fence);
    runtime.block_on(async {
        let wait = Wait::local(Duration::from_secs(60));
        let mut waiting: Vec<_> = (0..waiters)
            .map(|_| Box::pin(waiter.wait(&token, wait.clone())))
            .collect();
        let mut context = Context::from_waker(Waker::noop());
        for one in &mut waiting {
            assert!(one.as_mut().poll(&mut context).is_pending(), "it is not applied");
        }
        let start = Instant::now();
        follower.step().await?;
        for one in &mut waiting {
            match one.as_mut().poll(&mut context) {
                Poll::Ready(waited) => assert!(waited?.satisfied, "it is applied"),
                Poll::Pending => unreachable!("the commit is applied"),
            }
        }
        Ok(start.elapsed().as_secs_f64() * 1e6)
    })
}
