//! Events: their kinds, their order, their visibility, and what becomes of readers who lag.

use std::fmt::Debug;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures_core::Stream;
use larder_pool::{Entity, Event, OnConflict, Pool, Reason, RecvError, TryRecvError};
use larder_testkit::poll_once;

use crate::bounds::ground::{Row, Told, World, row};

/// Compiles for every entity, whatever it can do.
fn cloned<T: Entity>(event: &Event<T>) -> Event<T> {
    event.clone()
}

/// Compiles for every entity whose ids can be shown.
fn shown<T: Entity<Id: Debug>>(event: &Event<T>) -> String {
    format!("{event:?}")
}

/// Contract: P117
#[test]
fn an_event_tells_what_changed_and_when_and_asks_nothing_of_the_value() {
    let mut world = World::with(|builder| builder.on_conflict(OnConflict::Update));
    let old = world.pool.insert(row(7, 1)).unwrap();
    let new = world.pool.insert(row(7, 2)).unwrap();
    world.pool.invalidate(&7, Reason::Saved);
    world.pool.insert_many([row(8, 0), row(9, 0)]).unwrap();
    world.pool.clear(Reason::Deleted);
    let mut told = Vec::new();
    while let Ok(event) = world.events.try_recv() {
        let same = cloned(&event);
        match (&event, &same) {
            (Event::Inserted { value: one, .. }, Event::Inserted { value: other, .. }) => {
                assert!(Arc::ptr_eq(one, other));
            }
            (
                Event::Updated {
                    old: was, new: is, ..
                },
                Event::Updated { new: same_is, .. },
            ) => {
                assert!(Arc::ptr_eq(was, &old) && Arc::ptr_eq(is, &new) && Arc::ptr_eq(is, same_is));
            }
            _ => {}
        }
        assert_eq!(shown(&event), shown(&same));
        told.push((Told::of(&same), same.sequence(), shown(&event)));
    }
    let expected = [
        (Told::Inserted(7, 1), 1, "Inserted { id: 7, sequence: 1 }"),
        (Told::Updated(7, 1, 2), 2, "Updated { id: 7, sequence: 2 }"),
        (
            Told::Removed(7, "saved"),
            3,
            "Removed { id: 7, reason: Saved, sequence: 3 }",
        ),
        (Told::Inserted(8, 0), 4, "Inserted { id: 8, sequence: 4 }"),
        (Told::Inserted(9, 0), 4, "Inserted { id: 9, sequence: 4 }"),
        (
            Told::Cleared(2, "deleted"),
            5,
            "Cleared { count: 2, reason: Deleted, sequence: 5 }",
        ),
    ];
    let expected = expected.map(|(told, sequence, text)| (told, sequence, text.to_owned()));
    assert_eq!(told, expected);
}

/// Contract: P118 (partial: where a reader begins)
#[test]
fn a_reader_begins_with_the_next_commit_and_readers_do_not_share() {
    let mut world = World::with(|builder| builder);
    world.insert(1);
    let mut later = world.pool.events();
    assert_eq!(later.try_recv().unwrap_err(), TryRecvError::Empty);
    world.insert(2);
    drop(world.pool.clone().events());
    let mut latest = world.pool.events();
    world.insert(3);
    assert_eq!(Told::of(&later.try_recv().unwrap()), Told::Inserted(2, 0));
    assert_eq!(Told::of(&latest.try_recv().unwrap()), Told::Inserted(3, 0));
    assert_eq!(Told::of(&later.try_recv().unwrap()), Told::Inserted(3, 0));
    let all = [1, 2, 3].map(|id| Told::Inserted(id, 0));
    assert_eq!(world.told(), all);
}

/// Batches of more than is kept, a clear behind one's back, and another reader in between.
///
/// Contract: P118 (partial: lag)
#[test]
fn a_reader_who_lags_is_told_by_how_much_and_goes_on_with_the_oldest_kept() {
    let mut world = World::with(|builder| builder.event_capacity(4));
    let mut other = world.pool.events();
    (0..4).for_each(|id| world.insert(id));
    assert_eq!(
        Told::of(&world.events.try_recv().unwrap()),
        Told::Inserted(0, 0),
        "all are kept"
    );
    (4..11).for_each(|id| world.insert(id));
    assert_eq!(world.events.try_recv().unwrap_err(), TryRecvError::Lagged(6));
    assert_eq!(world.told(), [7, 8, 9, 10].map(|id| Told::Inserted(id, 0)));
    assert_eq!(
        world.events.try_recv().unwrap_err(),
        TryRecvError::Empty,
        "told once"
    );
    assert_eq!(
        other.try_recv().unwrap_err(),
        TryRecvError::Lagged(7),
        "its own count"
    );

    world.pool.insert_many((20..26).map(|id| row(id, 0))).unwrap();
    assert_eq!(world.events.try_recv().unwrap_err(), TryRecvError::Lagged(2));
    assert_eq!(Told::of(&world.events.try_recv().unwrap()), Told::Inserted(22, 0));
    world.pool.clear(Reason::Manual);
    (30..33).for_each(|id| world.insert(id));
    assert_eq!(world.events.try_recv().unwrap_err(), TryRecvError::Lagged(3));
    assert_eq!(
        world.told(),
        [
            Told::Cleared(17, "manual"),
            Told::Inserted(30, 0),
            Told::Inserted(31, 0),
            Told::Inserted(32, 0)
        ]
    );
    assert_eq!(world.pool.stats().lagged_events, 6 + 7 + 2 + 3);
    drop(world.events);
    assert_eq!(other.try_recv().unwrap_err(), TryRecvError::Lagged(10));
    assert_eq!(Told::of(&other.try_recv().unwrap()), Told::Cleared(17, "manual"));
}

/// Contract: P118 (partial: what is kept)
#[test]
fn nothing_is_kept_for_nobody_nor_beyond_what_is_to_be_read() {
    let World { pool, events, .. } = World::with(|builder| builder);
    drop(events);
    let gone = Arc::downgrade(&pool.insert(row(1, 0)).unwrap());
    pool.remove(&1);
    assert!(gone.upgrade().is_none(), "nobody reads");
    let mut reader = pool.events();
    assert_eq!(
        reader.try_recv().unwrap_err(),
        TryRecvError::Empty,
        "what was before is not kept"
    );
    let value = Arc::downgrade(&pool.insert(row(2, 0)).unwrap());
    pool.remove(&2);
    assert!(value.upgrade().is_some(), "it is to be read");
    drop(reader.try_recv().unwrap());
    assert!(value.upgrade().is_none(), "it was read by everyone");
    let value = Arc::downgrade(&pool.insert(row(3, 0)).unwrap());
    pool.insert(row(3, 1)).unwrap();
    drop(reader);
    assert!(value.upgrade().is_none(), "nobody reads any more");

    // An insert that replaces keeps its old value alive for nobody.
    let mut reader = pool.events();
    pool.insert(row(4, 0)).unwrap();
    drop(reader.try_recv());
    let old = Arc::downgrade(&pool.peek(&4).unwrap());
    pool.insert(row(4, 1)).unwrap();
    assert!(old.upgrade().is_none());
    assert_eq!(Told::of(&reader.try_recv().unwrap()), Told::Inserted(4, 1));
}

/// Looks into the pool at the moment at which it is woken.
struct Looks {
    pool: Pool<Row>,
    seen: Mutex<Vec<(u64, Option<u64>, usize)>>,
}

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        let version = self.pool.get(&7).map(|row| row.version);
        let seen = (self.pool.sequence(), version, self.pool.len());
        self.seen.lock().unwrap().push(seen);
    }
}

/// Contract: P118
#[test]
fn who_is_woken_for_an_event_finds_its_state() {
    let World { pool, mut events, .. } = World::with(|builder| builder);
    let looks = Arc::new(Looks {
        pool: pool.clone(),
        seen: Mutex::default(),
    });
    let waker = Waker::from(Arc::clone(&looks));
    let mut context = Context::from_waker(&waker);
    let mut step = |write: &dyn Fn(), expected: (u64, Option<u64>, usize)| {
        // A future that is dropped while it waits takes nothing with it.
        assert!(poll_once(pin!(events.recv())).is_pending());
        let mut waiting = Box::pin(events.recv());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        write();
        assert_eq!(
            *looks.seen.lock().unwrap(),
            [expected],
            "woken once, and not too early"
        );
        looks.seen.lock().unwrap().clear();
        let Poll::Ready(Ok(event)) = waiting.as_mut().poll(&mut context) else {
            panic!("woken for nothing")
        };
        assert_eq!(event.sequence(), expected.0);
        drop(waiting);
        while events.try_recv().is_ok() {}
    };
    step(&|| drop(pool.insert(row(7, 1)).unwrap()), (1, Some(1), 1));
    step(&|| drop(pool.update(&7, |_| row(7, 2)).unwrap()), (2, Some(2), 1));
    step(&|| assert!(pool.invalidate(&7, Reason::Deleted)), (3, None, 0));
    step(
        &|| assert_eq!(pool.insert_many([row(6, 0), row(7, 4)]).unwrap().inserted, 2),
        (4, Some(4), 2),
    );
    step(&|| assert_eq!(pool.retain(|row| row.id != 7), 1), (5, None, 1));
    step(&|| assert_eq!(pool.clear(Reason::Manual), 1), (6, None, 0));
}

/// Contract: P118 (partial: the end)
#[test]
fn a_reader_gets_what_is_left_of_a_pool_that_is_gone() {
    let World { pool, mut events, .. } = World::with(|builder| builder);
    pool.insert(row(1, 0)).unwrap();
    pool.insert(row(2, 0)).unwrap();
    let mut other = pool.events();
    drop(pool);
    assert_eq!(Told::of(&events.try_recv().unwrap()), Told::Inserted(1, 0));
    let Poll::Ready(Ok(event)) = poll_once(pin!(events.recv())) else {
        panic!("it does not wait")
    };
    assert_eq!(Told::of(&event), Told::Inserted(2, 0));
    assert_eq!(events.try_recv().unwrap_err(), TryRecvError::Closed);
    let Poll::Ready(closed) = poll_once(pin!(events.recv())) else {
        panic!("it does not wait")
    };
    assert_eq!(closed.unwrap_err(), RecvError::Closed);
    let mut context = Context::from_waker(Waker::noop());
    let ended = Pin::new(&mut other).poll_next(&mut context);
    assert!(matches!(ended, Poll::Ready(None)), "a stream ends");
}

/// Contract: P118 (partial: as a stream)
#[test]
fn events_are_a_stream_that_tells_of_lag_and_goes_on() {
    let World { pool, mut events, .. } = World::with(|builder| builder.event_capacity(1));
    let mut context = Context::from_waker(Waker::noop());
    let mut next = || Pin::new(&mut events).poll_next(&mut context);
    assert!(next().is_pending());
    pool.insert(row(1, 0)).unwrap();
    pool.insert(row(2, 0)).unwrap();
    let Poll::Ready(Some(Err(lagged))) = next() else {
        panic!("it lags")
    };
    assert_eq!(lagged, RecvError::Lagged(1));
    let Poll::Ready(Some(Ok(event))) = next() else {
        panic!("it goes on")
    };
    assert_eq!(Told::of(&event), Told::Inserted(2, 0));
    assert!(next().is_pending());
}
