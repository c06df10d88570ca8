//! Ways in which the fence could be used against itself, each tried once from outside and held since.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use larder_core::limits::DROP_HOOKS_MAX;
use larder_core::{
    Applied, AsOf, Certainty, Fence, FenceError, Head, Journal, LaneState, Last, Moment, Position, Raised,
    Reason, Stamp, TargetHash,
};

use super::doubles::{Log, Woken, fence, invalidate_others, live_lane, poll, row, this_process, user};

const MAIN: Log = Log::new(1, 1);
const NEXT: Log = Log::new(1, 2);

/// A server recovers between the commit of this node and its publication: the commit may not exist any more, and its
/// position may come again for another.
///
/// Contract: F8, O59 (partial: the fence's half)
#[test]
fn an_own_commit_does_not_outlive_what_was_forgotten() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    lane.set_origin(this_process());
    let own = lane.own_commit(
        MAIN.epoch,
        Position::new(60),
        None,
        &Reason::default(),
        vec![user(1)],
    );
    lane.forget_unconfirmed();
    own.publish();
    assert_eq!(fence.applied(&MAIN.token(60)), Applied::No);
    let pin = fence.pin(&[user(1)]).unwrap();
    lane.raise(&[row(&user(1), 60).with_origin(this_process())], MAIN.at(60));
    assert!(!pin.is_fresh(), "a row at a position that came again was skipped");
}

/// A row of an own commit whose target was not raised when it committed: a wider one for an unreadable row, or one that
/// the process did not know of.
///
/// Contract: F5, O59 (partial: the fence's half)
#[test]
fn a_row_is_skipped_only_if_its_own_target_was_raised() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    lane.set_origin(this_process());
    lane.own_commit(
        MAIN.epoch,
        Position::new(5),
        None,
        &Reason::default(),
        vec![user(1)],
    )
    .publish();
    let pins = [1, 2].map(|id| fence.pin(&[user(id)]).unwrap());
    let rows = [1, 2].map(|id| row(&user(id), 5).with_origin(this_process()));
    lane.raise(&rows, MAIN.at(5));
    assert!(pins[0].is_fresh(), "ended a second time");
    assert!(!pins[1].is_fresh(), "never ended");
    // The second part of the same commit, after the first has settled its bound.
    let pin = fence.pin(&[user(1)]).unwrap();
    lane.raise(&rows[..1], MAIN.at(5));
    assert!(pin.is_fresh(), "ended a second time");
}

/// What was believed of one epoch says nothing of the next.
///
/// Contract: F23, F21
#[test]
fn a_lease_ends_when_another_head_is_taken_up() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    lane.lease(Moment::MAX);
    assert_eq!(
        (lane.state(), fence.certainty()),
        (LaneState::Live, Certainty::Sure)
    );
    lane.begin(&NEXT.head(9, &[MAIN.epoch]));
    assert_ne!(lane.state(), LaneState::Live);
    assert_ne!(fence.certainty(), Certainty::Sure);
    lane.set_state(LaneState::Gap);
    lane.set_state(LaneState::Live);
    assert_ne!(
        fence.certainty(),
        Certainty::Sure,
        "the lease of the earlier epoch counts again"
    );
}

/// A head whose point is of another epoch can vouch for no copy.
///
/// Contract: F14
#[test]
fn a_head_with_a_foreign_point_refuses_every_copy() {
    let fence = fence();
    let lane = fence.lane(MAIN.source).unwrap();
    lane.begin(&Head::new(NEXT.cursor(10), vec![MAIN.epoch], MAIN.at(0)));
    for log in [MAIN, NEXT] {
        let mut pin = fence.pin(&[user(1)]).unwrap();
        assert!(pin.as_of(AsOf::new(log.source, log.epoch, 1 << 40)).is_err());
    }
    lane.begin(&NEXT.head(10, &[MAIN.epoch]));
    assert!(
        fence.pin(&[user(1)]).unwrap().as_of(NEXT.at(10)).is_err(),
        "an unknown base is forgotten too soon"
    );
}

/// Commits of this node count also before the first round of the follower.
///
/// Contract: F22
#[test]
fn own_commits_count_before_the_first_round() {
    let fence = fence();
    let lane = fence.lane(MAIN.source).unwrap();
    lane.begin(&MAIN.head(5, &[]));
    lane.own_commit(
        MAIN.epoch,
        Position::new(7),
        None,
        &Reason::default(),
        vec![user(1)],
    )
    .publish();
    assert_eq!(fence.applied(&MAIN.token(7)), Applied::Yes);
    assert_eq!(fence.applied(&MAIN.token(8)), Applied::No);
}

/// A waker that panics keeps no other waiter asleep.
///
/// Contract: F22, F24
#[test]
fn a_waker_that_panics_keeps_nobody_asleep() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            std::panic::resume_unwind(Box::new("a waker"));
        }
    }
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    let woken = Arc::new(Woken::default());
    let mut waits: Vec<_> = (0..8).map(|_| fence.when_applied(MAIN.token(7))).collect();
    for (number, wait) in waits.iter_mut().enumerate() {
        let polled = if number == 0 {
            std::pin::Pin::new(wait).poll(&mut Context::from_waker(&Waker::from(Arc::new(Panics))))
        } else {
            poll(wait, &woken)
        };
        assert_eq!(polled, Poll::Pending);
    }
    let published = catch_unwind(AssertUnwindSafe(|| lane.publish(&MAIN.cursor(8), &[])));
    assert!(published.is_err(), "the panic goes on to the caller");
    assert_eq!(woken.count(), 7, "others are satisfied and asleep");
}

/// A journal that panics when it is attached is not attached.
///
/// Contract: F19, F24
#[test]
fn a_journal_that_panics_while_it_is_attached_is_taken_off() {
    struct Panics;
    impl Journal for Panics {
        fn raised(&self, _: &[Raised]) {
            std::panic::resume_unwind(Box::new("a journal"));
        }
        fn last(&self, _: TargetHash) -> Option<Stamp> {
            None
        }
        fn complete_to(&self) -> Stamp {
            Stamp::ZERO
        }
        fn floor(&self) -> Stamp {
            Stamp::ZERO
        }
    }
    let fence = fence();
    let attached = catch_unwind(AssertUnwindSafe(|| fence.journal(Arc::new(Panics))));
    assert!(attached.is_err());
    fence.invalidate(&user(1), super::doubles::by_hand());
}

/// A pin that is dead for good is not revived by its stamp.
///
/// Contract: F10, F12
#[test]
fn a_dead_pin_is_not_resumed() {
    let fence = fence();
    let mut pin = fence.pin(&[user(1)]).unwrap();
    pin.never_cache();
    assert_eq!(pin.started(), Stamp::ZERO);
    assert!(fence.resume(fence.run(), pin.started(), &[user(1)]).is_none());
}

/// Rounds and causes of one fence say nothing on another.
///
/// Contract: F25, F15
#[test]
fn what_belongs_to_one_fence_is_not_believed_by_another() {
    let narrow = || Fence::builder().shards(1).recent_count(1_024).build().unwrap();
    let (one, two) = (narrow(), narrow());
    let (of_one, of_two) = (live_lane(&one, Log::new(8, 1), 5), live_lane(&two, MAIN, 5));
    two.invalidate(
        &user(1),
        of_one.cause(Position::new(9), None, Reason::new("foreign")),
    );
    let Last::At(last) = two.last(&user(1)) else {
        panic!("it was invalidated")
    };
    assert_eq!(
        last.commit, None,
        "attributed to a lane that has nothing to do with it"
    );
    assert!(
        accepts_copy(&two, MAIN.at(5)),
        "refused for a commit that is not of this fence"
    );

    // A commit leaves the ring while its bound is unknown: copies are refused until the lane's own next round.
    of_two
        .own_commit(
            MAIN.epoch,
            Position::new(6),
            None,
            &Reason::default(),
            vec![user(2)],
        )
        .publish();
    invalidate_others(&two, 1_024);
    invalidate_others(&one, 5_000);
    assert!(!accepts_copy(&two, MAIN.at(100)));
    of_two.publish(&MAIN.cursor(6), &[]);
    of_two.caught_up(of_one.round(), MAIN.at(5));
    assert!(
        !accepts_copy(&two, MAIN.at(100)),
        "the round of another fence vouched for it"
    );
    of_two.caught_up(of_two.round(), MAIN.at(50));
    assert!(accepts_copy(&two, MAIN.at(100)));
}

fn accepts_copy(fence: &Fence, as_of: AsOf) -> bool {
    let mut pin = fence.pin(&[user(1)]).unwrap();
    pin.as_of(as_of).is_ok() && pin.is_fresh()
}

/// Drop hooks are bounded, like sinks.
///
/// Contract: F20
#[test]
fn drop_hooks_are_bounded() {
    let fence = fence();
    let hook = || fence.drop_hook(Arc::new(super::doubles::Heard::default()));
    let hooks: Vec<_> = (0..DROP_HOOKS_MAX).map(|_| hook().unwrap()).collect();
    let refused = hook().map(drop);
    assert_eq!(refused, Err(FenceError::TooManyDropHooks { max: DROP_HOOKS_MAX }));
    drop(hooks);
    assert!(hook().is_ok(), "room is not given back");
}

/// Whoever mends one option is told of the others.
///
/// Contract: F28
#[test]
fn every_wrong_option_stands_in_the_message() {
    let message = Fence::builder()
        .shards(3)
        .recent_count(1)
        .build()
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("shards is 3") && message.contains("recent_count is 1"),
        "{message}"
    );
}
