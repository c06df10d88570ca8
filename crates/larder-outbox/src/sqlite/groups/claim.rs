//! Claiming: what has been given back or run out first, then rows that failed and are due, then rows that nobody has had.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use larder_core::{Epoch, Timestamp};
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::super::epoch::renew_in;
use super::super::schema::NOW_MICROS;
use super::super::source::select_of;
use super::super::{failed, signed};
use super::carry::Copied;
use super::stretch::{Stretch, Which, place_of};
use super::{
    DEAD, Given, KNOWN_COLUMNS, Known, NOT_HELD, OF_DELIVERY, PENDING, Place, SqliteStore, THIS_DELIVERY,
    Tables, delivery, known, of_delivery, of_known,
};
use crate::limits::ROWS_PASSED_MAX;
use crate::row::Read;
use crate::store::check_claim;
use crate::{Claim, Error, Lease, OutboxRow, RowState};

/// A claim on its way.
struct Claiming {
    known: Known,
    owner: Arc<str>,
    lease: Lease,
    rows: Vec<OutboxRow>,
    /// Of these, rows that were read from the log.
    of_log: usize,
    unreadable: usize,
}

/// What there is to claim.
struct Look {
    has_expired: bool,
    has_due: bool,
    /// Where rows begin that are in no claim and never were in one.
    start: Place,
    /// What this group was given is not what lies there now: the file is an older copy of itself.
    was_put_back: bool,
}

/// What a look at the log has found.
struct Fresh {
    rows: Vec<Read>,
    /// Where the look ended, if that is not behind the last of the rows.
    end: Option<Place>,
}

impl SqliteStore {
    pub(super) async fn claim_now(
        &self,
        group: &str,
        owner: &str,
        limit: usize,
        time: Duration,
    ) -> Result<Claim, Error> {
        if limit == 0 {
            return Ok(Claim::empty(group, owner));
        }
        check_claim(owner, limit, time)?;
        let mut unreadable = 0;
        loop {
            let (mut claiming, has_moved) = self.claim_once(group, owner, limit, time).await?;
            unreadable += claiming.unreadable;
            if claiming.rows.is_empty() && has_moved {
                continue;
            }
            let is_of_log = claiming.of_log == claiming.rows.len() && !claiming.known.keeps;
            let rows = std::mem::take(&mut claiming.rows);
            let mut claim = Claim::new(group, owner, claiming.lease, rows).with_dead_lettered(unreadable);
            claim.is_of_log = is_of_log;
            return Ok(claim);
        }
    }

    /// One transaction; and whether the group has come further, though perhaps past no row of its own.
    async fn claim_once(
        &self,
        group: &str,
        owner: &str,
        limit: usize,
        time: Duration,
    ) -> Result<(Claiming, bool), Error> {
        let mut transaction = self.begin().await?;
        let given = self.given.lock().get(group).copied();
        let (known, look) = self.look_for(&mut transaction, group, given).await?;
        if known.dead >= known.dead_max {
            return Err(Error::DeadLettersFull {
                group: group.to_owned(),
                dead: known.dead,
            });
        }
        let until = Timestamp::from_micros(known.now).saturating_add(time);
        let number = self.outbox.entropy().next_u64();
        let mut claiming = Claiming {
            known,
            owner: Arc::from(owner),
            lease: Lease::new(number, until),
            rows: Vec::new(),
            of_log: 0,
            unreadable: 0,
        };
        if look.was_put_back {
            // What was given out before must not be taken for what comes now.
            let epoch = Epoch::new(claiming.known.epoch);
            renew_in(&mut transaction, self.names(), epoch, self.outbox.entropy()).await?;
            transaction.commit().await.map_err(failed)?;
            self.given.lock().remove(group);
            return Ok((claiming, true));
        }
        let mut left = limit;
        if look.has_expired {
            left = self.take_over(&mut transaction, &mut claiming, limit).await?;
        }
        let mut fresh = Fresh {
            rows: Vec::new(),
            end: None,
        };
        if left > 0 {
            fresh = self
                .fresh(&mut transaction, &claiming.known, look.start, left)
                .await?;
            // Retries leave half of the room to rows that nobody has had.
            let room = left - fresh.rows.len().min(left / 2);
            if look.has_due {
                left -= self.take_due(&mut transaction, &mut claiming, room).await?;
            }
        }
        let has_moved = self
            .take_fresh(&mut transaction, &mut claiming, fresh, left)
            .await?;
        if has_moved || !claiming.rows.is_empty() || claiming.unreadable > 0 {
            transaction.commit().await.map_err(failed)?;
        }
        let has_moved = has_moved || claiming.unreadable > 0;
        let is_of_now = |row: &&OutboxRow| row.attempts == 0 && row.id.epoch().get() == claiming.known.epoch;
        let newest = claiming
            .rows
            .iter()
            .filter(is_of_now)
            .max_by_key(|row| Place::of(row.id));
        if let Some(row) = newest {
            let given = Given {
                epoch: row.id.epoch().get(),
                place: Place::of(row.id),
                recorded_at: row.recorded_at.as_micros(),
            };
            self.given.lock().insert(group.to_owned(), given);
        }
        Ok((claiming, has_moved))
    }

    /// What is known of a group, and what there is for it to claim: in one statement.
    async fn look_for(
        &self,
        connection: &mut SqliteConnection,
        group: &str,
        given: Option<Given>,
    ) -> Result<(Known, Look), Error> {
        let p = self.names().prefix();
        let of_claims = format!("FROM {p}claim WHERE group_id = its.id");
        let last = format!("{of_claims} ORDER BY to_position DESC, to_ordinal DESC LIMIT 1");
        let sql = format!(
            "SELECT {}, EXISTS (SELECT 1 {of_claims} AND until <= {NOW_MICROS}), EXISTS (SELECT 1 FROM {p}delivery \
             WHERE group_id = its.id AND state = {PENDING} AND available_at <= {NOW_MICROS}), \
             (SELECT to_position {last}), (SELECT to_ordinal {last}), \
             (SELECT CAST(recorded_at AS INTEGER) FROM {p}log WHERE position = ?2 AND ordinal = ?3) \
             FROM {p}group AS its WHERE name = ?1",
            of_known(self.names())
        );
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(group)
            .bind(given.map(|given| given.place.position))
            .bind(given.map(|given| given.place.ordinal))
            .fetch_optional(connection)
            .await
            .map_err(failed)?;
        let known = self.own(row.as_ref().map(known).transpose()?, group)?;
        let row = row.ok_or(Error::Damaged)?;
        let number = |at: usize| row.try_get::<Option<i64>, _>(KNOWN_COLUMNS + at).map_err(failed);
        let end = number(2)?.zip(number(3)?);
        let end = end.map(|(position, ordinal)| Place { position, ordinal });
        let there = number(4)?;
        let was_put_back = given
            .filter(|given| given.epoch == known.epoch)
            .is_some_and(|given| {
                let is_short = signed(known.position) < given.place.position;
                // One that was recorded at this place after it was put back is younger.
                is_short || there.is_some_and(|there| there > given.recorded_at)
            });
        let look = Look {
            has_expired: number(0)? == Some(1),
            has_due: number(1)? == Some(1),
            start: end.map_or(known.next, |end| known.next.max(end)),
            was_put_back,
        };
        Ok((known, look))
    }

    /// Takes claims whose time is over; how much of the limit is left.
    async fn take_over(
        &self,
        connection: &mut SqliteConnection,
        claiming: &mut Claiming,
        limit: usize,
    ) -> Result<usize, Error> {
        let mut left = limit;
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        for stretch in self
            .tables()
            .stretches(connection, &claiming.known, Which::Expired(most))
            .await?
        {
            if left == 0 {
                break;
            }
            let mut rows = self
                .tables()
                .left_of(connection, &claiming.known, &stretch)
                .await?;
            let mut taken = Stretch {
                rows_left: i64::try_from(rows.len()).unwrap_or(i64::MAX),
                ..stretch.clone()
            };
            if let Some(next) = rows.get(left) {
                // The rest stays as it is, for whoever comes next.
                let boundary = place_of(next);
                let (before, after): (BTreeSet<Place>, BTreeSet<Place>) =
                    stretch.done.iter().copied().partition(|place| *place < boundary);
                taken.to = boundary;
                taken.rows_left = i64::try_from(left).unwrap_or(i64::MAX);
                taken.done = before;
                let rest = Stretch {
                    rows_left: i64::try_from(rows.len() - left).unwrap_or(i64::MAX),
                    done: after,
                    ..stretch.clone()
                };
                self.tables()
                    .cut(connection, &claiming.known, &rest, boundary)
                    .await?;
                self.tables().put(connection, &claiming.known, &taken).await?;
                rows.truncate(left);
            }
            left -= rows.len();
            let rows = claiming.read(&rows);
            self.hold(connection, claiming, taken, rows).await?;
        }
        Ok(left)
    }

    /// Holds what can be read of these rows; the others are dead letters.
    async fn hold(
        &self,
        connection: &mut SqliteConnection,
        claiming: &mut Claiming,
        mut stretch: Stretch,
        rows: Vec<(OutboxRow, Option<String>)>,
    ) -> Result<(), Error> {
        for (mut row, fault) in rows {
            if let Some(fault) = fault {
                let place = Place::of(row.id);
                let copied = Copied::dead(&fault);
                self.tables()
                    .copy(connection, &claiming.known, place, &copied)
                    .await?;
                self.tables().count_dead(connection, &claiming.known, 1).await?;
                stretch.done.insert(place);
                stretch.rows_left = stretch.rows_left.saturating_sub(1);
                claiming.unreadable += 1;
                continue;
            }
            claiming.mark(&mut row);
            claiming.rows.push(row);
            claiming.of_log += 1;
        }
        claiming.take(&mut stretch);
        self.tables().keep(connection, &claiming.known, &stretch).await
    }

    /// Takes rows that failed and are due; how many.
    async fn take_due(
        &self,
        connection: &mut SqliteConnection,
        claiming: &mut Claiming,
        room: usize,
    ) -> Result<usize, Error> {
        let p = self.names().prefix();
        let known = &claiming.known;
        let sql = format!(
            "{} WHERE log.group_id = ?1 AND state = {PENDING} AND available_at <= ?2 AND coalesce(log.until, 0) <= ?2 \
             ORDER BY available_at, position, ordinal LIMIT ?3",
            select_of(self.names(), "delivery", OF_DELIVERY)
        );
        let due = sqlx::query(AssertSqlSafe(sql))
            .bind(known.id)
            .bind(known.now)
            .bind(i64::try_from(room).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        let taken = format!(
            "UPDATE {p}delivery SET lease = ?5, owner = ?6, claimed_at = ?7, until = ?8 {THIS_DELIVERY}"
        );
        for row in &due {
            let (mut row, fault) = delivery(row)?;
            if let Some(fault) = fault {
                self.tables().bury(connection, known, &row, &fault).await?;
                claiming.unreadable += 1;
                continue;
            }
            claiming.mark(&mut row);
            of_delivery(taken.clone(), known, row.id)
                .bind(signed(claiming.lease.number()))
                .bind(&*claiming.owner)
                .bind(known.now)
                .bind(claiming.lease.until().as_micros())
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
            claiming.rows.push(row);
        }
        Ok(due.len())
    }

    /// Rows that nobody has had. A group with namespaces passes over rows of others, but over not too many at once.
    async fn fresh(
        &self,
        connection: &mut SqliteConnection,
        known: &Known,
        start: Place,
        limit: usize,
    ) -> Result<Fresh, Error> {
        let head = Place::before(known.position.saturating_add(1));
        let mut end = head;
        if known.namespaces.is_some() {
            let sql = format!(
                "SELECT position FROM {}log WHERE position > ?1 ORDER BY position LIMIT 1 OFFSET {ROWS_PASSED_MAX}",
                self.names().prefix()
            );
            let far: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(start.position)
                .fetch_optional(&mut *connection)
                .await
                .map_err(failed)?;
            end = far.map_or(head, |position| Place { position, ordinal: 0 });
        }
        let rows = self
            .tables()
            .rows_between(connection, known, (start, end), limit)
            .await?;
        let is_all = rows.len() < limit && known.namespaces.is_some() && end > start;
        Ok(Fresh {
            rows,
            end: is_all.then_some(end),
        })
    }

    /// Takes up to so many of the rows that nobody has had; whether the group has come further.
    async fn take_fresh(
        &self,
        connection: &mut SqliteConnection,
        claiming: &mut Claiming,
        fresh: Fresh,
        limit: usize,
    ) -> Result<bool, Error> {
        let Fresh { mut rows, end } = fresh;
        let is_cut = rows.len() > limit;
        rows.truncate(limit);
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            if let (Some(end), false) = (end, is_cut) {
                self.tables().come_to(connection, &claiming.known, end).await?;
                return Ok(true);
            }
            return Ok(false);
        };
        let to = end.filter(|_| !is_cut).unwrap_or_else(|| place_of(last).after());
        let mut stretch = Stretch {
            from: place_of(first),
            to,
            rows_left: i64::try_from(rows.len()).unwrap_or(i64::MAX),
            done: BTreeSet::new(),
            lease: 0,
            owner: None,
            claimed_at: None,
            until: 0,
        };
        claiming.take(&mut stretch);
        // In most claims this is all that is written.
        self.tables().put(connection, &claiming.known, &stretch).await?;
        let mut read = claiming.read(&rows);
        if read.iter().any(|(_, fault)| fault.is_some()) {
            self.hold(connection, claiming, stretch, read).await?;
            return Ok(true);
        }
        claiming.of_log += read.len();
        for (row, _) in &mut read {
            claiming.mark(row);
        }
        claiming.rows.extend(read.into_iter().map(|(row, _)| row));
        Ok(false)
    }
}

impl Tables<'_> {
    /// A delivery that cannot be read is a dead letter.
    pub(super) async fn bury(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        row: &OutboxRow,
        fault: &str,
    ) -> Result<(), Error> {
        let p = self.names.prefix();
        let sql =
            format!("UPDATE {p}delivery SET state = {DEAD}, last_error = ?5, {NOT_HELD} {THIS_DELIVERY}");
        of_delivery(sql, known, row.id)
            .bind(fault)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        self.count_dead(connection, known, 1).await
    }

    pub(super) async fn count_dead(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        more: i64,
    ) -> Result<(), Error> {
        let sql = format!(
            "UPDATE {}group SET dead = max(dead + ?2, 0) WHERE id = ?1",
            self.names.prefix()
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(known.id)
            .bind(more)
            .execute(connection)
            .await
            .map(drop)
            .map_err(failed)
    }
}

impl Claiming {
    /// The rows as the group sees them, and what is wrong with those that cannot be read.
    fn read(&self, rows: &[Read]) -> Vec<(OutboxRow, Option<String>)> {
        let epoch = Epoch::new(self.known.epoch);
        rows.iter().map(|row| row.outbox_row(epoch)).collect()
    }

    /// The stretch is held by this claim.
    fn take(&self, stretch: &mut Stretch) {
        stretch.lease = signed(self.lease.number());
        stretch.owner = Some(self.owner.to_string());
        stretch.claimed_at = Some(self.known.now);
        stretch.until = self.lease.until().as_micros();
    }

    /// The row is held by this claim.
    fn mark(&self, row: &mut OutboxRow) {
        row.state = RowState::Pending;
        row.owner = Some(Arc::clone(&self.owner));
        row.lease = Some(self.lease);
        row.claimed_at = Some(Timestamp::from_micros(self.known.now));
    }
}
