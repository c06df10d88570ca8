//! The binary `larder`: shows and measures, on one's own machine, what Larder does.

mod demo;
mod fault;
mod output;
mod replay;
mod signals;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use output::Output;

use crate::fault::{Ended, Exit, Fault, told};

/// A coherent data layer: what you cache stays fresh, and can prove it.
#[derive(Debug, Parser)]
#[command(
    name = "larder",
    version,
    after_help = "Exit codes: 0 done; 1 ran, and found something wrong; 2 usage; 3 could not run; 5 no such thing; 6 something is in the way; 130 interrupted."
)]
struct Arguments {
    /// Results as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// No progress and no notes.
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Two nodes of a shop over one database; every read is checked, one node is killed and comes back.
    #[command(after_help = "\
Examples:
  larder demo --quick
  larder demo --seconds 60 --kill b --seed 7

Exit codes: 0 no read was stale; 1 one was, with the first evidence; 3 it could not run; 6 the directory is not empty; 130 interrupted.
It listens on loopback only, and leaves nothing behind unless --keep is given.")]
    Demo(demo::DemoOptions),
    /// What a recorded trace of accesses would make of a cache: hit ratios beside the optimum, and the capacity to choose.
    #[command(after_help = "\
Examples:
  larder replay keys.txt
  larder replay --format orm --capacity 1%,10% orm.trace.xz --json
  larder replay --format orm --writes 1% orm.trace.xz

Each access is one of a key of equal weight. Shown are the policies that pools have, others beside them, and the optimum, which knows the future.

Exit codes: 0 done; 1 a policy held more than its capacity or hit more often than the optimum, or a read was stale; 2 the format must be said; 3 it cannot be read; 5 there is no such file.")]
    Replay(replay::ReplayOptions),
    /// Prints what a shell needs to complete these commands.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    #[command(hide = true)]
    DemoNode(demo::node::NodeOptions),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help is asked for, and is no fault.
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            drop(error.print());
            return exit.into();
        }
    };
    let output = Output {
        json: arguments.json,
        quiet: arguments.quiet,
    };
    match run(arguments.command, output) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = error
                .downcast_ref::<Ended>()
                .map_or(Exit::CouldNotRun, |ended| ended.exit);
            output.fault(exit, &told(&*error));
            exit.into()
        }
    }
}

fn run(command: Command, output: Output) -> Result<Exit, Fault> {
    match command {
        Command::Demo(options) => demo::run(&options, output),
        Command::Replay(options) => replay::run(&options, output),
        Command::DemoNode(options) => demo::node::run(options).map(|()| Exit::Done),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "larder", &mut text);
            output.say(&String::from_utf8_lossy(&text))?;
            Ok(Exit::Done)
        }
    }
}
