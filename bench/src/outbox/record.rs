//! `record`: transactions with one business update, and two short targets recorded.

use larder_core::Invalidations;
use larder_outbox::Outbox;

use super::hydracache::HydraCacheOutbox;
use super::{Database, Outcome, body, runtime, throughput};
use crate::{ROUNDS, Report, Rounds, Target};

/// Transactions of a round.
const TRANSACTIONS: u64 = 2_000;

/// The business update of each transaction.
pub(crate) const UPDATE: &str = "UPDATE accounts SET amount = amount + 1 WHERE id = 1";

/// Measures and reports.
///
/// # Errors
/// When a database cannot be made or written, or standard output.
pub fn record(report: Report) -> Outcome {
    let runtime = runtime()?;
    let (ours, by_hand, without) =
        runtime.block_on(async { tokio::try_join!(Database::new(), Database::new(), Database::new()) })?;
    let outbox = runtime.block_on(async {
        let builder = Outbox::builder(ours.pool.clone());
        builder.migrate().await?;
        builder.open().await
    })?;
    let hydracache = runtime.block_on(HydraCacheOutbox::new())?;
    let mut rounds = Rounds::new(TRANSACTIONS);
    rounds.subject("larder", |times| {
        runtime.block_on(async {
            for id in 0..times {
                larder(&outbox, id).await.expect("a transaction of the outbox");
            }
        });
    });
    rounds.subject("hydracache-db", |times| {
        runtime.block_on(async {
            for id in 0..times {
                let targets = [("account", id), ("owner", id)];
                let recorded = hydracache.record(targets).await;
                recorded.expect("a transaction of HydraCache's outbox");
            }
        });
    });
    rounds.subject("poller", |times| {
        runtime.block_on(async {
            for id in 0..times {
                poller(&by_hand, id).await.expect("a transaction by hand");
            }
        });
    });
    rounds.subject("no outbox", |times| {
        runtime.block_on(async {
            for _ in 0..times {
                plain(&without).await.expect("a transaction");
            }
        });
    });
    let measured = rounds.run();
    let transactions = TRANSACTIONS.div_ceil(10) + TRANSACTIONS * u64::try_from(ROUNDS)?;
    assert_eq!(
        runtime.block_on(hydracache.rows("pending"))?,
        2 * transactions,
        "two targets a transaction, of the rounds and of the one that warms up"
    );
    let targets = [
        ("hydracache-db", Target::RatioAtLeast(2.0)),
        ("poller", Target::RatioAtLeast(0.6)),
    ];
    throughput(report, "record", "an update and two targets", &measured, &targets)?;
    Ok(())
}

/// One transaction of the outbox: a business update, and two targets.
pub(super) async fn larder(outbox: &Outbox<sqlx::Sqlite>, id: u64) -> Result<(), Box<dyn std::error::Error>> {
    let batch = Invalidations::default()
        .entity("account", id)?
        .entity("owner", id)?;
    let mut transaction = outbox.begin().await?;
    sqlx::query(UPDATE).execute(transaction.connection()).await?;
    transaction.commit_with(&batch).await?;
    Ok(())
}

pub(crate) async fn poller(database: &Database, id: u64) -> Result<(), sqlx::Error> {
    let mut transaction = database.pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(UPDATE).execute(&mut *transaction).await?;
    sqlx::query("INSERT INTO poller (body) VALUES (?), (?)")
        .bind(body("account", id))
        .bind(body("owner", id))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

pub(crate) async fn plain(database: &Database) -> Result<(), sqlx::Error> {
    let mut transaction = database.pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(UPDATE).execute(&mut *transaction).await?;
    transaction.commit().await
}
