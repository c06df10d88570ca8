//! What the facade promises beside the parts that it joins: which names are found where, and that what a service builds from
//! its names alone behaves.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and is no interface"
)]

// What is given on of the parts.
mod exports;
// Which features there are.
mod features;
// Who joins a load that something has overtaken.
mod joins;
// Parts over one fence, transactions, waits, tasks.
mod layer;
// Which names are found where.
mod names;
// Bytes as they may come.
mod seeds;
// Several layers over one log in memory, from a seed.
mod simulation;
