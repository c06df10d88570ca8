//! Rows of a group by their state, and what becomes of dead letters.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::super::source::select_of;
use super::super::{failed, signed};
use super::stretch::Which;
use super::{
    ACKNOWLEDGED, DEAD, Known, NOT_HELD, OF_DELIVERY, PENDING, Place, SqliteStore, THIS_DELIVERY, Tables,
    delivery, of_delivery,
};
use crate::limits::PAGE_ROWS_MAX;
use crate::{DeadLetters, Error, OutboxRow, RowId, RowState};

/// What is to become of dead letters.
#[derive(Clone, Copy)]
enum Fate {
    Pending,
    Gone,
}

impl SqliteStore {
    pub(super) async fn rows_now(
        &self,
        group: &str,
        state: RowState,
        after: Option<RowId>,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, Error> {
        let limit = limit.min(PAGE_ROWS_MAX);
        let mut snapshot = self.look().await?;
        let known = self.known(&mut snapshot, group).await?;
        let number = match state {
            RowState::Pending => PENDING,
            RowState::Acknowledged => ACKNOWLEDGED,
            RowState::Dead => DEAD,
        };
        let tables = self.tables();
        let mut rows = tables
            .deliveries(&mut snapshot, &known, number, after, limit)
            .await?;
        if state == RowState::Pending {
            rows.extend(tables.pending_in_log(&mut snapshot, &known, after, limit).await?);
        }
        rows.sort_by_key(|row| key(row.id));
        rows.truncate(limit);
        Ok(rows)
    }

    pub(super) async fn reset_now(&self, which: &DeadLetters) -> Result<u64, Error> {
        self.each_dead(which, Fate::Pending).await
    }

    pub(super) async fn discard_now(&self, which: &DeadLetters, reason: &str) -> Result<u64, Error> {
        let rows = self.each_dead(which, Fate::Gone).await?;
        if rows > 0 {
            tracing::warn!(
                rows,
                reason,
                group = which.its_group(),
                "dead letters were discarded"
            );
        }
        Ok(rows)
    }

    /// A page in each transaction, so that others may write in between.
    async fn each_dead(&self, which: &DeadLetters, fate: Fate) -> Result<u64, Error> {
        let mut groups = Vec::new();
        match which.its_group() {
            Some(group) => groups.push(group.to_owned()),
            None => {
                let sql = format!("SELECT name FROM {}group ORDER BY id", self.names().prefix());
                let mut snapshot = self.look().await?;
                let names = sqlx::query_scalar(AssertSqlSafe(sql))
                    .fetch_all(&mut *snapshot)
                    .await;
                groups = names.map_err(failed)?;
            }
        }
        let mut ended = 0;
        for group in groups {
            let mut after = None;
            loop {
                let mut transaction = self.begin().await?;
                let known = self.known(&mut transaction, &group).await?;
                let tables = self.tables();
                let page = tables
                    .deliveries(&mut transaction, &known, DEAD, after, PAGE_ROWS_MAX)
                    .await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                let mut of_page = 0;
                for row in page.iter().filter(|row| which.fits(row)) {
                    tables.end(&mut transaction, &known, row.id, fate).await?;
                    of_page += 1;
                }
                if of_page > 0 {
                    tables.count_dead(&mut transaction, &known, -of_page).await?;
                    transaction.commit().await.map_err(failed)?;
                }
                ended += u64::try_from(of_page).unwrap_or(0);
            }
        }
        Ok(ended)
    }
}

impl Tables<'_> {
    async fn deliveries(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        state: i64,
        after: Option<RowId>,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, Error> {
        let (epoch, position, ordinal) = after.map_or((i64::MIN, i64::MIN, i64::MIN), key);
        let sql = format!(
            "{} WHERE log.group_id = ?1 AND state = ?2 AND (epoch, position, ordinal) > (?3, ?4, ?5) \
             ORDER BY epoch, position, ordinal LIMIT ?6",
            select_of(self.names, "delivery", OF_DELIVERY)
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(known.id)
            .bind(state)
            .bind(epoch)
            .bind(position)
            .bind(ordinal)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(connection)
            .await
            .map_err(failed)?;
        rows.iter().map(|row| Ok(delivery(row)?.0)).collect()
    }

    /// Rows of the log that the group has yet to do.
    async fn pending_in_log(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        after: Option<RowId>,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, Error> {
        let epoch = larder_core::Epoch::new(known.epoch);
        let from = match after {
            Some(after) if signed(after.epoch().get()) > signed(known.epoch) => return Ok(Vec::new()),
            Some(after) if after.epoch() == epoch => Place::of(after).after(),
            _ => Place::before(0),
        };
        let mut rows = Vec::new();
        let mut next = known.next;
        for stretch in self.stretches(connection, known, Which::All).await? {
            next = next.max(stretch.to);
            let start = stretch.from.max(from);
            if start >= stretch.to || rows.len() >= limit {
                continue;
            }
            for row in self
                .rows_between(connection, known, (start, stretch.to), usize::MAX)
                .await?
            {
                let mut row = row.outbox_row(epoch).0;
                if stretch.is_done(Place::of(row.id)) {
                    continue;
                }
                row.owner = stretch.owner.as_deref().map(Arc::from);
                row.claimed_at = stretch.claimed_at.map(larder_core::Timestamp::from_micros);
                let until = larder_core::Timestamp::from_micros(stretch.until);
                let number = super::super::unsigned(stretch.lease);
                row.lease = stretch.owner.is_some().then(|| crate::Lease::new(number, until));
                rows.push(row);
            }
        }
        let head = Place::before(known.position.saturating_add(1));
        let rest = limit.saturating_sub(rows.len());
        let fresh = self
            .rows_between(connection, known, (next.max(from), head), rest)
            .await?;
        rows.extend(fresh.iter().map(|row| row.outbox_row(epoch).0));
        Ok(rows)
    }

    async fn end(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        id: RowId,
        fate: Fate,
    ) -> Result<(), Error> {
        let p = self.names.prefix();
        let sql = match fate {
            Fate::Gone => format!("DELETE FROM {p}delivery {THIS_DELIVERY} AND ?5 = ?5"),
            Fate::Pending => format!(
                "UPDATE {p}delivery SET state = {PENDING}, attempts = 0, available_at = ?5, last_error = NULL, {NOT_HELD} \
                 {THIS_DELIVERY}"
            ),
        };
        of_delivery(sql, known, id)
            .bind(known.now)
            .execute(connection)
            .await
            .map(drop)
            .map_err(failed)
    }
}

/// The order of rows in the tables.
fn key(id: RowId) -> (i64, i64, i64) {
    let numbers = [id.epoch().get(), id.position().get(), id.ordinal()].map(signed);
    (numbers[0], numbers[1], numbers[2])
}
