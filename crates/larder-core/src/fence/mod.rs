//! The fence: the only judge of whether a cached value may still be believed.
//!
//! Before a load begins, its targets are *pinned*; the entry keeps the [`Pin`] and asks it at every read. An
//! invalidation raises the *cell* of its target, which every pin on the target or on a child of it holds. So a
//! value that was loaded before an invalidation and stored after it is dead on arrival, however late the store
//! and whatever the part that stores it does: there is no window to close.
//!
//! What is always true:
//!
//! - When [`Fence::invalidate`] has returned, no pin on the target or on a child of it that was taken before is
//!   ever fresh again.
//! - A pin taken after it returned is fresh until the next one.
//! - Invalidating costs O(1), however many entries depend on the target, and cannot fail.
//!
//! What it does not do: it keeps no values, knows no database, starts nothing, and awaits nothing. The model
//! that is checked against this code stands in `docs/formats/fence.md`.
//!
//! Order of locks: `attached`, then one shard; the list of lanes, then one lane; the list of waiters alone, one
//! waker alone. No two of these groups are ever held together, and nothing foreign runs under any of them.

mod attached;
mod builder;
mod cause;
mod cell;
mod error;
mod explain;
mod journal;
mod lane;
mod lanes;
mod own;
mod pin;
mod progress;
mod registry;
mod ring;
mod shard;
mod shared;
mod spread;
mod stamp;
mod stats;
mod wait;
mod within;

#[cfg(test)]
mod tests;

use std::any::TypeId;
use std::fmt;

pub use attached::DropHook;
pub use builder::FenceBuilder;
pub use cause::Cause;
pub use error::{FenceError, Fenced, PinError, TooOld};
pub use explain::{CommitSeen, Explained, Explanation, Invalidated, Last};
pub use journal::{Journal, Journaled, Raised, StampRuns};
pub use lane::{Lane, Optional, OwnCommit, Round};
pub use lanes::{Certainty, LaneState};
pub use pin::Pin;
pub use progress::Applied;
pub use stamp::{Run, Stamp};
pub use stats::{FenceStats, InvalidationsByKind};
pub use wait::WhenApplied;
pub use within::TransactionScope;

use self::attached::Panics;
use self::shared::Shared;
use crate::as_of::AsOf;
use crate::clock::Moment;
use crate::cursor::Cursor;
use crate::limits::{DROP_HOOKS_MAX, SINKS_MAX};
use crate::name::EntityName;
use crate::position::SourceId;
use crate::source::Sink;
use crate::sync::Arc;
use crate::target::Target;
use crate::token::Token;

/// A handle of a fence; all its clones are one fence.
///
/// A layer has one, shared by all its parts. A part without a layer makes its own.
///
/// ```
/// use larder_core::{Cause, Fence, Reason, Target};
///
/// let fence = Fence::builder().build()?;
/// let user = Target::entity("user", "42")?;
///
/// let pin = fence.pin(std::slice::from_ref(&user))?; // before the load
/// fence.invalidate(&user, Cause::direct(Reason::new("changed"))); // while it is in flight
/// assert!(!pin.is_fresh()); // whenever the value is stored: it is never served
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Fence {
    shared: Arc<Shared>,
}

/// Keeps a drop hook or a sink registered. Dropping it takes it off.
#[must_use = "dropping it ends the registration"]
#[derive(Debug)]
pub struct Registration {
    fence: Fence,
    number: u64,
}

/// Keeps a name for one type. Dropping it gives the name back.
#[must_use = "dropping it gives the name back"]
#[derive(Debug)]
pub struct NameClaim {
    fence: Fence,
    name: EntityName,
}

impl Fence {
    /// A builder with every default.
    pub fn builder() -> FenceBuilder {
        FenceBuilder::default()
    }

    /// Pins `targets`, and all their parents, from now on. Only afterwards may the load begin.
    ///
    /// Without targets the pin depends on everything. O(targets): at most one shard lock for each target and
    /// parent, one allocation for a pin on several, one for each new cell.
    ///
    /// # Errors
    /// [`PinError::TooMany`] above [`PIN_TARGETS_MAX`](crate::limits::PIN_TARGETS_MAX) different targets,
    /// parents included: the caller loads and returns the value uncached. No target is left out silently.
    pub fn pin(&self, targets: &[Target]) -> Result<Pin, PinError> {
        Pin::take(&self.shared, targets)
    }

    /// Pins `targets` for a load that began at `started` in `run` and whose pin was let go, since the filler is
    /// somewhere else. `None` if one of them may have been invalidated since, or for another run of the fence.
    pub fn resume(&self, run: Run, started: Stamp, targets: &[Target]) -> Option<Pin> {
        if run != self.shared.run || started > self.shared.now() || started == Stamp::ZERO {
            return None;
        }
        let pinned = self.pin_since(started, targets);
        let resumed = pinned
            .filter(|(_, dropped)| *dropped <= started)
            .map(|(pin, _)| pin);
        if resumed.is_none() {
            self.shared.refusals.too_old.add();
        }
        resumed
    }

    fn pin_since(&self, started: Stamp, targets: &[Target]) -> Option<(Pin, Stamp)> {
        Pin::take_since(&self.shared, started, targets)
    }

    /// Whether a pin is of this fence. Of another it judges nothing here.
    pub fn owns(&self, pin: &Pin) -> bool {
        Arc::ptr_eq(pin.shared(), &self.shared)
    }

    /// Which run of the fence this is: for a filler that brings it back to [`Fence::resume`].
    pub fn run(&self) -> Run {
        self.shared.run
    }

    /// Ends whatever depends on `target` or on a child of it, and returns the stamp at which.
    ///
    /// When this has returned, no pin taken before is fresh any more, journals know of it, and drop hooks have
    /// removed what they must. O(1) and no allocation, however much depends on the target; plus whatever
    /// journals and hooks do. Cannot fail.
    pub fn invalidate(&self, target: &Target, cause: Cause) -> Stamp {
        self.shared.invalidate(target, cause, None)
    }

    /// [`Fence::invalidate`] for several targets of one cause. Returns the last stamp, or the clock as it is if
    /// there are none.
    /// All of them are raised before a panic of a hook or a journal goes on to the caller.
    pub fn invalidate_many<'a>(&self, targets: impl IntoIterator<Item = &'a Target>, cause: &Cause) -> Stamp {
        let mut last = None;
        let mut panics = Panics::default();
        for target in targets {
            last = panics.put_off(|| self.shared.invalidate(target, cause.clone(), None));
        }
        panics.go_on();
        last.unwrap_or_else(|| self.shared.now())
    }

    /// [`Fence::invalidate`] with a target that is wider than what was asked for, because that could not be
    /// told exactly. Counted.
    pub fn widen(&self, target: &Target, cause: Cause) -> Stamp {
        self.shared.refusals.widened.add();
        self.shared.invalidate(target, cause, None)
    }

    /// Ends the pins that hold a private target at this moment, or hold nothing but a child of it.
    ///
    /// Leaves no trace: no ring, journal or hook hears of it, so that a part may call it at each of its writes. A pin
    /// that is extended by the target, resumed or restored later does not notice, which is why only a part's private
    /// targets are ended so, by the part that pins them. O(1): one shard lock.
    ///
    /// # Panics
    /// If the target is not private: whoever depends on it might miss the invalidation.
    pub fn end_pins(&self, target: &Target) {
        assert!(
            target.is_private(),
            "only a private target is ended without a trace"
        );
        self.shared.end_pins(target.hash());
    }

    /// The present moment, by the clock by which leases end. For followers, which say until when one lasts.
    pub fn time(&self) -> Moment {
        self.shared.time()
    }

    /// The last stamp given out. What is filled after reading this is not older than it.
    pub fn stamp(&self) -> Stamp {
        self.shared.now()
    }

    /// A stamp of its own, after everything so far: what was pinned before has an older one, and what is pinned from now on has not. Nothing is invalidated.
    pub fn mark(&self) -> Stamp {
        self.shared.mark()
    }

    /// Moves the clock above `floor`: stamps never go back, across restarts too.
    ///
    /// A part that stores stamps stores a limit above all it may have seen, ahead of use, and calls this with
    /// it when it opens, before it restores anything. What this run has already invalidated is stamped anew
    /// above the floor, so that whatever lies on disk is older. O(ring) then. A floor above
    /// [`Stamp::FLOOR_MAX`] counts as that; what lies on disk above it is not restored.
    pub fn raise_floor(&self, floor: Stamp) {
        self.shared.raise_floor(floor);
    }

    /// Attaches a journal, which hears of every invalidation from now on and first of what the ring has; if
    /// the ring has lost something, of `everything`. Only the returned handle can restore entries of it.
    pub fn journal(&self, journal: Arc<dyn Journal>) -> Journaled {
        let number = self.shared.add_journal(Arc::clone(&journal));
        // Made before the journal is called: if it panics, it is detached on the way out.
        let journaled = Journaled::new(self.clone(), Arc::clone(&journal), number);
        self.shared.catch_up(&*journal);
        journaled
    }

    /// Registers a drop hook. It hears of every invalidation that begins after this has returned.
    ///
    /// # Errors
    /// [`FenceError::TooManyDropHooks`] above [`DROP_HOOKS_MAX`].
    pub fn drop_hook(&self, hook: Arc<dyn DropHook>) -> Result<Registration, FenceError> {
        let number = self.shared.add_hook(hook);
        let number = number.ok_or(FenceError::TooManyDropHooks { max: DROP_HOOKS_MAX })?;
        self.shared.spread_attached();
        Ok(Registration {
            fence: self.clone(),
            number,
        })
    }

    /// Registers a sink: followers of every source, and commits of this node, call it.
    ///
    /// # Errors
    /// [`FenceError::TooManySinks`] above [`SINKS_MAX`].
    pub fn sink(&self, sink: Arc<dyn Sink>) -> Result<Registration, FenceError> {
        let number = self
            .shared
            .add_sink(sink)
            .ok_or(FenceError::TooManySinks { max: SINKS_MAX })?;
        Ok(Registration {
            fence: self.clone(),
            number,
        })
    }

    /// Says that `name` stands for values of the type `of` on this fence, for as long as the claim lives. Several parts
    /// may say so of one type.
    ///
    /// Two types of one name would be invalidated for each other, and what one of them stores elsewhere under that name
    /// would be read as the other.
    ///
    /// # Errors
    /// [`FenceError::DuplicateName`] while the name stands for another type.
    pub fn claim_name(&self, name: &EntityName, of: TypeId) -> Result<NameClaim, FenceError> {
        if !self.shared.claim_name(name, of) {
            return Err(FenceError::DuplicateName { name: name.clone() });
        }
        Ok(NameClaim {
            fence: self.clone(),
            name: name.clone(),
        })
    }

    /// The registered sinks, for whoever has raised the fence and is to call them.
    pub fn sinks(&self) -> Vec<Arc<dyn Sink>> {
        self.shared
            .attached
            .lock()
            .sinks
            .iter()
            .map(|(_, sink)| Arc::clone(sink))
            .collect()
    }

    fn detach(&self, number: u64) {
        self.shared.detach(number);
    }

    /// The lane of a source, for its follower.
    ///
    /// # Errors
    /// [`FenceError::AlreadyFollowing`] while another follower holds it; [`FenceError::TooManyLanes`] above
    /// [`LANES_MAX`](crate::limits::LANES_MAX) sources.
    pub fn lane(&self, source: SourceId) -> Result<Lane, FenceError> {
        Lane::take(self, source)
    }

    /// Whether every lane that counts is live. One atomic load, and one reading of the clock if there are lanes.
    pub fn certainty(&self) -> Certainty {
        self.shared.lanes.certainty(&*self.shared.clock)
    }

    /// Whether [`Fence::certainty`] is [`Certainty::Sure`], for readers who ask nothing else: one atomic load and one coarse reading of the clock.
    #[inline]
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.shared.lanes.are_sure(&*self.shared.clock)
    }

    /// Whether all that `token` asks for has been applied on this node. Waits for nobody.
    pub fn applied(&self, token: &Token) -> Applied {
        self.shared.applied(token, None)
    }

    /// Resolves when `token` has been applied, or when it turns out that this cannot be told here. Woken by
    /// the publication of progress, never by polling.
    pub fn when_applied(&self, token: Token) -> WhenApplied {
        WhenApplied::new(Arc::clone(&self.shared), token)
    }

    /// Whether a copy of a source that has come to `as_of` certainly includes all that `token` asks for. Where
    /// that cannot be told, no.
    pub fn reaches(&self, token: &Token, as_of: AsOf) -> bool {
        let Some(lane) = self.shared.lanes.find(as_of.source()) else {
            return token.is_empty();
        };
        let mut requirements = token.requirements().iter();
        !token.is_origin_only() && requirements.all(|requirement| lane.reaches(requirement, as_of))
    }

    /// How far each source has been applied, for a part that saves its entries.
    pub fn cursors(&self) -> Vec<Cursor> {
        self.shared
            .lanes
            .all()
            .iter()
            .filter_map(|lane| lane.cursor())
            .collect()
    }

    /// The last invalidation of exactly this target.
    pub fn last(&self, target: &Target) -> Last {
        self.shared.last(target)
    }

    /// The invalidations of exactly this target that are still remembered, newest first, `most` of them at most. O(those).
    pub fn recent(&self, target: &Target, most: usize) -> Vec<Invalidated> {
        self.shared.recent(target, most)
    }

    /// What decides whether something that depends on `targets` may be believed.
    pub fn explain(&self, targets: &[Target]) -> Explanation {
        self.shared.explain(targets)
    }

    /// What the fence holds and has done. Visits every shard and every cell.
    pub fn stats(&self) -> FenceStats {
        self.shared.stats()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Registration {
    /// [`Fence::invalidate`], except that the drop hook of this registration is not called: the part removes what is
    /// its own, for reasons of its own, before it goes on.
    ///
    /// A panic of another hook or of a journal goes on to the caller; what the part owes it owes all the same.
    pub fn invalidate(&self, target: &Target, cause: Cause) -> Stamp {
        self.fence.shared.invalidate(target, cause, Some(self.number))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.fence.detach(self.number);
    }
}

impl Drop for NameClaim {
    fn drop(&mut self) {
        self.fence.shared.give_back_name(&self.name);
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}
