//! What the memory operations of a pool refuse, by name. Whatever is refused comes back.

use std::fmt;
use std::sync::Arc;

use larder_core::{EntityName, FenceError, TargetError};
use thiserror::Error;

#[cfg(feature = "serde")]
use crate::WireError;
use crate::{Batch, Entity};

/// Why a pool could not be built, or its capacity not be set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An option is out of its range.
    #[error("{option} is {given}, allowed is {allowed}")]
    OutOfRange {
        /// The builder's option.
        option: &'static str,
        /// What was given.
        given: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A name is no name.
    #[error("{option} is no name")]
    Name {
        /// The builder's option, or `name` for the entity's own.
        option: &'static str,
        /// What is wrong with it.
        #[source]
        error: TargetError,
    },
    /// An option needs a runtime and there is none.
    #[error("{option} needs a runtime, and none is given")]
    NeedsRuntime {
        /// The builder's option.
        option: &'static str,
    },
    /// On this fence the name stands for another type.
    #[error("`{name}` is the name of another type on this fence")]
    DuplicateName {
        /// The name.
        name: EntityName,
    },
    /// The fence refuses.
    #[error("join the fence")]
    Fence(#[source] FenceError),
    /// Several faults, all of them.
    #[error("{}", all(.0))]
    Several(Vec<BuildError>),
}

impl BuildError {
    /// One error of all these faults, if there are any.
    pub(crate) fn of(mut faults: Vec<BuildError>) -> Result<(), BuildError> {
        match faults.len() {
            0 => Ok(()),
            1 => Err(faults.remove(0)),
            _ => Err(BuildError::Several(faults)),
        }
    }
}

fn all(faults: &[BuildError]) -> String {
    let faults: Vec<String> = faults.iter().map(BuildError::to_string).collect();
    faults.join("; ")
}

/// Why a value was not stored. [`InsertError::into_value`] gives it back, if there ever was one.
#[non_exhaustive]
pub enum InsertError<T> {
    /// A live entry of that id is there, and conflicts are refused.
    #[non_exhaustive]
    Conflict {
        /// What is there.
        resident: Arc<T>,
        /// What was refused.
        value: Arc<T>,
    },
    /// It is heavier than the whole pool may be. An older value of that id has left.
    #[non_exhaustive]
    TooHeavy {
        /// What it would be charged, in bytes.
        weight: u64,
        /// What the pool may hold, in bytes.
        capacity: u64,
        /// What was refused.
        value: Arc<T>,
    },
    /// A time to live or to idle of zero: nobody could read it.
    #[non_exhaustive]
    ZeroTtl {
        /// What was refused.
        value: Arc<T>,
    },
    /// It may be older than an invalidation that this node has applied, or than a later write of its id.
    #[non_exhaustive]
    Fenced {
        /// What was refused.
        value: Arc<T>,
    },
    /// It has more tags and other targets than an entry may.
    #[non_exhaustive]
    TooManyTags {
        /// How many it may have.
        max: usize,
        /// What was refused.
        value: Arc<T>,
    },
    /// One of its tags is none.
    #[non_exhaustive]
    BadTag {
        /// What is wrong with it.
        error: TargetError,
        /// What was refused.
        value: Arc<T>,
    },
    /// Its id is longer than a key may be.
    #[non_exhaustive]
    IdTooLong {
        /// How many bytes a key may have.
        max: usize,
        /// What was refused.
        value: Arc<T>,
    },
    /// What was to be replaced is there no longer.
    #[non_exhaustive]
    Moved {
        /// What is there instead, if anything live is.
        resident: Option<Arc<T>>,
        /// What was refused.
        value: Arc<T>,
    },
    /// The bytes that it was to be read from are refused: there is no value. Only `Pool::insert_encoded` says so.
    #[cfg(feature = "serde")]
    Wire(WireError),
}

impl<T> InsertError<T> {
    /// The value that was refused. Whatever is refused has one, but for bytes that are no value (`Wire`, feature `serde`).
    #[must_use]
    pub fn into_value(self) -> Option<Arc<T>> {
        match self {
            Self::Conflict { value, .. }
            | Self::TooHeavy { value, .. }
            | Self::ZeroTtl { value }
            | Self::Fenced { value }
            | Self::TooManyTags { value, .. }
            | Self::BadTag { value, .. }
            | Self::IdTooLong { value, .. }
            | Self::Moved { value, .. } => Some(value),
            #[cfg(feature = "serde")]
            Self::Wire(_) => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Conflict { .. } => "a live entry of that id is there".to_owned(),
            Self::TooHeavy { weight, capacity, .. } => {
                format!("it weighs {weight} bytes, and the pool holds at most {capacity}")
            }
            Self::ZeroTtl { .. } => "a time to live or to idle is zero".to_owned(),
            Self::Fenced { .. } => "it may be older than an invalidation or a later write".to_owned(),
            Self::TooManyTags { max, .. } => format!("an entry has at most {max} tags and targets"),
            Self::BadTag { .. } => "one of its tags is no tag".to_owned(),
            Self::IdTooLong { max, .. } => format!("its id is longer than {max} bytes"),
            Self::Moved { .. } => "what was to be replaced is there no longer".to_owned(),
            #[cfg(feature = "serde")]
            Self::Wire(_) => "the bytes are no value of this type".to_owned(),
        }
    }
}

/// Without the values, which need not know how to be shown.
impl<T> fmt::Debug for InsertError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Conflict { .. } => "Conflict",
            Self::TooHeavy { .. } => "TooHeavy",
            Self::ZeroTtl { .. } => "ZeroTtl",
            Self::Fenced { .. } => "Fenced",
            Self::TooManyTags { .. } => "TooManyTags",
            Self::BadTag { .. } => "BadTag",
            Self::IdTooLong { .. } => "IdTooLong",
            Self::Moved { .. } => "Moved",
            #[cfg(feature = "serde")]
            Self::Wire(error) => return f.debug_tuple("Wire").field(error).finish(),
        };
        write!(f, "{name}({})", self.text())
    }
}

impl<T> fmt::Display for InsertError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl<T> std::error::Error for InsertError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::BadTag { error, .. } => Some(error),
            #[cfg(feature = "serde")]
            Self::Wire(error) => Some(error),
            _ => None,
        }
    }
}

/// Why an update did not happen. The entry is what it was.
#[non_exhaustive]
pub enum UpdateError<T> {
    /// Others changed the entry each time.
    #[non_exhaustive]
    Contended {
        /// How often it was tried.
        rounds: usize,
    },
    /// The new value has another id.
    IdChanged,
    /// The new value was refused.
    Refused(InsertError<T>),
}

impl<T> fmt::Debug for UpdateError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contended { rounds } => f.debug_struct("Contended").field("rounds", rounds).finish(),
            Self::IdChanged => f.write_str("IdChanged"),
            Self::Refused(error) => f.debug_tuple("Refused").field(error).finish(),
        }
    }
}

impl<T> fmt::Display for UpdateError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contended { rounds } => write!(f, "others changed the entry {rounds} times meanwhile"),
            Self::IdChanged => f.write_str("the new value has another id"),
            Self::Refused(_) => f.write_str("the new value cannot be stored"),
        }
    }
}

impl<T> std::error::Error for UpdateError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // Not the refusal itself, since a value need not be `'static`; its own source, if it has one.
        match self {
            Self::Refused(error) => error.source(),
            _ => None,
        }
    }
}

/// Why a batch was not committed; nothing of it was. [`BatchError::into_batch`] gives it back.
pub struct BatchError<T: Entity> {
    kind: BatchErrorKind<T>,
    batch: Batch<T>,
}

/// What is wrong with a batch.
#[non_exhaustive]
pub enum BatchErrorKind<T: Entity> {
    /// There are live entries of these ids, and conflicts are refused.
    #[non_exhaustive]
    Conflict {
        /// The ids, in the order of the batch.
        ids: Vec<T::Id>,
    },
    /// It has more operations than a batch may.
    #[non_exhaustive]
    TooMany {
        /// How many it may have.
        max: usize,
    },
    /// Others changed what its values were compared with, each time.
    #[non_exhaustive]
    Contended {
        /// How often it was tried.
        rounds: usize,
    },
    /// One of its values cannot be stored.
    #[non_exhaustive]
    Refused {
        /// Why, with the value.
        error: InsertError<T>,
    },
}

impl<T: Entity> BatchError<T> {
    pub(crate) fn new(kind: BatchErrorKind<T>, batch: Batch<T>) -> Self {
        BatchError { kind, batch }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &BatchErrorKind<T> {
        &self.kind
    }

    /// The batch as it was.
    pub fn into_batch(self) -> Batch<T> {
        self.batch
    }
}

impl<T: Entity> fmt::Debug for BatchError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BatchError").field(&self.kind).finish()
    }
}

impl<T: Entity> fmt::Debug for BatchErrorKind<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { ids } => f.debug_struct("Conflict").field("ids", &ids.len()).finish(),
            Self::TooMany { max } => f.debug_struct("TooMany").field("max", max).finish(),
            Self::Contended { rounds } => f.debug_struct("Contended").field("rounds", rounds).finish(),
            Self::Refused { error } => f.debug_struct("Refused").field("error", error).finish(),
        }
    }
}

impl<T: Entity> fmt::Display for BatchError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            BatchErrorKind::Conflict { ids } => {
                write!(f, "live entries of {} of its ids are there", ids.len())
            }
            BatchErrorKind::TooMany { max } => write!(f, "a batch has at most {max} operations"),
            BatchErrorKind::Contended { rounds } => {
                write!(
                    f,
                    "others changed what its values were compared with {rounds} times"
                )
            }
            BatchErrorKind::Refused { .. } => f.write_str("one of its values cannot be stored"),
        }
    }
}

impl<T: Entity> std::error::Error for BatchError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            BatchErrorKind::Refused { error } => Some(error),
            _ => None,
        }
    }
}
