//! How a call for several ids waits: for every load that brings one of them.

use std::borrow::Borrow;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream};
use larder_core::sync::Ordering;
use larder_memory::flight::Landed;

use super::error::FetchError;
use super::fetched::{Outcome, Reach};
use super::flight::Waiters;
use super::options::Plan;
use crate::Entity;
use crate::shared::Shared;

/// An id that memory does not answer.
pub(super) struct Missing<'q, Q: ?Sized> {
    pub(super) hash: u64,
    pub(super) id: &'q Q,
    /// Where it stands in the call.
    pub(super) places: Vec<usize>,
}

/// Ids of a call that wait for one load, by their number among the missing.
pub(super) struct Wait<T: Entity> {
    pub(super) numbers: Vec<usize>,
    pub(super) waiters: Waiters<T>,
}

impl<T: Entity> Future for Wait<T> {
    type Output = Vec<(usize, Landed<Outcome<T>>)>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let landed = Pin::new(&mut self.waiters).poll(context);
        landed.map(|landed| self.numbers.iter().copied().zip(landed).collect())
    }
}

/// What is known of each missing id.
pub(super) type Outcomes<T> = Vec<Option<Outcome<T>>>;

impl<T: Entity> Shared<T> {
    /// Lets a load go on by itself.
    pub(super) fn go_on_many(&self, wait: Wait<T>) {
        if let Some(runtime) = &self.runtime {
            let task = Box::pin(async move { drop(wait.await) });
            self.background.spawn(&**runtime, task);
        }
    }

    /// Waits until every load has landed, or for as long as the plan says.
    pub(super) async fn wait_for_all<Q>(
        self: &Arc<Self>,
        missing: &[Missing<'_, Q>],
        plan: &Plan,
        waits: Vec<Wait<T>>,
        outcomes: &mut Outcomes<T>,
    ) where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut waiting: FuturesUnordered<Wait<T>> = waits.into_iter().collect();
        let (mut timeout, mut soft) = (self.limit(plan.timeout), self.limit(plan.soft_timeout));
        poll_fn(|context| {
            while let Poll::Ready(Some(landed)) = Pin::new(&mut waiting).poll_next(context) {
                for (number, landed) in landed {
                    outcomes[number] = outcome_of(landed);
                }
            }
            if waiting.is_empty() {
                return Poll::Ready(());
            }
            if let Some((sleep, after)) = &mut timeout
                && sleep.as_mut().poll(context).is_ready()
            {
                let after = *after;
                for number in waiting.iter().flat_map(|wait| &wait.numbers) {
                    outcomes[*number] = Some(Outcome::Failed(FetchError::Timeout { after }));
                }
                return Poll::Ready(());
            }
            if let Some((sleep, _)) = &mut soft
                && sleep.as_mut().poll(context).is_ready()
            {
                soft = None;
                if self.take_stale(missing, &waiting, outcomes) {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        })
        .await;
        for wait in waiting {
            self.go_on_many(wait);
        }
    }

    /// Takes the stale values of all ids that still wait, if each has one.
    fn take_stale<Q>(
        &self,
        missing: &[Missing<'_, Q>],
        waiting: &FuturesUnordered<Wait<T>>,
        outcomes: &mut Outcomes<T>,
    ) -> bool
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let numbers: Vec<usize> = waiting
            .iter()
            .flat_map(|wait| wait.numbers.iter().copied())
            .collect();
        let stale = numbers
            .iter()
            .map(|number| self.stale(missing[*number].hash, missing[*number].id));
        let Some(stale) = stale.collect::<Option<Vec<_>>>() else {
            return false;
        };
        for (number, found) in numbers.into_iter().zip(stale) {
            self.fetches.stale.fetch_add(1, Ordering::Relaxed);
            let reach = Reach::of(self.fence.stamp());
            outcomes[number] = Some(Outcome::Found { found, reach });
        }
        true
    }
}

/// How a wait of a call for several ids ends for one of them; none if nothing came of it.
fn outcome_of<T>(landed: Landed<Outcome<T>>) -> Option<Outcome<T>> {
    match landed {
        Landed::Value(outcome) => Some(outcome),
        Landed::Again => None,
        Landed::Recursive => Some(Outcome::Failed(FetchError::Recursive)),
    }
}
