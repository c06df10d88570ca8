//! A queue as services write it by hand: one table with a state, rows claimed 256 at a time and acknowledged together.
//!
//! SQLite has one writer at a time, so that a claim needs no lock that others skip: the statement that claims is a transaction
//! of its own, which takes the writer's place at once. An index holds the rows that wait and no others, so that a claim does
//! not look through those that are done. When a row was claimed is kept, as for finding claims whose owner is gone.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use super::{Database, body};

const TABLE: &str = "CREATE TABLE queue (id INTEGER PRIMARY KEY, body TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending', claimed_at INTEGER)";
const INDEX: &str = "CREATE INDEX queue_pending ON queue (id) WHERE state = 'pending'";
/// A number stands in the place of `#`.
const INSERT: &str =
    "WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < ?1)
    INSERT INTO queue (body) SELECT replace(?2, '#', n) FROM number";
const CLAIM: &str = "UPDATE queue SET state = 'claimed', claimed_at = unixepoch()
    WHERE id IN (SELECT id FROM queue WHERE state = 'pending' ORDER BY id LIMIT 256) RETURNING id, body";
const ACKNOWLEDGE: &str = "UPDATE queue SET state = 'done'
    WHERE id IN (SELECT value FROM json_each(?)) AND state = 'claimed'";

/// How long a backlog of so many rows takes to be claimed, published to nobody, and acknowledged.
pub(super) async fn drained(rows: u64) -> Result<Duration, Box<dyn Error>> {
    let database = Database::new().await?;
    create(&database).await?;
    backlog(&database, rows).await?;
    let took = acknowledged(&database, rows).await?;
    database.close().await;
    Ok(took)
}

/// Makes the table.
pub(super) async fn create(database: &Database) -> Result<(), sqlx::Error> {
    sqlx::query(TABLE).execute(&database.pool).await?;
    sqlx::query(INDEX).execute(&database.pool).await?;
    Ok(())
}

/// How long all rows that wait, which are so many, take to be claimed, published to nobody, and acknowledged.
pub(super) async fn acknowledged(database: &Database, rows: u64) -> Result<Duration, Box<dyn Error>> {
    let before = done(database).await?;
    let start = Instant::now();
    let mut published = 0;
    loop {
        let claimed: Vec<(i64, String)> = sqlx::query_as(CLAIM).fetch_all(&database.pool).await?;
        if claimed.is_empty() {
            break;
        }
        for (_, body) in &claimed {
            black_box(body);
            published += 1;
        }
        let ids: Vec<String> = claimed.iter().map(|(id, _)| id.to_string()).collect();
        sqlx::query(ACKNOWLEDGE)
            .bind(format!("[{}]", ids.join(",")))
            .execute(&database.pool)
            .await?;
    }
    let took = start.elapsed();
    assert_eq!(published, rows, "every row is published");
    assert_eq!(done(database).await? - before, rows, "every row is acknowledged");
    Ok(took)
}

async fn done(database: &Database) -> Result<u64, Box<dyn Error>> {
    let done: i64 = sqlx::query_scalar("SELECT count(*) FROM queue WHERE state = 'done'")
        .fetch_one(&database.pool)
        .await?;
    Ok(u64::try_from(done)?)
}

/// So many rows that wait.
pub(super) async fn backlog(database: &Database, rows: u64) -> Result<(), Box<dyn Error>> {
    sqlx::query(INSERT)
        .bind(i64::try_from(rows)?)
        .bind(body("account", '#'))
        .execute(&database.pool)
        .await?;
    Ok(())
}
