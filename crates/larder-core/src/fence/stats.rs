//! What a fence counts.

use crate::position::SourceId;
use crate::sync::{AtomicU64, Ordering};
use crate::target::Target;

/// How many kinds of targets there are.
pub(super) const KINDS: usize = 8;

/// The kind of a target, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(u8);

impl Kind {
    pub(super) fn of(target: &Target) -> Kind {
        Kind(match target {
            Target::Key { .. } => 0,
            Target::Tag { .. } => 1,
            Target::Dependency { .. } => 2,
            Target::Entity { .. } => 3,
            Target::Collection { .. } => 4,
            Target::Namespace { .. } => 5,
            Target::Everything => 6,
            Target::Private { .. } => 7,
        })
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Fills that were refused, by reason.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    pub(super) fenced: Count,
    pub(super) too_old: Count,
    pub(super) as_of: Count,
    pub(super) too_many: Count,
    pub(super) widened: Count,
}

/// A counter that nothing else depends on.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a fence holds and has done since it was built. Gathered shard by shard, so not of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FenceStats {
    /// Different targets, parents included, that live pins depend on.
    pub cells: usize,
    /// Targets held by live pins, a target counted once for each pin; parents are not counted.
    pub pins: u64,
    /// Bytes that cells and their tables take.
    pub cell_bytes: usize,
    /// Invalidations, by kind of target.
    pub by_kind: InvalidationsByKind,
    /// Invalidations by commits of each source.
    pub by_source: Vec<(SourceId, u64)>,
    /// Invalidations by hand.
    pub direct: u64,
    /// Fills refused at publication because their pin was not fresh any more.
    pub refused_fenced: u64,
    /// Fills refused because late targets could not be checked far enough back.
    pub refused_too_old: u64,
    /// Fills refused because they came from a copy that may have been behind.
    pub refused_as_of: u64,
    /// Fills refused for having too many targets.
    pub refused_too_many: u64,
    /// How far back the rings reach, in seconds: the age of the oldest entry of the ring that has lost most
    /// lately. `None` while no ring has lost anything.
    pub ring_reach_seconds: Option<f64>,
    /// Invalidations that were wider than what was recorded, because that could not be told exactly.
    pub widenings: u64,
    /// Futures that wait for a token.
    pub waiting: usize,
}

/// Invalidations since the fence was built, by kind of target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidationsByKind {
    /// Keys.
    pub key: u64,
    /// Tags.
    pub tag: u64,
    /// Dependencies.
    pub dependency: u64,
    /// Entities.
    pub entity: u64,
    /// Collections.
    pub collection: u64,
    /// Namespaces.
    pub namespace: u64,
    /// Everything.
    pub everything: u64,
    /// A part's private targets.
    pub private: u64,
}

impl InvalidationsByKind {
    pub(super) fn of(counts: [u64; KINDS]) -> InvalidationsByKind {
        let [
            key,
            tag,
            dependency,
            entity,
            collection,
            namespace,
            everything,
            private,
        ] = counts;
        InvalidationsByKind {
            key,
            tag,
            dependency,
            entity,
            collection,
            namespace,
            everything,
            private,
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.key
            + self.tag
            + self.dependency
            + self.entity
            + self.collection
            + self.namespace
            + self.everything
            + self.private
    }
}
