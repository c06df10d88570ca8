//! The words, the seams and the fence that every part of Larder shares.
//!
//! No policy of I/O and no async runtime: what waits gives a plain future.
#![cfg_attr(not(test), warn(missing_docs))]

pub mod sync;

mod clock;
mod codec;
mod entropy;
mod storage;
mod timestamp;

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
#[cfg(unix)]
pub use storage::FileStorage;
pub use storage::{
    DirectoryEntry, EntryKind, Storage, StorageError, StorageFile, StorageLock, StorageOperation,
};
pub use timestamp::Timestamp;
