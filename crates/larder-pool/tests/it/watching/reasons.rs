//! Why entries leave, as it is told.

use larder_core::{Cause, Target};
use larder_pool::{Event, Reason};

use crate::bounds::ground::{Told, World, millis_of, row};

/// Contract: P119 (partial: without a second tier)
#[test]
fn each_way_out_has_its_reason() {
    let mut world = World::with(|builder| {
        let builder = builder.capacity_entries(3).capacity_bytes(10_000);
        builder.weigher(|row| usize::try_from(row.version).unwrap())
    });
    for (reason, word) in [
        (Reason::Manual, "manual"),
        (Reason::Saved, "saved"),
        (Reason::Deleted, "deleted"),
    ] {
        world.insert(7);
        assert!(world.pool.invalidate(&7, reason));
        assert_eq!((world.left(word), reason.as_str()), (vec![7], word));
        assert_eq!(world.pool.stats().removals.of(reason), 1);
    }
    (7..11).for_each(|id| world.insert(id));
    assert_eq!(world.left("evicted"), [7]);
    world.pool.clear(Reason::Manual);
    world.told();
    world.insert_for(7, 5);
    world.pass(6);
    world.pool.sweep(1);
    assert_eq!(world.left("expired"), [7]);
    world.insert_idle(7, 5);
    world.pass(6);
    world.pool.sweep(1);
    assert_eq!(world.left("idle"), [7]);
    world.insert(7);
    let target = Target::entity("row", 7_u64).unwrap();
    let by_hand = Cause::direct(larder_core::Reason::new("by hand"));
    world.fence.invalidate(&target, by_hand);
    assert_eq!(world.left("invalidated"), [7]);
    world.insert(7);
    assert!(world.pool.insert(row(7, 10_000)).is_err());
    assert_eq!(world.left("superseded"), [7]);
    let removals = world.pool.stats().removals;
    let counted = [
        removals.evicted(),
        removals.expired(),
        removals.idle(),
        removals.invalidated(),
        removals.superseded(),
    ];
    assert_eq!((counted, removals.total()), ([1; 5], 11));
}

/// What callers got from an event they may give back, and it counts as none of the pool's own.
///
/// Contract: P119 (partial: the pool's own reasons are its own)
#[test]
fn a_reason_of_the_pool_s_own_given_by_a_caller_is_manual() {
    let mut world = World::with(|builder| builder.time_to_live(millis_of(5)));
    world.insert(7);
    world.pass(5);
    world.pool.sweep(1);
    let mut reasons = Vec::new();
    while let Ok(event) = world.events.try_recv() {
        if let Event::Removed { reason, .. } = event {
            reasons.push(reason);
        }
    }
    assert_eq!(
        reasons.iter().map(|reason| reason.as_str()).collect::<Vec<_>>(),
        ["expired"]
    );
    let expired = reasons[0];
    world.insert(7);
    assert!(world.pool.invalidate(&7, expired));
    world.insert(7);
    world.pool.batch().invalidate(&7, expired).commit().unwrap();
    assert_eq!(world.left("manual"), [7, 7]);
    world.insert(7);
    world.pool.clear(expired);
    assert_eq!(world.told()[1], Told::Cleared(1, "manual"));
    let removals = world.pool.stats().removals;
    assert_eq!((removals.expired(), removals.of(Reason::Manual)), (1, 3));
}
