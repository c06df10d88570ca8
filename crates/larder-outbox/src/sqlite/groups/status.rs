//! What a group has yet to do: counted from where it has come to, so that what is done costs nothing.

use std::time::Duration;

use larder_core::{Cursor, Namespace, Requirement, Timestamp, Token};
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::super::{failed, schema, signed};
use super::stretch::{Which, place_of};
use super::{DEAD, Known, PENDING, Place, SqliteStore, Tables, is_its};
use crate::limits::COUNT_MAX;
use crate::row::Read;
use crate::{Behind, Count, Error, OutboxStatus, TokenStatus};

/// Which rows are counted.
struct Rows {
    /// A condition on a row of the log or of the deliveries.
    sql: String,
    namespace: Option<String>,
}

/// What was counted, no further than one beyond the limit.
#[derive(Default)]
struct Counted {
    pending: u64,
    dead: u64,
    oldest: Option<i64>,
}

impl Rows {
    fn all(namespace: Option<&Namespace>) -> Self {
        Rows {
            sql: "(?3 IS NULL OR namespace = ?3)".to_owned(),
            namespace: namespace.map(|namespace| namespace.as_str().to_owned()),
        }
    }

    /// The rows of the commits that a token names.
    fn of(requirement: &Requirement) -> Self {
        let list = |positions: &[larder_core::Position]| {
            let numbers: Vec<String> = positions.iter().map(|at| signed(at.get()).to_string()).collect();
            numbers.join(", ")
        };
        let below = i64::try_from(requirement.below().get()).unwrap_or(i64::MAX);
        Rows {
            sql: format!(
                "(?3 IS NULL AND ((position < {below} AND position NOT IN ({})) OR position IN ({})))",
                list(requirement.except()),
                list(requirement.singles())
            ),
            namespace: None,
        }
    }
}

impl Counted {
    fn add(&mut self, recorded_at: i64) {
        self.pending += 1;
        self.oldest = Some(self.oldest.map_or(recorded_at, |oldest| oldest.min(recorded_at)));
    }

    fn is_full(&self) -> bool {
        self.pending > COUNT_MAX
    }
}

impl SqliteStore {
    pub(super) async fn groups_now(&self) -> Result<Vec<String>, Error> {
        let sql = format!("SELECT name FROM {}group ORDER BY name", self.names().prefix());
        let mut snapshot = self.look().await?;
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&mut *snapshot)
            .await
            .map_err(failed)
    }

    pub(super) async fn behind_now(&self, cursor: &Cursor) -> Result<Behind, Error> {
        let mut snapshot = self.look().await?;
        let meta = schema::meta(&mut snapshot, self.names()).await?;
        let next = cursor.horizon().get();
        let is_here = (cursor.source().get(), cursor.epoch().get()) == (meta.source, meta.epoch);
        if !is_here || next < meta.floor || next > meta.position.saturating_add(1) {
            return Ok(Behind::cut_off());
        }
        let sql = format!(
            "SELECT count(*), min(recorded_at) FROM (SELECT CAST(recorded_at AS INTEGER) AS recorded_at FROM {}log \
             WHERE position >= ?1 ORDER BY position LIMIT {})",
            self.names().prefix(),
            COUNT_MAX + 1
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(signed(next))
            .fetch_one(&mut *snapshot)
            .await
            .map_err(failed)?;
        let rows = u64::try_from(row.try_get::<i64, _>(0).map_err(failed)?).unwrap_or(0);
        let oldest: Option<i64> = row.try_get(1).map_err(failed)?;
        let age = oldest.map_or(0, |oldest| meta.now.saturating_sub(oldest).max(0));
        let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
        Ok(Behind::of(Count::up_to(rows, COUNT_MAX), age))
    }

    pub(super) async fn status_now(
        &self,
        group: &str,
        namespace: Option<&Namespace>,
    ) -> Result<OutboxStatus, Error> {
        let mut snapshot = self.look().await?;
        let known = self.known(&mut snapshot, group).await?;
        let rows = Rows::all(namespace);
        let epoch = None;
        let mut counted = self
            .tables()
            .delivered(&mut snapshot, &known, epoch, &rows)
            .await?;
        self.tables()
            .in_log(&mut snapshot, &known, &rows, &mut counted)
            .await?;
        let age = counted
            .oldest
            .map_or(0, |oldest| known.now.saturating_sub(oldest).max(0));
        Ok(OutboxStatus {
            pending: Count::up_to(counted.pending, COUNT_MAX),
            oldest_pending: Duration::from_micros(u64::try_from(age).unwrap_or(0)),
            dead_lettered: Count::up_to(counted.dead, COUNT_MAX),
            acknowledged_at: known.acknowledged_at.map(Timestamp::from_micros),
            failed_attempts: known.failed,
            is_full: known.dead >= known.dead_max,
        })
    }

    /// One snapshot for all of them.
    pub(super) async fn statuses_of_now(
        &self,
        group: &str,
        tokens: &[Token],
    ) -> Result<Vec<TokenStatus>, Error> {
        let mut snapshot = self.look().await?;
        let known = self.known(&mut snapshot, group).await?;
        let meta = schema::meta(&mut snapshot, self.names()).await?;
        let mut statuses = Vec::with_capacity(tokens.len());
        for token in tokens {
            statuses.push(self.status_of_one(&mut snapshot, &known, &meta, token).await?);
        }
        Ok(statuses)
    }

    async fn status_of_one(
        &self,
        snapshot: &mut SqliteConnection,
        known: &Known,
        meta: &schema::Meta,
        token: &Token,
    ) -> Result<TokenStatus, Error> {
        let (mut pending, mut dead, mut unknown) = (0_u64, 0_u64, token.is_origin_only());
        for requirement in token.requirements() {
            let epoch = requirement.epoch().get();
            let is_now = epoch == meta.epoch;
            if requirement.source().get() != meta.source || !(is_now || meta.former.contains(&epoch)) {
                unknown = true;
                continue;
            }
            let rows = Rows::of(requirement);
            let tables = self.tables();
            let mut counted = tables
                .delivered(&mut *snapshot, known, Some(epoch), &rows)
                .await?;
            if is_now {
                tables.in_log(&mut *snapshot, known, &rows, &mut counted).await?;
                // What has not been given out yet may still come.
                let yet = |position: &&larder_core::Position| position.get() > meta.position;
                let singles = requirement.singles().iter().filter(yet).count();
                let below = requirement
                    .below()
                    .get()
                    .saturating_sub(meta.position.saturating_add(1));
                counted.pending += u64::try_from(singles).unwrap_or(0).saturating_add(below);
            }
            pending = pending.saturating_add(counted.pending);
            dead = dead.saturating_add(counted.dead);
        }
        let mut status = TokenStatus::of(Count::up_to(pending, COUNT_MAX), Count::up_to(dead, COUNT_MAX));
        status.unknown = unknown;
        Ok(status)
    }
}

impl Tables<'_> {
    /// Counts rows that have left the log, of one epoch or of all.
    async fn delivered(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        epoch: Option<u64>,
        rows: &Rows,
    ) -> Result<Counted, Error> {
        let mut counted = Counted::default();
        for state in [PENDING, DEAD] {
            let sql = format!(
                "SELECT count(*), min(recorded_at) FROM (SELECT CAST(recorded_at AS INTEGER) AS recorded_at FROM {}delivery \
                 WHERE group_id = ?1 AND state = {state} AND (?2 IS NULL OR epoch = ?2 OR carried) AND {} LIMIT {})",
                self.names.prefix(),
                rows.sql,
                COUNT_MAX + 1
            );
            let row = sqlx::query(AssertSqlSafe(sql))
                .persistent(rows.namespace.is_some())
                .bind(known.id)
                .bind(epoch.map(signed))
                .bind(rows.namespace.as_deref())
                .fetch_one(&mut *connection)
                .await
                .map_err(failed)?;
            let count = u64::try_from(row.try_get::<i64, _>(0).map_err(failed)?).unwrap_or(0);
            if state == DEAD {
                counted.dead = count;
            } else {
                counted.pending = count;
                counted.oldest = row.try_get(1).map_err(failed)?;
            }
        }
        Ok(counted)
    }

    /// Counts rows that are still in the log: those of open claims, and those that nobody has had.
    async fn in_log(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        rows: &Rows,
        counted: &mut Counted,
    ) -> Result<(), Error> {
        let mut next = known.next;
        for stretch in self.stretches(connection, known, Which::All).await? {
            next = next.max(stretch.to);
            if counted.is_full() {
                continue;
            }
            for row in self
                .matching(connection, known, (stretch.from, stretch.to), rows)
                .await?
            {
                if !stretch.is_done(place_of(&row)) {
                    counted.add(row.recorded_at);
                }
            }
        }
        let head = Place::before(known.position.saturating_add(1));
        let sql = format!(
            "SELECT count(*), min(recorded_at) FROM (SELECT CAST(recorded_at AS INTEGER) AS recorded_at FROM {}log \
             WHERE position >= ?1 AND (position > ?1 OR ordinal >= ?4) AND position < ?5 AND {} AND {} LIMIT {})",
            self.names.prefix(),
            is_its("?2"),
            rows.sql,
            COUNT_MAX + 1
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .persistent(rows.namespace.is_some())
            .bind(next.position)
            .bind(known.namespaces.as_deref())
            .bind(rows.namespace.as_deref())
            .bind(next.ordinal)
            .bind(head.position)
            .fetch_one(connection)
            .await
            .map_err(failed)?;
        counted.pending += u64::try_from(row.try_get::<i64, _>(0).map_err(failed)?).unwrap_or(0);
        let oldest: Option<i64> = row.try_get(1).map_err(failed)?;
        counted.oldest = counted.oldest.into_iter().chain(oldest).min();
        Ok(())
    }

    /// Rows of a stretch that are counted.
    async fn matching(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        (from, to): (Place, Place),
        rows: &Rows,
    ) -> Result<Vec<Read>, Error> {
        let sql = format!(
            "SELECT position, ordinal, CAST(recorded_at AS INTEGER) FROM {}log WHERE position >= ?1 \
             AND (position > ?1 OR ordinal >= ?4) AND position <= ?5 AND (position < ?5 OR ordinal < ?6) AND {} AND {}",
            self.names.prefix(),
            is_its("?2"),
            rows.sql
        );
        let found = sqlx::query(AssertSqlSafe(sql))
            .persistent(rows.namespace.is_some())
            .bind(from.position)
            .bind(known.namespaces.as_deref())
            .bind(rows.namespace.as_deref())
            .bind(from.ordinal)
            .bind(to.position)
            .bind(to.ordinal)
            .fetch_all(connection)
            .await
            .map_err(failed)?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            Ok(Read {
                position: super::super::unsigned(row.try_get(0)?),
                ordinal: row.try_get(1)?,
                recorded_at: row.try_get(2)?,
                ..Read::default()
            })
        };
        found
            .iter()
            .map(read)
            .collect::<Result<_, sqlx::Error>>()
            .map_err(failed)
    }
}
