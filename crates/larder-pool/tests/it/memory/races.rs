//! What one thread begins while another is in the middle of something, each step in its place.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use larder_pool::{InsertError, InsertOptions, OnConflict, Pool, Reason};

use super::thorn::{Garden, Plot, Spot, Thorn, ThornId, is_done, plan, thorn};

const LONG: Duration = Duration::from_secs(20);

/// A way to write, and how often it asks for the hash before the last time.
type Write = (&'static str, usize, fn(&Pool<Thorn>));

/// Ways to write id 1 that ask for its hash last of all.
const WRITES: [Write; 5] = [
    ("insert", 0, |pool| drop(pool.insert(thorn(1, 7)))),
    ("insert with", 0, |pool| {
        drop(pool.insert_with(thorn(1, 7), InsertOptions::new().tag("x")));
    }),
    ("update", 1, |pool| {
        drop(pool.update(&ThornId(1), |_| thorn(1, 7)))
    }),
    ("batch", 0, |pool| drop(pool.batch().insert(thorn(1, 7)).commit())),
    ("batch that removes", 0, |pool| {
        drop(pool.batch().remove(&ThornId(1)).commit())
    }),
];

/// The first pin of all is taken while a writer has asked its value for all but the hash: the write comes after the pin,
/// so what was read under it may be older.
///
/// Contract: P17 (partial: pins beside writers)
#[test]
fn a_pin_that_is_taken_while_its_id_is_being_written_is_stale_then() {
    for (what, nth, write) in WRITES {
        let garden = Garden::new(Plot::new(1_000, OnConflict::Replace, false));
        let (there, is_there) = channel();
        let (go_on, may_go_on) = channel::<()>();
        let pool = garden.pool.clone();
        let writer = thread::spawn(move || {
            plan(Spot::Hash, nth, move || {
                there.send(()).unwrap();
                may_go_on.recv_timeout(LONG).unwrap();
            });
            write(&pool);
        });
        is_there.recv_timeout(LONG).unwrap();
        let pin = garden.pool.pin(&ThornId(1));
        go_on.send(()).unwrap();
        writer.join().unwrap();
        let before = garden.state();
        let stored = garden
            .pool
            .insert_with(thorn(1, 5), InsertOptions::new().pin(pin));
        let is_fenced = matches!(stored, Err(InsertError::Fenced { .. }));
        assert!(is_fenced, "{what}: an older value was stored over a newer one");
        assert_eq!(garden.state(), before, "{what}");
    }
}

/// A way out.
type Out = (&'static str, fn(&Pool<Thorn>));

/// A value that is removed is dropped before the call returns: by then what was pinned before is stale, by every way out.
///
/// Contract: P17 (partial: pins beside removals)
#[test]
fn a_pin_is_stale_as_soon_as_its_id_has_left() {
    let outs: [Out; 5] = [
        ("remove", |pool| drop(pool.remove(&ThornId(1)))),
        ("batch", |pool| drop(pool.batch().remove(&ThornId(1)).commit())),
        ("batch of several", |pool| {
            drop(pool.batch().insert(thorn(2, 2)).remove(&ThornId(1)).commit());
        }),
        ("retain", |pool| {
            pool.retain(|thorn| thorn.id != 1);
        }),
        ("clear", |pool| {
            pool.clear(Reason::Manual);
        }),
    ];
    for (what, out) in outs {
        let garden = Garden::new(Plot::new(1_000, OnConflict::Replace, false));
        let (pool, pin) = (garden.pool.clone(), garden.pool.pin(&ThornId(1)));
        plan(Spot::Drop, 0, move || {
            let stored = pool.insert_with(thorn(1, 5), InsertOptions::new().pin(pin));
            assert!(
                matches!(stored, Err(InsertError::Fenced { .. })),
                "stored by who read before"
            );
        });
        out(&garden.pool);
        assert!(is_done(), "{what}: nothing was dropped");
        assert!(garden.pool.peek(&ThornId(1)).is_none(), "{what}");
    }
}
