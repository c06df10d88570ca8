//! Inserts from bytes: what every insert does, refuses and tells, with the value that the bytes hold.

use std::sync::Arc;
use std::time::Duration;

use larder_pool::{
    Entity, EntryState, Event, InsertError, OnConflict, Origin, Pool, PoolBuilder, TAGS_MAX, TagSet, encode,
};
use larder_testkit::SimClock;
use serde::{Deserialize, Serialize};

use super::{User, ada};

const SECOND: Duration = Duration::from_secs(1);

fn pool(build: impl FnOnce(PoolBuilder<User>) -> PoolBuilder<User>) -> Pool<User> {
    build(Pool::builder()).build().unwrap()
}

fn named(name: &str) -> User {
    User {
        name: name.to_owned(),
        ..ada()
    }
}

/// An insert from the bytes of that user.
fn insert(pool: &Pool<User>, user: &User) -> Result<Arc<User>, InsertError<User>> {
    pool.insert_encoded(&encode(user).unwrap())
}

/// What a pool of that rule says and has after "Ada" and then a longer and a shorter name came from bytes.
fn after(rule: OnConflict<User>) -> (Vec<&'static str>, String) {
    let pool = pool(|pool| pool.on_conflict(rule));
    let mut events = pool.events();
    let mut said: Vec<&'static str> = Vec::new();
    for name in ["Ada", "Ada Lovelace", "A"] {
        let came = named(name);
        said.push(match insert(&pool, &came) {
            Ok(stored) if *stored == came => "stored",
            Ok(_) => "resident",
            Err(InsertError::Conflict { resident, value, .. }) => {
                assert_eq!((resident.name.as_str(), &*value), ("Ada", &came));
                "conflict"
            }
            Err(other) => panic!("{other}"),
        });
        match events.try_recv() {
            Ok(Event::Inserted { value, .. }) => assert_eq!(*value, came),
            Ok(Event::Updated { new, .. }) => {
                assert_eq!(*new, came);
                said.push("updated");
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => said.push("silent"),
        }
    }
    (said, pool.peek(&7).unwrap().name.clone())
}

/// What a refused header leaves alone is also in `refusals`, fault by fault.
///
/// Contract: P18, P14 (partial: inserts from bytes), P13 (partial: inserts from bytes)
#[test]
fn bytes_are_inserted_by_the_rules_of_every_insert() {
    // Conflicts.
    let replaced = vec!["stored", "stored", "stored"];
    assert_eq!(after(OnConflict::Replace), (replaced, "A".to_owned()));
    let refused = vec!["stored", "conflict", "silent", "conflict", "silent"];
    assert_eq!(after(OnConflict::Reject), (refused, "Ada".to_owned()));
    let updated = vec!["stored", "stored", "updated", "stored", "updated"];
    assert_eq!(after(OnConflict::Update), (updated, "A".to_owned()));
    let kept = vec!["stored", "stored", "updated", "resident", "silent"];
    assert_eq!(
        after(OnConflict::keep_newest()),
        (kept, "Ada Lovelace".to_owned())
    );

    // What is stored is what is returned, inserted by a caller, with the tags that the value tells.
    let users = pool(|pool| pool);
    let stored = insert(&users, &ada()).unwrap();
    assert!(Arc::ptr_eq(&stored, &users.get(&7).unwrap()));
    let explained = users.explain(&7);
    let resident = explained.resident.as_ref().expect("it is resident");
    assert_eq!(resident.origin, Origin::Inserted);
    let team = "team:300".parse().unwrap();
    assert_eq!((users.invalidate_tag(&team), users.contains(&7)), (1, false));

    // A header that is refused changes nothing; the same bytes without the fault are stored.
    let mut bytes = encode(&ada()).unwrap();
    *bytes.get_mut(8).unwrap() ^= 1;
    let before = (users.sequence(), users.stats());
    assert!(matches!(users.insert_encoded(&bytes), Err(InsertError::Wire(_))));
    assert_eq!((users.sequence(), users.stats()), before);
    *bytes.get_mut(8).unwrap() ^= 1;
    users.insert_encoded(&bytes).unwrap();
    assert_eq!(users.sequence(), before.0 + 1);
}

/// Contract: P13 (partial: inserts from bytes), P18
#[test]
fn they_live_as_long_as_the_pool_says_and_replace_the_dead() {
    let clock = SimClock::new();
    let users = pool(|pool| {
        let pool = pool.clock(Arc::new(clock.clone())).time_to_live(SECOND);
        pool.on_conflict(OnConflict::Reject)
    });
    insert(&users, &ada()).unwrap();
    clock.advance(SECOND - Duration::from_nanos(1));
    assert_eq!(users.explain(&7).state, EntryState::Live);
    assert!(matches!(
        insert(&users, &ada()),
        Err(InsertError::Conflict { .. })
    ));
    clock.advance(Duration::from_nanos(1));
    assert!(!users.contains(&7));
    insert(&users, &named("Grace")).expect("a dead entry is no conflict");
    assert_eq!(users.peek(&7).unwrap().name, "Grace");
}

/// An entity of which everything can be too much.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Burden {
    id: String,
    tags: usize,
    is_bad: bool,
}

impl Entity for Burden {
    type Id = String;
    type Fields = ();

    fn name() -> &'static str {
        "burden"
    }

    fn id(&self) -> String {
        self.id.clone()
    }

    fn tags(&self, out: &mut TagSet) {
        for number in 0..self.tags {
            out.insert_value("tag", &number);
        }
        if self.is_bad {
            out.insert("");
        }
    }
}

fn burden(id_bytes: usize, tags: usize) -> Burden {
    Burden {
        id: "i".repeat(id_bytes),
        tags,
        is_bad: false,
    }
}

/// Contract: P15 (partial: inserts from bytes), P5 (partial: ids that are too long, from bytes)
#[test]
fn what_is_refused_of_a_decoded_value_comes_back() {
    let pool = Pool::<Burden>::builder().capacity_bytes(20_000);
    let pool = pool.weigher(|burden: &Burden| if burden.id.len() == 3 { 20_000 } else { 1 });
    let pool = pool.build().unwrap();
    let refused = |burden: &Burden| {
        let error = pool
            .insert_encoded(&encode(burden).unwrap())
            .expect_err("a refusal");
        let name = format!("{error:?}").split('(').next().unwrap().to_owned();
        assert_eq!(
            error.into_value().as_deref(),
            Some(burden),
            "{name}: the value comes back"
        );
        name
    };
    assert_eq!(refused(&burden(4_097, 0)), "IdTooLong");
    assert_eq!(refused(&burden(1, TAGS_MAX + 1)), "TooManyTags");
    assert_eq!(refused(&burden(3, 0)), "TooHeavy");
    let bad = Burden {
        is_bad: true,
        ..burden(1, 0)
    };
    assert_eq!(refused(&bad), "BadTag");
    assert_eq!((pool.len(), pool.sequence(), pool.stats().inserts), (0, 0, 0));
    pool.insert_encoded(&encode(&burden(4_096, TAGS_MAX)).unwrap())
        .unwrap();
    assert_eq!(pool.len(), 1);
}
