//! Rows, a pool of them under simulated time, and what was told of it.

use std::sync::Arc;

use futures_channel::oneshot;
use larder_core::{Cause, EntityName};
use larder_pool::{
    Entity, Event, Events, Fence, FetchError, Namespace, Pool, PoolBuilder, Tag, TagSet, Target, ToKey,
    Watermarked,
};
use larder_testkit::{SimClock, SimEntropy, SimRuntime, poll_once};

/// Neither `Clone` nor `Debug` nor anything of serde: a pool asks for none of it.
pub struct Row {
    pub id: u64,
    pub version: u64,
    /// No tag if it is 0.
    pub team: u64,
}

impl Entity for Row {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "row"
    }

    fn id(&self) -> u64 {
        self.id
    }

    fn tags(&self, out: &mut TagSet) {
        if self.team > 0 {
            out.insert_value("team", &self.team);
        }
    }
}

impl Watermarked for Row {
    type Watermark = u64;

    fn watermark(&self) -> u64 {
        self.version
    }
}

pub fn row(id: u64, version: u64) -> Row {
    Row { id, version, team: 0 }
}

/// What was told, with the sequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Inserted(u64, u64),
    Updated(u64, u64, u64),
    Removed(u64, &'static str),
    Cleared(usize, &'static str),
}

pub struct World {
    pub clock: SimClock,
    pub runtime: SimRuntime,
    pub fence: Fence,
    pub pool: Pool<Row>,
    pub events: Events<Row>,
}

/// A fence under simulated time.
pub fn fence(clock: &SimClock) -> Fence {
    Fence::builder()
        .clock(Arc::new(clock.clone()))
        .entropy(Arc::new(SimEntropy::seeded(1)))
        .build()
        .unwrap()
}

/// The target of a row.
pub fn target(id: u64) -> Target {
    Target::Entity {
        entity: EntityName::new(Row::name()).unwrap(),
        id: id.to_key().unwrap(),
    }
}

/// The tag of a team's rows.
pub fn team(number: u64) -> Target {
    Target::Tag {
        namespace: Namespace::default(),
        tag: Tag::new(format!("team:{number}")).unwrap(),
    }
}

/// As if somebody had written it elsewhere.
pub fn by_others() -> Cause {
    Cause::direct(larder_core::Reason::default())
}

impl World {
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub fn with(build: impl FnOnce(PoolBuilder<Row>) -> PoolBuilder<Row>) -> Self {
        let clock = SimClock::new();
        let (runtime, fence) = (SimRuntime::new(&clock), fence(&clock));
        let builder = Pool::builder()
            .clock(Arc::new(clock.clone()))
            .entropy(Arc::new(SimEntropy::seeded(2)))
            .runtime(Arc::new(runtime.clone()))
            .event_capacity(4_096)
            .fence(fence.clone());
        let pool = build(builder).build().unwrap();
        let events = pool.events();
        World {
            clock,
            runtime,
            fence,
            pool,
            events,
        }
    }

    /// The version that is resident and live.
    pub fn peek(&self, id: u64) -> Option<u64> {
        self.pool.peek(&id).map(|row| row.version)
    }

    /// Everything live below an id, without a trace.
    pub fn live(&self, below: u64) -> Vec<(u64, u64)> {
        let live = (0..below).filter_map(|id| Some((id, self.peek(id)?)));
        live.collect()
    }

    /// What was told since the last time, with the sequences of the commits.
    pub fn told_at(&mut self) -> Vec<(u64, Told)> {
        let mut told = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            told.push((event.sequence(), told_of(event)));
        }
        told
    }

    /// The same without the sequences.
    pub fn told(&mut self) -> Vec<Told> {
        self.told_at().into_iter().map(|(_, told)| told).collect()
    }

    /// A load of an id that has begun: what ends it, and what becomes of it.
    pub fn load(&self, id: u64) -> (oneshot::Sender<Row>, impl FnOnce() -> Option<u64> + use<>) {
        let (sender, receiver) = oneshot::channel();
        let pool = self.pool.clone();
        let mut call = Box::pin(async move {
            let load = |_| receiver;
            pool.get_or_fetch(&id, load).await
        });
        assert!(poll_once(call.as_mut()).is_pending(), "the load has begun");
        let runtime = self.runtime.clone();
        let end = move || {
            let found: Result<_, FetchError> = runtime.block_on(call);
            found.unwrap().map(|row| row.version)
        };
        (sender, end)
    }
}

fn told_of(event: Event<Row>) -> Told {
    match event {
        Event::Inserted { value, .. } => Told::Inserted(value.id, value.version),
        Event::Updated { old, new, .. } => {
            assert_eq!(old.id, new.id);
            Told::Updated(new.id, old.version, new.version)
        }
        Event::Removed { id, reason, .. } => Told::Removed(id, reason.as_str()),
        Event::Cleared { count, reason, .. } => Told::Cleared(count, reason.as_str()),
        other => panic!("another event: {other:?}"),
    }
}
