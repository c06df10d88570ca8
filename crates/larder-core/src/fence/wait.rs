//! Futures that resolve when a token has been applied. No runtime, no polling, no thread.
//!
//! A waiter is listed under the first source that it still waits for, by the highest position that it needs
//! there, so that a publication looks only at those it could satisfy. It sleeps only after it has found that
//! requirement unsatisfied while it was listed under it, and progress is published before the list is searched;
//! so no wake-up is lost.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

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
    place: Option<Place>,
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
        for waiter in candidates {
            if self.applied(&waiter.token, Some(&waiter.since)) != Applied::No || waiter.has_other_sources() {
                // Taken and called without a lock: a waker is foreign code.
                let waker = waiter.waker.lock().take();
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }

    /// How many futures are waiting.
    pub(super) fn waiting(&self) -> usize {
        self.waiters.list.lock().waiting.len()
    }
}

impl Waiter {
    /// A waiter for several sources moves on to the next when the one it is listed under is satisfied.
    fn has_other_sources(&self) -> bool {
        self.token.requirements().len() > 1
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
            place: None,
        }
    }

    fn applied(&self) -> Applied {
        self.shared.applied(&self.waiter.token, Some(&self.waiter.since))
    }

    /// The source and position of the first requirement that is not satisfied.
    fn unsatisfied(&self) -> Option<(u64, Position)> {
        let unsatisfied = self.waiter.token.requirements().iter().find(|requirement| {
            let lane = self.shared.lanes.find(requirement.source());
            lane.is_none_or(|lane| lane.judge(requirement, None) != Applied::Yes)
        });
        unsatisfied.map(|requirement| (requirement.source().get(), requirement.max_position()))
    }

    fn enlist(&mut self, (source, position): (u64, Position)) {
        let mut list = self.shared.waiters.list.lock();
        list.next += 1;
        let place = (source, position, list.next);
        let old = self
            .place
            .replace(place)
            .and_then(|old| list.waiting.remove(&old));
        list.waiting.insert(place, Arc::clone(&self.waiter));
        drop(list);
        drop(old);
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            let gone = self.shared.waiters.list.lock().waiting.remove(&place);
            drop(gone);
        }
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
        loop {
            match self.applied() {
                Applied::No => {}
                decided => {
                    self.leave();
                    return Poll::Ready(decided);
                }
            }
            let Some(wanted) = self.unsatisfied() else {
                continue;
            };
            // Listed there already, and it was still unsatisfied after that: whoever satisfies it finds us.
            if self
                .place
                .is_some_and(|(source, position, _)| (source, position) == wanted)
            {
                return Poll::Pending;
            }
            self.enlist(wanted);
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
