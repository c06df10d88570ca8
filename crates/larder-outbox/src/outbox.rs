//! [`Outbox`]: invalidations in the caller's own transactions.

mod builder;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use larder_core::sync::Mutex;
use larder_core::{
    BoxFuture, Entropy, Epoch, Head, Invalidation, Invalidations, Origin, Position, Source, SourceError,
    SourceId, Token,
};
use sqlx::Pool;
use tracing::Instrument as _;

pub use self::builder::OutboxBuilder;
use crate::database::Database;
use crate::hints::Hints;
use crate::names::Names;
use crate::record::{Given, Writing};
use crate::seat::{Own, Seat};
use crate::{
    CommitError, Error, FileHints, Health, HealthPolicy, Nodes, OutboxStore, OutboxTx, PurgeReport, Recorded,
    Retention, TransactionError,
};

/// Records invalidations where the rows are that they speak of, in the same transaction: both are committed, or neither.
///
/// A handle: clones are the same outbox. Dropped, it leaves nothing behind.
///
/// ```
/// use larder_core::Invalidations;
/// use larder_outbox::Outbox;
/// use sqlx::sqlite::SqlitePoolOptions;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None)
/// #     .connect("sqlite::memory:").await?;
/// # sqlx::query("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)").execute(&pool).await?;
/// let builder = Outbox::builder(pool.clone());
/// builder.migrate().await?;
/// let outbox = builder.open().await?;
///
/// let mut transaction = pool.begin().await?;
/// sqlx::query("INSERT INTO users VALUES (42, 'Ada')").execute(&mut *transaction).await?;
/// let batch = Invalidations::default().entity_and_lists("user", 42)?;
/// let recorded = outbox.record(&mut transaction, &batch).await?;
/// transaction.commit().await?;
/// let token = outbox.committed([recorded]);
/// assert_eq!(token.requirements().len(), 1, "a read may ask not to be older than this");
/// # Ok(())
/// # }
/// ```
pub struct Outbox<D: Database> {
    shared: Arc<Shared<D>>,
}

/// What all clones of an outbox are.
pub(crate) struct Shared<D: Database> {
    pub(crate) pool: Pool<D>,
    pub(crate) names: Names,
    pub(crate) source: SourceId,
    /// That of the last record; a later one may have begun since.
    epoch: AtomicU64,
    pub(crate) local: Arc<Local>,
    /// This process has a row that its own rows can name.
    is_registered: AtomicBool,
    entropy: Arc<dyn Entropy>,
    hints: Arc<Hints>,
    /// Given when rows were completed in this process.
    completions: Hints,
    reader: Arc<dyn Source>,
}

/// What the process is in which an outbox lies, and where its commits are applied.
#[derive(Debug)]
pub(crate) struct Local {
    /// What the rows of this process carry.
    pub(crate) origin: Origin,
    pub(crate) node_key: Option<[u8; 16]>,
    seat: Mutex<Weak<Seat>>,
}

impl Local {
    pub(crate) fn take_seat(&self, seat: &Arc<Seat>) {
        *self.seat.lock() = Arc::downgrade(seat);
    }

    /// Where commits are applied, while a follower lives.
    pub(crate) fn seat(&self) -> Option<Arc<Seat>> {
        self.seat.lock().upgrade()
    }
}

impl<D: Database> Outbox<D> {
    /// Which source this log is.
    #[must_use]
    pub fn source_id(&self) -> SourceId {
        self.shared.source
    }

    /// Records a batch in an open transaction, before or after the caller's own statements: it is committed with them, or not
    /// at all. Two statements, and one more for each 2,000 targets; an empty batch sends none. Each call in a plain
    /// transaction has a position of its own: [`Outbox::begin`] gives a transaction one for all.
    ///
    /// # Errors
    /// [`Error`]. The transaction is as usable as the database leaves it, and the caller's to end.
    pub async fn record(
        &self,
        transaction: &mut sqlx::Transaction<'_, D>,
        batch: &Invalidations,
    ) -> Result<Recorded, Error> {
        let (recorded, _) = self.shared.record(transaction, batch, None, 0).await?;
        Ok(recorded)
    }

    /// What a read must not be older than, to see what was recorded in a plain transaction that has been committed. Wakes who
    /// waits for rows in this process. Not called, nothing is lost but that.
    #[must_use]
    pub fn committed(&self, recorded: impl IntoIterator<Item = Recorded>) -> Token {
        let mut token = Token::default();
        for recorded in recorded {
            token = token.merge(&recorded.token());
            self.shared.suspect(&recorded.rows);
        }
        self.shared.hint();
        token
    }

    /// Begins a transaction that has one position for all that it records, and is given it now. On SQLite it is immediate: it
    /// waits here, and not later, for whoever else writes.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::ReadOnly`], [`Error::SchemaMissing`], [`Error::Database`].
    pub async fn begin(&self) -> Result<OutboxTx<'static, D>, Error> {
        self.shared.register().await?;
        let mut transaction = D::begin(&self.shared.pool).await.map_err(D::failed)?;
        let given = D::give(&mut transaction, &self.shared.names, self.shared.source).await?;
        self.shared.epoch.store(given.epoch.get(), Ordering::Relaxed);
        Ok(OutboxTx::new(Arc::clone(&self.shared), transaction, given))
    }

    /// Runs `body` in a transaction: commits if it gives `Ok`, and rolls back if it gives an error or panics. The body is a
    /// closure that gives a boxed future: `|transaction| Box::pin(async move { … })`.
    ///
    /// # Errors
    /// [`TransactionError`].
    pub async fn transaction<R, E>(
        &self,
        body: impl for<'t> FnOnce(&'t mut OutboxTx<'static, D>) -> BoxFuture<'t, Result<R, E>>,
    ) -> Result<(R, Token), TransactionError<E>> {
        let mut transaction = self.begin().await.map_err(TransactionError::Begin)?;
        match body(&mut transaction).await {
            Ok(result) => Ok((result, transaction.commit().await?)),
            Err(error) => {
                transaction.give_up().await;
                Err(TransactionError::Body(error))
            }
        }
    }

    /// Records a batch in a transaction of its own: for operators, for tests, and for stores without a shared transaction.
    ///
    /// # Errors
    /// [`Error`]; then nothing was recorded, but that after [`Error::Database`] the commit may have happened.
    pub async fn record_alone(&self, batch: &Invalidations) -> Result<Token, Error> {
        if batch.is_empty() {
            return Ok(Token::default());
        }
        let transaction = self.begin().await?;
        transaction.commit_with(batch).await.map_err(|error| match error {
            CommitError::NotRecorded(error) => error,
            CommitError::NotCommitted(source) | CommitError::Unknown { source, .. } => D::failed(source),
            CommitError::Incomplete => unreachable!("invariant: no batch came before"),
        })
    }

    /// Where the log stands now.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn head(&self) -> Result<Head, SourceError> {
        self.shared.reader.head().await
    }

    /// The log as a source, for followers.
    #[must_use]
    pub fn source(&self) -> Arc<dyn Source> {
        Arc::clone(&self.shared.reader)
    }

    /// Removes rows that are older than they are kept, the oldest first, a chunk in each transaction. The newest commit stays. Whoever
    /// has not read what is removed is told so by the source. If somebody else writes for too long it ends, to be called
    /// again.
    ///
    /// # Errors
    /// [`Error::Config`]; [`Error::ReadOnly`], [`Error::SchemaMissing`], [`Error::Database`]. What was removed before stays removed.
    pub async fn purge(&self, retention: Retention) -> Result<PurgeReport, Error> {
        retention.check()?;
        D::purge(&self.shared.pool, &self.shared.names, retention).await
    }

    /// What is wrong with the log, its groups and its nodes; of tables that are not as they should be, that.
    ///
    /// # Errors
    /// What the database says, if it cannot be asked.
    pub async fn health(&self, policy: &HealthPolicy) -> Result<Health, Error> {
        match D::open(&self.shared.pool, &self.shared.names).await {
            Err(
                error @ (Error::SchemaMissing
                | Error::SchemaTooOld { .. }
                | Error::SchemaTooNew { .. }
                | Error::Damaged),
            ) => Ok(Health::schema(&error)),
            Err(error) => Err(error),
            Ok(_) => Health::of(&*self.store(), policy).await,
        }
    }

    /// What of the database's settings makes it lose what it has acknowledged, or slow, each in a few words; as a connection of the pool has them.
    ///
    /// # Errors
    /// What the database says.
    pub async fn weaknesses(&self) -> Result<Vec<String>, Error> {
        D::weaknesses(&self.shared.pool).await.map_err(D::failed)
    }

    /// The table of those who follow the log.
    #[must_use]
    pub fn nodes(&self) -> Arc<dyn Nodes> {
        D::nodes(self.shared.pool.clone(), self.shared.names.clone())
    }

    /// The log as relays take it.
    #[must_use]
    pub fn store(&self) -> Arc<dyn OutboxStore> {
        D::store(self.clone())
    }

    pub(crate) fn pool(&self) -> &Pool<D> {
        &self.shared.pool
    }

    pub(crate) fn names(&self) -> &Names {
        &self.shared.names
    }

    pub(crate) fn completions(&self) -> &Hints {
        &self.shared.completions
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.shared.entropy
    }

    pub(crate) fn local(&self) -> Arc<Local> {
        Arc::clone(&self.shared.local)
    }

    /// What other processes write to the database's files, as hints; `None` if the database lies in no file, or the system does not tell of it. Only Linux
    /// does, of files on this machine. Somebody must give a thread for it: see [`FileHints::run`].
    ///
    /// # Errors
    /// [`Error`], if the database does not say where it lies, or the system lets nobody watch more.
    pub async fn file_hints(&self) -> Result<Option<FileHints>, Error> {
        let files = D::files(&self.shared.pool).await.map_err(D::failed)?;
        FileHints::of(files, Arc::clone(&self.shared.hints)).map_err(|error| D::failed(error.into()))
    }

    /// Begins a new epoch, after the file was restored from a copy: the log is emptied, and whoever follows it flushes. A copy that
    /// is older than what was read before is noticed by itself.
    ///
    /// # Errors
    /// [`Error`]; then the epoch is the one that it was.
    pub async fn new_epoch(&self) -> Result<(), Error> {
        let shared = &self.shared;
        let identity = D::open(&shared.pool, &shared.names).await?;
        D::renew(&shared.pool, &shared.names, identity, &*shared.entropy).await?;
        shared.hints.give();
        Ok(())
    }
}

impl<D: Database> Shared<D> {
    /// Writes a batch; the second is the last position that was given out then, if anything was written.
    pub(crate) async fn record(
        &self,
        connection: &mut D::Connection,
        batch: &Invalidations,
        given: Option<Given>,
        rows_before: usize,
    ) -> Result<(Recorded, Option<Position>), Error> {
        let mut recorded = Recorded {
            namespace: batch.namespace().clone(),
            source: self.source,
            epoch: Epoch::new(self.epoch.load(Ordering::Relaxed)),
            position: None,
            inserted: 0,
            collapsed: batch.collapsed(),
            recorded_at: larder_core::Timestamp::UNIX_EPOCH,
            rows: Vec::new(),
        };
        if batch.is_empty() {
            return Ok((recorded, None));
        }
        let writing = self.writing(batch, given, rows_before);
        let span = self.recording(batch);
        let written = D::record(connection, writing).instrument(span).await?;
        self.epoch.store(written.given.epoch.get(), Ordering::Relaxed);
        recorded.epoch = written.given.epoch;
        recorded.position = Some(written.given.position);
        recorded.inserted = written.inserted;
        recorded.recorded_at = written.given.at;
        recorded.rows = self.as_delivered(batch, &written.given).collect();
        Ok((recorded, Some(written.counter)))
    }

    /// The span in which a batch is recorded.
    pub(crate) fn recording(&self, batch: &Invalidations) -> tracing::Span {
        tracing::debug_span!("outbox.record", source = %self.source, targets = batch.len())
    }

    pub(crate) fn writing<'a>(
        &'a self,
        batch: &'a Invalidations,
        given: Option<Given>,
        rows_before: usize,
    ) -> Writing<'a> {
        Writing {
            names: &self.names,
            source: self.source,
            origin: Some(&self.local.origin),
            batch,
            given,
            rows_before,
        }
    }

    /// The rows of a batch, as they will be delivered.
    pub(crate) fn as_delivered<'a>(
        &'a self,
        batch: &'a Invalidations,
        given: &'a Given,
    ) -> impl Iterator<Item = Invalidation> + 'a {
        batch.targets().iter().map(|target| {
            let row = Invalidation::new(target.clone(), given.position, given.at);
            row.with_reason(batch.reason())
                .with_origin(self.local.origin.clone())
        })
    }

    /// Makes this process known, once.
    async fn register(&self) -> Result<(), Error> {
        if self.is_registered.load(Ordering::Acquire) {
            return Ok(());
        }
        let origin = &self.local.origin;
        D::register(&self.pool, &self.names, origin.node(), origin.run()).await?;
        self.is_registered.store(true, Ordering::Release);
        Ok(())
    }

    /// What a read must not be older than to see all of these rows.
    pub(crate) fn token(&self, rows: &[Invalidation]) -> Token {
        let epoch = Epoch::new(self.epoch.load(Ordering::Relaxed));
        let positions = rows.chunk_by(|one, next| one.position() == next.position());
        let tokens = positions.map(|rows| Token::commit(self.source, epoch, rows[0].position()));
        tokens.fold(Token::default(), |all, one| all.merge(&one))
    }

    /// Applies a commit that has certainly happened: its rows, in the order of their positions.
    pub(crate) fn applied(&self, rows: &[Invalidation]) {
        let Some(seat) = self.local.seat() else { return };
        let epoch = Epoch::new(self.epoch.load(Ordering::Relaxed));
        for rows in rows.chunk_by(|one, next| one.position() == next.position()) {
            let position = rows[0].position();
            seat.commit(Own {
                epoch,
                position,
                bound: D::bound(self.source, epoch, position),
                rows: rows.to_vec(),
            });
        }
    }

    /// Applies what may have been committed, or may yet be.
    pub(crate) fn suspect(&self, rows: &[Invalidation]) {
        if let Some(seat) = self.local.seat() {
            seat.suspect(rows);
        }
    }

    pub(crate) fn hint(&self) {
        self.hints.give();
    }
}

impl<D: Database> Clone for Outbox<D> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<D: Database> fmt::Debug for Outbox<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("source", &self.shared.source)
            .field("origin", &self.shared.local.origin)
            .finish_non_exhaustive()
    }
}
