//! Integration tests of `larder-pool`, one binary, a module a topic.
#![allow(clippy::unwrap_used, reason = "tests may")]
