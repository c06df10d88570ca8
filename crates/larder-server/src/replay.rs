//! `larder replay`: what Larder would do for a recorded trace: hit ratio beside other policies and the optimum, the miss-ratio curve, and the
//! capacity to choose.

mod capacity;
mod drive;
mod figures;
mod report;
mod table;

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use larder_server::trace::{Bounds, Format, Trace, Unread, guess_table};
use tempfile::TempDir;

use self::capacity::{Capacities, Capacity};
use self::drive::Plan;
use self::report::Report;
use crate::Output;
use crate::fault::{Ended, Exit, Fault};
use crate::output::Steps;
use crate::signals::interrupted;

/// What can be said of a replay.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReplayOptions {
    /// The trace, or `-` for standard input; plain, or compressed with gzip, xz or zstd.
    file: PathBuf,
    /// How its accesses are written. Default: recognised, if it is text.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Capacities to try: in entries (`5000`), in bytes (`64MiB`) if the trace has sizes, or in percent (`1%`) of the distinct keys and of their bytes.
    #[arg(long, value_delimiter = ',', default_value = "0.1%,1%,10%")]
    capacity: Vec<Capacity>,
    /// So many accesses, from the beginning. Default: all.
    #[arg(long, value_name = "ACCESSES", value_parser = clap::value_parser!(u64).range(1..))]
    first: Option<u64>,
    /// The share of accesses that write their row instead, in percent (`1%`), injected from the seed. With it, or with --drive, the trace is
    /// also driven through real pools over a database in SQLite, and what they answer is checked.
    #[arg(long, value_name = "PERCENT")]
    writes: Option<Percent>,
    /// Drives the trace through real pools, without writes but its own.
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
    /// Results as CSV: a line for each figure.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
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

/// Runs it, and says what came of it.
///
/// Reading and simulating have nothing to clean up, so they are left where they are when the process is told to end.
pub(crate) fn run(options: &ReplayOptions, output: Output) -> Result<Exit, Fault> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut folder = None;
    let report = runtime.block_on(async {
        tokio::select! {
            report = replayed(options, output, &mut folder) => report.map(Some),
            () = interrupted() => Ok(None),
        }
    });
    // The database is closed before its directory goes.
    runtime.shutdown_timeout(Duration::from_secs(2));
    drop(folder);
    let Some(report) = report? else {
        return Ok(Exit::Interrupted);
    };
    report.print(options.csv, output)?;
    let is_stale = report.driven.as_ref().is_some_and(|driven| driven.stale > 0);
    Ok(if is_stale { Exit::Found } else { Exit::Done })
}

/// Simulates it, and drives it if that was asked for, over a database in a folder of its own.
async fn replayed(
    options: &ReplayOptions,
    output: Output,
    folder: &mut Option<TempDir>,
) -> Result<Report, Fault> {
    let (done, is_done) = tokio::sync::oneshot::channel();
    let simulated = options.clone();
    std::thread::spawn(move || drop(done.send(Box::new(simulate(&simulated, output)))));
    let simulated = is_done.await.map_err(|_| "the simulation has panicked")?;
    let (trace, capacities, mut report) = (*simulated)?;
    let writes = match options.writes {
        Some(Percent(percent)) => Some(percent / 100.0),
        None => options.drive.then_some(0.0),
    };
    if let Some(writes) = writes {
        let plan = Plan {
            limit: usize::try_from(options.limit).unwrap_or(usize::MAX),
            writes,
            threads: options.threads,
            seed: options.seed,
            capacity: capacities.driven(&trace),
        };
        let made = tempfile::Builder::new().prefix("larder-replay-").tempdir();
        let made = made.map_err(|error| {
            Ended::fault(Exit::CouldNotRun, format!("make a temporary directory: {error}"))
        })?;
        let path = folder.insert(made).path();
        let all = plan.limit.min(trace.accesses.len());
        output.note(&format!("driving {all} accesses through pools"));
        let steps = output.steps("driven accesses", all as u64);
        report.driven = Some(drive::drive(&trace, &plan, path, steps).await?);
    }
    Ok(report)
}

fn simulate(options: &ReplayOptions, output: Output) -> Result<(Trace, Capacities, Report), Fault> {
    let trace = read(options, output)?;
    if let Some(first) = &trace.first_bad {
        output.note(&format!(
            "{} lines could not be read, the first is line {}: `{}`",
            trace.bad, first.number, first.text
        ));
    }
    let capacities =
        Capacities::of(&options.capacity, &trace.accesses).map_err(|why| Ended::fault(Exit::Usage, why))?;
    let report = Report::of(&trace, &capacities, output)?;
    Ok((trace, capacities, report))
}

/// Tells how much was read.
struct Counted {
    inner: Box<dyn Read>,
    steps: Steps,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.steps.add(read as u64);
        Ok(read)
    }
}

fn read(options: &ReplayOptions, output: Output) -> Result<Trace, Fault> {
    let name = options.file.display();
    let (source, all): (Box<dyn Read>, _) = if options.file == Path::new("-") {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(&options.file).map_err(|error| {
            let is_missing = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
            let exit = if is_missing {
                Exit::NoSuchThing
            } else {
                Exit::CouldNotRun
            };
            Ended::fault(exit, format!("{name}: {error}"))
        })?;
        let all = file
            .metadata()
            .ok()
            .map(|known| known.len())
            .filter(|all| *all > 0);
        (Box::new(file), all)
    };
    let source = Counted {
        inner: source,
        steps: output.steps("bytes read", all),
    };
    Trace::read(source, options.format, options.first, Bounds::default()).map_err(|unread| match unread {
        Unread::Unknown { head, len } => {
            output.note(&guess_table(&head, len));
            let text = format!("{name} is no text: say with --format how it is written");
            Ended::fault(Exit::Usage, text)
        }
        unread => Ended::fault(Exit::CouldNotRun, format!("{name}: {unread}")),
    })
}
