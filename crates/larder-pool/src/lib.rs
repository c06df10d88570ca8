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

mod batch;
mod builder;
mod config;
mod error;
mod fetch;
mod insert;
mod loaded;
mod options;
mod origin;
mod pool;
mod reason;

mod events;
mod explain;
mod listener;
mod metrics;
mod stats;

pub mod limits;

mod arrive;
mod background;
mod link;
mod notes;
mod panics;
mod record;
mod runtime;
mod shared;
mod store;

pub use entity::Entity;
pub use field::Field;
pub use fingerprint::Fingerprint;
pub use id::{EntityId, ToId};
pub use maybe::{AnyError, MaybeSend, MaybeSync};
pub use tags::{TAGS_MAX, TagSet, TagValue, TagsError};
pub use watermark::{Watermark, Watermarked};

pub use batch::{Batch, BatchStats};
pub use builder::PoolBuilder;
pub use config::{Capacity, PoolConfig, Reclaim, WhenUnsure};
pub use error::{BatchError, BatchErrorKind, BuildError, InsertError, UpdateError};
pub use fetch::{Behind, FetchConfig, FetchError, FetchOptions, Fetched, Loader, LoaderError, Many};
pub use loaded::{LoadContext, LoadManyContext, Loaded};
pub use options::{InsertOptions, OnConflict};
pub use origin::Origin;
pub use pool::{Pool, WeakPool};
pub use reason::Reason;

pub use events::{Event, Events, RecvError, TryRecvError};
pub use explain::{EntryState, Explanation, ResidentEntry};
pub use listener::{Changed, Listener};
pub use metrics::{FetchOutcome, FillRejection, LoadOutcome, MissCause, PoolMetrics, Tier};
pub use stats::{Loads, Misses, PoolStats, RejectedFills, Removals, SweepReport};

pub use larder_derive::{Entity, EntityId};
#[cfg(feature = "tokio")]
pub use runtime::TokioRuntime;

pub use larder_memory::Eviction;

// The words of core that stand in these interfaces.
pub use larder_core::{
    AsOf, Explained, Fence, IntoName, Invalidation, Key, Namespace, Pin, Position, Runtime, Stamp, Tag,
    Target, TargetError, ToKey, Token,
};
