//! Attributes that are unknown, there twice, empty or mistyped, and two watermarks.

use larder_pool::Entity;

#[derive(Entity)]
#[entity(nam = "user", fingerprint = "7")]
//~      ^^^ unknown attribute `nam`: a struct takes `name`, `tags`, `fingerprint`, `crate`
//~                                  ^^^ `fingerprint` takes a number below 2^64: `fingerprint = …`
#[entity(name = "a", name = "b")]
//~                  ^^^^ duplicate attribute `name`
pub struct User {
    #[entity()]
  //~ ^^^^^^^^ empty attribute: write `entity(…)`
    pub id: u64,
    #[entity(tag = "")]
    //~            ^^ the label of a tag is not empty
    pub team: u64,
    #[entity(watermark)]
    pub version: u64,
    #[entity(watermark)]
    //~      ^^^^^^^^^ an entity has one watermark: a tuple if it has several parts
    pub changed: u64,
}
