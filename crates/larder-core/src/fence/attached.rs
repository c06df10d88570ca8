//! What hears of every invalidation: journals, and the drop hooks of parts that keep no cell for their entries.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::journal::{Journal, Raised};
use crate::position::{Position, SourceId};
use crate::sync::Arc;
use crate::target::Target;

/// Removes what is resident under an invalidated target, for a part that keeps no cell for each entry.
///
/// `invalidate` calls it after the cells are raised and before it returns, with no lock of the fence held. The
/// part decides under its own lock, the one under which its fills decide too (pin still fresh, then publish):
/// then a fill either sees its pin dead, or is there to be removed.
pub trait DropHook: Send + Sync {
    /// Everything resident that depends on `target` must be unreadable when this returns. A parent target
    /// (a collection, a namespace, everything) covers all its children. `commit` is the one that said so, if a
    /// source delivered it.
    fn invalidated(&self, target: &Target, commit: Option<(SourceId, Position)>);
}

/// The journals and hooks of a fence at one moment. Each shard has a copy of its own.
#[derive(Clone, Default)]
pub(super) struct Attached {
    pub(super) journals: Vec<(u64, Arc<dyn Journal>)>,
    pub(super) hooks: Vec<(u64, Arc<dyn DropHook>)>,
}

/// The list as one shard has it, behind a count of the shard's own: invalidations in different shards share no line.
pub(super) struct AttachedToShard(pub(super) Arc<Attached>);

impl Attached {
    pub(super) fn is_empty(&self) -> bool {
        self.journals.is_empty() && self.hooks.is_empty()
    }

    /// Tells everyone of an invalidation but the hook with the number `except`. Called with no lock held.
    ///
    /// A panic in one keeps none of the others from hearing; the first goes on to the caller afterwards,
    /// since what its hook should have removed may still be there.
    pub(super) fn tell(&self, target: &Target, raised: Raised, except: Option<u64>) {
        let mut panics = Panics::default();
        for (_, journal) in &self.journals {
            panics.put_off(|| journal.raised(&[raised]));
        }
        let commit = match raised {
            Raised::Target { commit, .. } => commit,
            Raised::Skipped { .. } => None,
        };
        for (number, hook) in &self.hooks {
            if Some(*number) != except {
                panics.put_off(|| hook.invalidated(target, commit));
            }
        }
        panics.go_on();
    }
}

/// Puts off the panics of journals and hooks until everything that must be done beside them is done.
#[derive(Default)]
pub(super) struct Panics {
    first: Option<Box<dyn Any + Send>>,
}

impl Panics {
    /// Runs `step`. What it gives is lost if it panics.
    pub(super) fn put_off<T>(&mut self, step: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(step)) {
            Ok(done) => Some(done),
            Err(panic) => {
                self.first.get_or_insert(panic);
                None
            }
        }
    }

    /// Lets the first panic go on to the caller, if there was one.
    pub(super) fn go_on(self) {
        if let Some(panic) = self.first {
            resume_unwind(panic);
        }
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached")
            .field("journals", &self.journals.len())
            .field("hooks", &self.hooks.len())
            .finish()
    }
}
