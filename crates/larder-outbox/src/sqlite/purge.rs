//! Purging: the oldest rows, a chunk in each transaction, and the floor with them.
//!
//! What is always true: the floor is above whatever has been removed, in the same transaction; the newest commit stays, so that
//! a replaced file is noticed.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Row as _, SqlitePool};

use super::schema::NOW_MICROS;
use super::{begin, failed};
use crate::Error;
use crate::names::Names;
use crate::retention::{PurgeReport, Retention};

/// Between two chunks others may write.
const PAUSE: Duration = Duration::from_millis(1);

pub(super) async fn purge(
    pool: &SqlitePool,
    names: &Names,
    retention: &Retention,
) -> Result<PurgeReport, Error> {
    let mut report = PurgeReport::default();
    loop {
        match chunk(pool, names, retention).await {
            Ok(0) => return Ok(report),
            Ok(rows) => report.rows = report.rows.saturating_add(rows),
            Err(Error::Busy(_)) => {
                report.is_cut_short = true;
                return Ok(report);
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Removes up to a chunk of rows; how many.
async fn chunk(pool: &SqlitePool, names: &Names, retention: &Retention) -> Result<u64, Error> {
    let p = names.prefix();
    let limit = i64::try_from(retention.chunk).unwrap_or(i64::MAX);
    let age = i64::try_from(retention.retention_max.as_micros()).unwrap_or(i64::MAX);
    let mut transaction = begin(pool, "BEGIN IMMEDIATE").await.map_err(failed)?;
    // In the order of commits: a row that looks older than one before it waits for that.
    let oldest = format!(
        "SELECT position, CAST(recorded_at AS INTEGER) < {NOW_MICROS} - ?1 FROM {p}log \
         WHERE position < (SELECT max(position) FROM {p}log) ORDER BY position, ordinal LIMIT ?2"
    );
    let rows = sqlx::query(AssertSqlSafe(oldest))
        .bind(age)
        .bind(limit)
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    let mut last = None;
    for row in &rows {
        if !row.try_get::<bool, _>(1).map_err(failed)? {
            break;
        }
        last = Some(row.try_get::<i64, _>(0).map_err(failed)?);
    }
    let Some(last) = last else { return Ok(0) };
    let floor = format!("UPDATE {p}meta SET value = max(value, ?1) WHERE key = 'floor'");
    sqlx::query(AssertSqlSafe(floor))
        .bind(last.saturating_add(1))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let removed = format!(
        "DELETE FROM {p}log WHERE (position, kind, namespace, name, id) IN \
         (SELECT position, kind, namespace, name, id FROM {p}log WHERE position <= ?1 ORDER BY position, ordinal LIMIT ?2)"
    );
    let removed = sqlx::query(AssertSqlSafe(removed))
        .bind(last)
        .bind(limit)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(removed.rows_affected())
}
