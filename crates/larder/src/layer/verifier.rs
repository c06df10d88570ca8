//! The continuous verifier: one entry after the other, chosen at random, against its origin; and once a second, whether this node is sure of what it keeps.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::{Either, select};
use larder_core::sync::Mutex;
use larder_core::{BoxFuture, Moment};

use super::Shared;
use super::tasks::{Done, Progress, Stop};
use super::verify::Verified;

/// How often it is looked whether the node is sure.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Starts both, as tasks of the layer.
pub(super) fn start(shared: &Arc<Shared>, verify_rate: u32) {
    every(shared, "freshness", LOOK_EVERY, |shared| {
        let is_sure = shared.fence.is_sure();
        shared.objectives.looked(shared.fence.time(), is_sure);
        shared.note_unsure_reads();
        Box::pin(async {})
    });
    let is_verifiable = shared.verified.iter().any(|pool| pool.has_origin());
    if verify_rate > 0 && is_verifiable && !shared.logs.is_empty() {
        every(shared, "verifier", LOOK_EVERY / verify_rate, |shared| {
            Box::pin(async move { verify_one(&shared).await })
        });
    }
}

/// One entry of all pools, each as likely as any other.
async fn verify_one(shared: &Shared) {
    let pools: Vec<&Arc<dyn Verified>> = shared.verified.iter().filter(|pool| pool.has_origin()).collect();
    let all: usize = pools.iter().map(|pool| pool.len()).sum();
    if all == 0 {
        return;
    }
    let drawn = shared.entropy.next_u64() % u64::try_from(all).unwrap_or(u64::MAX);
    let mut place = usize::try_from(drawn).unwrap_or(0);
    for pool in pools {
        if place >= pool.len() {
            place -= pool.len();
            continue;
        }
        if let Some(key) = pool.sample(1).into_iter().next() {
            shared.check(&**pool, key, true).await;
        }
        return;
    }
}

/// Does something again and again, as a task of the layer. It keeps nothing of the layer while it rests.
pub(super) fn every(
    shared: &Arc<Shared>,
    name: &str,
    period: Duration,
    step: impl Fn(Arc<Shared>) -> BoxFuture<'static, ()> + Send + Sync + 'static,
) {
    let last = Arc::new(Mutex::new(None::<Moment>));
    let seen = Arc::clone(&last);
    let progress: Progress = Box::new(move || *seen.lock());
    let (weak, step) = (Arc::downgrade(shared), Arc::new(step));
    let work = move |stop: Stop| -> BoxFuture<'static, Done> {
        let (weak, step, last) = (Weak::clone(&weak), Arc::clone(&step), Arc::clone(&last));
        Box::pin(async move {
            let mut stopped = Box::pin(stop.stopped());
            while let Some(shared) = weak.upgrade() {
                let sleep = shared.runtime.sleep(period);
                drop(shared);
                stopped = match select(stopped, sleep).await {
                    Either::Left(_) => return Ok(()),
                    Either::Right(((), stopped)) => stopped,
                };
                let Some(shared) = weak.upgrade() else { break };
                let done = step(Arc::clone(&shared));
                stopped = match select(stopped, done).await {
                    Either::Left(_) => return Ok(()),
                    Either::Right(((), stopped)) => stopped,
                };
                *last.lock() = Some(shared.fence.time());
            }
            Ok(())
        })
    };
    // What it does may take longer than the rest.
    shared
        .tasks
        .run(name.to_owned(), period.max(LOOK_EVERY), progress, work);
}
