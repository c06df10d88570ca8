//! The binary `larder`: shows and measures, on one's own machine, what Larder does.

mod demo;
mod fault;
mod help;
mod output;
mod replay;
mod signals;
mod terminal;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use output::Output;

use crate::fault::{Ended, Exit, Fault, told};

/// Over the options that every command has.
const COMMON: &str = "Common options";

/// A coherent data layer: what you cache stays fresh, and can prove it.
#[derive(Debug, Parser)]
#[command(
    name = "larder",
    version,
    after_help = help::LARDER
)]
struct Arguments {
    /// Results as JSON, and errors too. Default: text.
    #[arg(long, global = true, help_heading = COMMON)]
    json: bool,
    /// No progress and no notes. Default: both, on standard error.
    #[arg(long, short, global = true, help_heading = COMMON)]
    quiet: bool,
    /// No colours. Default: on a terminal, a few.
    #[arg(long, global = true, help_heading = COMMON)]
    no_color: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Two nodes of a shop over one database; every read is checked, one node is killed and comes back.
    #[command(after_help = help::DEMO)]
    Demo(demo::DemoOptions),
    /// What a recorded trace of accesses would make of a cache: hit ratios beside the optimum, and the capacity to choose.
    #[command(after_help = "\
Examples:
  larder replay keys.txt
  larder replay --format orm --capacity 1%,10% orm.trace.xz --json
  larder replay --capacity 64MiB,1GiB requests.csv
  larder replay --format orm --writes 1% orm.trace.xz

Shown are the policies that pools have, others beside them, and the optimum, which knows the future: each key of equal weight, and by its bytes if the trace has sizes.

Exit codes: 0 done; 1 a policy held more than its capacity or hit more often than the optimum, or a read was stale; 2 the format must be said, or sizes that are not there were asked for; 3 it cannot be read; 5 there is no such file; 130 interrupted.

Environment: TMPDIR says where the database goes while a trace is driven.")]
    Replay(replay::ReplayOptions),
    /// Prints what a shell needs to complete these commands.
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Writes a manual page for each command into a directory, in place of one that is there.
    #[command(after_help = help::MAN)]
    Man {
        /// Where they go: `larder.1` and one for each command.
        dir: PathBuf,
    },
    #[command(hide = true)]
    DemoNode(demo::node::NodeOptions),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return not_understood(&error).into(),
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let output = Output {
        json: arguments.json,
        quiet: arguments.quiet,
        plain: arguments.no_color || no_color,
    };
    ended(output, || run(arguments.command, output)).into()
}

/// With what it ends; what went wrong has been said. A panic has told of itself.
fn ended(output: Output, command: impl FnOnce() -> Result<Exit, Fault>) -> Exit {
    match catch_unwind(AssertUnwindSafe(command)) {
        Ok(Ok(exit)) => {
            if exit == Exit::Interrupted && output.json {
                let text = "it was interrupted before it was done";
                drop(output.say(&output::problem(exit, text).to_string()));
            }
            exit
        }
        Ok(Err(error)) => {
            let exit = error
                .downcast_ref::<Ended>()
                .map_or(Exit::CouldNotRun, |ended| ended.exit);
            output.fault(exit, &told(&*error));
            exit
        }
        Err(_) => {
            output.fault(
                Exit::Internal,
                "this is a fault of the program; the lines above say where",
            );
            Exit::Internal
        }
    }
}

/// Help is asked for, and is no fault; with `--json` anywhere, a fault is an object too.
fn not_understood(error: &clap::Error) -> Exit {
    drop(error.print());
    if !error.use_stderr() {
        return Exit::Done;
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        let detail = first.strip_prefix("error: ").unwrap_or(first);
        let output = Output {
            json: true,
            quiet: true,
            plain: true,
        };
        drop(output.say(&output::problem(Exit::Usage, detail).to_string()));
    }
    Exit::Usage
}

fn run(command: Command, output: Output) -> Result<Exit, Fault> {
    match command {
        Command::Demo(options) => demo::run(&options, output),
        Command::Replay(options) => replay::run(&options, output),
        Command::DemoNode(options) => demo::node::run(options).map(|()| Exit::Done),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "larder", &mut text);
            let text = String::from_utf8_lossy(&text);
            if output.json {
                let object = serde_json::json!({ "shell": shell.to_string(), "script": text });
                output.say(&object.to_string())?;
            } else {
                output.say(&text)?;
            }
            Ok(Exit::Done)
        }
        Command::Man { dir } => write_manual(&dir, output),
    }
}

fn write_manual(dir: &Path, output: Output) -> Result<Exit, Fault> {
    if !dir.is_dir() {
        return Err(Ended::fault(
            Exit::NoSuchThing,
            format!("there is no directory {}", dir.display()),
        ));
    }
    clap_mangen::generate_to(Arguments::command(), dir).map_err(|error| {
        Ended::fault(
            Exit::CouldNotRun,
            format!("write a page into {}: {error}", dir.display()),
        )
    })?;
    if output.json {
        output.say(&serde_json::json!({ "directory": dir }).to_string())?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contract: S108 (partial: a fault of the program itself)
    #[test]
    fn a_panic_is_a_fault_of_the_program() {
        let output = Output {
            json: false,
            quiet: true,
            plain: true,
        };
        let exit = ended(output, || panic!("on purpose"));
        assert_eq!(exit.number(), 70);
    }
}
