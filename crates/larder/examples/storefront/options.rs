//! What can be asked of the example, and what is wrong with what was asked.

use lexopt::prelude::{Long, Short, ValueExt};
use std::ops::RangeInclusive;
use thiserror::Error;

pub(crate) const HELP: &str = "\
Reads products through a Larder pool and through moka's future cache, while writers change them, and checks every read.

cargo run --release --example storefront -- [OPTIONS]

  --seconds N    how long each of the eight runs takes, 1 to 3600; default 2
  --products N   rows of the table, 100 to 10000000; default 100000
  --readers N    tasks that read, 1 to 10000; default 128
  --writers N    tasks that write, 0 to 1000; default 4
  --threads N    threads of the runtime, 1 to 64; default 4
  --seed N       which products are read and written, and in what order; default 1
  --help         this

Ends with status 1 if the pool has served a stale read, with 2 if an option is wrong.";

/// How much of everything.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) seconds: u32,
    pub(crate) products: u32,
    pub(crate) readers: u32,
    pub(crate) writers: u32,
    pub(crate) threads: u32,
    pub(crate) seed: u64,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    Run(Options),
    Help,
}

/// What is wrong with the command line.
#[derive(Debug, Error)]
pub(crate) enum OptionsError {
    #[error("{0}")]
    Malformed(#[from] lexopt::Error),
    #[error("--{option} {given}: a whole number is wanted")]
    NoNumber { option: String, given: String },
    #[error("--{option} {given}: allowed is {} to {}", .allowed.start(), .allowed.end())]
    OutOfRange {
        option: String,
        given: u64,
        allowed: RangeInclusive<u32>,
    },
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seconds: 2,
            products: 100_000,
            readers: 128,
            writers: 4,
            threads: 4,
            seed: 1,
        }
    }
}

/// Reads the command line.
pub(crate) fn asked() -> Result<Asked, OptionsError> {
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Asked::Help),
            Long("seed") => options.seed = number(&mut parser, "seed")?,
            Long("seconds") => options.seconds = within(&mut parser, "seconds", 1..=3_600)?,
            Long("products") => options.products = within(&mut parser, "products", 100..=10_000_000)?,
            Long("readers") => options.readers = within(&mut parser, "readers", 1..=10_000)?,
            Long("threads") => options.threads = within(&mut parser, "threads", 1..=64)?,
            Long("writers") => options.writers = within(&mut parser, "writers", 0..=1_000)?,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Asked::Run(options))
}

fn number(parser: &mut lexopt::Parser, option: &str) -> Result<u64, OptionsError> {
    let given = parser.value()?.string()?;
    given.parse().map_err(|_| OptionsError::NoNumber {
        option: option.to_owned(),
        given,
    })
}

fn within(
    parser: &mut lexopt::Parser,
    option: &str,
    allowed: RangeInclusive<u32>,
) -> Result<u32, OptionsError> {
    let given = number(parser, option)?;
    match u32::try_from(given) {
        Ok(number) if allowed.contains(&number) => Ok(number),
        _ => Err(OptionsError::OutOfRange {
            option: option.to_owned(),
            given,
            allowed,
        }),
    }
}
