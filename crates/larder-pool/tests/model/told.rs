//! Listeners under many schedules: each change once, in order, none lost, with calls of their own.

use std::sync::Arc;

use larder_core::sync::Mutex;
use larder_pool::{Changed, Listener, Pool};
use shuttle::thread;

use crate::explore::explore;
use crate::world::{Row, World};

/// Notes what it hears, and answers the insert of 1 by one of its own.
#[derive(Clone, Default)]
struct Noting {
    heard: Arc<Mutex<Vec<(u64, String)>>>,
    pool: Arc<Mutex<Option<Pool<Row>>>>,
    inside: Arc<Mutex<bool>>,
}

impl Listener<Row> for Noting {
    fn changed(&self, changed: &Changed<'_, Row>) {
        assert!(
            !std::mem::replace(&mut *self.inside.lock(), true),
            "called twice at once"
        );
        let new = changed.new.as_ref().map(|row| row.id);
        self.heard.lock().push((changed.sequence, format!("{new:?}")));
        let pool = self.pool.lock().clone();
        if let (Some(1), Some(pool)) = (new, pool) {
            pool.insert(Row { id: 100, version: 0 }).unwrap();
        }
        *self.inside.lock() = false;
    }
}

/// Contract: P123 (partial: schedules), P25 (partial: a listener that calls the pool)
#[test]
fn a_listener_hears_everything_once_and_in_order() {
    explore("a_listener_hears_everything_once_and_in_order", || {
        let listener = Noting::default();
        let world = World::new(|pool| pool.listener(listener.clone()));
        *listener.pool.lock() = Some(world.pool.clone());
        let writers: Vec<_> = [1_u64, 2]
            .into_iter()
            .map(|id| {
                let world = world.clone();
                thread::spawn(move || drop(world.pool.insert(Row { id, version: 1 }).unwrap()))
            })
            .collect();
        world.pool.insert(Row { id: 3, version: 1 }).unwrap();
        for writer in writers {
            writer.join().unwrap();
        }
        *listener.pool.lock() = None;
        let heard = listener.heard.lock().clone();
        let sequences: Vec<u64> = heard.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!(sequences, [1, 2, 3, 4]);
        assert_eq!(heard.iter().filter(|(_, new)| new == "Some(100)").count(), 1);
    });
}
