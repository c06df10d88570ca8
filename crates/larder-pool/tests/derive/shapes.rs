//! What is no struct with named fields, borrows, or has no id.

use larder_pool::{Entity, EntityId};

#[derive(Entity)]
pub enum Either {
//~ ^^^^ an entity is a struct with named fields, not an enum
    One,
    Other,
}

#[derive(Entity)]
pub union Both {
//~ ^^^^^ an entity is a struct with named fields, not a union
    pub id: u64,
    pub other: u32,
}

#[derive(Entity)]
pub struct Tuple(u64);
//~             ^^^^^ an entity is a struct with named fields, not a tuple struct

#[derive(Entity)]
pub struct Borrowed<'a> {
//~                 ^^ an entity has no lifetime parameter: it outlives what it is made from
    pub id: &'a str,
}

#[derive(Entity)]
pub struct Nameless<T> {
//~                 ^ an entity with type parameters needs a name: `#[entity(name = "…")]`
    pub id: T,
}

#[derive(Entity)]
pub struct Idless {
//~        ^^^^^^ no id: call a field `id`, or mark one or several by `#[entity(id)]`
    pub name: String,
}

#[derive(EntityId)]
pub struct Pair(u8, u8);
//~            ^^^^^^^^ an id is a newtype or a struct with one to four named fields, not a tuple struct
