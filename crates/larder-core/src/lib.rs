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
