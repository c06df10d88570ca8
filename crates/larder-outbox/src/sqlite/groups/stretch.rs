//! [`Stretch`]: the part of the log that one claim holds.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::super::failed;
use super::super::source::{read, select};
use super::{Known, Place, Tables, is_its};
use crate::Error;
use crate::row::Read;

/// The part of the log that one claim holds, but for what is done of it.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    pub(super) from: Place,
    /// Before it the stretch ends.
    pub(super) to: Place,
    pub(super) rows_left: i64,
    pub(super) done: BTreeSet<Place>,
    pub(super) lease: i64,
    pub(super) owner: Option<String>,
    pub(super) claimed_at: Option<i64>,
    pub(super) until: i64,
}

/// Which stretches of a group.
#[derive(Clone, Copy)]
pub(super) enum Which {
    All,
    /// Those of one claim.
    Of(i64),
    /// Those whose time is over, so many at most.
    Expired(i64),
}

impl Stretch {
    pub(super) fn has(&self, place: Place) -> bool {
        self.from <= place && place < self.to
    }

    pub(super) fn is_done(&self, place: Place) -> bool {
        self.done.contains(&place)
    }
}

/// Places as a claim keeps them: 16 bytes each, position and ordinal, little-endian.
fn encode(places: &BTreeSet<Place>) -> Option<Vec<u8>> {
    let bytes = places
        .iter()
        .flat_map(|place| [place.position.to_le_bytes(), place.ordinal.to_le_bytes()]);
    (!places.is_empty()).then(|| bytes.flatten().collect())
}

/// What cannot be read is not done: its rows come again.
fn decode(bytes: &[u8]) -> BTreeSet<Place> {
    let number = |bytes: &[u8]| bytes.try_into().map(i64::from_le_bytes).ok();
    let place = |bytes: &[u8]| {
        let (position, ordinal) = bytes.split_at_checked(8)?;
        Some(Place {
            position: number(position)?,
            ordinal: number(ordinal)?,
        })
    };
    bytes.chunks(16).filter_map(place).collect()
}

impl Tables<'_> {
    /// Stretches of a group, in the order of the log.
    pub(super) async fn stretches(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        which: Which,
    ) -> Result<Vec<Stretch>, Error> {
        let p = self.names.prefix();
        let (condition, value, limit) = match which {
            Which::All => ("?2 = 0", 0, i64::MAX),
            Which::Of(lease) => ("lease = ?2", lease, i64::MAX),
            Which::Expired(limit) => ("until <= ?2", known.now, limit),
        };
        let sql = format!(
            "SELECT from_position, from_ordinal, to_position, to_ordinal, rows_left, CAST(done AS BLOB), lease, CAST(owner AS BLOB), claimed_at, until \
             FROM {p}claim WHERE group_id = ?1 AND {condition} ORDER BY from_position, from_ordinal LIMIT ?3"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(known.id)
            .bind(value)
            .bind(limit)
            .fetch_all(connection)
            .await
            .map_err(failed)?;
        let stretch = |row: &sqlx::sqlite::SqliteRow| {
            let place = |at: usize| {
                Ok::<_, sqlx::Error>(Place {
                    position: row.try_get(at)?,
                    ordinal: row.try_get(at + 1)?,
                })
            };
            Ok(Stretch {
                from: place(0)?,
                to: place(2)?,
                rows_left: row.try_get(4)?,
                done: decode(&row.try_get::<Option<Vec<u8>>, _>(5)?.unwrap_or_default()),
                lease: row.try_get(6)?,
                owner: row
                    .try_get::<Option<Vec<u8>>, _>(7)?
                    .map(|owner| String::from_utf8_lossy(&owner).into_owned()),
                claimed_at: row.try_get(8)?,
                until: row.try_get(9)?,
            })
        };
        rows.iter()
            .map(stretch)
            .collect::<Result<_, sqlx::Error>>()
            .map_err(failed)
    }

    /// Rows of the log that are the group's, from one place to before another.
    pub(super) async fn rows_between(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        (from, to): (Place, Place),
        limit: usize,
    ) -> Result<Vec<Read>, Error> {
        let sql = format!(
            "{} WHERE position >= ?1 AND (position > ?1 OR ordinal >= ?3) AND position <= ?4 \
             AND (position < ?4 OR ordinal < ?5) AND {} ORDER BY position, ordinal LIMIT ?6",
            select(self.names),
            is_its("?2")
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(from.position)
            .bind(known.namespaces.as_deref())
            .bind(from.ordinal)
            .bind(to.position)
            .bind(to.ordinal)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(connection)
            .await
            .map_err(failed)?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(failed)
    }

    /// The rows of a stretch that are not done.
    pub(super) async fn left_of(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        stretch: &Stretch,
    ) -> Result<Vec<Read>, Error> {
        let rows = self
            .rows_between(connection, known, (stretch.from, stretch.to), usize::MAX)
            .await?;
        let is_left = |row: &Read| !stretch.is_done(place_of(row));
        Ok(rows.into_iter().filter(is_left).collect())
    }

    /// Writes what is left of a stretch, or ends it if nothing is.
    pub(super) async fn keep(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        stretch: &Stretch,
    ) -> Result<(), Error> {
        let p = self.names.prefix();
        if stretch.rows_left <= 0 {
            let ended = format!(
                "DELETE FROM {p}claim WHERE group_id = ?1 AND from_position = ?2 AND from_ordinal = ?3"
            );
            sqlx::query(AssertSqlSafe(ended))
                .bind(known.id)
                .bind(stretch.from.position)
                .bind(stretch.from.ordinal)
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
            return self.come_to(connection, known, stretch.to).await;
        }
        self.put(connection, known, stretch).await
    }

    /// Writes a stretch, in place of the one that begins where it does.
    pub(super) async fn put(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        stretch: &Stretch,
    ) -> Result<(), Error> {
        let p = self.names.prefix();
        let added = format!(
            "INSERT OR REPLACE INTO {p}claim (group_id, from_position, from_ordinal, to_position, to_ordinal, rows_left, done, \
             lease, owner, claimed_at, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        );
        sqlx::query(AssertSqlSafe(added))
            .bind(known.id)
            .bind(stretch.from.position)
            .bind(stretch.from.ordinal)
            .bind(stretch.to.position)
            .bind(stretch.to.ordinal)
            .bind(stretch.rows_left)
            .bind(encode(&stretch.done))
            .bind(stretch.lease)
            .bind(stretch.owner.as_deref())
            .bind(stretch.claimed_at)
            .bind(stretch.until)
            .execute(connection)
            .await
            .map(drop)
            .map_err(failed)
    }

    /// Moves the beginning of a stretch, which leaves out what is before it.
    pub(super) async fn cut(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        stretch: &Stretch,
        from: Place,
    ) -> Result<(), Error> {
        let p = self.names.prefix();
        let removed =
            format!("DELETE FROM {p}claim WHERE group_id = ?1 AND from_position = ?2 AND from_ordinal = ?3");
        sqlx::query(AssertSqlSafe(removed))
            .bind(known.id)
            .bind(stretch.from.position)
            .bind(stretch.from.ordinal)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        let rest = Stretch {
            from,
            ..stretch.clone()
        };
        self.put(connection, known, &rest).await
    }

    /// The group has come to this place, if it was not beyond it.
    pub(super) async fn come_to(
        self,
        connection: &mut SqliteConnection,
        known: &Known,
        place: Place,
    ) -> Result<(), Error> {
        let p = self.names.prefix();
        let sql = format!(
            "UPDATE {p}group SET next_position = ?2, next_ordinal = ?3 \
             WHERE id = ?1 AND (next_position, next_ordinal) < (?2, ?3)"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(known.id)
            .bind(place.position)
            .bind(place.ordinal)
            .execute(connection)
            .await
            .map(drop)
            .map_err(failed)
    }
}

/// The place of a row.
pub(super) fn place_of(row: &Read) -> Place {
    Place {
        position: super::super::signed(row.position),
        ordinal: row.ordinal,
    }
}
