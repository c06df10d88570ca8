//! The benchmarks of the typed pool, each with its rows, by the names of the pool's contract, section 20.
//!
//! All of them take a few minutes; the names of some run those alone. What is measured, and against what, stands in
//! `larder_bench::pool`.

use larder_bench::{Counting, Report, pool};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A benchmark, by the name that the contract gives it.
type Benchmark = (&'static str, fn(Report) -> pool::Outcome);

fn main() -> pool::Outcome {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let benchmarks: [Benchmark; 11] = [
        ("get", pool::get),
        ("get_two_threads", pool::get_two_threads),
        ("get_while_writing", pool::get_while_writing),
        ("insert", pool::insert),
        ("insert_at_capacity", pool::insert_at_capacity),
        ("mixed_zipf", pool::mixed_zipf),
        ("expiry_churn", pool::expiry_churn),
        ("fetch_hit", pool::fetch_hit),
        ("fetch_miss", pool::fetch_miss),
        ("fetch_herd", pool::fetch_herd),
        ("memory", pool::memory),
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
