//! [`Snapshot`]: what a pool held after one commit, to be looked at for as long as one likes.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::store::{Row, Scan};
use crate::{Entity, Pool};

/// The live entries of a pool after one commit, ascending by id. It keeps their values alive, and nothing else: the pool goes on.
///
/// Entries that expire or are invalidated later stay in it. A value that now says another id than when it was stored is left out.
pub struct Snapshot<T: Entity> {
    sequence: u64,
    entries: Vec<(T::Id, Arc<T>)>,
}

impl<T: Entity> Pool<T> {
    /// What is live after one commit: the last one that has returned, or a later one. O(n log n) in entries; writers wait for no more
    /// than a page of it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<T> {
        let (sequence, rows): (u64, Vec<Row<T>>) = {
            let scan = Scan::begin(&self.shared);
            (scan.sequence(), scan.rows().collect())
        };
        let mut entries: Vec<(T::Id, Arc<T>)> = rows
            .into_iter()
            .filter_map(|row| {
                let id = row.value.id();
                (self.shared.hash(&id) == row.hash).then_some((id, row.value))
            })
            .collect();
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        Snapshot { sequence, entries }
    }
}

impl<T: Entity> Snapshot<T> {
    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The sequence of the commit after which this was so.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The value of an id. O(log n).
    #[must_use]
    pub fn get<Q>(&self, id: &Q) -> Option<&Arc<T>>
    where
        T::Id: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let place = self
            .entries
            .binary_search_by(|(own, _)| own.borrow().cmp(id))
            .ok()?;
        self.entries.get(place).map(|(_, value)| value)
    }

    /// All values, ascending by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<T>> {
        self.entries.iter().map(|(_, value)| value)
    }

    /// All ids, ascending.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &T::Id> {
        self.entries.iter().map(|(id, _)| id)
    }
}

impl<T: Entity> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("entity", &T::name())
            .field("sequence", &self.sequence)
            .field("entries", &self.entries.len())
            .finish()
    }
}
