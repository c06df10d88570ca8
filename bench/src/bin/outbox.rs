//! The benchmarks of the outbox, each with its rows: `record`, `follow`, `drain`, `bytes`, `wait`.
//!
//! All of them take about a minute; the names of some run those alone. What is measured, and against what, stands in
//! `larder_bench::outbox`.

use larder_bench::{Counting, Outcome, outbox, run_named};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Outcome {
    run_named(&[
        ("record", outbox::record),
        ("follow", outbox::follow),
        ("drain", outbox::drain),
        ("bytes", outbox::bytes),
        ("wait", outbox::wait),
    ])
}
