//! [`Layer`]: where pools, outbox and followers meet, over one fence.
//!
//! What is always true: all parts of a layer are judged by one fence; every loop that runs by itself is a task of its supervisor; dropping the last
//! handle stops them. It adds nothing to an entry and nothing to a hit.

mod advice;
mod builder;
mod cursors;
mod data_dir;
mod explain;
mod health;
pub mod limits;
mod objectives;
mod parts;
mod reads;
mod relays;
mod shutdown;
mod stats;
mod tasks;
mod timeline;
mod transaction;
mod verifier;
mod verify;
mod waker;

use std::any::TypeId;
use std::collections::HashSet;
use std::fmt;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use larder_core::sync::Mutex;
use larder_core::{Cause, Clock, Entropy, Fence, Invalidations, Runtime, Token};
use larder_outbox::{Database, Outbox, Wait, Waited, Waiter};
use larder_pool::{Entity, Pool, Registry, WhenUnsure};

pub use advice::{Advice, AdviceCode, Severity};
pub use builder::LayerBuilder;
pub use cursors::{CursorStatus, ReaderKind};
pub use data_dir::decode_node_file;
pub use explain::{Explained, ExplainedPool, Verdict};
pub use health::{Health, PartHealth};
pub use objectives::Objective;
pub use reads::{PoolAt, ReadAt};
pub use shutdown::{Ended, PartEnded, ShutdownReport};
pub use stats::LayerStats;
pub use tasks::{TaskState, TaskStatus};
pub use timeline::{Happened, TimelineEvent};
pub use transaction::{Retry, Tx};
pub use verify::{Mismatch, VerifyPlan, VerifyReport};

use self::advice::Advisor;
use self::data_dir::DataDir;
use self::objectives::Objectives;
use self::parts::{Followed, LayerPool, Log};
use self::relays::Relayed;
use self::shutdown::Closing;
use self::stats::Counts;
use self::tasks::Supervisor;
use self::timeline::Timeline;
use self::verify::Verified;
use self::waker::Waker;
use crate::Error;

/// One coherent node: pools, outbox and followers over one fence. A handle: clones are the same layer.
///
/// ```
/// use larder::{Entity, Layer, Pool};
/// use larder::outbox::Outbox;
/// use sqlx::sqlite::SqlitePoolOptions;
///
/// #[derive(Entity)]
/// struct User { id: i64, name: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let database = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None)
/// #     .connect("sqlite::memory:").await?;
/// # sqlx::query("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)").execute(&database).await?;
/// # sqlx::query("INSERT INTO users VALUES (7, 'Ada')").execute(&database).await?;
/// let outbox = Outbox::builder(database.clone());
/// outbox.migrate().await?;
/// let rows = database.clone();
/// let layer = Layer::builder("shop")
///     .outbox(outbox)
///     .pool(Pool::<User>::builder().loader(move |load: larder::pool::LoadContext<User>| {
///         let rows = rows.clone();
///         async move {
///             let name = sqlx::query_scalar("SELECT name FROM users WHERE id = ?").bind(load.id);
///             let name: Option<String> = name.fetch_optional(&rows).await?;
///             Ok::<_, sqlx::Error>(name.map(|name| User { id: load.id, name }))
///         }
///     }))
///     .open()
///     .await?;
/// let users = layer.pool::<User>()?;
/// assert_eq!(users.fetch(&7).await?.unwrap().name, "Ada");
///
/// let outbox = layer.outbox::<sqlx::Sqlite>()?;
/// let renamed = layer.transaction(&outbox, async |tx| {
///     sqlx::query("UPDATE users SET name = 'Ada Lovelace' WHERE id = 7").execute(tx.connection()).await?;
///     tx.invalidate::<User>(&7)?;
///     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
/// });
/// let ((), token) = renamed.await.map_err(|error| error.to_string())?;
///
/// // Here and on every other node, a read that carries the token sees the new name.
/// let ada = layer.at(token).pool::<User>()?.fetch(&7).await?;
/// assert_eq!(ada.unwrap().name, "Ada Lovelace");
/// layer.shutdown(std::time::Duration::from_secs(10)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Layer {
    shared: Arc<Shared>,
}

/// What all handles of a layer share.
struct Shared {
    name: String,
    fence: Fence,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    runtime: Arc<dyn Runtime>,
    registry: Registry,
    pools: Vec<Arc<dyn LayerPool>>,
    /// Those whose values can be compared.
    verified: Vec<Arc<dyn Verified>>,
    logs: Vec<Arc<dyn Log>>,
    followed: Vec<Followed>,
    relays: Vec<Arc<Relayed>>,
    wakers: Vec<Waker>,
    waiter: Waiter,
    timeline: Arc<Timeline>,
    objectives: Objectives,
    advisor: Advisor,
    /// What pools that say nothing of it do while this node is unsure.
    when_unsure: WhenUnsure,
    /// How many reads have found what was kept not to be relied on, when that was last looked at.
    unsure_reads: Mutex<u64>,
    requires_record: bool,
    /// From where rows were changed of which nobody heard: each is told once.
    silent: Mutex<HashSet<&'static Location<'static>>>,
    counts: Counts,
    tasks: Supervisor,
    closing: Closing,
    /// Given back when the last handle goes.
    data_dir: Option<DataDir>,
}

/// How far an invalidation without a transaction reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reach {
    /// What this process keeps.
    ThisNode,
    /// Every node that follows the outbox, this one first.
    EveryNode,
}

impl Layer {
    /// A layer of this name, which stands in logs and views.
    pub fn builder(name: impl Into<String>) -> LayerBuilder {
        LayerBuilder::new(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The fence that judges what all its parts may believe.
    #[must_use]
    pub fn fence(&self) -> &Fence {
        &self.shared.fence
    }

    /// Every pool of the layer.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// The pool of a type.
    ///
    /// # Errors
    /// [`Error::NoSuchPool`], which names those there are.
    pub fn pool<T: Entity>(&self) -> Result<Pool<T>, Error> {
        self.shared.registry.pool().ok_or_else(|| self.no_pool::<T>(None))
    }

    /// The pool of a type that was given under a label.
    ///
    /// # Errors
    /// [`Error::NoSuchPool`], which names those there are.
    pub fn pool_as<T: Entity>(&self, label: &str) -> Result<Pool<T>, Error> {
        let found = self.shared.registry.pool_as(label);
        found.ok_or_else(|| self.no_pool::<T>(Some(label)))
    }

    fn no_pool<T: Entity>(&self, label: Option<&str>) -> Error {
        self.no_pool_of(T::name(), label)
    }

    fn no_pool_of(&self, entity: &str, label: Option<&str>) -> Error {
        let pools = self.shared.registry.pools();
        let known = pools.iter().map(|pool| match pool.label() {
            Some(label) => format!("`{}` labelled `{label}`", pool.name()),
            None => format!("`{}`", pool.name()),
        });
        Error::NoSuchPool {
            entity: entity.to_owned(),
            label: label.map(str::to_owned),
            known: known.collect(),
        }
    }

    /// The outbox in a database of this kind.
    ///
    /// # Errors
    /// [`Error::NotConfigured`].
    pub fn outbox<D: Database>(&self) -> Result<Outbox<D>, Error> {
        let logs = self.shared.logs.iter();
        let mut of_kind = logs.filter(|log| log.database() == TypeId::of::<D>());
        let found = of_kind.find_map(|log| log.as_any().downcast_ref::<Outbox<D>>().cloned());
        found.ok_or(Error::NotConfigured { part: "outbox" })
    }

    /// Ends what the targets name: here; or on every node, by a transaction of its own in the outbox. The token of that commit; one that asks for
    /// nothing if it reaches no further than here. Whatever fails, this node has applied it.
    ///
    /// # Errors
    /// [`Error::NotConfigured`] without an outbox; what the outbox says.
    pub async fn invalidate(&self, batch: &Invalidations, reach: Reach) -> Result<Token, Error> {
        let cause = Cause::direct(batch.reason().clone());
        self.shared.fence.invalidate_many(batch.targets(), &cause);
        match reach {
            Reach::ThisNode => Ok(Token::default()),
            Reach::EveryNode => {
                let log = self.shared.logs.first();
                let log = log.ok_or(Error::NotConfigured { part: "outbox" })?;
                Ok(log.record_alone(batch).await?)
            }
        }
    }

    /// Waits until the token is satisfied: on this node, on others, or by a group.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`] once the layer is being shut down; what the database says, where one must be asked.
    pub async fn wait(&self, token: &Token, wait: Wait) -> Result<Waited, Error> {
        let waited = pin!(self.shared.waiter.wait(token, wait));
        match select(waited, pin!(self.shared.tasks.stopped())).await {
            Either::Left((waited, _)) => Ok(waited?),
            Either::Right(_) => Err(Error::ShuttingDown),
        }
    }

    /// Reads that are never older than the token.
    pub fn at(&self, token: Token) -> ReadAt<'_> {
        ReadAt::new(self, token)
    }

    /// Every loop that runs by itself.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskStatus> {
        self.shared.tasks.statuses()
    }

    /// Everybody here who reads a source, and how far each has come: followers as they are now, relays as the database said within the last two seconds.
    #[must_use]
    pub fn cursors(&self) -> Vec<CursorStatus> {
        self.shared.cursors()
    }

    /// Whether the node lives, is ready, and why not.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::of(&self.shared)
    }

    /// Ends everything: fetches are refused, relays give back what they hold, followers save their cursors. What is in memory can still be read.
    /// Whoever asks again is given the same report.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        shutdown::shutdown(&self.shared, deadline).await
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer")
            .field("name", &self.shared.name)
            .field("pools", &self.shared.registry)
            .finish_non_exhaustive()
    }
}
