//! Regression 24: a glob import of the root beside the derive, in a module that has things of the same names. That the
//! crate builds without default features is seen in `compiling`.

use larder_pool::*;

/// Of the same name as something that the derive might need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EntityId)]
struct Result(u64);

#[derive(Entity)]
#[entity(name = "vec")]
struct Vec {
    id: Result,
    #[entity(watermark)]
    version: u32,
    #[entity(tag = "team")]
    team: Option<u64>,
}

/// Contract: P10 (partial: a glob import)
#[test]
fn regression_24_a_glob_import_of_the_root_compiles_beside_the_derive() {
    let pool = Pool::<Vec>::builder()
        .on_conflict(OnConflict::keep_newest())
        .build()
        .unwrap();
    let of = |version| Vec {
        id: Result(7),
        version,
        team: Some(3),
    };
    let stored = pool.insert(of(2)).unwrap();
    assert_eq!(pool.insert(of(1)).unwrap().version, 2);
    assert_eq!(*Vec::fields().team.extract(&stored), Some(3));
    assert_eq!(pool.invalidate_tag(&Tag::new("team:3").unwrap()), 1);
    assert!(pool.get(&Result(7)).is_none());
}
