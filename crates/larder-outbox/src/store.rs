//! [`OutboxStore`]: what a relay needs of a log.

mod claim;
mod dead;
mod group;
mod row;
mod status;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use larder_core::{BoxFuture, Cursor, Invalidations, Namespace, Source, Token};

pub(crate) use self::claim::check_claim;
pub use self::claim::{Claim, Completed, Failed, Next};
pub use self::dead::DeadLetters;
pub use self::group::{Group, Start};
pub use self::row::{Lease, OutboxRow, RowId, RowIdError, RowState};
pub use self::status::{Behind, Count, OutboxStatus, TokenStatus};
use crate::{Error, Nodes};

/// A log whose rows groups of workers take once: in SQLite, in memory, or wherever somebody implements it.
///
/// What whoever implements it owes:
/// - A row that is visible to a follower is visible to a claim, and no row is held by two claims of a group at once.
/// - All times are those of the store, whatever the clocks of its callers say.
/// - What a claim holds is anybody's once its time is over. A completion counts for the rows that are still held by its lease, and for no others.
/// - A row that cannot be read becomes a dead letter, and no reason to refuse the rows beside it.
/// - No call changes the log; a row stays in the hands of its group until it was acknowledged, or discarded as a dead letter.
/// - A call that is dropped half way has happened for each of its rows, or it has not.
pub trait OutboxStore: fmt::Debug + Send + Sync {
    /// The log as a source, for followers.
    fn source(&self) -> Arc<dyn Source>;

    /// The table of those who follow it.
    fn nodes(&self) -> Arc<dyn Nodes>;

    /// Records a batch in a transaction of its own.
    fn record<'a>(&'a self, batch: &'a Invalidations) -> BoxFuture<'a, Result<Token, Error>>;

    /// Begins a group, or finds that it has begun; what it keeps and how many dead letters it may have is set anew.
    ///
    /// Gives [`Error::Config`] for names and numbers that are not allowed, for other namespaces than it began with, and beyond 64
    /// groups.
    fn open_group<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, Result<(), Error>>;

    /// Ends a group, with all that it has yet to do. Whether there was one.
    fn drop_group<'a>(&'a self, group: &'a str) -> BoxFuture<'a, Result<bool, Error>>;

    /// Takes up to `limit` rows that are pending, available, and held by nobody, for so long. A limit of 0 asks nothing of the
    /// store.
    ///
    /// Gives [`Error::NoSuchGroup`]; [`Error::Config`] for a limit above 4,096, a time out of range, or an owner that is no name;
    /// [`Error::DeadLettersFull`].
    fn claim<'a>(
        &'a self,
        group: &'a str,
        owner: &'a str,
        limit: usize,
        time: Duration,
    ) -> BoxFuture<'a, Result<Claim, Error>>;

    /// These rows of a claim are done.
    fn acknowledge<'a>(
        &'a self,
        claim: &'a Claim,
        rows: &'a [RowId],
    ) -> BoxFuture<'a, Result<Completed, Error>>;

    /// These rows of a claim have failed: each has one attempt more, and comes again or is dead.
    fn fail<'a>(&'a self, claim: &'a Claim, rows: &'a [Failed]) -> BoxFuture<'a, Result<Completed, Error>>;

    /// Holds what is left of a claim for this time from now on. As long as nobody has taken it, also if its time was over.
    fn renew<'a>(&'a self, claim: &'a Claim, time: Duration) -> BoxFuture<'a, Result<Completed, Error>>;

    /// Gives back what is left of a claim, at once and without counting it as an attempt.
    fn release<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Completed, Error>>;

    /// Up to `limit` rows of a group in this state, in the order of their ids, after one of them. Of those that are acknowledged,
    /// the ones that are kept. Up to 1,000.
    fn rows_of<'a>(
        &'a self,
        group: &'a str,
        state: RowState,
        after: Option<RowId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<OutboxRow>, Error>>;

    /// Makes dead letters pending again: available now, with no attempts and no error. How many.
    fn reset_dead_letters<'a>(&'a self, which: &'a DeadLetters) -> BoxFuture<'a, Result<u64, Error>>;

    /// Ends dead letters for good. How many. The reason is logged.
    fn discard_dead_letters<'a>(
        &'a self,
        which: &'a DeadLetters,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<u64, Error>>;

    /// The names of all groups, sorted.
    fn groups(&self) -> BoxFuture<'_, Result<Vec<String>, Error>>;

    /// What a node that has come to this cursor has yet to hear of.
    fn behind<'a>(&'a self, cursor: &'a Cursor) -> BoxFuture<'a, Result<Behind, Error>>;

    /// What a group has yet to do, of one namespace or of all.
    fn status<'a>(
        &'a self,
        group: &'a str,
        namespace: Option<&'a Namespace>,
    ) -> BoxFuture<'a, Result<OutboxStatus, Error>>;

    /// What a group has yet to do of the commits that each of these tokens names, all seen at one moment.
    fn statuses_of<'a>(
        &'a self,
        group: &'a str,
        tokens: &'a [Token],
    ) -> BoxFuture<'a, Result<Vec<TokenStatus>, Error>>;

    /// What a group has yet to do of the commits that a token names.
    fn status_of<'a>(
        &'a self,
        group: &'a str,
        token: &'a Token,
    ) -> BoxFuture<'a, Result<TokenStatus, Error>> {
        Box::pin(async move {
            let statuses = self.statuses_of(group, std::slice::from_ref(token)).await?;
            Ok(statuses.into_iter().next().unwrap_or_else(TokenStatus::unknown))
        })
    }

    /// Resolves when rows were completed in this process after this call. A store that cannot tell never does: then whoever waits looks again now
    /// and then.
    fn completed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}
