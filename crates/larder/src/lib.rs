//! A coherent data layer: what you cache stays fresh, and can prove it.
//!
//! This crate is what a service depends on. It re-exports, by name, what stands: the words, the seams, and the fence, which decides
//! whether a cached value may still be believed; the typed pool, in the module `pool`; and the outbox, in the module `outbox`. Of its
//! own it has `Layer`, where these meet.
//!
//! The root has what all parts share. A part's own words are in its module, since parts share names: why an entry left a pool
//! ([`pool::Reason`]) is not why something was invalidated ([`Reason`]), and so it is with `Batch`, `Explanation` and `Origin`. Of
//! a part the root has only what it is entered by, here `Pool`, `Entity` and `EntityId`.
//!
//! A pool keeps the rows that a service reads, loads what it misses, and never serves a row that was invalidated:
//!
#![cfg_attr(feature = "pool", doc = "```")]
#![cfg_attr(not(feature = "pool"), doc = "```text")]
//! use larder::{Entity, Pool, pool};
//!
//! #[derive(Entity)]
//! struct User { id: u64, name: String }
//!
//! # async fn row(id: u64) -> Result<Option<User>, std::io::Error> {
//! #     Ok(Some(User { id, name: "Ada".to_owned() }))
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let users = Pool::<User>::builder().capacity_entries(10_000).build()?;
//! let ada = users.get_or_fetch(&7, |load| row(load.id)).await?; // loads, for all who ask meanwhile
//! assert_eq!(ada.unwrap().name, "Ada");
//!
//! users.invalidate(&7, pool::Reason::Saved);                    // after the commit that changed the row
//! assert!(users.get(&7).is_none());                             // and what is still loading it is not kept
//! # Ok(())
//! # }
//! ```
//!
//! A cache of one's own becomes right by keeping a [`Pin`] with each entry, taken before the load begins:
//!
//! ```
//! use larder::{Cause, Fence, Pin, Reason, Target};
//! use std::collections::HashMap;
//!
//! let fence = Fence::builder().build()?;
//! let mut cache: HashMap<u64, (Pin, &str)> = HashMap::new();
//! let user = Target::entity("user", 42)?;
//!
//! // A load begins; while it is in flight, the row is changed and invalidated; then the old value is stored.
//! let pin = fence.pin(std::slice::from_ref(&user))?;
//! let loaded = "Ada";
//! fence.invalidate(&user, Cause::direct(Reason::new("renamed")));
//! cache.insert(42, (pin, loaded));
//!
//! // No reader ever gets it.
//! let believed = cache.get(&42).filter(|(pin, _)| pin.is_fresh());
//! assert!(believed.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `cargo run --release --example storefront` plays this race in a pool before a database, and in another cache beside it;
//! `--example fence` plays it a million times over in a bare map, with the fence and without.

// The words.
pub use larder_core::{
    AsOf, CollectionName, Cursor, CursorError, DependencyName, EntityName, Epoch, IntoName, Invalidation,
    Invalidations, Key, Lineage, Namespace, Origin, Position, PositionError, PrivateCode, Reason,
    Requirement, SourceId, Tag, Target, TargetError, TargetHash, Timestamp, ToKey, Token, TokenError,
    UuidKey, limits,
};

// The seams.
#[cfg(unix)]
pub use larder_core::FileStorage;
pub use larder_core::{
    Batch, Befallen, BlockingWork, BoxFuture, Clock, CursorHome, DamageReason, Decoded, Delivered,
    DirectoryEntry, Entropy, EntryKind, FRAME_HEADER_BYTES, FileHeader, FileHeaderError, FrameError,
    FrameFormat, FrameHeader, FrameReader, Head, Moment, Runtime, SaveError, Scanned, Settled, Settler, Sink,
    SinkError, Source, SourceError, Storage, StorageError, StorageFile, StorageLock, StorageOperation,
    StoreId, TaskFuture, Trace,
};
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub use larder_core::{SystemClock, SystemEntropy};

// The judge of freshness.
pub use larder_core::{
    Applied, Cause, Certainty, CommitSeen, DropHook, Explained, Explanation, Fence, FenceBuilder, FenceError,
    FenceStats, Fenced, Invalidated, InvalidationsByKind, Journal, Journaled, Lane, LaneState, Last,
    NameClaim, Optional, OwnCommit, Pin, PinError, Raised, Registration, Round, Run, Stamp, StampRuns,
    TooOld, TransactionScope, WhenApplied, WidenedRows,
};

// What the parts are entered by.
#[cfg(feature = "pool")]
pub use larder_pool::{Entity, EntityId, Pool};

// Where they meet.
#[cfg(all(feature = "pool", feature = "outbox"))]
mod error;
#[cfg(all(feature = "pool", feature = "outbox"))]
mod layer;

#[cfg(all(feature = "pool", feature = "outbox"))]
pub use error::{Error, Problem};
#[cfg(all(feature = "pool", feature = "outbox"))]
#[doc(hidden)]
pub use layer::decode_node_file;
#[cfg(all(feature = "pool", feature = "outbox"))]
pub use layer::limits as layer_limits;
#[cfg(all(feature = "pool", feature = "outbox"))]
pub use layer::{
    Advice, AdviceCode, CursorStatus, Ended, Explained as ExplainedTarget, ExplainedPool, Happened, Health,
    Layer, LayerBuilder, LayerStats, Mismatch, Objective, PartEnded, PartHealth, PoolAt, Reach, ReadAt,
    ReaderKind, Retry, Severity, ShutdownReport, TaskState, TaskStatus, TimelineEvent, Tx, Verdict,
    VerifyPlan, VerifyReport,
};

#[cfg(feature = "pool")]
pub mod pool {
    //! Typed objects in memory, by id: everything of the crate `larder-pool`, as that has it at its root. Feature `pool`, on
    //! by default.
    //!
    //! It begins with [`Pool`], which is built by [`PoolBuilder`] and keeps what is an [`Entity`].

    // What a type says about itself.
    pub use larder_pool::{
        Entity, EntityId, Field, Fingerprint, MaybeSend, MaybeSync, TAGS_MAX, TagSet, TagValue, TagsError,
        ToId, Watermark, Watermarked,
    };

    // The pool, and what it is built with.
    pub use larder_pool::{
        BuildError, Capacity, Eviction, Pool, PoolBuilder, PoolConfig, Reclaim, WeakPool, WhenUnsure, limits,
    };

    // What is stored, and removed.
    pub use larder_pool::{
        Batch, BatchError, BatchErrorKind, BatchStats, InsertError, InsertOptions, OnConflict, Origin,
        Reason, UpdateError,
    };

    // Values as bytes.
    #[cfg(feature = "serde")]
    pub use larder_pool::{WireError, decode, encode};

    // What is loaded.
    #[cfg(feature = "tokio")]
    pub use larder_pool::TokioRuntime;
    pub use larder_pool::{
        AnyError, Behind, FetchConfig, FetchError, FetchOptions, Fetched, LoadContext, LoadManyContext,
        Loaded, Loader, LoaderError, Many,
    };

    // What can be seen of it.
    pub use larder_pool::{
        Changed, EntryState, Event, Events, Explanation, FetchOutcome, FillRejection, Listener, LoadOutcome,
        Loads, MissCause, Misses, PoolMetrics, PoolStats, RecvError, RejectedFills, Removals, ResidentEntry,
        SweepReport, Tier, TryRecvError,
    };

    // Pools of whatever type.
    pub use larder_pool::{AnyPool, Registry, RegistryError, Snapshot};

    // The words of core that stand in these interfaces: the same as at the root of this crate.
    pub use larder_pool::{
        AsOf, Explained, Fence, IntoName, Invalidation, Key, Namespace, Pin, Position, Runtime, Stamp, Tag,
        Target, TargetError, ToKey, Token,
    };
}

#[cfg(feature = "outbox")]
pub mod outbox {
    //! Invalidations in one's own SQL transactions: everything of the crate `larder-outbox`, as that has it at its root.
    //! Feature `outbox`, which `outbox-sqlite` brings.

    pub use larder_outbox::{
        Backoff, Beaten, Behind, Claim, CommitError, CommitOrder, Completed, ConfigError, ConfigFault, Count,
        Database, DeadLetters, Error, Failed, FileHints, Follower, FollowerBuilder, FollowerHandle,
        FollowerMetrics, FollowerStatus, GapCount, Group, Health, HealthPolicy, HealthReason, IsGone, Joined,
        Lease, Member, MemoryCopy, MemoryStore, MemoryTx, Next, NodeStatus, Nodes, Outbox, OutboxBuilder,
        OutboxRow, OutboxStatus, OutboxStore, OutboxTx, Progress, Publish, PublishFn, Published, PurgeReport,
        Recorded, Relay, RelayBuilder, RelayDiagnostics, RelayReport, Retention, RowId, RowIdError, RowState,
        RunError, Start, Step, ToSink, TokenStatus, TransactionError, Wait, WaitMode, Waited, Waiter,
        WaiterDiagnostics, Widenings, limits,
    };
}

/// The code of the README and of the guide, compiled and run with the documentation.
#[cfg(doctest)]
mod pages {
    #[cfg(feature = "pool")]
    #[doc = include_str!("../../../README.md")]
    struct Readme;

    #[cfg(feature = "pool")]
    #[doc = include_str!("../../../docs/guide/fence.md")]
    struct FencePage;

    #[cfg(feature = "pool")]
    #[doc = include_str!("../../../docs/guide/entities.md")]
    struct EntitiesPage;

    #[cfg(feature = "pool")]
    #[doc = include_str!("../../../docs/guide/pools.md")]
    struct PoolsPage;

    #[cfg(all(feature = "pool", feature = "tokio"))]
    #[doc = include_str!("../../../docs/guide/loading.md")]
    struct LoadingPage;

    #[cfg(feature = "pool")]
    #[doc = include_str!("../../../docs/guide/expiry.md")]
    struct ExpiryPage;

    #[cfg(feature = "outbox-sqlite")]
    #[doc = include_str!("../../../docs/guide/recording.md")]
    struct RecordingPage;

    #[cfg(all(feature = "pool", feature = "outbox-sqlite"))]
    #[doc = include_str!("../../../docs/guide/following.md")]
    struct FollowingPage;

    #[cfg(all(feature = "pool", feature = "outbox-sqlite"))]
    #[doc = include_str!("../../../docs/guide/layer.md")]
    struct LayerPage;

    #[cfg(feature = "outbox-sqlite")]
    #[doc = include_str!("../../../docs/guide/relays.md")]
    struct RelaysPage;
}
