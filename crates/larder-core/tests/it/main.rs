//! Integration tests of `larder-core`, one binary, a module a topic.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests may")]

// Targets, batches, positions, cursors, tokens.
mod words;
// Pages under `docs/formats` whose values the code must agree with.
mod formats;
// Clock, storage, entropy, codec.
mod seams;
// The fence, clause by clause and against a plain map.
mod fence;
