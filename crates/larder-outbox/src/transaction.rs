//! [`OutboxTx`]: a transaction with one position.

use std::fmt;
use std::sync::Arc;

use larder_core::{Invalidation, Invalidations, Position, Token};

use crate::database::Database;
use crate::outbox::Shared;
use crate::record::Given;
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
    /// for each 2,000 targets; an empty batch sends none.
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
    pub async fn commit(mut self) -> Result<Token, CommitError> {
        if self.lacks_a_batch {
            self.give_up().await;
            return Err(CommitError::Incomplete);
        }
        let rows = self.all_rows().await.map_err(CommitError::NotCommitted)?;
        let token = self.outbox.token(&rows);
        match self.transaction.commit().await {
            Ok(()) => {
                self.outbox.applied(&rows);
                self.outbox.hint();
                Ok(token)
            }
            Err(error) if D::is_certainly_rolled_back(&error) => Err(CommitError::NotCommitted(error)),
            Err(source) => {
                self.outbox.suspect(&rows);
                self.outbox.hint();
                Err(CommitError::Unknown { token, source })
            }
        }
    }

    /// What this transaction has recorded: here, and by triggers that its statements have fired, which have positions of their
    /// own. Nobody else could record anything since it began.
    async fn all_rows(&mut self) -> Result<Vec<Invalidation>, sqlx::Error> {
        let names = &self.outbox.names;
        let own = self.given.position;
        let counter = match self.counter {
            Some(counter) => counter,
            None => D::counter(&mut self.transaction, names).await?,
        };
        if counter == own {
            return Ok(std::mem::take(&mut self.rows));
        }
        let before = Position::new(own.get().saturating_sub(1));
        D::since(&mut self.transaction, names, before).await
    }

    /// Ends without a trace.
    ///
    /// # Errors
    /// [`Error::Database`]; the database rolls back all the same.
    pub async fn rollback(self) -> Result<(), Error> {
        self.transaction.rollback().await.map_err(D::failed)
    }

    /// Rolls back; what the database says to that changes nothing.
    pub(crate) async fn give_up(self) {
        if let Err(error) = self.rollback().await {
            tracing::warn!(%error, "a rollback failed");
        }
    }
}

impl<D: Database> fmt::Debug for OutboxTx<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxTx")
            .field("position", &self.given.position)
            .finish_non_exhaustive()
    }
}
