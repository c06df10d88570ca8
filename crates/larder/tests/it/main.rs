//! What the facade promises beside the parts that it joins: which names are found where, and that what a service builds from
//! its names alone behaves.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

// Who joins a load that something has overtaken.
mod joins;
// Parts over one fence, transactions, waits, tasks.
mod layer;
// Which names are found where.
mod names;
