//! The comparisons, and what they share: alternating rounds, bursts of threads, bytes counted by the allocator, and rows for the
//! page of results.
//!
//! Always true: all subjects of a comparison run in the same process, in each of five rounds, in an order that turns from
//! round to round, so that a machine that slows down slows them all; a result is the median of the rounds. Nothing here
//! chooses workloads, and nothing decides about a target but the comparison that states it.

pub mod bursts;
pub mod fence;
pub mod memory;
pub mod outbox;
pub mod pool;
pub mod replay;
pub mod report;
pub mod rounds;
pub mod traces;

pub use bursts::burst;
pub use memory::{Counting, bytes_kept};
pub use report::{Report, Row, Target};
pub use rounds::{Measured, ROUNDS, Rounds};
