//! `cargo xtask check [--only format|lint|tidy|bench|fuzz]`: format, lints and tidy, for daily work. It runs no test.

use crate::shell::{self, Failure};
use crate::test::{self, model_suites};
use crate::tree::Tree;
use crate::{tidy, tools};

/// Checks format, lints and tidy, and ends at the first that finds fault; or the one thing that is asked for.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => format().and_then(|()| lint()).and_then(|()| tidy::run(&[])),
        ["--only", "format"] => format(),
        ["--only", "lint"] => lint(),
        ["--only", "tidy"] => tidy::run(&[]),
        ["--only", folder @ ("bench" | "fuzz")] => beside_compiles(folder),
        _ => Err(Failure::usage(
            "usage: check [--only format|lint|tidy|bench|fuzz]",
        )),
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

/// No lint has anything to say, on tests and examples neither, nor on what is empty without a model checker.
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
    ]))?;
    for (cfg, package, binary) in model_suites(&Tree::load()?) {
        let mut command = shell::cargo(&["clippy", "-p", &package, "--lib", "--test", &binary, "--locked"]);
        command.args(["--target-dir", &test::target_dir(cfg), "--", "-D", "warnings"]);
        shell::with_cfg(&mut command, cfg);
        shell::run(&mut command)?;
    }
    Ok(())
}

/// A workspace beside this one compiles, and no lint has anything to say.
fn beside_compiles(folder: &str) -> Result<(), Failure> {
    tools::component("clippy", "clippy")?;
    if folder == "fuzz" {
        tools::cpp_compiler()?;
    }
    let mut command = shell::cargo(&["clippy", "--all-targets", "--locked", "--", "-D", "warnings"]);
    shell::run(command.current_dir(shell::root().join(folder)))
}

/// The workspaces beside this one that are there.
pub(crate) fn beside() -> impl Iterator<Item = &'static str> {
    ["bench", "fuzz"]
        .into_iter()
        .filter(|folder| shell::root().join(folder).join("Cargo.toml").is_file())
}
