//! Parts that keep no cell for their entries: what is resident under a target is removed inside `invalidate`.

use std::sync::Arc;

use larder_core::sync::Mutex;
use larder_core::{DropHook, Fence, Position, SourceId, Target};
use shuttle::thread;

use crate::explore::explore;
use crate::reads::join;
use crate::world::{Row, fence, user};

/// A pool of one entity whose entry holds no pin: fills and the hook decide under one lock.
#[derive(Default)]
struct Pool {
    resident: Mutex<Option<u64>>,
}

impl DropHook for Pool {
    fn invalidated(&self, target: &Target, _commit: Option<(SourceId, Position)>) {
        if *target == user(1) || user(1).parent().as_ref() == Some(target) || *target == Target::Everything {
            *self.resident.lock() = None;
        }
    }
}

impl Pool {
    fn fill(&self, fence: &Fence, row: &Row) {
        let pin = fence.pin(&[user(1)]).unwrap();
        let version = row.load();
        let mut resident = self.resident.lock();
        if pin.is_fresh() {
            *resident = Some(version);
        }
    }
}

/// Contract: F20, F5
#[test]
fn m1_holds_for_parts_that_drop_eagerly() {
    explore("m1_holds_for_parts_that_drop_eagerly", || {
        let (fence, row, pool) = (fence(), Arc::new(Row::default()), Arc::new(Pool::default()));
        let hook = fence.drop_hook(Arc::clone(&pool) as Arc<dyn DropHook>).unwrap();
        let filler = {
            let (fence, row, pool) = (fence.clone(), Arc::clone(&row), Arc::clone(&pool));
            thread::spawn(move || pool.fill(&fence, &row))
        };
        let writer = {
            let (fence, row) = (fence.clone(), Arc::clone(&row));
            thread::spawn(move || row.write(&fence, &user(1)))
        };
        for _ in 0..2 {
            let least = row.least();
            let got = *pool.resident.lock();
            assert!(
                got.is_none_or(|got| got >= least),
                "resident {got:?}, but {least} was invalidated"
            );
        }
        join([filler, writer]);
        let (least, got) = (row.least(), *pool.resident.lock());
        assert!(
            got.is_none_or(|got| got >= least),
            "resident {got:?}, but {least} was invalidated"
        );
        drop(hook);
    });
}

/// A hook that is registered hears of every invalidation that begins afterwards, though others come and go.
///
/// Contract: F20
#[test]
fn a_registered_hook_misses_nothing() {
    explore("a_registered_hook_misses_nothing", || {
        let (fence, row, pool) = (fence(), Row::default(), Arc::new(Pool::default()));
        let others = {
            let fence = fence.clone();
            thread::spawn(move || {
                let other = fence.drop_hook(Arc::new(Pool::default())).unwrap();
                drop(other);
            })
        };
        let hook = fence.drop_hook(Arc::clone(&pool) as Arc<dyn DropHook>).unwrap();
        *pool.resident.lock() = Some(0);
        row.write(&fence, &user(1));
        assert_eq!(*pool.resident.lock(), None, "the hook was not called");
        others.join().unwrap();
        drop(hook);
    });
}
