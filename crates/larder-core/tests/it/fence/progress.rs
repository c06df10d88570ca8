//! Lanes: what has been applied of each source, and which tokens that satisfies.

use larder_core::{Applied, Epoch, Fence, FenceError, LaneState, Position, Reason, Target, Token};

use super::doubles::{Log, by_hand, catch_up, fence, live_lane, user};

const MAIN: Log = Log::new(1, 1);
const OTHER: Log = Log::new(2, 1);
const NEXT: Log = Log::new(1, 2);

fn position(number: u64) -> Position {
    Position::new(number)
}

pub(super) fn publish_own(lane: &larder_core::Lane, log: Log, at: u64, bound: Option<u64>) {
    let bound = bound.map(|point| log.at(point));
    lane.own_commit(
        log.epoch,
        position(at),
        bound,
        &Reason::new("own"),
        vec![user(at)],
    )
    .publish();
}

/// Contract: F21
#[test]
fn a_source_has_one_lane_and_one_follower() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    let refused = fence.lane(MAIN.source).unwrap_err();
    assert_eq!(
        refused,
        FenceError::AlreadyFollowing {
            source_id: MAIN.source
        }
    );
    let other = fence.lane(OTHER.source).unwrap();
    assert_eq!((lane.source(), other.source()), (MAIN.source, OTHER.source));
    drop(lane);
    let again = fence.lane(MAIN.source).unwrap();
    assert_eq!(
        again.cursor(),
        Some(MAIN.cursor(5)),
        "what was applied stays applied"
    );
    assert_eq!(again.state(), LaneState::Starting);
}

/// Contract: F21
#[test]
fn the_cursor_only_grows_within_an_epoch() {
    let fence = fence();
    let lane = fence.lane(MAIN.source).unwrap();
    lane.publish(&MAIN.cursor(3), &[]);
    assert_eq!(lane.cursor(), None, "the lane has no epoch yet");
    lane.begin(&MAIN.head(5, &[]));
    lane.publish(&MAIN.cursor(5), &[]);
    lane.publish(&MAIN.cursor(3), &[]);
    assert_eq!(lane.cursor(), Some(MAIN.cursor(5)));
    lane.publish(&NEXT.cursor(9), &[]);
    assert_eq!(lane.cursor(), Some(MAIN.cursor(5)), "of another epoch");
    lane.publish(&OTHER.cursor(9), &[]);
    assert_eq!(lane.cursor(), Some(MAIN.cursor(5)), "of another source");
    // A snapshot that has more, but lacks one of those below 5, is not more.
    lane.publish(&MAIN.snapshot(2, 9, &[2]), &[]);
    assert_eq!(lane.cursor(), Some(MAIN.cursor(5)));
    lane.publish(&MAIN.snapshot(5, 9, &[5, 7]), &[]);
    assert_eq!(lane.cursor(), Some(MAIN.snapshot(5, 9, &[5, 7])));
    lane.begin(&NEXT.head(2, &[MAIN.epoch]));
    assert_eq!(lane.cursor(), None, "nothing of the new epoch is applied");
    lane.publish(&NEXT.cursor(2), &[]);
    assert_eq!(lane.cursor(), Some(NEXT.cursor(2)));
}

/// Contract: F21
#[test]
fn a_cursor_of_another_source_is_none_of_this_lane() {
    let fence = fence();
    let lane = fence.lane(MAIN.source).unwrap();
    lane.begin(&MAIN.head(5, &[]));
    lane.publish(&OTHER.cursor(9), &[]);
    assert_eq!(lane.cursor(), None, "the epochs have one number by chance");
    lane.publish(&MAIN.cursor(5), &[]);
    assert_eq!(fence.applied(&MAIN.token(4)), Applied::Yes);
}

/// Contract: F21
#[test]
fn the_cursors_of_all_lanes_are_given_for_a_pool_that_is_saved() {
    let fence = fence();
    assert_eq!(fence.cursors(), []);
    let main = live_lane(&fence, MAIN, 5);
    let _unbegun = fence.lane(Log::new(3, 1).source).unwrap();
    let _other = live_lane(&fence, OTHER, 7);
    assert_eq!(fence.cursors(), [MAIN.cursor(5), OTHER.cursor(7)]);
    main.publish(&MAIN.cursor(6), &[position(9)]);
    assert_eq!(
        fence.cursors(),
        [MAIN.cursor(6), OTHER.cursor(7)],
        "single positions are not in it"
    );
}

/// Contract: F22
#[test]
fn a_token_is_applied_once_cursor_singles_and_own_commits_cover_it() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    let other = live_lane(&fence, OTHER, 1);
    assert_eq!(fence.applied(&Token::default()), Applied::Yes);
    assert_eq!(fence.applied(&MAIN.token(4)), Applied::Yes);
    for unapplied in [5, 7, 9] {
        assert_eq!(fence.applied(&MAIN.token(unapplied)), Applied::No, "{unapplied}");
    }
    lane.publish(&MAIN.cursor(5), &[position(7)]);
    publish_own(&lane, MAIN, 9, None);
    assert_eq!(fence.applied(&MAIN.token(7)), Applied::Yes);
    assert_eq!(fence.applied(&MAIN.token(9)), Applied::Yes);
    assert_eq!(fence.applied(&MAIN.token(8)), Applied::No);
    let below = |end, except: &[u64]| {
        let except = except.iter().copied().map(position);
        fence.applied(&Token::below(MAIN.source, MAIN.epoch, position(end), except))
    };
    assert_eq!(below(5, &[]), Applied::Yes);
    assert_eq!(below(6, &[]), Applied::No);
    assert_eq!(below(8, &[5, 6]), Applied::Yes);
    assert_eq!(below(10, &[5, 6, 8]), Applied::Yes);
    assert_eq!(below(10, &[5, 6]), Applied::No);
    let both = MAIN.token(7).merge(&OTHER.token(1));
    assert_eq!(fence.applied(&both), Applied::No, "of one source only");
    other.publish(&OTHER.cursor(2), &[]);
    assert_eq!(fence.applied(&both), Applied::Yes);
}

/// Contract: F22
#[test]
fn a_commit_is_not_applied_before_it_is_published() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    let pin = fence.pin(&[user(5)]).unwrap();
    let own = lane.own_commit(MAIN.epoch, position(5), None, &Reason::new("own"), vec![user(5)]);
    assert!(!pin.is_fresh(), "raised first");
    assert_eq!(own.targets(), [user(5)]);
    assert_eq!(
        fence.applied(&MAIN.token(5)),
        Applied::No,
        "the sinks have not been called"
    );
    own.publish();
    assert_eq!(fence.applied(&MAIN.token(5)), Applied::Yes);
}

/// Contract: O59 (partial: what the fence remembers of own commits)
#[test]
fn an_own_commit_of_another_epoch_does_not_count() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    publish_own(&lane, NEXT, 5, None);
    assert_eq!(fence.applied(&MAIN.token(5)), Applied::No);
    publish_own(&lane, MAIN, 6, None);
    lane.forget_unconfirmed();
    assert_eq!(
        fence.applied(&MAIN.token(6)),
        Applied::No,
        "the server recovered: it may be another commit"
    );
}

/// Contract: O63
#[test]
fn what_cannot_be_told_here_is_unknown() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    assert_eq!(fence.applied(&OTHER.token(1)), Applied::Unknown, "another source");
    assert_eq!(
        fence.applied(&NEXT.token(1)),
        Applied::Unknown,
        "an epoch that nobody has heard of"
    );
    assert_eq!(fence.applied(&Token::origin_only()), Applied::Unknown);
    let both = MAIN.token(100).merge(&OTHER.token(1));
    assert_eq!(
        fence.applied(&both),
        Applied::Unknown,
        "waiting for the one would not help with the other"
    );
    catch_up(&lane, MAIN, 5);
    assert_eq!(
        fence.applied(&MAIN.token(100)),
        Applied::No,
        "who only asks has not waited for a round"
    );
}

/// Contract: O63
#[test]
fn a_token_of_a_former_epoch_is_satisfied_by_the_flush_for_the_new_one() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    lane.begin(&NEXT.head(2, &[MAIN.epoch]));
    assert_eq!(
        fence.applied(&MAIN.token(4)),
        Applied::No,
        "the flush is not done"
    );
    assert_eq!(fence.applied(&MAIN.token(100)), Applied::No);
    assert_eq!(
        fence.applied(&Log::new(1, 77).token(4)),
        Applied::Unknown,
        "an epoch that is not on the list"
    );
    lane.flushed();
    assert_eq!(fence.applied(&MAIN.token(4)), Applied::Yes);
    assert_eq!(fence.applied(&MAIN.token(100)), Applied::Yes);
    assert_eq!(fence.applied(&NEXT.token(2)), Applied::No);
}

/// Contract: O63
#[test]
fn a_token_of_a_former_epoch_is_satisfied_by_catching_up_from_a_carried_cursor() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    lane.begin(&NEXT.head(9, &[MAIN.epoch, Epoch::new(40)]));
    let round = lane.round();
    lane.publish(&NEXT.cursor(6), &[]);
    assert_eq!(fence.applied(&MAIN.token(4)), Applied::No, "rows are left");
    lane.publish(&NEXT.cursor(9), &[]);
    lane.caught_up(round, NEXT.at(8));
    assert_eq!(fence.applied(&MAIN.token(4)), Applied::Yes);
    assert_eq!(fence.applied(&Log::new(1, 40).token(4)), Applied::Yes);
}

/// Contract: O63
#[test]
fn positions_below_the_cursor_need_no_rows() {
    let fence = fence();
    let _lane = live_lane(&fence, MAIN, 1_000_000);
    assert_eq!(
        fence.applied(&MAIN.token(3)),
        Applied::Yes,
        "purged long ago, or rolled back"
    );
}

/// Contract: F22
#[test]
fn a_copy_reaches_a_token_only_where_that_is_certain() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    let reaches = |token: &Token, point| {
        assert_eq!(
            fence.reaches(token, MAIN.at(point)),
            lane.reaches(token, MAIN.at(point))
        );
        fence.reaches(token, MAIN.at(point))
    };
    assert!(reaches(&Token::default(), 0));
    assert!(reaches(&MAIN.token(4), 4), "caught up there");
    assert!(!reaches(&MAIN.token(4), 3), "the copy is behind what is known");
    assert!(!reaches(&MAIN.token(9), u64::MAX), "nobody knows where 9 is");
    publish_own(&lane, MAIN, 9, None);
    assert!(
        !reaches(&MAIN.token(9), u64::MAX),
        "applied here, but its bound is not known"
    );
    lane.settle(position(9), MAIN.at(12));
    assert!(!reaches(&MAIN.token(9), 11));
    assert!(reaches(&MAIN.token(9), 12));
    assert!(reaches(&MAIN.token(4).merge(&MAIN.token(9)), 12));
    assert!(
        !reaches(&MAIN.token(8).merge(&MAIN.token(9)), 12),
        "the greatest does not imply the others"
    );
    publish_own(&lane, MAIN, 20, Some(21));
    assert!(reaches(&MAIN.token(20), 21));
    assert!(!reaches(&MAIN.token(20), 20));
    catch_up(&lane, MAIN, 30);
    assert!(reaches(&MAIN.token(25), 29));
    assert!(!reaches(&MAIN.token(25), 28));
    assert!(!reaches(&Token::origin_only(), u64::MAX));
    assert!(!reaches(&OTHER.token(1), u64::MAX));
    assert!(
        !reaches(&MAIN.token(4).merge(&OTHER.token(1)), u64::MAX),
        "it is a copy of one source only"
    );
    assert!(!reaches(&NEXT.token(1), u64::MAX));
    assert!(!fence.reaches(&MAIN.token(4), NEXT.at(u64::MAX)));
    assert!(
        !fence.reaches(&MAIN.token(4), OTHER.at(u64::MAX)),
        "a source without a lane"
    );
    assert!(fence.reaches(&Token::default(), OTHER.at(0)));
}

/// Contract: F22, O61
#[test]
fn regression_8_unrelated_invalidations_do_not_satisfy_a_token() {
    let (here, there) = (fence(), fence());
    let (mine, behind) = (live_lane(&here, MAIN, 5), live_lane(&there, MAIN, 5));
    publish_own(&mine, MAIN, 6, None);
    let token = MAIN.token(6);
    assert_eq!(here.applied(&token), Applied::Yes);
    let other = live_lane(&there, OTHER, 1);
    other.publish(&OTHER.cursor(1_000), &[]);
    there.invalidate_many(&[user(6), Target::Everything], &by_hand());
    behind.publish(&MAIN.cursor(6), &[position(7), position(8)]);
    assert_eq!(there.applied(&token), Applied::No);
    behind.publish(&MAIN.cursor(7), &[]);
    assert_eq!(there.applied(&token), Applied::Yes);
}

/// Contract: F22, O60 (partial: the form only, `commit` is of the outbox), O61
#[test]
fn regression_9_a_higher_commit_does_not_imply_a_lower_one() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    let both = MAIN.token(6).merge(&MAIN.token(8));
    // 6 was still open when 8 was read.
    lane.publish(&MAIN.snapshot(6, 9, &[6]), &[]);
    assert_eq!(fence.applied(&MAIN.token(8)), Applied::Yes);
    assert_eq!(fence.applied(&MAIN.token(6)), Applied::No);
    assert_eq!(fence.applied(&both), Applied::No);
    lane.publish(&MAIN.snapshot(9, 9, &[]), &[]);
    assert_eq!(fence.applied(&both), Applied::Yes);
}

/// Contract: O14, O60 (partial: the form only, `commit` is of the outbox)
#[test]
fn the_token_of_a_head_is_what_was_visible_then() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 1);
    let head = larder_core::Head::new(MAIN.snapshot(4, 9, &[4, 7]), vec![], MAIN.at(8));
    let token = head.token();
    lane.publish(&MAIN.snapshot(4, 8, &[4, 6, 7]), &[]);
    assert_eq!(fence.applied(&token), Applied::No, "6 and 8 are missing");
    lane.publish(&MAIN.snapshot(4, 9, &[4, 7]), &[]);
    assert_eq!(fence.applied(&token), Applied::Yes, "4 and 7 were not visible");
}

/// Contract: O12 (partial: within one fence), O13 (partial: former epochs are kept by the source), O15 (partial: the type only)
#[test]
fn sources_and_epochs_are_never_compared() {
    let fence: Fence = fence();
    let _main = live_lane(&fence, MAIN, 5);
    let same_numbers = [Log::new(2, 1), Log::new(1, 2)];
    for log in same_numbers {
        assert_eq!(fence.applied(&log.token(3)), Applied::Unknown);
        assert!(!fence.reaches(&MAIN.token(3), log.at(1_000)));
        assert!(fence.pin(&[user(1)]).unwrap().as_of(log.at(1_000)).is_err());
        assert!(!log.cursor(9).includes_all(&MAIN.cursor(3)));
    }
}
