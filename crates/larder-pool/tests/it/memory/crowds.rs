//! Batches that do not fit: members evict residents, and each other.

use std::collections::BTreeMap;
use std::time::Duration;

use larder_pool::{BatchStats, Eviction, OnConflict};
use larder_testkit::{Random, for_each_seed};

use super::rows::{Row, Told, World, row};

const SECOND: Duration = Duration::from_secs(1);

/// In a small pool, which evicts exactly: residents leave first, and of the batch the last ones stay.
///
/// Contract: P30 (partial: exactly)
#[test]
fn of_a_batch_that_does_not_fit_the_last_members_stay() {
    let mut world = World::with(|pool| pool.capacity_entries(4));
    for id in 1..=3 {
        world.pool.insert(row(id, 1)).unwrap();
    }
    world.told();
    let stats = world.pool.insert_many((10..20).map(|id| row(id, 1))).unwrap();
    assert_eq!(
        (stats.inserted, stats.evicted, stats.updated),
        (4, 3, 0),
        "six never were"
    );
    let expected = [
        Told::Removed(1, "evicted"),
        Told::Removed(2, "evicted"),
        Told::Removed(3, "evicted"),
        Told::Inserted(16, 1),
        Told::Inserted(17, 1),
        Told::Inserted(18, 1),
        Told::Inserted(19, 1),
    ];
    assert_eq!(world.told(), expected);
    assert_eq!(
        (world.live(30).len(), world.pool.len(), world.pool.sequence()),
        (4, 4, 4)
    );
    let stats = world.pool.stats();
    assert_eq!((stats.inserts, stats.removals.total()), (3 + 4, 3));
}

/// A member that took the place of a resident and was driven out again: the resident has left.
///
/// Contract: P30 (partial: what a member stood in the place of)
#[test]
fn a_resident_whose_successor_was_driven_out_is_told_as_evicted() {
    for rule in [OnConflict::Replace, OnConflict::Update] {
        let mut world = World::with(|pool| pool.capacity_entries(3).on_conflict(rule));
        world.pool.insert(row(1, 1)).unwrap();
        world.pool.insert(row(2, 1)).unwrap();
        world.told();
        let batch = world
            .pool
            .batch()
            .insert(row(1, 2))
            .insert(row(10, 1))
            .insert(row(11, 1));
        let stats = batch.insert(row(12, 1)).commit().unwrap();
        assert_eq!((stats.inserted, stats.updated, stats.evicted), (3, 0, 2));
        let told = world.told();
        let (left, came) = told.split_at(2);
        assert!(left.contains(&Told::Removed(1, "evicted")) && left.contains(&Told::Removed(2, "evicted")));
        assert_eq!(came, [10, 11, 12].map(|id| Told::Inserted(id, 1)));
        assert_eq!(world.live(20), [(10, 1), (11, 1), (12, 1)]);
    }
}

struct Crowd {
    world: World,
    mirror: BTreeMap<u64, u64>,
    capacity: usize,
    as_update: bool,
    /// Not where bytes are bound: tags weigh, too.
    has_tags: bool,
}

impl Crowd {
    fn new(random: &mut Random) -> Self {
        let most = if random.chance(500) { 12 } else { 150 };
        let capacity = 1 + random.below(most);
        let as_update = random.chance(500);
        let rule = if as_update {
            OnConflict::Update
        } else {
            OnConflict::Replace
        };
        let eviction = Eviction::ALL[random.index(4)];
        let of_bytes = random.chance(300);
        let world = World::with(|pool| {
            let pool = pool.on_conflict(rule).eviction(eviction).event_capacity(1 << 16);
            if of_bytes {
                let overhead = larder_pool::limits::ENTRY_OVERHEAD_BYTES + 100;
                pool.weigher(|_| 100).capacity_bytes(capacity * overhead)
            } else {
                pool.capacity_entries(capacity)
            }
        });
        Crowd {
            world,
            mirror: BTreeMap::new(),
            capacity: usize::try_from(capacity).unwrap(),
            as_update,
            has_tags: !of_bytes,
        }
    }

    /// What was told, replayed: who leaves comes first, everything in one commit, and it is what was counted.
    fn replay(&mut self, stats: &BatchStats, given: &BTreeMap<u64, u64>) {
        let mut counted = BatchStats::default();
        let mut has_come = false;
        for (sequence, told) in self.world.told_at() {
            assert_eq!(sequence, stats.sequence);
            match told {
                Told::Removed(id, reason) => {
                    assert!(!has_come, "who leaves is told first");
                    assert!(self.mirror.remove(&id).is_some(), "{id} was never told");
                    match reason {
                        "evicted" => counted.evicted += 1,
                        "manual" => counted.removed += 1,
                        other => assert_eq!(other, "expired"),
                    }
                }
                Told::Inserted(id, version) => {
                    has_come = true;
                    let old = self.mirror.insert(id, version);
                    assert!(old.is_none() || !self.as_update);
                    assert_eq!(given.get(&id), Some(&version));
                    counted.inserted += 1;
                }
                Told::Updated(id, old, version) => {
                    has_come = true;
                    assert_eq!(self.mirror.insert(id, version), Some(old));
                    assert!(self.as_update && given.get(&id) == Some(&version));
                    counted.updated += 1;
                }
                Told::Cleared(..) => panic!("nobody cleared it"),
            }
        }
        counted.sequence = stats.sequence;
        assert_eq!(counted, *stats);
    }
}

/// Random batches, most of which do not fit, under every policy, with entries that expire: the events replayed are what is
/// resident, the bound holds, and there is nothing of members who were driven out.
///
/// Contract: P30
#[test]
fn members_of_a_batch_may_evict_each_other() {
    for_each_seed(150, |seed| {
        let mut random = Random::seeded(seed);
        let mut crowd = Crowd::new(&mut random);
        let ids = 1 + random.below(2 * crowd.capacity as u64 + 10);
        for round in 0..8 {
            let mut batch = crowd.world.pool.batch();
            let mut given = BTreeMap::new();
            for at in 0..random.below(2 * crowd.capacity as u64 + 5) {
                let (id, version) = (random.below(ids), round * 10_000 + at);
                if random.chance(150) {
                    batch = batch.remove(&id);
                    given.remove(&id);
                    continue;
                }
                batch = match random.below(4) {
                    0 => batch.insert_with_ttl(row(id, version), SECOND),
                    1 if crowd.has_tags => batch.insert(Row {
                        team: 3,
                        ..row(id, version)
                    }),
                    _ => batch.insert(row(id, version)),
                };
                given.insert(id, version);
            }
            let stats = batch.commit().unwrap();
            crowd.replay(&stats, &given);
            assert!(crowd.world.pool.len() <= crowd.capacity);
            assert_eq!(crowd.world.pool.len(), crowd.mirror.len());
            let expected: Vec<_> = crowd.mirror.iter().map(|(id, version)| (*id, *version)).collect();
            assert_eq!(crowd.world.live(ids), expected, "none has expired yet");
            // What was announced and has gone by other ways since.
            if random.chance(300) {
                crowd.world.clock.advance(SECOND);
                crowd.world.pool.sweep(usize::MAX);
                for told in crowd.world.told() {
                    let Told::Removed(id, "expired") = told else {
                        panic!("{told:?}")
                    };
                    crowd.mirror.remove(&id).unwrap();
                }
            }
        }
    });
}
