//! The words, the seams and the fence that every part of Larder shares.
//!
//! No policy of I/O and no async runtime: what waits gives a plain future.
#![cfg_attr(not(test), warn(missing_docs))]

pub mod sync;

// The words.
mod as_of;
mod cursor;
mod invalidations;
pub mod limits;
mod name;
mod position;
mod target;
mod timestamp;
mod token;
mod varint;

// The seams.
mod clock;
mod codec;
mod entropy;
mod runtime;
mod settled;
mod source;
mod storage;
mod trace;

// The judge of freshness.
mod fence;

pub use as_of::AsOf;
pub use cursor::{Cursor, CursorError};
pub use invalidations::{Invalidation, Invalidations, Origin, Reason};
pub use name::{
    CollectionName, DependencyName, EntityName, IntoName, Key, Namespace, Tag, TargetError, ToKey, UuidKey,
};
pub use position::{Epoch, Position, PositionError, SourceId};
pub use target::{Lineage, PrivateCode, Target, TargetHash};
pub use timestamp::Timestamp;
pub use token::{Requirement, Token, TokenError};

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub use clock::SystemClock;
pub use clock::{Clock, Moment};
pub use codec::{
    DamageReason, Decoded, FRAME_HEADER_BYTES, FileHeader, FileHeaderError, FrameError, FrameFormat,
    FrameHeader, FrameReader, Scanned, StoreId,
};
pub use entropy::Entropy;
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub use entropy::SystemEntropy;
pub use runtime::{BlockingWork, Runtime, TaskFuture};
pub use settled::{Settled, Settler};
pub use source::{
    Batch, BoxFuture, CursorHome, Delivered, Head, SaveError, Sink, SinkError, Source, SourceError,
    WidenedRows,
};
#[cfg(unix)]
pub use storage::FileStorage;
pub use storage::{
    DirectoryEntry, EntryKind, Storage, StorageError, StorageFile, StorageLock, StorageOperation,
};
pub use trace::{Befallen, Trace};

pub use fence::{
    Applied, Cause, Certainty, CommitSeen, DropHook, Explained, Explanation, Fence, FenceBuilder, FenceError,
    FenceStats, Fenced, Invalidated, InvalidationsByKind, Journal, Journaled, Lane, LaneState, Last,
    NameClaim, Optional, OwnCommit, Pin, PinError, Raised, Registration, Round, Run, Stamp, StampRuns,
    TooOld, TransactionScope, WhenApplied,
};
