//! Completing: rows of a claim are done, have failed, are held longer, or are given back.

use std::collections::HashSet;
use std::time::Duration;

use larder_core::limits::{ERROR_TEXT_BYTES_MAX, cut_at_character};
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::super::{failed, signed};
use super::carry::Copied;
use super::stretch::{Stretch, Which};
use super::{
    ACKNOWLEDGED, DEAD, Known, NOT_HELD, NOW_MICROS, PENDING, Place, SqliteStore, THIS_DELIVERY, Tables,
    micros, of_delivery,
};
use crate::{Claim, Completed, Error, Failed, Next, RowId};

/// Where a row of a claim is.
enum Held {
    /// In this stretch of the log.
    InLog(usize),
    /// In the deliveries, or not with this claim any more.
    Apart,
    /// It never was.
    Unknown,
}

/// A claim whose rows are to be completed.
struct Completing<'a> {
    claim: &'a Claim,
    known: Known,
    ids: HashSet<RowId>,
    stretches: Vec<Stretch>,
    completed: Completed,
}

impl Completing<'_> {
    fn find(&self, id: RowId) -> Held {
        if !self.ids.contains(&id) {
            return Held::Unknown;
        }
        let place = Place::of(id);
        let at = self.stretches.iter().position(|stretch| stretch.has(place));
        match at.filter(|_| id.epoch().get() == self.known.epoch) {
            // A row that has failed has left its stretch for the deliveries, and may be held there by the claim that holds the rest of it.
            Some(at) if self.stretches[at].is_done(place) => Held::Apart,
            Some(at) => Held::InLog(at),
            None => Held::Apart,
        }
    }

    /// The row has left its stretch.
    fn leave(&mut self, at: usize, id: RowId) {
        let stretch = &mut self.stretches[at];
        stretch.done.insert(Place::of(id));
        stretch.rows_left = stretch.rows_left.saturating_sub(1);
        self.completed.done += 1;
    }

    fn count(&mut self, is_held: bool) {
        if is_held {
            self.completed.done += 1;
        } else {
            self.completed.lost += 1;
        }
    }
}

impl SqliteStore {
    pub(super) async fn acknowledge_now(&self, claim: &Claim, rows: &[RowId]) -> Result<Completed, Error> {
        let is_whole = claim.is_of_log && rows.len() == claim.rows().len();
        if is_whole && rows.iter().eq(claim.rows().iter().map(|row| &row.id)) {
            let done = self.acknowledge_whole(claim).await?;
            if done == rows.len() {
                return Ok(Completed {
                    done,
                    ..Completed::default()
                });
            }
            // The others may have been copied out of the log. Those that are done are told as lost by the search.
            let mut rest = self.acknowledge_each(claim, rows).await?;
            rest.lost -= done.min(rest.lost);
            rest.done += done;
            return Ok(rest);
        }
        if rows.is_empty() {
            return Ok(Completed::default());
        }
        self.acknowledge_each(claim, rows).await
    }

    /// One statement, which is a transaction of its own: a trigger does what there is to do beside. How many rows.
    async fn acknowledge_whole(&self, claim: &Claim) -> Result<usize, Error> {
        let p = self.names().prefix();
        let sql = format!(
            "UPDATE {p}claim SET acknowledged_at = {NOW_MICROS} \
             WHERE group_id = (SELECT id FROM {p}group WHERE name = ?1) AND lease = ?2 RETURNING rows_left"
        );
        let mut connection = super::super::acquire(self.outbox.pool()).await.map_err(failed)?;
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(claim.group())
            .bind(signed(claim.lease().number()))
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        let mut done = 0;
        for row in &rows {
            done += usize::try_from(row.try_get::<i64, _>(0).map_err(failed)?).unwrap_or(0);
        }
        Ok(done)
    }

    async fn completing<'a>(
        &self,
        connection: &mut SqliteConnection,
        claim: &'a Claim,
    ) -> Result<Completing<'a>, Error> {
        let known = self.known(&mut *connection, claim.group()).await?;
        let lease = signed(claim.lease().number());
        let stretches = self
            .tables()
            .stretches(connection, &known, Which::Of(lease))
            .await?;
        Ok(Completing {
            claim,
            known,
            ids: claim.rows().iter().map(|row| row.id).collect(),
            stretches,
            completed: Completed::default(),
        })
    }

    async fn acknowledge_each(&self, claim: &Claim, rows: &[RowId]) -> Result<Completed, Error> {
        let mut transaction = self.begin().await?;
        let mut completing = self.completing(&mut transaction, claim).await?;
        let tables = self.tables();
        for id in rows {
            match completing.find(*id) {
                Held::InLog(at) => {
                    if completing.known.keeps {
                        let (known, place) = (&completing.known, Place::of(*id));
                        tables
                            .copy(&mut transaction, known, place, &Copied::acknowledged())
                            .await?;
                    }
                    completing.leave(at, *id);
                }
                Held::Apart => {
                    let is_held = tables.delivery_done(&mut transaction, &completing, *id).await?;
                    completing.count(is_held);
                }
                Held::Unknown => completing.completed.unknown += 1,
            }
        }
        let p = self.names().prefix();
        if completing.completed.done > 0 {
            let sql = format!("UPDATE {p}group SET acknowledged_at = ?2 WHERE id = ?1");
            sqlx::query(AssertSqlSafe(sql))
                .bind(completing.known.id)
                .bind(completing.known.now)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        tables.write(&mut transaction, &completing).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(completing.completed)
    }

    pub(super) async fn fail_now(&self, claim: &Claim, rows: &[Failed]) -> Result<Completed, Error> {
        if rows.is_empty() {
            return Ok(Completed::default());
        }
        let mut transaction = self.begin().await?;
        let mut completing = self.completing(&mut transaction, claim).await?;
        let tables = self.tables();
        let mut dead = 0;
        for row in rows {
            let is_dead = row.next == Next::Dead;
            match completing.find(row.row) {
                Held::InLog(at) => {
                    let copied = Copied::failed(row);
                    let (known, place) = (&completing.known, Place::of(row.row));
                    tables.copy(&mut transaction, known, place, &copied).await?;
                    completing.leave(at, row.row);
                    dead += i64::from(is_dead);
                }
                Held::Apart => {
                    let is_held = tables.delivery_failed(&mut transaction, &completing, row).await?;
                    completing.count(is_held);
                    dead += i64::from(is_dead && is_held);
                }
                Held::Unknown => completing.completed.unknown += 1,
            }
        }
        let p = self.names().prefix();
        let sql = format!("UPDATE {p}group SET failed = failed + ?2, dead = dead + ?3 WHERE id = ?1");
        sqlx::query(AssertSqlSafe(sql))
            .bind(completing.known.id)
            .bind(i64::try_from(completing.completed.done).unwrap_or(i64::MAX))
            .bind(dead)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        tables.write(&mut transaction, &completing).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(completing.completed)
    }

    /// Holds what is left of a claim for this time; without one it is given back.
    pub(super) async fn hold_now(&self, claim: &Claim, time: Option<Duration>) -> Result<Completed, Error> {
        if claim.is_empty() {
            return Ok(Completed::default());
        }
        let p = self.names().prefix();
        let mut transaction = self.begin().await?;
        let known = self.known(&mut transaction, claim.group()).await?;
        let held = match time {
            Some(_) => "until = ?3",
            None => "until = 0, lease = 0, owner = NULL, claimed_at = NULL",
        };
        let until = known.now.saturating_add(time.map_or(0, micros));
        let mut completed = Completed::default();
        for sql in [
            format!(
                "UPDATE {p}claim SET {held} WHERE group_id = ?1 AND lease = ?2 AND ?3 = ?3 RETURNING rows_left"
            ),
            format!(
                "UPDATE {p}delivery SET {held} WHERE group_id = ?1 AND lease = ?2 AND state = {PENDING} AND ?3 = ?3 RETURNING 1"
            ),
        ] {
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(known.id)
                .bind(signed(claim.lease().number()))
                .bind(until)
                .fetch_all(&mut *transaction)
                .await
                .map_err(failed)?;
            for row in &rows {
                let rows: i64 = row.try_get(0).map_err(failed)?;
                completed.done += usize::try_from(rows).unwrap_or(0);
            }
        }
        transaction.commit().await.map_err(failed)?;
        completed.lost = claim.rows().len().saturating_sub(completed.done);
        Ok(completed)
    }
}

impl Tables<'_> {
    /// A delivery is done; whether it was still held.
    async fn delivery_done(
        self,
        connection: &mut SqliteConnection,
        completing: &Completing<'_>,
        id: RowId,
    ) -> Result<bool, Error> {
        let p = self.names.prefix();
        let held = format!("{THIS_DELIVERY} AND lease = ?5 AND state = {PENDING}");
        let sql = if completing.known.keeps {
            format!(
                "UPDATE {p}delivery SET state = {ACKNOWLEDGED}, acknowledged_at = ?6, last_error = NULL, {NOT_HELD} {held}"
            )
        } else {
            format!("DELETE FROM {p}delivery {held} AND ?6 = ?6")
        };
        let done = of_delivery(sql, &completing.known, id)
            .bind(signed(completing.claim.lease().number()))
            .bind(completing.known.now)
            .execute(connection)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    /// A delivery has failed again; whether it was still held.
    async fn delivery_failed(
        self,
        connection: &mut SqliteConnection,
        completing: &Completing<'_>,
        row: &Failed,
    ) -> Result<bool, Error> {
        let copied = Copied::failed(row);
        let sql = format!(
            "UPDATE {}delivery SET state = ?6, attempts = attempts + 1, available_at = ?7, last_error = ?8, {NOT_HELD} \
             {THIS_DELIVERY} AND lease = ?5 AND state = {PENDING}",
            self.names.prefix()
        );
        let done = of_delivery(sql, &completing.known, row.row)
            .bind(signed(completing.claim.lease().number()))
            .bind(copied.state)
            .bind(completing.known.now.saturating_add(copied.available_in))
            .bind(copied.error)
            .execute(connection)
            .await
            .map_err(failed)?;
        Ok(done.rows_affected() > 0)
    }

    /// Writes what is left of the claim's stretches.
    async fn write(
        self,
        connection: &mut SqliteConnection,
        completing: &Completing<'_>,
    ) -> Result<(), Error> {
        for stretch in &completing.stretches {
            self.keep(connection, &completing.known, stretch).await?;
        }
        Ok(())
    }
}

impl<'a> Copied<'a> {
    /// A row that has failed.
    fn failed(row: &'a Failed) -> Self {
        let (state, after) = match row.next {
            Next::Retry(after) => (PENDING, after),
            Next::Dead => (DEAD, Duration::ZERO),
        };
        Copied {
            state,
            attempts: 1,
            available_in: micros(after),
            error: Some(cut_at_character(&row.error, ERROR_TEXT_BYTES_MAX)),
            held: None,
        }
    }
}
