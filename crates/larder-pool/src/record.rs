//! What a commit tells those who listen: one record, shared by all of them.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::{Entity, Reason};

/// The changes of one commit, in the order in which they are announced.
pub(crate) struct Record<T: Entity> {
    pub(crate) sequence: u64,
    pub(crate) changes: SmallVec<[Change<T>; 1]>,
}

/// One change.
pub(crate) enum Change<T: Entity> {
    Inserted { value: Arc<T> },
    Updated { old: Arc<T>, new: Arc<T> },
    Removed { id: T::Id, reason: Reason },
    Cleared { count: usize, reason: Reason },
}
