//! Copies of a source that lag, tokens of whoever wrote, and a node that may not have heard everything.

use std::time::Duration;

use larder_core::{AsOf, Clock, Epoch, SourceId};
use larder_pool::{
    EntryState, FetchError, FetchOptions, FillRejection, LoadContext, LoadManyContext, Loaded, Loader,
    MissCause, Origin, PoolBuilder, WhenUnsure,
};

use super::hand::{Call, Oops, Row, World, begun, by_hand, ended, never, row, target, team, waits};
use super::source::{Source, at, token};

/// Contract: P48
#[test]
fn a_copy_that_may_lack_an_invalidation_is_returned_and_not_kept() {
    let world = World::new();
    let source = Source::followed(&world.fence, 10);
    source.commit(12, &[target(7), team(3)]);
    for (point, is_kept) in [(9, false), (11, false), (12, true), (13, true)] {
        world.pool.remove(&7);
        assert_eq!(
            world.fetch(7, Loaded::value(row(7, point)).as_of(at(point))),
            Some(point)
        );
        assert_eq!(world.pool.contains(&7), is_kept, "{point}");
    }
    // A tag that is known only after the load counts as well, and a row that nothing has touched does not.
    assert_eq!(
        world.fetch(8, Loaded::value(row(8, 1)).tag("team:3").as_of(at(11))),
        Some(1)
    );
    assert_eq!(world.fetch(9, Loaded::value(row(9, 1)).as_of(at(9))), Some(1));
    assert_eq!((world.peek(8), world.peek(9)), (None, Some(1)));
    assert_eq!(world.pool.stats().rejected_fills.of(FillRejection::Behind), 3);

    // Several at once, each by its own copy.
    world.pool.clear(larder_pool::Reason::Manual);
    let many = world.pool.get_or_fetch_many(&[7, 9], |load| async move {
        let rows = load
            .ids
            .into_iter()
            .map(|id| Loaded::value(row(id, 2)).as_of(at(11)));
        Ok::<_, Oops>(rows.collect::<Vec<_>>())
    });
    assert_eq!(world.runtime.block_on(many).unwrap().found().count(), 2);
    assert_eq!((world.peek(7), world.peek(9)), (None, Some(2)));
}

/// Contract: P48 (partial: a source that nobody follows)
#[test]
fn a_copy_of_a_source_that_is_not_followed_is_not_kept() {
    let world = World::new();
    assert_eq!(
        world.fetch(7, Loaded::value(row(7, 1)).as_of(at(u64::MAX))),
        Some(1)
    );
    assert_eq!(world.peek(7), None);
}

/// Contract: P49 (partial: a node that has applied it)
#[test]
fn what_is_applied_needs_no_waiting() {
    let world = World::new();
    let source = Source::followed(&world.fence, 10);
    world.pool.insert(row(7, 1)).unwrap();
    source.commit(12, &[target(8)]);
    let options = FetchOptions::new().at_least(token(12));
    let fetched = ended(Box::pin(world.pool.get_or_fetch_with(&7, options, never))).unwrap();
    assert_eq!(
        (fetched.value.unwrap().version, fetched.origin),
        (1, Origin::Inserted)
    );
    assert_eq!(world.pool.get_at(&7, &token(12)).unwrap().unwrap().version, 1);
    assert!(world.pool.get_at(&7, &token(13)).is_err(), "it never waits");
}

/// Contract: P49 (partial: a node that is behind)
#[test]
fn a_node_that_is_behind_waits_a_little() {
    let world = World::new();
    let source = Source::followed(&world.fence, 10);
    world.pool.insert(row(7, 1)).unwrap();
    let options = FetchOptions::new().at_least(token(12));
    let mut call = begun(
        world
            .pool
            .get_or_fetch_with(&7, options.clone(), |_| async { Ok::<_, Oops>(row(7, 3)) }),
    );
    world.runtime.advance(Duration::from_millis(99));
    assert!(waits(&mut call), "it waits for 100 ms");
    source.commit(12, &[target(7)]);
    assert_eq!(
        ended(call).unwrap().value.unwrap().version,
        3,
        "what it had is gone, so it loads"
    );
    assert_eq!(world.peek(7), Some(3), "as any other load");

    // Longer, if it is asked to.
    let options = options.wait_at_most(Duration::from_secs(5)).at_least(token(20));
    let mut call = begun(world.pool.get_or_fetch_with(&7, options, never));
    world.runtime.advance(Duration::from_millis(4_999));
    assert!(waits(&mut call));
    source.commit(20, &[target(99)]);
    assert_eq!(
        ended(call).unwrap().value.unwrap().version,
        3,
        "memory is new enough by now"
    );
}

/// Contract: P49 (partial: without a second tier)
#[test]
fn a_node_that_stays_behind_loads_past_memory_and_joins_nobody() {
    let first = World::with(|pool| pool.wait_at_most(Duration::from_millis(10)));
    Source::followed(&first.fence, 10);
    let (other, load) = by_hand();
    let joined = begun(first.pool.get_or_fetch(&8, load));
    first.pool.insert(row(7, 1)).unwrap();
    for (id, resident) in [(7, Some(1)), (8, None)] {
        let options = FetchOptions::new().at_least(token(12));
        let call = first
            .pool
            .get_or_fetch_with(&id, options, |load| async move { Ok::<_, Oops>(row(load.id, 2)) });
        let call = begun(call);
        first.runtime.advance(Duration::from_millis(10));
        assert_eq!(
            ended(call).unwrap().value.unwrap().version,
            2,
            "the source itself was asked"
        );
        assert_eq!(
            first.peek(id),
            resident,
            "nobody can tell whether it includes the token"
        );
    }
    other.brings(row(8, 1));
    assert_eq!(
        ended(joined).unwrap().unwrap().version,
        1,
        "it began before, and is overtaken"
    );
    assert_eq!(first.peek(8), None);

    // Copies; the node hears of the commit while the load is in the air, or does not.
    let cases = [
        ("far enough", at(12), true, Some(2)),
        ("farther", at(30), true, Some(2)),
        ("not far enough", at(11), true, None),
        ("nobody can tell", at(12), false, None),
    ];
    for (what, point, hears, resident) in cases {
        let world = World::with(|pool| pool.wait_at_most(Duration::ZERO));
        let source = Source::followed(&world.fence, 10);
        let (hand, load) = by_hand();
        let options = FetchOptions::new().at_least(token(12));
        let call = begun(world.pool.get_or_fetch_with(&9, options, load));
        if hears {
            source.commit(12, &[target(99)]);
        }
        hand.brings(Loaded::value(row(9, 2)).as_of(point));
        let answer = ended(call);
        match resident {
            Some(version) => assert_eq!(answer.unwrap().value.unwrap().version, version, "{what}"),
            None => assert!(matches!(answer, Err(FetchError::Behind)), "{what}: {answer:?}"),
        }
        assert_eq!(world.peek(9), resident, "{what}");
    }
}

/// Nothing has overtaken such a load, and it set out to renew nothing.
///
/// Contract: P47 (partial: loads past memory), P49 (partial: a live entry)
#[test]
fn what_was_loaded_past_memory_replaces_no_live_entry() {
    let world = World::with(|pool| pool.wait_at_most(Duration::ZERO));
    let source = Source::followed(&world.fence, 10);
    world.pool.insert(row(9, 1)).unwrap();
    let (hand, load) = by_hand();
    let options = FetchOptions::new().at_least(token(12));
    let call = begun(world.pool.get_or_fetch_with(&9, options, load));
    source.commit(12, &[target(99)]);
    hand.brings(Loaded::value(row(9, 2)).as_of(at(12)));
    let answer = ended(call).unwrap().value.unwrap();
    assert_eq!(answer.version, 2, "memory may be behind the token");
    assert_eq!(world.peek(9), Some(1));
    let rejected = world.pool.stats().rejected_fills;
    assert_eq!(rejected.of(FillRejection::Resident), 1, "{rejected:?}");
}

/// Contract: P49 (partial: `bypass`)
#[test]
fn a_call_may_pass_by_everything() {
    let world = World::new();
    world.pool.insert(row(7, 1)).unwrap();
    let (other, load) = by_hand();
    let joined = begun(world.pool.get_or_fetch(&8, load));
    let before = world.pool.sequence();
    for id in [7, 8] {
        let options = FetchOptions::new().bypass();
        let call = world
            .pool
            .get_or_fetch_with(&id, options, |load| async move { Ok::<_, Oops>(row(load.id, 5)) });
        assert_eq!(ended(Box::pin(call)).unwrap().value.unwrap().version, 5);
    }
    let none = world
        .pool
        .get_or_fetch_with(&7, FetchOptions::new().bypass(), |_| async {
            Ok::<_, Oops>(Loaded::none())
        });
    assert!(ended(Box::pin(none)).unwrap().value.is_none());
    assert_eq!(
        (world.peek(7), world.peek(8), world.pool.sequence()),
        (Some(1), None, before)
    );
    other.brings(row(8, 1));
    assert!(ended(joined).unwrap().is_some(), "the load of others is theirs");
}

/// A world whose node is sure for a second after its start.
fn unsure(when_unsure: WhenUnsure) -> (World, Source) {
    let world = World::with(|pool| pool.when_unsure(when_unsure));
    let source = Source::followed(&world.fence, 10);
    source.sure_until(world.clock().monotonic() + Duration::from_secs(100));
    assert_eq!(world.fetch(7, row(7, 1)), Some(1));
    world.pool.insert(row(8, 1)).unwrap();
    (world, source)
}

/// Contract: P50 (partial: `Serve`)
#[test]
fn a_node_that_is_unsure_goes_on_and_says_so() {
    let (world, _source) = unsure(WhenUnsure::Serve);
    let ask = |world: &World| {
        ended(Box::pin(world.pool.get_or_fetch_with(
            &7,
            FetchOptions::new(),
            never,
        )))
        .unwrap()
    };
    assert!(!ask(&world).degraded);
    world.runtime.advance(Duration::from_secs(101));
    let fetched = ask(&world);
    assert_eq!((fetched.value.unwrap().version, fetched.degraded), (1, true));
    let loaded = world
        .pool
        .get_or_fetch_with(&9, FetchOptions::new(), |_| async { Ok::<_, Oops>(row(9, 1)) });
    assert!(
        !world.runtime.block_on(loaded).unwrap().degraded,
        "it was loaded just now"
    );
}

/// Contract: P50 (partial: `Bypass`)
#[test]
fn a_node_that_is_unsure_may_believe_nothing() {
    let (world, source) = unsure(WhenUnsure::Bypass);
    assert_eq!((world.peek(7), world.pool.get(&8).is_some()), (Some(1), true));
    world.runtime.advance(Duration::from_secs(101));
    assert_eq!((world.peek(7), world.pool.get(&8)), (None, None));
    assert!(!world.pool.contains(&7));
    assert_eq!(world.pool.stats().misses.of(MissCause::Unsure), 1);
    assert_eq!(world.fetch(7, row(7, 2)), Some(2), "each call loads");
    assert_eq!(world.fetch(7, row(7, 3)), Some(3));
    source.sure_until(world.clock().monotonic() + Duration::from_secs(100));
    assert_eq!((world.peek(7), world.peek(8)), (Some(3), Some(1)));
}

/// Contract: P50 (partial: without a second tier)
#[test]
fn a_node_that_is_unsure_may_believe_what_is_young() {
    let (world, _source) = unsure(WhenUnsure::Shorten(Duration::from_secs(10)));
    world.runtime.advance(Duration::from_secs(99));
    assert_eq!(world.peek(7), Some(1), "it is sure");
    world.pool.insert(row(9, 1)).unwrap();
    world.runtime.advance(Duration::from_secs(2));
    assert_eq!(
        (world.peek(7), world.peek(8), world.peek(9)),
        (None, None, Some(1))
    );
    world.runtime.advance(Duration::from_secs(9));
    assert_eq!(world.peek(9), None);
    assert_eq!(world.fetch(7, row(7, 2)), Some(2));
    assert_eq!(world.peek(7), Some(2), "what is loaded now is young");
}

/// What others had begun to load before was joined, so that an unsure node answered with what had been selected any time ago. Now all who come meanwhile
/// wait for that load, and share the next one.
///
/// Contract: P50 (partial: loads of others)
#[test]
fn a_node_that_is_unsure_answers_with_no_load_that_began_before() {
    let (world, _source) = unsure(WhenUnsure::Bypass);
    let (old, load) = by_hand();
    let first = begun(world.pool.get_or_fetch(&9, load));
    world.runtime.advance(Duration::from_secs(101));
    let (new, load) = by_hand();
    let mut second = begun(world.pool.get_or_fetch(&9, load));
    let mut third = begun(world.pool.get_or_fetch(&9, never));
    old.brings(row(9, 1));
    assert_eq!(ended(first).unwrap().unwrap().version, 1, "it is its own");
    assert_eq!(new.runs(), 0);
    assert!(waits(&mut second) && waits(&mut third));
    assert_eq!(new.runs(), 1);
    // Who comes while it is under way waits for it as well, and loads anew.
    let (newest, load) = by_hand();
    let mut fourth = begun(world.pool.get_or_fetch(&9, load));
    new.brings(row(9, 2));
    for call in [second, third] {
        assert_eq!(ended(call).unwrap().unwrap().version, 2);
    }
    assert!(waits(&mut fourth));
    newest.brings(row(9, 3));
    assert_eq!(ended(fourth).unwrap().unwrap().version, 3);

    let (world, _source) = unsure(WhenUnsure::Serve);
    let (old, load) = by_hand();
    let first = begun(world.pool.get_or_fetch(&9, load));
    world.runtime.advance(Duration::from_secs(101));
    let second = begun(world.pool.get_or_fetch(&9, never));
    old.brings(row(9, 1));
    for call in [first, second] {
        assert_eq!(ended(call).unwrap().unwrap().version, 1, "it serves what it has");
    }
}

/// The same of a call for several ids: it loads them itself.
///
/// Contract: P50 (partial: loads of others, by a batch)
#[test]
fn a_batch_of_a_node_that_is_unsure_shares_no_load_that_began_before() {
    for (passed, brought) in [(1, 1), (101, 2)] {
        let (world, _source) = unsure(WhenUnsure::Bypass);
        let (old, load) = by_hand();
        let first = begun(world.pool.get_or_fetch(&9, load));
        world.runtime.advance(Duration::from_secs(passed));
        let load = |_| async { Ok::<_, Oops>([Loaded::value(row(9, 2))]) };
        let mut many: Call<'_, _> = Box::pin(world.pool.get_or_fetch_many(&[9], load));
        assert_eq!(waits(&mut many), brought == 1);
        old.brings(row(9, 1));
        assert_eq!(ended(first).unwrap().unwrap().version, 1);
        if brought == 1 {
            let found = ended(many).unwrap();
            assert_eq!(found.found().map(|row| row.version).collect::<Vec<_>>(), [1]);
        }
    }
}

/// An entry that no read was given, since the node was unsure, was explained as live.
///
/// Contract: P51 (partial: what an unsure node bypasses)
#[test]
fn what_is_bypassed_is_not_explained_as_live() {
    for when_unsure in [WhenUnsure::Bypass, WhenUnsure::Shorten(Duration::from_secs(10))] {
        let (world, source) = unsure(when_unsure);
        assert_eq!(world.pool.explain(&7).state, EntryState::Live);
        world.runtime.advance(Duration::from_secs(101));
        let explained = world.pool.explain(&7);
        assert_eq!((world.peek(7), explained.state), (None, EntryState::Absent));
        assert!(explained.resident.is_some(), "it is there, and not believed");
        source.sure_until(world.clock().monotonic() + Duration::from_secs(100));
        assert_eq!(world.pool.explain(&7).state, EntryState::Live, "{when_unsure:?}");
    }
    let (world, _source) = unsure(WhenUnsure::Serve);
    world.runtime.advance(Duration::from_secs(101));
    assert_eq!(world.pool.explain(&7).state, EntryState::Live);
}

/// What a batch left out was remembered as absent as of now, though the copy that it was read from was behind.
///
/// Contract: P48 (partial: what a batch leaves out)
#[test]
fn what_a_batch_leaves_out_is_no_newer_than_its_copy() {
    let world = World::with(|pool| pool.negative_ttl(Duration::from_secs(100)));
    let source = Source::followed(&world.fence, 10);
    source.commit(12, &[target(7)]);
    for (points, is_kept) in [([13, 11], false), ([12, 13], true)] {
        world.pool.clear(larder_pool::Reason::Manual);
        let many = world.pool.get_or_fetch_many(&[7, 8, 9], |_| async move {
            let [one, other] = points;
            Ok::<_, Oops>([
                Loaded::value(row(8, 1)).as_of(at(one)),
                Loaded::value(row(9, 1)).as_of(at(other)),
            ])
        });
        assert_eq!(world.runtime.block_on(many).unwrap().found().count(), 2);
        let state = world.pool.explain(&7).state;
        assert_eq!(state == EntryState::Negative, is_kept, "{points:?}: {state:?}");
    }
    // Where nothing is there, one that is not says it; where they are of different logs, nobody can tell.
    let other = AsOf::new(SourceId::new(99), Epoch::new(1), 99);
    let elsewhere: [&[AsOf]; 2] = [&[at(11)], &[at(13), other]];
    for points in elsewhere {
        world.pool.remove(&7);
        let none = |point: &AsOf| Loaded::none().as_of(*point);
        let brought: Vec<Loaded<Row>> = points.iter().map(none).collect();
        let many = world
            .pool
            .get_or_fetch_many(&[7], |_| async move { Ok::<_, Oops>(brought) });
        assert_eq!(world.runtime.block_on(many).unwrap().found().count(), 0);
        assert_eq!(world.pool.explain(&7).state, EntryState::Absent, "{points:?}");
    }
}

/// A copy that has not come so far.
struct Lagging;

impl Loader<Row> for Lagging {
    type Error = Oops;

    async fn load(&self, _load: LoadContext<Row>) -> Result<Loaded<Row>, Oops> {
        Ok(Loaded::none().as_of(at(11)))
    }

    async fn load_many(&self, _load: LoadManyContext<Row>) -> Result<Vec<Loaded<Row>>, Oops> {
        Ok(vec![Loaded::none().as_of(at(11))])
    }
}

/// A caller with a token was told that there is no such entity, by a copy that did not include the token.
///
/// Contract: P49 (partial: absences)
#[test]
fn that_there_is_none_is_no_answer_of_a_copy_that_is_behind() {
    let gathers: [fn(PoolBuilder<Row>) -> PoolBuilder<Row>; 2] =
        [|pool| pool, |pool| pool.batcher(1, Duration::from_millis(1))];
    for gathers in gathers {
        let world = World::with(|pool| gathers(pool.loader(Lagging).wait_at_most(Duration::ZERO)));
        let _source = Source::followed(&world.fence, 10);
        let options = FetchOptions::new().at_least(token(12));
        for options in [options.clone(), options.bypass()] {
            let answer = world.runtime.block_on(world.pool.fetch_with(&7, options));
            assert!(matches!(answer, Err(FetchError::Behind)), "{answer:?}");
        }
    }
}
