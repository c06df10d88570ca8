//! `cargo xtask check [--only format|lint|tidy]`: format, lints and tidy, for daily work. It runs no test.

use crate::shell::{self, Failure};
use crate::{tidy, tools};

/// Checks all three, and ends at the first that finds fault; or the one that is asked for.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => format().and_then(|()| lint()).and_then(|()| tidy::run(&[])),
        ["--only", "format"] => format(),
        ["--only", "lint"] => lint(),
        ["--only", "tidy"] => tidy::run(&[]),
        _ => Err(Failure::usage("usage: check [--only format|lint|tidy]")),
    }
}

/// Every file is formatted as rustfmt would: the workspaces beside this one too.
fn format() -> Result<(), Failure> {
    tools::component("fmt", "rustfmt")?;
    shell::run(&mut shell::cargo(&["fmt", "--all", "--check"]))?;
    for folder in beside() {
        shell::run(shell::cargo(&["fmt", "--all", "--check"]).current_dir(shell::root().join(folder)))?;
    }
    Ok(())
}

/// No lint has anything to say, on tests and examples neither.
fn lint() -> Result<(), Failure> {
    tools::component("clippy", "clippy")?;
    shell::run(&mut shell::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

/// The workspaces beside this one that are there.
pub(crate) fn beside() -> impl Iterator<Item = &'static str> {
    ["bench", "fuzz"]
        .into_iter()
        .filter(|folder| shell::root().join(folder).join("Cargo.toml").is_file())
}
