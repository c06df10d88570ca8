//! The comparisons, and what they share: alternating rounds, bursts of threads, bytes counted by the allocator, and rows for the
//! page of results.
//!
//! Always true: all subjects of a comparison run in the same process, in each of five rounds, in an order that turns from
//! round to round, so that a machine that slows down slows them all; a result is the median of the rounds. Nothing here
//! chooses workloads, and nothing decides about a target but the comparison that states it.

pub mod bursts;
pub mod fence;
mod lags;
pub mod layer;
pub mod memory;
pub mod outbox;
pub mod pool;
pub mod replay;
pub mod report;
pub mod rounds;
pub mod traces;

use std::error::Error;

pub use bursts::burst;
pub use memory::{Counting, bytes_kept};
pub use report::{Report, Row, Target};
pub use rounds::{Measured, ROUNDS, Rounds};

/// What a benchmark may fail of: an output that is closed, a runtime or a database that cannot be made.
pub type Outcome = Result<(), Box<dyn Error>>;

/// A benchmark, by the name that the contract gives it.
pub type Benchmark = (&'static str, fn(Report) -> Outcome);

/// Runs the benchmarks that the command line names, or all of them.
///
/// # Errors
/// When one is named that is not here, and when one fails.
pub fn run_named(benchmarks: &[Benchmark]) -> Outcome {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let is_here = |name: &&String| benchmarks.iter().any(|(known, _)| known == name);
    if let Some(unknown) = named.iter().find(|name| !is_here(name)) {
        return Err(format!("there is no benchmark `{unknown}` here").into());
    }
    for (name, benchmark) in benchmarks {
        if named.is_empty() || named.iter().any(|wanted| wanted == name) {
            benchmark(Report)?;
        }
    }
    Ok(())
}
