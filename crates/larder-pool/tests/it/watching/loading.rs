//! Metrics of calls that load: once for each call that was not a hit, once for each run of a loader.

use std::io;
use std::pin::pin;

use larder_core::{Cause, Target};
use larder_pool::{FetchOptions, FillRejection, LoadOutcome, Loaded};
use larder_testkit::poll_once;

use super::recorder::{Recorder, recorded};
use crate::bounds::ground::{Row, World, millis_of, row};

type Brings = Result<Loaded<Row>, io::Error>;

/// A call whose loader takes so many milliseconds and then brings this.
fn fetch(world: &World, id: u64, millis: u64, brings: Brings) -> Result<Option<u64>, String> {
    let clock = world.clock.clone();
    let call = world.pool.get_or_fetch(&id, |_| async move {
        clock.advance(millis_of(millis));
        brings
    });
    let fetched = world.runtime.block_on(call);
    fetched
        .map(|row| row.map(|row| row.version))
        .map_err(|error| error.to_string())
}

/// What was reported, but for sizes.
fn told(recorder: &Recorder) -> Vec<String> {
    let told = recorder.take().into_iter();
    told.filter(|line| !line.contains(" size ")).collect()
}

/// Contract: P120 (partial: calls and runs of loaders)
#[test]
fn each_call_that_is_no_hit_and_each_run_of_a_loader_is_told_once() {
    let (world, recorder) = recorded(|builder| builder.stale_on_error(millis_of(1_000)));
    assert_eq!(fetch(&world, 7, 5, Ok(row(7, 1).into())), Ok(Some(1)));
    assert_eq!(
        told(&recorder),
        ["row miss absent", "row loaded 1 loaded 5", "row fetched found 5"]
    );
    assert_eq!(fetch(&world, 7, 5, Ok(row(7, 2).into())), Ok(Some(1)));
    assert_eq!(told(&recorder), ["row hit Memory"], "never for a hit");
    assert_eq!(fetch(&world, 8, 3, Ok(Loaded::none())), Ok(None));
    assert_eq!(
        told(&recorder),
        [
            "row miss absent",
            "row loaded 1 loaded 3",
            "row fetched not_found 3"
        ]
    );
    assert!(fetch(&world, 8, 2, Err(io::Error::other("down"))).is_err());
    assert_eq!(
        told(&recorder),
        ["row miss absent", "row loaded 1 failed 2", "row fetched failed 2"]
    );
    assert!(fetch(&world, 8, 2, Ok(row(9, 1).into())).is_err(), "another id");
    assert_eq!(
        told(&recorder),
        ["row miss absent", "row loaded 1 failed 2", "row fetched failed 2"]
    );
    world.insert_for(6, 5);
    world.pass(5);
    assert_eq!(fetch(&world, 6, 1, Err(io::Error::other("down"))), Ok(Some(0)));
    assert_eq!(
        told(&recorder),
        ["row miss expired", "row loaded 1 failed 1", "row fetched stale 1"]
    );

    let call = world
        .pool
        .get_or_fetch(&9, |_| async { panic!("boom") as Brings });
    assert!(world.runtime.block_on(call).is_err());
    assert_eq!(
        told(&recorder),
        [
            "row miss absent",
            "row loaded 1 panicked 0",
            "row fetched failed 0"
        ]
    );
    let options = FetchOptions::new().bypass();
    let call = world
        .pool
        .get_or_fetch_with(&7, options, |_| async { Ok::<_, io::Error>(row(7, 9)) });
    assert_eq!(world.runtime.block_on(call).unwrap().value.unwrap().version, 9);
    assert_eq!(told(&recorder), ["row loaded 1 loaded 0", "row fetched found 0"]);
}

/// Contract: P120 (partial: those who join, who go away, and whose load takes too long)
#[test]
fn who_joins_is_told_as_a_call_and_not_as_a_run() {
    let (world, recorder) = recorded(|builder| builder);
    let never = |_| std::future::pending::<Brings>();
    {
        let mut first = pin!(world.pool.get_or_fetch(&7, never));
        assert!(poll_once(first.as_mut()).is_pending());
        let mut second = pin!(world.pool.get_or_fetch(&7, never));
        assert!(poll_once(second.as_mut()).is_pending());
        assert_eq!(told(&recorder), ["row miss absent", "row miss absent"]);
        world.pass(5);
    }
    let mut lines = told(&recorder);
    lines.sort();
    assert_eq!(
        lines,
        [
            "row fetched cancelled 5",
            "row fetched cancelled 5",
            "row loaded 1 cancelled 5"
        ]
    );
    let options = FetchOptions::new().timeout(millis_of(20));
    let mut call = pin!(world.pool.get_or_fetch_with(&7, options, never));
    assert!(poll_once(call.as_mut()).is_pending());
    let mut joined = pin!(world.pool.get_or_fetch(&7, never));
    assert!(poll_once(joined.as_mut()).is_pending());
    world.runtime.advance(millis_of(20));
    assert!(poll_once(call.as_mut()).is_ready() && poll_once(joined.as_mut()).is_ready());
    let mut lines = told(&recorder);
    lines.sort();
    assert_eq!(
        lines,
        [
            "row fetched failed 20",
            "row fetched failed 20",
            "row loaded 1 timed_out 20",
            "row miss absent",
            "row miss absent"
        ]
    );
    let stats = world.pool.stats();
    assert_eq!((stats.joins, stats.loads.total(), stats.flights), (2, 2, 0));
    assert_eq!(stats.loads.time(), millis_of(25));
}

/// A call for several ids is no single call; its loader runs once.
///
/// Contract: P120 (partial: several ids)
#[test]
fn a_call_for_several_ids_is_told_as_one_run_and_as_no_single_call() {
    let (world, recorder) = recorded(|builder| builder);
    world.insert(1);
    recorder.take();
    let clock = world.clock.clone();
    let call = world.pool.get_or_fetch_many([&1, &2, &3, &2], |load| async move {
        clock.advance(millis_of(4));
        let rows: Vec<Row> = load.ids.iter().map(|id| row(*id, 1)).collect();
        Ok::<_, io::Error>(rows)
    });
    let many = world.runtime.block_on(call).unwrap();
    assert_eq!((many.len(), many.found().count()), (4, 4));
    let lines = told(&recorder);
    let count = |line: &str| lines.iter().filter(|other| *other == line).count();
    assert_eq!(count("row loaded 2 loaded 4"), 1, "{lines:?}");
    assert_eq!(
        (count("row hit Memory"), count("row miss absent")),
        (1, 3),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 5, "{lines:?}");
}

/// Contract: P120 (partial: fills that are rejected)
#[test]
fn each_value_that_is_not_kept_is_told_with_its_reason() {
    let (world, recorder) = recorded(|builder| builder.capacity_bytes(10_000));
    let rejected = |brings: Loaded<Row>, meanwhile: &dyn Fn(), why: FillRejection| {
        recorder.take();
        let before = world.pool.stats().rejected_fills;
        let (sender, receiver) = futures_channel::oneshot::channel();
        let load = |_| async { receiver.await.map_err(io::Error::other) };
        let mut call = pin!(world.pool.get_or_fetch(&7, load));
        assert!(poll_once(call.as_mut()).is_pending());
        meanwhile();
        sender.send(brings).ok().unwrap();
        let fetched = world.runtime.block_on(call).unwrap().unwrap();
        assert_eq!(fetched.id, 7, "it goes to who waited");
        let lines = told(&recorder);
        let expected = format!("row rejected {}", why.as_str());
        assert_eq!(
            lines.iter().filter(|line| line.contains("rejected")).count(),
            1,
            "{lines:?}"
        );
        assert!(lines.contains(&expected), "{lines:?}");
        let after = world.pool.stats().rejected_fills;
        assert_eq!(
            (after.of(why), after.total()),
            (before.of(why) + 1, before.total() + 1)
        );
        world.pool.remove(&7);
    };
    let plain = || Loaded::value(row(7, 1));
    let nothing = || {};
    rejected(plain().do_not_store(), &nothing, FillRejection::DoNotStore);
    rejected(plain().ttl(millis_of(0)), &nothing, FillRejection::ZeroTtl);
    rejected(plain().tag(""), &nothing, FillRejection::BadTag);
    let by_hand = || Cause::direct(larder_core::Reason::new("by hand"));
    let invalidate = |target: &Target| {
        world.fence.invalidate(target, by_hand());
    };
    let everything = || invalidate(&Target::Everything);
    rejected(plain(), &everything, FillRejection::Fenced);
    // Of a tag that is known only after the load the fence cannot tell how long ago.
    let tag = Target::tag("default", "part:0").unwrap();
    let tagged = Loaded::value(Row { tags: 1, ..row(7, 1) });
    rejected(tagged, &|| invalidate(&tag), FillRejection::TooOld);
    rejected(
        plain(),
        &|| {
            world.insert(7);
            world.pool.remove(&7);
        },
        FillRejection::Overtaken,
    );
    rejected(plain(), &|| world.insert(7), FillRejection::Resident);
    assert_eq!(world.pool.stats().loads.of(LoadOutcome::Loaded), 7);
    assert!(world.pool.is_empty());
}
