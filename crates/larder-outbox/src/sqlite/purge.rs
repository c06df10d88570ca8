//! Purging: the oldest rows, a chunk in each transaction, and the floor with them.
//!
//! What is always true: the floor is above whatever has been removed, in the same transaction; what a group has yet to do is copied
//! for it before; the newest commit stays, so that a replaced file is noticed.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, SqlitePool};

use super::groups::{carry_over, everything_acknowledged_before, give_up_old, groups_behind, micros};
use super::nodes::{forget_old, needed_by_nodes, nodes_behind};
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
    if let Some(floor) = retention.floor {
        let floor = i64::try_from(floor.get()).unwrap_or(i64::MAX);
        let mut snapshot = begin(pool, "BEGIN").await.map_err(failed)?;
        report.nodes_cut_off = nodes_behind(&mut snapshot, names, floor, retention).await?;
        report.groups_cut_off = groups_behind(&mut snapshot, names, floor).await?;
    }
    let mut transaction = match begin(pool, "BEGIN IMMEDIATE").await.map_err(failed) {
        Err(Error::Busy(_)) => {
            report.is_cut_short = true;
            return Ok(report);
        }
        begun => begun?,
    };
    forget_old(&mut transaction, names, retention).await?;
    transaction.commit().await.map_err(failed)?;
    loop {
        match chunk(pool, names, retention).await {
            Ok((0, 0)) => return Ok(report),
            Ok((rows, given_up)) => {
                report.rows = report.rows.saturating_add(rows);
                report.given_up = report.given_up.saturating_add(given_up);
            }
            Err(Error::Busy(_)) => {
                report.is_cut_short = true;
                return Ok(report);
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Removes up to a chunk of rows of the log, and gives up as many of the groups'; how many of each.
async fn chunk(pool: &SqlitePool, names: &Names, retention: &Retention) -> Result<(u64, u64), Error> {
    let limit = i64::try_from(retention.chunk).unwrap_or(i64::MAX);
    let mut transaction = begin(pool, "BEGIN IMMEDIATE").await.map_err(failed)?;
    let given_up = give_up_old(&mut transaction, names, retention.claim_retention, limit).await?;
    let removed = match last_to_go(&mut transaction, names, retention, limit).await? {
        Some(last) => remove(&mut transaction, names, last).await?,
        None => 0,
    };
    transaction.commit().await.map_err(failed)?;
    Ok((removed, given_up))
}

/// The last of the rows to be removed, by position and ordinal, and how many they are.
async fn last_to_go(
    transaction: &mut SqliteConnection,
    names: &Names,
    retention: &Retention,
    limit: i64,
) -> Result<Option<(i64, i64, i64)>, Error> {
    let p = names.prefix();
    let acknowledged = everything_acknowledged_before(&mut *transaction, names).await?;
    let by_nodes = needed_by_nodes(&mut *transaction, names, retention).await?;
    let by_nodes = by_nodes.map_or((i64::MAX, 0), |position| (position, 0));
    let (position, ordinal) = acknowledged.unwrap_or((i64::MAX, 0)).min(by_nodes);
    let floor = retention
        .floor
        .map_or(0, |floor| i64::try_from(floor.get()).unwrap_or(i64::MAX));
    // In the order of commits: a row that looks older than one before it waits for that.
    let oldest = format!(
        "SELECT position, ordinal, CAST(recorded_at AS INTEGER) < {NOW_MICROS} - ?1 \
         OR (CAST(recorded_at AS INTEGER) < {NOW_MICROS} - ?3 AND (position, ordinal) < (?4, ?5)) OR position < ?6 FROM {p}log \
         WHERE position < (SELECT max(position) FROM {p}log) ORDER BY position, ordinal LIMIT ?2"
    );
    let rows = sqlx::query(AssertSqlSafe(oldest))
        .bind(micros(retention.retention_max))
        .bind(limit)
        .bind(micros(retention.its_retention_min()))
        .bind(position)
        .bind(ordinal)
        .bind(floor)
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    let mut last = None;
    for (row, count) in rows.iter().zip(1_i64..) {
        if !row.try_get::<bool, _>(2).map_err(failed)? {
            break;
        }
        let position = row.try_get(0).map_err(failed)?;
        let ordinal = row.try_get(1).map_err(failed)?;
        last = Some((position, ordinal, count));
    }
    Ok(last)
}

async fn remove(
    transaction: &mut SqliteConnection,
    names: &Names,
    (position, ordinal, count): (i64, i64, i64),
) -> Result<u64, Error> {
    let p = names.prefix();
    carry_over(&mut *transaction, names, (position, ordinal.saturating_add(1))).await?;
    let floor = format!("UPDATE {p}meta SET value = max(value, ?1) WHERE key = 'floor'");
    sqlx::query(AssertSqlSafe(floor))
        .bind(position.saturating_add(1))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let removed = format!(
        "DELETE FROM {p}log WHERE (position, kind, namespace, name, id) IN \
         (SELECT position, kind, namespace, name, id FROM {p}log WHERE position <= ?1 ORDER BY position, ordinal LIMIT ?2)"
    );
    let removed = sqlx::query(AssertSqlSafe(removed))
        .bind(position)
        .bind(count)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    Ok(removed.rows_affected())
}
