//! Mirrors: whoever replays what a pool tells has its contents, at every step.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use larder_core::{Cause, Target};
use larder_pool::{Capacity, Changed, Eviction, InsertOptions, OnConflict, Reason, Reclaim};
use larder_testkit::{Random, for_each_seed};

use crate::bounds::ground::{Row, Told, World, millis_of, row};

/// Ids and versions.
type Mirror = BTreeMap<u64, u64>;

/// What a listener has built, and how far it has come.
#[derive(Default)]
struct Listening {
    rows: BTreeMap<u64, Arc<Row>>,
    sequence: u64,
    faults: Vec<String>,
}

impl Listening {
    fn hear(&mut self, change: &Changed<'_, Row>) {
        if change.sequence < self.sequence {
            self.faults
                .push(format!("{} after {}", change.sequence, self.sequence));
        }
        self.sequence = change.sequence;
        let id = change.new.or(change.old).unwrap().id;
        let before = match change.new {
            Some(new) => self.rows.insert(id, Arc::clone(new)),
            None => self.rows.remove(&id),
        };
        // What it is said to have been is what was told last.
        if before.as_ref().map(Arc::as_ptr) != change.old.map(Arc::as_ptr) {
            self.faults
                .push(format!("{id} was something else at {}", change.sequence));
        }
        if change.new.is_some() == change.reason.is_some() {
            self.faults
                .push(format!("{id} both left and came at {}", change.sequence));
        }
    }
}

fn replay(told: Vec<Told>, mirror: &mut Mirror) {
    for told in told {
        match told {
            Told::Inserted(id, version) => drop(mirror.insert(id, version)),
            Told::Updated(id, old, new) => assert_eq!(mirror.insert(id, new), Some(old)),
            Told::Removed(id, reason) => {
                assert!(
                    mirror.remove(&id).is_some(),
                    "{id} left twice, now because of {reason}"
                );
            }
            Told::Cleared(count, _) => {
                assert_eq!(mirror.len(), count);
                mirror.clear();
            }
        }
    }
}

fn world(random: &mut Random, listening: &Arc<Mutex<Listening>>) -> World {
    let heard = Arc::clone(listening);
    let capacity = [1, 2, 5, 40, 70, 200][random.index(6)];
    let conflict = [OnConflict::Replace, OnConflict::Update, OnConflict::Reject][random.index(3)];
    let reclaim = [Reclaim::OnDemand, Reclaim::EachWrite(1), Reclaim::EachWrite(50)][random.index(3)];
    let bytes = random.chance(300).then_some(60 * 150);
    World::with(|builder| {
        let builder = builder
            .capacity_entries(capacity)
            .eviction(Eviction::ALL[random.index(4)])
            .on_conflict(conflict)
            .reclaim(reclaim)
            .weigher(|row| usize::try_from(row.version % 100).unwrap())
            .listener(move |change: &Changed<'_, Row>| heard.lock().unwrap().hear(change));
        match bytes {
            Some(bytes) => builder.capacity_bytes(bytes),
            None => builder,
        }
    })
}

fn step(world: &World, random: &mut Random, version: u64) {
    let (pool, id) = (&world.pool, random.below(120));
    let tagged = Row {
        tags: random.below(3),
        ..row(id, version)
    };
    match random.below(16) {
        0..4 => drop(pool.insert(tagged)),
        4..6 => drop(pool.insert_with_ttl(tagged, millis_of(1 + random.below(50)))),
        6 => {
            let options = InsertOptions::new().time_to_idle(millis_of(10));
            drop(pool.insert_with(tagged, options));
        }
        7 => drop(pool.remove(&id)),
        8 => world.pass(random.below(30)),
        9 | 10 => {
            let mut batch = pool.batch();
            for _ in 0..random.below(30) {
                let id = random.below(120);
                batch = if random.chance(700) {
                    batch.insert_with_ttl(row(id, version), millis_of(1 + random.below(50)))
                } else {
                    batch.remove(&id)
                };
            }
            drop(batch.commit());
        }
        11 => drop(pool.update(&id, |_| row(id, version))),
        12 => drop(pool.sweep(usize::try_from(random.below(10)).unwrap())),
        13 => {
            let what = [
                Target::entity("row", id).unwrap(),
                Target::tag("default", "part:1").unwrap(),
                Target::collection("row").unwrap(),
            ];
            let what = &what[random.index(40).saturating_sub(37)];
            world
                .fence
                .invalidate(what, Cause::direct(larder_core::Reason::new("by hand")));
        }
        14 => drop(pool.retain(|row| row.id % 7 != id % 7)),
        _ => match random.below(10) {
            0 => drop(pool.clear(Reason::Manual)),
            1 => {
                let capacity = Capacity::of_entries(1 + random.below(150));
                pool.set_capacity(capacity).unwrap();
            }
            _ => drop(pool.get(&id)),
        },
    }
}

/// Under single writes, batches whose members drive each other out, expiry, eviction, invalidation, retain and clear, in
/// pools of one entry and of hundreds: what readers of events have, what listeners have, and what is resident, is the same.
///
/// Contract: P37, P123 (partial: on one thread)
#[test]
fn mirrors_of_events_and_of_listeners_are_what_is_resident() {
    for_each_seed(50, |seed| {
        let mut random = Random::seeded(seed);
        let listening = Arc::new(Mutex::new(Listening::default()));
        let mut world = world(&mut random, &listening);
        let mut mirror = Mirror::new();
        for version in 0..100 {
            step(&world, &mut random, version);
            replay(world.told(), &mut mirror);
            let listening = listening.lock().unwrap();
            assert!(listening.faults.is_empty(), "{:?}", listening.faults);
            let heard = listening.rows.values().map(|row| (row.id, row.version));
            assert_eq!(heard.collect::<Mirror>(), mirror, "after {version}");
            assert_eq!(world.pool.len(), mirror.len(), "after {version}");
            if version % 20 == 0 {
                let is_resident = |id: &u64| world.pool.explain(id).resident.is_some();
                assert!(mirror.keys().all(is_resident), "after {version}");
            }
            let live = mirror.iter().filter_map(|(id, version)| {
                let row = world.pool.peek(id)?;
                Some((row.version, *version))
            });
            live.for_each(|(resident, mirrored)| assert_eq!(resident, mirrored));
        }
        let stats = world.pool.stats();
        assert_eq!((stats.listener_panics, stats.entries), (0, mirror.len() as u64));
    });
}

/// A reader that lagged knows by how much, so it can begin anew from the pool; after a clear it has to know nothing.
///
/// Contract: P118 (partial: lag and clear)
#[test]
fn a_mirror_that_lagged_is_right_again_after_a_clear() {
    for_each_seed(30, |seed| {
        let mut random = Random::seeded(seed);
        let World { pool, mut events, .. } = World::with(|builder| builder.event_capacity(16));
        let (mut mirror, mut is_right, mut lost) = (Mirror::new(), true, 0);
        for version in 0..200 {
            match random.below(12) {
                0 => drop(pool.clear(Reason::Manual)),
                1..4 => drop(pool.remove(&random.below(30))),
                4 => {
                    let rows = (0..random.below(30)).map(|id| row(id, version));
                    pool.insert_many(rows).unwrap();
                }
                _ => drop(pool.insert(row(random.below(30), version)).unwrap()),
            }
            if !random.chance(150) {
                continue;
            }
            loop {
                match events.try_recv() {
                    Ok(event) => match Told::of(&event) {
                        Told::Inserted(id, version) => drop(mirror.insert(id, version)),
                        Told::Removed(id, _) => drop(mirror.remove(&id)),
                        Told::Cleared(..) => {
                            mirror.clear();
                            is_right = true;
                        }
                        Told::Updated(..) => panic!("nothing was updated"),
                    },
                    Err(larder_pool::TryRecvError::Lagged(count)) => {
                        is_right = false;
                        lost += count;
                    }
                    Err(_) => break,
                }
            }
            if is_right {
                let resident = (0..30).filter_map(|id| Some((id, pool.peek(&id)?.version)));
                assert_eq!(mirror, resident.collect(), "after {version}");
            }
        }
        assert_eq!(pool.stats().lagged_events, lost);
    });
}
