//! [`Watch`]: the connection that reads the log, and whether anybody has committed anything since a read, without reading a table.
//!
//! SQLite tells each connection a number that changes with every commit of another one (`PRAGMA data_version`). So one that never
//! writes is kept for it, beside the pool, and reads as well: a pool that is used up holds up no follower. What is always true: without such a connection nothing is known, and
//! the log is read; numbers of two connections are never compared, since each begins anew.

use futures_util::TryStreamExt as _;
use larder_core::{AsOf, Cursor};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{
    AssertSqlSafe, Connection as _, Either, Executor as _, Sqlite, SqliteConnection, SqlitePool, Transaction,
};
use tokio::sync::{Mutex, MutexGuard};

use super::{acquire, is_in_memory};

#[derive(Default)]
pub(super) struct Watch {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    connection: Option<SqliteConnection>,
    /// The file that lay there when this was first asked.
    file: Option<FileId>,
    /// Which connection it is: the first, the second, and so on.
    connected: u64,
    quiet: Option<Quiet>,
}

/// The number that a connection was told, and which connection that was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    connected: u64,
    number: i64,
}

/// A read that left nothing over, and the number that was seen before it began.
#[derive(Clone)]
struct Quiet {
    version: Version,
    cursor: Cursor,
    as_of: AsOf,
}

/// By what a file is told from another one at the same place.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    number: u64,
}

#[cfg(unix)]
fn file_id(pool: &SqlitePool) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt as _;
    let options = pool.connect_options();
    let metadata = std::fs::metadata(options.get_filename()).ok()?;
    Some(FileId {
        device: metadata.dev(),
        number: metadata.ino(),
    })
}

/// Elsewhere files cannot be told apart, nor replaced while they are open.
#[cfg(not(unix))]
fn file_id(_pool: &SqlitePool) -> Option<FileId> {
    None
}

impl Watch {
    /// Whether the file that lay there when this was first asked still does. Connections that are open would go on to read it, and never hear
    /// of what others write into another one.
    pub(super) async fn has_its_file(&self, pool: &SqlitePool) -> bool {
        if is_in_memory(pool) {
            return true;
        }
        let found = file_id(pool);
        let mut kept = self.kept.lock().await;
        let first = kept.file.is_none();
        if first {
            kept.file = found;
        }
        first || kept.file == found
    }

    /// What reads the log: a connection of its own, which cannot write and takes none from the pool. Of a database in memory, and while
    /// no more can be opened, it is one of the pool. One reads at a time.
    pub(super) async fn reader<'a>(&'a self, pool: &SqlitePool) -> Result<Reader<'a>, sqlx::Error> {
        let mut kept = self.kept.lock().await;
        if is_in_memory(pool) {
            return Ok(Reader {
                kept,
                connection: Reading::Pooled(acquire(pool).await?),
            });
        }
        // Taken out, so that one that fails, or whose answer nobody waits for, is not asked again.
        let connection = match kept.connection.take() {
            Some(connection) => Reading::Own(connection),
            None => match connect(pool).await {
                Ok(connection) => {
                    kept.connected += 1;
                    Reading::Own(connection)
                }
                Err(error) => {
                    tracing::warn!(%error, "the log is read over a connection of the pool");
                    Reading::Pooled(acquire(pool).await?)
                }
            },
        };
        Ok(Reader { kept, connection })
    }
}

async fn connect(pool: &SqlitePool) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = SqliteConnection::connect_with(&pool.connect_options()).await?;
    connection.execute("PRAGMA query_only = ON").await?;
    Ok(connection)
}

/// The rows of each statement.
async fn answers(
    connection: &mut SqliteConnection,
    statements: String,
    arguments: SqliteArguments,
) -> Result<Vec<Vec<SqliteRow>>, sqlx::Error> {
    let query = sqlx::query_with(AssertSqlSafe(statements), arguments);
    let mut told = connection.fetch_many(query);
    let (mut answers, mut rows) = (Vec::new(), Vec::new());
    while let Some(one) = told.try_next().await? {
        match one {
            Either::Left(_) => answers.push(std::mem::take(&mut rows)),
            Either::Right(row) => rows.push(row),
        }
    }
    Ok(answers)
}

/// The connection that reads, for as long as this is held.
pub(super) struct Reader<'a> {
    kept: MutexGuard<'a, Kept>,
    connection: Reading,
}

enum Reading {
    Own(SqliteConnection),
    Pooled(PoolConnection<Sqlite>),
}

impl Reader<'_> {
    /// What statements find in one snapshot, each its rows: sent together, since every trip to the thread of a connection costs more than they do.
    pub(super) async fn find(
        &mut self,
        statements: &str,
        arguments: SqliteArguments,
    ) -> Result<Vec<Vec<SqliteRow>>, sqlx::Error> {
        match &mut self.connection {
            // What fails, or is dropped half way, leaves it in a transaction: it is not kept then.
            Reading::Own(connection) => {
                let statements = format!("BEGIN; {statements}; COMMIT");
                let mut answers = answers(connection, statements, arguments).await?;
                answers.remove(0);
                answers.pop();
                Ok(answers)
            }
            Reading::Pooled(connection) => {
                let mut snapshot = connection.begin().await?;
                let answers = answers(&mut snapshot, statements.to_owned(), arguments).await?;
                // Before anything else is done: a checkpoint would wait for it.
                snapshot.rollback().await?;
                Ok(answers)
            }
        }
    }

    /// A snapshot, from its first statement on.
    pub(super) async fn begin(&mut self) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
        match &mut self.connection {
            Reading::Own(connection) => connection.begin().await,
            Reading::Pooled(connection) => connection.begin().await,
        }
    }

    /// The number of now, and the point of the last read if that was from this cursor and nothing was committed since. None where
    /// it cannot be told: then the log must be read.
    pub(super) async fn ask(&mut self, cursor: &Cursor) -> Option<(Version, Option<AsOf>)> {
        let Reading::Own(connection) = &mut self.connection else {
            return None;
        };
        let number: i64 = sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(connection)
            .await
            .ok()?;
        let version = Version {
            connected: self.kept.connected,
            number,
        };
        let quiet = self.kept.quiet.as_ref();
        let quiet = quiet.filter(|quiet| quiet.version == version && quiet.cursor == *cursor);
        Some((version, quiet.map(|quiet| quiet.as_of)))
    }

    /// A read that began after the number was seen left nothing over.
    pub(super) fn quiet(&mut self, version: Version, cursor: &Cursor, as_of: AsOf) {
        self.kept.quiet = Some(Quiet {
            version,
            cursor: cursor.clone(),
            as_of,
        });
    }

    /// Nothing has failed: the connection is kept for the next.
    pub(super) fn keep(mut self) {
        if let Reading::Own(connection) = self.connection {
            self.kept.connection = Some(connection);
        }
    }
}
