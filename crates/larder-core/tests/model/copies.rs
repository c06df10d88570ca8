//! M6: loads from copies that lag behind the database.

use std::sync::Arc;

use larder_core::sync::{AtomicU64, Ordering};
use larder_core::{
    AsOf, Cursor, Epoch, Fence, Head, Invalidation, Lane, Origin, Position, Reason, SourceId, Timestamp,
};
use shuttle::thread;

use crate::explore::explore_times;
use crate::reads::join;
use crate::world::{Row, Slot, fence, user};

const SOURCE: SourceId = SourceId::new(3);
const EPOCH: Epoch = Epoch::new(9);

/// A copy of a [`Row`] that shows a version later than the row does. Its position is that version.
#[derive(Default)]
struct Replica {
    version: AtomicU64,
}

impl Replica {
    fn load(&self) -> (u64, AsOf) {
        // The point is read before the data, as a loader on a real copy must.
        let point = self.version.load(Ordering::SeqCst);
        (self.version.load(Ordering::SeqCst), as_of(point))
    }

    fn catch_up(&self, row: &Row) {
        self.version.store(row.load(), Ordering::SeqCst);
    }
}

fn as_of(point: u64) -> AsOf {
    AsOf::new(SOURCE, EPOCH, point)
}

fn origin() -> Origin {
    Origin::new("a", 1).unwrap()
}

struct World {
    fence: Fence,
    lane: Lane,
    row: Row,
    replica: Replica,
    slot: Slot,
}

fn world() -> Arc<World> {
    let fence = fence();
    let lane = fence.lane(SOURCE).unwrap();
    lane.set_origin(origin());
    lane.begin(&Head::new(
        Cursor::ordered(SOURCE, EPOCH, Position::new(1), 0),
        Vec::new(),
        as_of(0),
    ));
    Arc::new(World {
        fence,
        lane,
        row: Row::default(),
        replica: Replica::default(),
        slot: Slot::default(),
    })
}

impl World {
    /// A commit of this node, applied when it commits, before or after its bound is known.
    fn commit_here(&self, bound_is_known: bool) {
        let version = self.row.commit();
        let bound = bound_is_known.then(|| as_of(version));
        let position = Position::new(version);
        let own = self
            .lane
            .own_commit(EPOCH, position, bound, &Reason::default(), vec![user(1)]);
        own.publish();
        self.row.acknowledge(version);
    }

    /// The follower meets the commit at `version`.
    fn meet(&self, version: u64) {
        let row = Invalidation::new(user(1), Position::new(version), Timestamp::from_micros(0));
        self.lane.raise(&[row.with_origin(origin())], as_of(version));
    }

    fn load_from_replica(&self) {
        let mut pin = self.fence.pin(&[user(1)]).unwrap();
        let (version, as_of) = self.replica.load();
        if pin.as_of(as_of).is_ok() {
            self.slot.publish(version, pin);
        }
    }

    fn check(&self) {
        let least = self.row.least();
        if let Some(got) = self.slot.read() {
            assert!(
                got >= least,
                "read version {got}, but {least} was invalidated before"
            );
        }
    }
}

/// Contract: F14
#[test]
fn m6_loads_from_a_lagging_copy_are_never_older() {
    explore_times("m6_loads_from_a_lagging_copy_are_never_older", 2, || {
        let world = world();
        let loader = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.load_from_replica())
        };
        let replication = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.replica.catch_up(&world.row))
        };
        world.commit_here(true);
        world.check();
        world.commit_here(true);
        world.check();
        join([loader, replication]);
        world.check();
        world.replica.catch_up(&world.row);
        world.load_from_replica();
        assert_eq!(world.slot.read(), Some(2), "a copy that has caught up is refused");
    });
}

/// The bound of a commit is not known when it is applied: a copy is refused until the follower has met it.
///
/// Contract: F14, F15
#[test]
fn m6_holds_while_bounds_are_unknown() {
    explore_times("m6_holds_while_bounds_are_unknown", 2, || {
        let world = world();
        let loader = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.load_from_replica())
        };
        let follower = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                while world.row.least() < 1 {
                    thread::yield_now();
                }
                world.meet(1);
            })
        };
        world.commit_here(false);
        world.check();
        join([loader]);
        world.check();
        join([follower]);
        world.replica.catch_up(&world.row);
        world.load_from_replica();
        assert_eq!(
            world.slot.read(),
            Some(1),
            "refused although the bound has been settled"
        );
    });
}

/// A copy of the old history is measured against the bounds of the new one by nobody, also while the lane changes over.
///
/// Contract: F14, F21
#[test]
fn m6_holds_while_a_lane_changes_its_epoch() {
    explore_times("m6_holds_while_a_lane_changes_its_epoch", 2, || {
        const NEXT: Epoch = Epoch::new(10);
        let world = world();
        // The old history came far, and its last invalidations are what a copy of it must include.
        let row = Invalidation::new(user(1), Position::new(900), Timestamp::from_micros(0));
        world.lane.raise(&[row], as_of(900));
        let loader = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let mut pin = world.fence.pin(&[user(1)]).unwrap();
                // A copy that stands at 500 of the old history: it lacks what ended the row at 900.
                pin.as_of(as_of(500)).is_ok()
            })
        };
        let head = Cursor::ordered(SOURCE, NEXT, Position::new(4), 0);
        world
            .lane
            .begin(&Head::new(head, Vec::new(), AsOf::new(SOURCE, NEXT, 3)));
        assert!(
            !loader.join().unwrap(),
            "measured in one epoch against a bound of the other"
        );
    });
}
