//! [`Link`]: what the fence and followers call to end entries of a pool.
//!
//! It knows the pool weakly, so that a fence that outlives the pool keeps nothing of it alive. An entity is removed when
//! its own target is invalidated, before `invalidate` returns, since a resident entry holds no cell for it. What is wider
//! has ended its entries already by the cells that they share; they are removed when a sink is told.

use std::sync::{Arc, OnceLock, Weak};

use larder_core::{
    Cause, DropHook, EntityName, Invalidation, Key, Last, Position, Settled, Sink, SinkError, SourceId,
    Stamp, Target,
};

use larder_core::sync::Ordering;

use crate::panics::Panics;
use crate::shared::Shared;
use crate::{Entity, EntityId, Reason};

/// How many generations may pass before the dead are taken out: fewer than entries tell apart, by half.
const GENERATIONS_KEPT: u64 = 1 << 15;

/// A pool's place on its fence.
pub(crate) struct Link<T: Entity> {
    name: EntityName,
    pool: OnceLock<Weak<Shared<T>>>,
}

impl<T: Entity> Link<T> {
    pub(crate) fn new(name: &EntityName) -> Self {
        Link {
            name: name.clone(),
            pool: OnceLock::new(),
        }
    }

    /// Now there is a pool behind it.
    pub(crate) fn tie(&self, pool: Weak<Shared<T>>) {
        let _ = self.pool.set(pool);
    }

    fn pool(&self) -> Option<Arc<Shared<T>>> {
        self.pool.get()?.upgrade()
    }

    /// The fence was raised for `target`, and the hook was called then: what is left is what only a sink removes.
    fn sink(&self, target: &Target, position: Option<Position>) {
        let Some(pool) = self.pool() else { return };
        let until = match target {
            Target::Entity { id, .. } => match pool.fence.last(target) {
                // Twice is once: what came after it stays. An unreadable id was widened by the hook.
                Last::At(last) if T::Id::from_key(id).is_some() => Some(last.stamp),
                _ => return,
            },
            _ => None,
        };
        pool.remove_ended(target, until, position);
    }
}

impl<T: Entity> DropHook for Link<T> {
    fn invalidated(&self, target: &Target, commit: Option<(SourceId, Position)>) {
        let concerns = match target {
            Target::Entity { entity, .. } => *entity == self.name,
            Target::Collection { .. } | Target::Namespace { .. } | Target::Everything => true,
            _ => false,
        };
        if concerns && let Some(pool) = self.pool() {
            pool.end(target, commit.map(|(_, position)| position));
        }
    }
}

impl<T: Entity> Sink for Link<T> {
    fn apply(&self, rows: &[Invalidation], _at: Position) -> Result<Settled, SinkError> {
        for row in rows {
            self.sink(row.target(), Some(row.position()));
        }
        Ok(Settled::at_once())
    }

    fn widen(&self, target: &Target) -> Result<Settled, SinkError> {
        self.sink(target, None);
        Ok(Settled::at_once())
    }
}

impl<T: Entity> Shared<T> {
    /// Ends what must be unreadable when the invalidation of `target` returns, and does not hold its cell.
    fn end(&self, target: &Target, position: Option<Position>) {
        match target {
            Target::Entity { entity, id } if *entity == self.name => {
                self.remove_entity(id, None, Reason::Invalidated { position });
            }
            Target::Collection { name } if name.as_str() == self.name.as_str() => self.next_generation(),
            Target::Namespace { namespace } if *namespace == self.namespace => self.next_generation(),
            Target::Everything => self.next_generation(),
            _ => {}
        }
    }

    /// Ends every entry: O(1). Once in a long while it also takes them out, so that none is left that is so old that its
    /// generation would be taken for a new one.
    fn next_generation(&self) {
        let ledger = self.ledger.lock();
        let generation = self.generations.load(Ordering::Relaxed) + 1;
        self.generations.store(generation, Ordering::Release);
        drop(ledger);
        if generation - self.purged.load(Ordering::Acquire) >= GENERATIONS_KEPT {
            self.take_fenced(Reason::Invalidated { position: None });
            self.purged.fetch_max(generation, Ordering::AcqRel);
        }
    }

    /// Applies rows for which nobody has raised the fence.
    pub(crate) fn apply(&self, rows: &[Invalidation]) {
        let mut panics = Panics::default();
        for row in rows {
            let cause = Cause::direct(row.reason().clone());
            panics.put_off(|| self.hook.invalidate(row.target(), cause));
            self.end(row.target(), Some(row.position()));
            self.remove_ended(row.target(), None, Some(row.position()));
        }
        panics.go_on();
    }

    /// Removes what the fence has ended because of `target`. With a stamp, an entity that was stored later stays.
    fn remove_ended(&self, target: &Target, until: Option<Stamp>, position: Option<Position>) {
        let reason = Reason::Invalidated { position };
        match target {
            Target::Entity { entity, id } if *entity == self.name => self.remove_entity(id, until, reason),
            Target::Tag { .. } => drop(self.take_tag(target.hash(), reason)),
            Target::Collection { name } if name.as_str() == self.name.as_str() => {
                self.take_fenced(reason);
            }
            Target::Namespace { namespace } if *namespace == self.namespace => {
                self.take_fenced(reason);
            }
            Target::Everything => drop(self.take_fenced(reason)),
            _ => {}
        }
    }

    /// If the id cannot be read, whatever it may be ends: the whole collection.
    fn remove_entity(&self, id: &Key, until: Option<Stamp>, reason: Reason) {
        if let Some(id) = T::Id::from_key(id) {
            self.take(self.hash(&id), &id, until, reason);
            return;
        }
        let collection = Target::Collection {
            name: self.name.collection(),
        };
        let why = larder_core::Reason::new("an id could not be read");
        self.fence.widen(&collection, Cause::direct(why));
        self.take_fenced(reason);
    }
}
