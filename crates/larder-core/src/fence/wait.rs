//! Futures that resolve when a token has been applied. No runtime, no polling, no thread.
//!
//! A waiter is listed under each source that it waits for, by the highest position that it needs there, so that a
//! publication looks only at those it could satisfy. It is listed before it looks a last time, and progress is
//! published before the list is searched; so no wake-up is lost, whichever source comes last.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::attached::Panics;
use super::progress::Applied;
use super::shared::Shared;
use crate::position::{Position, SourceId};
use crate::sync::{Arc, Mutex};
use crate::token::Token;

/// Everyone who waits, by source, highest position needed, and number.
#[derive(Default)]
pub(super) struct Waiters {
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    waiting: BTreeMap<Place, Arc<Waiter>>,
    waits: usize,
    next: u64,
}

type Place = (u64, Position, u64);

struct Waiter {
    token: Token,
    /// For each source of the token, how many rounds had begun when the wait did.
    since: Vec<(SourceId, u64)>,
    waker: Mutex<Option<Waker>>,
}

/// Resolves once a token's commits are applied on this node, or once that can no longer be told here.
///
/// Made by [`Fence::when_applied`](super::Fence::when_applied). Dropping it ends the wait. Costs one small
/// allocation, and nothing while it waits.
#[must_use = "futures do nothing unless polled"]
pub struct WhenApplied {
    shared: Arc<Shared>,
    waiter: Arc<Waiter>,
    /// Where it is listed; empty before the first poll and after the end.
    places: Vec<Place>,
}

impl Shared {
    /// Whether everything that `token` asks for has been applied here.
    pub(super) fn applied(&self, token: &Token, since: Option<&[(SourceId, u64)]>) -> Applied {
        if token.is_origin_only() {
            return Applied::Unknown;
        }
        let judged = token.requirements().iter().map(|requirement| {
            let Some(lane) = self.lanes.find(requirement.source()) else {
                return Applied::Unknown;
            };
            let since = since.map(|since| {
                let of_source = since.iter().find(|(source, _)| *source == requirement.source());
                of_source.map_or(0, |(_, rounds)| *rounds)
            });
            lane.judge(requirement, since)
        });
        judged.fold(Applied::Yes, Applied::and)
    }

    /// Wakes those whose wait for `source`, for positions below `end`, is over.
    pub(super) fn wake_up_to(&self, source: SourceId, end: Position) {
        let first = (source.get(), Position::new(0), 0);
        self.wake(first..=(source.get(), end, u64::MAX));
    }

    /// Wakes those whose wait for `source`, for positions from `end` on, is over.
    pub(super) fn wake_from(&self, source: SourceId, end: Position) {
        let last = (source.get(), Position::new(u64::MAX), u64::MAX);
        self.wake((source.get(), end, 0)..=last);
    }

    /// Wakes those whose wait for `source` is over, whatever the position.
    pub(super) fn wake_all(&self, source: SourceId) {
        self.wake_from(source, Position::new(0));
    }

    fn wake(&self, places: std::ops::RangeInclusive<Place>) {
        let list = self.waiters.list.lock();
        let candidates: Vec<Arc<Waiter>> = list
            .waiting
            .range(places)
            .map(|(_, waiter)| Arc::clone(waiter))
            .collect();
        drop(list);
        let mut panics = Panics::default();
        for waiter in candidates {
            if self.applied(&waiter.token, Some(&waiter.since)) != Applied::No {
                // Taken and called without a lock: a waker is foreign code. A panic in one keeps no other asleep.
                let waker = waiter.waker.lock().take();
                panics.put_off(|| waker.map(Waker::wake));
            }
        }
        panics.go_on();
    }

    /// How many futures are waiting.
    pub(super) fn waiting(&self) -> usize {
        self.waiters.list.lock().waits
    }
}

impl WhenApplied {
    pub(super) fn new(shared: Arc<Shared>, token: Token) -> WhenApplied {
        let sources = token.requirements().iter().map(crate::token::Requirement::source);
        let since = sources
            .filter_map(|source| Some((source, shared.lanes.find(source)?.rounds())))
            .collect();
        let waiter = Arc::new(Waiter {
            token,
            since,
            waker: Mutex::new(None),
        });
        WhenApplied {
            shared,
            waiter,
            places: Vec::new(),
        }
    }

    fn applied(&self) -> Applied {
        self.shared.applied(&self.waiter.token, Some(&self.waiter.since))
    }

    /// Lists this wait under every source of its token, once.
    fn enlist(&mut self) {
        if !self.places.is_empty() || self.waiter.token.requirements().is_empty() {
            return;
        }
        let mut list = self.shared.waiters.list.lock();
        list.next += 1;
        let number = list.next;
        for requirement in self.waiter.token.requirements() {
            let place = (requirement.source().get(), requirement.max_position(), number);
            list.waiting.insert(place, Arc::clone(&self.waiter));
            self.places.push(place);
        }
        list.waits += 1;
    }

    fn leave(&mut self) {
        if self.places.is_empty() {
            return;
        }
        let mut list = self.shared.waiters.list.lock();
        let gone: Vec<_> = self
            .places
            .drain(..)
            .map(|place| list.waiting.remove(&place))
            .collect();
        list.waits -= 1;
        drop(list);
        // It may hold the last reference to a waker, which is foreign code.
        drop(gone);
    }
}

impl Future for WhenApplied {
    type Output = Applied;

    /// Resolves to [`Applied::Yes`] or [`Applied::Unknown`], never to [`Applied::No`].
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Applied> {
        // Cloned before the lock and dropped after it: a waker is foreign code.
        let waker = context.waker().clone();
        let old = self.waiter.waker.lock().replace(waker);
        drop(old);
        self.enlist();
        match self.applied() {
            Applied::No => Poll::Pending,
            decided => {
                self.leave();
                Poll::Ready(decided)
            }
        }
    }
}

impl Drop for WhenApplied {
    fn drop(&mut self) {
        self.leave();
    }
}

impl std::fmt::Debug for WhenApplied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WhenApplied")
            .field("token", &self.waiter.token)
            .finish_non_exhaustive()
    }
}
