//! Watermarks of types that order no versions.

use std::time::Duration;

use larder_pool::Entity;

#[derive(Entity)]
pub struct User {
    pub id: u64,
    #[entity(watermark)]
    pub age: Duration,
    //~      ^^^^^^^^ `Duration` cannot be a watermark
}

#[derive(Entity)]
#[entity(name = "of")]
pub struct Of<T: Clone> {
    pub id: u64,
    pub content: T,
    #[entity(watermark)]
    pub changed: (u64, bool),
    //~          ^^^^^^^^^^^ `bool` cannot be a watermark
}
