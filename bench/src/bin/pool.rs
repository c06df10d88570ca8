//! The benchmarks of the typed pool, each with its rows, by the names of the pool's contract, section 20.
//!
//! All of them take a few minutes; the names of some run those alone. What is measured, and against what, stands in
//! `larder_bench::pool`.

use larder_bench::{Counting, Outcome, pool, run_named};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Outcome {
    run_named(&[
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
    ])
}
