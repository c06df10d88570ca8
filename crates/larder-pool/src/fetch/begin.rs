//! How a load of one id begins: what it is for, who joins, and what it carries.

use std::borrow::Borrow;
use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;

use larder_core::limits::KEY_BYTES_MAX;
use larder_core::{Key, Pin, Stamp, ToKey, Token};
use larder_memory::flight::Claim;
use smallvec::smallvec;

use super::error::FetchError;
use super::fetched::{Outcome, Reach};
use super::flight::{Ended, Leg, LoadWatch, Run, Terms, Turn, Waiter};
use super::options::Plan;
use crate::panics::caught;
use crate::shared::Shared;
use crate::store::Use;
use crate::{Entity, LoadContext, Loaded, MaybeSend, ToId};

/// What a load is for.
pub(super) enum Aim {
    /// There is nothing in memory.
    Missing,
    /// There is something that is to be renewed.
    Renew {
        /// A live value is loaded ahead if less than this part of its time to live is left; none if it was found stale.
        part: Option<f64>,
    },
    /// Memory is behind this.
    Past(Token),
}

/// Whose load a call may share.
#[derive(Clone, Copy)]
pub(super) enum Share {
    /// One whose id has not been invalidated since it began. What it brings may turn out to depend on something else that
    /// was: then whoever asked after that asks again.
    Fresh,
    /// The same; but what one brings that began before the fence stood here is no answer, and only waited for.
    After(Stamp),
    /// One that began when the fence stood here, or later.
    Since(Stamp),
    /// Nobody's.
    Nobody,
}

/// An id that memory does not answer.
pub(super) struct Wanted<T: Entity> {
    pub(super) hash: u64,
    pub(super) id: Arc<T::Id>,
    pub(super) key: Key,
}

/// How a load has begun.
pub(super) enum Begun<T: Entity> {
    /// Somebody else's is shared.
    Joined(Waiter<T>),
    /// Somebody else's is waited for, which is too old to be an answer.
    JoinedTooOld(Waiter<T>),
    /// The caller's own.
    Own(Waiter<T>),
    /// None was needed, or it has ended at once.
    Ended(Outcome<T>),
}

impl<T: Entity> Shared<T> {
    /// Begins a load for which the caller does not wait. If it cannot begin, the next caller tries.
    pub(super) fn load_in_background<Q, L, F>(
        self: &Arc<Self>,
        hash: u64,
        id: &Q,
        aim: &Aim,
        plan: &Plan,
        load: L,
    ) where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
        L: FnOnce(LoadContext<T>) -> F,
        F: Future<Output = Result<Loaded<T>, FetchError>> + MaybeSend + 'static,
    {
        let Ok(wanted) = Wanted::of(hash, id) else {
            return;
        };
        if let Ok(Begun::Own(waiter)) = self.begin(&wanted, aim, Share::Fresh, plan, &mut Some(load)) {
            self.go_on(waiter);
        }
    }

    /// Lets a load go on by itself; false if the pool has stopped.
    pub(super) fn go_on(&self, waiter: Waiter<T>) -> bool {
        let Some(runtime) = &self.runtime else {
            return false;
        };
        let task = Box::pin(async move { drop(waiter.await) });
        self.background.spawn(&**runtime, task)
    }

    /// Joins the load of an id, or begins it.
    pub(super) fn begin<L, F>(
        self: &Arc<Self>,
        wanted: &Wanted<T>,
        aim: &Aim,
        share: Share,
        plan: &Plan,
        load: &mut Option<L>,
    ) -> Result<Begun<T>, FetchError>
    where
        L: FnOnce(LoadContext<T>) -> F,
        F: Future<Output = Result<Loaded<T>, FetchError>> + MaybeSend + 'static,
    {
        let Wanted { hash, id, key } = wanted;
        let is_too_old = Cell::new(false);
        let may_join = |pin: Option<&Pin>| {
            // Who has not pinned yet has not begun to load either.
            let began_before = |asked| pin.is_some_and(|pin| pin.started() < asked);
            is_too_old.set(matches!(share, Share::After(asked) if began_before(asked)));
            self.may_join(share, pin)
        };
        let turn = match self.flights.claim(*hash, Arc::clone(id), may_join) {
            Err(full) => return Err(FetchError::Busy { limit: full.limit }),
            Ok(Claim::Joined(waiter)) => {
                self.joined();
                return Ok(if is_too_old.get() {
                    Begun::JoinedTooOld(waiter)
                } else {
                    Begun::Joined(waiter)
                });
            }
            Ok(Claim::Won(turn)) => turn,
        };
        if let Some(outcome) = self.look_again(*hash, id, aim) {
            return Ok(given(turn, outcome));
        }
        let leg = self.leg(*hash, id, key, aim, &turn);
        turn.pinned([leg.pin.clone()]);
        let context = LoadContext {
            id: T::Id::clone(id),
            previous: leg.previous.as_ref().map(|previous| Arc::clone(&previous.value)),
        };
        let load = load.take().expect("invariant: a load begins once");
        let mut watch = LoadWatch::of_plan(self, 1, plan);
        let future = match caught(|| load(context)) {
            Ok(future) => future,
            Err(message) => {
                watch.end(&Ended::<Result<(), FetchError>>::Panicked(message.clone()));
                let error = FetchError::panicked(&message);
                return Ok(given(turn, Outcome::Failed(error)));
            }
        };
        let run = Run {
            pool: Arc::downgrade(self),
            name: self.name.clone(),
            legs: smallvec![leg],
            terms: aim.terms(plan),
            watch,
        };
        let waiter = turn.waiter(0);
        let detached = plan.detach.then(|| turn.waiter(0));
        turn.start(run.fly(future, self.limit(plan.timeout)));
        if let Some(detached) = detached {
            self.go_on(detached);
        }
        Ok(Begun::Own(waiter))
    }

    /// Whether a call may share a load with this pin; none if it has not pinned anything yet.
    pub(super) fn may_join(&self, share: Share, pin: Option<&Pin>) -> bool {
        match share {
            Share::Fresh | Share::After(_) => pin.is_none_or(|pin| self.is_fresh(pin)),
            Share::Since(asked) => pin.is_some_and(|pin| self.is_fresh(pin) && pin.started() >= asked),
            Share::Nobody => false,
        }
    }

    /// What a call that has won the flight finds meanwhile, so that it need not load.
    pub(super) fn look_again(&self, hash: u64, id: &T::Id, aim: &Aim) -> Option<Outcome<T>> {
        if matches!(aim, Aim::Past(_)) {
            return None;
        }
        let reach = Reach::of(self.fence.stamp());
        if let Ok(found) = self.find(hash, id, Use::Untold) {
            return match aim {
                Aim::Renew { part: Some(part) } if self.is_to_be_renewed(&found, hash, *part) => None,
                _ => Some(Outcome::Found { found, reach }),
            };
        }
        let at = self.absence(hash, id)?;
        Some(Outcome::Nothing { at, reach })
    }

    /// What a load carries for an id, pinned now.
    fn leg(&self, hash: u64, id: &Arc<T::Id>, key: &Key, aim: &Aim, turn: &Turn<T>) -> Leg<T> {
        let pin = self.flight_pin(key.clone());
        let previous = match aim {
            Aim::Past(_) => None,
            Aim::Missing | Aim::Renew { .. } => self.previous(hash, &**id),
        };
        Leg {
            id: Arc::clone(id),
            hash,
            pin,
            overtaken: turn.overtaken(0).expect("invariant: a turn for one id has one"),
            previous,
        }
    }
}

impl<T: Entity> Wanted<T> {
    pub(super) fn of<Q>(hash: u64, id: &Q) -> Result<Self, FetchError>
    where
        Q: ToId<T::Id> + ?Sized,
    {
        let id = Arc::new(id.to_id());
        let key = key_of(&*id)?;
        Ok(Wanted { hash, id, key })
    }
}

impl Aim {
    fn terms(&self, plan: &Plan) -> Terms {
        Terms {
            negative_ttl: plan.negative_ttl,
            token: match self {
                Aim::Past(token) => Some(token.clone()),
                Aim::Missing | Aim::Renew { .. } => None,
            },
            loader: plan.loader,
        }
    }
}

/// A turn that needs no load.
fn given<T: Entity>(turn: Turn<T>, outcome: Outcome<T>) -> Begun<T> {
    let mut turn = turn;
    turn.give(0, outcome.clone());
    Begun::Ended(outcome)
}

/// The key of an id that is to be loaded.
pub(super) fn key_of(id: &impl ToKey) -> Result<Key, FetchError> {
    id.to_key()
        .map_err(|_| FetchError::IdTooLong { max: KEY_BYTES_MAX })
}
