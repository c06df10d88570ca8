//! A new epoch: the file was restored or replaced, or an operator says so.

use larder_core::{Entropy, Epoch};
use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool};

use super::groups::carry_into;
use super::{begin, failed, signed};
use crate::Error;
use crate::names::Names;

/// Begins a new epoch in place of `old`, in one transaction: what groups have yet to do is copied to their deliveries, the old epoch is
/// listed as former, and the log is emptied.
/// Whoever comes second changes nothing.
pub(crate) async fn renew(
    pool: &SqlitePool,
    names: &Names,
    old: Epoch,
    entropy: &dyn Entropy,
) -> Result<(), Error> {
    let mut transaction = begin(pool, "BEGIN IMMEDIATE").await.map_err(failed)?;
    renew_in(&mut transaction, names, old, entropy).await?;
    transaction.commit().await.map_err(failed)
}

/// The same in an open transaction.
pub(in crate::sqlite) async fn renew_in(
    transaction: &mut SqliteConnection,
    names: &Names,
    old: Epoch,
    entropy: &dyn Entropy,
) -> Result<(), Error> {
    let p = names.prefix();
    let is_now = format!("SELECT count(*) FROM {p}meta WHERE key = 'epoch' AND value = ?1");
    let is_now: i64 = sqlx::query_scalar(AssertSqlSafe(is_now))
        .bind(signed(old.get()))
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    if is_now == 0 {
        return Ok(());
    }
    // While the rows are still there, and known by the epoch in which they were recorded.
    let new = entropy.next_u64();
    carry_into(&mut *transaction, names, new).await?;
    let exchanged = sqlx::query(AssertSqlSafe(format!(
        "UPDATE {p}meta SET value = ?1 WHERE key = 'epoch' AND value = ?2"
    )))
    .bind(signed(new))
    .bind(signed(old.get()))
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    if exchanged.rows_affected() == 0 {
        return Ok(());
    }
    let former = format!("INSERT OR IGNORE INTO {p}meta (key, value) VALUES ('former/{old}', 1)");
    let emptied = format!("DELETE FROM {p}log");
    let floor = format!(
        "UPDATE {p}meta SET value = (SELECT value + 1 FROM {p}meta WHERE key = 'position') WHERE key = 'floor'"
    );
    for statement in [former, emptied, floor] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    tracing::warn!(former = %old, "the log has begun a new epoch");
    Ok(())
}
