//! `cargo xtask sim [name] --seed N --minutes M`: the simulations of the suite over many more seeds.
//!
//! A simulation is a set of tests that take their seed from `LARDER_SEED`; schedules under shuttle take theirs from
//! `SHUTTLE_RANDOM_SEED`. Each seed is a run of its own, from N on until the time is over. The first seed that fails ends the
//! run and is printed with the command that repeats it.

use crate::long::{Options, seeds_for};
use crate::shell::{self, Failure, Stopwatch, output_of, say, spoken};
use crate::test;
use crate::tree::Tree;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A set of tests that draw from a seed.
struct Simulation {
    name: String,
    /// What it simulates, in a line.
    what: String,
    /// How `cargo` builds its test binaries.
    build: Command,
    /// The filter that chooses its tests.
    filter: &'static str,
}

/// Runs the simulation that is named, or each for an equal share of the time.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    let all = simulations(&Tree::load()?);
    let names = all
        .iter()
        .map(|one| format!("{}: {}", one.name, one.what))
        .collect::<Vec<_>>()
        .join("\n");
    let chosen: Vec<Simulation> = all
        .into_iter()
        .filter(|one| options.name.as_ref().is_none_or(|name| *name == one.name))
        .collect();
    if chosen.is_empty() {
        return Err(Failure::usage(format!(
            "there is no such simulation; those there are:\n{names}"
        )));
    }
    let share = options.share(chosen.len());
    chosen
        .into_iter()
        .try_for_each(|simulation| simulation.run(options.seed, share))
}

/// The simulations that the tree has.
fn simulations(tree: &Tree) -> Vec<Simulation> {
    let mut found = Vec::new();
    if tree.has("crates/larder-testkit/tests/it") {
        found.push(Simulation {
            name: "storage".to_owned(),
            what: "a log over storage that fails, tears, loses and crashes".to_owned(),
            build: shell::cargo(&["test", "-p", "larder-testkit", "--test", "it"]),
            filter: "",
        });
    }
    for (cfg, package, binary) in test::model_suites(tree)
        .into_iter()
        .filter(|(cfg, ..)| *cfg == "larder_shuttle")
    {
        found.push(Simulation {
            name: format!("{package}-{binary}"),
            what: "the shipping code under random schedules".to_owned(),
            build: test::model(cfg, &package, &binary),
            filter: "",
        });
    }
    found
}

impl Simulation {
    fn run(mut self, first: u64, time: Duration) -> Result<(), Failure> {
        let binaries = self.binaries()?;
        let watch = Stopwatch::start();
        let mut tried = 0_u64;
        for seed in seeds_for(first, time) {
            for binary in &binaries {
                let mut command = Command::new(binary);
                command.current_dir(shell::root()).arg(self.filter).arg("--quiet");
                command
                    .env("LARDER_SEED", seed.to_string())
                    .env("SHUTTLE_RANDOM_SEED", seed.to_string());
                let output = command
                    .output()
                    .map_err(|error| Failure::new(format!("start {}: {error}", self.name)))?;
                if !output.status.success() {
                    say(&String::from_utf8_lossy(&output.stdout));
                    say(&String::from_utf8_lossy(&output.stderr));
                    let again = format!("cargo xtask sim {} --seed {seed} --minutes 0", self.name);
                    return Err(Failure::new(format!(
                        "{} failed with seed {seed}; to repeat it: {again}",
                        self.name
                    )));
                }
            }
            tried += 1;
        }
        say(&format!(
            "{}: {tried} seeds from {first} on, {}",
            self.name,
            spoken(watch.elapsed())
        ));
        Ok(())
    }

    /// Builds the tests and gives the paths of their programs.
    fn binaries(&mut self) -> Result<Vec<PathBuf>, Failure> {
        let mut build = Command::new(self.build.get_program());
        build.current_dir(shell::root());
        let own = self.build.get_args().take_while(|argument| *argument != "--");
        build
            .args(own)
            .args(["--no-run", "--message-format=json-render-diagnostics"]);
        for (name, value) in self.build.get_envs() {
            build.env(name, value.unwrap_or_default());
        }
        let messages = output_of(&mut build);
        let messages =
            messages.ok_or_else(|| Failure::new(format!("the tests of {} do not build", self.name)))?;
        let binaries: Vec<PathBuf> = messages.lines().filter_map(executable).collect();
        if binaries.is_empty() {
            return Err(Failure::new(format!("{} has no test binary", self.name)));
        }
        Ok(binaries)
    }
}

/// The program that a message of cargo names. A path with a quote or a control character in it is not understood.
fn executable(message: &str) -> Option<PathBuf> {
    let (_, rest) = message.split_once("\"executable\":\"")?;
    let path = rest.split('"').next()?.replace("\\\\", "\\");
    Some(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_a_message() {
        let message =
            r#"{"reason":"compiler-artifact","executable":"target/debug/deps/it-0a1b","fresh":true}"#;
        assert_eq!(
            executable(message),
            Some(PathBuf::from("target/debug/deps/it-0a1b"))
        );
        assert_eq!(
            executable(r#"{"reason":"compiler-artifact","executable":null}"#),
            None
        );
    }
}
