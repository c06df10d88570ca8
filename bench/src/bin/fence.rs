//! The benchmarks of the fence, each with its rows: `fence_check`, `fence_pin`, `fence_invalidate`, `fence_memory`.
//!
//! All of them take about a minute; the names of some run those alone. What is measured, and against what, stands in
//! `larder_bench::fence`.

use larder_bench::{Counting, Report, fence};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A benchmark, by the name that the contract gives it.
type Benchmark = (&'static str, fn(Report) -> fence::Outcome);

fn main() -> fence::Outcome {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let benchmarks: [Benchmark; 4] = [
        ("fence_check", fence::check),
        ("fence_pin", fence::pin),
        ("fence_invalidate", fence::invalidate),
        ("fence_memory", fence::memory),
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
