//! A pool of a layer, whatever is in it: what callers do with it, in versions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use larder::pool::{
    Capacity, Changed, EntryState, FetchError, FetchOptions, InsertOptions, PoolStats, Reason, WeakPool,
};
use larder::{BoxFuture, Error, Layer, Pin, Pool, Target, Token, VerifyPlan, VerifyReport};

use super::database::Key;
use super::things::Thing;

/// What one call has brought for one id.
#[derive(Debug)]
pub struct Answer {
    pub key: Key,
    pub got: Result<Option<u64>, FetchError>,
    pub stale: bool,
    /// Where the answer has room for it.
    pub degraded: Option<bool>,
}

/// How a call asks.
#[derive(Clone, Debug)]
pub enum How {
    Plain,
    Bypass,
    Many(Vec<u64>),
    /// With a token, and how long it waits.
    At(Token, Duration),
}

/// What a listener has heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// Whatever is resident, dead ones included.
    pub resident: BTreeMap<u64, u64>,
    pub stored: u64,
    pub left: u64,
}

impl Heard {
    fn changed<T: Thing>(&mut self, id: u64, change: &Changed<'_, T>) {
        match change.new {
            Some(value) => {
                self.resident.insert(id, value.version());
                self.stored += 1;
            }
            None => {
                self.resident.remove(&id);
            }
        }
        self.left += u64::from(change.reason.is_some());
    }
}

/// A listener that keeps what it hears.
pub fn listen<T: Thing>(heard: &Arc<Mutex<Heard>>) -> impl Fn(&Changed<'_, T>) + Send + Sync + 'static {
    let heard = Arc::clone(heard);
    move |change| {
        let id = change.new.or(change.old).map(|value| value.id());
        // What leaves without a value had one when it came.
        heard.lock().unwrap().changed(id.unwrap_or(u64::MAX), change);
    }
}

/// One pool of one layer.
pub trait Handle {
    fn key(&self, id: u64) -> Key;
    fn get(&self, id: u64) -> Option<u64>;
    fn peek(&self, id: u64) -> Option<u64>;
    fn get_many(&self, ids: &[u64]) -> Vec<Option<u64>>;
    /// None where this node has not applied the token.
    fn get_at(&self, id: u64, token: &Token) -> Option<Option<u64>>;
    fn fetch(&self, layer: &Layer, id: u64, how: How) -> BoxFuture<'static, Vec<Answer>>;
    fn pin(&self, id: u64) -> Pin;
    /// Whether it was stored.
    fn insert(&self, id: u64, version: u64, pin: Option<Pin>) -> bool;
    fn remove(&self, id: u64);
    fn remove_in_batch(&self, id: u64);
    fn clear(&self);
    fn state(&self, layer: &Layer, id: u64) -> Option<EntryState>;
    fn size(&self) -> (u64, u64, Capacity);
    fn stats(&self) -> PoolStats;
    fn residents(&self) -> Vec<(Key, u64)>;
    fn verify(&self, layer: Layer) -> BoxFuture<'static, Result<VerifyReport, Error>>;
    fn is_gone(&self) -> Box<dyn Fn() -> bool>;
}

pub struct Place<T: Thing> {
    pub pool: Pool<T>,
    pub label: Option<String>,
}

fn version<T: Thing>(value: Option<Arc<T>>) -> Option<u64> {
    value.map(|value| value.version())
}

impl<T: Thing + PartialEq + Send + Sync> Handle for Place<T> {
    fn key(&self, id: u64) -> Key {
        T::key(id)
    }

    fn get(&self, id: u64) -> Option<u64> {
        version(self.pool.get(&id))
    }

    fn peek(&self, id: u64) -> Option<u64> {
        version(self.pool.peek(&id))
    }

    fn get_many(&self, ids: &[u64]) -> Vec<Option<u64>> {
        self.pool.get_many(ids).into_iter().map(version).collect()
    }

    fn get_at(&self, id: u64, token: &Token) -> Option<Option<u64>> {
        self.pool.get_at(&id, token).ok().map(version)
    }

    fn fetch(&self, layer: &Layer, id: u64, how: How) -> BoxFuture<'static, Vec<Answer>> {
        let (pool, layer, label) = (self.pool.clone(), layer.clone(), self.label.clone());
        Box::pin(async move {
            let fetched = match how {
                How::Plain => pool.fetch_with(&id, FetchOptions::new()).await,
                How::Bypass => pool.fetch_with(&id, FetchOptions::new().bypass()).await,
                How::Many(ids) => return many(&pool, ids).await,
                How::At(token, time) => {
                    let at = layer.at(token).wait_at_most(time);
                    let pool = match &label {
                        Some(label) => at.pool_as::<T>(label),
                        None => at.pool::<T>(),
                    };
                    pool.unwrap().fetched(&id).await
                }
            };
            let (stale, degraded) = fetched
                .as_ref()
                .map_or((false, false), |fetched| (fetched.stale, fetched.degraded));
            vec![Answer {
                key: T::key(id),
                got: fetched.map(|fetched| version(fetched.value)),
                stale,
                degraded: Some(degraded),
            }]
        })
    }

    fn pin(&self, id: u64) -> Pin {
        self.pool.pin(&id)
    }

    fn insert(&self, id: u64, version: u64, pin: Option<Pin>) -> bool {
        let mut options = InsertOptions::new();
        if let Some(target) = T::depends_on() {
            options = options.depends_on(target);
        }
        if let Some(pin) = pin {
            options = options.pin(pin);
        }
        self.pool.insert_with(T::of(id, version), options).is_ok()
    }

    fn remove(&self, id: u64) {
        self.pool.invalidate(&id, Reason::Saved);
    }

    fn remove_in_batch(&self, id: u64) {
        self.pool
            .batch()
            .invalidate(&id, Reason::Deleted)
            .commit()
            .unwrap();
    }

    fn clear(&self) {
        self.pool.clear(Reason::Manual);
    }

    fn state(&self, layer: &Layer, id: u64) -> Option<EntryState> {
        let explained = layer.explain(&Target::entity(T::name(), id).unwrap());
        let mut pools = explained.pools.into_iter();
        let own = pools.find(|pool| pool.label == self.label)?;
        Some(own.explanation.state)
    }

    fn size(&self) -> (u64, u64, Capacity) {
        let wide = |size: usize| u64::try_from(size).unwrap();
        (
            wide(self.pool.len()),
            wide(self.pool.weight_bytes()),
            self.pool.capacity(),
        )
    }

    fn stats(&self) -> PoolStats {
        self.pool.stats()
    }

    fn residents(&self) -> Vec<(Key, u64)> {
        let snapshot = self.pool.snapshot();
        let live = snapshot.iter().map(|value| (T::key(value.id()), value.version()));
        live.collect()
    }

    fn verify(&self, layer: Layer) -> BoxFuture<'static, Result<VerifyReport, Error>> {
        let plan = VerifyPlan::of::<T>().heal(false);
        let plan = match &self.label {
            Some(label) => plan.label(label),
            None => plan,
        };
        Box::pin(async move { layer.verify(&plan).await })
    }

    fn is_gone(&self) -> Box<dyn Fn() -> bool> {
        let pool: WeakPool<T> = self.pool.downgrade();
        Box::new(move || pool.upgrade().is_none())
    }
}

async fn many<T: Thing>(pool: &Pool<T>, ids: Vec<u64>) -> Vec<Answer> {
    let answer = |(id, got): (u64, Result<Option<Arc<T>>, FetchError>)| Answer {
        key: T::key(id),
        got: got.map(version),
        stale: false,
        degraded: None,
    };
    match pool.fetch_many(&ids).await {
        Ok(many) => ids.into_iter().zip(many.iter().cloned()).map(answer).collect(),
        Err(error) => ids
            .into_iter()
            .map(|id| answer((id, Err(error.clone()))))
            .collect(),
    }
}
