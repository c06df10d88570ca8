//! Room for many: whoever has expired goes before anybody live, and the bounds hold at every moment, under many writers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use larder_pool::limits::{ENTRY_OVERHEAD_BYTES, WHEEL_TICK};
use larder_pool::{Capacity, Changed, Eviction, Pool, Reason};
use larder_testkit::{Random, SimClock};

use super::ground::{Row, Told, World, kinds, millis_of, row};

/// By inserts, by batches and by a lower bound; those who expired by their time to idle too.
///
/// Contract: P34
#[test]
fn nobody_live_is_evicted_while_somebody_expired_is_resident() {
    for (entries, eviction) in kinds() {
        let mut world = World::of(entries, eviction);
        let half = entries / 2;
        // The live ones are the older ones, and nobody uses them.
        (0..half).for_each(|id| world.insert(id));
        (half..half + half / 2).for_each(|id| world.insert_for(id, 10));
        (half + half / 2..entries).for_each(|id| world.insert_idle(id, 10));
        world.pass(9);
        assert!(
            world.pool.get(&(entries - 1)).is_some(),
            "used, so it does not expire yet"
        );
        world.pass(1);
        world.clock.advance(WHEEL_TICK);
        world.told();
        // All but two of the dead make room, one for one.
        let dead = entries - half - 1;
        let one_by_one = half / 2;
        (1_000..1_000 + one_by_one).for_each(|id| world.insert(id));
        let together = dead - one_by_one - 2;
        let rows = (2_000..2_000 + together).map(|id| row(id, 0));
        world.pool.insert_many(rows).unwrap();
        let removals = world.pool.stats().removals;
        assert_eq!(removals.evicted(), 0, "{entries} under {eviction:?}");
        assert_eq!(
            removals.expired() + removals.idle(),
            dead - 2,
            "{entries} under {eviction:?}"
        );
        // A lower bound takes the last of them first, and then one who lives.
        world
            .pool
            .set_capacity(Capacity::of_entries(entries - 2))
            .unwrap();
        assert_eq!(world.pool.stats().removals.evicted(), 0);
        assert!((0..half).all(|id| world.pool.contains(&id)) && world.pool.contains(&(entries - 1)));
        world
            .pool
            .set_capacity(Capacity::of_entries(entries - 3))
            .unwrap();
        let removals = world.pool.stats().removals;
        assert_eq!((removals.evicted(), removals.total()), (1, dead + 1));
    }
}

/// An expired entry that a batch takes out, or puts another in the place of, is not taken out once more when a later
/// member needs room.
///
/// Contract: P34 (partial: batches that touch the expired)
#[test]
fn an_expired_entry_makes_room_in_a_batch_once() {
    for (entries, eviction) in kinds() {
        for replaced in [true, false] {
            let mut world = World::of(entries, eviction);
            (0..entries).for_each(|id| world.insert_for(id, 5));
            world.pass(6);
            world.told();
            let batch = world.pool.batch();
            let batch = if replaced {
                batch.insert(row(0, 1))
            } else {
                batch.remove(&0)
            };
            let new = (1_000..999 + entries).map(|id| row(id, 0));
            let stats = new.fold(batch, larder_pool::Batch::insert).commit().unwrap();
            assert_eq!(stats.evicted, 0, "{eviction:?}");
            let expired = world.pool.stats().removals.expired();
            let told = world.told();
            let left = told
                .iter()
                .filter(|told| matches!(told, Told::Removed(_, "expired")));
            assert_eq!(left.count() as u64, expired, "{eviction:?}");
            let resident = entries - expired + entries - 1 + u64::from(replaced);
            assert_eq!(world.pool.len() as u64, resident, "{eviction:?}");
            assert_eq!(world.pool.contains(&0), replaced);
            world.pool.sweep(usize::MAX);
            assert_eq!(world.pool.stats().removals.expired(), entries);
        }
    }
}

const WRITERS: u64 = 8;

/// Runs 8 writers at once, each with its number and a generator of its own.
fn writers(pool: &Pool<Row>, work: impl Fn(&Pool<Row>, u64, &mut Random) + Sync) {
    let start = Barrier::new(usize::try_from(WRITERS).unwrap());
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                start.wait();
                work(pool, writer, &mut Random::seeded(writer));
            });
        }
    });
}

/// 8 writers of values of all weights, and two who look on: both bounds hold at every sample.
///
/// Contract: P38 (partial: at any moment that others can see, under 8 writers)
#[test]
fn regression_20_entries_and_bytes_hold_at_every_sample_under_8_writers() {
    for (at, eviction) in Eviction::ALL.into_iter().enumerate() {
        let entries = [60, 200, 60, 200][at];
        let bytes = entries * (ENTRY_OVERHEAD_BYTES + 100);
        let pool = Pool::builder()
            .capacity_entries(entries)
            .capacity_bytes(bytes)
            .eviction(eviction)
            .weigher(|row: &Row| usize::try_from(row.version).unwrap())
            .build()
            .unwrap();
        let over = AtomicBool::new(false);
        let samples = thread::scope(|scope| {
            let sample = || {
                let mut samples = 0_u64;
                while !over.load(Ordering::Acquire) || samples == 0 {
                    assert!(pool.len() as u64 <= entries, "{eviction:?}");
                    assert!(pool.weight_bytes() as u64 <= bytes, "{eviction:?}");
                    let stats = pool.stats();
                    assert!(stats.entries <= entries && stats.bytes <= bytes);
                    samples += 1;
                }
                samples
            };
            let samplers = [scope.spawn(sample), scope.spawn(sample)];
            writers(&pool, |pool, _, random| {
                for _ in 0..300 {
                    let (id, weight) = (random.below(2 * entries), random.below(400));
                    match random.below(5) {
                        0..3 => drop(pool.insert(row(id, weight)).unwrap()),
                        3 => {
                            let rows = (id..id + 5).map(|id| row(id, weight));
                            pool.insert_many(rows).unwrap();
                        }
                        _ => drop(pool.remove(&id)),
                    }
                }
            });
            over.store(true, Ordering::Release);
            samplers.map(|sampler| sampler.join().unwrap())
        });
        assert!(samples.iter().all(|count| *count > 0));
        let stats = pool.stats();
        assert!(stats.removals.evicted() > 0, "there was no pressure");
        let resident = (0..2 * entries + 5).filter(|id| pool.contains(id));
        assert_eq!(resident.count() as u64, stats.entries, "what is counted is there");
    }
}

/// Each commit as a listener hears it: the sequence, the id, and why it has left if it has.
type Heard = Arc<Mutex<Vec<(u64, Option<Reason>)>>>;

fn listened(heard: &Heard) -> impl Fn(&Changed<'_, Row>) + use<> {
    let heard = Arc::clone(heard);
    move |change| {
        let row = change.new.or(change.old).unwrap();
        heard.lock().unwrap().push((row.id, change.reason));
    }
}

/// A pool of two under 8 writers of ids of their own: at each step the older of the two leaves, and nobody else.
///
/// Contract: P42 (partial: under 8 writers)
#[test]
fn regression_20_a_pool_of_two_evicts_exactly_under_8_writers() {
    for eviction in Eviction::ALL {
        let heard = Heard::default();
        let builder = Pool::builder().capacity_entries(2).eviction(eviction);
        let pool = builder.listener(listened(&heard)).build().unwrap();
        writers(&pool, |pool, writer, _| {
            for at in 0..200 {
                pool.insert(row(writer * 1_000 + at, 0)).unwrap();
            }
        });
        let mut resident: Vec<u64> = Vec::new();
        for (id, reason) in heard.lock().unwrap().drain(..) {
            match reason {
                None => resident.push(id),
                Some(reason) => {
                    assert_eq!((resident.len(), reason.as_str()), (2, "evicted"));
                    assert_eq!(resident.remove(0), id, "{eviction:?}");
                }
            }
            assert!(resident.len() <= 2, "{eviction:?}");
        }
        let stats = pool.stats();
        assert_eq!((stats.inserts, stats.removals.evicted()), (8 * 200, 8 * 200 - 2));
        assert!(resident.iter().all(|id| pool.contains(id)) && pool.len() == 2);
    }
}

/// 8 writers fill a pool of which half has expired: one expired entry leaves for each that comes, and nobody live.
///
/// Contract: P34 (partial: under 8 writers)
#[test]
fn regression_20_8_writers_evict_nobody_live_while_expired_ones_are_resident() {
    for (entries, eviction) in kinds() {
        let (heard, clock) = (Heard::default(), SimClock::new());
        let entries = entries / 16 * 16;
        let builder = Pool::builder().capacity_entries(entries).eviction(eviction);
        let builder = builder.clock(Arc::new(clock.clone())).listener(listened(&heard));
        let pool = builder.build().unwrap();
        for round in 0..3_u64 {
            // Half of it lives on from round to round, half expires.
            let half = entries / 2;
            for id in 0..half {
                let _ = pool.get(&id).is_some() || pool.insert(row(id, 0)).is_ok();
            }
            let base = 10_000 * (round + 1);
            for id in base..base + half {
                pool.insert_with_ttl(row(id, 0), millis_of(5)).unwrap();
            }
            clock.advance(millis_of(5) + WHEEL_TICK);
            heard.lock().unwrap().clear();
            let each = half / WRITERS;
            writers(&pool, |pool, writer, _| {
                for at in 0..each {
                    let id = base + 5_000 + writer * each + at;
                    pool.insert_with_ttl(row(id, 0), millis_of(5)).unwrap();
                }
            });
            let mut left = BTreeMap::new();
            for (id, reason) in heard.lock().unwrap().drain(..) {
                if let Some(reason) = reason {
                    assert_eq!(reason.as_str(), "expired", "{id}, {entries} under {eviction:?}");
                    assert_eq!(left.insert(id, reason), None, "{id} left twice");
                }
            }
            assert_eq!(left.len() as u64, half);
            clock.advance(millis_of(5) + WHEEL_TICK);
            assert!((0..half).all(|id| pool.contains(&id)));
            pool.sweep(usize::MAX);
        }
        assert_eq!(pool.stats().removals.evicted(), 0);
    }
}
