//! [`Tx`]: a transaction of the caller's own rows, and what it invalidates, committed together.
//!
//! What is always true: both are committed, or neither; when it has been committed, or nobody can say whether it was, this node has applied it. A
//! commit that was sent is finished, also if nobody waits for it any more.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use larder_core::ToKey;
use larder_core::{
    BoxFuture, CollectionName, IntoName, Invalidations, Namespace, Runtime, Tag, Target, TargetError, Token,
    TransactionScope,
};
use larder_outbox::{CommitError, Database, Outbox, OutboxTx, TransactionError};
use larder_pool::Entity;

use super::Layer;
use super::limits::{RETRY_AFTER_MAX, TRANSACTION_ATTEMPTS};
use super::stats::Counts;

/// A transaction under way. What is invalidated is recorded in it as it commits, in the same trip to the database.
pub struct Tx<'o, D: Database> {
    transaction: OutboxTx<'o, D>,
    batch: Invalidations,
    /// What the body reads of the layer's parts knows of the batch already.
    scope: TransactionScope,
}

impl<D: Database> Tx<'_, D> {
    /// The connection, for the caller's own statements. Whoever commits or rolls back over it breaks what this type says.
    pub fn connection(&mut self) -> &mut D::Connection {
        self.transaction.connection()
    }

    /// Why rows change, for people who operate the service.
    pub fn reason(&mut self, reason: &str) -> &mut Self {
        self.batch = std::mem::take(&mut self.batch).with_reason(reason);
        self
    }

    /// Ends an entity, and the lists that change with any of its kind.
    ///
    /// # Errors
    /// [`TargetError`] if the id is too long.
    pub fn invalidate<T: Entity>(&mut self, id: &(impl ToKey + ?Sized)) -> Result<&mut Self, TargetError> {
        let entity = Target::entity(T::name(), id.to_key()?)?;
        let lists = CollectionName::new(format!("{}.lists", T::name()))?;
        self.target(entity)?;
        self.target(Target::Collection { name: lists })
    }

    /// Ends every entity of a kind, and their lists.
    ///
    /// # Errors
    /// [`TargetError`] if the entity's name is none.
    pub fn invalidate_all<T: Entity>(&mut self) -> Result<&mut Self, TargetError> {
        let name = CollectionName::new(T::name())?;
        let lists = CollectionName::new(format!("{}.lists", T::name()))?;
        self.target(Target::Collection { name })?;
        self.target(Target::Collection { name: lists })
    }

    /// Ends everything that carries a tag.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn tag(
        &mut self,
        namespace: impl IntoName<Namespace>,
        tag: impl IntoName<Tag>,
    ) -> Result<&mut Self, TargetError> {
        self.target(Target::tag(namespace, tag)?)
    }

    /// Ends whatever a target names.
    ///
    /// # Errors
    /// [`TargetError`] if it is private to a part.
    pub fn target(&mut self, target: Target) -> Result<&mut Self, TargetError> {
        self.batch.push(target.clone())?;
        self.scope.invalidate(&target);
        Ok(self)
    }
}

impl<D: Database> fmt::Debug for Tx<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx")
            .field("transaction", &self.transaction)
            .field("targets", &self.batch.len())
            .finish()
    }
}

impl Layer {
    /// Runs `body` in a transaction of `outbox`: its own SQL, and what that invalidates. Commits if it gives `Ok`; rolls back if it gives an error
    /// or panics, which goes on to the caller. When this returns, this node has applied the commit; the token names it.
    ///
    /// A body that has changed rows and invalidated nothing commits all the same, and is warned of once for each place that calls this; with
    /// [`LayerBuilder::require_record`](crate::LayerBuilder::require_record) it is rolled back as [`TransactionError::Record`].
    ///
    /// Within the body, fetches of the layer's pools load past memory and keep nothing, since they may see what is never committed; and what it has
    /// invalidated so far reads as absent, to it alone. What it has other tasks do is outside of it.
    ///
    /// If it is dropped once the commit was sent, a task of the layer's runtime finishes it.
    ///
    /// # Errors
    /// [`TransactionError`]: whether nothing was committed, or nobody can say.
    #[track_caller]
    pub fn transaction<D, R, E, B>(
        &self,
        outbox: &Outbox<D>,
        body: B,
    ) -> impl Future<Output = Result<(R, Token), TransactionError<E>>>
    where
        D: Database,
        B: AsyncFnOnce(&mut Tx<'_, D>) -> Result<R, E>,
    {
        self.counted(outbox, body, Location::caller())
    }

    /// [`Layer::transaction`], tried again where the database could not take it at that moment: it was busy, or somebody else was in the way. What the
    /// body recorded before is not there any more when it runs again.
    ///
    /// # Errors
    /// [`TransactionError`] of the last attempt.
    #[track_caller]
    pub fn transaction_retrying<D, R, E, B>(
        &self,
        outbox: &Outbox<D>,
        retry: Retry<E>,
        body: B,
    ) -> impl Future<Output = Result<(R, Token), TransactionError<E>>>
    where
        D: Database,
        B: AsyncFn(&mut Tx<'_, D>) -> Result<R, E>,
    {
        let caller = Location::caller();
        async move {
            let mut tried = 1;
            loop {
                let done = self
                    .counted(outbox, async |tx: &mut Tx<'_, D>| body(tx).await, caller)
                    .await;
                let is_over = match &done {
                    Ok(_) => true,
                    Err(error) => tried >= retry.attempts || !retry.is_worth_it(error),
                };
                if is_over {
                    return done;
                }
                Counts::add(&self.shared.counts.retries);
                let pause = retry
                    .backoff
                    .saturating_mul(1_u32.checked_shl(tried - 1).unwrap_or(u32::MAX));
                // Between a half and all of it, so that two who met do not meet again.
                let share = self.shared.entropy.next_u64() % 512 + 512;
                let pause = pause
                    .min(RETRY_AFTER_MAX)
                    .saturating_mul(u32::try_from(share).unwrap_or(1_024))
                    / 1_024;
                self.shared.runtime.sleep(pause).await;
                tried += 1;
            }
        }
    }

    async fn counted<D: Database, R, E>(
        &self,
        outbox: &Outbox<D>,
        body: impl AsyncFnOnce(&mut Tx<'_, D>) -> Result<R, E>,
        caller: &'static Location<'static>,
    ) -> Result<(R, Token), TransactionError<E>> {
        let counts = &self.shared.counts;
        let done = self.run(outbox, body, caller).await;
        match &done {
            Ok(_) => Counts::add(&counts.commits),
            Err(TransactionError::Record) => Counts::add(&counts.failed_records),
            Err(TransactionError::Unknown { .. }) => Counts::add(&counts.unknown_outcomes),
            Err(TransactionError::Body(_) | TransactionError::NotCommitted(_)) => {
                Counts::add(&counts.rollbacks)
            }
            Err(_) => {}
        }
        done
    }

    async fn run<D: Database, R, E>(
        &self,
        outbox: &Outbox<D>,
        body: impl AsyncFnOnce(&mut Tx<'_, D>) -> Result<R, E>,
        caller: &'static Location<'static>,
    ) -> Result<(R, Token), TransactionError<E>> {
        let mut tx = Tx {
            transaction: outbox.begin().await.map_err(TransactionError::Begin)?,
            batch: Invalidations::default(),
            scope: self.shared.fence.transaction_scope(),
        };
        let scope = tx.scope.clone();
        let result = match scope.run(body(&mut tx)).await {
            Ok(result) => result,
            Err(error) => {
                roll_back(tx.transaction).await;
                return Err(TransactionError::Body(error));
            }
        };
        let Tx {
            mut transaction,
            batch,
            ..
        } = tx;
        let is_silent = match self.is_silent(&mut transaction, &batch).await {
            Ok(is_silent) => is_silent,
            Err(error) => {
                tracing::error!(%error, "nobody can say whether a transaction recorded anything");
                roll_back(transaction).await;
                return Err(TransactionError::Record);
            }
        };
        if is_silent && self.shared.requires_record {
            tracing::error!(%caller, "a transaction changed rows and recorded nothing, and is rolled back");
            roll_back(transaction).await;
            return Err(TransactionError::Record);
        }
        let mut commit = Finished {
            work: Some(Box::pin(async move { transaction.commit_with(&batch).await })),
            runtime: Arc::clone(&self.shared.runtime),
        };
        let committed = poll_fn(|context| commit.poll(context)).await;
        if let Err(CommitError::NotRecorded(error)) = &committed {
            tracing::error!(%error, "the invalidations of a transaction could not be recorded");
        }
        let token = committed?;
        if is_silent && self.shared.silent.lock().insert(caller) {
            tracing::warn!(%caller, code = "A07", "a transaction changed rows and recorded nothing: no node hears of it");
        }
        if !is_silent {
            return Ok((result, token));
        }
        // Nothing names this commit: what is asked for is all that there was after it.
        Ok((result, outbox.head().await.map_or(token, |head| head.token())))
    }

    /// Whether rows were changed of which nobody will hear.
    async fn is_silent<D: Database>(
        &self,
        transaction: &mut OutboxTx<'static, D>,
        batch: &Invalidations,
    ) -> Result<bool, larder_outbox::Error> {
        Ok(batch.is_empty() && transaction.has_changed_in_silence().await?)
    }
}

async fn roll_back<D: Database>(transaction: OutboxTx<'static, D>) {
    if let Err(error) = transaction.rollback().await {
        tracing::warn!(%error, "a rollback failed");
    }
}

/// When a transaction is tried again, and how often.
#[must_use = "give it to `Layer::transaction_retrying`"]
pub struct Retry<E> {
    attempts: u32,
    backoff: Duration,
    body: Box<dyn Fn(&E) -> bool + Send + Sync>,
}

impl<E> Retry<E> {
    /// Three attempts in all, 10 ms after the first, doubling; only where the database itself says that it was busy.
    pub fn new() -> Self {
        Retry {
            attempts: TRANSACTION_ATTEMPTS,
            backoff: Duration::from_millis(10),
            body: Box::new(|_| false),
        }
    }

    /// How often it is tried in all: at least once. Default: 3.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// How long to wait after the first attempt; doubled after each, up to a second, and shortened by up to a half. Default: 10 ms.
    pub fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// Which errors of the body mean that the database was busy: only the caller knows its own errors. Default: none.
    pub fn when_body(mut self, is_busy: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.body = Box::new(is_busy);
        self
    }

    fn is_worth_it(&self, error: &TransactionError<E>) -> bool {
        match error {
            TransactionError::Begin(error) => error.is_retryable(),
            TransactionError::Body(error) => (self.body)(error),
            TransactionError::NotCommitted(error) => {
                let code = error.as_database_error().and_then(|error| error.code());
                code.is_some_and(|code| is_busy(&code))
            }
            _ => false,
        }
    }
}

/// Whether a database's code says that somebody else was in the way: serialization failure and deadlock by their SQLSTATE, which has five letters;
/// busy and locked by the lowest byte of SQLite's number, which is shorter.
fn is_busy(code: &str) -> bool {
    match code.len() {
        5 => matches!(code, "40001" | "40P01"),
        _ => code
            .parse::<u32>()
            .is_ok_and(|number| matches!(number & 0xFF, 5 | 6)),
    }
}

impl<E> Default for Retry<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> fmt::Debug for Retry<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("attempts", &self.attempts)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

/// A commit that is finished, whether or not somebody waits for it.
struct Finished {
    work: Option<BoxFuture<'static, Result<Token, CommitError>>>,
    runtime: Arc<dyn Runtime>,
}

impl Finished {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Token, CommitError>> {
        let Some(work) = &mut self.work else {
            return Poll::Pending;
        };
        let done = Pin::new(work).poll(context);
        if done.is_ready() {
            self.work = None;
        }
        done
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.runtime.spawn(Box::pin(async move {
                if let Err(error) = work.await {
                    tracing::warn!(%error, "a commit that nobody waited for failed");
                }
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_busy;

    #[test]
    fn who_was_in_the_way_is_told_by_the_code() {
        for (code, expected) in [
            ("5", true),
            ("517", true),
            ("6", true),
            ("19", false),
            ("787", false),
            ("40001", true),
            ("40P01", true),
            ("22021", false),
            ("23505", false),
            ("", false),
        ] {
            assert_eq!(is_busy(code), expected, "{code}");
        }
    }
}
