//! `bytes`: what a target takes up on disk, with its indexes: short names, ids of up to six digits.

use larder_core::Invalidations;
use larder_outbox::Outbox;

use super::{Database, Outcome, body, runtime};
use crate::{Report, Row, Target};

/// Commits, of two targets each.
const COMMITS: u64 = 50_000;
const COMMITS_AT_ONCE: u64 = 1_000;

/// Measures and reports.
///
/// # Errors
/// When a database cannot be made or written, or standard output.
pub fn bytes(report: Report) -> Outcome {
    let runtime = runtime()?;
    let (ours, by_hand) = runtime.block_on(async {
        let database = Database::new().await?;
        let builder = Outbox::builder(database.pool.clone());
        builder.migrate().await?;
        let outbox = builder.open().await?;
        for first in (0..COMMITS).step_by(usize::try_from(COMMITS_AT_ONCE)?) {
            let mut transaction = database.pool.begin_with("BEGIN IMMEDIATE").await?;
            for commit in first..first + COMMITS_AT_ONCE {
                // Spread over six digits.
                let id = commit * 7 % 1_000_000;
                let batch = Invalidations::default()
                    .entity("user", id)?
                    .entity("order", commit)?;
                let _ = outbox.record(&mut transaction, &batch).await?;
                sqlx::query("INSERT INTO poller (body) VALUES (?), (?)")
                    .bind(body("user", id))
                    .bind(body("order", commit))
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
        }
        let ours = database.bytes_of("larder_log").await?;
        let by_hand = database.bytes_of("poller").await?;
        drop(database.folder);
        Ok::<_, Box<dyn std::error::Error>>((ours, by_hand))
    })?;
    let each = |bytes: i64| f64::from(i32::try_from(bytes).unwrap_or(i32::MAX)) / 100_000.0;
    let row = |peer, target| Row {
        benchmark: "bytes",
        case: "a target, of 100,000".to_owned(),
        larder: each(ours),
        unit: "B",
        peer,
        ratios: Vec::new(),
        target,
    };
    report.row(&row(None, Target::AtMost(64.0)))?;
    let poller = Some(("poller".to_owned(), each(by_hand)));
    report.row(&row(poller, Target::RatioAtMost(1.5)))?;
    Ok(())
}
