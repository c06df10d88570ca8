//! What a group has yet to do of rows that leave the log: they are copied to its deliveries first.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::super::failed;
use super::stretch::{Stretch, Which, place_of};
use super::{ACKNOWLEDGED, DEAD, Known, PENDING, Place, THIS_DELIVERY, Tables, is_its, micros};
use crate::Error;
use crate::names::Names;

/// What a copy begins as.
pub(super) struct Copied<'a> {
    pub(super) state: i64,
    pub(super) attempts: i64,
    /// Microseconds from now.
    pub(super) available_in: i64,
    pub(super) error: Option<&'a str>,
    /// Who holds it on.
    pub(super) held: Option<&'a Stretch>,
}

impl<'a> Copied<'a> {
    pub(super) fn dead(error: &'a str) -> Self {
        Copied {
            state: DEAD,
            error: Some(error),
            ..Copied::pending(None)
        }
    }

    pub(super) fn acknowledged() -> Self {
        Copied {
            state: ACKNOWLEDGED,
            ..Copied::pending(None)
        }
    }

    fn pending(held: Option<&'a Stretch>) -> Self {
        Copied {
            state: PENDING,
            attempts: 0,
            available_in: 0,
            error: None,
            held,
        }
    }
}

/// Which rows of the log are copied, and under which epoch.
struct Copying {
    from: Place,
    to: Place,
    epoch: u64,
    namespaces: Option<String>,
    /// Into a later epoch than that in which they were recorded.
    carried: bool,
}

impl Tables<'_> {
    /// Copies a row of the log.
    pub(super) async fn copy(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        place: Place,
        copied: &Copied<'_>,
    ) -> Result<(), Error> {
        let copying = Copying {
            from: place,
            to: place.after(),
            epoch: known.epoch,
            namespaces: None,
            carried: false,
        };
        self.copy_all(connection, known, &copying, copied).await
    }

    async fn copy_all(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        copying: &Copying,
        copied: &Copied<'_>,
    ) -> Result<(), Error> {
        let p = self.names.prefix();
        let sql = format!(
            "INSERT INTO {p}delivery (group_id, epoch, position, ordinal, kind, namespace, name, id, reason, origin, \
             recorded_at, long_id, state, attempts, available_at, last_error, lease, owner, claimed_at, until, \
             acknowledged_at, carried) \
             SELECT ?1, ?2, position, ordinal, kind, namespace, name, id, reason, origin, recorded_at, long_id, \
             ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12 FROM {p}log \
             WHERE position >= ?13 AND (position > ?13 OR ordinal >= ?14) AND position <= ?15 \
             AND (position < ?15 OR ordinal < ?16) AND {} ON CONFLICT DO NOTHING",
            is_its("?17")
        );
        let held = copied.held;
        sqlx::query(AssertSqlSafe(sql))
            .bind(known.id)
            .bind(super::super::signed(copying.epoch))
            .bind(copied.state)
            .bind(copied.attempts)
            .bind(known.now.saturating_add(copied.available_in))
            .bind(copied.error)
            .bind(held.map(|held| held.lease))
            .bind(held.and_then(|held| held.owner.as_deref()))
            .bind(held.and_then(|held| held.claimed_at))
            .bind(held.map(|held| held.until))
            .bind((copied.state == ACKNOWLEDGED).then_some(known.now))
            .bind(copying.carried)
            .bind(copying.from.position)
            .bind(copying.from.ordinal)
            .bind(copying.to.position)
            .bind(copying.to.ordinal)
            .bind(copying.namespaces.as_deref())
            .execute(connection)
            .await
            .map(drop)
            .map_err(failed)
    }

    /// Copies the rows of the log between two places that nobody has had; into a new epoch, if there is to be one: if the log was put back to an older copy of
    /// itself, rows that were given out before may have had the ids that they have now.
    async fn copy_fresh(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        (from, to): (Place, Place),
        new_epoch: Option<u64>,
    ) -> Result<(), Error> {
        let copying = Copying {
            from,
            to,
            epoch: new_epoch.unwrap_or(known.epoch),
            namespaces: known.namespaces.clone(),
            carried: new_epoch.is_some(),
        };
        self.copy_all(connection, known, &copying, &Copied::pending(None))
            .await
    }

    /// What a group has yet to do of the rows before a place.
    async fn carry(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        to: Place,
        new_epoch: Option<u64>,
    ) -> Result<(), Error> {
        let stretches = self.stretches(connection, known, Which::All).await?;
        // Rows between the stretches are done, or copied already.
        let taken = stretches.iter().map(|stretch| stretch.to).max();
        let fresh = taken.map_or(known.next, |taken| taken.max(known.next));
        for stretch in stretches.iter().filter(|stretch| stretch.from < to) {
            let rows = self.left_of(connection, known, stretch).await?;
            let (before, after): (Vec<_>, Vec<_>) = rows.iter().partition(|row| place_of(row) < to);
            for row in before {
                let copied = Copied::pending(Some(stretch));
                self.copy(connection, known, place_of(row), &copied).await?;
            }
            let mut rest = stretch.clone();
            rest.rows_left = i64::try_from(after.len()).unwrap_or(i64::MAX);
            if after.is_empty() {
                self.keep(connection, known, &rest).await?;
            } else {
                rest.done.retain(|place| *place >= to);
                self.cut(
                    connection,
                    known,
                    &Stretch {
                        from: stretch.from,
                        ..rest
                    },
                    to,
                )
                .await?;
            }
        }
        if fresh < to {
            self.copy_fresh(connection, known, (fresh, to), new_epoch).await?;
            self.come_to(connection, known, to).await?;
        }
        Ok(())
    }
}

/// Copies what each group has yet to do of the rows before a place, which are about to be removed.
pub(in crate::sqlite) async fn carry_over(
    connection: &mut SqliteConnection,
    names: &Names,
    (position, ordinal): (i64, i64),
) -> Result<(), Error> {
    let tables = Tables { names };
    for known in tables.known(connection, None).await? {
        tables
            .carry(connection, &known, Place { position, ordinal }, None)
            .await?;
    }
    Ok(())
}

/// Copies all that each group has yet to do, since a new epoch begins.
pub(in crate::sqlite) async fn carry_into(
    connection: &mut SqliteConnection,
    names: &Names,
    new_epoch: u64,
) -> Result<(), Error> {
    let tables = Tables { names };
    for known in tables.known(connection, None).await? {
        let end = Place::before(known.position.saturating_add(1));
        tables.carry(connection, &known, end, Some(new_epoch)).await?;
    }
    Ok(())
}

/// Before which position and ordinal every group has acknowledged everything; none if there is no group.
pub(in crate::sqlite) async fn everything_acknowledged_before(
    connection: &mut SqliteConnection,
    names: &Names,
) -> Result<Option<(i64, i64)>, Error> {
    let p = names.prefix();
    let sql = format!(
        "SELECT next_position AS position, next_ordinal AS ordinal FROM {p}group \
         UNION ALL SELECT from_position, from_ordinal FROM {p}claim ORDER BY position, ordinal LIMIT 1"
    );
    sqlx::query_as(AssertSqlSafe(sql))
        .fetch_optional(connection)
        .await
        .map_err(failed)
}

/// Names of the groups that have yet to do rows below a position.
pub(in crate::sqlite) async fn groups_behind(
    connection: &mut SqliteConnection,
    names: &Names,
    position: i64,
) -> Result<Vec<String>, Error> {
    let p = names.prefix();
    let sql = format!(
        "SELECT name FROM {p}group AS its WHERE (next_position < ?1 \
         AND EXISTS (SELECT 1 FROM {p}log WHERE position >= its.next_position AND position < ?1)) \
         OR EXISTS (SELECT 1 FROM {p}claim WHERE group_id = its.id AND from_position < ?1) ORDER BY name"
    );
    sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(position)
        .fetch_all(connection)
        .await
        .map_err(failed)
}

impl Tables<'_> {
    /// One row of everything for all that a group was not given, unless there is one that nobody has been handed yet. Its id is one that no row has had: whoever
    /// knows the rows that it stands for must not take it for one of them.
    async fn stand_in(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        epoch: i64,
        position: i64,
    ) -> Result<(), Error> {
        let p = self.names.prefix();
        let sql = format!(
            "INSERT INTO {p}delivery (group_id, epoch, position, ordinal, kind, namespace, name, id, reason, recorded_at, \
             state, attempts, available_at) \
             SELECT ?1, ?2, ?3, ?4, 7, 'default', '', x'', 'rows were kept for too long', ?5, {PENDING}, 0, ?5 \
             WHERE NOT EXISTS (SELECT 1 FROM {p}delivery WHERE group_id = ?1 AND state = {PENDING} AND kind = 7 \
             AND ordinal >= {STAND_IN} AND lease IS NULL AND attempts = 0) ON CONFLICT DO NOTHING"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(known.id)
            .bind(epoch)
            .bind(position)
            .bind(STAND_IN.saturating_add(known.now))
            .bind(known.now)
            .execute(connection)
            .await
            .map(drop)
            .map_err(failed)
    }
}

/// Ordinals from here on are of rows that stand for others: the time is added to it.
const STAND_IN: i64 = 1 << 62;

/// Gives up deliveries that have waited for longer than this: in place of all those of a group it gets one row of everything. How many
/// were given up. Rows that are done are not kept for longer than the group says.
pub(in crate::sqlite) async fn give_up_old(
    connection: &mut SqliteConnection,
    names: &Names,
    age: Duration,
    limit: i64,
) -> Result<u64, Error> {
    let p = names.prefix();
    let tables = Tables { names };
    let mut given_up = 0;
    for known in tables.known(connection, None).await? {
        let kept = format!(
            "DELETE FROM {p}delivery WHERE (group_id, epoch, position, ordinal) IN (SELECT group_id, epoch, position, ordinal \
             FROM {p}delivery WHERE group_id = ?1 AND state = {ACKNOWLEDGED} \
             AND acknowledged_at <= ?2 - (SELECT keep_micros FROM {p}group WHERE id = ?1) LIMIT ?3)"
        );
        sqlx::query(AssertSqlSafe(kept))
            .bind(known.id)
            .bind(known.now)
            .bind(limit)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        let old = format!(
            "SELECT epoch, position, ordinal FROM {p}delivery WHERE group_id = ?1 AND state = {PENDING} \
             AND recorded_at < ?2 AND kind <> 7 ORDER BY epoch, position, ordinal LIMIT ?3"
        );
        let rows = sqlx::query(AssertSqlSafe(old))
            .bind(known.id)
            .bind(known.now.saturating_sub(micros(age)))
            .bind(limit)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        let gone = format!("DELETE FROM {p}delivery {THIS_DELIVERY}");
        let mut newest = None;
        for row in &rows {
            let number = |at: usize| row.try_get::<i64, _>(at).map_err(failed);
            let (epoch, position, ordinal) = (number(0)?, number(1)?, number(2)?);
            newest = Some((epoch, position));
            sqlx::query(AssertSqlSafe(gone.clone()))
                .bind(known.id)
                .bind(epoch)
                .bind(position)
                .bind(ordinal)
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
        }
        if let Some((epoch, position)) = newest {
            tables.stand_in(connection, &known, epoch, position).await?;
        }
        if !rows.is_empty() {
            tracing::warn!(
                group = known.id,
                rows = rows.len(),
                "rows of a group were given up: everything is delivered in their place"
            );
        }
        given_up += u64::try_from(rows.len()).unwrap_or(0);
    }
    Ok(given_up)
}
