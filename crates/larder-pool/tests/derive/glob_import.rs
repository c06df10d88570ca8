//! A glob import of the root beside the derives, in a crate that has things of the same names.

#![deny(warnings)]

use larder_pool::*;

pub struct Option;
pub struct String;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EntityId)]
pub struct Number(pub u64);

#[derive(Entity)]
pub struct User {
    pub id: Number,
    pub nothing: Option,
    pub no_text: String,
}

pub fn accessors() -> (Field<User, Option>, Field<User, String>) {
    (User::fields().nothing, User::fields().no_text)
}
