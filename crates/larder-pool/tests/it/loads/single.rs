//! Calls for one id.

use std::sync::Arc;

use larder_pool::{FetchError, LoadOutcome, Loaded, Target};

use super::hand::{Oops, Row, World, begun, by_hand, ended, never, row, target, team, waits};

/// Contract: P52 (partial: without a second tier)
#[test]
fn memory_answers_before_the_loader_is_asked() {
    let world = World::new();
    assert_eq!(world.fetch(7, row(7, 1)), Some(1));
    assert_eq!(world.fetch_without_load(7), Some(1));
    world.pool.insert(row(7, 2)).unwrap();
    assert_eq!(world.fetch_without_load(7), Some(2));
    assert_eq!(world.pool.stats().loads.of(LoadOutcome::Loaded), 1);
}

/// Contract: P52 (partial: without a second tier), P68 (partial: without a time to remember it)
#[test]
fn that_there_is_no_such_entity_is_no_error_and_not_kept() {
    let world = World::new();
    let before = world.pool.sequence();
    assert_eq!(world.fetch(7, Loaded::none()), None);
    assert_eq!((world.pool.len(), world.pool.sequence()), (0, before));
    assert_eq!(world.fetch(7, row(7, 1)), Some(1), "it was not remembered");
}

/// Contract: P53
#[test]
fn callers_of_one_id_share_a_load() {
    let world = World::new();
    let (hand, load) = by_hand();
    let first = begun(world.pool.get_or_fetch(&7, load));
    let others: Vec<_> = (0..9)
        .map(|_| begun(world.pool.get_or_fetch(&7, never)))
        .collect();
    assert_eq!(hand.runs(), 1);
    hand.brings(row(7, 1));
    let value = ended(first).unwrap().unwrap();
    for other in others {
        assert!(Arc::ptr_eq(&value, &ended(other).unwrap().unwrap()));
    }
    assert!(Arc::ptr_eq(&value, &world.pool.get(&7).unwrap()));
    let stats = world.pool.stats();
    assert_eq!((stats.loads.total(), stats.joins, stats.inserts), (1, 9, 1));
}

/// Contract: P46
#[test]
fn what_was_overtaken_goes_to_those_who_waited_and_nowhere_else() {
    for (shared, what) in [
        (target(7), "the id"),
        (team(3), "its tag"),
        (Target::Everything, "everything"),
    ] {
        let world = World::new();
        let (hand, load) = by_hand();
        let waiting = [
            begun(world.pool.get_or_fetch(&7, load)),
            begun(world.pool.get_or_fetch(&7, never)),
        ];
        world.invalidate(&shared);
        let tagged = Row { team: 3, ..row(7, 1) };
        hand.brings(tagged);
        for call in waiting {
            assert_eq!(ended(call).unwrap().unwrap().version, 1, "{what}");
        }
        assert_eq!((world.pool.len(), world.pool.stats().inserts), (0, 0), "{what}");
        assert_eq!(world.fetch(7, row(7, 2)), Some(2), "{what}");
    }
}

/// Contract: P53
#[test]
fn a_call_after_an_invalidation_does_not_join_what_began_before() {
    let world = World::new();
    let (old, load) = by_hand();
    let mut before = begun(world.pool.get_or_fetch(&7, load));
    world.invalidate(&target(7));
    let (new, load) = by_hand();
    let after = begun(world.pool.get_or_fetch(&7, load));
    assert_eq!(new.runs(), 1);
    new.brings(row(7, 2));
    assert_eq!(ended(after).unwrap().unwrap().version, 2);
    assert!(waits(&mut before));
    old.brings(row(7, 1));
    let answer = ended(before).unwrap().unwrap();
    assert_eq!(
        answer.version, 2,
        "what is resident by now is better than what was overtaken"
    );
    assert_eq!(world.peek(7), Some(2));
    assert_eq!(world.pool.stats().rejected_fills.total(), 1);
}

/// Contract: P60
#[test]
fn an_error_reaches_everyone_as_it_was_and_is_not_kept() {
    let world = World::new();
    let (hand, load) = by_hand();
    let first = begun(world.pool.get_or_fetch(&7, load));
    let second = begun(world.pool.get_or_fetch(&7, never));
    hand.fails("the disk is gone");
    for call in [first, second] {
        let error = ended(call).unwrap_err();
        let FetchError::Loader(inner) = &error else {
            panic!("{error}")
        };
        assert_eq!(inner.downcast_ref::<Oops>(), Some(&Oops("the disk is gone")));
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(
            (error.to_string(), source.to_string()),
            ("load failed".to_owned(), "the disk is gone".to_owned())
        );
    }
    assert_eq!(world.fetch(7, row(7, 1)), Some(1));
}
