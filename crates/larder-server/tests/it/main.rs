//! The binary `larder`, run as a user would run it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

// The demo: its verdict, what it finds, what it leaves behind.
mod demo;
// What `--help` says.
mod help;
// Traces in every form, and what is said of them.
mod replay;
// The demo when what it needs is taken away.
#[cfg(target_os = "linux")]
mod luck;
// The demo on a terminal.
#[cfg(target_os = "linux")]
mod terminal;
// Bytes as they may come: the seeds of the fuzz targets, and the bounds of reading.
mod seeds;
// Traces with sizes, sets and deletes; every figure in every form.
mod sizes;
// What the simulated caches do, held against plain models.
mod simulation;
// Commands that are told to end.
mod interrupt;
// What every command does with its arguments.
mod usage;

use std::path::Path;
use std::process::{Command, Output};

/// The binary, with its temporary files in a folder of the test's own.
fn larder(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    command.args(arguments).env("TMPDIR", folder);
    command
}

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = larder(folder, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// What lies in a folder.
fn left(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
