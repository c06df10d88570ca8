//! Calls for several ids.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_channel::oneshot;
use larder_pool::{Event, FetchError, LoadManyContext, Loaded, Reason};
use larder_testkit::{Random, for_each_seed};

use super::hand::{Oops, Row, World, begun, by_hand, ended, never, row, target, team, waits};

/// A loader of several ids that must not be called.
async fn never_many(load: LoadManyContext<Row>) -> Result<Vec<Row>, Oops> {
    panic!("{:?} were loaded", load.ids)
}

/// A loader that waits for the test, and what it was asked for.
struct Hand {
    sender: oneshot::Sender<Result<Vec<Loaded<Row>>, Oops>>,
    asked: Arc<Mutex<Vec<u64>>>,
}

type Brings = Result<Vec<Loaded<Row>>, Oops>;
type Load = Pin<Box<dyn Future<Output = Brings> + Send>>;

impl Hand {
    fn brings(self, rows: impl IntoIterator<Item = Row>) {
        let rows = rows.into_iter().map(Loaded::value).collect();
        assert!(self.sender.send(Ok(rows)).is_ok(), "the load was dropped");
    }

    fn asked(&self) -> Vec<u64> {
        self.asked.lock().unwrap().clone()
    }
}

fn by_hand_many() -> (Hand, impl FnOnce(LoadManyContext<Row>) -> Load) {
    let (sender, receiver) = oneshot::channel::<Brings>();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let load = move |load: LoadManyContext<Row>| -> Load {
        *noted.lock().unwrap() = load.ids;
        Box::pin(async move { receiver.await.unwrap_or(Err(Oops("the hand is gone"))) })
    };
    (Hand { sender, asked }, load)
}

fn versions(many: larder_pool::Many<Row>) -> Vec<Option<u64>> {
    let rows = many.ok().unwrap().into_iter();
    rows.map(|row| row.map(|row| row.version)).collect()
}

/// Contract: P63
#[test]
fn missing_ids_go_to_one_call_each_once() {
    let world = World::new();
    world.pool.insert(row(2, 1)).unwrap();
    let (hand, load) = by_hand_many();
    let call = begun(world.pool.get_or_fetch_many(&[5, 2, 3, 5, 3, 5], load));
    assert_eq!(hand.asked(), [5, 3]);
    hand.brings([row(3, 30), row(5, 50)]);
    let expected = [50, 1, 30, 50, 30, 50].map(Some);
    assert_eq!(versions(ended(call).unwrap()), expected);
    let again = world.pool.get_or_fetch_many(&[5, 2, 3], never_many);
    assert_eq!(versions(ended(Box::pin(again)).unwrap()), [50, 1, 30].map(Some));
    let none = world.pool.get_or_fetch_many(&[], never_many);
    assert!(ended(Box::pin(none)).unwrap().is_empty());

    let ids: Vec<u64> = (0..65_537).collect();
    let many = ended(Box::pin(world.pool.get_or_fetch_many(&ids, never_many)));
    assert!(
        matches!(many, Err(FetchError::TooMany { max: 65_536, .. })),
        "{many:?}"
    );
}

/// Contract: P64
#[test]
fn single_calls_and_batches_share_their_loads() {
    let world = World::new();
    let (one, load) = by_hand();
    let single = begun(world.pool.get_or_fetch(&1, load));
    let (first, load) = by_hand_many();
    let batch = begun(world.pool.get_or_fetch_many(&[1, 2, 3], load));
    assert_eq!(first.asked(), [2, 3], "1 is in the air");
    let (second, load) = by_hand_many();
    let overlapping = begun(world.pool.get_or_fetch_many(&[3, 4, 1], load));
    assert_eq!(second.asked(), [4]);
    let mut joining = begun(world.pool.get_or_fetch(&2, never));
    let all_shared = begun(world.pool.get_or_fetch_many(&[4, 2], never_many));
    first.brings([row(2, 20), row(3, 30)]);
    assert!(!waits(&mut joining));
    second.brings([row(4, 40)]);
    assert_eq!(versions(ended(all_shared).unwrap()), [40, 20].map(Some));
    one.brings(row(1, 10));
    assert_eq!(versions(ended(batch).unwrap()), [10, 20, 30].map(Some));
    assert_eq!(versions(ended(overlapping).unwrap()), [30, 40, 10].map(Some));
    assert_eq!(ended(single).unwrap().unwrap().version, 10);
    let stats = world.pool.stats();
    assert_eq!(
        (stats.loads.total(), stats.joins, stats.inserts, stats.flights),
        (3, 6, 4, 0)
    );
}

/// Contract: P65
#[test]
fn regression_16_each_id_has_an_answer_of_its_own() {
    let world = World::new();
    world.pool.insert(row(1, 1)).unwrap();
    let (other, load) = by_hand();
    let single = begun(world.pool.get_or_fetch(&2, load));
    let (hand, load) = by_hand_many();
    let call = begun(world.pool.get_or_fetch_many(&[1, 2, 3, 1, 4], load));
    other.fails("two is gone");
    hand.brings([row(3, 30)]);
    let many = ended(call).unwrap();
    let told: Vec<_> = many
        .iter()
        .map(|answer| {
            answer
                .as_ref()
                .map(|row| row.as_ref().map(|row| row.version))
                .map_err(ToString::to_string)
        })
        .collect();
    let gone = Err("load failed".to_owned());
    assert_eq!(told, [Ok(Some(1)), gone, Ok(Some(30)), Ok(Some(1)), Ok(None)]);
    assert_eq!((many.len(), many.found().count()), (5, 3));
    let by_id: BTreeMap<u64, u64> = many
        .by_id()
        .into_iter()
        .map(|(id, row)| (id, row.version))
        .collect();
    assert_eq!(by_id, BTreeMap::from([(1, 1), (3, 30)]));
    assert!(matches!(many.ok(), Err(FetchError::Loader(_))), "the first error");
    assert!(ended(single).is_err());
    assert_eq!(world.peek(3), Some(30), "hits survive");

    // A loader that fails is the answer of those that it was to load, and of no others.
    let failing = world.pool.get_or_fetch_many(&[1, 5, 6], |_| async {
        Err::<Vec<Row>, _>(Oops("the disk is gone"))
    });
    let many = ended(Box::pin(failing)).unwrap();
    assert_eq!(
        many.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, false]
    );
}

/// Contract: P66
#[test]
fn the_loader_brings_any_of_them_in_any_order() {
    let world = World::new();
    let bring = |ids: &'static [u64], rows: Vec<Row>| {
        let call = world
            .pool
            .get_or_fetch_many(ids, |_| async { Ok::<_, Oops>(rows) });
        ended(Box::pin(call)).unwrap()
    };
    assert_eq!(
        versions(bring(&[1, 2, 3], vec![row(3, 3), row(1, 1)])),
        [Some(1), None, Some(3)]
    );
    assert_eq!(
        versions(bring(&[4, 5], vec![row(5, 50), row(5, 51), row(4, 4)])),
        [Some(4), Some(50)]
    );
    assert_eq!(world.peek(5), Some(50), "of several the first counts");
    let before = world.pool.sequence();
    let many = bring(&[1, 6, 7], vec![row(6, 6), row(8, 8), row(7, 7)]);
    let told: Vec<_> = many.iter().map(Result::is_ok).collect();
    assert_eq!(told, [true, false, false], "8 was not asked for");
    assert!(matches!(many.get(1), Some(Err(FetchError::IdMismatch { .. }))));
    assert_eq!(
        (world.peek(6), world.pool.sequence()),
        (None, before),
        "nothing of it is stored"
    );
    // What is said not to be there, and nothing at all.
    let call = world
        .pool
        .get_or_fetch_many(&[6, 7], |_| async { Ok::<_, Oops>(vec![None, Some(row(7, 7))]) });
    assert_eq!(versions(ended(Box::pin(call)).unwrap()), [None, Some(7)]);
}

/// Contract: P67
#[test]
fn what_was_loaded_is_stored_in_one_commit() {
    let world = World::with(|pool| pool.capacity_entries(4));
    for id in 100..104 {
        world.pool.insert(row(id, 1)).unwrap();
    }
    let mut events = world.pool.events();
    let before = world.pool.sequence();
    let call = world.pool.get_or_fetch_many(&[1, 2, 3], |_| async {
        Ok::<_, Oops>(vec![row(3, 3), row(1, 1), row(2, 2)])
    });
    assert_eq!(versions(ended(Box::pin(call)).unwrap()), [1, 2, 3].map(Some));
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        told.push(match event {
            Event::Removed {
                reason: Reason::Evicted { .. },
                sequence,
                ..
            } => (sequence, None),
            Event::Inserted { value, sequence, .. } => (sequence, Some(value.id)),
            other => panic!("{other:?}"),
        });
    }
    let expected = [None, None, None, Some(3), Some(1), Some(2)].map(|id| (before + 1, id));
    assert_eq!(
        told, expected,
        "evictions first, then inserts in the loader's order"
    );
    assert_eq!((world.pool.len(), world.pool.sequence()), (4, before + 1));

    // More than there is room for: every caller gets every value all the same.
    let ids: Vec<u64> = (1_000..1_020).collect();
    let call = world.pool.get_or_fetch_many(&ids, |load| async move {
        Ok::<_, Oops>(load.ids.into_iter().map(|id| row(id, 1)).collect::<Vec<_>>())
    });
    assert_eq!(ended(Box::pin(call)).unwrap().found().count(), 20);
    assert_eq!(world.pool.len(), 4);
}

/// Contract: P67 (partial: cancellation and panics)
#[test]
fn a_batch_is_handed_over_dropped_and_contained_like_a_single_load() {
    let world = World::new();
    let (hand, load) = by_hand_many();
    let leader = begun(world.pool.get_or_fetch_many(&[1, 2], load));
    let joined = begun(world.pool.get_or_fetch(&2, never));
    drop(leader);
    hand.brings([row(1, 10), row(2, 20)]);
    assert_eq!(ended(joined).unwrap().unwrap().version, 20);
    assert_eq!(
        (world.peek(1), world.peek(2)),
        (Some(10), Some(20)),
        "the whole of it landed"
    );

    let (hand, load) = by_hand_many();
    drop(begun(world.pool.get_or_fetch_many(&[3, 4], load)));
    assert!(hand.sender.is_canceled(), "nobody waits");

    let panics = |_: LoadManyContext<Row>| -> std::future::Ready<Brings> { panic!("at once") };
    let many = ended(Box::pin(world.pool.get_or_fetch_many(&[1, 3, 4], panics))).unwrap();
    let told: Vec<_> = many
        .iter()
        .map(|answer| matches!(answer, Err(FetchError::Panicked { .. })))
        .collect();
    assert_eq!(told, [false, true, true]);
    assert_eq!(world.pool.stats().flights, 0);
    assert_eq!(world.fetch(3, row(3, 1)), Some(1));
}

/// Contract: P67 (partial: limits of the pool)
#[test]
fn a_batch_takes_no_longer_than_the_pool_says() {
    let world = World::with(|pool| pool.timeout(Duration::from_secs(2)));
    world.pool.insert(row(1, 1)).unwrap();
    let (hand, load) = by_hand_many();
    let mut call = begun(world.pool.get_or_fetch_many(&[1, 2, 3], load));
    world.runtime.advance(Duration::from_millis(1_999));
    assert!(waits(&mut call));
    world.runtime.advance(Duration::from_millis(1));
    let many = ended(call).unwrap();
    assert_eq!(many.found().count(), 1);
    for place in [1, 2] {
        let answer = many.get(place).unwrap();
        assert!(matches!(answer, Err(FetchError::Timeout { .. })), "{answer:?}");
    }
    assert!(hand.sender.is_canceled());
}

/// Contract: P53 (partial: batches)
#[test]
fn a_batch_after_an_invalidation_of_an_id_shares_nothing_that_began_before() {
    let world = World::new();
    let (old, load) = by_hand_many();
    let before = begun(world.pool.get_or_fetch_many(&[1, 2], load));
    world.invalidate(&target(2));
    let (new, load) = by_hand_many();
    let after = begun(world.pool.get_or_fetch_many(&[2, 1], load));
    assert_eq!(
        new.asked(),
        [2, 1],
        "it has to load 2, so it also loads what may turn out to be old"
    );
    let (other, load) = by_hand_many();
    let mixed = begun(world.pool.get_or_fetch_many(&[9, 2], load));
    assert_eq!(other.asked(), [9], "what began since is shared");
    old.brings([row(1, 1), row(2, 1)]);
    assert_eq!(versions(ended(before).unwrap()), [1, 1].map(Some));
    new.brings([row(1, 2), row(2, 2)]);
    other.brings([row(9, 3)]);
    assert_eq!(versions(ended(after).unwrap()), [2, 2].map(Some));
    assert_eq!(versions(ended(mixed).unwrap()), [3, 2].map(Some));
    assert_eq!((world.peek(1), world.peek(2)), (Some(2), Some(2)));
}

/// Contract: P46 (partial: tags that are known only when a batch lands)
#[test]
fn a_batch_that_shares_loads_asks_again_for_what_turns_out_to_be_old() {
    let world = World::new();
    let (old, load) = by_hand_many();
    let before = begun(world.pool.get_or_fetch_many(&[1, 2, 3], load));
    world.invalidate(&team(3));
    let (new, load) = by_hand_many();
    let mut after = begun(world.pool.get_or_fetch_many(&[2, 1, 3], load));
    assert!(new.asked().is_empty(), "all of them are being loaded");
    let (other, load) = by_hand_many();
    let mixed = begun(world.pool.get_or_fetch_many(&[9, 2], load));
    assert_eq!(other.asked(), [9, 2]);
    old.brings([
        Row { team: 3, ..row(1, 1) },
        Row { team: 3, ..row(2, 1) },
        row(3, 1),
    ]);
    assert_eq!(versions(ended(before).unwrap()), [1, 1, 1].map(Some));
    assert!(waits(&mut after));
    assert_eq!(new.asked(), [1], "3 has no such tag, and somebody loads 2");
    new.brings([Row { team: 3, ..row(1, 2) }]);
    other.brings([row(9, 3), row(2, 3)]);
    assert_eq!(versions(ended(mixed).unwrap()), [3, 3].map(Some));
    assert_eq!(versions(ended(after).unwrap()), [3, 2, 1].map(Some));
}

/// Contract: P64 (partial: random overlaps), P52 (partial: what callers get)
#[test]
fn whatever_overlaps_each_id_is_loaded_once_at_a_time() {
    for_each_seed(60, |seed| {
        let mut random = Random::seeded(seed);
        let world = World::new();
        let in_the_air: Arc<Mutex<HashMap<u64, usize>>> = Arc::default();
        let loads = Arc::new(AtomicUsize::new(0));
        let mut calls = Vec::new();
        let mut gates = Vec::new();
        for _ in 0..20 {
            let ids: Vec<u64> = (0..=random.below(4)).map(|_| random.below(8)).collect();
            let (sender, gate) = oneshot::channel::<()>();
            gates.push(sender);
            let (air, count) = (Arc::clone(&in_the_air), Arc::clone(&loads));
            let load = move |load: LoadManyContext<Row>| {
                count.fetch_add(1, Ordering::SeqCst);
                for id in &load.ids {
                    let mut air = air.lock().unwrap();
                    let number = air.entry(*id).or_default();
                    *number += 1;
                    assert_eq!(*number, 1, "{id} is loaded twice at once");
                }
                async move {
                    gate.await.ok();
                    for id in &load.ids {
                        *air.lock().unwrap().get_mut(id).unwrap() -= 1;
                    }
                    Ok::<_, Oops>(
                        load.ids
                            .into_iter()
                            .filter(|id| id % 3 > 0)
                            .map(|id| row(id, id))
                            .collect::<Vec<_>>(),
                    )
                }
            };
            let pool = world.pool.clone();
            let expected: Vec<Option<u64>> = ids.iter().map(|id| (id % 3 > 0).then_some(*id)).collect();
            calls.push(Box::pin(async move {
                assert_eq!(
                    versions(pool.get_or_fetch_many(&ids, load).await.unwrap()),
                    expected
                );
            }));
            // Most begin before others end.
            calls.retain_mut(|call| larder_testkit::poll_once(call.as_mut()).is_pending());
            if random.chance(300) {
                let gate = random.index(gates.len());
                drop(gates.remove(gate));
            }
        }
        gates.clear();
        while !calls.is_empty() {
            calls.retain_mut(|call| larder_testkit::poll_once(call.as_mut()).is_pending());
        }
        assert_eq!(world.pool.stats().flights, 0);
    });
}

/// Contract: P70 (partial: several ids)
#[test]
fn stale_values_of_several_ids_are_served_and_renewed_together() {
    let seconds = Duration::from_secs;
    let world = World::with(|pool| pool.time_to_live(seconds(10)).stale_while_revalidate(seconds(60)));
    world.pool.insert_many([row(1, 1), row(2, 1)]).unwrap();
    world.runtime.advance(seconds(11));
    let (hand, load) = by_hand_many();
    let call = world.pool.get_or_fetch_many(&[1, 2], load);
    assert_eq!(
        versions(ended(Box::pin(call)).unwrap()),
        [1, 1].map(Some),
        "at once"
    );
    assert_eq!(hand.asked(), [1, 2]);
    hand.brings([row(1, 2), row(2, 2)]);
    world.runtime.run();
    assert_eq!((world.peek(1), world.peek(2)), (Some(2), Some(2)));
    assert_eq!(world.pool.stats().stale_answers, 2);
}
