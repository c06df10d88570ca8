//! A glob import of the root beside the derives, in a module that has things of the same names, and beside that of the
//! pool's module.
#![deny(warnings)]

use larder::pool::ToKey as _;

/// Everything of the root, and no path into the pool's module.
mod root {
    use larder::*;

    pub(super) struct Option;
    pub(super) struct String;

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EntityId)]
    pub(super) struct Number(pub(super) u64);

    #[derive(Entity)]
    pub(super) struct User {
        pub(super) id: Number,
        pub(super) nothing: Option,
        pub(super) no_text: String,
    }

    pub(super) fn users() -> Pool<User> {
        Pool::builder().build().expect("every default is allowed")
    }

    /// Why something was invalidated, whatever the parts have of that name.
    pub(super) fn why() -> Reason {
        Reason::new("saved")
    }
}

/// Everything of both: whatever has one name has one meaning, but for the words that the pool has of its own.
mod both {
    use larder::pool::*;
    use larder::*;

    #[derive(Entity)]
    pub(super) struct Team {
        pub(super) id: u64,
        #[entity(tag = "region")]
        pub(super) region: u32,
    }

    pub(super) fn teams() -> Pool<Team> {
        PoolBuilder::build(Pool::builder()).expect("every default is allowed")
    }

    pub(super) fn hash(region: u32) -> Result<TargetHash, TargetError> {
        Ok(Target::tag("default", format!("region:{region}"))?.hash())
    }
}

/// Contract: P10 (partial: beside a glob import of the facade's root)
#[test]
fn a_glob_import_of_the_root_stands_beside_the_derives() {
    let users = root::users();
    let user = root::User {
        id: root::Number(7),
        nothing: root::Option,
        no_text: root::String,
    };
    let key = user.id.to_key().expect("a short id");
    assert_eq!(key.as_bytes(), b"7");
    users.insert(user).expect("there is room");
    assert!(users.contains(&root::Number(7)));
    assert_eq!(root::why().as_str(), "saved");
}

/// Contract: P10 (partial: beside a glob import of the root and of the pool's module)
#[test]
fn both_globs_stand_beside_each_other() {
    let teams = both::teams();
    teams
        .insert(both::Team { id: 1, region: 2 })
        .expect("there is room");
    let team = teams.get(&1).expect("it was inserted");
    assert!(both::hash(team.region).is_ok());
    assert!(teams.invalidate(&1, larder::pool::Reason::Deleted));
}
