//! The table of nodes in SQLite.
//!
//! What is always true: of all rows of one name, one at most has a time until which it lives; a process whose row has none is
//! not the node, and is told so.

use std::fmt;

use larder_core::{BoxFuture, Cursor, Timestamp};
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, SqlitePool};

use super::groups::micros;
use super::schema::NOW_MICROS;
use super::{acquire, begin, failed, signed, unsigned};
use crate::limits::NODES_MAX;
use crate::names::Names;
use crate::retention::Retention;
use crate::{Beaten, Error, Joined, Member, NodeStatus, Nodes, Progress};

#[derive(Clone)]
pub(super) struct SqliteNodes {
    pub(super) pool: SqlitePool,
    pub(super) names: Names,
}

impl SqliteNodes {
    async fn join_now(&self, member: &Member) -> Result<Joined, Error> {
        let p = self.names.prefix();
        let mut transaction = begin(&self.pool, "BEGIN IMMEDIATE").await.map_err(failed)?;
        let others = format!(
            "SELECT key, seen_at FROM {p}node WHERE node = ?1 AND run <> ?2 AND until > {NOW_MICROS} LIMIT 1"
        );
        let other = sqlx::query(AssertSqlSafe(others))
            .bind(&member.node)
            .bind(signed(member.run))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed)?;
        let mut joined = Joined::Alone;
        if let Some(other) = other {
            let key: Option<Vec<u8>> = other.try_get(0).map_err(failed)?;
            let is_its =
                member.key.is_some() && key.as_deref() == member.key.as_ref().map(<[u8; 16]>::as_slice);
            if !is_its {
                let seen: i64 = other.try_get(1).map_err(failed)?;
                return Ok(Joined::InUse(Timestamp::from_micros(seen)));
            }
            joined = Joined::TookOver;
        }
        let superseded =
            format!("UPDATE {p}node SET until = NULL, needs = NULL WHERE node = ?1 AND run <> ?2");
        sqlx::query(AssertSqlSafe(superseded))
            .bind(&member.node)
            .bind(signed(member.run))
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let live: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT count(*) FROM {p}node WHERE until > {NOW_MICROS} AND NOT (node = ?1 AND run = ?2)"
        )))
        .bind(&member.node)
        .bind(signed(member.run))
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
        if usize::try_from(live).unwrap_or(usize::MAX) >= NODES_MAX {
            return Err(member.one_too_many());
        }
        let known = format!(
            "INSERT INTO {p}node (node, run, key, seen_at, until) VALUES (?1, ?2, ?3, {NOW_MICROS}, {NOW_MICROS} + ?4) \
             ON CONFLICT (node, run) DO UPDATE SET key = ?3, seen_at = excluded.seen_at, until = excluded.until"
        );
        sqlx::query(AssertSqlSafe(known))
            .bind(&member.node)
            .bind(signed(member.run))
            .bind(member.key.as_ref().map(<[u8; 16]>::as_slice))
            .bind(micros(member.lease))
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(joined)
    }

    /// One statement, which is a transaction of its own.
    async fn beat_now(&self, member: &Member, progress: &Progress) -> Result<Beaten, Error> {
        let sql = format!(
            "UPDATE {}node SET seen_at = {NOW_MICROS}, until = {NOW_MICROS} + ?3, needs = ?4, saves = ?5, progress = ?6 \
             WHERE node = ?1 AND run = ?2 AND until IS NOT NULL",
            self.names.prefix()
        );
        let needs = progress.saved.as_ref().unwrap_or(&progress.applied).horizon();
        let mut connection = acquire(&self.pool).await.map_err(failed)?;
        let done = sqlx::query(AssertSqlSafe(sql))
            .bind(&member.node)
            .bind(signed(member.run))
            .bind(micros(member.lease))
            .bind(signed(needs.get()))
            .bind(progress.saved.is_some())
            .bind(progress.applied.encode())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        Ok(if done.rows_affected() == 0 {
            Beaten::Superseded
        } else {
            Beaten::Alive
        })
    }

    /// Who keeps a cursor will be back, and is not forgotten; only that it does not live now.
    async fn leave_now(&self, member: &Member) -> Result<(), Error> {
        let sql = format!(
            "UPDATE {}node SET until = CASE WHEN saves THEN {NOW_MICROS} END, needs = CASE WHEN saves THEN needs END \
             WHERE node = ?1 AND run = ?2 AND until IS NOT NULL",
            self.names.prefix()
        );
        let mut connection = acquire(&self.pool).await.map_err(failed)?;
        sqlx::query(AssertSqlSafe(sql))
            .bind(&member.node)
            .bind(signed(member.run))
            .execute(&mut *connection)
            .await
            .map(drop)
            .map_err(failed)
    }

    async fn nodes_now(&self) -> Result<Vec<NodeStatus>, Error> {
        let sql = format!(
            "SELECT node, run, until > {NOW_MICROS}, seen_at, progress FROM {}node WHERE until IS NOT NULL ORDER BY node",
            self.names.prefix()
        );
        let mut connection = acquire(&self.pool).await.map_err(failed)?;
        let rows = sqlx::query(AssertSqlSafe(sql))
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        let status = |row: &sqlx::sqlite::SqliteRow| {
            let seen = Timestamp::from_micros(row.try_get::<Option<i64>, _>(3)?.unwrap_or(0));
            let mut status = NodeStatus::new(row.try_get::<String, _>(0)?, unsigned(row.try_get(1)?), seen);
            status.is_live = row.try_get(2)?;
            let progress: Option<Vec<u8>> = row.try_get(4)?;
            status.applied = progress.and_then(|bytes| Cursor::decode(&bytes).ok());
            Ok(status)
        };
        rows.iter()
            .map(status)
            .collect::<Result<_, sqlx::Error>>()
            .map_err(failed)
    }
}

/// Below which position every node that counts has what it needs; none if no node counts. Those count that live, and those that keep a
/// cursor and were heard of not too long ago.
pub(super) async fn needed_by_nodes(
    connection: &mut SqliteConnection,
    names: &Names,
    retention: &Retention,
) -> Result<Option<i64>, Error> {
    let sql = format!(
        "SELECT min(needs) FROM {}node WHERE until > {NOW_MICROS} OR (saves AND seen_at > {NOW_MICROS} - ?1)",
        names.prefix()
    );
    sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(micros(retention.node_forgotten))
        .fetch_one(connection)
        .await
        .map_err(failed)
}

/// Names of the nodes that need rows below a position.
pub(super) async fn nodes_behind(
    connection: &mut SqliteConnection,
    names: &Names,
    position: i64,
    retention: &Retention,
) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT node FROM {}node WHERE needs < ?1 AND (until > {NOW_MICROS} OR (saves AND seen_at > {NOW_MICROS} - ?2)) \
         ORDER BY node",
        names.prefix()
    );
    sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(position)
        .bind(micros(retention.node_forgotten))
        .fetch_all(connection)
        .await
        .map_err(failed)
}

/// Forgets processes that were not heard of for long, and of which no row of the log speaks.
pub(super) async fn forget_old(
    connection: &mut SqliteConnection,
    names: &Names,
    retention: &Retention,
) -> Result<(), Error> {
    let p = names.prefix();
    let sql = format!(
        "DELETE FROM {p}node WHERE id IN (SELECT id FROM {p}node AS old WHERE coalesce(seen_at, 0) < {NOW_MICROS} - ?1 \
         AND NOT EXISTS (SELECT 1 FROM {p}log WHERE origin = old.id) LIMIT 8)"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(micros(retention.node_forgotten))
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed)
}

impl Nodes for SqliteNodes {
    fn join(&self, member: Member) -> BoxFuture<'static, Result<Joined, Error>> {
        let nodes = self.clone();
        Box::pin(async move { nodes.join_now(&member).await })
    }

    fn beat(&self, member: Member, progress: Progress) -> BoxFuture<'static, Result<Beaten, Error>> {
        let nodes = self.clone();
        Box::pin(async move { nodes.beat_now(&member, &progress).await })
    }

    fn leave(&self, member: Member) -> BoxFuture<'static, Result<(), Error>> {
        let nodes = self.clone();
        Box::pin(async move { nodes.leave_now(&member).await })
    }

    fn list(&self) -> BoxFuture<'static, Result<Vec<NodeStatus>, Error>> {
        let nodes = self.clone();
        Box::pin(async move { nodes.nodes_now().await })
    }
}

impl fmt::Debug for SqliteNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteNodes").finish_non_exhaustive()
    }
}
