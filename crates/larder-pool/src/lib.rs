//! Typed objects in memory, by id: what an object says about itself.
//!
//! An [`Entity`] has a name, an id and fields; its [`EntityId`] is named by the same bytes in every process and in SQL.
//!
//! ```
//! use larder_pool::{Entity, TagSet, ToKey, Watermarked};
//!
//! #[derive(Entity)]
//! #[entity(name = "user")]
//! struct User {
//!     #[entity(id)]
//!     tenant: u32,
//!     #[entity(id)]
//!     login: String,
//!     #[entity(tag = "team")]
//!     team: Option<u64>,
//!     #[entity(watermark)]
//!     version: u64,
//! }
//!
//! let user = User { tenant: 7, login: "a/b".to_owned(), team: Some(3), version: 12 };
//! assert_eq!(user.id().to_key()?.as_bytes(), b"7/a%2Fb");
//! assert_eq!(User::fields().login.extract(&user), "a/b");
//! assert_eq!(user.watermark(), 12);
//!
//! let mut tags = TagSet::new();
//! user.tags(&mut tags);
//! assert!(tags.contains("team:3"));
//! # Ok::<_, larder_pool::TargetError>(())
//! ```

mod entity;
mod field;
mod fingerprint;
mod id;
mod maybe;
mod tags;
mod watermark;

pub use entity::Entity;
pub use field::Field;
pub use fingerprint::Fingerprint;
pub use id::EntityId;
pub use maybe::{MaybeSend, MaybeSync};
pub use tags::{TAGS_MAX, TagSet, TagValue, TagsError};
pub use watermark::{Watermark, Watermarked};

pub use larder_derive::{Entity, EntityId};

// The words of core that stand in these interfaces.
pub use larder_core::{IntoName, Key, Position, Tag, TargetError, ToKey};
