//! Integration tests of `larder-memory`, one binary, a module a topic.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

// Single-flight loads.
mod flight;
