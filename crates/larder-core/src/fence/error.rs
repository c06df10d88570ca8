//! What the fence refuses, by name.

use crate::name::EntityName;
use crate::position::SourceId;

/// Why a fence could not be built, or a lane or sink not be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FenceError {
    /// An option of the builder is out of its range.
    #[error("{option} is {given}, allowed is {allowed}")]
    Config {
        /// The builder's option.
        option: &'static str,
        /// What was given.
        given: usize,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Several options of the builder are wrong.
    #[error("{}", all(.0))]
    Several(Vec<FenceError>),
    /// A follower of this source is at work on this fence.
    #[error("source {source_id} already has a follower on this fence")]
    AlreadyFollowing {
        /// The source.
        source_id: SourceId,
    },
    /// The fence has as many lanes as it can.
    #[error("a fence has at most {max} lanes")]
    TooManyLanes {
        /// How many.
        max: usize,
    },
    /// The fence has as many drop hooks as it can.
    #[error("a fence has at most {max} drop hooks")]
    TooManyDropHooks {
        /// How many.
        max: usize,
    },
    /// Values of another type are known to this fence under that name.
    #[error("`{name}` is the name of another type on this fence")]
    DuplicateName {
        /// The name.
        name: EntityName,
    },
    /// The fence has as many sinks as it can.
    #[error("a fence has at most {max} sinks")]
    TooManySinks {
        /// How many.
        max: usize,
    },
}

/// Every fault, since whoever mends one wants to know of the others.
fn all(faults: &[FenceError]) -> String {
    let faults: Vec<String> = faults.iter().map(FenceError::to_string).collect();
    faults.join("; ")
}

/// Why there is no pin. The caller loads, and returns the value uncached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// More targets than a pin may hold.
    #[error("{count} targets, parents included; a pin holds at most {max}")]
    TooMany {
        /// How many different ones there were, parents included.
        count: usize,
        /// How many there may be.
        max: usize,
    },
}

/// A pin could not be extended and is dead for good: the value is returned, not cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TooOld {
    /// A target was invalidated after the load began, or so many others that it cannot be told.
    #[error("a target was invalidated after the load began, or the fence no longer remembers")]
    Invalidated,
    /// The value came from a copy, with which these targets can no longer be compared: extend first.
    #[error("targets must be added before the copy is compared with them")]
    FromCopy,
    /// The pin would hold more targets than it may.
    #[error("{count} targets, parents included; a pin holds at most {max}")]
    TooMany {
        /// How many different ones there would be, parents included.
        count: usize,
        /// How many there may be.
        max: usize,
    },
}

/// A loaded value may be older than an invalidation that this node has applied: it is returned, not cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fenced {
    /// A target of the pin was invalidated after the load began.
    #[error("a target was invalidated after the load began")]
    Invalidated,
    /// The copy that was loaded from may lack the last invalidation of a target.
    #[error("the copy may lack the last invalidation of a target")]
    Behind,
    /// The fence does not follow the source of the copy, or not in its epoch.
    #[error("the fence does not follow source {0} in that epoch")]
    NotFollowed(SourceId),
}
