//! The benchmarks of the outbox, each with its rows: `record`, `follow`, `drain`, `old_snapshot`, `bytes`, `lag`,
//! `wait`, `status`.
//!
//! All of them take about three minutes; the names of some run those alone. What is measured, and against what, stands in
//! `larder_bench::outbox`.

use larder_bench::{Counting, Outcome, outbox, run_named};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Outcome {
    run_named(&[
        ("record", outbox::record),
        ("follow", outbox::follow),
        ("drain", outbox::drain),
        ("old_snapshot", outbox::old_snapshot),
        ("bytes", outbox::bytes),
        ("lag", outbox::lag),
        ("wait", outbox::wait),
        ("status", outbox::status),
    ])
}
