//! `cargo xtask ci`: all that must hold before a change is taken. `.ci/run` calls it and nothing else.
//!
//! Every step is a chore that can be run alone. A step that fails does not keep the others from running, so that one run tells
//! all; when an hour is over the step that runs is stopped and the run fails. The time of each step is printed.

use crate::check::beside;
use crate::shell::{self, Ended, Failure, Stopwatch, root, say, spoken};
use std::process::Command;
use std::time::Duration;

/// How long the whole run may take before it is stopped.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// One step: its name and the command that carries it out.
struct Step {
    name: &'static str,
    command: Command,
}

/// Runs the steps in order.
pub(crate) fn run(_arguments: &[String]) -> Result<(), Failure> {
    let watch = Stopwatch::start();
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    for mut step in steps()? {
        let own = Stopwatch::start();
        say(&format!("--- {}", step.name));
        let outcome = within(&mut step.command, &watch);
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        lines.push(format!("{:14} {word:7} {}", step.name, spoken(own.elapsed())));
        if let Err(failure) = outcome {
            say(&failure.message);
            failed.push(step.name.to_owned());
        }
        if watch.elapsed() >= LIMIT {
            failed.push(format!("stopped after {}", spoken(LIMIT)));
            break;
        }
    }
    for line in lines {
        say(&line);
    }
    say(&format!("{} in all", spoken(watch.elapsed())));
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("failed: {}", failed.join(", "))))
    }
}

fn steps() -> Result<Vec<Step>, Failure> {
    let only = |name| {
        Ok(Step {
            name,
            command: chore("check", &["--only", name])?,
        })
    };
    let whole = |name| {
        Ok(Step {
            name,
            command: chore(name, &[])?,
        })
    };
    let mut steps = vec![
        only("format"),
        only("lint"),
        whole("features"),
        whole("tidy"),
        whole("deny"),
        whole("test"),
    ];
    steps.extend(beside().map(only));
    steps.push(whole("clauses"));
    steps.into_iter().collect()
}

/// Another chore, in a process of its own so that it can be stopped.
fn chore(name: &str, arguments: &[&str]) -> Result<Command, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::new(format!("find xtask: {error}")))?;
    let mut command = Command::new(program);
    command.current_dir(root()).arg(name).args(arguments);
    Ok(command)
}

fn within(command: &mut Command, watch: &Stopwatch) -> Result<(), Failure> {
    match shell::run_within(command, LIMIT.saturating_sub(watch.elapsed()))? {
        Ended::With(status) => shell::demand(command, status),
        Ended::Stopped => Err(Failure::new("stopped: the hour is over")),
    }
}
