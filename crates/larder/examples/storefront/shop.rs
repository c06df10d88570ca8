//! The database: a real table in a file of its own, and how rows are read and written there.

use crate::Fault;
use larder::Entity;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const CATEGORIES: u32 = 100;

/// Connections that loads share; SQLite has one that writes.
pub(crate) const CONNECTIONS: u32 = 4;

/// A row. Products of a category carry its tag.
#[derive(Clone, Debug, Entity)]
pub(crate) struct Product {
    pub(crate) id: u32,
    #[entity(tag = "category")]
    pub(crate) category: u32,
    pub(crate) name: String,
    pub(crate) cents: u32,
    pub(crate) version: u32,
    /// Pieces in all warehouses.
    pub(crate) stock: u32,
}

/// A row that a commit has changed, and its version since.
pub(crate) type Change = (u32, u32);

/// Made in one go, one statement after the other.
const SCHEMA: &str = "
CREATE TABLE products (id INTEGER PRIMARY KEY, category INTEGER NOT NULL, name TEXT NOT NULL, cents INTEGER NOT NULL,
    version INTEGER NOT NULL);
CREATE TABLE stock (product INTEGER NOT NULL, warehouse INTEGER NOT NULL, pieces INTEGER NOT NULL,
    PRIMARY KEY (product, warehouse)) WITHOUT ROWID";

/// The tables of products and of what is in stock, and a folder that goes with them.
pub(crate) struct Shop {
    reader: SqlitePool,
    writer: SqlitePool,
    loads: AtomicU64,
    _folder: TempDir,
}

impl Shop {
    /// A new file with so many products, each of version 1.
    pub(crate) async fn open(products: u32) -> Result<Shop, Fault> {
        let folder = tempfile::tempdir()?;
        let file = SqliteConnectOptions::new()
            .filename(folder.path().join("shop.sqlite"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(10));
        let writer = SqlitePoolOptions::new().max_connections(1);
        let writer = writer.connect_with(file.clone()).await?;
        sqlx::raw_sql(SCHEMA).execute(&writer).await?;
        sqlx::query(
            "WITH RECURSIVE row(id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM row WHERE id + 1 < ?) \
             INSERT INTO products SELECT id, id % ?, 'product ' || id, 100 + id % 9900, 1 FROM row",
        )
        .bind(products)
        .bind(CATEGORIES)
        .execute(&writer)
        .await?;
        sqlx::query("INSERT INTO stock SELECT id, 1, id % 7 FROM products UNION ALL SELECT id, 2, id % 11 FROM products")
            .execute(&writer)
            .await?;
        sqlx::query("CREATE INDEX products_by_category ON products (category)")
            .execute(&writer)
            .await?;
        let reader = SqlitePoolOptions::new().max_connections(CONNECTIONS);
        Ok(Shop {
            reader: reader.connect_with(file.read_only(true)).await?,
            writer,
            loads: AtomicU64::new(0),
            _folder: folder,
        })
    }

    /// Reads a product and what is in stock of it: two queries, each on whichever connection is free.
    pub(crate) async fn load(&self, id: u32) -> Result<Option<Product>, sqlx::Error> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let row = sqlx::query_as::<_, (u32, String, u32, u32)>(
            "SELECT category, name, cents, version FROM products WHERE id = ?",
        )
        .bind(id)
        .fetch_optional(&self.reader)
        .await?;
        let Some((category, name, cents, version)) = row else {
            return Ok(None);
        };
        let stock = sqlx::query_scalar("SELECT sum(pieces) FROM stock WHERE product = ?")
            .bind(id)
            .fetch_one(&self.reader)
            .await?;
        Ok(Some(Product {
            id,
            category,
            name,
            cents,
            version,
            stock,
        }))
    }

    /// How often a product was loaded.
    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }

    /// Changes one product. When this returns it is committed.
    pub(crate) async fn change_product(&self, id: u32) -> Result<Vec<Change>, sqlx::Error> {
        self.change(
            "UPDATE products SET cents = cents + 1, version = version + 1 WHERE id = ? RETURNING id, version",
            id,
        )
        .await
    }

    /// Changes every product of a category. When this returns it is committed.
    pub(crate) async fn change_category(&self, category: u32) -> Result<Vec<Change>, sqlx::Error> {
        self.change(
            "UPDATE products SET cents = cents + 1, version = version + 1 WHERE category = ? RETURNING id, version",
            category,
        )
        .await
    }

    async fn change(&self, update: &'static str, of: u32) -> Result<Vec<Change>, sqlx::Error> {
        let mut transaction = self.writer.begin().await?;
        let changed = sqlx::query_as(update)
            .bind(of)
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(changed)
    }

    /// Lets go of the file.
    pub(crate) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}
