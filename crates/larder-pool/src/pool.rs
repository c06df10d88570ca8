//! [`Pool`]: the handle, and its operations in memory but for those that store.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use larder_core::sync::Ordering;
use larder_core::{Cause, Fence, Invalidation, Namespace, Pin, Position, Tag, Target, ToKey};

use crate::builder::check_capacity;
use crate::config::{Capacity, PoolConfig};
use crate::panics::Panics;
use crate::shared::Shared;
use crate::store::{Row, Scan, Use};
use crate::{BuildError, Entity, Events, PoolBuilder, Reason, SweepReport};

/// Typed objects in memory: one live value an id.
///
/// A handle: its clones are one pool, which lives as long as a handle does. All operations here are synchronous, may be
/// called from any thread, and wait for no load. Wherever an id is asked for, any borrowed form of it will do: `&str` for
/// a `String`.
///
/// ```
/// use larder_pool::{Entity, Pool};
///
/// #[derive(Entity)]
/// struct User { id: u64, name: String }
///
/// let users = Pool::<User>::builder().capacity_entries(1_000).build()?;
/// users.insert(User { id: 7, name: "Ada".to_owned() })?;
/// assert_eq!(users.get(&7).unwrap().name, "Ada");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pool<T: Entity> {
    pub(crate) shared: Arc<Shared<T>>,
}

/// A handle that does not keep its pool alive.
pub struct WeakPool<T: Entity> {
    shared: Weak<Shared<T>>,
}

impl<T: Entity> Pool<T> {
    /// A builder with every default.
    pub fn builder() -> PoolBuilder<T> {
        PoolBuilder::new()
    }

    pub(crate) fn of(shared: Arc<Shared<T>>) -> Self {
        Pool { shared }
    }

    /// What the pool was built with.
    #[must_use]
    pub fn config(&self) -> &PoolConfig<T> {
        &self.shared.config
    }

    /// The fence that judges what the pool may still believe: the one given, or its own.
    #[must_use]
    pub fn fence(&self) -> &Fence {
        &self.shared.fence
    }

    /// A handle that does not keep the pool alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakPool<T> {
        WeakPool {
            shared: Arc::downgrade(&self.shared),
        }
    }

    /// The live value of an id. Counts as a use, and as a hit or a miss. A dead entry reads as absent, and stays until
    /// something removes it.
    ///
    /// Within a transaction of the pool's fence, what that has invalidated reads as absent.
    ///
    /// O(1): one shard's lock, shared (under exact LRU: alone); no allocation. It waits for no other id's writer, and for no
    /// batch, load, scan, listener or foreign code; at most for a bounded step in one shard.
    #[inline]
    #[must_use]
    pub fn get<Q>(&self, id: &Q) -> Option<Arc<T>>
    where
        T::Id: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.shared.hash(id);
        let hit = self.shared.hit(hash, id);
        hit.or_else(|| self.shared.read_for_caller(hash, id, Use::Counted).ok())
    }

    /// The live values of several ids, in their order. Never a part of a batch without the rest of it. Each counts as
    /// [`Pool::get`] does.
    #[must_use]
    pub fn get_many<'q, Q>(&self, ids: impl IntoIterator<Item = &'q Q>) -> Vec<Option<Arc<T>>>
    where
        T::Id: Borrow<Q>,
        Q: Hash + Eq + ?Sized + 'q,
    {
        let hashed = ids.into_iter().map(|id| (self.shared.hash(id), id));
        self.shared.read_many(&hashed.collect::<Vec<_>>())
    }

    /// The live value of an id, without a trace: neither use nor hit nor miss.
    #[must_use]
    pub fn peek<Q>(&self, id: &Q) -> Option<Arc<T>>
    where
        T::Id: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.shared.hash(id);
        self.shared.read_for_caller(hash, id, Use::Untold).ok()
    }

    /// Whether an id has a live value, without a trace.
    #[must_use]
    pub fn contains<Q>(&self, id: &Q) -> bool
    where
        T::Id: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.shared.hash(id);
        self.shared.read_for_caller(hash, id, Use::Untold).is_ok()
    }

    /// Removes an id, and says whether it was live. What is loading it is not stored, and everything on the pool's fence
    /// that depends on the entity ends.
    ///
    /// `reason` is [`Reason::Manual`], [`Reason::Saved`] or [`Reason::Deleted`]; any other counts as `Manual`.
    pub fn invalidate<Q>(&self, id: &Q, reason: Reason) -> bool
    where
        T::Id: Borrow<Q>,
        Q: Hash + Eq + ToKey + ?Sized,
    {
        self.end(id, reason).is_some()
    }

    /// [`Pool::invalidate`] for no particular reason, giving the value if it was live.
    pub fn remove<Q>(&self, id: &Q) -> Option<Arc<T>>
    where
        T::Id: Borrow<Q>,
        Q: Hash + Eq + ToKey + ?Sized,
    {
        self.end(id, Reason::Manual)
    }

    fn end<Q>(&self, id: &Q, reason: Reason) -> Option<Arc<T>>
    where
        T::Id: Borrow<Q>,
        Q: Hash + Eq + ToKey + ?Sized,
    {
        let pool = &self.shared;
        let (hash, reason) = (pool.hash(id), reason.of_caller());
        let key = id.to_key().ok()?;
        // The fence first: a fill that is decided in between finds its pin dead. Other parts' hooks may panic; what is
        // this pool's is removed all the same.
        let mut panics = Panics::default();
        let cause = Cause::direct(reason.told());
        panics.put_off(|| pool.hook.invalidate(&pool.entity_target(key), cause));
        let taken = pool.take(hash, id, None, reason);
        panics.go_on();
        taken
    }

    /// Removes every entry as one commit with one event, and says how many there were. What is being loaded is not
    /// stored.
    pub fn clear(&self, reason: Reason) -> usize {
        self.shared.take_all(reason.of_caller())
    }

    /// Removes the entries that `keep` refuses, as one commit, and says how many. `keep` sees the state after one commit
    /// and runs without a lock; an entry that has changed meanwhile stays. O(entries).
    pub fn retain(&self, mut keep: impl FnMut(&T) -> bool) -> usize {
        let refused: Vec<Row<T>> = {
            let scan = Scan::begin(&self.shared);
            scan.rows().filter(|row| !keep(&row.value)).collect()
        };
        if refused.is_empty() {
            return 0;
        }
        let mut panics = Panics::default();
        let count = panics.put_off(|| self.shared.take_rows(&refused, Reason::Manual));
        // One after the other: each may be the last of its value, whose drop may panic.
        for row in refused {
            panics.put_off(|| drop(row));
        }
        panics.go_on();
        count.unwrap_or(0)
    }

    /// Invalidates a tag of the namespace `default` on the pool's fence, removes the entries that carry it, and says how
    /// many there were. They are unreadable, here and wherever else the fence judges, before the first is removed.
    pub fn invalidate_tag(&self, tag: &Tag) -> usize {
        let target = Target::Tag {
            namespace: Namespace::default(),
            tag: tag.clone(),
        };
        let why = larder_core::Reason::new(Reason::Manual.as_str());
        let mut panics = Panics::default();
        panics.put_off(|| self.shared.hook.invalidate(&target, Cause::direct(why)));
        let count = self.shared.take_tag(target.hash(), Reason::Manual);
        panics.go_on();
        count
    }

    /// Applies invalidations by hand, each of its own position up to `at`: raises the fence for each, and removes what depends on it.
    ///
    /// An entity whose id cannot be read ends the whole collection. Twice is once. A follower needs no such call: it raises
    /// the fence itself and then calls the pool as a sink.
    pub fn apply(&self, rows: &[Invalidation], at: Position) {
        let _ = at;
        self.shared.apply(rows);
    }

    /// To be taken before a value of this id is read by hand, and given to [`InsertOptions::pin`](crate::InsertOptions::pin)
    /// with it: if the id was invalidated or written meanwhile, the insert is refused.
    #[must_use]
    pub fn pin<Q>(&self, id: &Q) -> Pin
    where
        T::Id: Borrow<Q>,
        Q: ToKey + ?Sized,
    {
        self.shared.pin_id(id)
    }

    /// How many entries are resident, dead ones included: exact at some moment of the call. O(1).
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.shared.sizes.get(&self.shared.visible).entries).unwrap_or(usize::MAX)
    }

    /// Whether nothing is resident.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends all background work and waits until it has ended. Operations in memory go on; whatever needs a runtime says
    /// that it has stopped.
    pub async fn shutdown(&self) {
        self.shared.background.stop();
        self.shared.background.ended().await;
    }

    /// From now on a call that would have to load is refused with [`FetchError::Stopped`](crate::FetchError::Stopped). Loads under way go
    /// on, and what is in memory is read as before.
    pub fn refuse_loads(&self) {
        self.shared.refuses_loads.store(true, Ordering::Release);
    }

    /// What is charged for all residents, in bytes: exact at some moment of the call. O(1).
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        usize::try_from(self.shared.sizes.get(&self.shared.visible).bytes).unwrap_or(usize::MAX)
    }

    /// The sequence of the newest commit that is visible; zero before the first. Each is one higher than the last.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.shared.sequence()
    }

    /// Sets other bounds, and evicts down to them, in steps, before it returns.
    ///
    /// # Errors
    /// [`BuildError`] if a bound is out of its range, or there is none at all.
    pub fn set_capacity(&self, capacity: Capacity) -> Result<(), BuildError> {
        let mut faults = Vec::new();
        check_capacity(capacity, &mut faults);
        BuildError::of(faults)?;
        self.shared.resize(capacity);
        Ok(())
    }

    /// What the pool may hold now.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.shared.ledger.lock().capacity
    }

    /// Removes up to `limit` expired entries on this thread. O(1) amortised for each; nothing looks at all entries.
    pub fn sweep(&self, limit: usize) -> SweepReport {
        self.shared.sweep(limit)
    }

    /// A reader of events, from the next commit on.
    #[must_use]
    pub fn events(&self) -> Events<T> {
        let ledger = self.shared.ledger.lock();
        let events = self.shared.events.subscribe();
        drop(ledger);
        events
    }
}

impl<T: Entity> WeakPool<T> {
    /// The pool, if it still lives.
    #[must_use]
    pub fn upgrade(&self) -> Option<Pool<T>> {
        self.shared.upgrade().map(Pool::of)
    }
}

impl<T: Entity> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Pool::of(Arc::clone(&self.shared))
    }
}

impl<T: Entity> Clone for WeakPool<T> {
    fn clone(&self) -> Self {
        WeakPool {
            shared: Weak::clone(&self.shared),
        }
    }
}

impl<T: Entity> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.shared.name)
            .field("entries", &self.len())
            .field("bytes", &self.weight_bytes())
            .field("sequence", &self.sequence())
            .finish_non_exhaustive()
    }
}

impl<T: Entity> fmt::Debug for WeakPool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakPool")
            .field("name", &T::name())
            .finish_non_exhaustive()
    }
}
