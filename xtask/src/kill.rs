//! `cargo xtask kill [name] --seed N --minutes M`: processes killed at random moments, and what they leave behind checked.
//!
//! A short form of each is in the suite. Each seed is a round of its own, which says where its processes were when they were killed.

use crate::long::Options;
use crate::shell::Failure;
use crate::sim;
use crate::tree::Tree;

/// Runs the rounds of what is named, or of all, until the time is over.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    sim::run_some(sim::kills(&Tree::load()?), &options)
}
