//! Loads under many schedules.

use std::sync::Arc;

use larder_core::sync::{AtomicBool, Ordering};
use larder_pool::{LoadContext, Reason, Target};
use shuttle::future::block_on;
use shuttle::thread;

use crate::explore::explore;
use crate::world::{Never, Row, World, step, tag, target};

/// One writer, who tells the cache in one way, and two who load.
fn race(name: &str, tell: fn(&World)) {
    explore(name, move || {
        let world = World::new(|pool| pool);
        let writer = {
            let world = world.clone();
            thread::spawn(move || world.write(1, 1, tell))
        };
        let reader = {
            let world = world.clone();
            thread::spawn(move || {
                world.fetch(1);
                world.get(1);
            })
        };
        world.fetch(1);
        world.fetch(1);
        writer.join().unwrap();
        reader.join().unwrap();
        world.quiet();
    });
}

/// Contract: P46, P53 (partial: schedules)
#[test]
fn a_load_against_an_invalidation_of_its_id() {
    race("a_load_against_an_invalidation_of_its_id", |world| {
        world.invalidate(&target(1))
    });
}

/// Contract: P46 (partial: tags, under schedules)
#[test]
fn a_load_against_an_invalidation_of_its_tag() {
    race("a_load_against_an_invalidation_of_its_tag", |world| {
        world.invalidate(&tag())
    });
}

/// Contract: P46 (partial: everything, under schedules)
#[test]
fn a_load_against_an_invalidation_of_everything() {
    race("a_load_against_an_invalidation_of_everything", |world| {
        world.invalidate(&Target::Everything)
    });
}

/// Contract: P46 (partial: inserts, under schedules), P47 (partial: schedules)
#[test]
fn a_load_against_an_insert() {
    race("a_load_against_an_insert", |world| {
        world.pool.insert(world.row(1)).unwrap();
    });
}

/// Contract: P46 (partial: inserts that have left again, under schedules)
#[test]
fn a_load_against_an_insert_that_leaves_again() {
    race("a_load_against_an_insert_that_leaves_again", |world| {
        world.pool.insert(world.row(1)).unwrap();
        world.pool.remove(&1);
    });
}

/// Contract: P46 (partial: batches, under schedules)
#[test]
fn a_load_against_a_batch() {
    race("a_load_against_a_batch", |world| {
        world.pool.insert_many([world.row(1), world.row(2)]).unwrap();
        world.pool.batch().remove(&1).remove(&2).commit().unwrap();
    });
}

/// Contract: P46 (partial: removals, under schedules), P20 (partial: loads in the air, under schedules)
#[test]
fn a_load_against_a_removal() {
    race("a_load_against_a_removal", |world| {
        world.pool.invalidate(&1, Reason::Saved);
    });
}

/// Contract: P46 (partial: clear, under schedules)
#[test]
fn a_load_against_a_clear() {
    race("a_load_against_a_clear", |world| {
        world.pool.clear(Reason::Manual);
    });
}

/// An insert that is evicted before the load lands has been there all the same.
///
/// Contract: P46 (partial: eviction, under schedules)
#[test]
fn a_load_against_an_insert_that_is_evicted() {
    explore("a_load_against_an_insert_that_is_evicted", || {
        let world = World::new(|pool| pool.capacity_entries(1));
        let writer = {
            let world = world.clone();
            thread::spawn(move || {
                world.write(1, 1, |world| drop(world.pool.insert(world.row(1)).unwrap()));
                world.pool.insert(Row { id: 2, version: 9 }).unwrap();
            })
        };
        world.fetch(1);
        world.fetch(1);
        writer.join().unwrap();
        world.quiet();
    });
}

/// An older value that a load has read does not outlast a newer one, whenever that left: either the load finds it before
/// it begins, or it is told.
///
/// Contract: P46 (partial: loads that begin while an insert is on its way)
#[test]
fn a_load_that_began_before_an_insert_was_seen_does_not_outlive_it() {
    explore(
        "a_load_that_began_before_an_insert_was_seen_does_not_outlive_it",
        || {
            let world = World::new(|pool| pool.capacity_entries(1));
            let is_done = Arc::new(AtomicBool::new(false));
            let writer = {
                let (world, is_done) = (world.clone(), Arc::clone(&is_done));
                thread::spawn(move || {
                    world.pool.insert(Row { id: 1, version: 9 }).unwrap();
                    is_done.store(true, Ordering::SeqCst);
                    world.pool.insert(Row { id: 2, version: 9 }).unwrap();
                })
            };
            let began = Arc::new(AtomicBool::new(false));
            let noted = Arc::clone(&began);
            let load = move |_: LoadContext<Row>| {
                noted.store(!is_done.load(Ordering::SeqCst), Ordering::SeqCst);
                async move {
                    step().await;
                    Ok::<_, Never>(Row { id: 1, version: 0 })
                }
            };
            block_on(world.pool.get_or_fetch(&1, load)).unwrap();
            writer.join().unwrap();
            if began.load(Ordering::SeqCst) {
                assert_eq!(world.get(1), None, "it was read before the newer one came");
            }
            world.quiet();
        },
    );
}

/// Contract: P46 (partial: batches of loads against everything, under schedules)
#[test]
fn a_batch_of_loads_against_an_invalidation_of_everything() {
    explore("a_batch_of_loads_against_an_invalidation_of_everything", || {
        let world = World::new(|pool| pool);
        let writer = {
            let world = world.clone();
            thread::spawn(move || world.write(2, 1, |world| world.invalidate(&Target::Everything)))
        };
        world.fetch_many(&[1, 2]);
        world.fetch_many(&[2, 1]);
        writer.join().unwrap();
        world.quiet();
    });
}

/// Contract: P64 (partial: schedules), P46 (partial: batches of loads, under schedules)
#[test]
fn single_loads_and_batches_of_the_same_ids() {
    explore("single_loads_and_batches_of_the_same_ids", || {
        let world = World::new(|pool| pool);
        let batches: Vec<_> = [[1, 2], [2, 1]]
            .into_iter()
            .map(|ids| {
                let world = world.clone();
                thread::spawn(move || world.fetch_many(&ids))
            })
            .collect();
        let writer = {
            let world = world.clone();
            thread::spawn(move || world.write(2, 1, |world| world.invalidate(&tag())))
        };
        world.fetch(1);
        for batch in batches {
            batch.join().unwrap();
        }
        writer.join().unwrap();
        world.quiet();
    });
}

/// Contract: P55 (partial: schedules)
#[test]
fn loads_are_handed_over() {
    explore("loads_are_handed_over", || {
        let world = World::new(|pool| pool);
        let leavers: Vec<_> = [1, 2]
            .into_iter()
            .map(|polls| {
                let world = world.clone();
                thread::spawn(move || world.fetch_and_leave(1, polls))
            })
            .collect();
        assert_eq!(world.fetch(1), 0);
        for leaver in leavers {
            leaver.join().unwrap();
        }
        assert!(world.loads.load(Ordering::SeqCst) <= 3);
        world.quiet();
    });
}

/// Contract: P53 (partial: one load, under schedules)
#[test]
fn regression_7_nobody_loads_what_was_stored_meanwhile() {
    explore("regression_7_nobody_loads_what_was_stored_meanwhile", || {
        let world = World::new(|pool| pool);
        let others: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || world.fetch(1))
            })
            .collect();
        world.fetch(1);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(
            world.loads.load(Ordering::SeqCst),
            1,
            "nobody has written or left"
        );
        world.quiet();
    });
}
