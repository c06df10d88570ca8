//! The benchmarks of the fence, each with its rows: `fence_check`, `fence_pin`, `fence_invalidate`, `fence_memory`.
//!
//! All of them take about a minute; the names of some run those alone. What is measured, and against what, stands in
//! `larder_bench::fence`.

use larder_bench::{Counting, Outcome, fence, run_named};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Outcome {
    run_named(&[
        ("fence_check", fence::check),
        ("fence_pin", fence::pin),
        ("fence_invalidate", fence::invalidate),
        ("fence_memory", fence::memory),
    ])
}
