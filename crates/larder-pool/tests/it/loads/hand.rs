//! Rows, a pool under simulated time, and loads that end when the test says so.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_channel::oneshot;
use larder_core::{Cause, CollectionName, EntityName};
use larder_pool::{
    Entity, Fence, LoadContext, Loaded, Namespace, Pool, PoolBuilder, Tag, TagSet, Target, ToKey,
};
use larder_testkit::{SimClock, SimEntropy, SimRuntime, poll_once};

#[derive(Debug, PartialEq, Eq)]
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

    fn fields() -> Self::Fields {}

    fn tags(&self, out: &mut TagSet) {
        if self.team > 0 {
            out.insert_value("team", &self.team);
        }
    }
}

pub fn row(id: u64, version: u64) -> Row {
    Row { id, version, team: 0 }
}

/// What goes wrong in a source.
#[derive(Debug, PartialEq, Eq)]
pub struct Oops(pub &'static str);

impl fmt::Display for Oops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Oops {}

pub struct World {
    clock: SimClock,
    pub runtime: SimRuntime,
    pub fence: Fence,
    pub pool: Pool<Row>,
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

/// A namespace.
pub fn namespace(name: &str) -> Target {
    Target::Namespace {
        namespace: Namespace::new(name).unwrap(),
    }
}

/// A collection.
pub fn collection(name: &str) -> Target {
    Target::Collection {
        name: CollectionName::new(name).unwrap(),
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub fn with(build: impl FnOnce(PoolBuilder<Row>) -> PoolBuilder<Row>) -> Self {
        let clock = SimClock::new();
        let runtime = SimRuntime::new(&clock);
        let fence = Fence::builder()
            .clock(Arc::new(clock.clone()))
            .entropy(Arc::new(SimEntropy::seeded(1)))
            .build()
            .unwrap();
        let builder = Pool::builder()
            .clock(Arc::new(clock.clone()))
            .entropy(Arc::new(SimEntropy::seeded(2)))
            .runtime(Arc::new(runtime.clone()))
            .fence(fence.clone());
        let pool = build(builder).build().unwrap();
        World {
            clock,
            runtime,
            fence,
            pool,
        }
    }

    /// A call with a loader that brings this at once.
    pub fn fetch(&self, id: u64, brings: impl Into<Loaded<Row>>) -> Option<u64> {
        let brings = brings.into();
        let call = self.pool.get_or_fetch(&id, |_| async { Ok::<_, Oops>(brings) });
        self.runtime.block_on(call).unwrap().map(|row| row.version)
    }

    /// A call that must not load.
    pub fn fetch_without_load(&self, id: u64) -> Option<u64> {
        let call = self.pool.get_or_fetch(&id, never);
        self.runtime.block_on(call).unwrap().map(|row| row.version)
    }

    /// Invalidates something as if somebody had written it.
    pub fn invalidate(&self, target: &Target) {
        self.fence
            .invalidate(target, Cause::direct(larder_core::Reason::default()));
    }

    /// The clock of all.
    pub fn clock(&self) -> &SimClock {
        &self.clock
    }

    /// The version that is resident and live.
    pub fn peek(&self, id: u64) -> Option<u64> {
        self.pool.peek(&id).map(|row| row.version)
    }
}

/// A loader that must not be called.
pub async fn never(load: LoadContext<Row>) -> Result<Loaded<Row>, Oops> {
    panic!("{} was loaded", load.id)
}

/// What a load that waits for the test brings.
pub type Brings = Result<Loaded<Row>, Oops>;

/// A call that is polled by hand.
pub type Call<'a, R> = Pin<Box<dyn Future<Output = R> + 'a>>;

/// Ends a load when the test says so, and knows what became of it.
pub struct Hand {
    sender: oneshot::Sender<Brings>,
    pub begun: Arc<AtomicUsize>,
}

impl Hand {
    pub fn brings(self, brings: impl Into<Loaded<Row>>) {
        let sent = self.sender.send(Ok(brings.into()));
        assert!(sent.is_ok(), "the load was dropped");
    }

    pub fn fails(self, why: &'static str) {
        let sent = self.sender.send(Err(Oops(why)));
        assert!(sent.is_ok(), "the load was dropped");
    }

    pub fn is_dropped(&self) -> bool {
        self.sender.is_canceled()
    }

    pub fn runs(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

/// A loader that waits for its hand.
pub fn by_hand() -> (Hand, impl FnOnce(LoadContext<Row>) -> oneshot_load::Load) {
    let (sender, receiver) = oneshot::channel();
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let load = move |_: LoadContext<Row>| {
        counted.fetch_add(1, Ordering::SeqCst);
        oneshot_load::Load(receiver)
    };
    (Hand { sender, begun }, load)
}

pub mod oneshot_load {
    //! The future of a load by hand.

    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures_channel::oneshot::Receiver;

    use super::{Brings, Oops};

    pub struct Load(pub Receiver<Brings>);

    impl Future for Load {
        type Output = Brings;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Brings> {
            let received = Pin::new(&mut self.0).poll(context);
            received.map(|brings| brings.unwrap_or(Err(Oops("the hand is gone"))))
        }
    }
}

/// Begins a call: polls it once, and it must wait.
pub fn begun<'a, R>(call: impl Future<Output = R> + 'a) -> Call<'a, R> {
    let mut call: Call<'a, R> = Box::pin(call);
    assert!(poll_once(call.as_mut()).is_pending(), "the call did not wait");
    call
}

/// The end of a call that has something to end with.
pub fn ended<R>(mut call: Call<'_, R>) -> R {
    match poll_once(call.as_mut()) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("the call still waits"),
    }
}

/// Whether a call still waits.
pub fn waits<R>(call: &mut Call<'_, R>) -> bool {
    poll_once(call.as_mut()).is_pending()
}
