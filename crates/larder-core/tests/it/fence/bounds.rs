//! Commits whose bound is not known when they are applied, and commits of this node in general.

use larder_core::{Last, Position, Reason};
use larder_testkit::SimClock;

use super::copies::{MAIN, apply_own, is_accepted};
use super::doubles::{Log, fence, invalidate_others, live_lane, one_shard, row, tag, this_process, user};

/// Contract: F15
#[test]
fn an_unknown_bound_refuses_every_copy_until_it_is_settled() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 1);
    apply_own(&lane, MAIN, 5, vec![user(1), tag("red")]);
    for target in [user(1), tag("red")] {
        assert!(
            !is_accepted(&fence, MAIN, u64::MAX, &[target]),
            "no point is known to include it"
        );
    }
    assert!(is_accepted(&fence, MAIN, 0, &[user(2)]));
    lane.settle(Position::new(4), MAIN.at(9));
    assert!(
        !is_accepted(&fence, MAIN, u64::MAX, &[user(1)]),
        "another commit was settled"
    );
    lane.settle(Position::new(5), Log::new(1, 9).at(9));
    assert!(
        !is_accepted(&fence, MAIN, u64::MAX, &[user(1)]),
        "a bound of another epoch is none"
    );
    lane.settle(Position::new(5), MAIN.at(9));
    for target in [user(1), tag("red")] {
        assert!(!is_accepted(&fence, MAIN, 8, std::slice::from_ref(&target)));
        assert!(is_accepted(&fence, MAIN, 9, std::slice::from_ref(&target)));
        let Last::At(last) = fence.last(&target) else {
            panic!("it is in the ring")
        };
        assert_eq!(last.commit.unwrap().bound, Some(9));
    }
}

/// Contract: F15
#[test]
fn an_unknown_bound_that_left_the_ring_counts_until_the_next_caught_up_read() {
    let fence = one_shard(&SimClock::new());
    let lane = live_lane(&fence, MAIN, 1);
    apply_own(&lane, MAIN, 5, vec![user(1)]);
    let earlier = lane.round();
    apply_own(&lane, MAIN, 6, vec![user(2)]);
    invalidate_others(&fence, 1_024);
    assert!(
        !is_accepted(&fence, MAIN, u64::MAX, &[tag("red")]),
        "any target of the shard"
    );
    lane.publish(&MAIN.cursor(6), &[]);
    lane.caught_up(earlier, MAIN.at(7));
    assert!(
        !is_accepted(&fence, MAIN, u64::MAX, &[tag("red")]),
        "this read was asked for before the later of them was applied"
    );
    let round = lane.round();
    lane.publish(&MAIN.cursor(7), &[]);
    lane.caught_up(round, MAIN.at(8));
    assert!(
        !is_accepted(&fence, MAIN, 7, &[tag("red")]),
        "the bound of that read from then on"
    );
    assert!(is_accepted(&fence, MAIN, 8, &[tag("red")]));
}

/// Contract: F15, O59 (partial: the half of the fence, not the follower)
#[test]
fn an_own_commit_is_settled_and_not_applied_twice_when_its_rows_come() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 1);
    lane.set_origin(this_process());
    apply_own(&lane, MAIN, 5, vec![user(1)]);
    let entry = fence.pin(&[user(1)]).unwrap();
    lane.raise(&[row(&user(1), 5).with_origin(this_process())], MAIN.at(6));
    assert!(
        entry.is_fresh(),
        "filled after the commit, so it is not ended a second time"
    );
    assert!(!is_accepted(&fence, MAIN, 5, &[user(1)]));
    assert!(is_accepted(&fence, MAIN, 6, &[user(1)]));

    let by_another_run = larder_core::Origin::new("here", 2).unwrap();
    lane.raise(&[row(&user(1), 5).with_origin(by_another_run)], MAIN.at(6));
    assert!(!entry.is_fresh(), "only this process is spared");
    let entry = fence.pin(&[user(1)]).unwrap();
    lane.raise(&[row(&user(1), 5)], MAIN.at(6));
    assert!(
        !entry.is_fresh(),
        "a row without an origin may have been written by a trigger"
    );
}

/// Contract: O59 (partial: the half of the fence, not the follower)
#[test]
fn a_forgotten_own_commit_is_applied_again() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 1);
    lane.set_origin(this_process());
    lane.set_own_commits(2).unwrap();
    for position in 5..8 {
        apply_own(&lane, MAIN, position, vec![user(position)]);
    }
    for position in 5..8 {
        let entry = fence.pin(&[user(position)]).unwrap();
        lane.raise(
            &[row(&user(position), position).with_origin(this_process())],
            MAIN.at(9),
        );
        assert_eq!(
            entry.is_fresh(),
            position != 5,
            "the oldest of three was forgotten"
        );
    }
    lane.forget_unconfirmed();
    let entry = fence.pin(&[user(6)]).unwrap();
    lane.raise(&[row(&user(6), 6).with_origin(this_process())], MAIN.at(9));
    assert!(
        !entry.is_fresh(),
        "after a recovery of the server the position may be another commit's"
    );
}

/// The rows that come apply it again, and settle what was raised when it committed.
///
/// Contract: F15, O59 (partial: the half of the fence, not the follower)
#[test]
fn a_forgotten_own_commit_is_settled_by_its_rows() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 1);
    lane.set_origin(this_process());
    lane.set_own_commits(0).unwrap();
    apply_own(&lane, MAIN, 5, vec![user(1)]);
    lane.raise(&[row(&user(1), 5).with_origin(this_process())], MAIN.at(6));
    assert!(!is_accepted(&fence, MAIN, 5, &[user(1)]));
    assert!(
        is_accepted(&fence, MAIN, 6, &[user(1)]),
        "its bound has come with its rows"
    );
}

/// A commit that was made after the head was read, and before the lane took it up, is not within that head.
///
/// Contract: F14, F15
#[test]
fn a_commit_after_the_head_is_not_taken_for_one_within_it() {
    for known in [Some(20), None] {
        let fence = fence();
        let lane = live_lane(&fence, MAIN, 10);
        let head = MAIN.head(15, &[]);
        let reason = Reason::new("own");
        let bound = known.map(|point| MAIN.at(point));
        lane.own_commit(MAIN.epoch, Position::new(20), bound, &reason, vec![user(1)])
            .publish();
        // The follower starts again, or closes a gap, with the head that it read before.
        lane.begin(&head);
        lane.flushed();
        assert!(
            !is_accepted(&fence, MAIN, 14, &[user(1)]),
            "the copy lacks the commit at 20"
        );
        assert!(is_accepted(&fence, MAIN, 14, &[user(2)]));
        lane.settle(Position::new(20), MAIN.at(20));
        assert!(is_accepted(&fence, MAIN, 20, &[user(1)]));
        assert!(!is_accepted(&fence, MAIN, 19, &[user(1)]));
    }
}
