//! Reading the log: in the order of positions, which is that of commits.
//!
//! What is always true: the numbers of the log and its rows come from one snapshot; a row that cannot be read is delivered
//! wider; nothing is skipped.
//!
//! The check value of a cursor is that of the last row delivered, and, in its upper half, below which ordinal the rows of the commit at
//! its horizon have been delivered: a commit that is larger than a read comes in parts, and the cursor includes it only after the last.

use std::fmt;
use std::sync::Arc;

use larder_core::{
    AsOf, Batch, BoxFuture, Cursor, Delivered, Epoch, Head, Position, Source, SourceError, SourceId,
    Timestamp, WidenedRows,
};
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, Row as _, SqliteConnection, SqlitePool};

use super::schema::{Meta, meta, meta_of, select_meta};
use super::watch::{Reader, Watch};
use super::{begin, epoch, failed, signed, source_failed, unsigned};
use crate::Error;
use crate::hints::Hints;
use crate::limits::ROWS_A_READ_MAX;
use crate::names::Names;
use crate::row::Read;

const PART_BITS: u32 = 32;

/// The log of a SQLite file as a source.
pub(crate) struct SqliteSource {
    pub(crate) pool: SqlitePool,
    pub(crate) names: Names,
    pub(crate) id: SourceId,
    pub(crate) hints: Arc<Hints>,
    pub(crate) entropy: Arc<dyn larder_core::Entropy>,
    pub(super) watch: Watch,
}

/// What one snapshot says.
struct Seen {
    meta: Meta,
    /// The last row behind the cursor.
    last: Option<Read>,
    found: Found,
}

/// Rows that a read has found.
struct Found {
    rows: Vec<Read>,
    /// The position of the one after them, if there is one.
    next: Option<u64>,
}

impl SqliteSource {
    /// The numbers of this log; an error if another one lies in its place.
    async fn own_meta(&self, snapshot: &mut SqliteConnection) -> Result<Meta, Error> {
        self.own(meta(snapshot, &self.names).await?)
    }

    fn own(&self, meta: Meta) -> Result<Meta, Error> {
        if meta.source == self.id.get() {
            Ok(meta)
        } else {
            Err(Error::WrongDatabase)
        }
    }

    async fn head_now(&self) -> Result<Head, Error> {
        if !self.watch.has_its_file(&self.pool).await {
            return Err(Error::FileReplaced);
        }
        let mut reader = self.watch.reader(&self.pool).await.map_err(failed)?;
        let mut snapshot = reader.begin().await.map_err(failed)?;
        let meta = self.own_meta(&mut snapshot).await?;
        let last = self
            .last_below(&mut snapshot, meta.position.saturating_add(1))
            .await?;
        snapshot.rollback().await.map_err(failed)?;
        reader.keep();
        let cursor = self.cursor(&meta, meta.position.saturating_add(1), last.as_ref(), 0);
        let former = meta.former.iter().copied().map(Epoch::new).collect();
        Ok(Head::new(cursor, former, self.as_of(&meta, meta.position)))
    }

    async fn read_if_changed(&self, cursor: &Cursor, limit: usize) -> Result<Delivered, Error> {
        if !self.watch.has_its_file(&self.pool).await {
            return Err(Error::FileReplaced);
        }
        let mut reader = self.watch.reader(&self.pool).await.map_err(failed)?;
        let seen = reader.ask(cursor).await;
        if let Some((_, Some(as_of))) = seen {
            reader.keep();
            return Ok(Delivered::Rows(Batch::new(
                Vec::new(),
                cursor.clone(),
                as_of,
                true,
            )));
        }
        let Some(delivered) = self.read_after(&mut reader, cursor, limit).await? else {
            drop(reader);
            return self.renew(cursor).await;
        };
        if let (Some((version, _)), Delivered::Rows(batch)) = (seen, &delivered)
            && batch.caught_up
        {
            reader.quiet(version, &batch.cursor, batch.as_of);
        }
        reader.keep();
        Ok(delivered)
    }

    /// What comes after a cursor; none if this does not look like the log in which it was taken.
    async fn read_after(
        &self,
        reader: &mut Reader<'_>,
        cursor: &Cursor,
        limit: usize,
    ) -> Result<Option<Delivered>, Error> {
        let mut seen = self.look(reader, cursor, limit.clamp(1, ROWS_A_READ_MAX)).await?;
        if seen.found.is_cut_where_no_cursor_can_say() {
            seen = self.look(reader, cursor, usize::MAX).await?;
        }
        let Seen { meta, last, found } = seen;
        if cursor.source() != self.id || cursor.epoch().get() != meta.epoch {
            return Ok(Some(Delivered::OtherEpoch));
        }
        if !is_where_it_was(cursor, &meta, last.as_ref()) {
            return Ok(None);
        }
        if cursor.horizon().get() < meta.floor {
            return Ok(Some(Delivered::Purged));
        }
        Ok(Some(Delivered::Rows(self.batch(cursor, &meta, found))))
    }

    /// One snapshot, in one trip: the numbers, the last row behind the cursor, and up to `limit` after it.
    async fn look(&self, reader: &mut Reader<'_>, cursor: &Cursor, limit: usize) -> Result<Seen, Error> {
        let mut arguments = SqliteArguments::default();
        let limited = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        for value in [
            signed(cursor.horizon().get()),
            limited,
            signed(part_of_horizon(cursor)),
        ] {
            let added = arguments.add(value);
            added.map_err(|error| failed(sqlx::Error::Encode(error)))?;
        }
        let select = select(&self.names);
        let statements = format!(
            "{}; {}; {select} WHERE position >= ?1 AND (?3 = 0 OR position > ?1 OR ordinal >= ?3) ORDER BY position, ordinal LIMIT ?2",
            select_meta(&self.names),
            self.select_last(cursor),
        );
        let answers = reader.find(&statements, arguments).await.map_err(failed)?;
        let [numbers, last, rows] =
            <[_; 3]>::try_from(answers).map_err(|_| failed(sqlx::Error::WorkerCrashed))?;
        let mut rows = rows
            .iter()
            .map(read)
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        let next = rows.get(limit).map(|row| row.position);
        rows.truncate(limit);
        Ok(Seen {
            meta: self.own(meta_of(&numbers)?)?,
            last: last.first().map(read).transpose().map_err(failed)?,
            found: Found { rows, next },
        })
    }

    /// Begins a new epoch if this is certainly not the log in which the cursor was taken: asked again where nobody else writes,
    /// since one connection may be in a bad way.
    async fn renew(&self, cursor: &Cursor) -> Result<Delivered, Error> {
        let mut transaction = begin(&self.pool, "BEGIN IMMEDIATE").await.map_err(failed)?;
        let meta = meta(&mut transaction, &self.names).await?;
        let last = self.last_behind(&mut transaction, cursor).await?;
        if meta.epoch != cursor.epoch().get() || is_where_it_was(cursor, &meta, last.as_ref()) {
            // Somebody else has begun it, or there is nothing wrong: the next read says which.
            return Ok(if meta.epoch == cursor.epoch().get() {
                Delivered::Rows(Batch::new(
                    Vec::new(),
                    cursor.clone(),
                    self.as_of(&meta, 0),
                    false,
                ))
            } else {
                Delivered::OtherEpoch
            });
        }
        epoch::renew_in(
            &mut transaction,
            &self.names,
            Epoch::new(meta.epoch),
            &*self.entropy,
        )
        .await?;
        transaction.commit().await.map_err(failed)?;
        Ok(Delivered::OtherEpoch)
    }

    /// Asks for the last row that a cursor has behind it: `?1` is its horizon, `?3` the part of the commit there.
    fn select_last(&self, cursor: &Cursor) -> String {
        let place = if part_of_horizon(cursor) == 0 {
            "position < ?1 ORDER BY position DESC, ordinal DESC"
        } else {
            "position = ?1 AND ordinal < ?3 ORDER BY ordinal DESC"
        };
        format!("{} WHERE {place} LIMIT 1", select(&self.names))
    }

    /// The last row that a cursor has behind it.
    async fn last_behind(
        &self,
        snapshot: &mut SqliteConnection,
        cursor: &Cursor,
    ) -> Result<Option<Read>, Error> {
        let row = sqlx::query(AssertSqlSafe(self.select_last(cursor)))
            .bind(signed(cursor.horizon().get()))
            .bind(0)
            .bind(signed(part_of_horizon(cursor)))
            .fetch_optional(snapshot)
            .await
            .map_err(failed)?;
        row.as_ref().map(read).transpose().map_err(failed)
    }

    /// The last row below a position.
    async fn last_below(
        &self,
        snapshot: &mut SqliteConnection,
        position: u64,
    ) -> Result<Option<Read>, Error> {
        let query = format!(
            "{} WHERE position < ?1 ORDER BY position DESC, ordinal DESC LIMIT 1",
            select(&self.names)
        );
        let row = sqlx::query(AssertSqlSafe(query))
            .bind(signed(position))
            .fetch_optional(snapshot)
            .await
            .map_err(failed)?;
        row.as_ref().map(read).transpose().map_err(failed)
    }

    fn batch(&self, cursor: &Cursor, meta: &Meta, found: Found) -> Batch {
        let Found { rows, next } = found;
        let (mut delivered, mut widened) = (Vec::with_capacity(rows.len()), WidenedRows::default());
        for row in &rows {
            let (invalidations, is_wider) = row.invalidations();
            if is_wider {
                let targets: Vec<_> = invalidations.iter().map(|row| row.target().clone()).collect();
                widened.count(&targets);
                tracing::warn!(
                    position = row.position,
                    ordinal = row.ordinal,
                    "a row was widened"
                );
            }
            delivered.extend(invalidations);
        }
        let cursor = if let Some(next) = next {
            self.cursor_before(next, cursor, meta, &rows)
        } else {
            let next = meta.position.saturating_add(1).max(cursor.horizon().get());
            match rows.last() {
                None if part_of_horizon(cursor) == 0 => {
                    Cursor::ordered(self.id, cursor.epoch(), Position::new(next), cursor.check())
                }
                None => Cursor::ordered(
                    self.id,
                    cursor.epoch(),
                    Position::new(next),
                    cursor.check() & u64::from(u32::MAX),
                ),
                last => self.cursor(meta, next, last, 0),
            }
        };
        let as_of = self.as_of(meta, meta.position);
        Batch::new(delivered, cursor, as_of, next.is_none())
            .with_widened(widened)
            .with_read_at(Timestamp::from_micros(meta.now))
            .with_head(Position::new(meta.position))
    }

    /// The cursor after rows that are followed by one of the commit `next`. If that is the commit of the last of them, it came
    /// in part, and only what is before it is included.
    fn cursor_before(&self, next: u64, cursor: &Cursor, meta: &Meta, rows: &[Read]) -> Cursor {
        let Some(last) = rows.last() else {
            return cursor.clone();
        };
        if next > last.position {
            return self.cursor(meta, last.position.saturating_add(1), Some(last), 0);
        }
        let part = part_after(last).unwrap_or(0);
        self.cursor(meta, last.position, Some(last), part)
    }

    fn cursor(&self, meta: &Meta, next: u64, last: Option<&Read>, part: u64) -> Cursor {
        let check = last.map_or(0, |last| u64::from(last.check()));
        let epoch = Epoch::new(meta.epoch);
        Cursor::ordered(self.id, epoch, Position::new(next), check | (part << PART_BITS))
    }

    fn as_of(&self, meta: &Meta, position: u64) -> AsOf {
        AsOf::new(self.id, Epoch::new(meta.epoch), position)
    }
}

/// Whether the log is still the one in which the cursor was taken: it reaches as far, and the row that was delivered
/// last, if it is still there, is the same.
fn is_where_it_was(cursor: &Cursor, meta: &Meta, last: Option<&Read>) -> bool {
    let next = cursor.horizon().get();
    let part = part_of_horizon(cursor);
    if meta.position.saturating_add(1) < next || (part > 0 && meta.position < next) {
        return false;
    }
    match last {
        None => true,
        Some(last) => u64::from(last.check()) == cursor.check() & u64::from(u32::MAX),
    }
}

/// Below which ordinal a cursor has the rows of the commit at its horizon behind it; 0 for none.
fn part_of_horizon(cursor: &Cursor) -> u64 {
    cursor.check() >> PART_BITS
}

/// What a cursor says when this is the last row that it has behind it; none for ordinals that only somebody else can have written.
fn part_after(row: &Read) -> Option<u64> {
    let part = u32::try_from(row.ordinal.checked_add(1)?).ok()?;
    (part > 0).then_some(u64::from(part))
}

impl Found {
    /// Whether the last row is followed by one of its commit, and a cursor cannot say which came last.
    fn is_cut_where_no_cursor_can_say(&self) -> bool {
        let last = self.rows.last().filter(|last| self.next == Some(last.position));
        last.is_some_and(|last| part_after(last).is_none())
    }
}

/// All columns of the log, as whoever reads them wants them.
pub(super) fn select(names: &Names) -> String {
    select_of(names, "log", "NULL")
}

/// The same columns of a table that has them too, and more of it after them.
pub(super) fn select_of(names: &Names, table: &str, more: &str) -> String {
    let p = names.prefix();
    format!(
        "SELECT position, ordinal, CAST(kind AS INTEGER), CAST(namespace AS BLOB), CAST(name AS BLOB), \
         CAST(coalesce(long_id, log.id) AS BLOB), CAST(coalesce(reason, '') AS BLOB), CAST(node AS BLOB), \
         coalesce(run, 0), CAST(recorded_at AS INTEGER), {more} FROM {p}{table} AS log LEFT JOIN {p}node AS node ON node.id = origin"
    )
}

/// A row, whatever its columns hold.
pub(super) fn read(row: &sqlx::sqlite::SqliteRow) -> Result<Read, sqlx::Error> {
    Ok(Read {
        position: unsigned(row.try_get(0)?),
        ordinal: row.try_get(1)?,
        kind: row.try_get(2)?,
        namespace: row.try_get(3)?,
        name: row.try_get(4)?,
        id: row.try_get(5)?,
        reason: row.try_get(6)?,
        node: row.try_get(7)?,
        run: row.try_get(8)?,
        recorded_at: row.try_get(9)?,
    })
}

impl Source for SqliteSource {
    fn id(&self) -> SourceId {
        self.id
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, SourceError>> {
        Box::pin(async {
            self.head_now()
                .await
                .map_err(|error| source_failed(self.id, error))
        })
    }

    fn read<'a>(&'a self, cursor: &'a Cursor, limit: usize) -> BoxFuture<'a, Result<Delivered, SourceError>> {
        Box::pin(async move {
            let delivered = self.read_if_changed(cursor, limit).await;
            delivered.map_err(|error| source_failed(self.id, error))
        })
    }

    fn hinted(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.hints.next())
    }
}

impl fmt::Debug for SqliteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSource")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
