//! `bytes`: what a target takes up on disk, with its indexes: short names, ids of up to six digits.

use super::hydracache::HydraCacheOutbox;
use super::{Database, Outcome, backlog, runtime};
use crate::{Report, Row, Target};

/// Commits, of two targets each.
const COMMITS: u64 = 50_000;

/// Measures and reports.
///
/// # Errors
/// When a database cannot be made or written, or standard output.
pub fn bytes(report: Report) -> Outcome {
    let runtime = runtime()?;
    let (ours, by_hand, hydracache) = runtime.block_on(async {
        let database = Database::new().await?;
        // Spread over six digits.
        let targets = |commit: u64| [("user", commit * 7 % 1_000_000), ("order", commit)];
        backlog(&database, COMMITS, targets).await?;
        let ours = database.bytes_of("larder_log").await?;
        let by_hand = database.bytes_of("poller").await?;
        let peer = HydraCacheOutbox::new().await?;
        peer.backlog(COMMITS, targets).await?;
        assert_eq!(peer.rows("pending").await?, 2 * COMMITS, "each target is a row");
        let hydracache = peer.bytes().await?;
        peer.close().await;
        drop(database.folder);
        Ok::<_, Box<dyn std::error::Error>>((ours, by_hand, hydracache))
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
    let hydracache = Some(("hydracache-db".to_owned(), each(hydracache)));
    report.row(&row(hydracache, Target::RatioAtMost(0.35)))?;
    Ok(())
}
