//! The last batch of a transaction, and its commit, in one trip to the thread of the connection.
//!
//! What is always true: the commit is asked for only if the batch was written, and what triggers recorded was told before; nothing of the
//! caller's comes in between.
//!
//! sqlx counts transactions by its own calls, and takes the connection for one that is within one still. So another is begun after the commit: it
//! does nothing, and is what sqlx rolls back.

use futures_util::TryStreamExt as _;
use larder_core::Invalidation;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Either, Executor as _, SqliteConnection};

use super::record::{KEPT_TARGETS, bound, insertion};
use super::source::{read, select};
use super::{failed, signed};
use crate::record::{End, Ended, Given, Writing};
use crate::row::Written as Parts;

/// Writes, asks, commits, and begins what sqlx will roll back.
pub(super) async fn end(connection: &mut SqliteConnection, writing: &Writing<'_>, given: Given) -> Ended {
    let namespace = writing.batch.namespace();
    let targets = writing.batch.targets().iter();
    let rows: Vec<Parts<'_>> = targets
        .filter_map(|target| Parts::of(target, namespace))
        .collect();
    let of_triggers = format!(
        "{} WHERE position > ?1 ORDER BY position, ordinal; COMMIT; BEGIN",
        select(writing.names)
    );
    let (sql, before_commit) = if rows.is_empty() {
        (of_triggers, 1)
    } else {
        let insert = insertion(writing.names, rows.len(), "?1", "?5", "true");
        (format!("{insert}; {of_triggers}"), 2)
    };
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(rows.len() <= KEPT_TARGETS);
    let query = if rows.is_empty() {
        query.bind(signed(given.position.get()))
    } else {
        let first = i64::try_from(writing.rows_before).unwrap_or(i64::MAX);
        bound(query, writing, given.position.get(), Some(given.at), first, &rows)
    };
    let mut told = Told::default();
    let outcome = {
        let mut answers = connection.fetch_many(query);
        loop {
            match answers.try_next().await {
                Ok(Some(answer)) => {
                    if let Err(error) = told.hear(&answer) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        }
    };
    told.ended(outcome, before_commit)
}

/// What has been heard so far.
#[derive(Default)]
struct Told {
    /// Statements that have succeeded.
    succeeded: usize,
    of_triggers: Vec<Invalidation>,
}

impl Told {
    fn hear(
        &mut self,
        answer: &Either<sqlx::sqlite::SqliteQueryResult, SqliteRow>,
    ) -> Result<(), sqlx::Error> {
        match answer {
            Either::Left(_) => self.succeeded += 1,
            Either::Right(row) => self.of_triggers.extend(read(row)?.invalidations().0),
        }
        Ok(())
    }

    /// How it ended, if so many statements came before the commit. Where the database itself has not said what failed, the commit may have
    /// happened unheard.
    fn ended(self, outcome: Result<(), sqlx::Error>, before_commit: usize) -> Ended {
        let is_countable = match &outcome {
            Ok(()) => self.succeeded > before_commit,
            Err(error) => error.as_database_error().is_some() && self.succeeded <= before_commit,
        };
        let end = match outcome {
            _ if self.succeeded > before_commit => End::Committed,
            Ok(()) => End::Failed(sqlx::Error::WorkerCrashed),
            Err(error) if error.as_database_error().is_some() && self.succeeded < before_commit => {
                End::NotRecorded(failed(error))
            }
            Err(error) => End::Failed(error),
        };
        Ended {
            end,
            of_triggers: self.of_triggers,
            is_countable,
        }
    }
}
