//! The bounds on entries and bytes: that they hold, what is charged, who leaves for room, and what is too heavy.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use larder_pool::limits::ENTRY_OVERHEAD_BYTES;
use larder_pool::{
    BatchErrorKind, Capacity, Changed, EntryState, Eviction, FillRejection, InsertError, InsertOptions,
    LoadManyContext, Loaded, Pool, PoolMetrics, Target, UpdateError, WeakPool,
};
use larder_testkit::{Random, for_each_seed};

use super::ground::{Row, Told, World, kinds, millis_of, row};

/// Rows weigh as much as their version says.
fn weighed(build: impl FnOnce(larder_pool::PoolBuilder<Row>) -> larder_pool::PoolBuilder<Row>) -> World {
    World::with(|builder| build(builder.weigher(|row| usize::try_from(row.version).unwrap())))
}

/// Looks at a pool whenever the pool calls, and wants its bounds to hold.
#[derive(Clone, Default)]
struct Watch {
    pool: Arc<OnceLock<WeakPool<Row>>>,
    looks: Arc<AtomicUsize>,
    broken: Arc<AtomicUsize>,
}

const ENTRIES: usize = 20;
const BYTES: usize = 20 * 150;

impl Watch {
    fn look(&self) {
        if let Some(pool) = self.pool.get().and_then(WeakPool::upgrade) {
            self.looks.fetch_add(1, Ordering::Relaxed);
            let holds = pool.len() <= ENTRIES && pool.weight_bytes() <= BYTES;
            self.broken.fetch_add(usize::from(!holds), Ordering::Relaxed);
        }
    }
}

impl PoolMetrics for Watch {
    fn size(&self, _: &str, entries: u64, bytes: u64) {
        assert!(entries <= ENTRIES as u64 && bytes <= BYTES as u64);
        self.look();
    }

    fn removed(&self, _: &str, _: larder_pool::Reason) {
        self.look();
    }
}

/// Whoever the pool calls, at whatever moment, finds both bounds kept: room is there before a value is.
///
/// Contract: P38
#[test]
fn nobody_whom_the_pool_calls_sees_more_than_its_bounds() {
    for_each_seed(40, |seed| {
        let mut random = Random::seeded(seed);
        let watch = Watch::default();
        let (listening, weighing) = (watch.clone(), watch.clone());
        let pool = Pool::builder()
            .capacity_entries(ENTRIES as u64)
            .capacity_bytes(BYTES as u64)
            .eviction(Eviction::ALL[random.index(4)])
            .listener(move |_: &Changed<'_, Row>| listening.look())
            .metrics(Arc::new(watch.clone()))
            .weigher(move |row: &Row| {
                weighing.look();
                usize::try_from(row.version).unwrap()
            })
            .build()
            .unwrap();
        watch.pool.set(pool.downgrade()).ok().unwrap();
        for _ in 0..150 {
            let (id, weight) = (random.below(40), random.below(200));
            match random.below(6) {
                0..3 => drop(pool.insert(row(id, weight)).unwrap()),
                3 => {
                    let rows = (0..5).map(|more| row(id + more, weight));
                    pool.insert_many(rows).unwrap();
                }
                4 => drop(pool.update(&id, |_| row(id, weight)).unwrap()),
                _ => drop(pool.remove(&id)),
            }
            assert!(pool.len() <= ENTRIES && pool.weight_bytes() <= BYTES);
        }
        assert!(watch.looks.load(Ordering::Relaxed) > 150);
        assert_eq!(watch.broken.load(Ordering::Relaxed), 0);
        assert_eq!(pool.stats().metrics_panics, 0);
    });
}

/// Contract: P38 (partial: a bound that is set anew), P40 (partial: a bound that is set anew)
#[test]
fn a_lower_bound_holds_when_it_was_set_and_a_higher_one_lets_more_in() {
    for (entries, eviction) in kinds() {
        let mut world = World::of(entries, eviction);
        (0..entries).for_each(|id| world.insert(id));
        world.told();
        let charged = world.pool.weight_bytes() / world.pool.len();
        world
            .pool
            .set_capacity(Capacity::of_entries(entries / 2))
            .unwrap();
        assert_eq!(
            world.pool.len() as u64,
            entries / 2,
            "down to it, and no further: {eviction:?}"
        );
        assert_eq!(world.left("evicted").len() as u64, entries / 2);
        let bytes = 5 * charged + 1;
        let capacity = Capacity::of_entries(entries).and_bytes(bytes as u64);
        world.pool.set_capacity(capacity).unwrap();
        assert_eq!((world.pool.len(), world.pool.weight_bytes()), (5, 5 * charged));
        assert_eq!(world.pool.capacity(), capacity);
        world
            .pool
            .set_capacity(Capacity::of_entries(2 * entries))
            .unwrap();
        world.told();
        (1_000..1_000 + 2 * entries - 5).for_each(|id| world.insert(id));
        assert_eq!(world.left("evicted").len(), 0, "there was room");
        assert_eq!(world.pool.len() as u64, 2 * entries);
    }
}

/// Contract: P39 (partial: but for index entries)
#[test]
fn an_entry_is_charged_its_weight_an_overhead_and_its_tags() {
    let world = World::with(|builder| builder);
    let charge = |row: Row| {
        let id = row.id;
        world.pool.insert(row).unwrap();
        world.pool.explain(&id).resident.unwrap().weight_bytes
    };
    let plain = charge(row(1, 0));
    assert_eq!(plain, ENTRY_OVERHEAD_BYTES + size_of::<Row>() as u64);
    let tagged: Vec<u64> = (1..4)
        .map(|tags| {
            charge(Row {
                tags,
                ..row(10 + tags, 0)
            })
        })
        .collect();
    let each = tagged[1] - tagged[0];
    assert!(
        each > 0 && tagged[2] - tagged[1] == each,
        "every tag is charged the same: {tagged:?}"
    );
    assert!(tagged[0] >= plain + each, "{tagged:?}");
    assert_eq!(
        world.pool.weight_bytes() as u64,
        plain + tagged.iter().sum::<u64>()
    );
    world.pool.remove(&12);
    assert_eq!(world.pool.weight_bytes() as u64, plain + tagged[0] + tagged[2]);

    let world = weighed(|builder| builder);
    world.pool.insert(row(1, 1_000)).unwrap();
    assert_eq!(world.pool.weight_bytes() as u64, 1_000 + ENTRY_OVERHEAD_BYTES);
    world.pool.insert(row(1, 10)).unwrap();
    assert_eq!(
        world.pool.weight_bytes() as u64,
        10 + ENTRY_OVERHEAD_BYTES,
        "what left is not charged"
    );
    world.pool.insert_many([row(1, 30), row(2, 0)]).unwrap();
    assert_eq!(world.pool.weight_bytes() as u64, 30 + 2 * ENTRY_OVERHEAD_BYTES);
    world.pool.clear(larder_pool::Reason::Manual);
    assert_eq!(world.pool.weight_bytes(), 0);
}

/// Contract: P39 (partial: weighed once, and what is not charged)
#[test]
fn a_value_is_weighed_once_and_not_charged_once_it_has_left() {
    let weighed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&weighed);
    let mut world = World::with(|builder| {
        let builder = builder.capacity_entries(10).time_to_live(millis_of(50));
        builder.weigher(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            100
        })
    });
    let charge = 100 + usize::try_from(ENTRY_OVERHEAD_BYTES).unwrap();
    let held: Vec<_> = (0..30).map(|id| world.pool.insert(row(id, 0)).unwrap()).collect();
    assert_eq!(
        weighed.load(Ordering::Relaxed),
        30,
        "also those for which others left"
    );
    assert!(world.pool.get(&29).is_some());
    world.pool.update(&29, |_| row(29, 1)).unwrap();
    world.pool.insert_many((0..5).map(|id| row(id, 1))).unwrap();
    assert_eq!(weighed.load(Ordering::Relaxed), 36);
    let batch = world.pool.batch().insert(row(50, 0)).insert(row(51, 0));
    assert_eq!(
        world.pool.weight_bytes(),
        10 * charge,
        "nor one in a batch that is not committed"
    );
    drop(batch);
    world.pool.set_capacity(Capacity::of_entries(4)).unwrap();
    world.pass(50);
    world.pool.sweep(1);
    assert_eq!(
        weighed.load(Ordering::Relaxed),
        36,
        "nobody is weighed on the way out"
    );
    assert_eq!(world.pool.weight_bytes(), 3 * charge);
    // The values are still held, by the test and by a reader of events.
    assert_eq!(
        held.iter().filter(|value| Arc::strong_count(value) > 1).count(),
        30
    );
    assert!(world.told().len() > 40);
}

/// Also where a pool has many shards, by entries and by bytes: they share one budget.
///
/// Random weights in the place of others, live and expired, one by one and together: at every moment what is charged is
/// what the residents weigh.
///
/// Contract: P38 (partial: weights in the place of others), P39 (partial: weights in the place of others)
#[test]
fn what_takes_the_place_of_another_is_charged_for_itself_alone() {
    for_each_seed(30, |seed| {
        let mut random = Random::seeded(seed);
        let world = weighed(|builder| builder.capacity_bytes(3_000));
        for _ in 0..200 {
            let mut new = || row(random.below(8), random.below(900));
            let (one, other) = (new(), new());
            match random.below(4) {
                0 => drop(world.pool.insert(one).ok().unwrap()),
                1 => drop(world.pool.insert_with_ttl(one, millis_of(40)).ok().unwrap()),
                2 => drop(world.pool.insert_many([one, other]).ok().unwrap()),
                _ => world.pass(random.below(50)),
            }
            let resident = (0..8).filter_map(|id| world.pool.explain(&id).resident);
            let weight: u64 = resident.map(|resident| resident.weight_bytes).sum();
            assert_eq!(world.pool.weight_bytes() as u64, weight);
            assert!(weight <= 3_000, "{weight}");
        }
        world.pool.clear(larder_pool::Reason::Manual);
        assert_eq!(world.pool.weight_bytes(), 0);
    });
}

/// Contract: P40 (partial: room, and what was just inserted)
#[test]
fn nobody_leaves_while_there_is_room_and_what_came_last_is_there() {
    for eviction in Eviction::ALL {
        let bytes = 5_000 * (ENTRY_OVERHEAD_BYTES + size_of::<Row>() as u64);
        let by_entries = World::of(5_000, eviction);
        let by_bytes = World::with(|builder| builder.capacity_bytes(bytes).eviction(eviction));
        for mut world in [by_entries, by_bytes] {
            for id in 0..5_000 {
                world.insert(id);
            }
            assert_eq!((world.pool.len(), world.left("evicted").len()), (5_000, 0));
            for id in 5_000..5_500 {
                world.insert(id);
                assert!(world.pool.contains(&id), "{eviction:?}");
                // One leaves for one that comes, and is told first.
                let told = world.told();
                let [Told::Removed(_, "evicted"), Told::Inserted(new, 0)] = told[..] else {
                    panic!("{told:?} under {eviction:?}")
                };
                assert_eq!((new, world.pool.len()), (id, 5_000));
            }
        }
    }
}

/// Contract: P40 (partial: what was just inserted, among heavier ones)
#[test]
fn a_heavy_value_drives_out_as_many_as_it_takes_and_stays_itself() {
    for eviction in Eviction::ALL {
        let mut world = weighed(|builder| builder.capacity_bytes(100_000).eviction(eviction));
        let fits = 100_000 - ENTRY_OVERHEAD_BYTES;
        for id in 0..400 {
            world.pool.insert(row(id, 100)).unwrap();
        }
        world.told();
        let before = world.pool.len();
        world.pool.insert(row(1_000, fits)).unwrap();
        assert!(
            world.pool.contains(&1_000) && world.pool.len() == 1,
            "{eviction:?}"
        );
        assert_eq!(world.left("evicted").len(), before);
        // The same id grows and shrinks in its place; nobody else has to leave for what it gives back.
        world.pool.insert(row(1_000, 1_000)).unwrap();
        world
            .pool
            .insert(row(1, fits - 1_000 - ENTRY_OVERHEAD_BYTES))
            .unwrap();
        assert_eq!((world.pool.len(), world.pool.weight_bytes()), (2, 100_000));
        assert_eq!(world.left("evicted").len(), 0);
        world.pool.insert(row(1_000, 1_001)).unwrap();
        assert_eq!(world.left("evicted"), [1], "{eviction:?}");
        assert!(world.pool.contains(&1_000));
    }
}

/// Whoever is evicted may come back at once: pins on it hold, the pool's and the fence's.
///
/// Contract: P40 (partial: eviction raises no fence)
#[test]
fn eviction_ends_no_pin() {
    for (entries, eviction) in kinds() {
        let mut world = World::of(entries, eviction);
        world.insert(7);
        let targets = [
            Target::entity("row", 7_u64).unwrap(),
            Target::collection("row").unwrap(),
        ];
        let (of_fence, of_pool) = (world.fence.pin(&targets).unwrap(), world.pool.pin(&7));
        (100..100 + 20 * entries).for_each(|id| world.insert(id));
        assert!(world.left("evicted").contains(&7), "{eviction:?}");
        assert!(of_fence.is_fresh());
        world
            .pool
            .insert_with(row(7, 1), InsertOptions::new().pin(of_pool))
            .unwrap();
        assert!(world.pool.contains(&7));
    }
}

const LIMIT: u64 = 10_000;

/// A pool by bytes, and a row of id 7 that is too heavy for it.
fn light() -> (World, Row) {
    let mut world = weighed(|builder| builder.capacity_bytes(LIMIT).stale_on_error(millis_of(60_000)));
    world.pool.insert(row(7, 10)).unwrap();
    world.pool.insert(row(8, 10)).unwrap();
    world.told();
    (world, row(7, LIMIT))
}

/// Contract: P41 (partial: inserts and updates)
#[test]
fn a_value_that_is_too_heavy_comes_back_and_ends_the_older_one() {
    let refused = |error: InsertError<Row>| {
        let InsertError::TooHeavy { weight, capacity, .. } = &error else {
            panic!("not too heavy: {error}")
        };
        assert_eq!((*weight, *capacity), (LIMIT + ENTRY_OVERHEAD_BYTES, LIMIT));
        assert_eq!(error.into_value().unwrap().version, LIMIT);
    };
    let (mut world, heavy) = light();
    refused(world.pool.insert(heavy).err().unwrap());
    assert_eq!(world.told(), [Told::Removed(7, "superseded")]);
    assert_eq!(
        (world.pool.len(), world.pool.stats().removals.superseded()),
        (1, 1)
    );
    refused(world.pool.insert(row(7, LIMIT)).err().unwrap());
    assert_eq!(world.told(), [], "there was none any more");

    let (mut world, _) = light();
    let updated = world.pool.update(&7, |_| row(7, LIMIT));
    let Err(UpdateError::Refused(error)) = updated else {
        panic!("it was not refused")
    };
    refused(error);
    assert_eq!(world.told(), [Told::Removed(7, "superseded")]);

    let (mut world, heavy) = light();
    let seen = world.pool.peek(&7).unwrap();
    refused(world.pool.replace_if_same(&seen, heavy).err().unwrap());
    assert_eq!(world.told(), [Told::Removed(7, "superseded")]);

    // One byte less fits, alone.
    let (mut world, _) = light();
    world.pool.insert(row(7, LIMIT - ENTRY_OVERHEAD_BYTES)).unwrap();
    assert_eq!(world.left("evicted"), [8]);
    // It is a question of the bound that holds now.
    world.pool.set_capacity(Capacity::of_bytes(2 * LIMIT)).unwrap();
    world.pool.insert(row(7, LIMIT)).unwrap();
    assert_eq!(world.pool.weight_bytes() as u64, LIMIT + ENTRY_OVERHEAD_BYTES);
}

/// All or nothing: a batch with a value that is too heavy changes nothing, and comes back.
///
/// Contract: P41 (partial: batches)
#[test]
fn a_batch_with_a_value_that_is_too_heavy_changes_nothing() {
    let (mut world, heavy) = light();
    let error = world
        .pool
        .batch()
        .insert(row(9, 1))
        .insert(heavy)
        .commit()
        .unwrap_err();
    let BatchErrorKind::Refused {
        error: InsertError::TooHeavy { value, .. },
        ..
    } = error.kind()
    else {
        panic!("not too heavy: {error}")
    };
    assert_eq!((value.id, world.told()), (7, vec![]));
    assert_eq!(error.into_batch().len(), 2);
    assert!(world.pool.contains(&7) && !world.pool.contains(&9));
}

/// Those who waited for it get it. What it would have taken the place of is not served any more, not even where stale values
/// are.
///
/// Contract: P41
#[test]
fn a_loaded_value_that_is_too_heavy_is_returned_and_not_kept() {
    let (mut world, heavy) = light();
    world.pool.remove(&7);
    world.told();
    let fetch = world
        .pool
        .get_or_fetch(&7, |_| async { Ok::<_, InsertError<Row>>(heavy) });
    let value = world.runtime.block_on(fetch).unwrap().unwrap();
    assert_eq!(
        (value.version, world.pool.len(), world.told()),
        (LIMIT, 1, vec![])
    );
    assert_eq!(world.pool.stats().rejected_fills.of(FillRejection::TooHeavy), 1);

    for many in [false, true] {
        let (mut world, heavy) = light();
        world.pool.insert_with_ttl(row(7, 10), millis_of(5)).unwrap();
        world.pass(10);
        world.told();
        assert_eq!(world.pool.explain(&7).state, EntryState::Stale);
        let version = if many {
            let load = |_: LoadManyContext<Row>| async { Ok::<_, InsertError<Row>>([heavy]) };
            let fetched = world.runtime.block_on(world.pool.get_or_fetch_many([&7], load));
            fetched.unwrap().found().next().unwrap().version
        } else {
            let fetch = world
                .pool
                .get_or_fetch(&7, |_| async { Ok::<_, InsertError<Row>>(heavy) });
            world.runtime.block_on(fetch).unwrap().unwrap().version
        };
        assert_eq!(version, LIMIT);
        let told = world.told();
        assert!(
            matches!(told[..], [Told::Removed(7, "superseded" | "expired")]),
            "many: {many}, {told:?}"
        );
        let failing = world
            .pool
            .get_or_fetch(&7, |_| async { Err::<Loaded<Row>, _>("down") });
        assert!(
            world.runtime.block_on(failing).is_err(),
            "an old value outlived a newer one"
        );
    }
}
