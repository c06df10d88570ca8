//! The benchmarks of the layer, each with its rows: `facade_read`, `transaction_cost` (with `transaction_peer`), `lag`, `coherence`, `wake`,
//! `replay`.
//!
//! All of them take four minutes, most of it `coherence`; the names of some run those alone. What is measured, and against what, stands in
//! `larder_bench::layer`.

use larder_bench::{Counting, Outcome, layer, run_named};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Outcome {
    run_named(&[
        ("facade_read", layer::facade_read),
        ("transaction_cost", layer::transaction_cost),
        ("lag", layer::lag),
        ("coherence", layer::coherence),
        ("wake", layer::wake),
        ("replay", layer::replay),
    ])
}
