//! [`Watch`]: whether anybody has committed anything since a read, without reading a table.
//!
//! SQLite tells each connection a number that changes with every commit of another one (`PRAGMA data_version`). So a connection
//! that never writes is kept for it, beside the pool. What is always true: without such a connection nothing is known, and
//! the log is read; numbers of two connections are never compared, since each begins anew.

use larder_core::{AsOf, Cursor};
use sqlx::{Connection as _, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;

use super::is_in_memory;

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

    /// The number of now, and the point of the last read if that was from this cursor and nothing was committed since. None where
    /// it cannot be told: then the log must be read.
    pub(super) async fn ask(&self, pool: &SqlitePool, cursor: &Cursor) -> Option<(Version, Option<AsOf>)> {
        if is_in_memory(pool) {
            return None;
        }
        let mut kept = self.kept.lock().await;
        // Taken out, so that one that fails, or whose answer nobody waits for, is not asked again.
        let connection = kept.connection.take();
        let mut connection = match connection {
            Some(connection) => connection,
            None => {
                let options = pool.connect_options();
                let connection = SqliteConnection::connect_with(&options).await.ok()?;
                kept.connected += 1;
                connection
            }
        };
        let number: i64 = sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(&mut connection)
            .await
            .ok()?;
        kept.connection = Some(connection);
        let version = Version {
            connected: kept.connected,
            number,
        };
        let quiet = kept.quiet.as_ref();
        let quiet = quiet.filter(|quiet| quiet.version == version && quiet.cursor == *cursor);
        Some((version, quiet.map(|quiet| quiet.as_of)))
    }

    /// A read that began after the number was seen left nothing over.
    pub(super) async fn quiet(&self, version: Version, cursor: &Cursor, as_of: AsOf) {
        self.kept.lock().await.quiet = Some(Quiet {
            version,
            cursor: cursor.clone(),
            as_of,
        });
    }
}
