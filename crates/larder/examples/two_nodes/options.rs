//! What can be asked of the example, and of a process of it.

use std::path::PathBuf;

use lexopt::prelude::{Long, Short, ValueExt};
use thiserror::Error;

pub(crate) const HELP: &str = "\
Two processes over one SQLite file: both read through pools, one writes, each is killed once and comes back. Every read is checked.

cargo run --release --example two_nodes -- [OPTIONS]

  --seconds N   how long it takes, 3 to 3600; default 6
  --rows N      rows of the table, 10 to 1000000; default 1000
  --seed N      which rows are read and written; default 1
  --help        this

Ends with status 1 if a read was stale or a commit was not applied, with 2 if an option is wrong.";

/// How much of everything.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) seconds: u64,
    pub(crate) rows: u64,
    pub(crate) seed: u64,
}

/// What a process is to be.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) file: PathBuf,
    pub(crate) rows: u64,
    pub(crate) seed: u64,
    pub(crate) writes: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    Run(Options),
    Node(Node),
    Help,
}

/// What is wrong with the command line.
#[derive(Debug, Error)]
pub(crate) enum OptionsError {
    #[error("{0}")]
    Malformed(#[from] lexopt::Error),
    #[error("--{option} {given}: allowed is {min} to {max}")]
    OutOfRange {
        option: &'static str,
        given: u64,
        min: u64,
        max: u64,
    },
}

pub(crate) fn asked() -> Result<Asked, OptionsError> {
    let mut parser = lexopt::Parser::from_env();
    let (mut seconds, mut rows, mut seed) = (6, 1_000, 1);
    let (mut file, mut writes) = (None, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seconds") => seconds = parser.value()?.parse()?,
            Long("rows") => rows = parser.value()?.parse()?,
            Long("seed") => seed = parser.value()?.parse()?,
            // How the example starts its processes.
            Long("node") => file = Some(PathBuf::from(parser.value()?)),
            Long("writes") => writes = true,
            Long("help") | Short('h') => return Ok(Asked::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    let within = |option, given, min, max| {
        if (min..=max).contains(&given) {
            return Ok(());
        }
        Err(OptionsError::OutOfRange {
            option,
            given,
            min,
            max,
        })
    };
    within("seconds", seconds, 3, 3_600)?;
    within("rows", rows, 10, 1_000_000)?;
    Ok(match file {
        Some(file) => Asked::Node(Node {
            file,
            rows,
            seed,
            writes,
        }),
        None => Asked::Run(Options { seconds, rows, seed }),
    })
}
