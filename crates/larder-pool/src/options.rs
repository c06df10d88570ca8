//! What a caller may say of one insert: [`InsertOptions`], and what happens when an id is there already:
//! [`OnConflict`].

use std::fmt;
use std::time::Duration;

use larder_core::{AsOf, IntoName, Namespace, Pin, Tag, Target};

use crate::{TagSet, Watermarked};

/// What an insert does when a live entry of its id is there. A dead one counts as absent.
#[non_exhaustive]
pub enum OnConflict<T> {
    /// Takes its place. Told as an insert, which keeps no old value alive.
    Replace,
    /// Refuses: the entry stays.
    Reject,
    /// Takes its place. Told as an update, with both values.
    Update,
    /// Takes its place unless it has a lower watermark, else changes nothing. Made by [`OnConflict::keep_newest`].
    #[non_exhaustive]
    KeepNewest(IsOlder<T>),
}

/// Whether the first value has a lower watermark than the second.
pub(crate) type IsOlder<T> = fn(&T, &T) -> bool;

impl<T: Watermarked> OnConflict<T> {
    /// The newer of the two stays, by their watermarks; of equal ones the value that comes.
    #[must_use]
    pub fn keep_newest() -> Self {
        Self::KeepNewest(|one, other| one.watermark() < other.watermark())
    }
}

impl<T> Clone for OnConflict<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for OnConflict<T> {}

impl<T> OnConflict<T> {
    fn word(&self) -> &'static str {
        match self {
            Self::Replace => "Replace",
            Self::Reject => "Reject",
            Self::Update => "Update",
            Self::KeepNewest(_) => "KeepNewest",
        }
    }
}

impl<T> PartialEq for OnConflict<T> {
    fn eq(&self, other: &Self) -> bool {
        self.word() == other.word()
    }
}

impl<T> Eq for OnConflict<T> {}

impl<T> fmt::Debug for OnConflict<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What is special about one insert.
///
/// ```
/// use std::time::Duration;
/// use larder_pool::{Entity, InsertOptions, Pool};
///
/// #[derive(Entity)]
/// struct Page { id: u64, text: String }
///
/// let pool = Pool::<Page>::builder().build()?;
/// // Before the row is read; if the row is invalidated meanwhile, the insert is refused.
/// let pin = pool.pin(&7);
/// let page = Page { id: 7, text: "hello".to_owned() };
/// let options = InsertOptions::new().time_to_live(Duration::from_secs(60)).tag("front").pin(pin);
/// pool.insert_with(page, options)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct InsertOptions<T> {
    pub(crate) time_to_live: Option<Duration>,
    pub(crate) time_to_idle: Option<Duration>,
    pub(crate) tags: TagSet,
    pub(crate) depends_on: Vec<Target>,
    pub(crate) on_conflict: Option<OnConflict<T>>,
    pub(crate) as_of: Option<AsOf>,
    pub(crate) pin: Option<Pin>,
}

impl<T> InsertOptions<T> {
    /// As the pool does it.
    pub fn new() -> Self {
        InsertOptions {
            time_to_live: None,
            time_to_idle: None,
            tags: TagSet::new(),
            depends_on: Vec::new(),
            on_conflict: None,
            as_of: None,
            pin: None,
        }
    }

    /// How long it may be read. Past the clock's range it means for ever; zero is refused. Default: the pool's.
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = Some(time);
        self
    }

    /// How long it may go unused. Zero is refused. Default: the pool's.
    pub fn time_to_idle(mut self, time: Duration) -> Self {
        self.time_to_idle = Some(time);
        self
    }

    /// A tag in the namespace `default`, beside those that the value tells itself. What is no tag is refused by the insert.
    pub fn tag(mut self, tag: impl IntoName<Tag>) -> Self {
        self.tags.insert(tag);
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

    /// What happens if the id is there. Default: as the pool was built.
    pub fn on_conflict(mut self, rule: OnConflict<T>) -> Self {
        self.on_conflict = Some(rule);
        self
    }

    /// The value was read from a copy that had come so far, looked up before it was read. Refused if the copy may lack the
    /// last invalidation of something that the entry depends on.
    pub fn as_of(mut self, point: AsOf) -> Self {
        self.as_of = Some(point);
        self
    }

    /// What [`Pool::pin`](crate::Pool::pin) gave before the value was read. Refused if it has become stale since, or if
    /// the id was written.
    pub fn pin(mut self, pin: Pin) -> Self {
        self.pin = Some(pin);
        self
    }
}

impl<T> Default for InsertOptions<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for InsertOptions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InsertOptions")
            .field("time_to_live", &self.time_to_live)
            .field("time_to_idle", &self.time_to_idle)
            .field("tags", &self.tags)
            .field("depends_on", &self.depends_on)
            .field("on_conflict", &self.on_conflict)
            .field("as_of", &self.as_of)
            .field("pin", &self.pin)
            .finish()
    }
}
