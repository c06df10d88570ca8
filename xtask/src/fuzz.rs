//! `cargo xtask fuzz [target] --seed N --minutes M`: the fuzz targets of `fuzz/`, each for an equal share of the time.
//!
//! Each target starts from `fuzz/seeds/<target>`, copied into its corpus. The fuzzing engine needs unstable flags of the
//! compiler, which `RUSTC_BOOTSTRAP` allows on the stable one, for this build only. What is found stays in `fuzz/artifacts`.

use crate::long::Options;
use crate::shell::{self, Failure, output_of, root, say, spoken};
use crate::tools;
use std::path::Path;
use std::time::Duration;

/// Runs the target that is named, or all.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    if !root().join("fuzz/Cargo.toml").is_file() {
        return Err(Failure::usage("fuzz/ has no targets yet"));
    }
    let all = targets()?;
    let chosen: Vec<&String> = all
        .iter()
        .filter(|one| options.name.as_ref().is_none_or(|name| name == *one))
        .collect();
    if chosen.is_empty() {
        return Err(Failure::usage(format!(
            "there is no such target; those there are: {}",
            all.join(", ")
        )));
    }
    tools::cpp_compiler()?;
    let share = options.share(chosen.len());
    let mut failed = Vec::new();
    for target in chosen {
        if let Err(failure) = fuzz(target, options.seed, share) {
            say(&failure.message);
            failed.push(target.as_str());
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("failed: {}", failed.join(", "))))
    }
}

fn targets() -> Result<Vec<String>, Failure> {
    let mut list = tools::FUZZ.command()?;
    let names = output_of(list.args(["list", "--fuzz-dir"]).arg(root().join("fuzz")));
    let names = names.ok_or_else(|| Failure::new("cargo-fuzz cannot list the targets"))?;
    Ok(names
        .lines()
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
}

fn fuzz(target: &str, seed: u64, time: Duration) -> Result<(), Failure> {
    let home = root().join("fuzz");
    let (seeds, corpus) = (home.join("seeds").join(target), home.join("corpus").join(target));
    let copied = copy_files(&seeds, &corpus)
        .map_err(|error| Failure::new(format!("copy {}: {error}", seeds.display())))?;
    say(&format!("{target}: {copied} seeds, {}", spoken(time)));
    let mut command = tools::FUZZ.command()?;
    command
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["run", target, "--fuzz-dir"])
        .arg(&home);
    // The engine takes a seed of 0 for "choose one".
    command
        .arg("--")
        .arg(format!("-seed={}", (seed % u64::from(u32::MAX)).max(1)));
    command.arg(format!("-max_total_time={}", time.as_secs().max(1)));
    shell::run(&mut command)
}

/// Copies the files of a folder into another, which is made; a folder that is not there has none.
fn copy_files(from: &Path, to: &Path) -> std::io::Result<u32> {
    std::fs::create_dir_all(to)?;
    if !from.is_dir() {
        return Ok(0);
    }
    let mut copied = 0;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.path().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            copied += 1;
        }
    }
    Ok(copied)
}
