//! A service that knows the facade as `pantry`, and the pool only through it.
//!
//! That it compiles without a warning is the test; what it computes is looked at beside.
#![deny(warnings)]

use pantry::pool::{Entity, EntityId, Watermarked};

/// An id of its own type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EntityId)]
pub struct UserId(pub u64);

/// An entity.
#[derive(Entity)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// How new.
    #[entity(watermark)]
    pub version: u64,
}

/// The watermark of a user.
pub fn version(user: &User) -> u64 {
    user.watermark()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pantry::pool::ToKey;

    /// Contract: P10 (partial: through the facade, which is renamed too)
    #[test]
    fn the_derives_find_the_pool_through_the_facade() {
        let user = User {
            id: UserId(7),
            version: 2,
        };
        assert_eq!(user.id().to_key().expect("a short id").as_bytes(), b"7");
        assert_eq!(
            UserId::from_key(&user.id().to_key().expect("a short id")),
            Some(user.id())
        );
        assert_eq!((User::name(), version(&user)), ("user", 2));
    }
}
