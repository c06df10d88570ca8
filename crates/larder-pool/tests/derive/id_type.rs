//! Ids of types that other processes could not name, and what is no value of a tag.

use larder_pool::{Entity, EntityId};

#[derive(Entity)]
pub struct Weighed {
    pub id: f64,
    //~     ^^^ `f64` cannot be the id of an entity
}

#[derive(Entity)]
pub struct Tagged {
    pub id: u64,
    #[entity(tag = "weight")]
    pub weight: f64,
    //~         ^^^ `f64` cannot be the value of a tag
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EntityId)]
pub struct Wrapped(Vec<u8>);
//~                ^^^^^^^ `Vec<u8>` cannot be the id of an entity
