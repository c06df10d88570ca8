//! Writing a batch: one statement for the position, and one more for each 2,000 targets.

use larder_core::{Epoch, Invalidation, Origin, Position, SourceId, Timestamp};
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::schema::NOW_MICROS;
use super::source::{read, select};
use super::{failed, signed, unsigned};
use crate::Error;
use crate::limits::TARGETS_A_STATEMENT;
use crate::names::Names;
use crate::record::{Given, Writing, Written};
use crate::row::Written as Parts;

/// Statements for up to so many targets are prepared once and kept.
const KEPT_TARGETS: usize = 8;
/// Values that all rows of a statement share, before their own.
const SHARED_VALUES: usize = 5;

/// Writes a batch that is not empty.
pub(super) async fn record(
    connection: &mut SqliteConnection,
    writing: &Writing<'_>,
) -> Result<Written, Error> {
    let given = match writing.given {
        Some(given) => given,
        None => give(connection, writing.names, writing.source).await?,
    };
    let mut written = Written { given, inserted: 0 };
    let namespace = writing.batch.namespace();
    let targets = writing.batch.targets().iter();
    let rows: Vec<Parts<'_>> = targets
        .filter_map(|target| Parts::of(target, namespace))
        .collect();
    // Of the rows that this position has: those of the batches before come first.
    let mut first = i64::try_from(writing.rows_before).unwrap_or(i64::MAX);
    for chunk in rows.chunks(TARGETS_A_STATEMENT) {
        written.inserted += insert(connection, writing, &given, first, chunk).await?;
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
    let p = names.prefix();
    let raise = format!(
        "UPDATE {p}meta SET value = value + 1 WHERE key = 'position' \
         RETURNING value, (SELECT value FROM {p}meta WHERE key = 'source'), \
         (SELECT value FROM {p}meta WHERE key = 'epoch'), {NOW_MICROS}"
    );
    let row = sqlx::query(AssertSqlSafe(raise))
        .fetch_optional(connection)
        .await
        .map_err(failed)?
        .ok_or(Error::Damaged)?;
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
    })
}

/// One statement: rows that are there already at this position are left as they are.
async fn insert(
    connection: &mut SqliteConnection,
    writing: &Writing<'_>,
    given: &Given,
    first: i64,
    rows: &[Parts<'_>],
) -> Result<usize, Error> {
    let p = writing.names.prefix();
    let value = |row: usize| {
        let first = SHARED_VALUES + 6 * row;
        let numbers: Vec<String> = (1..=6).map(|at| format!("?{}", first + at)).collect();
        format!("({})", numbers.join(", "))
    };
    let values: Vec<String> = (0..rows.len()).map(value).collect();
    let values = values.join(", ");
    let sql = format!(
        "INSERT INTO {p}log (position, kind, namespace, name, id, ordinal, reason, origin, recorded_at, long_id) \
         SELECT ?1, column1, column2, column3, column4, \
         column5, \
         ?2, (SELECT id FROM {p}node WHERE node = ?3 AND run = ?4), ?5, column6 FROM (VALUES {values}) WHERE true \
         ON CONFLICT (position, kind, namespace, name, id) DO NOTHING"
    );
    let reason = Some(writing.batch.reason().as_str()).filter(|reason| !reason.is_empty());
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .persistent(rows.len() <= KEPT_TARGETS)
        .bind(signed(given.position.get()))
        .bind(reason)
        .bind(writing.origin.map(Origin::node))
        .bind(writing.origin.map(|origin| signed(origin.run())))
        .bind(given.at.as_micros());
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
    let done = query.execute(connection).await.map_err(failed)?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
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
