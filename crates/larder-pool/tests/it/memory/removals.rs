//! Out: by id, by tag, by closure, all at once.

use std::sync::Arc;
use std::time::Duration;

use larder_pool::{Event, InsertOptions, OnConflict, Pool, Reason, Tag};
use larder_testkit::{Random, for_each_seed};

use super::rows::{Row, Told, World, by_others, row, target, team};

const SECOND: Duration = Duration::from_secs(1);

/// What is in flight and whose reasons there are is seen below, and by the compiler in `compiling`.
///
/// Contract: P20
#[test]
fn invalidate_says_whether_the_id_was_live() {
    let reasons = [
        (Reason::Manual, "manual"),
        (Reason::Saved, "saved"),
        (Reason::Deleted, "deleted"),
    ];
    for (reason, word) in reasons {
        let mut world = World::new();
        for id in 1..=3 {
            world
                .pool
                .insert_with_ttl(row(id, 1), SECOND * u32::try_from(id).unwrap())
                .unwrap();
        }
        world.told();
        let before = world.pool.sequence();
        assert!(!world.pool.invalidate(&9, reason), "absent");
        assert_eq!((world.told(), world.pool.sequence()), (vec![], before));
        assert!(world.pool.invalidate(&2, reason));
        assert!(!world.pool.invalidate(&2, reason), "it was removed");
        world.clock.advance(SECOND);
        assert!(!world.pool.invalidate(&1, reason), "expired");
        assert_eq!(
            world.told(),
            [Told::Removed(2, word), Told::Removed(1, "expired")]
        );
        assert_eq!((world.live(9), world.pool.sequence()), (vec![(3, 1)], before + 2));
        assert_eq!(world.pool.stats().removals.of(reason), 1);
    }
}

/// Contract: P20 (partial: `remove` and `clear`)
#[test]
fn remove_gives_the_live_value_and_clear_empties_at_once() {
    let mut world = World::new();
    assert_eq!(
        (
            world.pool.clear(Reason::Saved),
            world.pool.sequence(),
            world.told()
        ),
        (0, 0, vec![])
    );
    let value = world.pool.insert(row(1, 1)).unwrap();
    assert!(Arc::ptr_eq(&value, &world.pool.remove(&1).unwrap()));
    assert!(world.pool.remove(&1).is_none());
    world.pool.insert_with_ttl(row(1, 2), SECOND).unwrap();
    world.clock.advance(SECOND);
    assert!(world.pool.remove(&1).is_none(), "it is dead");
    let told = [
        Told::Inserted(1, 1),
        Told::Removed(1, "manual"),
        Told::Inserted(1, 2),
        Told::Removed(1, "expired"),
    ];
    assert_eq!(world.told(), told);

    for id in 0..500 {
        let time = if id < 100 { SECOND } else { SECOND * 9 };
        world
            .pool
            .insert_with_ttl(
                Row {
                    team: 3,
                    ..row(id, 1)
                },
                time,
            )
            .unwrap();
    }
    world.clock.advance(SECOND);
    world.told();
    let before = world.pool.sequence();
    assert_eq!(world.pool.clear(Reason::Deleted), 500, "the dead among them");
    assert_eq!(world.told_at(), [(before + 1, Told::Cleared(500, "deleted"))]);
    assert_eq!(
        (world.pool.len(), world.pool.weight_bytes(), world.live(500)),
        (0, 0, vec![])
    );
    // Nothing of them is left behind: neither timers nor tags.
    world.pool.insert(Row { team: 3, ..row(1, 1) }).unwrap();
    world.clock.advance(SECOND * 20);
    assert_eq!((world.pool.sweep(999).removed, world.live(9)), (0, vec![(1, 1)]));
    assert_eq!(world.pool.invalidate_tag(&Tag::new("team:3").unwrap()), 1);
}

/// A reason of the pool's own, which a caller can only have from an event, counts as `Manual`.
///
/// Contract: P20 (partial: the pool's own reasons), P119 (partial: the same)
#[test]
fn the_pools_own_reasons_are_not_for_callers_to_give() {
    let mut world = World::with(|pool| pool.capacity_entries(1));
    world.pool.insert(row(1, 1)).unwrap();
    world.pool.insert(row(2, 1)).unwrap();
    let mut reasons = Vec::new();
    while let Ok(event) = world.events.try_recv() {
        if let Event::Removed { reason, .. } = event {
            reasons.push(reason);
        }
    }
    let [evicted] = reasons.as_slice() else {
        panic!("one was evicted")
    };
    assert_eq!(evicted.as_str(), "evicted");
    assert!(world.pool.invalidate(&2, *evicted));
    world.pool.insert(row(3, 1)).unwrap();
    world.pool.batch().invalidate(&3, *evicted).commit().unwrap();
    world.pool.insert(row(4, 1)).unwrap();
    world.pool.clear(*evicted);
    let told: Vec<_> = world
        .told()
        .into_iter()
        .filter(|told| !matches!(told, Told::Inserted(..)))
        .collect();
    let expected = [
        Told::Removed(2, "manual"),
        Told::Removed(3, "manual"),
        Told::Cleared(1, "manual"),
    ];
    assert_eq!(told, expected);
    assert_eq!(world.pool.stats().removals.evicted(), 1);
}

/// Whether the id was live, expired or absent: what loads it is not stored. Whoever waits gets it.
///
/// Contract: P20 (partial: what is in flight), P46 (partial: removals)
#[test]
fn what_is_being_loaded_meanwhile_is_not_stored() {
    type Out = (&'static str, fn(&World));
    let outs: [Out; 6] = [
        ("invalidate", |world| {
            world.pool.invalidate(&1, Reason::Saved);
        }),
        ("remove", |world| drop(world.pool.remove(&1))),
        ("clear", |world| {
            world.pool.clear(Reason::Manual);
        }),
        ("batch", |world| {
            world.pool.batch().remove(&1).commit().unwrap();
        }),
        ("a tag that it will have", |world| {
            world.pool.invalidate_tag(&Tag::new("team:3").unwrap());
        }),
        ("another's removal", |world| drop(world.pool.remove(&2))),
    ];
    for (what, out) in outs {
        for is_expired in [false, true] {
            let world = World::new();
            if is_expired {
                world.pool.insert_with_ttl(row(1, 1), SECOND).unwrap();
                world.clock.advance(SECOND);
            }
            let (source, load) = world.load(1);
            out(&world);
            source.send(Row { team: 3, ..row(1, 2) }).ok().unwrap();
            assert_eq!(load(), Some(2), "{what}: who waits gets it");
            let is_stored = what == "another's removal";
            assert_eq!(
                world.peek(1),
                is_stored.then_some(2),
                "{what}, expired: {is_expired}"
            );
        }
    }
}

/// Random pools: what a closure refuses leaves in one commit, the rest stays as it is, the dead are neither asked for nor
/// taken.
///
/// Contract: P21 (partial: `retain`)
#[test]
fn retain_removes_what_is_refused_in_one_commit() {
    for_each_seed(40, |seed| {
        let mut random = Random::seeded(seed);
        let mut world = World::with(|pool| pool.capacity_entries(1 + random.below(400)));
        for id in 0..random.below(300) {
            let time = if random.chance(200) { SECOND } else { SECOND * 9 };
            world
                .pool
                .insert_with_ttl(row(id, random.below(5)), time)
                .unwrap();
        }
        world.clock.advance(SECOND);
        let live = world.live(300);
        let (before, residents) = (world.pool.sequence(), world.pool.len());
        world.told();
        let mut asked = Vec::new();
        let limit = random.below(6);
        let count = world.pool.retain(|row| {
            asked.push((row.id, row.version));
            row.version < limit
        });
        asked.sort_unstable();
        assert_eq!(asked, live, "each live one once");
        let (kept, gone): (Vec<_>, Vec<_>) = live.into_iter().partition(|(_, version)| *version < limit);
        assert_eq!((world.live(300), count), (kept, gone.len()));
        assert_eq!(world.pool.len(), residents - gone.len());
        let mut told = world.told_at();
        told.sort_unstable_by_key(|(_, told)| match told {
            Told::Removed(id, _) => *id,
            other => panic!("{other:?}"),
        });
        let expected = gone
            .iter()
            .map(|(id, _)| (before + 1, Told::Removed(*id, "manual")));
        assert_eq!(told, expected.collect::<Vec<_>>());
        assert_eq!(world.pool.sequence(), before + u64::from(count > 0));
    });
}

/// While the closure looks at one state, the pool goes on: what stands for another value by then stays, what has left is
/// gone, what has come is not asked for.
///
/// Contract: P21 (partial: `retain` beside writers), P31 (partial: `retain`)
#[test]
fn retain_takes_only_what_it_has_seen() {
    for rule in [OnConflict::Replace, OnConflict::Update] {
        let mut world = World::with(|pool| pool.on_conflict(rule));
        for id in 1..=6 {
            world.pool.insert(row(id, 1)).unwrap();
        }
        world.told();
        let same = world.pool.peek(&6).unwrap();
        let mut asked = Vec::new();
        let count = world.pool.retain(|row| {
            if asked.is_empty() {
                meddle(&world.pool, &same);
            }
            asked.push((row.id, row.version));
            false
        });
        asked.sort_unstable();
        assert_eq!(
            asked,
            [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1)],
            "one state, that of the beginning"
        );
        assert_eq!(
            (world.live(20), count),
            (vec![(1, 2), (2, 2), (4, 2), (10, 1)], 2)
        );
        let removed = world.told().into_iter().rev().take(2);
        let mut removed: Vec<_> = removed.map(|told| format!("{told:?}")).collect();
        removed.sort_unstable();
        assert_eq!(removed, ["Removed(5, \"manual\")", "Removed(6, \"manual\")"]);
    }
}

/// Changes of all kinds: ids 1, 2 and 4 stand for other values, 3 has left, 10 has come, 6 has left and come again as it
/// was.
fn meddle(pool: &Pool<Row>, same: &Arc<Row>) {
    pool.insert(row(1, 2)).unwrap();
    pool.update(&2, |old| row(old.id, 2)).unwrap();
    pool.remove(&3);
    pool.remove(&4);
    pool.batch()
        .insert(row(4, 2))
        .insert(row(10, 1))
        .commit()
        .unwrap();
    pool.remove(&6);
    pool.insert(Arc::clone(same)).unwrap();
}

/// A tag's entries leave, and those that came after its invalidation stay.
///
/// Contract: P44 (partial: tags of a pool, by hand)
#[test]
fn a_tag_takes_its_entries_and_no_others() {
    let mut world = World::new();
    for id in 0..600 {
        world
            .pool
            .insert(Row {
                team: id % 3,
                ..row(id, 1)
            })
            .unwrap();
    }
    world
        .pool
        .insert_with(row(700, 1), InsertOptions::new().tag("team:1"))
        .unwrap();
    world.told();
    assert_eq!(world.pool.invalidate_tag(&Tag::new("team:1").unwrap()), 201);
    assert_eq!((world.pool.len(), world.told().len()), (400, 201));
    assert!(world.live(800).iter().all(|(id, _)| id % 3 != 1));
    world.pool.insert(Row { team: 1, ..row(1, 2) }).unwrap();
    assert_eq!(world.peek(1), Some(2));
    world.fence.invalidate(&team(2), by_others());
    world.fence.invalidate(&target(0), by_others());
    assert_eq!(
        world.live(800).len(),
        200,
        "the 199 of no team that are left, and the one that came"
    );
}
