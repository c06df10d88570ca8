//! `larder replay`: what Larder would do for a recorded trace: hit ratio beside other policies and the optimum, the miss-ratio curve, and the
//! capacity to choose.

mod curve;
mod drive;
mod formats;
mod guess;
mod optimum;
mod ours;
mod plain;
mod report;
mod simulate;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use self::drive::{Driven, Plan};
use self::formats::{Trace, Unread};
use self::report::Report;
use crate::Output;
use crate::fault::{Ended, Exit, Fault};
use crate::signals::interrupted;

/// What can be said of a replay.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReplayOptions {
    /// The trace, or `-` for standard input; plain, or compressed with gzip, xz or zstd.
    file: PathBuf,
    /// How its accesses are written. Default: recognised, if it is text.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Capacities to try, each in entries (`5000`) or in percent of the distinct keys (`1%`).
    #[arg(long, value_delimiter = ',', default_value = "0.1%,1%,10%")]
    capacity: Vec<Capacity>,
    /// So many accesses, from the beginning. Default: all.
    #[arg(long, value_name = "ACCESSES", value_parser = clap::value_parser!(u64).range(1..))]
    first: Option<u64>,
    /// The share of accesses that write their row instead, in percent (`1%`), injected from the seed. With it, or with --drive, the trace is
    /// also driven through real pools over a database in SQLite, and what they answer is checked.
    #[arg(long, value_name = "PERCENT")]
    writes: Option<Percent>,
    /// Drives the trace through real pools, without writes.
    #[arg(long)]
    drive: bool,
    /// How many accesses are driven, from the beginning.
    #[arg(long, value_name = "ACCESSES", default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Tasks that drive: 1 to 64. With more than one, what is driven is not the same each time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// What is written of what is driven.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Results as CSV: a line for each policy and capacity.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// How the accesses of a trace are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A key a line; blank lines, lines that begin with `#` and lone `*` are skipped.
    Keys,
    /// `time,op,key,size[,ttl]`, with or without a header; op is get, set or delete.
    Csv,
    /// `time key size`.
    Text,
    /// `first count 0 request`: each of `count` blocks from `first` is an access.
    Arc,
    /// Big-endian 32-bit words: type in bits 31-27, row in 26-9, index in 8-0.
    Orm,
    /// Big-endian 32-bit words.
    I32be,
    /// Little-endian 32-bit words.
    I32le,
    /// Big-endian 64-bit words.
    I64be,
    /// Little-endian 64-bit words.
    I64le,
}

/// A share in percent, from none to all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Percent(f64);

impl std::str::FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_suffix('%').and_then(|percent| percent.parse().ok());
        let percent = percent.filter(|percent: &f64| (0.0..=100.0).contains(percent));
        percent
            .map(Percent)
            .ok_or_else(|| format!("`{text}` is no percentage from 0% to 100%"))
    }
}

/// How much a cache may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Capacity {
    Entries(usize),
    /// Of the distinct keys.
    Percent(f64),
}

impl std::str::FromStr for Capacity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || {
            format!(
                "`{text}` is neither a number of entries from 1 on nor a percentage above 0 and up to 100"
            )
        };
        let capacity = match text.strip_suffix('%') {
            Some(percent) => Capacity::Percent(percent.parse().map_err(|_| fault())?),
            None => Capacity::Entries(text.parse().map_err(|_| fault())?),
        };
        match capacity {
            Capacity::Entries(entries) if entries > 0 => Ok(capacity),
            Capacity::Percent(percent) if percent > 0.0 && percent <= 100.0 => Ok(capacity),
            _ => Err(fault()),
        }
    }
}

impl Capacity {
    /// In entries, of so many keys: at least one.
    fn of(self, keys: usize) -> usize {
        match self {
            Capacity::Entries(entries) => entries,
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a count, rounded down"
            )]
            Capacity::Percent(percent) => ((keys as f64 * percent / 100.0) as usize).max(1),
        }
    }
}

/// Runs it, and says what came of it.
pub(crate) fn run(options: &ReplayOptions, output: Output) -> Result<Exit, Fault> {
    let trace = match formats::read(&options.file, options.format, options.first) {
        Ok(trace) => trace,
        Err(Unread::Missing(error)) => {
            let is_there = error.kind() != std::io::ErrorKind::NotFound;
            return Err(Ended::fault(
                if is_there {
                    Exit::CouldNotRun
                } else {
                    Exit::NoSuchThing
                },
                format!("{}: {error}", options.file.display()),
            ));
        }
        Err(Unread::Unknown(bytes)) => {
            output.note(&guess::table(&bytes));
            let text = format!(
                "{} is no text: say with --format how it is written",
                options.file.display()
            );
            return Err(Ended::fault(Exit::Usage, text));
        }
        Err(Unread::Damaged(why)) => {
            return Err(Ended::fault(
                Exit::CouldNotRun,
                format!("{}: {why}", options.file.display()),
            ));
        }
    };
    tell_about(&trace, output);
    let mut capacities: Vec<usize> = options
        .capacity
        .iter()
        .map(|capacity| capacity.of(trace.keys()))
        .collect();
    capacities.sort_unstable();
    capacities.dedup();
    let writes = match options.writes {
        Some(Percent(percent)) => Some(percent / 100.0),
        None => options.drive.then_some(0.0),
    };
    let mut report = Report::of(&trace, &capacities, |done| output.note(done))?;
    if let Some(writes) = writes {
        let plan = Plan {
            limit: usize::try_from(options.limit).unwrap_or(usize::MAX),
            writes,
            threads: options.threads,
            seed: options.seed,
            capacity: capacities.last().copied().unwrap_or(1),
        };
        match driven(&trace, &plan, output)? {
            Some(driven) => report.driven = Some(driven),
            None => return Ok(Exit::Interrupted),
        }
    }
    report.print(options.csv, output)?;
    let is_stale = report.driven.as_ref().is_some_and(|driven| driven.stale > 0);
    Ok(if is_stale { Exit::Found } else { Exit::Done })
}

/// Drives it over a database of its own, which goes when it is over; none if it was interrupted.
fn driven(trace: &Trace, plan: &Plan, output: Output) -> Result<Option<Driven>, Fault> {
    let folder = tempfile::Builder::new().prefix("larder-replay-").tempdir();
    let folder = folder
        .map_err(|error| Ended::fault(Exit::CouldNotRun, format!("make a temporary directory: {error}")))?;
    output.note(&format!(
        "driving {} accesses through pools",
        plan.limit.min(trace.accesses.len())
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let driven = runtime.block_on(async {
        tokio::select! {
            driven = drive::drive(trace, plan, folder.path()) => driven.map(Some),
            () = interrupted() => Ok(None),
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    driven
}

fn tell_about(trace: &Trace, output: Output) {
    if let Some((line, text)) = &trace.first_bad {
        let text: String = text.chars().take(60).collect();
        output.note(&format!(
            "{} lines could not be read, the first is line {line}: `{text}`",
            trace.bad
        ));
    }
}
