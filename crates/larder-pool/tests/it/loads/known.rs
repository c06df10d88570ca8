//! What is known of an id, and what is reported of calls.

use std::time::Duration;

use larder_pool::{EntryState, FetchOutcome, Loaded, Origin, Pool, PoolMetrics};

use super::hand::{Oops, Row, World, begun, by_hand, ended, row, target, team, waits};
use super::source::Source;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Contract: P51
#[test]
fn what_is_known_of_an_id_is_explained() {
    let world = World::with(|pool| {
        pool.time_to_live(seconds(10))
            .stale_on_error(seconds(10))
            .negative_ttl(seconds(60))
    });
    let source = Source::followed(&world.fence, 10);
    let state = |id: u64| world.pool.explain(&id).state;
    assert_eq!(state(7), EntryState::Absent);
    let (hand, load) = by_hand();
    let mut call = begun(world.pool.get_or_fetch(&7, load));
    assert_eq!(state(7), EntryState::Loading);
    let bring = Loaded::value(Row { team: 3, ..row(7, 1) })
        .tag("front")
        .depends_on(target(99))
        .as_of(super::source::at(20));
    hand.brings(bring);
    assert!(!waits(&mut call));
    world.runtime.advance(seconds(4));
    let explanation = world.pool.explain(&7);
    let resident = explanation.resident.unwrap();
    assert_eq!(
        (explanation.state, resident.origin, resident.age),
        (EntryState::Live, Origin::Loaded, seconds(4))
    );
    assert_eq!(
        (resident.time_left, resident.as_of),
        (Some(seconds(6)), Some(super::source::at(20)))
    );
    let tags: Vec<String> = resident.tags.iter().map(ToString::to_string).collect();
    assert!(
        tags.iter().any(|tag| tag.contains("team:3")) && tags.iter().any(|tag| tag.contains("front")),
        "{tags:?}"
    );
    assert!(resident.weight_bytes > 0 && resident.sequence == world.pool.sequence());
    assert_eq!(explanation.deciding, None);
    source.commit(11, &[team(3)]);
    world.invalidate(&target(99));
    world.fetch(8, row(8, 1));
    assert_eq!(
        (state(7), state(8)),
        (EntryState::Absent, EntryState::Live),
        "the sink has removed it"
    );

    world.fetch(7, Loaded::value(row(7, 2)).depends_on(target(98)));
    world.invalidate(&target(98));
    let explanation = world.pool.explain(&7);
    assert_eq!(explanation.state, EntryState::Fenced);
    let deciding = &explanation.targets[explanation.deciding.unwrap()];
    assert_eq!(deciding.target, target(98));

    world.runtime.advance(seconds(11));
    assert_eq!(state(8), EntryState::Stale);
    world.runtime.advance(seconds(10));
    assert_eq!(state(8), EntryState::Expired);
    world.fetch(9, Loaded::none());
    assert_eq!(state(9), EntryState::Negative);
    assert_eq!(
        world.pool.stats().hits + world.pool.stats().loads.total(),
        4,
        "none of it counts as a use"
    );

    let sample = world.pool.sample(10);
    assert!(!sample.is_empty() && sample.iter().all(|explanation| explanation.resident.is_some()));
    let empty: Pool<Row> = Pool::builder().build().unwrap();
    assert!(empty.sample(10).is_empty());
}

/// Contract: P120 (partial: calls that load)
#[test]
fn a_call_that_is_not_answered_at_once_is_reported_however_it_ends() {
    #[derive(Default)]
    struct Heard(std::sync::Mutex<Vec<FetchOutcome>>);
    impl PoolMetrics for Heard {
        fn fetched(&self, name: &str, _: Duration, outcome: FetchOutcome) {
            assert_eq!(name, "row");
            self.0.lock().unwrap().push(outcome);
        }
    }
    let heard = std::sync::Arc::new(Heard::default());
    let world = World::with(|pool| {
        pool.metrics(heard.clone())
            .time_to_live(seconds(10))
            .stale_on_error(seconds(60))
    });
    world.fetch(1, row(1, 1));
    world.fetch_without_load(1);
    world.fetch(2, Loaded::none());
    let fails = |id: u64| {
        ended(Box::pin(
            world
                .pool
                .get_or_fetch(&id, |_| async { Err::<Row, _>(Oops("gone")) }),
        ))
    };
    assert!(fails(3).is_err());
    world.runtime.advance(seconds(11));
    assert!(fails(1).is_ok());
    let (_hand, load) = by_hand();
    drop(begun(world.pool.get_or_fetch(&4, load)));
    use FetchOutcome::{Cancelled, Failed, Found, NotFound, Stale};
    assert_eq!(
        *heard.0.lock().unwrap(),
        [Found, NotFound, Failed, Stale, Cancelled]
    );
}
