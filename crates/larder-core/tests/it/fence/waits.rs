//! Waits: futures that end when a token is applied here, or can no longer be told here.

use std::sync::Arc;
use std::task::Poll;

use larder_core::{Applied, Position, Token};

use super::doubles::{Log, Woken, by_hand, catch_up, fence, live_lane, poll, user};
use super::progress::publish_own;

const MAIN: Log = Log::new(1, 1);
const OTHER: Log = Log::new(2, 1);
const NEXT: Log = Log::new(1, 2);

fn position(number: u64) -> Position {
    Position::new(number)
}

/// Contract: O63
#[test]
fn a_position_that_a_caught_up_round_did_not_see_is_unknown_to_who_waited_before_it() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    let woken = Arc::new(Woken::default());
    let earlier = lane.round();
    let mut waiting = fence.when_applied(MAIN.token(7));
    assert_eq!(poll(&mut waiting, &woken), Poll::Pending);
    lane.caught_up(earlier, MAIN.at(4));
    assert_eq!(
        poll(&mut waiting, &woken),
        Poll::Pending,
        "that round began before the wait"
    );
    let round = lane.round();
    lane.publish(&MAIN.cursor(8), &[]);
    lane.caught_up(round, MAIN.at(7));
    assert_eq!(poll(&mut waiting, &woken), Poll::Ready(Applied::Yes));

    // Forged, or of a commit that a crash has undone.
    let woken = Arc::new(Woken::default());
    let mut waiting = fence.when_applied(MAIN.token(8));
    assert_eq!(poll(&mut waiting, &woken), Poll::Pending);
    catch_up(&lane, MAIN, 8);
    assert_eq!(woken.count(), 1);
    assert_eq!(poll(&mut waiting, &woken), Poll::Ready(Applied::Unknown));
    assert_eq!(fence.stats().waiting, 0);
}

/// Contract: F22
#[test]
fn a_wait_is_woken_by_the_publication_and_by_nothing_else() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    let other = live_lane(&fence, OTHER, 5);
    let woken = Arc::new(Woken::default());
    let mut waiting = fence.when_applied(MAIN.token(7));
    assert_eq!(poll(&mut waiting, &woken), Poll::Pending);
    assert_eq!(fence.stats().waiting, 1);
    lane.publish(&MAIN.cursor(6), &[]);
    lane.publish(&MAIN.cursor(6), &[position(9)]);
    other.publish(&OTHER.cursor(100), &[]);
    publish_own(&lane, MAIN, 8, None);
    fence.invalidate(&user(7), by_hand());
    assert_eq!(woken.count(), 0, "other commits, other sources, rows");
    lane.publish(&MAIN.cursor(8), &[]);
    assert_eq!(woken.count(), 1);
    assert_eq!(poll(&mut waiting, &woken), Poll::Ready(Applied::Yes));
    assert_eq!(fence.stats().waiting, 0);
    lane.publish(&MAIN.cursor(20), &[]);
    assert_eq!(woken.count(), 1);
}

/// Contract: F22
#[test]
fn a_wait_for_what_is_applied_is_over_at_once() {
    let fence = fence();
    let _lane = live_lane(&fence, MAIN, 5);
    let woken = Arc::new(Woken::default());
    for token in [Token::default(), MAIN.token(4)] {
        assert_eq!(
            poll(&mut fence.when_applied(token), &woken),
            Poll::Ready(Applied::Yes)
        );
    }
    for token in [OTHER.token(4), Token::origin_only()] {
        assert_eq!(
            poll(&mut fence.when_applied(token), &woken),
            Poll::Ready(Applied::Unknown)
        );
    }
    assert_eq!(fence.stats().waiting, 0);
}

/// Contract: F22
#[test]
fn a_dropped_wait_is_removed() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    let woken = Arc::new(Woken::default());
    let mut first = fence.when_applied(MAIN.token(7));
    let mut second = fence.when_applied(MAIN.token(7));
    let unpolled = fence.when_applied(MAIN.token(7));
    assert_eq!(poll(&mut first, &woken), Poll::Pending);
    assert_eq!(poll(&mut second, &woken), Poll::Pending);
    assert_eq!(fence.stats().waiting, 2);
    drop((first, unpolled));
    assert_eq!(fence.stats().waiting, 1);
    lane.publish(&MAIN.cursor(8), &[]);
    assert_eq!(woken.count(), 1, "the one that is left");
    drop(second);
    assert_eq!(fence.stats().waiting, 0);
    assert_eq!(Arc::strong_count(&woken), 1, "no waker is kept");
}

/// Contract: F22
#[test]
fn the_waker_of_the_last_poll_is_woken() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    let (old, new) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let mut waiting = fence.when_applied(MAIN.token(7));
    assert_eq!(poll(&mut waiting, &old), Poll::Pending);
    assert_eq!(poll(&mut waiting, &new), Poll::Pending);
    assert_eq!(fence.stats().waiting, 1);
    lane.publish(&MAIN.cursor(8), &[]);
    assert_eq!((old.count(), new.count()), (0, 1));
}

/// A commit that is the last missing one ends the wait, whether it is the highest or not, and however it is published.
///
/// Contract: F22
#[test]
fn whichever_commit_comes_last_ends_the_wait() {
    type Publish = fn(&larder_core::Lane, u64);
    let own: Publish = |lane, at| publish_own(lane, MAIN, at, None);
    let single: Publish = |lane, at| lane.publish(&MAIN.cursor(5), &[Position::new(at)]);
    let cursor: Publish = |lane, at| lane.publish(&MAIN.cursor(at + 1), &[]);
    for (order, first, second) in [
        ("own 9, own 5", (own, 9), (own, 5)),
        ("own 9, single 5", (own, 9), (single, 5)),
        ("own 9, cursor 5", (own, 9), (cursor, 5)),
        ("single 9, own 5", (single, 9), (own, 5)),
        ("single 9, single 5", (single, 9), (single, 5)),
        ("single 9, cursor 5", (single, 9), (cursor, 5)),
        ("own 5, single 9", (own, 5), (single, 9)),
        ("own 5, cursor 9", (own, 5), (cursor, 9)),
        ("cursor 5, own 9", (cursor, 5), (own, 9)),
    ] {
        let fence = fence();
        let lane = live_lane(&fence, MAIN, 5);
        let woken = Arc::new(Woken::default());
        let mut waiting = fence.when_applied(MAIN.token(5).merge(&MAIN.token(9)));
        assert_eq!(poll(&mut waiting, &woken), Poll::Pending);
        first.0(&lane, first.1);
        assert_eq!(woken.count(), 0, "{order}: one is missing");
        second.0(&lane, second.1);
        assert_eq!(woken.count(), 1, "{order}: none is missing");
        assert_eq!(poll(&mut waiting, &woken), Poll::Ready(Applied::Yes), "{order}");
    }
}

/// Contract: F22
#[test]
fn a_wait_for_two_sources_ends_when_both_are_there_in_any_order() {
    for main_first in [true, false] {
        let fence = fence();
        let (main, other) = (live_lane(&fence, MAIN, 5), live_lane(&fence, OTHER, 5));
        let woken = Arc::new(Woken::default());
        let mut waiting = fence.when_applied(MAIN.token(7).merge(&OTHER.token(8)));
        assert_eq!(poll(&mut waiting, &woken), Poll::Pending);
        let publish: [&dyn Fn(); 2] = [&|| main.publish(&MAIN.cursor(8), &[]), &|| {
            other.publish(&OTHER.cursor(9), &[])
        }];
        let order = if main_first { [0, 1] } else { [1, 0] };
        publish[order[0]]();
        // A task polls when it is woken, and only then.
        if woken.count() > 0 {
            assert_eq!(poll(&mut waiting, &woken), Poll::Pending);
        }
        let before = woken.count();
        publish[order[1]]();
        assert_eq!(woken.count(), before + 1, "main first: {main_first}");
        assert_eq!(poll(&mut waiting, &woken), Poll::Ready(Applied::Yes));
        assert_eq!(fence.stats().waiting, 0);
    }
}

/// Contract: F22, O63
#[test]
fn a_wait_across_epochs_ends_with_the_flush() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    let woken = Arc::new(Woken::default());
    let mut waiting = fence.when_applied(MAIN.token(700));
    assert_eq!(poll(&mut waiting, &woken), Poll::Pending);
    lane.begin(&NEXT.head(2, &[MAIN.epoch]));
    if woken.count() > 0 {
        assert_eq!(poll(&mut waiting, &woken), Poll::Pending);
    }
    let before = woken.count();
    lane.flushed();
    assert_eq!(woken.count(), before + 1);
    assert_eq!(poll(&mut waiting, &woken), Poll::Ready(Applied::Yes));
}

/// Contract: F22
#[test]
fn regression_18_ten_thousand_waiters_on_one_commit_are_woken_once_each() {
    let fence = fence();
    let lane = live_lane(&fence, MAIN, 5);
    let woken = Arc::new(Woken::default());
    let token = MAIN.token(50);
    let mut waiting: Vec<_> = (0..10_000).map(|_| fence.when_applied(token.clone())).collect();
    assert!(waiting.iter_mut().all(|wait| poll(wait, &woken).is_pending()));
    assert_eq!(fence.stats().waiting, 10_000);
    for next in 6..50 {
        lane.publish(&MAIN.cursor(next), &[position(next + 100)]);
    }
    assert_eq!(woken.count(), 0, "other commits");
    lane.publish(&MAIN.cursor(51), &[]);
    assert_eq!(woken.count(), 10_000);
    assert!(
        waiting
            .iter_mut()
            .all(|wait| poll(wait, &woken) == Poll::Ready(Applied::Yes))
    );
    assert_eq!(fence.stats().waiting, 0);
}

/// A wait on two sources hears of either, whichever it is: also that one of them can no longer be told.
///
/// Contract: F22, O63
#[test]
fn a_wait_on_two_sources_hears_of_both() {
    let fence = fence();
    let (main, other) = (live_lane(&fence, MAIN, 5), live_lane(&fence, OTHER, 5));
    let both = MAIN.token(7).merge(&OTHER.token(8));
    let woken = Arc::new(Woken::default());
    let mut waiting = fence.when_applied(both.clone());
    assert_eq!(poll(&mut waiting, &woken), Poll::Pending);
    assert_eq!(fence.stats().waiting, 1);
    other.publish(&OTHER.cursor(9), &[]);
    assert_eq!(woken.count(), 0, "the other half is missing");
    main.publish(&MAIN.cursor(8), &[]);
    assert_eq!(woken.count(), 1);
    assert_eq!(poll(&mut waiting, &woken), Poll::Ready(Applied::Yes));

    let far = MAIN.token(50).merge(&OTHER.token(60));
    let woken = Arc::new(Woken::default());
    let mut waiting = fence.when_applied(far);
    assert_eq!(poll(&mut waiting, &woken), Poll::Pending);
    catch_up(&other, OTHER, 9);
    assert_eq!(
        woken.count(),
        1,
        "the second source says that waiting is of no use"
    );
    assert_eq!(poll(&mut waiting, &woken), Poll::Ready(Applied::Unknown));
    assert_eq!(fence.stats().waiting, 0);
}
