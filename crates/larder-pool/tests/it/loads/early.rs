//! Answers without a load: that there is no such entity, stale values, and loads ahead of the end.

use std::time::Duration;

use larder_pool::{EntryState, Event, FetchError, FetchOptions, Loaded, Origin, Reason, Target};

use super::hand::{Oops, Row, World, begun, by_hand, collection, ended, namespace, never, row, target, team};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Contract: P68 (partial: for how long)
#[test]
fn an_absence_is_remembered_for_as_long_as_it_is_asked_to() {
    let world = World::with(|pool| pool.negative_ttl(seconds(10)));
    let before = world.pool.sequence();
    let mut events = world.pool.events();
    assert_eq!(world.fetch(7, Loaded::none()), None);
    assert_eq!(world.fetch_without_load(7), None);
    let many = world.pool.get_or_fetch_many(&[7], |load| async move {
        Err::<Vec<Row>, _>(Oops(if load.ids.is_empty() { "" } else { "loaded" }))
    });
    assert_eq!(ended(Box::pin(many)).unwrap().ok().unwrap(), [None]);
    let stats = world.pool.stats();
    assert_eq!(
        (stats.negatives, stats.negative_answers, stats.entries),
        (1, 2, 0)
    );
    assert_eq!(
        (world.pool.len(), world.pool.sequence()),
        (0, before),
        "it is no entry"
    );
    assert!(events.try_recv().is_err());
    assert!(!world.pool.contains(&7));
    world.runtime.advance(seconds(10) - Duration::from_nanos(1));
    assert_eq!(world.fetch_without_load(7), None);
    world.runtime.advance(Duration::from_nanos(1));
    assert_eq!(world.fetch(7, row(7, 1)), Some(1));

    // A call may ask for it, too, and one that does not remembers nothing.
    let plain = World::new();
    let options = FetchOptions::new().negative_ttl(seconds(5));
    let none = plain
        .pool
        .get_or_fetch_with(&8, options, |_| async { Ok::<_, Oops>(Loaded::none()) });
    let fetched = ended(Box::pin(none)).unwrap();
    assert_eq!((fetched.value.is_none(), fetched.origin), (true, Origin::Loaded));
    plain.runtime.advance(seconds(2));
    let again = ended(Box::pin(plain.pool.get_or_fetch_with(
        &8,
        FetchOptions::new(),
        never,
    )))
    .unwrap();
    assert_eq!((again.value.is_none(), again.age), (true, seconds(2)));
}

/// What ends an absence of row 7, which was loaded with the tag of team 3.
type Ending = (&'static str, fn(&World));

const ENDINGS: [Ending; 11] = [
    ("an insert", |world| drop(world.pool.insert(row(7, 5)).unwrap())),
    ("an insert that has left again", |world| {
        world.pool.insert(row(7, 5)).unwrap();
        world.pool.remove(&7);
    }),
    ("an insert that has expired", |world| {
        world.pool.insert_with_ttl(row(7, 5), seconds(1)).unwrap();
        world.runtime.advance(seconds(1));
    }),
    ("an invalidation of the id", |world| world.invalidate(&target(7))),
    ("an invalidation by the pool", |world| {
        world.pool.invalidate(&7, Reason::Saved);
    }),
    ("an invalidation of its tag", |world| world.invalidate(&team(3))),
    ("an invalidation of the collection", |world| {
        world.invalidate(&collection("row"))
    }),
    ("an invalidation of the namespace", |world| {
        world.invalidate(&namespace("default"))
    }),
    ("a clear", |world| {
        world.pool.clear(Reason::Manual);
    }),
    ("a batch", |world| {
        world.pool.insert_many([row(6, 1), row(7, 5)]).unwrap();
    }),
    ("a batch that has expired", |world| {
        let batch = world.pool.batch().insert(row(6, 1));
        batch.insert_with_ttl(row(7, 5), seconds(1)).commit().unwrap();
        world.runtime.advance(seconds(1));
    }),
];

/// Contract: P68 (partial: without a second tier)
#[test]
fn regression_21_an_absence_does_not_outlive_what_is_written() {
    for (what, end) in ENDINGS {
        let world = World::with(|pool| pool.negative_ttl(seconds(1_000)));
        assert_eq!(world.fetch(7, Loaded::none().tag("team:3")), None);
        assert_eq!(world.fetch_without_load(7), None);
        // Nothing else ends it.
        world.pool.insert(row(8, 1)).unwrap();
        world.invalidate(&target(9));
        world.invalidate(&team(4));
        assert_eq!(world.fetch_without_load(7), None);
        end(&world);
        let resident = world.peek(7);
        assert_eq!(world.fetch(7, row(7, 9)), Some(resident.unwrap_or(9)), "{what}");

        // The same, while the source is asked.
        let world = World::with(|pool| pool.negative_ttl(seconds(1_000)));
        let (hand, load) = by_hand();
        let call = begun(world.pool.get_or_fetch(&7, load));
        end(&world);
        let resident = world.peek(7);
        hand.brings(Loaded::none().tag("team:3"));
        assert_eq!(ended(call).unwrap().map(|row| row.version), resident, "{what}");
        assert_eq!(world.pool.stats().negatives, 0, "{what}: it is not noted");
        assert_eq!(world.fetch(7, row(7, 9)), Some(resident.unwrap_or(9)), "{what}");
    }
}

/// Contract: P68 (partial: how many)
#[test]
fn as_many_absences_as_may_be_are_remembered() {
    let world = World::with(|pool| pool.negative_ttl(seconds(1_000)).negative_entries(3));
    for id in 1..=5 {
        assert_eq!(world.fetch(id, Loaded::none()), None);
        assert!(world.pool.stats().negatives <= 3);
    }
    for id in 3..=5 {
        assert_eq!(world.fetch_without_load(id), None);
    }
    assert_eq!(world.fetch(1, row(1, 1)), Some(1), "the oldest went first");
}

fn stale_world() -> World {
    let world = World::with(|pool| {
        pool.time_to_live(seconds(10))
            .stale_while_revalidate(seconds(20))
            .stale_on_error(seconds(40))
    });
    assert_eq!(world.fetch(7, Loaded::value(row(7, 1)).tag("team:3")), Some(1));
    world
}

/// Contract: P69
#[test]
fn only_what_has_expired_is_stale() {
    let ends: [Ending; 4] = [
        ("the id", |world| world.invalidate(&target(7))),
        ("a tag", |world| world.invalidate(&team(3))),
        ("the collection", |world| world.invalidate(&collection("row"))),
        ("everything", |world| world.invalidate(&Target::Everything)),
    ];
    for (what, end) in ends {
        for is_ended_first in [true, false] {
            let world = stale_world();
            if is_ended_first {
                end(&world);
            }
            world.runtime.advance(seconds(11));
            if !is_ended_first {
                end(&world);
            }
            assert_eq!(world.peek(7), None);
            let call = world.pool.get_or_fetch(&7, |load| async move {
                assert!(load.previous.is_none(), "it is nothing to renew");
                Err::<Row, _>(Oops("gone"))
            });
            let answer = ended(Box::pin(call));
            assert!(matches!(answer, Err(FetchError::Loader(_))), "{what}: {answer:?}");
        }
    }
    // What has been idle too long is gone, too.
    let world = World::with(|pool| pool.time_to_idle(seconds(5)).stale_on_error(seconds(60)));
    world.pool.insert(row(7, 1)).unwrap();
    world.runtime.advance(seconds(6));
    let call = world
        .pool
        .get_or_fetch(&7, |_| async { Err::<Row, _>(Oops("gone")) });
    assert!(ended(Box::pin(call)).is_err());
    // And reads that do not load serve nothing stale.
    let world = stale_world();
    world.runtime.advance(seconds(11));
    assert_eq!(
        (world.pool.get(&7), world.pool.peek(&7), world.pool.contains(&7)),
        (None, None, false)
    );
    assert_eq!(world.pool.get_many(&[7]), [None]);
}

/// Contract: P70 (partial: `stale_while_revalidate`)
#[test]
fn a_stale_value_is_served_while_one_load_renews_it() {
    let world = stale_world();
    world.runtime.advance(seconds(11));
    let (hand, load) = by_hand();
    let fetched = ended(Box::pin(world.pool.get_or_fetch_with(
        &7,
        FetchOptions::new(),
        load,
    )))
    .unwrap();
    assert_eq!((fetched.value.unwrap().version, fetched.stale), (1, true));
    for _ in 0..3 {
        let again = ended(Box::pin(world.pool.get_or_fetch(&7, never))).unwrap();
        assert_eq!(again.unwrap().version, 1, "at once, and the load is under way");
    }
    assert_eq!(hand.runs(), 1);
    let mut events = world.pool.events();
    hand.brings(row(7, 2));
    world.runtime.run();
    assert_eq!(world.peek(7), Some(2));
    let told: Vec<String> = std::iter::from_fn(|| events.try_recv().ok())
        .map(|event| match event {
            Event::Removed { reason, .. } => reason.as_str().to_owned(),
            Event::Inserted { value, .. } => format!("inserted {}", value.version),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, ["expired", "inserted 2"]);
    assert_eq!((world.pool.stats().stale_answers, world.runtime.tasks()), (4, 0));

    // Past the window the caller waits.
    world.runtime.advance(seconds(10 + 20));
    let (hand, load) = by_hand();
    let call = begun(world.pool.get_or_fetch(&7, load));
    hand.brings(row(7, 3));
    assert_eq!(ended(call).unwrap().unwrap().version, 3);
}

/// Contract: P70 (partial: what fails)
#[test]
fn a_stale_value_is_served_when_loading_fails_and_then_for_a_while() {
    let world = stale_world();
    world.runtime.advance(seconds(10 + 20));
    let fail = |world: &World| {
        let options = FetchOptions::new();
        let call = world
            .pool
            .get_or_fetch_with(&7, options, |_| async { Err::<Row, _>(Oops("gone")) });
        ended(Box::pin(call)).map(|fetched| (fetched.value.map(|row| row.version), fetched.stale))
    };
    assert_eq!(fail(&world).unwrap(), (Some(1), true));
    // It is not loaded again for a second.
    assert_eq!(world.fetch_without_load(7), Some(1));
    world.runtime.advance(seconds(1) - Duration::from_nanos(1));
    assert_eq!(world.fetch_without_load(7), Some(1));
    world.runtime.advance(Duration::from_nanos(1));
    assert_eq!(fail(&world).unwrap(), (Some(1), true));
    assert_eq!(
        world.pool.stats().loads.total(),
        3,
        "the first, and two that failed"
    );

    // A panic and a loader that takes too long are failures, too.
    world.runtime.advance(seconds(1));
    let panics = |_| -> std::future::Ready<Result<Row, Oops>> { panic!("at once") };
    let answer = ended(Box::pin(world.pool.get_or_fetch(&7, panics))).unwrap();
    assert_eq!(answer.unwrap().version, 1);
    world.runtime.advance(seconds(1));
    let (_hand, load) = by_hand();
    let call = begun(
        world
            .pool
            .get_or_fetch_with(&7, FetchOptions::new().timeout(seconds(1)), load),
    );
    world.runtime.advance(seconds(1));
    assert!(ended(call).unwrap().stale);

    // Past the window there is nothing to serve.
    world.runtime.advance(seconds(40));
    assert!(fail(&world).is_err());
    assert_eq!(world.fetch(7, row(7, 2)), Some(2));
    assert_eq!(world.fetch_without_load(7), Some(2), "the failure is forgotten");
}

/// Contract: P70 (partial: without a second tier), P33 (partial: stale entries), P35 (partial: stale entries)
#[test]
fn a_stale_entry_stays_to_the_end_of_its_window() {
    let world = stale_world();
    world.runtime.advance(seconds(49));
    for _ in 0..3 {
        world.pool.sweep(usize::MAX);
    }
    assert_eq!(world.pool.len(), 1, "40 s after its time to live");
    let state = world.pool.explain(&7).state;
    assert_eq!(state, EntryState::Stale);
    let options = FetchOptions::new();
    let call = world
        .pool
        .get_or_fetch_with(&7, options, |_| async { Err::<Row, _>(Oops("gone")) });
    assert!(ended(Box::pin(call)).unwrap().stale);
    world.runtime.advance(seconds(1) + Duration::from_millis(1));
    world.pool.sweep(usize::MAX);
    assert_eq!(world.pool.len(), 0);

    // Room is made by the policy, not by taking what may still be served.
    let world = World::with(|pool| {
        pool.capacity_entries(2)
            .time_to_live(seconds(10))
            .stale_on_error(seconds(60))
    });
    world.fetch(1, row(1, 1));
    world.runtime.advance(seconds(11));
    world.fetch(2, row(2, 1));
    assert_eq!(world.pool.len(), 2);
    world.fetch(3, row(3, 1));
    let removals = world.pool.stats().removals;
    assert_eq!(world.pool.len(), 2, "{removals:?}");
}

/// Contract: P71
#[test]
fn a_value_near_its_end_is_loaded_ahead() {
    let world = World::with(|pool| pool.time_to_live(seconds(100)).refresh_ahead(0.5));
    assert_eq!(world.fetch(7, row(7, 1)), Some(1));
    world.runtime.advance(seconds(49));
    assert_eq!(world.fetch_without_load(7), Some(1), "more than half is left");
    // By then it is within the half of every id.
    world.runtime.advance(seconds(30));
    let mut events = world.pool.events();
    let (hand, load) = by_hand();
    let fetched = ended(Box::pin(world.pool.get_or_fetch_with(
        &7,
        FetchOptions::new(),
        load,
    )))
    .unwrap();
    assert_eq!((fetched.value.unwrap().version, fetched.stale), (1, false));
    for _ in 0..3 {
        assert_eq!(world.fetch_without_load(7), Some(1), "one load");
    }
    hand.brings(row(7, 2));
    world.runtime.run();
    assert_eq!(world.peek(7), Some(2));
    let Ok(Event::Inserted { value, .. }) = events.try_recv() else {
        panic!("as an insert would")
    };
    assert_eq!(value.version, 2);
    assert!(events.try_recv().is_err());

    // A failure changes nothing, and is not tried again at every hit.
    world.runtime.advance(seconds(80));
    let call = world
        .pool
        .get_or_fetch(&7, |_| async { Err::<Row, _>(Oops("gone")) });
    assert_eq!(ended(Box::pin(call)).unwrap().unwrap().version, 2);
    world.runtime.run();
    assert_eq!(world.fetch_without_load(7), Some(2));
    assert_eq!(world.peek(7), Some(2));

    // A write that comes in between stays.
    world.runtime.advance(seconds(2));
    let (hand, load) = by_hand();
    assert!(
        ended(Box::pin(world.pool.get_or_fetch(&7, load)))
            .unwrap()
            .is_some()
    );
    world.pool.insert(row(7, 5)).unwrap();
    hand.brings(row(7, 3));
    world.runtime.run();
    assert_eq!(world.peek(7), Some(5));
}

/// Contract: P71 (partial: ids differ)
#[test]
fn what_was_stored_together_is_not_loaded_ahead_together() {
    let world = World::with(|pool| pool.time_to_live(seconds(100)).refresh_ahead(0.8));
    world.pool.insert_many((0..100).map(|id| row(id, 1))).unwrap();
    let mut begun_at = Vec::new();
    for second in 1..100 {
        world.runtime.advance(seconds(1));
        let before = world.pool.stats().loads.total();
        for id in 0..100 {
            let call = world.pool.get_or_fetch(&id, |_| async {
                Ok::<_, Oops>(Loaded::unchanged().do_not_store())
            });
            assert!(ended(Box::pin(call)).unwrap().is_some());
        }
        world.runtime.run();
        if world.pool.stats().loads.total() > before {
            begun_at.push(second);
        }
    }
    assert!(
        begun_at.first() >= Some(&20),
        "not before 80 s are left: {begun_at:?}"
    );
    assert!(begun_at.len() > 10);
    let first = begun_at[0];
    assert!((20..30).contains(&first), "{begun_at:?}");
}
