//! A source whose rows have versions, a pool over it, and loads that can be left at each step.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use larder_core::sync::{AtomicU64, Ordering};
use larder_core::{Cause, EntityName, Reason};
use larder_pool::{
    Entity, Fence, FetchError, LoadContext, LoadManyContext, Pool, PoolBuilder, TagSet, Target, ToKey,
};
use larder_testkit::{SimClock, SimEntropy};
use shuttle::future::block_on;

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: u64,
    pub(crate) version: u64,
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

    fn fields() {}

    fn tags(&self, out: &mut TagSet) {
        out.insert("all");
    }
}

/// What a loader says when it fails; it never does.
#[derive(Debug)]
pub(crate) struct Never;

impl std::fmt::Display for Never {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("never")
    }
}

impl std::error::Error for Never {}

/// How many ids there are.
const IDS: usize = 3;

/// The source, and what its writers have acknowledged.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) pool: Pool<Row>,
    pub(crate) fence: Fence,
    rows: Arc<[AtomicU64; IDS]>,
    acknowledged: Arc<[AtomicU64; IDS]>,
    pub(crate) loads: Arc<AtomicU64>,
}

/// Yields to the executor once, so that a load has a point at which it can be left.
pub(crate) async fn step() {
    let mut done = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut done, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

impl World {
    pub(crate) fn new(build: impl FnOnce(PoolBuilder<Row>) -> PoolBuilder<Row>) -> Self {
        let clock = Arc::new(SimClock::new());
        let fence = Fence::builder()
            .clock(clock.clone())
            .entropy(Arc::new(SimEntropy::seeded(1)))
            .shards(1)
            .build()
            .unwrap();
        let builder = Pool::builder()
            .clock(clock)
            .entropy(Arc::new(SimEntropy::seeded(2)))
            .fence(fence.clone())
            .capacity_entries(16);
        World {
            pool: build(builder).build().unwrap(),
            fence,
            rows: Arc::new(std::array::from_fn(|_| AtomicU64::new(0))),
            acknowledged: Arc::new(std::array::from_fn(|_| AtomicU64::new(0))),
            loads: Arc::new(AtomicU64::new(0)),
        }
    }

    fn at(cells: &[AtomicU64; IDS], id: u64) -> &AtomicU64 {
        &cells[usize::try_from(id).unwrap()]
    }

    /// A row is written, then the cache is told, then the writer hears of it.
    pub(crate) fn write(&self, id: u64, version: u64, tell: impl FnOnce(&Self)) {
        Self::at(&self.rows, id).store(version, Ordering::SeqCst);
        tell(self);
        Self::at(&self.acknowledged, id).store(version, Ordering::SeqCst);
    }

    /// The source's row.
    pub(crate) fn row(&self, id: u64) -> Row {
        let version = Self::at(&self.rows, id).load(Ordering::SeqCst);
        Row { id, version }
    }

    fn acknowledged(&self, id: u64) -> u64 {
        Self::at(&self.acknowledged, id).load(Ordering::SeqCst)
    }

    pub(crate) fn invalidate(&self, target: &Target) {
        self.fence.invalidate(target, Cause::direct(Reason::default()));
    }

    /// A call for one id: never older than what was acknowledged before it began.
    pub(crate) fn fetch(&self, id: u64) -> u64 {
        let asked = self.acknowledged(id);
        let answer = block_on(self.call(id)).unwrap();
        let version = answer.unwrap().version;
        assert!(version >= asked, "{version} of {id} is older than {asked}");
        version
    }

    /// The same, left after some polls.
    pub(crate) fn fetch_and_leave(&self, id: u64, polls: usize) {
        block_on(async {
            let mut call = pin!(self.call(id));
            for _ in 0..polls {
                let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready())).await;
                if polled {
                    return;
                }
                step().await;
            }
        });
    }

    async fn call(&self, id: u64) -> Result<Option<Arc<Row>>, FetchError> {
        let world = self.clone();
        let load = move |load: LoadContext<Row>| {
            world.loads.fetch_add(1, Ordering::SeqCst);
            let row = world.row(load.id);
            // The load holds no handle of the pool.
            drop(world);
            async move {
                step().await;
                Ok::<_, Never>(row)
            }
        };
        self.pool.get_or_fetch(&id, load).await
    }

    /// A call for several ids.
    pub(crate) fn fetch_many(&self, ids: &[u64]) {
        let asked: Vec<u64> = ids.iter().map(|id| self.acknowledged(*id)).collect();
        let world = self.clone();
        let load = move |load: LoadManyContext<Row>| {
            let rows: Vec<Row> = load.ids.iter().map(|id| world.row(*id)).collect();
            drop(world);
            async move {
                step().await;
                Ok::<_, Never>(rows)
            }
        };
        let answers = block_on(self.pool.get_or_fetch_many(ids, load))
            .unwrap()
            .ok()
            .unwrap();
        for ((answer, asked), id) in answers.into_iter().zip(asked).zip(ids) {
            let version = answer.unwrap().version;
            assert!(version >= asked, "{version} of {id} is older than {asked}");
        }
    }

    /// A look into memory: never older than what was acknowledged before it began.
    pub(crate) fn get(&self, id: u64) -> Option<u64> {
        let asked = self.acknowledged(id);
        let version = self.pool.get(&id)?.version;
        assert!(version >= asked, "{version} of {id} is older than {asked}");
        Some(version)
    }

    /// What holds when everything is quiet: nothing old is resident, and no flight is left over.
    pub(crate) fn quiet(&self) {
        for id in 0..IDS as u64 {
            self.get(id);
        }
        let stats = self.pool.stats();
        assert_eq!(stats.flights, 0, "a flight is left over");
        assert_eq!(usize::try_from(stats.entries).unwrap(), self.pool.len());
    }
}

/// The target of a row.
pub(crate) fn target(id: u64) -> Target {
    Target::Entity {
        entity: EntityName::new("row").unwrap(),
        id: id.to_key().unwrap(),
    }
}

/// The tag of all rows.
pub(crate) fn tag() -> Target {
    Target::Tag {
        namespace: larder_pool::Namespace::default(),
        tag: larder_pool::Tag::new("all").unwrap(),
    }
}
