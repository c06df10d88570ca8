//! The tables in SQLite, and how they come into being.
//!
//! What is always true: the log is appended to and purged, never updated. `larder_meta` has the numbers of this log:
//! which source it is, its epoch, the last position given out, below which position rows may be gone, and the version
//! of the tables; `former/<epoch>` for each epoch before. Nothing of a group is ever written into the log.

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, SqlitePool};

use super::{begin, failed, signed, unsigned};
use crate::Error;
use crate::names::Names;

/// The version of the tables that this version of Larder makes and knows.
pub(super) const VERSION: u32 = 2;

/// Kinds in words, as in the text of a target.
const KINDS: [(u8, &str); 7] = [
    (1, "key"),
    (2, "tag"),
    (3, "dependency"),
    (4, "entity"),
    (5, "collection"),
    (6, "namespace"),
    (7, "everything"),
];

/// The numbers that every log has.
const NUMBERS: [&str; 5] = ["source", "epoch", "version", "position", "floor"];

/// Now by the database's clock, in microseconds since the Unix epoch. SQLite tells milliseconds, the same all through a
/// statement.
pub(super) const NOW_MICROS: &str =
    "(strftime('%s', 'now') * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000)";

/// What is known of a process that follows: its key, when it was heard of, until when it lives if it is the node, which rows it needs,
/// whether it keeps a cursor, and how far it has come.
const OF_NODES: [&str; 6] = [
    "key BLOB",
    "seen_at INTEGER CHECK (typeof(seen_at) IN ('integer', 'null'))",
    "until INTEGER CHECK (typeof(until) IN ('integer', 'null'))",
    "needs INTEGER CHECK (typeof(needs) IN ('integer', 'null'))",
    "saves INTEGER CHECK (typeof(saves) IN ('integer', 'null'))",
    "progress BLOB CHECK (typeof(progress) IN ('blob', 'null'))",
];

/// What the numbers of a log say.
#[derive(Clone, Debug, Default)]
pub(super) struct Meta {
    pub(super) source: u64,
    pub(super) epoch: u64,
    pub(super) version: u32,
    /// The last position given out.
    pub(super) position: u64,
    /// Rows below it may have been purged.
    pub(super) floor: u64,
    pub(super) former: Vec<u64>,
    /// When this was read, in microseconds since the Unix epoch, by the database's clock.
    pub(super) now: i64,
}

/// The statements that make the tables, in order. Running them again changes nothing.
pub(super) fn statements(names: &Names) -> Vec<String> {
    let p = names.prefix();
    let when = |kinds: &mut dyn Iterator<Item = String>| kinds.collect::<Vec<_>>().join(" ");
    let words = when(
        &mut KINDS
            .iter()
            .map(|(code, word)| format!("WHEN {code} THEN '{word}'")),
    );
    let codes = when(
        &mut KINDS
            .iter()
            .map(|(code, word)| format!("WHEN '{word}' THEN {code}")),
    );
    let mut statements = vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {p}meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {p}node (id INTEGER PRIMARY KEY, node TEXT NOT NULL, run INTEGER NOT NULL, {}, UNIQUE (node, run))",
            OF_NODES.join(", ")
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {p}log (\
             position INTEGER NOT NULL CHECK (typeof(position) = 'integer' AND position > 0), \
             kind INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, id BLOB NOT NULL, \
             ordinal INTEGER NOT NULL CHECK (typeof(ordinal) = 'integer'), reason TEXT, origin INTEGER, \
             recorded_at INTEGER NOT NULL, long_id BLOB, \
             PRIMARY KEY (position, kind, namespace, name, id)) WITHOUT ROWID"
        ),
        format!(
            "CREATE VIEW IF NOT EXISTS {p}record AS SELECT position, ordinal, namespace, \
             CASE kind {words} ELSE 'unknown' END AS kind, name, coalesce(long_id, id) AS id, reason, \
             (SELECT node FROM {p}node WHERE {p}node.id = origin) AS node, recorded_at FROM {p}log"
        ),
        // Only keys and entities have ids. A whole number is one however it is stored. Without an id, with a fraction, or with one that is too long for the key and would need a digest, an
        // entity becomes its collection and the lists of that, a key its namespace. What is no kind is read as everything.
        format!(
            "CREATE TRIGGER IF NOT EXISTS {p}record_insert INSTEAD OF INSERT ON {p}record BEGIN \
             UPDATE {p}meta SET value = value + 1 WHERE key = 'position'; \
             INSERT INTO {p}log (position, kind, namespace, name, id, ordinal, reason, recorded_at) \
             SELECT (SELECT value FROM {p}meta WHERE key = 'position'), wide.kind, \
             coalesce(NEW.namespace, 'default'), coalesce(wide.name, ''), wide.id, wide.ordinal, NEW.reason, {NOW_MICROS} \
             FROM (SELECT asked.kind AS kind, NEW.name AS name, asked.id AS id, 0 AS ordinal FROM asked WHERE NOT asked.is_wide \
             UNION ALL SELECT 5, NEW.name, x'', 0 FROM asked WHERE asked.is_wide AND asked.kind = 4 \
             UNION ALL SELECT 5, NEW.name || '.lists', x'', 1 FROM asked WHERE asked.is_wide AND asked.kind = 4 \
             UNION ALL SELECT 6, '', x'', 0 FROM asked WHERE asked.is_wide AND asked.kind = 1) AS wide \
             WHERE true ON CONFLICT DO NOTHING; END"
        )
        .replace("FROM asked", &format!(
            "FROM (SELECT CASE NEW.kind {codes} ELSE 0 END AS kind, \
             CASE WHEN NEW.kind NOT IN ('key', 'entity') THEN x'' \
             WHEN typeof(NEW.id) = 'real' THEN CAST(CAST(NEW.id AS INTEGER) AS BLOB) \
             ELSE CAST(coalesce(NEW.id, '') AS BLOB) END AS id, \
             coalesce(NEW.kind IN ('key', 'entity') AND (NEW.id IS NULL OR length(CAST(NEW.id AS BLOB)) > {limit} \
             OR (typeof(NEW.id) = 'real' AND NEW.id <> CAST(NEW.id AS INTEGER))), 0) AS is_wide) AS asked",
            limit = crate::limits::ID_INLINE_BYTES_MAX
        )),
    ];
    statements.extend(of_groups(p));
    statements
}

/// Numbers that others may not write anything else into: one row that cannot be read would be in the way of all.
fn numbers(columns: &[&str]) -> String {
    let each = columns
        .iter()
        .map(|column| format!("typeof({column}) IN ('integer', 'null')"));
    format!("CHECK ({})", each.collect::<Vec<_>>().join(" AND "))
}

/// What groups have taken and not finished. A claim is one row, whatever the number of rows that it holds; only rows that have failed, that are kept though they are done, or
/// whose place in the log is gone, have rows of their own.
fn of_groups(p: &str) -> [String; 5] {
    [
        format!(
            "CREATE TABLE IF NOT EXISTS {p}group (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, namespaces TEXT, \
             next_position INTEGER NOT NULL, next_ordinal INTEGER NOT NULL, dead INTEGER NOT NULL DEFAULT 0, \
             failed INTEGER NOT NULL DEFAULT 0, acknowledged_at INTEGER, keep_micros INTEGER NOT NULL, dead_max INTEGER NOT NULL, {})",
            numbers(&[
                "next_position",
                "next_ordinal",
                "dead",
                "failed",
                "acknowledged_at",
                "keep_micros",
                "dead_max"
            ])
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {p}claim (group_id INTEGER NOT NULL, \
             from_position INTEGER NOT NULL, from_ordinal INTEGER NOT NULL, \
             to_position INTEGER NOT NULL, to_ordinal INTEGER NOT NULL, rows_left INTEGER NOT NULL, done BLOB, \
             lease INTEGER NOT NULL, owner TEXT, claimed_at INTEGER, until INTEGER NOT NULL, acknowledged_at INTEGER, \
             PRIMARY KEY (group_id, from_position, from_ordinal), {}) WITHOUT ROWID",
            numbers(&[
                "group_id",
                "from_position",
                "from_ordinal",
                "to_position",
                "to_ordinal",
                "rows_left",
                "lease",
                "claimed_at",
                "until",
                "acknowledged_at",
            ])
        ),
        // So that to acknowledge a whole claim is one statement.
        format!(
            "CREATE TRIGGER IF NOT EXISTS {p}claim_acknowledged AFTER UPDATE OF acknowledged_at ON {p}claim BEGIN \
             UPDATE {p}group SET acknowledged_at = NEW.acknowledged_at WHERE id = NEW.group_id; \
             UPDATE {p}group SET next_position = NEW.to_position, next_ordinal = NEW.to_ordinal \
             WHERE id = NEW.group_id AND (next_position, next_ordinal) < (NEW.to_position, NEW.to_ordinal); \
             DELETE FROM {p}claim WHERE group_id = NEW.group_id \
             AND from_position = NEW.from_position AND from_ordinal = NEW.from_ordinal; END"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {p}delivery (group_id INTEGER NOT NULL, epoch INTEGER NOT NULL, \
             position INTEGER NOT NULL, ordinal INTEGER NOT NULL, kind INTEGER NOT NULL, namespace TEXT NOT NULL, \
             name TEXT NOT NULL, id BLOB NOT NULL, reason TEXT, origin INTEGER, recorded_at INTEGER NOT NULL, long_id BLOB, \
             state INTEGER NOT NULL, attempts INTEGER NOT NULL, available_at INTEGER NOT NULL, last_error TEXT, \
             lease INTEGER, owner TEXT, claimed_at INTEGER, until INTEGER, acknowledged_at INTEGER, \
             carried INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (group_id, epoch, position, ordinal), CHECK (state IN (0, 1, 2)), {}) WITHOUT ROWID",
            numbers(&[
                "group_id",
                "epoch",
                "position",
                "ordinal",
                "attempts",
                "available_at",
                "lease",
                "claimed_at",
                "until",
                "acknowledged_at",
            ])
        ),
        format!("CREATE INDEX IF NOT EXISTS {p}delivery_due ON {p}delivery (group_id, state, available_at)"),
    ]
}

/// Makes the tables, or finds them made: in one transaction, so two nodes may do it at once. A new log is the source `source`
/// in the epoch `epoch`.
pub(super) async fn migrate(pool: &SqlitePool, names: &Names, source: u64, epoch: u64) -> Result<(), Error> {
    let mut transaction = begin(pool, "BEGIN IMMEDIATE").await.map_err(failed)?;
    // Newer tables are left as they are.
    match meta(&mut transaction, names).await {
        Ok(found) if found.version > VERSION => check_version(found.version)?,
        Ok(found) if found.version < VERSION => add_to_nodes(&mut transaction, names).await?,
        Ok(_) | Err(Error::SchemaMissing) => {}
        Err(error) => return Err(error),
    }
    for statement in statements(names) {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    let p = names.prefix();
    let numbers = format!(
        "INSERT OR IGNORE INTO {p}meta (key, value) VALUES ('source', ?1), ('epoch', ?2), ('version', ?3), ('position', 0), ('floor', 1)"
    );
    sqlx::query(AssertSqlSafe(numbers))
        .bind(signed(source))
        .bind(signed(epoch))
        .bind(i64::from(VERSION))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let version = format!("UPDATE {p}meta SET value = ?1 WHERE key = 'version' AND value < ?1");
    sqlx::query(AssertSqlSafe(version))
        .bind(i64::from(VERSION))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// Version 1 knew of processes only what they are called.
async fn add_to_nodes(transaction: &mut SqliteConnection, names: &Names) -> Result<(), Error> {
    let p = names.prefix();
    let there = format!("SELECT name FROM pragma_table_info('{p}node')");
    let there: Vec<String> = sqlx::query_scalar(AssertSqlSafe(there))
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    for column in OF_NODES {
        let name = column.split(' ').next().unwrap_or_default();
        if there.is_empty() || there.iter().any(|there| there == name) {
            continue;
        }
        sqlx::raw_sql(AssertSqlSafe(format!("ALTER TABLE {p}node ADD COLUMN {column}")))
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

/// Whether this version of Larder can work with such tables.
pub(super) fn check_version(found: u32) -> Result<(), Error> {
    match found {
        VERSION => Ok(()),
        _ if found < VERSION => Err(Error::SchemaTooOld {
            found,
            needed: VERSION,
        }),
        _ => Err(Error::SchemaTooNew {
            found,
            known: VERSION,
        }),
    }
}

/// The numbers of the log.
pub(super) async fn meta(connection: &mut SqliteConnection, names: &Names) -> Result<Meta, Error> {
    let rows = sqlx::query(AssertSqlSafe(select_meta(names)))
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    meta_of(&rows)
}

/// Asks for the numbers of the log, and for the time.
pub(super) fn select_meta(names: &Names) -> String {
    let p = names.prefix();
    format!("SELECT key, value FROM {p}meta UNION ALL SELECT 'now', {NOW_MICROS}")
}

/// What the answer says.
pub(super) fn meta_of(rows: &[SqliteRow]) -> Result<Meta, Error> {
    let (mut meta, mut known) = (Meta::default(), 0);
    for row in rows {
        let key: String = row.try_get(0).map_err(failed)?;
        let value: i64 = row.try_get(1).map_err(failed)?;
        known += usize::from(NUMBERS.contains(&key.as_str()));
        if matches!(key.as_str(), "position" | "floor") && value < 0 {
            return Err(Error::Damaged);
        }
        match key.as_str() {
            "source" => meta.source = unsigned(value),
            "epoch" => meta.epoch = unsigned(value),
            "version" => meta.version = u32::try_from(value).unwrap_or(u32::MAX),
            "position" => meta.position = unsigned(value),
            "floor" => meta.floor = unsigned(value),
            "now" => meta.now = value,
            other => {
                let epoch = other
                    .strip_prefix("former/")
                    .map(|hex| u64::from_str_radix(hex, 16));
                meta.former.extend(epoch.and_then(Result::ok));
            }
        }
    }
    match known {
        0 => Err(Error::SchemaMissing),
        _ if known < NUMBERS.len() => Err(Error::Damaged),
        _ => Ok(meta),
    }
}
