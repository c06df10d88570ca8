//! Pools by their type and without it, and views of what they held.

use std::sync::Arc;
use std::time::Duration;

use larder_core::{Key, ToKey as _};
use larder_pool::{Entity, EntryState, Pool, Reason, Registry, RegistryError};
use larder_testkit::SimClock;

#[derive(Debug, Entity)]
struct User {
    id: u64,
    name: &'static str,
}

#[derive(Entity)]
struct Team {
    id: String,
}

mod other {
    /// Another type of the same name.
    #[derive(larder_pool::Entity)]
    pub struct User {
        pub id: u64,
    }
}

fn users() -> Pool<User> {
    let pool = Pool::builder().build().unwrap();
    for (id, name) in [(10, "Ada"), (9, "Grace"), (100, "Edsger")] {
        pool.insert(User { id, name }).unwrap();
    }
    pool
}

fn is_same(one: &Pool<User>, other: &Pool<User>) -> bool {
    one.get(&10)
        .zip(other.get(&10))
        .is_some_and(|(one, other)| Arc::ptr_eq(&one, &other))
}

/// Contract: P104 (partial: types and labels), P4 (partial: registry)
#[test]
fn a_registry_has_one_pool_a_type_and_more_by_label() {
    let registry = Registry::new();
    assert!(registry.pool::<User>().is_none());
    let (first, second, labelled) = (users(), users(), users());
    assert!(registry.register(first.clone()).unwrap().is_none());
    assert!(is_same(&registry.pool::<User>().unwrap(), &first));
    let replaced = registry.clone().register(second.clone()).unwrap().unwrap();
    assert!(is_same(&replaced, &first), "it gives back the one that was");
    registry.register_as("old", labelled.clone()).unwrap();
    registry
        .register(Pool::<Team>::builder().build().unwrap())
        .unwrap();
    assert!(is_same(&registry.pool::<User>().unwrap(), &second));
    assert!(is_same(&registry.pool_as::<User>("old").unwrap(), &labelled));
    assert!(registry.pool_as::<User>("new").is_none());
    let listed: Vec<_> = registry.pools().iter().map(|pool| format!("{pool:?}")).collect();
    let expected = [
        "Pool { entity: \"team\", label: None, entries: 0 }",
        "Pool { entity: \"user\", label: None, entries: 3 }",
        "Pool { entity: \"user\", label: Some(\"old\"), entries: 3 }",
    ];
    assert_eq!(listed, expected);
    let foreign = Pool::<other::User>::builder().build().unwrap();
    foreign.insert(other::User { id: 1 }).unwrap();
    assert_eq!(foreign.get(&1).unwrap().id, 1);
    let refused = registry.register(foreign).unwrap_err();
    assert_eq!(refused, RegistryError::DuplicateName { name: "user" });
    assert_eq!(registry.pools().len(), 3);
}

/// Who knows no types sees entries by page and by key, and may invalidate them.
///
/// Contract: P104 (partial: not predicates)
#[test]
fn a_pool_is_looked_at_without_its_type() {
    let registry = Registry::new();
    let pool = users();
    registry.register(pool.clone()).unwrap();
    let view = registry.pools().remove(0);
    let keys = |after: Option<&Key>, limit| -> Vec<String> {
        let keys = view.keys_after(after, limit);
        keys.iter()
            .map(|key| String::from_utf8(key.as_bytes().to_vec()).unwrap())
            .collect()
    };
    assert_eq!(keys(None, 2), ["9", "10"], "by id, not by bytes");
    assert_eq!(keys(Some(&10_u64.to_key().unwrap()), 2), ["100"]);
    assert_eq!(
        keys(Some(&50_u64.to_key().unwrap()), 2),
        ["100"],
        "of one that is not there"
    );
    let (known, unknown) = (9_u64.to_key().unwrap(), Key::new("x").unwrap());
    assert_eq!(view.explain(&known).unwrap().state, EntryState::Live);
    assert!(view.explain(&unknown).is_none() && view.invalidate(&unknown, Reason::Manual).is_none());
    assert_eq!(view.invalidate(&known, Reason::Saved), Some(true));
    assert_eq!(view.explain(&known).unwrap().state, EntryState::Absent);
    // Each draw may find nothing where little is resident.
    assert!(view.stats().entries == 2 && !view.sample(64).is_empty());
    assert_eq!((view.clear(Reason::Manual), pool.len()), (2, 0));
    assert_eq!(view.capacity(), pool.capacity());
}

/// A snapshot has what was live after one commit, by id, and stays so.
///
/// Contract: P110 (partial: not encoded)
#[test]
fn a_snapshot_is_one_state_of_the_pool() {
    let clock = SimClock::new();
    let pool = Pool::builder().clock(Arc::new(clock.clone())).build().unwrap();
    for (id, name) in [(10, "Ada"), (9, "Grace"), (100, "Edsger")] {
        pool.insert(User { id, name }).unwrap();
    }
    pool.insert_with_ttl(User { id: 5, name: "Alan" }, Duration::from_secs(1))
        .unwrap();
    clock.advance(Duration::from_secs(2));
    let snapshot = pool.snapshot();
    assert_eq!(snapshot.sequence(), pool.sequence());
    pool.insert(User {
        id: 9,
        name: "Hopper",
    })
    .unwrap();
    pool.invalidate(&100, Reason::Manual);
    pool.insert(User {
        id: 1,
        name: "Barbara",
    })
    .unwrap();
    assert_eq!(
        snapshot.ids().copied().collect::<Vec<_>>(),
        [9, 10, 100],
        "without what has expired"
    );
    let names: Vec<_> = snapshot.iter().map(|user| user.name).collect();
    assert_eq!(names, ["Grace", "Ada", "Edsger"]);
    assert_eq!(snapshot.get(&100).unwrap().name, "Edsger");
    assert!(snapshot.get(&1).is_none() && snapshot.len() == 3 && !snapshot.is_empty());
    assert!(pool.sequence() > snapshot.sequence());
}

/// A batch is in a snapshot as a whole or not at all, whatever writers do.
///
/// Contract: P110 (partial: not encoded)
#[test]
fn a_snapshot_is_never_half_a_batch() {
    let pool = Pool::<User>::builder().build().unwrap();
    let names = ["a", "b"];
    let batch = |name| (0..40).map(move |id| User { id, name });
    pool.insert_many(batch("a")).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..300 {
                pool.insert_many(batch(names[round % 2])).unwrap();
            }
        });
        while !writer.is_finished() {
            let snapshot = pool.snapshot();
            let first = snapshot.iter().next().unwrap().name;
            assert!(snapshot.len() == 40 && snapshot.iter().all(|user| user.name == first));
        }
    });
}
