//! What calls give: [`Fetched`] for one id, [`Many`] for several.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use larder_core::{AsOf, Moment, Stamp};

use super::error::FetchError;
use crate::{Entity, Origin};

/// A value, or that there is none, and what is known about the answer.
#[non_exhaustive]
pub struct Fetched<T> {
    /// The value; none if the source has no such entity.
    pub value: Option<Arc<T>>,
    /// How it came into the pool.
    pub origin: Origin,
    /// How long ago; for an absence, how long ago the source said so.
    pub age: Duration,
    /// Its time to live is over, and there was nothing better.
    pub stale: bool,
    /// It comes from memory, and the node cannot be sure to have heard of every invalidation.
    pub degraded: bool,
}

impl<T> Clone for Fetched<T> {
    fn clone(&self) -> Self {
        Fetched {
            value: self.value.clone(),
            ..*self
        }
    }
}

impl<T> fmt::Debug for Fetched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("found", &self.value.is_some())
            .field("origin", &self.origin)
            .field("age", &self.age)
            .field("stale", &self.stale)
            .field("degraded", &self.degraded)
            .finish()
    }
}

/// One answer for each id of a call, in the order in which they were given; an id that was given twice has two.
pub struct Many<T> {
    answers: Vec<Result<Option<Arc<T>>, FetchError>>,
}

impl<T> Many<T> {
    pub(crate) fn new(answers: Vec<Result<Option<Arc<T>>, FetchError>>) -> Self {
        Many { answers }
    }

    /// How many ids were given.
    #[must_use]
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether none were given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// The answer for the id at this place of the call.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&Result<Option<Arc<T>>, FetchError>> {
        self.answers.get(place)
    }

    /// The answers, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Result<Option<Arc<T>>, FetchError>> {
        self.answers.iter()
    }

    /// All answers, if none is an error.
    ///
    /// # Errors
    /// The first one.
    pub fn ok(self) -> Result<Vec<Option<Arc<T>>>, FetchError> {
        self.answers.into_iter().collect()
    }

    /// The values that were found, in order.
    pub fn found(&self) -> impl Iterator<Item = &Arc<T>> {
        self.answers
            .iter()
            .filter_map(|answer| answer.as_ref().ok()?.as_ref())
    }
}

impl<T: Entity> Many<T> {
    /// The values that were found, by id.
    #[must_use]
    pub fn by_id(&self) -> HashMap<T::Id, Arc<T>> {
        self.found()
            .map(|value| (value.id(), Arc::clone(value)))
            .collect()
    }
}

impl<T> IntoIterator for Many<T> {
    type Item = Result<Option<Arc<T>>, FetchError>;
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.answers.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Many<T> {
    type Item = &'a Result<Option<Arc<T>>, FetchError>;
    type IntoIter = std::slice::Iter<'a, Result<Option<Arc<T>>, FetchError>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> fmt::Debug for Many<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Many")
            .field("ids", &self.answers.len())
            .field("found", &self.found().count())
            .field(
                "errors",
                &self.answers.iter().filter(|answer| answer.is_err()).count(),
            )
            .finish()
    }
}

/// A value with what is known about it.
pub(crate) struct Found<T> {
    pub(crate) value: Arc<T>,
    pub(crate) origin: Origin,
    pub(crate) stored: Moment,
    pub(crate) deadline: Moment,
    /// Whether it was in memory when it was asked for, or came in by another way meanwhile.
    pub(crate) is_resident: bool,
}

/// What a load brings for one id, shared by all who wait.
pub(crate) enum Outcome<T> {
    Found { found: Found<T>, reach: Reach },
    Nothing { at: Moment, reach: Reach },
    Failed(FetchError),
}

/// How new an answer is.
#[derive(Clone, Copy)]
pub(crate) struct Reach {
    /// It was read from a copy of the source that had come so far.
    pub(crate) as_of: Option<AsOf>,
    /// Nothing that it depends on was invalidated up to this stamp; since then something may have been.
    pub(crate) stamp: Stamp,
}

impl Reach {
    /// As of this stamp.
    pub(crate) fn of(stamp: Stamp) -> Self {
        Reach { as_of: None, stamp }
    }
}

impl<T> Outcome<T> {
    /// Whether something that it depends on may have been invalidated before the fence stood at `asked`: then it is no
    /// answer for a caller who asked there.
    pub(crate) fn is_too_old_for(&self, asked: Stamp) -> bool {
        match self {
            Self::Found { reach, .. } | Self::Nothing { reach, .. } => reach.stamp < asked,
            Self::Failed(_) => false,
        }
    }
}

impl<T> Clone for Found<T> {
    fn clone(&self) -> Self {
        Found {
            value: Arc::clone(&self.value),
            ..*self
        }
    }
}

impl<T> Clone for Outcome<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Found { found, reach } => Self::Found {
                found: found.clone(),
                reach: *reach,
            },
            Self::Nothing { at, reach } => Self::Nothing {
                at: *at,
                reach: *reach,
            },
            Self::Failed(error) => Self::Failed(error.clone()),
        }
    }
}
