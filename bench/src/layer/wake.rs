//! `wake`: what one explanation takes. How soon who waits is woken is measured of the outbox, which does it: `wait`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use larder::Entity as _;
use sqlx::Sqlite;

use super::transaction_cost::transaction;
use super::{Account, Outcome, filled, layer, runtime};
use crate::outbox::Database;
use crate::{Report, Row, Target};

/// How many targets are explained.
const EXPLAINED: u64 = 10_000;

/// Measures and reports.
///
/// # Errors
/// When a database cannot be made or written, or standard output.
pub fn wake(report: Report) -> Outcome {
    let runtime = runtime()?;
    let database = runtime.block_on(Database::new())?;
    let layer = runtime.block_on(layer(&database))?;
    let outbox = layer.outbox::<Sqlite>()?;
    filled(&layer.pool()?)?;
    runtime.block_on(transaction(&layer, &outbox, 7))?;
    let targets = (0..EXPLAINED).map(|id| larder::Target::entity(Account::name(), id));
    let targets = targets.collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    for target in &targets {
        black_box(layer.explain(black_box(target)));
    }
    let explained = begun.elapsed().as_secs_f64() * 1e6 / targets.len() as f64;
    report.row(&Row {
        benchmark: "wake",
        case: "explain once".to_owned(),
        larder: explained,
        unit: "us",
        peer: None,
        ratios: Vec::new(),
        target: Target::AtMost(50.0),
    })?;
    runtime.block_on(layer.shutdown(Duration::from_secs(5)));
    Ok(())
}
