//! M1 for targets that are known only after the load: the rows of a list, the tags of a value.

use std::sync::Arc;

use larder_core::Stamp;
use shuttle::thread;

use crate::explore::explore;
use crate::reads::join;
use crate::world::{Row, Slot, by_hand, fence, tag, user};

/// A load that learns of a tag at its end is not believed if the tag was invalidated meanwhile.
///
/// Contract: F10, F5
#[test]
fn m1_holds_for_late_targets() {
    explore("m1_holds_for_late_targets", || {
        let world = Arc::new((fence(), Row::default(), Slot::default()));
        let loader = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let (fence, row, slot) = &*world;
                let mut pin = fence.pin(&[user(1)]).unwrap();
                let version = row.load();
                if pin.extend(&[tag("late")]).is_ok() {
                    slot.publish(version, pin);
                }
            })
        };
        let writer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let (fence, row, _) = &*world;
                row.write(fence, &tag("late"));
            })
        };
        let (_, row, slot) = &*world;
        for _ in 0..2 {
            let least = row.least();
            if let Some(got) = slot.read() {
                assert!(
                    got >= least,
                    "read version {got}, but {least} was invalidated before"
                );
            }
        }
        join([loader, writer]);
        let least = row.least();
        assert!(
            slot.read().is_none_or(|got| got >= least),
            "the late store is believed"
        );
    });
}

/// The same for a load whose pin was let go and taken up again from its stamp.
///
/// Contract: F10
#[test]
fn m1_holds_for_resumed_loads() {
    explore("m1_holds_for_resumed_loads", || {
        let world = Arc::new((fence(), Row::default(), Slot::default()));
        let filler = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let (fence, row, slot) = &*world;
                let (run, started): (_, Stamp) = {
                    let pin = fence.pin(&[user(1)]).unwrap();
                    (fence.run(), pin.started())
                };
                let version = row.load();
                if let Some(pin) = fence.resume(run, started, &[user(1)]) {
                    slot.publish(version, pin);
                }
            })
        };
        let (fence, row, slot) = &*world;
        row.write(fence, &user(1));
        fence.invalidate(&user(2), by_hand());
        let least = row.least();
        assert!(
            slot.read().is_none_or(|got| got >= least),
            "a resumed load is believed"
        );
        join([filler]);
        assert!(
            slot.read().is_none_or(|got| got >= least),
            "a resumed load is believed"
        );
    });
}
