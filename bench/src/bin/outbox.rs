//! The benchmarks of the outbox, each with its rows: `record`, `follow`, `bytes`, `wait`.
//!
//! All of them take about a minute; the names of some run those alone. What is measured, and against what, stands in
//! `larder_bench::outbox`.

use larder_bench::{Counting, Report, outbox};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A benchmark, by the name that the contract gives it.
type Benchmark = (&'static str, fn(Report) -> outbox::Outcome);

fn main() -> outbox::Outcome {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let benchmarks: [Benchmark; 4] = [
        ("record", outbox::record),
        ("follow", outbox::follow),
        ("bytes", outbox::bytes),
        ("wait", outbox::wait),
    ];
    if let Some(unknown) = named
        .iter()
        .find(|name| benchmarks.iter().all(|(known, _)| known != name))
    {
        return Err(format!("there is no benchmark `{unknown}` here").into());
    }
    for (name, benchmark) in benchmarks {
        if named.is_empty() || named.iter().any(|wanted| wanted == name) {
            benchmark(Report)?;
        }
    }
    Ok(())
}
