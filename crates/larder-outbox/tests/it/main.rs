//! What an outbox promises, tried through its public interface.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and is no interface"
)]

// Databases of each kind, a table of users, and what a follower would see.
mod ground;

// Batches in transactions.
mod recording;
// What each commit costs.
mod cost;
// Transactions that the outbox begins.
mod transactions;
// Transactions that end with their last batch.
mod ending;
// Tables, versions, rows of others.
mod tables;
// The log as a source.
mod reading;
// Followers: what a node learns, and when.
mod following;
// Followers that run, and sources that fail.
mod running;
// Waits for tokens.
mod waiting;
// Every store against what the contract asks of any.
mod stores;
// Nodes that know of each other.
mod members;
// Tables of nodes.
mod node_tables;
// Waits for other nodes, and for groups.
mod awaiting_others;
// How long rows are kept.
mod purging;
// Relays: what becomes of the rows that they hand over.
mod relaying;
// Several nodes and relays over a log in memory, from a seed.
mod simulation;
// What a question about a group costs.
mod asking;
// What is told of followers, groups and nodes.
mod watching;
// What was found from outside.
mod found;
// What was found by tampering.
mod found_by_tampering;
// Processes that are killed.
mod processes;
// Commits of which nobody can say whether they happened.
mod deciding;
// Restored and replaced files.
mod epochs;
// Rows of any bytes.
mod seeds;
// What other processes write to the files.
#[cfg(target_os = "linux")]
mod file_hints;
