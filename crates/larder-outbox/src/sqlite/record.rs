//! Writing a batch: one statement for the position, and one more for each 2,000 targets, the first two sent together.

use larder_core::{Epoch, Invalidation, Origin, Position, SourceId, Timestamp};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqliteConnection};

use super::schema::NOW_MICROS;
use super::source::{read, select};
use super::{failed, signed, unsigned};
use crate::Error;
use crate::limits::TARGETS_A_STATEMENT;
use crate::names::Names;
use crate::record::{Given, Writing, Written};
use crate::row::Written as Parts;

/// Statements for up to so many targets are prepared once and kept.
pub(super) const KEPT_TARGETS: usize = 8;
/// Values that all rows of a statement share, before their own.
const SHARED_VALUES: usize = 5;

/// Writes a batch that is not empty.
pub(super) async fn record(
    connection: &mut SqliteConnection,
    writing: &Writing<'_>,
) -> Result<Written, Error> {
    let namespace = writing.batch.namespace();
    let targets = writing.batch.targets().iter();
    let rows: Vec<Parts<'_>> = targets
        .filter_map(|target| Parts::of(target, namespace))
        .collect();
    let mut chunks = rows.chunks(TARGETS_A_STATEMENT);
    // Of the rows that this position has: those of the batches before come first.
    let mut first = i64::try_from(writing.rows_before).unwrap_or(i64::MAX);
    let mut written = match writing.given {
        Some(given) => Written {
            given,
            inserted: 0,
            counter: given.position,
        },
        None if rows.is_empty() => {
            let given = give(connection, writing.names, writing.source).await?;
            Written {
                given,
                inserted: 0,
                counter: given.position,
            }
        }
        None => {
            let chunk = chunks.next().unwrap_or_default();
            first = first.saturating_add(i64::try_from(chunk.len()).unwrap_or(i64::MAX));
            insert_and_give(connection, writing, chunk).await?
        }
    };
    for chunk in chunks {
        let (inserted, counter) = insert(connection, writing, &written.given, first, chunk).await?;
        written.inserted += inserted;
        written.counter = counter;
        first = first.saturating_add(i64::try_from(chunk.len()).unwrap_or(i64::MAX));
    }
    Ok(written)
}

/// Raises the counter, and asks in the same statement whose it is.
pub(super) async fn give(
    connection: &mut SqliteConnection,
    names: &Names,
    source: SourceId,
) -> Result<Given, Error> {
    let row = sqlx::query(AssertSqlSafe(raise(names, NOW_MICROS)))
        .fetch_optional(connection)
        .await
        .map_err(failed)?
        .ok_or(Error::Damaged)?;
    given(&row, source)
}

/// Raises the counter, and says what it is now, whose, in which epoch, and a time.
fn raise(names: &Names, time: &str) -> String {
    let p = names.prefix();
    format!(
        "UPDATE {p}meta SET value = value + 1 WHERE key = 'position' \
         RETURNING value, (SELECT value FROM {p}meta WHERE key = 'source'), \
         (SELECT value FROM {p}meta WHERE key = 'epoch'), {time}, changes(), total_changes()"
    )
}

/// What [`raise`] has said, if it is the log that was opened.
fn given(row: &SqliteRow, source: SourceId) -> Result<Given, Error> {
    let number = |at: usize| row.try_get::<i64, _>(at).map(unsigned).map_err(failed);
    if SourceId::new(number(1)?) != source {
        return Err(Error::WrongDatabase);
    }
    let position = number(0)?;
    if i64::try_from(position).map_or(true, |position| position <= 0) {
        return Err(Error::Damaged);
    }
    Ok(Given {
        position: Position::new(position),
        epoch: Epoch::new(number(2)?),
        at: Timestamp::from_micros(row.try_get(3).map_err(failed)?),
        changes: row.try_get(5).map_err(failed)?,
    })
}

/// The first rows of a batch without a position, and then the position, sent together: each trip to the thread of the connection costs more
/// than the statement. Both are of one transaction, so it does not matter which comes first; nothing is written into another log, nor
/// above what a counter can hold.
async fn insert_and_give(
    connection: &mut SqliteConnection,
    writing: &Writing<'_>,
    rows: &[Parts<'_>],
) -> Result<Written, Error> {
    let p = writing.names.prefix();
    let insert = insertion(
        writing.names,
        rows.len(),
        "(SELECT value + 1 FROM counter)",
        &format!("coalesce(?5, {NOW_MICROS})"),
        &format!("?1 = (SELECT value FROM {p}meta WHERE key = 'source') AND EXISTS (SELECT 1 FROM counter)"),
    );
    let raise = raise(
        writing.names,
        &format!(
            "coalesce((SELECT recorded_at FROM {p}log WHERE position = value ORDER BY ordinal LIMIT 1), 0)"
        ),
    );
    let sql = format!(
        "WITH counter AS (SELECT value FROM {p}meta WHERE key = 'position' AND value BETWEEN 0 AND {}) {insert}; {raise}",
        i64::MAX - 1
    );
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(rows.len() <= KEPT_TARGETS);
    let first = i64::try_from(writing.rows_before).unwrap_or(i64::MAX);
    let row = bound(query, writing, writing.source.get(), None, first, rows)
        .fetch_optional(connection)
        .await
        .map_err(failed)?
        .ok_or(Error::Damaged)?;
    let given = given(&row, writing.source)?;
    Ok(Written {
        given,
        inserted: count(&row, 4)?,
        counter: given.position,
    })
}

/// Rows at a position that has been given, and where the counter stands after them: those that are there already are left as they are.
async fn insert(
    connection: &mut SqliteConnection,
    writing: &Writing<'_>,
    given: &Given,
    first: i64,
    rows: &[Parts<'_>],
) -> Result<(usize, Position), Error> {
    let insert = insertion(writing.names, rows.len(), "?1", "?5", "true");
    let p = writing.names.prefix();
    let sql = format!("{insert}; SELECT changes(), value FROM {p}meta WHERE key = 'position'");
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(rows.len() <= KEPT_TARGETS);
    let row = bound(query, writing, given.position.get(), Some(given.at), first, rows)
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    let counter = row.try_get(1).map(unsigned).map_err(failed)?;
    Ok((count(&row, 0)?, Position::new(counter)))
}

fn count(row: &SqliteRow, column: usize) -> Result<usize, Error> {
    let count: i64 = row.try_get(column).map_err(failed)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// The text that inserts so many rows.
pub(super) fn insertion(names: &Names, rows: usize, position: &str, time: &str, condition: &str) -> String {
    let p = names.prefix();
    let value = |row: usize| {
        let first = SHARED_VALUES + 6 * row;
        let numbers: Vec<String> = (1..=6).map(|at| format!("?{}", first + at)).collect();
        format!("({})", numbers.join(", "))
    };
    let values: Vec<String> = (0..rows).map(value).collect();
    let values = values.join(", ");
    format!(
        "INSERT INTO {p}log (position, kind, namespace, name, id, ordinal, reason, origin, recorded_at, long_id) \
         SELECT {position}, column1, column2, column3, column4, column5, \
         ?2, (SELECT id FROM {p}node WHERE node = ?3 AND run = ?4), {time}, column6 FROM (VALUES {values}) WHERE {condition} \
         ON CONFLICT (position, kind, namespace, name, id) DO NOTHING"
    )
}

/// The values of an insertion: what its rows share, then their own.
pub(super) fn bound<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    writing: &Writing<'q>,
    first_value: u64,
    at: Option<Timestamp>,
    first: i64,
    rows: &[Parts<'q>],
) -> Query<'q, Sqlite, SqliteArguments> {
    let reason = Some(writing.batch.reason().as_str()).filter(|reason| !reason.is_empty());
    let mut query = query
        .bind(signed(first_value))
        .bind(reason)
        .bind(writing.origin.map(Origin::node))
        .bind(writing.origin.map(|origin| signed(origin.run())))
        .bind(at.map(Timestamp::as_micros));
    for (ordinal, row) in (first..).zip(rows) {
        let (id, rest) = row.id_and_rest();
        query = query
            .bind(i64::from(row.kind))
            .bind(row.namespace)
            .bind(row.name)
            .bind(id)
            .bind(ordinal)
            .bind(rest);
    }
    query
}

/// How many rows the connection has changed since it was opened.
pub(super) async fn changes(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT total_changes()")
        .fetch_one(connection)
        .await
}

/// The last position that was given out, as this transaction sees it.
pub(super) async fn counter(
    connection: &mut SqliteConnection,
    names: &Names,
) -> Result<Position, sqlx::Error> {
    let query = format!("SELECT value FROM {}meta WHERE key = 'position'", names.prefix());
    let value: i64 = sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_one(connection)
        .await?;
    Ok(Position::new(unsigned(value)))
}

/// Everything that was recorded above a position, by whoever.
pub(super) async fn since(
    connection: &mut SqliteConnection,
    names: &Names,
    before: Position,
) -> Result<Vec<Invalidation>, sqlx::Error> {
    let query = format!("{} WHERE position > ?1 ORDER BY position, ordinal", select(names));
    let rows = sqlx::query(AssertSqlSafe(query))
        .bind(signed(before.get()))
        .fetch_all(connection)
        .await?;
    let mut recorded = Vec::with_capacity(rows.len());
    for row in &rows {
        recorded.extend(read(row)?.invalidations().0);
    }
    Ok(recorded)
}
