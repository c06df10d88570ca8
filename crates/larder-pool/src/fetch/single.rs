//! Calls for one id.

use std::borrow::Borrow;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use larder_core::sync::Ordering;
use larder_core::{Applied, AsOf, Moment, TaskFuture, Token};
use larder_memory::flight::Landed;

use super::begin::{Aim, Begun, Share, Wanted};
use super::error::{Behind, FetchError, LoaderError};
use super::fetched::{Fetched, Found, Outcome};
use super::flight::Waiter;
use super::options::{FetchOptions, Plan};
use crate::shared::Shared;
use crate::store::Use;
use crate::{AnyError, Entity, FetchOutcome, LoadContext, Loaded, MaybeSend, Pool, ToId};

impl<T: Entity> Pool<T> {
    /// The live value of an id, or what `load` brings for it; `None` if the source has no such entity, which is no error.
    ///
    /// However many ask for the same id at the same time, one load runs, driven by whoever waits; it is stored in one commit,
    /// unless something that it depends on was invalidated, or its id was written, after it began: then it goes to those
    /// who waited for it and nowhere else. Who asks after that does not join it. A hit costs what [`Pool::get`] does.
    ///
    /// `load` runs when nobody loads the id yet; its future may outlive this call, if others wait for it. It is no way to
    /// fetch what depends on more than the id: the result of a query, a page, what one user may see is an entity of its
    /// own, whose id holds what it depends on.
    ///
    /// ```
    /// use larder_pool::{Entity, Pool};
    ///
    /// #[derive(Entity)]
    /// struct User { id: u64, name: String }
    ///
    /// # async fn row(id: u64) -> Result<Option<User>, std::io::Error> {
    /// #     Ok(Some(User { id, name: "Ada".to_owned() }))
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let users = Pool::<User>::builder().build()?;
    /// let ada = users.get_or_fetch(&7, |load| row(load.id)).await?;
    /// assert_eq!(ada.unwrap().name, "Ada");
    /// assert!(users.contains(&7));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`FetchError`]; whatever the loader gave is in [`FetchError::Loader`].
    pub async fn get_or_fetch<Q, L, F, V, E>(&self, id: &Q, load: L) -> Result<Option<Arc<T>>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
        L: FnOnce(LoadContext<T>) -> F,
        F: Future<Output = Result<V, E>> + MaybeSend + 'static,
        V: Into<Loaded<T>> + 'static,
        E: Into<Box<AnyError>> + 'static,
    {
        let pool = &self.shared;
        if pool.config.fetch.refresh_ahead.is_none() && !pool.fence.is_in_transaction() {
            let hash = pool.hash(id);
            let hit = pool.hit(hash, id);
            if let Some(value) = hit.or_else(|| pool.read(hash, id, Use::CountedIfLive).ok()) {
                return Ok(Some(value));
            }
        }
        let plan = FetchOptions::new().plan_for(pool, std::any::type_name::<L>());
        // On the heap, so that a hit moves little.
        let fetched = Box::pin(pool.fetch(id, plan, |context| brought(load(context)))).await?;
        Ok(fetched.value)
    }

    /// [`Pool::get_or_fetch`] with whatever is special about this call; says what is known about the answer.
    ///
    /// # Errors
    /// [`FetchError`]; also [`FetchError::NeedsRuntime`] where an option needs one and there is none,
    /// [`FetchError::Stopped`] for a detached load after [`Pool::shutdown`], and [`FetchError::Behind`] if the loader
    /// read a copy that does not include the token asked for.
    pub async fn get_or_fetch_with<Q, L, F, V, E>(
        &self,
        id: &Q,
        options: FetchOptions,
        load: L,
    ) -> Result<Fetched<T>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
        L: FnOnce(LoadContext<T>) -> F,
        F: Future<Output = Result<V, E>> + MaybeSend + 'static,
        V: Into<Loaded<T>> + 'static,
        E: Into<Box<AnyError>> + 'static,
    {
        let plan = options.plan_for(&self.shared, std::any::type_name::<L>());
        Box::pin(self.shared.fetch(id, plan, |context| brought(load(context)))).await
    }

    /// [`Pool::get`], if this node has applied everything that `token` stands for. Waits for nobody.
    ///
    /// # Errors
    /// [`Behind`] if it has not, or cannot tell.
    pub fn get_at<Q>(&self, id: &Q, token: &Token) -> Result<Option<Arc<T>>, Behind>
    where
        T::Id: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self.shared.fence.applied(token) {
            Applied::Yes => Ok(self.get(id)),
            Applied::No | Applied::Unknown => Err(Behind),
        }
    }
}

/// What a caller's loader brings, in the pool's words.
pub(super) async fn brought<T, F, V, E>(future: F) -> Result<Loaded<T>, FetchError>
where
    F: Future<Output = Result<V, E>>,
    V: Into<Loaded<T>>,
    E: Into<Box<AnyError>>,
{
    match future.await {
        Ok(value) => Ok(value.into()),
        Err(error) => Err(FetchError::Loader(LoaderError::new(error.into()))),
    }
}

/// How a wait has ended.
enum Waited<T: Entity> {
    Landed(Landed<Outcome<T>>),
    TimedOut(Duration),
    /// There is a stale value, and the load goes on.
    Stale(Found<T>),
}

/// Reports one call that was not answered from memory at once, however it ends.
struct FetchWatch<'a, T: Entity> {
    pool: &'a Shared<T>,
    begun: Moment,
    outcome: FetchOutcome,
}

impl<T: Entity> Drop for FetchWatch<'_, T> {
    fn drop(&mut self) {
        if self.pool.metrics.is_some() {
            let time = self.pool.clock.monotonic().since(self.begun);
            self.pool
                .report(|metrics, name| metrics.fetched(name, time, self.outcome));
        }
    }
}

impl<T: Entity> Shared<T> {
    /// One call for one id.
    pub(super) async fn fetch<Q, L, F>(
        self: &Arc<Self>,
        id: &Q,
        plan: Plan,
        load: L,
    ) -> Result<Fetched<T>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
        L: FnOnce(LoadContext<T>) -> F,
        F: Future<Output = Result<Loaded<T>, FetchError>> + MaybeSend + 'static,
    {
        self.check_plan(&plan)?;
        let hash = self.hash(id);
        let mut aim = Aim::Missing;
        if let Some(token) = plan.at_least.as_ref().filter(|_| !plan.bypass)
            && !self.has_applied(token, plan.wait_at_most).await
        {
            aim = Aim::Past(token.clone());
        }
        if !plan.bypass
            && matches!(aim, Aim::Missing)
            && let Ok(found) = self.find(hash, id, Use::Counted)
        {
            if let Some(part) = plan.refresh_ahead
                && self.is_to_be_renewed(&found, hash, part)
                && !self.is_held(hash, id)
            {
                let aim = Aim::Renew { part: Some(part) };
                self.load_in_background(hash, id, &aim, &plan, load);
            }
            return Ok(self.answer(found));
        }
        let mut watch = FetchWatch {
            pool: self,
            begun: self.clock.coarse(),
            outcome: FetchOutcome::Cancelled,
        };
        let fetched = if plan.bypass {
            self.load_alone(id, &plan, load).await
        } else {
            self.fetch_missing(hash, id, aim, &plan, load).await
        };
        watch.outcome = match &fetched {
            Ok(fetched) if fetched.stale => FetchOutcome::Stale,
            Ok(fetched) if fetched.value.is_some() => FetchOutcome::Found,
            Ok(_) => FetchOutcome::NotFound,
            Err(_) => FetchOutcome::Failed,
        };
        fetched
    }

    /// Whether the pool can do what is asked for.
    pub(super) fn check_plan(&self, plan: &Plan) -> Result<(), FetchError> {
        if self.refuses_loads.load(Ordering::Acquire) {
            return Err(FetchError::Stopped);
        }
        match plan.needs_runtime() {
            Some(option) if self.runtime.is_none() => Err(FetchError::NeedsRuntime { option }),
            _ if plan.detach && self.background.is_stopped() => Err(FetchError::Stopped),
            _ => Ok(()),
        }
    }

    /// Waits up to `at_most` until this node has applied a token; false if it has not, or cannot tell.
    async fn has_applied(&self, token: &Token, at_most: Duration) -> bool {
        match self.fence.applied(token) {
            Applied::Yes => return true,
            Applied::Unknown => return false,
            Applied::No => {}
        }
        let mut applied = self.fence.when_applied(token.clone());
        let Some(mut sleep) = self.sleep(at_most).filter(|_| !at_most.is_zero()) else {
            return false;
        };
        poll_fn(|context| {
            if let Poll::Ready(applied) = Pin::new(&mut applied).poll(context) {
                return Poll::Ready(applied == Applied::Yes);
            }
            sleep.as_mut().poll(context).map(|()| false)
        })
        .await
    }

    fn sleep(&self, time: Duration) -> Option<TaskFuture> {
        Some(self.runtime.as_ref()?.sleep(time))
    }

    /// A sleep that ends a load, and after how long.
    pub(super) fn limit(&self, time: Option<Duration>) -> Option<(TaskFuture, Duration)> {
        let time = time?;
        Some((self.sleep(time)?, time))
    }

    /// Whether what was read from a copy that had come so far includes what was asked for.
    pub(super) fn check_token(&self, plan: &Plan, as_of: Option<AsOf>) -> Result<(), FetchError> {
        match (&plan.at_least, as_of) {
            (Some(token), Some(point)) if !self.fence.reaches(token, point) => Err(FetchError::Behind),
            _ => Ok(()),
        }
    }

    /// A call that memory does not answer.
    async fn fetch_missing<Q, L, F>(
        self: &Arc<Self>,
        hash: u64,
        id: &Q,
        aim: Aim,
        plan: &Plan,
        load: L,
    ) -> Result<Fetched<T>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
        L: FnOnce(LoadContext<T>) -> F,
        F: Future<Output = Result<Loaded<T>, FetchError>> + MaybeSend + 'static,
    {
        let mut load = Some(load);
        if matches!(aim, Aim::Missing)
            && let Some(answer) = self.answer_without(hash, id, plan, &mut load)
        {
            return Ok(answer);
        }
        let is_believed = self.is_sure_enough();
        let asked = if is_believed {
            self.fence.stamp()
        } else {
            self.fence.mark()
        };
        let mut share = match aim {
            // Whoever wants more than memory knows joins nothing that began before.
            Aim::Past(_) => Share::Nobody,
            Aim::Missing | Aim::Renew { .. } if is_believed => Share::Fresh,
            // All who wait for such a load share the next one.
            Aim::Missing | Aim::Renew { .. } => Share::After(asked),
        };
        let wanted = Wanted::of(hash, id)?;
        let outcome = loop {
            let mut is_too_old = false;
            let (waiter, timeout) = match self.begin(&wanted, &aim, share, plan, &mut load) {
                Err(error) => break Outcome::Failed(error),
                Ok(Begun::Ended(outcome)) => break outcome,
                // The load of another has its own limit; this call's holds for its wait.
                Ok(Begun::Joined(waiter)) => (waiter, plan.timeout),
                Ok(Begun::JoinedTooOld(waiter)) => {
                    is_too_old = true;
                    (waiter, plan.timeout)
                }
                Ok(Begun::Own(waiter)) => (waiter, None),
            };
            let soft = plan.soft_timeout.filter(|_| matches!(aim, Aim::Missing));
            match self.wait(hash, id, waiter, timeout, soft).await {
                // Something that it depends on was invalidated after it began, and before this call did; or nobody could have heard of that.
                Waited::Landed(Landed::Value(outcome)) if is_too_old || outcome.is_too_old_for(asked) => {
                    share = Share::Since(asked);
                }
                Waited::Landed(Landed::Value(outcome)) => break outcome,
                Waited::Landed(Landed::Again) => {}
                Waited::Landed(Landed::Recursive) => break Outcome::Failed(FetchError::Recursive),
                Waited::TimedOut(after) => break Outcome::Failed(FetchError::Timeout { after }),
                Waited::Stale(found) => return Ok(self.answer_stale(found)),
            }
        };
        self.conclude(hash, id, &aim, plan, outcome)
    }

    /// The call's answer, of what the load brought.
    fn conclude<Q>(
        &self,
        hash: u64,
        id: &Q,
        aim: &Aim,
        plan: &Plan,
        outcome: Outcome<T>,
    ) -> Result<Fetched<T>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        match outcome {
            Outcome::Found { found, reach } => {
                self.check_token(plan, reach.as_of)?;
                Ok(self.answer(found))
            }
            Outcome::Nothing { at, reach } => {
                self.check_token(plan, reach.as_of)?;
                Ok(self.answer_nothing(at))
            }
            Outcome::Failed(error) if matches!(aim, Aim::Missing) => {
                self.stale_on_error(hash, id, plan, &error).ok_or(error)
            }
            Outcome::Failed(error) => Err(error),
        }
    }

    /// A stale value instead of an error, if there still is one that may be served.
    pub(super) fn stale_on_error<Q>(
        &self,
        hash: u64,
        id: &Q,
        plan: &Plan,
        error: &FetchError,
    ) -> Option<Fetched<T>>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        plan.stale_on_error?;
        let stale = self
            .stale_of(hash, id)
            .filter(|stale| stale.is_served_on_error(plan))?;
        let name = self.name.as_str();
        tracing::warn!(pool = name, error = %error, "a load failed, and a stale value was served");
        Some(self.answer_stale(stale.found))
    }

    /// An answer that needs no load, or none that the caller waits for.
    fn answer_without<Q, L, F>(
        self: &Arc<Self>,
        hash: u64,
        id: &Q,
        plan: &Plan,
        load: &mut Option<L>,
    ) -> Option<Fetched<T>>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
        L: FnOnce(LoadContext<T>) -> F,
        F: Future<Output = Result<Loaded<T>, FetchError>> + MaybeSend + 'static,
    {
        if let Some(at) = self.absence(hash, id) {
            self.fetches.negative.fetch_add(1, Ordering::Relaxed);
            return Some(self.answer_nothing(at));
        }
        if plan.stale_while_revalidate.is_none() && plan.stale_on_error.is_none() {
            return None;
        }
        let stale = self.stale_of(hash, id)?;
        let meanwhile = stale.is_served_meanwhile(plan);
        if stale.is_held && (meanwhile || stale.is_served_on_error(plan)) {
            return Some(self.answer_stale(stale.found));
        }
        if !meanwhile || self.background.is_stopped() {
            return None;
        }
        let load = load.take()?;
        self.load_in_background(hash, id, &Aim::Renew { part: None }, plan, load);
        Some(self.answer_stale(stale.found))
    }

    /// Waits for a load: until it lands, or for `timeout`; after `soft` a stale value will do, and the load goes on.
    async fn wait<Q>(
        &self,
        hash: u64,
        id: &Q,
        waiter: Waiter<T>,
        timeout: Option<Duration>,
        soft: Option<Duration>,
    ) -> Waited<T>
    where
        T::Id: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut waiter = waiter;
        let (mut timeout, mut soft) = (self.limit(timeout), self.limit(soft));
        let ended = poll_fn(|context| {
            if let Poll::Ready(landed) = Pin::new(&mut waiter).poll(context) {
                return Poll::Ready(Waited::Landed(landed));
            }
            if let Some((sleep, after)) = &mut timeout
                && sleep.as_mut().poll(context).is_ready()
            {
                return Poll::Ready(Waited::TimedOut(*after));
            }
            if let Some((sleep, _)) = &mut soft
                && sleep.as_mut().poll(context).is_ready()
            {
                soft = None;
                // One whose window is over may still be resident, until somebody sweeps it.
                let stale = self.stale_of(hash, id);
                if let Some(stale) = stale.filter(|stale| stale.is_within(self.config.fetch.lingers())) {
                    return Poll::Ready(Waited::Stale(stale.found));
                }
            }
            Poll::Pending
        })
        .await;
        if matches!(ended, Waited::Stale(_)) {
            self.go_on(waiter);
        }
        ended
    }
}
