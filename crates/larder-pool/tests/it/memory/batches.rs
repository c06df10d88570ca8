//! Batches: all of it or nothing, and what each operation is beside others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use larder_pool::limits::BATCH_ITEMS_MAX;
use larder_pool::{BatchErrorKind, InsertError, InsertOptions, OnConflict, Reason};
use larder_testkit::{Random, for_each_seed};

use super::rows::{Row, Told, World, row, target};

const SECOND: Duration = Duration::from_secs(1);

/// Contract: P29 (partial: what it collects)
#[test]
fn a_batch_does_what_its_operations_do_in_one_commit() {
    let mut world = World::new();
    for id in 1..=4 {
        world.pool.insert_with_ttl(row(id, 1), SECOND * 5).unwrap();
    }
    world.told();
    let value = Arc::new(row(10, 1));
    let batch = world
        .pool
        .batch()
        .insert(Arc::clone(&value))
        .insert(row(1, 2))
        .remove(&2);
    let batch = batch
        .invalidate(&3, Reason::Deleted)
        .insert_with_ttl(row(11, 1), SECOND)
        .remove(&99);
    assert_eq!((batch.len(), batch.is_empty()), (6, false));
    assert_eq!(
        (world.pool.sequence(), world.told()),
        (4, vec![]),
        "nothing before it is committed"
    );
    let stats = batch.commit().unwrap();
    assert_eq!(
        (stats.inserted, stats.updated, stats.removed, stats.evicted),
        (3, 0, 2, 0)
    );
    assert_eq!((stats.sequence, world.pool.sequence()), (5, 5));
    let mut told = world.told_at();
    let (left, _) = told.split_at_mut(2);
    left.sort_by_key(|(_, told)| matches!(told, Told::Removed(3, _)));
    let expected = [
        Told::Removed(2, "manual"),
        Told::Removed(3, "deleted"),
        Told::Inserted(10, 1),
        Told::Inserted(1, 2),
        Told::Inserted(11, 1),
    ];
    assert_eq!(
        told.iter().map(|(_, told)| told.clone()).collect::<Vec<_>>(),
        expected
    );
    assert!(told.iter().all(|(sequence, _)| *sequence == 5));
    assert!(
        Arc::ptr_eq(&value, &world.pool.get(&10).unwrap()),
        "it is stored as it is"
    );
    world.clock.advance(SECOND);
    assert_eq!(world.live(20), [(1, 2), (4, 1), (10, 1)]);
    world.clock.advance(SECOND * 5);
    assert_eq!(
        world.live(20),
        [(1, 2), (10, 1)],
        "the new one has the pool's time to live"
    );

    let stats = world.pool.insert_many([row(5, 1), row(6, 1), row(5, 2)]).unwrap();
    assert_eq!((stats.inserted, stats.sequence), (2, 6));
    assert_eq!((world.peek(5), world.peek(6)), (Some(2), Some(1)));
}

/// What a caller puts into a batch.
#[derive(Clone, Copy, Debug)]
enum Change {
    Insert(u64, u64),
    Remove(u64),
}

/// Random batches against a map: whatever is said several times of an id, the last counts; expired entries are absent.
///
/// Contract: P29 (partial: the last operation on an id)
#[test]
fn the_last_operation_on_an_id_wins() {
    for_each_seed(60, |seed| {
        let mut random = Random::seeded(seed);
        let as_update = random.chance(500);
        let rule = if as_update {
            OnConflict::Update
        } else {
            OnConflict::Replace
        };
        let mut world = World::with(|pool| pool.on_conflict(rule));
        let mut model = BTreeMap::new();
        for round in 0..12 {
            let changes: Vec<Change> = (0..random.below(30))
                .map(|at| match random.below(3) {
                    0 => Change::Remove(random.below(12)),
                    _ => Change::Insert(random.below(12), round * 100 + at),
                })
                .collect();
            let batch = changes
                .iter()
                .fold(world.pool.batch(), |batch, change| match change {
                    Change::Insert(id, version) => batch.insert(row(*id, *version)),
                    Change::Remove(id) => batch.remove(id),
                });
            let stats = batch.commit().unwrap();
            let last: BTreeMap<u64, Change> = changes
                .iter()
                .map(|change| match change {
                    Change::Insert(id, _) | Change::Remove(id) => (*id, *change),
                })
                .collect();
            let mut expected = Vec::new();
            for (id, change) in last {
                expected.extend(match (change, model.remove(&id)) {
                    (Change::Remove(_), None) => None,
                    (Change::Remove(_), Some(_)) => Some(Told::Removed(id, "manual")),
                    (Change::Insert(_, new), old) => {
                        model.insert(id, new);
                        let old = old.filter(|_| as_update);
                        Some(old.map_or(Told::Inserted(id, new), |old| Told::Updated(id, old, new)))
                    }
                });
            }
            let mut told = world.told();
            told.sort_by_key(|told| match told {
                Told::Inserted(id, _) | Told::Updated(id, ..) | Told::Removed(id, _) => *id,
                Told::Cleared(..) => u64::MAX,
            });
            assert_eq!(told, expected);
            assert_eq!(stats.inserted + stats.updated + stats.removed, told.len());
            let live: Vec<(u64, u64)> = model.iter().map(|(id, version)| (*id, *version)).collect();
            assert_eq!((world.live(12), stats.sequence), (live, world.pool.sequence()));
        }
    });
}

/// Contract: P29 (partial: conflicts)
#[test]
fn under_reject_a_live_id_fails_the_whole_batch() {
    let mut world = World::with(|pool| pool.on_conflict(OnConflict::Reject));
    for id in [1, 2, 3] {
        world.pool.insert(row(id, 1)).unwrap();
    }
    world.pool.insert_with_ttl(row(4, 1), SECOND).unwrap();
    world.clock.advance(SECOND);
    world.told();
    let before = world.pool.sequence();
    let batch = world
        .pool
        .batch()
        .insert(row(9, 2))
        .insert(row(3, 2))
        .remove(&2)
        .insert(row(1, 2));
    let error = batch.insert(row(4, 2)).commit().unwrap_err();
    let BatchErrorKind::Conflict { ids, .. } = error.kind() else {
        panic!("{error}")
    };
    assert_eq!(
        ids,
        &[3, 1],
        "all of them, in the order of the batch; what has expired is none"
    );
    assert_eq!((world.told(), world.pool.sequence()), (vec![], before));
    assert_eq!(
        (world.live(20), world.pool.len()),
        (vec![(1, 1), (2, 1), (3, 1)], 4)
    );

    // The batch is handed back as it was, and may be tried again, changed or not.
    let batch = error.into_batch();
    assert_eq!(batch.len(), 5);
    let batch = batch.commit().unwrap_err().into_batch();
    world.pool.remove(&3);
    let stats = batch.remove(&1).commit().unwrap();
    assert_eq!(
        (stats.inserted, stats.removed),
        (3, 2),
        "the last operation on 1 is its removal"
    );
    assert_eq!(world.live(20), [(3, 2), (4, 2), (9, 2)]);
}

/// A batch that fails has done nothing, to nobody: what depends on the ids that it would have removed lives on.
///
/// Contract: P29
#[test]
fn a_batch_that_fails_ends_nothing() {
    let world = World::with(|pool| pool.on_conflict(OnConflict::Reject));
    for id in [1, 2] {
        world.pool.insert(row(id, 1)).unwrap();
    }
    let depending = InsertOptions::new().depends_on(target(2));
    world.pool.insert_with(row(3, 1), depending).unwrap();
    let pin = world.pool.pin(&2);
    let failed = world
        .pool
        .batch()
        .remove(&2)
        .insert(row(1, 2))
        .commit()
        .unwrap_err();
    assert_eq!(world.live(9), [(1, 1), (2, 1), (3, 1)]);
    assert!(pin.is_fresh(), "what is being read for 2 may still be stored");
    world.pool.remove(&1);
    failed.into_batch().commit().unwrap();
    assert_eq!(
        world.live(9),
        [(1, 2)],
        "now it is removed, and with it what depends on it"
    );
    assert!(!pin.is_fresh());
}

/// Each thing for which an insert is refused fails the batch; it is handed back, with the value.
///
/// Contract: P29 (partial: other refusals)
#[test]
fn what_an_insert_refuses_fails_the_whole_batch() {
    let mut world = World::with(|pool| {
        let pool = pool.capacity_bytes(10_000);
        pool.weigher(|row: &Row| usize::try_from(row.version).unwrap())
    });
    world.pool.insert(row(1, 1)).unwrap();
    world.told();
    let heavy = Arc::new(row(2, 20_000));
    let batch = world.pool.batch().insert(row(3, 1)).remove(&1);
    let error = batch.insert(Arc::clone(&heavy)).commit().unwrap_err();
    let BatchErrorKind::Refused { error: refusal, .. } = error.kind() else {
        panic!("{error}")
    };
    assert!(matches!(refusal, InsertError::TooHeavy { value, .. } if Arc::ptr_eq(value, &heavy)));
    assert_eq!((world.live(9), world.told()), (vec![(1, 1)], vec![]));
    let batch = error.into_batch().insert(row(2, 5));
    let error = batch
        .insert_with_ttl(row(4, 1), Duration::ZERO)
        .commit()
        .unwrap_err();
    let BatchErrorKind::Refused {
        error: InsertError::ZeroTtl { value, .. },
        ..
    } = error.kind()
    else {
        panic!("{error}")
    };
    assert_eq!((value.id, world.live(9), world.told()), (4, vec![(1, 1)], vec![]));
    // A later operation on the id takes the place of the one that cannot be.
    error.into_batch().insert(row(4, 7)).commit().unwrap_err();
}

/// Contract: P29 (partial: a dropped batch)
#[test]
fn a_dropped_batch_does_nothing() {
    let mut world = World::new();
    let value = world.pool.insert(row(1, 1)).unwrap();
    world.told();
    let batch = world
        .pool
        .batch()
        .insert(row(2, 1))
        .remove(&1)
        .insert(Arc::clone(&value));
    assert_eq!(Arc::strong_count(&value), 3);
    drop(batch);
    assert_eq!(Arc::strong_count(&value), 2);
    assert_eq!(
        (world.live(9), world.told(), world.pool.sequence()),
        (vec![(1, 1)], vec![], 1)
    );
}

/// Under `KeepNewest` older values are left out, in a batch as alone; the rest is stored.
///
/// Contract: P29 (partial: the newest), P14 (partial: batches)
#[test]
fn older_values_are_left_out_of_a_batch() {
    let mut world = World::with(|pool| pool.on_conflict(OnConflict::keep_newest()));
    for id in 1..=3 {
        world.pool.insert(row(id, 5)).unwrap();
    }
    world.pool.insert_with_ttl(row(4, 5), SECOND).unwrap();
    world.clock.advance(SECOND);
    world.told();
    let stats = world
        .pool
        .insert_many([row(1, 4), row(2, 5), row(3, 6), row(4, 1), row(5, 1)])
        .unwrap();
    assert_eq!((stats.inserted, stats.updated), (2, 2));
    assert_eq!(world.live(9), [(1, 5), (2, 5), (3, 6), (4, 1), (5, 1)]);
    let expected = [
        Told::Removed(4, "expired"),
        Told::Updated(2, 5, 5),
        Told::Updated(3, 5, 6),
        Told::Inserted(4, 1),
        Told::Inserted(5, 1),
    ];
    assert_eq!(world.told(), expected);
}

/// Contract: P30 (partial: the limit)
#[test]
fn a_batch_of_too_many_operations_is_refused_and_handed_back() {
    let mut world = World::new();
    let value = Arc::new(row(1, 1));
    let many = std::iter::repeat_n(value, BATCH_ITEMS_MAX + 1);
    let error = world.pool.insert_many(many).unwrap_err();
    let BatchErrorKind::TooMany { max, .. } = error.kind() else {
        panic!("{error}")
    };
    assert_eq!((*max, BATCH_ITEMS_MAX), (1 << 20, 1 << 20));
    assert_eq!(error.into_batch().len(), BATCH_ITEMS_MAX + 1);
    assert_eq!(
        (world.told(), world.pool.len(), world.pool.sequence()),
        (vec![], 0, 0)
    );
}
