//! Tools that a chore needs and a bare machine lacks: found, or installed by cargo with a line that says so.
//!
//! What is installed goes to `target/tools`, so that nothing outside the workspace changes and a clean removes it.

use crate::shell::{self, Failure, output_of, root, say};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// A cargo subcommand from crates.io.
pub(crate) struct Tool {
    /// The crate and its program: `cargo-deny`.
    pub(crate) name: &'static str,
    /// The versions that are accepted when it has to be installed.
    pub(crate) version: &'static str,
}

pub(crate) const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "^0.20",
};
pub(crate) const FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "^0.13",
};

impl Tool {
    /// A call of the tool as cargo makes it, from the root of the workspace; installs the tool first if it is missing.
    pub(crate) fn command(&self) -> Result<Command, Failure> {
        if !self.is_there() {
            say(&format!(
                "{} is missing: installing it into target/tools",
                self.name
            ));
            let home = folder();
            // Unoptimised, a tool is built in a fraction of the time, and what it reads here is small.
            let mut install = shell::cargo(&["install", self.name, "--locked", "--debug"]);
            install.args(["--version", self.version, "--root"]);
            shell::run(install.arg(&home))?;
            if !self.is_there() {
                return Err(Failure::usage(format!(
                    "{} was installed, and still does not start",
                    self.name
                )));
            }
        }
        let mut command = shell::cargo(&[self.subcommand()]);
        command.env("PATH", path());
        Ok(command)
    }

    fn is_there(&self) -> bool {
        shell::succeeds(shell::cargo(&[self.subcommand(), "--version"]).env("PATH", path()))
    }

    fn subcommand(&self) -> &'static str {
        self.name.trim_start_matches("cargo-")
    }
}

/// Makes sure that a component of the toolchain, such as `clippy`, is there; asks rustup for it if not.
pub(crate) fn component(subcommand: &str, name: &str) -> Result<(), Failure> {
    if shell::succeeds(&mut shell::cargo(&[subcommand, "--version"])) {
        return Ok(());
    }
    say(&format!("{name} is missing: asking rustup for it"));
    shell::run(Command::new("rustup").args(["component", "add", name]))
}

/// Makes sure that a C++ compiler is there, which the fuzzing engine is built with. On Debian as root it is installed;
/// elsewhere the user is told.
pub(crate) fn cpp_compiler() -> Result<(), Failure> {
    let there = ["c++", "g++", "clang++"]
        .iter()
        .any(|name| shell::succeeds(Command::new(name).arg("--version")));
    if there || std::env::var_os("CXX").is_some() {
        return Ok(());
    }
    let root = output_of(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
    if !root || !shell::succeeds(Command::new("apt-get").arg("--version")) {
        return Err(Failure::usage(
            "there is no C++ compiler, which the fuzzing engine is built with: install g++",
        ));
    }
    say("there is no C++ compiler: installing g++");
    shell::run(Command::new("apt-get").args(["update", "--quiet"]))?;
    shell::run(Command::new("apt-get").args([
        "install",
        "--yes",
        "--quiet",
        "--no-install-recommends",
        "g++",
    ]))
}

fn folder() -> PathBuf {
    root().join("target/tools")
}

fn path() -> OsString {
    let given = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&given).chain([folder().join("bin")]);
    std::env::join_paths(folders).unwrap_or(given)
}
