//! [`Loaded`]: what a loader brings. [`LoadContext`] and [`LoadManyContext`]: what it is asked for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use larder_core::{AsOf, IntoName, Namespace, Tag, Target};

use crate::arrive::Wish;
use crate::{Entity, TagSet};

/// What a loader is asked for.
#[non_exhaustive]
pub struct LoadContext<T: Entity> {
    /// The id.
    pub id: T::Id,
    /// What the pool has of it, past its time to live or about to be: a loader that finds out that it has not changed may
    /// bring [`Loaded::unchanged`]. What was invalidated is never here.
    pub previous: Option<Arc<T>>,
}

/// What a loader of several ids is asked for.
#[non_exhaustive]
pub struct LoadManyContext<T: Entity> {
    /// The ids, each once.
    pub ids: Vec<T::Id>,
    /// For each of them what [`LoadContext::previous`] would be. To renew it, bring the same `Arc`.
    pub previous: Vec<Option<Arc<T>>>,
}

/// What a loader brings: a value, none, or nothing new; and how it is to be kept.
///
/// A plain value, an `Arc` of one, and an option of either will do where nothing is to be said beside it.
///
/// ```
/// use std::time::Duration;
/// use larder_pool::Loaded;
///
/// struct Page { id: u64 }
///
/// let page = Loaded::value(Page { id: 7 }).ttl(Duration::from_secs(5)).tag("front");
/// let plain: Loaded<Page> = Some(Page { id: 8 }).into();
/// # let _ = (page, plain);
/// ```
#[must_use]
pub struct Loaded<T> {
    pub(crate) brought: Brought<T>,
    pub(crate) time_to_live: Option<Duration>,
    pub(crate) time_to_idle: Option<Duration>,
    pub(crate) tags: TagSet,
    pub(crate) depends_on: Vec<Target>,
    pub(crate) as_of: Option<AsOf>,
    pub(crate) is_kept: bool,
}

/// What was brought.
pub(crate) enum Brought<T> {
    Value(Arc<T>),
    Nothing,
    Unchanged,
}

impl<T> Loaded<T> {
    /// A value.
    pub fn value(value: impl Into<Arc<T>>) -> Self {
        Self::of(Brought::Value(value.into()))
    }

    /// The source has no such entity. Where several ids are loaded at once it does not say which is meant, and need not be
    /// said, but that [`Loaded::as_of`] counts.
    pub fn none() -> Self {
        Self::of(Brought::Nothing)
    }

    /// [`LoadContext::previous`] is still right: it is kept anew, as if it had been loaded now. Where there is none, it is an
    /// error; and where several ids are loaded at once, since it does not say which is meant.
    pub fn unchanged() -> Self {
        Self::of(Brought::Unchanged)
    }

    fn of(brought: Brought<T>) -> Self {
        Loaded {
            brought,
            time_to_live: None,
            time_to_idle: None,
            tags: TagSet::new(),
            depends_on: Vec::new(),
            as_of: None,
            is_kept: true,
        }
    }

    /// How long it may be read; zero is not kept. Default: the pool's.
    pub fn ttl(mut self, time: Duration) -> Self {
        self.time_to_live = Some(time);
        self
    }

    /// How long it may go unused; zero is not kept. Default: the pool's.
    pub fn idle(mut self, time: Duration) -> Self {
        self.time_to_idle = Some(time);
        self
    }

    /// A tag in the namespace `default`, beside those that the value tells itself. A value with a tag that is none is not
    /// kept.
    pub fn tag(mut self, tag: impl IntoName<Tag>) -> Self {
        self.tags.insert(tag);
        self
    }

    /// Several of them.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl IntoName<Tag>>) -> Self {
        for tag in tags {
            self.tags.insert(tag);
        }
        self
    }

    /// A tag in another namespace.
    pub fn tag_in(mut self, namespace: impl IntoName<Namespace>, tag: impl IntoName<Tag>) -> Self {
        self.tags.insert_in(namespace, tag);
        self
    }

    /// Something else that ends the entry when it is invalidated: for a list, the collection of its rows' lists.
    pub fn depends_on(mut self, target: Target) -> Self {
        self.depends_on.push(target);
        self
    }

    /// It was read from a copy that had come so far, looked up before it was read. It is returned and not kept if the copy
    /// may lack the last invalidation of something that it depends on.
    pub fn as_of(mut self, point: AsOf) -> Self {
        self.as_of = Some(point);
        self
    }

    /// It is returned to those who wait, and not kept.
    pub fn do_not_store(mut self) -> Self {
        self.is_kept = false;
        self
    }
}

impl<T> Loaded<T> {
    /// What a batch says of the ids that it leaves out: that there is no such entity, as of the oldest point that any of it
    /// names. Of copies of several logs nobody can tell: then it is as old as can be, and not kept.
    pub(crate) fn left_out(batch: &[Self]) -> Self {
        let mut points = batch.iter().filter_map(|loaded| loaded.as_of);
        let Some(first) = points.next() else {
            return Self::none();
        };
        let mut oldest = first.point();
        for point in points {
            if (point.source(), point.epoch()) != (first.source(), first.epoch()) {
                let unknown = AsOf::new(first.source(), first.epoch(), 0);
                return Self::none().as_of(unknown).do_not_store();
            }
            oldest = oldest.min(point.point());
        }
        Self::none().as_of(AsOf::new(first.source(), first.epoch(), oldest))
    }

    /// Names what has not changed, where several ids are loaded at once.
    pub(crate) fn or_previous(mut self, previous: Option<Arc<T>>) -> Self {
        if let (Brought::Unchanged, Some(previous)) = (&self.brought, previous) {
            self.brought = Brought::Value(previous);
        }
        self
    }
}

/// An entry that a load may renew, and what it depends on beside what all entries do.
pub(crate) struct Previous<T> {
    pub(crate) value: Arc<T>,
    /// Tags first.
    pub(crate) targets: Box<[Target]>,
}

impl<T> Previous<T> {
    /// What is to be kept when a load has found that nothing has changed: on everything that the entry depended on, and
    /// what the load says beside it.
    pub(crate) fn renewed(&self, mut loaded: Loaded<T>) -> Loaded<T> {
        for target in &self.targets {
            match target {
                Target::Tag { namespace, tag } => loaded.tags.insert_in(namespace.clone(), tag.clone()),
                other if loaded.depends_on.contains(other) => {}
                other => loaded.depends_on.push(other.clone()),
            }
        }
        loaded
    }
}

impl<T: Entity> Previous<T> {
    /// Lets a value that takes the place of this one depend on what this was given beside its own tags: whoever ends that
    /// means the row, whatever its value is by then.
    pub(crate) fn carry_over(&self, wish: &mut Wish<T>) {
        if self.targets.is_empty() {
            return;
        }
        let mut own = TagSet::new();
        self.value.tags(&mut own);
        let own = own.into_targets().unwrap_or_default();
        for target in self.targets.iter().filter(|target| !own.contains(target)) {
            match target {
                Target::Tag { namespace, tag } => wish.tags.insert_in(namespace.clone(), tag.clone()),
                other => wish.depends_on.push(other.clone()),
            }
        }
    }
}

impl<T> Clone for Loaded<T> {
    fn clone(&self) -> Self {
        Loaded {
            brought: match &self.brought {
                Brought::Value(value) => Brought::Value(Arc::clone(value)),
                Brought::Nothing => Brought::Nothing,
                Brought::Unchanged => Brought::Unchanged,
            },
            time_to_live: self.time_to_live,
            time_to_idle: self.time_to_idle,
            tags: self.tags.clone(),
            depends_on: self.depends_on.clone(),
            as_of: self.as_of,
            is_kept: self.is_kept,
        }
    }
}

impl<T> From<T> for Loaded<T> {
    fn from(value: T) -> Self {
        Self::value(value)
    }
}

impl<T> From<Arc<T>> for Loaded<T> {
    fn from(value: Arc<T>) -> Self {
        Self::value(value)
    }
}

impl<T> From<Option<T>> for Loaded<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or_else(Self::none, Self::value)
    }
}

impl<T> From<Option<Arc<T>>> for Loaded<T> {
    fn from(value: Option<Arc<T>>) -> Self {
        value.map_or_else(Self::none, Self::value)
    }
}

impl<T: Entity> fmt::Debug for LoadContext<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadContext")
            .field("has_previous", &self.previous.is_some())
            .finish_non_exhaustive()
    }
}

impl<T: Entity> fmt::Debug for LoadManyContext<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadManyContext")
            .field("ids", &self.ids.len())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Loaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brought = match &self.brought {
            Brought::Value(_) => "a value",
            Brought::Nothing => "none",
            Brought::Unchanged => "unchanged",
        };
        f.debug_struct("Loaded")
            .field("brought", &brought)
            .field("time_to_live", &self.time_to_live)
            .field("time_to_idle", &self.time_to_idle)
            .field("tags", &self.tags)
            .field("depends_on", &self.depends_on)
            .field("as_of", &self.as_of)
            .field("is_kept", &self.is_kept)
            .finish()
    }
}
