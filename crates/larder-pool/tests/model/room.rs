//! The bounds under many schedules: held at every moment, by writers of all kinds.

use larder_pool::{Capacity, Eviction};
use shuttle::thread;

use crate::explore::explore;
use crate::world::{Row, World};

fn rows(ids: std::ops::Range<u64>) -> impl Iterator<Item = Row> {
    ids.map(|id| Row { id, version: id })
}

/// Contract: P38 (partial: schedules), P40 (partial: what is inserted is resident, under schedules)
#[test]
fn writers_at_capacity() {
    explore("writers_at_capacity", || {
        let world = World::new(|pool| pool.capacity_entries(2).eviction(Eviction::Sieve));
        let writers: Vec<_> = [10_u64, 20]
            .into_iter()
            .map(|first| {
                let world = world.clone();
                thread::spawn(move || {
                    for row in rows(first..first + 2) {
                        world.pool.insert(row).unwrap();
                        assert!(world.pool.len() <= 2);
                    }
                })
            })
            .collect();
        let batch = {
            let world = world.clone();
            thread::spawn(move || world.pool.insert_many(rows(30..33)).map(drop).unwrap())
        };
        for _ in 0..3 {
            assert!(world.pool.len() <= 2);
        }
        for writer in writers {
            writer.join().unwrap();
        }
        batch.join().unwrap();
        assert_eq!(world.pool.len(), 2);
        let stats = world.pool.stats();
        assert_eq!(stats.inserts - stats.removals.total(), 2);
    });
}

/// Contract: P22 (partial: `set_capacity`, under schedules)
#[test]
fn a_bound_that_falls_while_others_write() {
    explore("a_bound_that_falls_while_others_write", || {
        let world = World::new(|pool| pool.capacity_entries(4));
        let writer = {
            let world = world.clone();
            thread::spawn(move || {
                for row in rows(0..4) {
                    world.pool.insert(row).unwrap();
                }
            })
        };
        world.pool.set_capacity(Capacity::of_entries(1)).unwrap();
        assert!(world.pool.len() <= 1);
        writer.join().unwrap();
        assert_eq!(world.pool.len(), 1);
    });
}
