//! Integration tests of `larder-testkit`, one binary, a module a topic: who checks the checkers.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

// The append-and-recover log over simulated and real files: crashes, faults, damage.
mod append_log;
// Clock, entropy, seeds.
mod doubles;
// The simulated disk's own promises, and those it shares with the real files.
mod storage;
// The seed files of the fuzz targets, replayed.
mod replay;
