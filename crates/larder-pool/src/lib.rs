//! Typed objects in memory, by id: pools that keep them, loads that bring them, and a fence that decides which of them may still
//! be believed.
//!
//! A [`Pool`] keeps one live `Arc` for each id, within a [`Capacity`], until it expires, is evicted or is ended. Reads, inserts
//! and [batches](Batch) are synchronous, and a batch becomes visible at once or not at all. [`Pool::events`] and a [`Listener`]
//! tell what has changed, [`Pool::stats`] and [`Pool::explain`] what is there and why.
//!
//! [`Pool::get_or_fetch`], [`Pool::get_or_fetch_many`] and a [`Loader`] of the pool's own load what is missing: one load for all
//! who ask at the same time, driven by whoever waits. What a load brings is kept only if nothing has overtaken it.
//!
//! Each pool has a [`Fence`], its own or one that it shares. When an invalidation of an id, a tag or anything else has returned,
//! no read gives what it has ended, and no call that begins then is given what was loaded before. It must come after the commit
//! that it speaks of. Nothing here talks to a database, and nothing reaches another process.
//!
//! ```
//! use larder_pool::{Entity, Pool, Reason, Tag};
//!
//! #[derive(Entity)]
//! struct User {
//!     id: u64,
//!     #[entity(tag = "team")]
//!     team: u32,
//!     name: String,
//! }
//!
//! fn user(id: u64, name: &str) -> User {
//!     User { id, team: 3, name: name.to_owned() }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let users = Pool::<User>::builder().capacity_entries(10_000).build()?;
//!
//! // A query, and while it is under way somebody renames her: commit, then invalidate.
//! let load = users.get_or_fetch(&7, |load| async move {
//!     tokio::task::yield_now().await;
//!     Ok::<_, std::io::Error>(user(load.id, "Ada"))
//! });
//! let rename = async { users.invalidate(&7, Reason::Saved) };
//! let (loaded, _) = tokio::join!(load, rename);
//! assert_eq!(loaded?.unwrap().name, "Ada"); // whoever asked before has what was right then
//! assert!(users.get(&7).is_none());         // and it was not kept
//!
//! // So it is with a tag, which ends every user of the team.
//! users.insert_many([user(7, "Ada Lovelace"), user(8, "Grace")])?;
//! users.invalidate_tag(&Tag::new("team:3")?);
//! assert!(users.get(&8).is_none());
//! # Ok(())
//! # }
//! ```
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
mod registry;
mod snapshot;
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

#[cfg(feature = "serde")]
mod wire;

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
pub use registry::{AnyPool, Registry, RegistryError};
pub use snapshot::Snapshot;
pub use stats::{Loads, Misses, PoolStats, RejectedFills, Removals, SweepReport};

pub use larder_derive::{Entity, EntityId};
#[cfg(feature = "tokio")]
pub use runtime::TokioRuntime;
#[cfg(feature = "serde")]
pub use wire::{WireError, decode, encode};

pub use larder_memory::Eviction;

// The words of core that stand in these interfaces.
pub use larder_core::{
    AsOf, Explained, Fence, IntoName, Invalidation, Key, Namespace, Pin, Position, Runtime, Stamp, Tag,
    Target, TargetError, ToKey, Token,
};
