//! Parts that are yet to be built, without their types: each takes what the layer has for all.

use std::sync::Arc;

use larder_core::sync::Mutex;
use larder_core::{BoxFuture, Clock, Entropy, Fence, Moment, Runtime, SourceId, Trace};
use larder_outbox::{
    ConfigError, Database, FollowerBuilder, Outbox, OutboxBuilder, OutboxStore, Publish, RelayBuilder, Waiter,
};
use larder_pool::{BuildError, Entity, Pool, PoolBuilder, Registry, WhenUnsure};

use super::super::parts::{LayerPool, Log};
use super::super::relays::Relayed;
use super::super::tasks::{Done, Stop};
use super::super::timeline::Timeline;
use super::super::verify::{Same, Verified, VerifiedPool};
use super::super::waker::Waker;
use crate::Problem;

/// What a layer gives to its parts.
pub(super) struct Common {
    pub(super) node: Option<String>,
    /// By which a node takes its name back from a process of its own that has died.
    pub(super) node_key: Option<[u8; 16]>,
    pub(super) when_unsure: WhenUnsure,
    pub(super) fence: Fence,
    pub(super) timeline: Arc<Timeline>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) runtime: Arc<dyn Runtime>,
}

/// A pool that is yet to be built.
pub(super) trait UnbuiltPool: Send {
    fn place(&self) -> (&'static str, Option<&str>);
    fn part(&self) -> String;
    fn build(
        self: Box<Self>,
        common: &Common,
        registry: &Registry,
        problems: &mut Vec<Problem>,
    ) -> Option<BuiltPool>;
}

/// A pool, and how its values are compared, if that was said.
pub(super) struct BuiltPool {
    pub(super) pool: Arc<dyn LayerPool>,
    pub(super) verified: Option<Arc<dyn Verified>>,
}

pub(super) struct Unbuilt<T: Entity> {
    pub(super) label: Option<String>,
    pub(super) builder: PoolBuilder<T>,
    pub(super) same: Option<Same<T>>,
}

impl<T: Entity> UnbuiltPool for Unbuilt<T> {
    fn place(&self) -> (&'static str, Option<&str>) {
        (T::name(), self.label.as_deref())
    }

    fn part(&self) -> String {
        match &self.label {
            Some(label) => format!("pool {} labelled {label}", T::name()),
            None => format!("pool {}", T::name()),
        }
    }

    fn build(
        self: Box<Self>,
        common: &Common,
        registry: &Registry,
        problems: &mut Vec<Problem>,
    ) -> Option<BuiltPool> {
        let part = self.part();
        let builder = self
            .builder
            .fence(common.fence.clone())
            .clock(Arc::clone(&common.clock))
            .entropy(Arc::clone(&common.entropy))
            .runtime(Arc::clone(&common.runtime))
            .trace(Arc::clone(&common.timeline) as Arc<dyn Trace>)
            .when_unsure_by_default(common.when_unsure);
        let pool: Pool<T> = match builder.build() {
            Ok(pool) => pool,
            Err(error) => {
                told(&part, error, problems);
                return None;
            }
        };
        let label = self.label.as_deref();
        let verified = self
            .same
            .map(|same| Arc::new(VerifiedPool::new(pool.clone(), label, same)) as Arc<dyn Verified>);
        let registered = match self.label {
            Some(label) => registry.register_as(label, pool.clone()),
            None => registry.register(pool.clone()),
        };
        if let Err(error) = registered {
            problems.push(Problem::new(part, "name", T::name(), error.to_string()));
            return None;
        }
        Some(BuiltPool {
            pool: Arc::new(pool),
            verified,
        })
    }
}

/// What a pool's builder refuses, as problems.
fn told(part: &str, error: BuildError, problems: &mut Vec<Problem>) {
    match error {
        BuildError::Several(errors) => errors.into_iter().for_each(|error| told(part, error, problems)),
        BuildError::OutOfRange {
            option,
            given,
            allowed,
        } => {
            problems.push(Problem::new(part, option, given, allowed));
        }
        BuildError::Name { option, error } => {
            problems.push(Problem::new(part, option, error, "a name"));
        }
        other => problems.push(Problem::new(part, "build", other, "what can be built")),
    }
}

/// An outbox that is yet to be opened.
pub(super) trait UnopenedOutbox: Send + Sync {
    fn check(&self, problems: &mut Vec<Problem>);
    fn open<'a>(
        self: Box<Self>,
        common: &'a Common,
        file_hints: bool,
    ) -> BoxFuture<'a, Result<Opened, larder_outbox::Error>>;
}

/// An outbox, and what comes of it.
pub(super) struct Opened {
    pub(super) source: SourceId,
    pub(super) log: Arc<dyn Log>,
    pub(super) follower: FollowerBuilder,
    pub(super) waiter: Waiter,
    pub(super) store: Arc<dyn OutboxStore>,
    /// If it is wanted, and can be had.
    pub(super) waker: Option<Waker>,
}

impl<D: Database> UnopenedOutbox for OutboxBuilder<D> {
    fn check(&self, problems: &mut Vec<Problem>) {
        if let Err(larder_outbox::Error::Config(error)) = self.migration() {
            problems.extend(of_config("outbox", &error));
        }
    }

    fn open<'a>(
        self: Box<Self>,
        common: &'a Common,
        file_hints: bool,
    ) -> BoxFuture<'a, Result<Opened, larder_outbox::Error>> {
        Box::pin(async move {
            let mut builder = self.entropy(Arc::clone(&common.entropy));
            if let Some(node) = &common.node {
                builder = builder.node(node);
            }
            if let Some(key) = common.node_key {
                builder = builder.node_key(key);
            }
            let outbox: Outbox<D> = builder.open().await?;
            let (source, log) = (outbox.source_id(), Arc::new(outbox.clone()) as Arc<dyn Log>);
            let seams = (&common.runtime, &common.clock);
            let waker = if file_hints {
                // One that cannot be had now is tried for again by its task.
                let hints = outbox
                    .file_hints()
                    .await
                    .map_or(Some(None), |hints| hints.map(Some));
                hints.map(|hints| Waker::new(&log, source, hints, seams))
            } else {
                None
            };
            Ok(Opened {
                source,
                waker,
                follower: outbox.follower(&common.fence),
                waiter: outbox.waiter(&common.fence),
                store: outbox.store(),
                log,
            })
        })
    }
}

pub(super) fn of_config(part: &str, error: &ConfigError) -> Vec<Problem> {
    let faults = error.faults().iter();
    faults
        .map(|fault| Problem::new(part, fault.option, &fault.given, fault.allowed.clone()))
        .collect()
}

/// A relay that is yet to be opened.
pub(super) trait UnopenedRelay: Send + Sync {
    fn open<'a>(
        self: Box<Self>,
        store: Arc<dyn OutboxStore>,
        common: &'a Common,
    ) -> BoxFuture<'a, Result<OpenedRelay, larder_outbox::Error>>;
}

pub(super) struct Unopened<F>(pub(super) F);

pub(super) struct OpenedRelay {
    pub(super) relay: Relayed,
    pub(super) work: Box<dyn FnMut(Stop) -> BoxFuture<'static, Done> + Send>,
}

impl<P, F> UnopenedRelay for Unopened<F>
where
    P: Publish + 'static,
    F: FnOnce(Arc<dyn OutboxStore>) -> RelayBuilder<P> + Send + Sync + 'static,
{
    fn open<'a>(
        self: Box<Self>,
        store: Arc<dyn OutboxStore>,
        common: &'a Common,
    ) -> BoxFuture<'a, Result<OpenedRelay, larder_outbox::Error>> {
        let clock = Arc::clone(&common.clock);
        let (source, asked) = (store.source().id(), Arc::clone(&store));
        let builder = (self.0)(store)
            .runtime(Arc::clone(&common.runtime))
            .clock(Arc::clone(&common.clock))
            .entropy(Arc::clone(&common.entropy));
        Box::pin(async move {
            let relay = builder.open().await?;
            let seen = relay.clone();
            let last = Mutex::new((0, None::<Moment>));
            let last_round = Arc::new(move || {
                let iterations = seen.diagnostics().iterations;
                let mut last = last.lock();
                if last.0 != iterations {
                    *last = (iterations, Some(clock.monotonic()));
                }
                last.1
            });
            let told = relay.clone();
            Ok(OpenedRelay {
                relay: Relayed {
                    source,
                    group: relay.group().to_owned(),
                    owner: relay.owner().to_owned(),
                    store: asked,
                    last_round,
                    diagnostics: Box::new(move || told.diagnostics()),
                    seen: Mutex::default(),
                },
                work: Box::new(move |stop| {
                    let relay = relay.clone();
                    Box::pin(async move {
                        relay.run(stop.stopped()).await;
                        Ok(())
                    })
                }),
            })
        })
    }
}
