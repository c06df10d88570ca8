//! [`Loader`]: the pool's own way to its source; and the batcher, which gathers what is asked for one by one.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_channel::oneshot;
use larder_core::sync::Mutex;

use super::error::{FetchError, LoaderError};
use super::fetched::{Fetched, Many};
use super::flight::{LoadWatch, contained};
use super::options::FetchOptions;
use crate::loaded::Brought;
use crate::maybe::BoxFuture;
use crate::panics::caught;
use crate::shared::Shared;
use crate::{AnyError, Entity, LoadContext, LoadManyContext, Loaded, MaybeSend, MaybeSync, Pool, ToId};

/// Knows how to load entities, for [`Pool::fetch`] and [`Pool::fetch_many`].
///
/// A closure that takes a [`LoadContext`] and returns a future will do, where several ids need no query of their own.
///
/// ```
/// use std::io;
/// use larder_pool::{Entity, LoadContext, LoadManyContext, Loaded, Loader, Pool};
///
/// #[derive(Entity)]
/// struct User { id: u64, name: String }
///
/// struct Users;
///
/// impl Loader<User> for Users {
///     type Error = io::Error;
///
///     async fn load(&self, load: LoadContext<User>) -> Result<Loaded<User>, io::Error> {
///         Ok(User { id: load.id, name: "Ada".to_owned() }.into())
///     }
///
///     // One query for all of them.
///     async fn load_many(&self, load: LoadManyContext<User>) -> Result<Vec<Loaded<User>>, io::Error> {
///         let rows = load.ids.into_iter().map(|id| User { id, name: "Ada".to_owned() });
///         Ok(rows.map(Loaded::from).collect())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let users = Pool::<User>::builder().loader(Users).build()?;
/// assert_eq!(users.fetch(&7).await?.unwrap().name, "Ada");
/// # Ok(())
/// # }
/// ```
pub trait Loader<T: Entity>: MaybeSend + MaybeSync + 'static {
    /// What can go wrong.
    type Error: Into<Box<AnyError>>;

    /// Loads one entity.
    fn load(&self, load: LoadContext<T>) -> impl Future<Output = Result<Loaded<T>, Self::Error>> + MaybeSend;

    /// Loads several: any of them, in any order; what is left out the source does not have. Read from a copy, that is as of the
    /// oldest point that any of them names; a batch without a value names it by a [`Loaded::none`]. Default: one after the
    /// other.
    fn load_many(
        &self,
        load: LoadManyContext<T>,
    ) -> impl Future<Output = Result<Vec<Loaded<T>>, Self::Error>> + MaybeSend {
        async move {
            let mut all = Vec::with_capacity(load.ids.len());
            for (id, previous) in load.ids.into_iter().zip(load.previous) {
                let kept = previous.clone();
                let loaded = self.load(LoadContext { id, previous }).await?;
                all.push(loaded.or_previous(kept));
            }
            Ok(all)
        }
    }
}

impl<T, L, F, V, E> Loader<T> for L
where
    T: Entity,
    L: Fn(LoadContext<T>) -> F + MaybeSend + MaybeSync + 'static,
    F: Future<Output = Result<V, E>> + MaybeSend,
    V: Into<Loaded<T>>,
    E: Into<Box<AnyError>>,
{
    type Error = E;

    fn load(&self, load: LoadContext<T>) -> impl Future<Output = Result<Loaded<T>, E>> + MaybeSend {
        let future = self(load);
        async move { Ok(future.await?.into()) }
    }
}

/// A loader of any type.
pub(crate) trait AnyLoader<T: Entity>: MaybeSend + MaybeSync + 'static {
    fn load(self: Arc<Self>, load: LoadContext<T>) -> BoxFuture<Result<Loaded<T>, FetchError>>;

    fn load_many(self: Arc<Self>, load: LoadManyContext<T>) -> BoxFuture<Result<Vec<Loaded<T>>, FetchError>>;
}

impl<T: Entity, L: Loader<T>> AnyLoader<T> for L {
    fn load(self: Arc<Self>, load: LoadContext<T>) -> BoxFuture<Result<Loaded<T>, FetchError>> {
        Box::pin(async move { Loader::load(&*self, load).await.map_err(refused) })
    }

    fn load_many(self: Arc<Self>, load: LoadManyContext<T>) -> BoxFuture<Result<Vec<Loaded<T>>, FetchError>> {
        Box::pin(async move { Loader::load_many(&*self, load).await.map_err(refused) })
    }
}

fn refused(error: impl Into<Box<AnyError>>) -> FetchError {
    FetchError::Loader(LoaderError::new(error.into()))
}

/// The loader of a pool, and who waits for its next batch.
pub(crate) struct OwnLoader<T: Entity> {
    loader: Arc<dyn AnyLoader<T>>,
    batcher: Option<Batcher<T>>,
}

struct Batcher<T: Entity> {
    ids_max: usize,
    window: Duration,
    /// Who is gathered now, and the number of their batch.
    open: Mutex<(u64, Vec<Enrolled<T>>)>,
}

/// One id that waits for its batch, and where its answer goes.
struct Enrolled<T: Entity> {
    load: LoadContext<T>,
    answer: oneshot::Sender<Result<Loaded<T>, FetchError>>,
}

impl<T: Entity> OwnLoader<T> {
    pub(crate) fn new(loader: Arc<dyn AnyLoader<T>>, batcher: Option<(usize, Duration)>) -> Self {
        let batcher = batcher.map(|(ids_max, window)| Batcher {
            ids_max,
            window,
            open: Mutex::new((0, Vec::new())),
        });
        OwnLoader { loader, batcher }
    }
}

impl<T: Entity> Pool<T> {
    /// [`Pool::get_or_fetch`] with the loader that the pool was built with.
    ///
    /// # Errors
    /// [`FetchError`]; [`FetchError::NoLoader`] if it was built without one, and [`FetchError::Stopped`] if it gathers
    /// ids and was shut down.
    pub async fn fetch<Q>(&self, id: &Q) -> Result<Option<Arc<T>>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
    {
        let pool = &self.shared;
        if pool.config.fetch.refresh_ahead.is_none()
            && let Some(value) = pool.hit(pool.hash(id), id)
        {
            return Ok(Some(value));
        }
        Ok(self.fetch_with(id, FetchOptions::new()).await?.value)
    }

    /// [`Pool::get_or_fetch_with`] with the loader that the pool was built with.
    ///
    /// # Errors
    /// As [`Pool::fetch`] and [`Pool::get_or_fetch_with`].
    pub async fn fetch_with<Q>(&self, id: &Q, options: FetchOptions) -> Result<Fetched<T>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized,
    {
        let pool = &self.shared;
        let own = pool.loader.as_ref().ok_or(FetchError::NoLoader)?;
        let mut plan = options.plan_for(pool, pool.loader_label());
        if own.batcher.is_some() {
            plan.is_counted = false;
            let weak = Arc::downgrade(pool);
            return Box::pin(pool.fetch(id, plan, |load| enrolled(weak, load))).await;
        }
        let loader = Arc::clone(&own.loader);
        Box::pin(pool.fetch(id, plan, |load| loader.load(load))).await
    }

    /// [`Pool::get_or_fetch_many`] with the loader that the pool was built with.
    ///
    /// # Errors
    /// As [`Pool::get_or_fetch_many`]; [`FetchError::NoLoader`] if the pool was built without one.
    pub async fn fetch_many<'q, Q>(&self, ids: impl IntoIterator<Item = &'q Q>) -> Result<Many<T>, FetchError>
    where
        T::Id: Borrow<Q>,
        Q: ToId<T::Id> + ?Sized + 'q,
    {
        let pool = &self.shared;
        let own = pool.loader.as_ref().ok_or(FetchError::NoLoader)?;
        let loader = Arc::clone(&own.loader);
        let ids: Vec<(u64, &Q)> = ids.into_iter().map(|id| (pool.hash(id), id)).collect();
        let label = pool.loader_label();
        pool.fetch_many(ids, label, |load| loader.load_many(load)).await
    }
}

/// Waits for the batch with this id.
async fn enrolled<T: Entity>(pool: Weak<Shared<T>>, load: LoadContext<T>) -> Result<Loaded<T>, FetchError> {
    let (answer, receiver) = oneshot::channel();
    let has_begun = pool
        .upgrade()
        .is_some_and(|pool| pool.enroll(Enrolled { load, answer }));
    if !has_begun {
        return Err(FetchError::Stopped);
    }
    // Dropped unanswered if the pool stops.
    receiver.await.unwrap_or(Err(FetchError::Stopped))
}

impl<T: Entity> Shared<T> {
    /// What the pool's own loader is called.
    fn loader_label(&self) -> &'static str {
        self.config.loader_label.unwrap_or_default()
    }

    /// Adds one id to the batch that is gathered; false if the pool has stopped.
    fn enroll(self: &Arc<Self>, enrolled: Enrolled<T>) -> bool {
        let Some(batcher) = self.loader.as_ref().and_then(|own| own.batcher.as_ref()) else {
            return false;
        };
        let Some(runtime) = &self.runtime else {
            return false;
        };
        let mut open = batcher.open.lock();
        let (number, gathered) = &mut *open;
        gathered.push(enrolled);
        if gathered.len() >= batcher.ids_max {
            let full = std::mem::take(gathered);
            *number += 1;
            drop(open);
            return self.background.spawn(&**runtime, self.run_batch(full));
        }
        let (is_first, number) = (gathered.len() == 1, *number);
        drop(open);
        if !is_first {
            return !self.background.is_stopped();
        }
        let sleep = runtime.sleep(batcher.window);
        let window = Window {
            pool: Arc::downgrade(self),
            number,
        };
        let task = Box::pin(async move {
            sleep.await;
            let Some(pool) = window.pool.upgrade() else { return };
            let batch = pool.take_batch(number).map(|gathered| pool.run_batch(gathered));
            drop(pool);
            if let Some(batch) = batch {
                batch.await;
            }
        });
        self.background.spawn(&**runtime, task)
    }

    /// Closes the batch of this number, if it was not full before.
    fn take_batch(&self, number: u64) -> Option<Vec<Enrolled<T>>> {
        let batcher = self.loader.as_ref()?.batcher.as_ref()?;
        let mut open = batcher.open.lock();
        let (now, gathered) = &mut *open;
        if *now != number {
            return None;
        }
        *now += 1;
        Some(std::mem::take(gathered))
    }

    /// Loads a batch and hands out what it brought.
    fn run_batch(self: &Arc<Self>, gathered: Vec<Enrolled<T>>) -> BoxFuture<()> {
        let pool = Arc::downgrade(self);
        let loader = self.loader.as_ref().map(|own| Arc::clone(&own.loader));
        let name = self.name.clone();
        Box::pin(async move {
            let Some(loader) = loader else { return };
            let Some(batch) = caught(|| Gathered::of(gathered))
                .ok()
                .filter(|batch| !batch.ids.is_empty())
            else {
                return;
            };
            let Gathered {
                ids,
                previous,
                answers,
            } = batch;
            let Some(mut watch) = pool.upgrade().map(|pool| LoadWatch::new(&pool, ids.len())) else {
                return;
            };
            let context = LoadManyContext { ids, previous };
            let ended = contained(async move { loader.load_many(context).await }, None).await;
            watch.end(&ended);
            let mismatch = || FetchError::IdMismatch { name: name.clone() };
            let handed = caught(|| hand_out(ended.into_result(), answers, mismatch));
            if handed.is_err() || handed.is_ok_and(|is_asked_for| !is_asked_for) {
                watch.failed();
            }
        })
    }
}

/// Waits until a batch is to be closed. If that never happens, whoever is in it is told.
struct Window<T: Entity> {
    pool: Weak<Shared<T>>,
    number: u64,
}

impl<T: Entity> Drop for Window<T> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            drop(pool.take_batch(self.number));
        }
    }
}

/// A batch, each id once.
struct Gathered<T: Entity> {
    ids: Vec<T::Id>,
    previous: Vec<Option<Arc<T>>>,
    answers: Answers<T>,
}

/// Where one answer goes.
type Answer<T> = oneshot::Sender<Result<Loaded<T>, FetchError>>;

/// Where the answer for each id goes: in the order in which they were asked for, so that nothing depends on how ids hash.
struct Answers<T: Entity> {
    places: HashMap<T::Id, usize>,
    senders: Vec<Vec<Answer<T>>>,
}

impl<T: Entity> Gathered<T> {
    fn of(enrolled: Vec<Enrolled<T>>) -> Self {
        let mut gathered = Gathered {
            ids: Vec::new(),
            previous: Vec::new(),
            answers: Answers {
                places: HashMap::new(),
                senders: Vec::new(),
            },
        };
        // Nobody waits any more for what was cancelled.
        for Enrolled { load, answer } in enrolled.into_iter().filter(|one| !one.answer.is_canceled()) {
            let Answers { places, senders } = &mut gathered.answers;
            let place = *places.entry(load.id.clone()).or_insert(senders.len());
            if let Some(others) = senders.get_mut(place) {
                others.push(answer);
                continue;
            }
            senders.push(vec![answer]);
            gathered.ids.push(load.id);
            gathered.previous.push(load.previous);
        }
        gathered
    }
}

/// Gives everyone what was brought for their id. Whether everything was asked for.
fn hand_out<T: Entity>(
    loaded: Result<Vec<Loaded<T>>, FetchError>,
    answers: Answers<T>,
    mismatch: impl Fn() -> FetchError,
) -> bool {
    let Answers { places, senders } = answers;
    let mut brought: Vec<Option<Loaded<T>>> = senders.iter().map(|_| None).collect();
    let left_out = loaded.and_then(|loaded| {
        let left_out = Loaded::left_out(&loaded);
        for loaded in loaded {
            match &loaded.brought {
                Brought::Nothing => {}
                Brought::Unchanged => return Err(FetchError::NothingToRenew),
                Brought::Value(value) => {
                    let place = places.get(&value.id()).and_then(|at| brought.get_mut(*at));
                    place.ok_or_else(&mismatch)?.get_or_insert(loaded);
                }
            }
        }
        Ok(left_out)
    });
    for (senders, brought) in senders.into_iter().zip(brought) {
        let answer = match &left_out {
            Ok(left_out) => Ok(brought.unwrap_or_else(|| left_out.clone())),
            Err(error) => Err(error.clone()),
        };
        for sender in senders {
            // Whoever has gone away needs no answer.
            let _ = sender.send(answer.clone());
        }
    }
    left_out.is_ok()
}

impl<T: Entity> fmt::Debug for OwnLoader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnLoader")
            .field("gathers", &self.batcher.is_some())
            .finish_non_exhaustive()
    }
}
