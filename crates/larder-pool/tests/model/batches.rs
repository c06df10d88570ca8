//! Batches under many schedules: who has seen any part of one sees all of it.

use larder_pool::Reason;
use shuttle::thread;

use crate::explore::explore;
use crate::world::{Row, World, tag};

fn pair(version: u64) -> [Row; 2] {
    [Row { id: 1, version }, Row { id: 2, version }]
}

/// Contract: P27 (partial: schedules)
#[test]
fn a_batch_against_reads_one_after_the_other() {
    explore("a_batch_against_reads_one_after_the_other", || {
        let world = World::new(|pool| pool);
        world.pool.insert_many(pair(1)).unwrap();
        let writer = {
            let world = world.clone();
            thread::spawn(move || world.pool.insert_many(pair(2)).map(drop).unwrap())
        };
        let reader = {
            let world = world.clone();
            thread::spawn(move || {
                let first = world.pool.get(&2).unwrap().version;
                let second = world.pool.get(&1).unwrap().version;
                assert!(second >= first, "{second} after {first}");
            })
        };
        let first = world.pool.get(&1).unwrap().version;
        let second = world.pool.get(&2).unwrap().version;
        assert!(second >= first, "{second} after {first}");
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

/// Contract: P19 (partial: `get_many`, under schedules), P31 (partial: scans, under schedules)
#[test]
fn a_batch_against_reads_at_once_and_scans() {
    explore("a_batch_against_reads_at_once_and_scans", || {
        let world = World::new(|pool| pool);
        world.pool.insert_many(pair(1)).unwrap();
        let writer = {
            let world = world.clone();
            thread::spawn(move || world.pool.insert_many(pair(2)).map(drop).unwrap())
        };
        let scanner = {
            let world = world.clone();
            thread::spawn(move || {
                let mut seen = Vec::new();
                world.pool.retain(|row| {
                    seen.push(row.version);
                    true
                });
                assert!(seen == [1, 1] || seen == [2, 2], "{seen:?}");
            })
        };
        let rows = world.pool.get_many(&[1, 2]);
        let versions: Vec<_> = rows.iter().map(|row| row.as_ref().unwrap().version).collect();
        assert!(versions == [1, 1] || versions == [2, 2], "{versions:?}");
        writer.join().unwrap();
        scanner.join().unwrap();
    });
}

/// Contract: P44 (partial: tags, under schedules), P29 (partial: a batch against a tag)
#[test]
fn a_batch_against_an_invalidation_of_its_tag() {
    explore("a_batch_against_an_invalidation_of_its_tag", || {
        let world = World::new(|pool| pool);
        let writer = {
            let world = world.clone();
            thread::spawn(move || world.pool.insert_many(pair(1)).map(drop).unwrap())
        };
        world.write(1, 2, |world| world.invalidate(&tag()));
        // Stored before it, both are gone; after it, both are there; and never one of them.
        let resident = world.pool.get_many(&[1, 2]).iter().flatten().count();
        writer.join().unwrap();
        assert!(resident == 0 || resident == 2, "{resident}");
        world.invalidate(&tag());
        assert_eq!(world.pool.get_many(&[1, 2]).iter().flatten().count(), 0);
        world.pool.insert_many(pair(3)).unwrap();
        assert_eq!(world.pool.get_many(&[1, 2]).iter().flatten().count(), 2);
    });
}

/// Contract: P26 (partial: schedules), P20 (partial: `clear`, under schedules)
#[test]
fn events_come_in_the_order_of_commits() {
    explore("events_come_in_the_order_of_commits", || {
        let world = World::new(|pool| pool);
        let mut events = world.pool.events();
        let writers: Vec<_> = [1, 2]
            .into_iter()
            .map(|version| {
                let world = world.clone();
                thread::spawn(move || world.pool.insert_many(pair(version)).map(drop).unwrap())
            })
            .collect();
        world.pool.clear(Reason::Manual);
        for writer in writers {
            writer.join().unwrap();
        }
        let mut mirror = std::collections::BTreeMap::new();
        let mut last = 0;
        while let Ok(event) = events.try_recv() {
            assert!(event.sequence() >= last);
            last = event.sequence();
            match event {
                larder_pool::Event::Inserted { value, .. } => drop(mirror.insert(value.id, value.version)),
                larder_pool::Event::Cleared { .. } => mirror.clear(),
                other => panic!("{other:?}"),
            }
        }
        let resident: Vec<_> = world.pool.get_many(&[1, 2]).into_iter().flatten().collect();
        let resident = resident.iter().map(|row| (row.id, row.version)).collect();
        assert_eq!(mirror, resident);
    });
}
