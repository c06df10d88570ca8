//! `cargo xtask kill`: processes killed at random moments, and what they leave behind checked.
//!
//! There is no process to kill yet: no part of Larder runs as one. The command says so and fails, rather than pass.

use crate::long::Options;
use crate::shell::Failure;

/// Says that there is nothing to kill.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    Options::parse(arguments)?;
    Err(Failure::usage(
        "no part of Larder runs as a process yet, so there is nothing to kill",
    ))
}
