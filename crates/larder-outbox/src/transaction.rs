//! [`OutboxTx`]: a transaction with one position.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Waker};

use larder_core::{Invalidation, Invalidations, Position, Token};
use sqlx::Acquire as _;
use tracing::Instrument as _;

use crate::database::Database;
use crate::limits::TARGETS_A_STATEMENT;
use crate::outbox::Shared;
use crate::record::{End, Ended, Given, Writing};
use crate::{CommitError, Error, Recorded};

/// A transaction of [`Outbox::begin`](crate::Outbox::begin). Dropped, it is rolled back.
#[must_use = "it is rolled back when it is dropped"]
pub struct OutboxTx<'c, D: Database> {
    outbox: Arc<Shared<D>>,
    transaction: sqlx::Transaction<'c, D>,
    given: Given,
    /// Everything that was recorded, as it will be delivered.
    rows: Vec<Invalidation>,
    /// A batch was refused by the database.
    lacks_a_batch: bool,
    /// The last position that was given out, if no statement of the caller can have come since.
    counter: Option<Position>,
}

impl<'c, D: Database> OutboxTx<'c, D> {
    pub(crate) fn new(outbox: Arc<Shared<D>>, transaction: sqlx::Transaction<'c, D>, given: Given) -> Self {
        OutboxTx {
            outbox,
            transaction,
            given,
            rows: Vec::new(),
            lacks_a_batch: false,
            counter: Some(given.position),
        }
    }

    /// The connection, for the caller's own statements. Whoever uses it to commit or to roll back breaks what this type says.
    pub fn connection(&mut self) -> &mut D::Connection {
        self.counter = None;
        &mut self.transaction
    }

    /// Records a batch at the position of this transaction: targets that it has recorded before count once. One statement
    /// for each 2,000 targets; an empty batch sends none. The last one is cheaper with [`OutboxTx::commit_with`].
    ///
    /// # Errors
    /// [`Error`].
    pub async fn record(&mut self, batch: &Invalidations) -> Result<Recorded, Error> {
        // Until it has succeeded, also when it is dropped half way.
        let lacked = std::mem::replace(&mut self.lacks_a_batch, true);
        let (recorded, counter) = self
            .outbox
            .record(&mut self.transaction, batch, Some(self.given), self.rows.len())
            .await?;
        self.lacks_a_batch = lacked;
        self.counter = counter.or(self.counter);
        self.rows.extend(recorded.rows.iter().cloned());
        Ok(recorded)
    }

    /// Whether rows were changed in this transaction, and nothing was recorded, by triggers neither: then nobody will hear of it. Asks the
    /// database, if nothing was recorded here.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn has_changed_in_silence(&mut self) -> Result<bool, Error> {
        if !self.rows.is_empty() {
            return Ok(false);
        }
        let changes = D::changes(&mut self.transaction).await.map_err(D::failed)?;
        // One is that of the counter, when the transaction began.
        if changes <= self.given.changes.saturating_add(1) {
            return Ok(false);
        }
        let counter = D::counter(&mut self.transaction, &self.outbox.names).await;
        Ok(counter.map_err(D::failed)? == self.given.position)
    }

    /// Commits. What a read must not be older than to see it is the token: all that was recorded, by triggers too; one of a
    /// transaction in which nothing was recorded asks for nothing. If this node follows the log, the commit is applied to it when
    /// this returns, also if it is not known whether there was one.
    ///
    /// # Errors
    /// [`CommitError`]: whether nothing was committed, or it is not known.
    pub async fn commit(self) -> Result<Token, CommitError> {
        self.commit_with(&Invalidations::default()).await
    }

    /// Records a last batch and commits, as [`OutboxTx::commit`]. On SQLite both are sent together, up to 2,000 targets, so the batch costs no trip to
    /// the thread of the connection of its own.
    ///
    /// # Errors
    /// [`CommitError`]: whether nothing was committed, or it is not known.
    pub async fn commit_with(mut self, batch: &Invalidations) -> Result<Token, CommitError> {
        if !self.lacks_a_batch && batch.len() > TARGETS_A_STATEMENT {
            if let Err(error) = self.record(batch).await {
                self.give_up().await;
                return Err(CommitError::NotRecorded(error));
            }
            return self.end(&Invalidations::default()).await;
        }
        self.end(batch).await
    }

    async fn end(self, batch: &Invalidations) -> Result<Token, CommitError> {
        if self.lacks_a_batch {
            self.give_up().await;
            return Err(CommitError::Incomplete);
        }
        let OutboxTx {
            outbox,
            mut transaction,
            given,
            mut rows,
            counter,
            ..
        } = self;
        let end = if batch.is_empty() && counter == Some(given.position) {
            // Nothing is to be written or asked.
            match transaction.commit().await {
                Ok(()) => End::Committed,
                Err(error) => End::Failed(error),
            }
        } else {
            let writing = outbox.writing(batch, Some(given), rows.len());
            let span = outbox.recording(batch);
            let together = together(&mut transaction, writing, given).instrument(span);
            let Ended { end, of_triggers, .. } = together.await;
            rows.extend(outbox.as_delivered(batch, &given));
            // They have positions of their own. Nobody else could record anything since this transaction began.
            rows.extend(of_triggers);
            // What is left is for sqlx to end: the transaction, or the one that was begun after it.
            if let End::NotRecorded(_) = end {
                give_up(transaction).await;
            }
            end
        };
        match end {
            End::Committed => {
                outbox.applied(&rows);
                outbox.hint();
                Ok(outbox.token(&rows))
            }
            End::NotRecorded(error) => Err(CommitError::NotRecorded(error)),
            End::Failed(error) if D::is_certainly_rolled_back(&error) => {
                Err(CommitError::NotCommitted(error))
            }
            End::Failed(source) => {
                outbox.suspect(&rows);
                outbox.hint();
                let token = outbox.token(&rows);
                Err(CommitError::Unknown { token, source })
            }
        }
    }

    /// Ends without a trace.
    ///
    /// # Errors
    /// [`Error::Database`]; the database rolls back all the same.
    pub async fn rollback(self) -> Result<(), Error> {
        self.transaction.rollback().await.map_err(D::failed)
    }

    pub(crate) async fn give_up(self) {
        give_up(self.transaction).await;
    }
}

/// Rolls back; what the database says to that changes nothing.
async fn give_up<D: Database>(transaction: sqlx::Transaction<'_, D>) {
    if let Err(error) = transaction.rollback().await {
        tracing::warn!(%error, "a rollback failed");
    }
}

/// [`Backend::end`](crate::database::Backend::end). However it ends, and if it is dropped on its way, what sqlx counts is true again afterwards.
async fn together<D: Database>(
    transaction: &mut sqlx::Transaction<'_, D>,
    writing: Writing<'_>,
    given: Given,
) -> Ended {
    let mut ending = Ending {
        transaction,
        is_countable: false,
    };
    let ended = D::end(&mut *ending.transaction, writing, given).await;
    ending.is_countable = ended.is_countable;
    ended
}

/// A transaction whose end is under way: sqlx counts it as open, and it may be over.
struct Ending<'t, 'c, D: Database> {
    transaction: &'t mut sqlx::Transaction<'c, D>,
    is_countable: bool,
}

impl<D: Database> Drop for Ending<'_, '_, D> {
    fn drop(&mut self) {
        if self.is_countable {
            return;
        }
        // A savepoint, which opens a transaction if none is open. Asked for once and dropped, it is rolled back, and with it what is around it: then none is
        // open, and none is counted.
        let mut savepoint = self.transaction.begin();
        let _ = savepoint.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
}

impl<D: Database> fmt::Debug for OutboxTx<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxTx")
            .field("position", &self.given.position)
            .finish_non_exhaustive()
    }
}
