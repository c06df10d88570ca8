//! `cargo xtask ci`: all that must hold before a change is taken. `.ci/run` calls it and nothing else.
//!
//! Every step is a chore that can be run alone. A step that fails does not keep the others from running, so that one run tells
//! all; when an hour is over the step that runs is stopped and the run fails. The time of each step is printed.

use crate::check::beside;
use crate::shell::{self, Ended, Failure, Stopwatch, root, say, spoken};
use crate::tools;
use std::process::Command;
use std::time::Duration;

/// How long the whole run may take before it is stopped.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// One step: its name and the commands that carry it out.
struct Step {
    name: String,
    commands: Vec<Command>,
}

impl Step {
    fn new(name: &str, command: Command) -> Self {
        Self {
            name: name.to_owned(),
            commands: vec![command],
        }
    }
}

/// Runs the steps in order.
pub(crate) fn run(_arguments: &[String]) -> Result<(), Failure> {
    let watch = Stopwatch::start();
    tools::component("fmt", "rustfmt")?;
    tools::component("clippy", "clippy")?;
    let mut lines = Vec::new();
    let mut failed = Vec::new();
    for mut step in steps()? {
        let own = Stopwatch::start();
        say(&format!("--- {}", step.name));
        let outcome = step
            .commands
            .iter_mut()
            .map(|command| within(command, &watch))
            .collect::<Result<Vec<()>, _>>();
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        lines.push(format!("{:14} {word:7} {}", step.name, spoken(own.elapsed())));
        if let Err(failure) = outcome {
            say(&failure.message);
            failed.push(step.name);
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
    let mut steps = vec![
        Step::new("format", chore("check", &["--only", "format"])?),
        Step::new("lint", chore("check", &["--only", "lint"])?),
        Step::new("tidy", chore("tidy", &[])?),
        Step::new("deny", chore("deny", &[])?),
        Step::new("test", chore("test", &[])?),
    ];
    for folder in beside() {
        let mut command = shell::cargo(&["check", "--all-targets", "--locked"]);
        command.current_dir(root().join(folder));
        steps.push(Step::new(folder, command));
    }
    steps.push(Step::new("clauses", chore("clauses", &[])?));
    Ok(steps)
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
