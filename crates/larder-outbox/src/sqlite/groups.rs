//! Groups in SQLite: claims of stretches of the log, and rows that have left it.
//!
//! What is always true: the log is never written to. Of each group, every row that is visible is in one place: above where the
//! group has come to, in the stretch of one claim, in a row of its own (a *delivery*), or done. It goes from one to
//! the next within a transaction. All times are those of the statement that writes them.

mod begin;
mod carry;
mod claim;
mod complete;
mod letters;
mod status;
mod stretch;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use larder_core::sync::Mutex;
use larder_core::{BoxFuture, Cursor, Epoch, Invalidations, Namespace, Source, Token};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqliteConnection, Transaction};

pub(super) use self::carry::{
    carry_into, carry_over, everything_acknowledged_before, give_up_old, groups_behind,
};
use super::schema::NOW_MICROS;
use super::{begin, failed, unsigned};
use crate::names::Names;
use crate::{
    Behind, Claim, Completed, DeadLetters, Error, Failed, Group, Nodes, Outbox, OutboxRow, OutboxStatus,
    OutboxStore, RowId, RowState, TokenStatus,
};

/// The state of a delivery, as a number.
const PENDING: i64 = 0;
const ACKNOWLEDGED: i64 = 1;
const DEAD: i64 = 2;

/// Whether a row is one of a group's, whose namespaces are that value of the statement: each between two ends of lines, or NULL for all. Rows of entities,
/// collections, everything, and of kinds that are not known, always are.
fn is_its(namespaces: &str) -> String {
    format!(
        "({namespaces} IS NULL OR kind IN (4, 5, 7) OR kind NOT BETWEEN 1 AND 7 \
         OR instr({namespaces}, char(10) || namespace || char(10)) > 0)"
    )
}

/// The log of a SQLite file, as relays take it.
pub(super) struct SqliteStore {
    outbox: Outbox<Sqlite>,
    /// The last row of the log that each group was given through this store: if another one lies in its place, the file was put back.
    given: Mutex<HashMap<String, Given>>,
}

/// A row that was given out.
#[derive(Clone, Copy)]
struct Given {
    epoch: u64,
    place: Place,
    recorded_at: i64,
}

/// What can be done to the tables of groups within a transaction.
#[derive(Clone, Copy)]
struct Tables<'a> {
    names: &'a Names,
}

/// What is known of a group.
struct Known {
    id: i64,
    /// Each between two ends of lines; none for all.
    namespaces: Option<String>,
    /// Rows from there on have never been in a claim that has ended. Those of open claims lie above it, or below.
    next: Place,
    dead: u64,
    dead_max: u64,
    keeps: bool,
    source: u64,
    epoch: u64,
    /// The last position that was given out.
    position: u64,
    now: i64,
    failed: u64,
    acknowledged_at: Option<i64>,
}

/// A place in the log: before the row of this ordinal, whether there is one or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    position: i64,
    ordinal: i64,
}

impl Place {
    /// Before the first row of a commit.
    fn before(position: u64) -> Self {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        Place { position, ordinal: 0 }
    }

    fn after(self) -> Self {
        Place {
            position: self.position,
            ordinal: self.ordinal.saturating_add(1),
        }
    }

    fn of(id: RowId) -> Self {
        Place {
            position: super::signed(id.position().get()),
            ordinal: super::signed(id.ordinal()),
        }
    }
}

impl SqliteStore {
    pub(super) fn new(outbox: Outbox<Sqlite>) -> Self {
        SqliteStore {
            outbox,
            given: Mutex::default(),
        }
    }

    fn names(&self) -> &Names {
        self.outbox.names()
    }

    /// A transaction that may write from its beginning, in the log that was opened.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, Error> {
        begin(self.outbox.pool(), "BEGIN IMMEDIATE").await.map_err(failed)
    }

    /// A snapshot.
    async fn look(&self) -> Result<Transaction<'static, Sqlite>, Error> {
        begin(self.outbox.pool(), "BEGIN").await.map_err(failed)
    }

    /// What is known of a group.
    async fn known(&self, connection: &mut SqliteConnection, group: &str) -> Result<Known, Error> {
        let known = self.tables().known(connection, Some(group)).await?.pop();
        self.own(known, group)
    }

    /// A group of this log; an error if there is none, or another log lies in its place.
    fn own(&self, known: Option<Known>, group: &str) -> Result<Known, Error> {
        let known = known.ok_or_else(|| Error::NoSuchGroup {
            group: group.to_owned(),
        })?;
        if known.source != self.outbox.source_id().get() {
            return Err(Error::WrongDatabase);
        }
        Ok(known)
    }

    fn tables(&self) -> Tables<'_> {
        Tables { names: self.names() }
    }
}

impl Tables<'_> {
    /// What is known of one group, if it is there; or of all.
    async fn known(
        self,
        connection: &mut SqliteConnection,
        group: Option<&str>,
    ) -> Result<Vec<Known>, Error> {
        let p = self.names.prefix();
        let sql = format!(
            "SELECT {} FROM {p}group AS its WHERE ?1 IS NULL OR name = ?1 ORDER BY id",
            of_known(self.names)
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(group)
            .fetch_all(connection)
            .await
            .map_err(failed)?;
        rows.iter().map(known).collect()
    }
}

/// What [`known`] reads of a group that is called `its`.
fn of_known(names: &Names) -> String {
    let p = names.prefix();
    format!(
        "its.id, its.namespaces, next_position, next_ordinal, dead, dead_max, keep_micros > 0, failed, its.acknowledged_at, \
         (SELECT value FROM {p}meta WHERE key = 'epoch'), (SELECT value FROM {p}meta WHERE key = 'position'), \
         (SELECT value FROM {p}meta WHERE key = 'source'), {NOW_MICROS}"
    )
}

/// How many columns that are.
const KNOWN_COLUMNS: usize = 13;

fn known(row: &SqliteRow) -> Result<Known, Error> {
    let number = |at: usize| {
        row.try_get::<Option<i64>, _>(at)
            .map_err(failed)?
            .ok_or(Error::Damaged)
    };
    Ok(Known {
        id: number(0)?,
        namespaces: row.try_get(1).map_err(failed)?,
        next: Place {
            position: number(2)?,
            ordinal: number(3)?,
        },
        dead: u64::try_from(number(4)?).unwrap_or(0),
        dead_max: u64::try_from(number(5)?).unwrap_or(0),
        keeps: number(6)? != 0,
        failed: u64::try_from(number(7)?).unwrap_or(0),
        acknowledged_at: row.try_get(8).map_err(failed)?,
        epoch: unsigned(number(9)?),
        position: unsigned(number(10)?),
        source: unsigned(number(11)?),
        now: number(12)?,
    })
}

impl OutboxStore for SqliteStore {
    fn source(&self) -> Arc<dyn Source> {
        self.outbox.source()
    }

    fn nodes(&self) -> Arc<dyn Nodes> {
        Outbox::nodes(&self.outbox)
    }

    fn record<'a>(&'a self, batch: &'a Invalidations) -> BoxFuture<'a, Result<Token, Error>> {
        Box::pin(self.outbox.record_alone(batch))
    }

    fn open_group<'a>(&'a self, group: &'a Group) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.open_group_now(group))
    }

    fn drop_group<'a>(&'a self, group: &'a str) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(self.drop_group_now(group))
    }

    fn claim<'a>(
        &'a self,
        group: &'a str,
        owner: &'a str,
        limit: usize,
        time: Duration,
    ) -> BoxFuture<'a, Result<Claim, Error>> {
        Box::pin(self.claim_now(group, owner, limit, time))
    }

    fn acknowledge<'a>(
        &'a self,
        claim: &'a Claim,
        rows: &'a [RowId],
    ) -> BoxFuture<'a, Result<Completed, Error>> {
        Box::pin(async move {
            let completed = self.acknowledge_now(claim, rows).await;
            self.outbox.completions().give();
            completed
        })
    }

    fn fail<'a>(&'a self, claim: &'a Claim, rows: &'a [Failed]) -> BoxFuture<'a, Result<Completed, Error>> {
        Box::pin(async move {
            let completed = self.fail_now(claim, rows).await;
            self.outbox.completions().give();
            completed
        })
    }

    fn renew<'a>(&'a self, claim: &'a Claim, time: Duration) -> BoxFuture<'a, Result<Completed, Error>> {
        Box::pin(self.hold_now(claim, Some(time)))
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Completed, Error>> {
        Box::pin(self.hold_now(claim, None))
    }

    fn rows_of<'a>(
        &'a self,
        group: &'a str,
        state: RowState,
        after: Option<RowId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<OutboxRow>, Error>> {
        Box::pin(self.rows_now(group, state, after, limit))
    }

    fn reset_dead_letters<'a>(&'a self, which: &'a DeadLetters) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(self.reset_now(which))
    }

    fn discard_dead_letters<'a>(
        &'a self,
        which: &'a DeadLetters,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(self.discard_now(which, reason))
    }

    fn groups(&self) -> BoxFuture<'_, Result<Vec<String>, Error>> {
        Box::pin(self.groups_now())
    }

    fn behind<'a>(&'a self, cursor: &'a Cursor) -> BoxFuture<'a, Result<Behind, Error>> {
        Box::pin(self.behind_now(cursor))
    }

    fn status<'a>(
        &'a self,
        group: &'a str,
        namespace: Option<&'a Namespace>,
    ) -> BoxFuture<'a, Result<OutboxStatus, Error>> {
        Box::pin(self.status_now(group, namespace))
    }

    fn statuses_of<'a>(
        &'a self,
        group: &'a str,
        tokens: &'a [Token],
    ) -> BoxFuture<'a, Result<Vec<TokenStatus>, Error>> {
        Box::pin(self.statuses_of_now(group, tokens))
    }

    fn completed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.outbox.completions().next())
    }
}

/// What a delivery has beside the columns of the log, after those that all readers read.
const OF_DELIVERY: &str = "state, attempts, available_at, CAST(last_error AS BLOB), lease, CAST(owner AS BLOB), claimed_at, log.until, acknowledged_at, epoch";

/// A row of the deliveries, from the columns of the log and [`OF_DELIVERY`]. One that cannot be read is given with what was
/// wrong, and something wider as its target.
fn delivery(row: &SqliteRow) -> Result<(OutboxRow, Option<String>), Error> {
    use larder_core::Timestamp;
    let get = |at: usize| row.try_get::<Option<i64>, _>(at).map_err(failed);
    let time = |at: usize| Ok::<_, Error>(get(at)?.map(Timestamp::from_micros));
    let epoch = Epoch::new(unsigned(get(19)?.unwrap_or(0)));
    let (mut delivery, fault) = super::source::read(row).map_err(failed)?.outbox_row(epoch);
    delivery.state = match get(10)? {
        Some(ACKNOWLEDGED) => RowState::Acknowledged,
        Some(DEAD) => RowState::Dead,
        _ => RowState::Pending,
    };
    delivery.attempts = get(11)?
        .and_then(|attempts| u32::try_from(attempts).ok())
        .unwrap_or(u32::MAX);
    delivery.available_at = time(12)?.unwrap_or(delivery.recorded_at);
    delivery.last_error = text(row, 13)?;
    let (number, until) = (get(14)?, time(17)?);
    delivery.owner = text(row, 15)?.map(Arc::from);
    delivery.claimed_at = time(16)?;
    delivery.lease = number
        .zip(until)
        .map(|(number, until)| crate::Lease::new(unsigned(number), until));
    delivery.acknowledged_at = time(18)?;
    Ok((delivery, fault))
}

/// What is written of a delivery that nobody holds any more.
const NOT_HELD: &str = "lease = NULL, owner = NULL, claimed_at = NULL, until = NULL";

/// What every statement about one delivery begins its condition with; [`of_delivery`] gives it its values.
const THIS_DELIVERY: &str = "WHERE group_id = ?1 AND epoch = ?2 AND position = ?3 AND ordinal = ?4";

/// A statement about one delivery of a group, the first four values of which say which.
fn of_delivery(sql: String, known: &Known, id: RowId) -> Query<'static, Sqlite, SqliteArguments> {
    sqlx::query(AssertSqlSafe(sql))
        .bind(known.id)
        .bind(super::signed(id.epoch().get()))
        .bind(super::signed(id.position().get()))
        .bind(super::signed(id.ordinal()))
}

/// A text, whatever somebody else has written into it.
fn text(row: &SqliteRow, at: usize) -> Result<Option<String>, Error> {
    let bytes: Option<Vec<u8>> = row.try_get(at).map_err(failed)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// A time as SQLite keeps it.
pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("outbox", &self.outbox)
            .finish()
    }
}
