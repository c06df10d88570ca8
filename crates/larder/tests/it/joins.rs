//! Who joins a load that was in flight when something was invalidated: whoever asks after that gets what was right then, though
//! the tags of a value are known only when its load has ended.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use larder::pool::{LoadContext, Loaded, Reason};
use larder::{Cause, Entity, Fence, Pool, Tag, Target};

const ID: u32 = 1;

#[derive(Entity)]
struct Product {
    id: u32,
    #[entity(tag = "category")]
    category: u32,
    version: u32,
}

/// Holds up the loads that have read the row, until it is opened.
#[derive(Default)]
struct Gate(Mutex<State>);

#[derive(Default)]
struct State {
    is_open: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    fn set_open(&self, is_open: bool) {
        let mut state = self.0.lock().expect("nobody panics while holding it");
        state.is_open = is_open;
        state.waiting.drain(..).for_each(Waker::wake);
    }

    async fn passed(self: Arc<Self>) {
        poll_fn(|context| {
            let mut state = self.0.lock().expect("nobody panics while holding it");
            if state.is_open {
                return Poll::Ready(());
            }
            state.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// A row, and a pool before it.
struct World {
    fence: Fence,
    pool: Pool<Product>,
    version: Arc<AtomicU32>,
    loads: Arc<AtomicU32>,
    gate: Arc<Gate>,
}

impl World {
    fn new() -> Self {
        let fence = Fence::builder().build().expect("every default is allowed");
        let pool = Pool::builder().fence(fence.clone());
        World {
            pool: pool.build().expect("every default is allowed"),
            fence,
            version: Arc::new(AtomicU32::new(1)),
            loads: Arc::default(),
            gate: Arc::default(),
        }
    }

    /// The row as it is now, brought when the gate is open.
    fn row(&self) -> impl Future<Output = Product> + Send + 'static {
        self.loads.fetch_add(1, SeqCst);
        let (version, gate) = (self.version.load(SeqCst), Arc::clone(&self.gate));
        async move {
            gate.passed().await;
            Product {
                id: ID,
                category: 7,
                version,
            }
        }
    }

    /// One call, by its version.
    async fn fetch(&self) -> u32 {
        let load = |_: LoadContext<Product>| {
            let row = self.row();
            async { Ok::<_, Infallible>(Loaded::value(row.await).depends_on(rates())) }
        };
        let product = self.pool.get_or_fetch(&ID, load).await;
        product.expect("no load fails").expect("there is a row").version
    }

    /// One call for several ids, of which there is one.
    async fn fetch_many(&self) -> u32 {
        let load = |_| {
            let row = self.row();
            async { Ok::<_, Infallible>([Loaded::value(row.await).depends_on(rates())]) }
        };
        let many = self.pool.get_or_fetch_many(&[ID], load).await;
        let many = many.expect("one id is not too many").ok();
        let first = many.expect("no load fails").swap_remove(0);
        first.expect("there is a row").version
    }

    fn invalidate(&self, target: &Target) {
        self.fence
            .invalidate(target, Cause::direct(larder::Reason::new("saved")));
    }
}

/// Something that every product depends on beside its tag.
fn rates() -> Target {
    Target::dependency("default", "rates").expect("the name is allowed")
}

fn is_pending<F: Future + ?Sized>(call: Pin<&mut F>) -> bool {
    call.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn ended<F: Future + ?Sized>(call: Pin<&mut F>) -> F::Output {
    match call.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the gate is open, so there is nothing to wait for"),
    }
}

/// A load reads the row; the row is changed and ended so; then somebody else asks.
fn check(ended_by: &str, end: impl Fn(&World)) {
    for is_batch in [false, true] {
        let world = World::new();
        let mut before = pin!(world.fetch());
        assert!(is_pending(before.as_mut()));
        world.version.store(2, SeqCst);
        end(&world);
        let mut after: Pin<Box<dyn Future<Output = u32>>> = match is_batch {
            false => Box::pin(world.fetch()),
            true => Box::pin(world.fetch_many()),
        };
        assert!(is_pending(after.as_mut()));
        world.gate.set_open(true);
        let found = ended(after.as_mut());
        assert_eq!(found, 2, "{ended_by}: what it was before; batch: {is_batch}");
        let kept = world.pool.peek(&ID).map(|product| product.version);
        assert_eq!(kept, Some(2), "{ended_by}: another is kept; batch: {is_batch}");
        assert_eq!(world.loads.load(SeqCst), 2, "{ended_by}; batch: {is_batch}");
    }
}

/// Contract: P46 (partial: who joins after a tag was invalidated)
///
/// A call that began after `invalidate_tag` had returned was given what a load had read before.
#[test]
fn whoever_asks_after_a_tag_was_invalidated_gets_what_is_right_since() {
    let category = || Target::tag("default", "category:7").expect("the tag is allowed");
    check("the pool's tag", |world| {
        world
            .pool
            .invalidate_tag(&Tag::new("category:7").expect("the tag is allowed"));
    });
    check("the fence's tag", |world| world.invalidate(&category()));
    check("a dependency", |world| world.invalidate(&rates()));
}

/// Contract: P53 (partial: whatever ends the id)
#[test]
fn whoever_asks_after_the_id_has_ended_gets_what_is_right_since() {
    check("the id", |world| {
        world.pool.invalidate(&ID, Reason::Saved);
    });
    check("clear", |world| {
        world.pool.clear(Reason::Manual);
    });
    check("the collection", |world| {
        let products = Target::collection("product").expect("the name is allowed");
        world.invalidate(&products);
    });
    check("everything", |world| world.invalidate(&Target::Everything));
}

/// Contract: P46 (partial: who joins after a tag was invalidated)
///
/// Whoever has shared an old load asks again, and those who do share one load.
#[test]
fn all_who_ask_again_share_one_load() {
    let world = World::new();
    let mut before = pin!(world.fetch());
    assert!(is_pending(before.as_mut()));
    world.version.store(2, SeqCst);
    world
        .pool
        .invalidate_tag(&Tag::new("category:7").expect("the tag is allowed"));
    let (mut first, mut second) = (pin!(world.fetch()), pin!(world.fetch_many()));
    assert!(is_pending(first.as_mut()) && is_pending(second.as_mut()));
    assert_eq!(
        world.loads.load(SeqCst),
        1,
        "both share it until they know its tags"
    );
    world.gate.set_open(true);
    assert_eq!(ended(before.as_mut()), 1, "it asked before the row was changed");
    world.gate.set_open(false);
    assert!(is_pending(first.as_mut()) && is_pending(second.as_mut()));
    world.gate.set_open(true);
    assert_eq!((ended(second.as_mut()), ended(first.as_mut())), (2, 2));
    assert_eq!(world.loads.load(SeqCst), 2);
}
