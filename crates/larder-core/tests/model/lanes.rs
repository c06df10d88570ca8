//! Progress, own commits, and waits: who sees a token as applied sees its invalidations.

use std::sync::Arc;

use larder_core::{
    Applied, AsOf, Cursor, Epoch, Fence, Head, Invalidation, Lane, Origin, Position, Reason, SourceId,
    Timestamp, Token,
};
use shuttle::future::block_on;
use shuttle::thread;

use crate::explore::explore;
use crate::reads::join;
use crate::world::{Row, Slot, fence, user};

const EPOCH: Epoch = Epoch::new(4);
const A: SourceId = SourceId::new(1);
const B: SourceId = SourceId::new(2);

fn as_of(source: SourceId, point: u64) -> AsOf {
    AsOf::new(source, EPOCH, point)
}

fn cursor(source: SourceId, next: u64) -> Cursor {
    Cursor::ordered(source, EPOCH, Position::new(next), 0)
}

fn lane(fence: &Fence, source: SourceId) -> Lane {
    let lane = fence.lane(source).unwrap();
    lane.set_origin(origin());
    lane.begin(&Head::new(cursor(source, 1), Vec::new(), as_of(source, 0)));
    lane.publish(&cursor(source, 1), &[]);
    lane
}

fn origin() -> Origin {
    Origin::new("a", 1).unwrap()
}

fn delivered(position: u64) -> Invalidation {
    Invalidation::new(user(1), Position::new(position), Timestamp::from_micros(0)).with_origin(origin())
}

fn token(source: SourceId, position: u64) -> Token {
    Token::commit(source, EPOCH, Position::new(position))
}

/// A loader that stores late, in all the worlds here.
fn load(fence: &Fence, row: &Row, slot: &Slot) {
    let pin = fence.pin(&[user(1)]).unwrap();
    let version = row.load();
    slot.publish(version, pin);
}

/// Whoever sees a commit of this node as applied reads nothing older than it.
///
/// Contract: F8, F22
#[test]
fn an_own_commit_is_applied_before_it_counts() {
    explore("an_own_commit_is_applied_before_it_counts", || {
        let fence = fence();
        let world = Arc::new((lane(&fence, A), Row::default(), Slot::default()));
        let loader = {
            let (fence, world) = (fence.clone(), Arc::clone(&world));
            thread::spawn(move || load(&fence, &world.1, &world.2))
        };
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let version = world.1.commit();
                let position = Position::new(version);
                world
                    .0
                    .own_commit(EPOCH, position, None, &Reason::default(), vec![user(1)])
                    .publish();
            })
        };
        for _ in 0..2 {
            if fence.applied(&token(A, 1)) == Applied::Yes {
                assert!(
                    world.2.read() != Some(0),
                    "the token is applied, the old version is read"
                );
            }
        }
        join([loader, writer]);
        assert_eq!(fence.applied(&token(A, 1)), Applied::Yes);
        assert!(
            world.2.read() != Some(0),
            "the token is applied, the old version is read"
        );
    });
}

/// One round of a follower: raise the fence for all rows, then publish the progress.
fn round(lane: &Lane, rows: &[Invalidation], next: u64) {
    let round = lane.round();
    lane.raise(rows, as_of(A, next - 1));
    lane.publish(&cursor(A, next), &[]);
    lane.caught_up(round, as_of(A, next - 1));
}

/// Whoever sees the follower's progress sees its invalidations.
///
/// Contract: F8, F21
#[test]
fn progress_is_published_after_the_raise() {
    explore("progress_is_published_after_the_raise", || {
        let fence = fence();
        let world = Arc::new((lane(&fence, A), Row::default(), Slot::default()));
        let loader = {
            let (fence, world) = (fence.clone(), Arc::clone(&world));
            thread::spawn(move || load(&fence, &world.1, &world.2))
        };
        let follower = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.1.commit();
                round(&world.0, &[delivered(1)], 2);
            })
        };
        for _ in 0..2 {
            if fence.applied(&token(A, 1)) == Applied::Yes {
                assert!(
                    world.2.read() != Some(0),
                    "the progress is seen, the old version is read"
                );
            }
        }
        join([loader, follower]);
        assert!(
            world.2.read() != Some(0),
            "the progress is seen, the old version is read"
        );
    });
}

/// The follower meets two commits of this process: one was applied when it committed, of the other the process
/// never heard whether it committed. Both are applied once the progress says so, and what was loaded after the
/// first is not ended a second time.
///
/// Contract: F15, O59 (partial: the fence's half)
#[test]
fn own_commits_are_skipped_only_if_they_were_applied() {
    explore("own_commits_are_skipped_only_if_they_were_applied", || {
        let fence = fence();
        let world = Arc::new((lane(&fence, A), Row::default(), Slot::default()));
        let first = Position::new(world.1.commit());
        world
            .0
            .own_commit(EPOCH, first, None, &Reason::default(), vec![user(1)])
            .publish();
        let after_first = fence.pin(&[user(1)]).unwrap();
        round(&world.0, &[delivered(1)], 2);
        assert!(
            after_first.is_fresh(),
            "an own commit has ended an entry a second time"
        );
        let loader = {
            let (fence, world) = (fence.clone(), Arc::clone(&world));
            thread::spawn(move || load(&fence, &world.1, &world.2))
        };
        world.1.commit();
        round(&world.0, &[delivered(2)], 3);
        join([loader]);
        assert!(
            world.2.read() != Some(1),
            "a commit of this process was taken for applied and was not"
        );
    });
}

/// A wait ends whatever the order of its registration and the publication that it waits for.
///
/// Contract: F22
#[test]
fn no_wake_up_is_lost() {
    explore("no_wake_up_is_lost", || {
        let fence = fence();
        let lanes = (lane(&fence, A), lane(&fence, B));
        let both = token(A, 1).merge(&token(B, 1));
        let waiters = [token(A, 1), both].map(|token| {
            let fence = fence.clone();
            thread::spawn(move || {
                let applied = block_on(fence.when_applied(token));
                assert_eq!(applied, Applied::Yes);
            })
        });
        let other = {
            let fence = fence.clone();
            // Polled once or never, and dropped while progress is published.
            thread::spawn(move || drop(fence.when_applied(token(B, 1))))
        };
        lanes.0.publish(&cursor(A, 2), &[]);
        lanes.1.publish(&cursor(B, 1), &[Position::new(1)]);
        join(waiters);
        join([other]);
        assert_eq!(fence.stats().waiting, 0, "waits are left over");
    });
}
