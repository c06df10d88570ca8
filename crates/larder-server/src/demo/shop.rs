//! The shop of the demo: its tables, its entities, and what its writers do.
//!
//! What is always true: each change of a row raises its version by one, writes a row of the history in the same transaction, and names the row as
//! an invalidation. A row that is created again goes on from the version with which it was deleted.

use std::path::Path;
use std::time::Duration;

use larder::pool::{LoadContext, PoolBuilder};
use larder::{Entity, Layer, Pool, Token, Tx};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqlitePool};

use super::checker::{Change, RowKey};
use crate::fault::Fault;

pub(crate) const CUSTOMER: u8 = 1;
pub(crate) const PRODUCT: u8 = 2;
pub(crate) const ORDER: u8 = 3;

/// Rows of the shop, by kind: the table, and the column that writers change.
const TABLES: [(u8, &str, &str); 2] = [(CUSTOMER, "customers", "city"), (PRODUCT, "products", "price")];

#[derive(Debug, Entity)]
pub(crate) struct Customer {
    pub(crate) id: i64,
    pub(crate) version: u64,
    pub(crate) name: String,
    pub(crate) city: String,
}

#[derive(Debug, Entity)]
pub(crate) struct Product {
    pub(crate) id: i64,
    pub(crate) version: u64,
    pub(crate) name: String,
    pub(crate) price: i64,
}

#[derive(Debug, Entity)]
#[entity(name = "order")]
pub(crate) struct Order {
    pub(crate) id: i64,
    pub(crate) version: u64,
    pub(crate) customer: i64,
    pub(crate) product: i64,
}

/// How many rows there are at first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) customers: u32,
    pub(crate) products: u32,
}

/// What was committed when: the truth of the checker, written in the writers' own transactions.
pub(crate) const HISTORY: &str = "CREATE TABLE history (seq INTEGER PRIMARY KEY, position INTEGER NOT NULL, kind INTEGER NOT NULL, \
     id INTEGER NOT NULL, version INTEGER NOT NULL, deleted INTEGER NOT NULL)";

/// A database in write-ahead mode, as a service would open it; made if it is not there.
pub(crate) async fn open(file: &Path, connections: u32) -> Result<SqlitePool, sqlx::Error> {
    connect(options(file).create_if_missing(true), connections).await
}

/// The same of a database that is there: one that is not is a fault.
pub(crate) async fn reopen(file: &Path, connections: u32) -> Result<SqlitePool, sqlx::Error> {
    connect(options(file), connections).await
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(10))
}

async fn connect(options: SqliteConnectOptions, connections: u32) -> Result<SqlitePool, sqlx::Error> {
    let pool = SqlitePoolOptions::new().max_connections(connections);
    pool.connect_with(options).await
}

/// Makes the tables and the first rows; tells how many rows there are as it goes.
pub(crate) async fn prepare(
    database: &SqlitePool,
    size: Size,
    mut told: impl FnMut(u64),
) -> Result<(), Fault> {
    for sql in [
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, name TEXT NOT NULL, city TEXT NOT NULL)",
        "CREATE TABLE products (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, name TEXT NOT NULL, price INTEGER NOT NULL)",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, customer INTEGER NOT NULL, product INTEGER NOT NULL)",
        HISTORY,
        "CREATE INDEX history_of_row ON history (kind, id, version)",
    ] {
        sqlx::query(sql).execute(database).await?;
    }
    let rows = [
        (
            CUSTOMER,
            size.customers,
            "INSERT INTO customers SELECT value, 1, 'customer ' || value, 'Porto' FROM range",
        ),
        (
            PRODUCT,
            size.products,
            "INSERT INTO products SELECT value, 1, 'product ' || value, value % 90 + 10 FROM range",
        ),
    ];
    const PART: u32 = 5_000;
    let mut done = 0;
    for (kind, count, insert) in rows {
        for first in (1..=count).step_by(usize::try_from(PART)?) {
            let last = count.min(first + PART - 1);
            let mut transaction = database.begin_with("BEGIN IMMEDIATE").await?;
            let range = "WITH RECURSIVE range(value) AS (SELECT ?1 UNION ALL SELECT value + 1 FROM range WHERE value < ?2)";
            let history = "INSERT INTO history (position, kind, id, version, deleted) SELECT 0, ?3, value, 1, 0 FROM range";
            for statement in [insert, history] {
                sqlx::query(AssertSqlSafe(format!("{range} {statement}")))
                    .bind(first)
                    .bind(last)
                    .bind(kind)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            done += u64::from(last - first + 1);
            told(done);
        }
    }
    Ok(())
}

/// The history after a row of it, in order; and the last row that was read.
pub(crate) async fn history_after(
    database: &SqlitePool,
    seq: i64,
) -> Result<(Vec<Change>, i64), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT seq, position, kind, id, version, deleted FROM history WHERE seq > ? ORDER BY seq",
    )
    .bind(seq)
    .fetch_all(database)
    .await?;
    let mut last = seq;
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        last = row.try_get(0)?;
        changes.push(Change {
            position: row.try_get::<i64, _>(1)?.unsigned_abs(),
            row: (row.try_get(2)?, row.try_get(3)?),
            version: row.try_get::<i64, _>(4)?.unsigned_abs(),
            deleted: row.try_get(5)?,
        });
    }
    Ok((changes, last))
}

/// The version of a row as the database has it now; none if there is no such row.
pub(crate) async fn version_of(
    database: &SqlitePool,
    (kind, id): RowKey,
) -> Result<Option<u64>, sqlx::Error> {
    let table = match kind {
        ORDER => "orders",
        kind => table(kind).1,
    };
    let sql = format!("SELECT version FROM {table} WHERE id = ?");
    let version: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(database)
        .await?;
    Ok(version.map(i64::unsigned_abs))
}

/// A pool of customers that loads from the database.
pub(crate) fn customers(database: &SqlitePool, seam: Seam) -> PoolBuilder<Customer> {
    let database = database.clone();
    Pool::builder()
        .capacity_entries(100_000)
        .loader(move |load: LoadContext<Customer>| {
            let (database, seam) = (database.clone(), seam.clone());
            async move {
                let row = sqlx::query("SELECT version, name, city FROM customers WHERE id = ?").bind(load.id);
                let row = row.fetch_optional(&database).await?;
                let value = row.map(|row| {
                    Ok::<_, sqlx::Error>(Customer {
                        id: load.id,
                        version: seam.version((CUSTOMER, load.id), row.try_get::<i64, _>(0)?.unsigned_abs()),
                        name: row.try_get(1)?,
                        city: row.try_get(2)?,
                    })
                });
                value.transpose()
            }
        })
}

/// A pool of products that loads from the database.
pub(crate) fn products(database: &SqlitePool, seam: Seam) -> PoolBuilder<Product> {
    let database = database.clone();
    Pool::builder()
        .capacity_entries(100_000)
        .loader(move |load: LoadContext<Product>| {
            let (database, seam) = (database.clone(), seam.clone());
            async move {
                let row = sqlx::query("SELECT version, name, price FROM products WHERE id = ?").bind(load.id);
                let row = row.fetch_optional(&database).await?;
                let value = row.map(|row| {
                    Ok::<_, sqlx::Error>(Product {
                        id: load.id,
                        version: seam.version((PRODUCT, load.id), row.try_get::<i64, _>(0)?.unsigned_abs()),
                        name: row.try_get(1)?,
                        price: row.try_get(2)?,
                    })
                });
                value.transpose()
            }
        })
}

/// A pool of orders that loads from the database.
pub(crate) fn orders(database: &SqlitePool) -> PoolBuilder<Order> {
    let database = database.clone();
    Pool::builder()
        .capacity_entries(100_000)
        .loader(move |load: LoadContext<Order>| {
            let database = database.clone();
            async move {
                let row =
                    sqlx::query("SELECT version, customer, product FROM orders WHERE id = ?").bind(load.id);
                let row = row.fetch_optional(&database).await?;
                let value = row.map(|row| {
                    Ok::<_, sqlx::Error>(Order {
                        id: load.id,
                        version: row.try_get::<i64, _>(0)?.unsigned_abs(),
                        customer: row.try_get(1)?,
                        product: row.try_get(2)?,
                    })
                });
                value.transpose()
            }
        })
}

/// What a loader passes versions through: as they are, or, where its promise is to be broken, sometimes the one before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seam {
    pub(crate) is_old: bool,
}

impl Seam {
    fn version(&self, (_, id): (u8, i64), version: u64) -> u64 {
        if self.is_old && version > 1 && (id.unsigned_abs() + version).is_multiple_of(16) {
            return version - 1;
        }
        version
    }
}

/// What one transaction of a writer does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    /// Changes a row; creates it if it is not there.
    Change { kind: u8, id: i64 },
    /// Deletes a row, if it is there.
    Delete { kind: u8, id: i64 },
    /// Places an order, which changes the product too.
    Order { customer: i64, product: i64 },
}

impl Deed {
    /// The rows that it changes, if it changes any: `row` is the one that it was about.
    pub(crate) fn changed(self, row: RowKey) -> impl Iterator<Item = RowKey> {
        let more = match self {
            Deed::Order { product, .. } => Some((PRODUCT, product)),
            Deed::Change { .. } | Deed::Delete { .. } => None,
        };
        std::iter::once(row).chain(more)
    }
}

/// The row that a deed was about, if it changed one.
pub(crate) async fn perform(tx: &mut Tx<'_, Sqlite>, deed: Deed) -> Result<Option<(u8, i64)>, Fault> {
    match deed {
        Deed::Change { kind, id } => {
            change(tx, kind, id).await?;
            Ok(Some((kind, id)))
        }
        Deed::Delete { kind, id } => {
            let (_, table, _) = table(kind);
            let sql = format!("DELETE FROM {table} WHERE id = ? RETURNING version");
            let version: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(id)
                .fetch_optional(tx.connection())
                .await?;
            let Some(version) = version else { return Ok(None) };
            write_down(tx, kind, id, version + 1, true).await?;
            Ok(Some((kind, id)))
        }
        Deed::Order { customer, product } => {
            let id: i64 = sqlx::query_scalar(
                "INSERT INTO orders (version, customer, product) VALUES (1, ?, ?) RETURNING id",
            )
            .bind(customer)
            .bind(product)
            .fetch_one(tx.connection())
            .await?;
            write_down(tx, ORDER, id, 1, false).await?;
            change(tx, PRODUCT, product).await?;
            Ok(Some((ORDER, id)))
        }
    }
}

fn table(kind: u8) -> (u8, &'static str, &'static str) {
    if kind == CUSTOMER { TABLES[0] } else { TABLES[1] }
}

async fn change(tx: &mut Tx<'_, Sqlite>, kind: u8, id: i64) -> Result<(), Fault> {
    let (_, table, column) = table(kind);
    let sql = format!(
        "UPDATE {table} SET version = version + 1, {column} = version WHERE id = ? RETURNING version"
    );
    let version: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(tx.connection())
        .await?;
    let version = match version {
        Some(version) => version,
        None => {
            let sql = format!(
                "INSERT INTO {table} SELECT ?2, coalesce(max(version), 0) + 1, 'again', coalesce(max(version), 0) FROM history \
                 WHERE kind = ?1 AND id = ?2 RETURNING version"
            );
            sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(kind)
                .bind(id)
                .fetch_one(tx.connection())
                .await?
        }
    };
    write_down(tx, kind, id, version, false).await
}

/// The change in the history; and its invalidation.
async fn write_down(
    tx: &mut Tx<'_, Sqlite>,
    kind: u8,
    id: i64,
    version: i64,
    deleted: bool,
) -> Result<(), Fault> {
    write_history(tx, (kind, id), version, deleted).await?;
    match kind {
        CUSTOMER => tx.invalidate::<Customer>(&id)?,
        PRODUCT => tx.invalidate::<Product>(&id)?,
        _ => tx.invalidate::<Order>(&id)?,
    };
    Ok(())
}

/// A change of a row, under the position of its transaction.
pub(crate) async fn write_history(
    tx: &mut Tx<'_, Sqlite>,
    (kind, id): RowKey,
    version: i64,
    deleted: bool,
) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO history (position, kind, id, version, deleted) \
               SELECT value, ?, ?, ?, ? FROM larder_meta WHERE key = 'position'";
    sqlx::query(sql)
        .bind(kind)
        .bind(id)
        .bind(version)
        .bind(deleted)
        .execute(tx.connection())
        .await
        .map(drop)
}

/// Everything up to this position has been applied on the node of a layer.
pub(crate) fn applied(layer: &Layer) -> u64 {
    let cursors = layer.fence().cursors();
    let horizon = cursors.first().map_or(0, |cursor| cursor.horizon().get());
    horizon.saturating_sub(1)
}

/// The position of the commit that a token names; none if it names none.
pub(crate) fn position_of(token: &Token) -> Option<u64> {
    let asked = token.requirements().first();
    asked.map(|asked| asked.max_position().get())
}
