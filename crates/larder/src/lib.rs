//! A coherent data layer: what you cache stays fresh, and can prove it.
//!
//! This crate is what a service depends on. Today it re-exports, by name, what stands: the words, the seams, and the fence, which
//! decides whether a cached value may still be believed; and the parts of the typed pool that stand, in [`pool`]. It adds
//! nothing of its own yet.
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
//! `cargo run --release --example fence` plays this race a million times over, with the fence and without.

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
    Batch, BlockingWork, BoxFuture, Clock, CursorHome, DamageReason, Decoded, Delivered, DirectoryEntry,
    Entropy, EntryKind, FRAME_HEADER_BYTES, FileHeader, FileHeaderError, FrameError, FrameFormat,
    FrameHeader, FrameReader, Head, Moment, Runtime, SaveError, Scanned, Settled, Settler, Sink, SinkError,
    Source, SourceError, Storage, StorageError, StorageFile, StorageLock, StorageOperation, StoreId,
    TaskFuture,
};
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub use larder_core::{SystemClock, SystemEntropy};

// The judge of freshness.
pub use larder_core::{
    Applied, Cause, Certainty, CommitSeen, DropHook, Explained, Explanation, Fence, FenceBuilder, FenceError,
    FenceStats, Fenced, Invalidated, InvalidationsByKind, Journal, Journaled, Lane, LaneState, Last,
    NameClaim, Optional, OwnCommit, Pin, PinError, Raised, Registration, Round, Run, Stamp, StampRuns,
    TooOld, WhenApplied,
};

#[cfg(feature = "pool")]
pub mod pool {
    //! Typed objects in memory, by id: the crate `larder-pool`. Feature `pool`, on by default.

    pub use larder_pool::{
        Entity, EntityId, Field, Fingerprint, IntoName, Key, MaybeSend, MaybeSync, Position, TAGS_MAX, Tag,
        TagSet, TagValue, TagsError, TargetError, ToKey, Watermark, Watermarked,
    };
}

/// The code of the README and of the guide, compiled and run with the documentation.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../README.md")]
    struct Readme;

    #[doc = include_str!("../../../docs/guide/fence.md")]
    struct FencePage;

    #[cfg(feature = "pool")]
    #[doc = include_str!("../../../docs/guide/entities.md")]
    struct EntitiesPage;
}
