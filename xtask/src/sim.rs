//! `cargo xtask sim [name] --seed N --minutes M`: the simulations of the suite over many more seeds.
//!
//! A simulation is whatever draws from `LARDER_SEED`: each module of an integration binary that calls the testkit's
//! `for_each_seed`, and each binary under shuttle, whose schedules follow the seed. They are found in the tree, not listed.
//! Each seed is a run of its own, from N on until the time is over. The first that fails ends the run and is printed with the
//! command that repeats it.

use crate::long::{Options, seeds_for};
use crate::shell::{self, Failure, Stopwatch, output_of, say, spoken};
use crate::test;
use crate::tree::Tree;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A set of tests that draw from a seed.
pub(crate) struct Simulation {
    /// How it is named on the command line.
    name: String,
    /// What it simulates, in a line.
    what: &'static str,
    /// How cargo builds and runs its test binary.
    test: Command,
    /// The folder of its package, in which tests run.
    folder: PathBuf,
    /// The part of the tests' names that chooses them; empty for all.
    filter: String,
}

/// Runs the simulation that is named, or each for an equal share of the time.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    run_some(simulations(&Tree::load()?), &options)
}

/// Runs those that the options name, or each for an equal share of the time.
pub(crate) fn run_some(all: Vec<Simulation>, options: &Options) -> Result<(), Failure> {
    let names = all
        .iter()
        .map(|one| format!("{}: {}", one.name, one.what))
        .collect::<Vec<_>>()
        .join("\n");
    let wanted = |one: &Simulation| {
        let name = options.name.as_ref();
        name.is_none_or(|name| *name == one.name || one.is_of(name))
    };
    let chosen: Vec<Simulation> = all.into_iter().filter(wanted).collect();
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
    for module in seeded_modules(tree, |text| text.contains("for_each_seed(")) {
        found.push(of_module(&module, "its checks, with each seed in turn"));
    }
    for (cfg, package, binary) in test::model_suites(tree)
        .into_iter()
        .filter(|(cfg, ..)| *cfg == "larder_shuttle")
    {
        found.push(Simulation {
            name: format!("{package}/{binary}"),
            what: "the shipping code under schedules drawn from each seed in turn",
            test: test::model(cfg, &package, &binary),
            folder: shell::root().join("crates").join(&package),
            filter: String::new(),
        });
    }
    found
}

/// Modules of integration binaries that kill processes, which they choose by seeds.
pub(crate) fn kills(tree: &Tree) -> Vec<Simulation> {
    let kills = |text: &str| text.contains("testkit::seeds(") && text.contains("child.kill()");
    let modules = seeded_modules(tree, kills);
    let what = "processes killed where each seed in turn says";
    modules.iter().map(|module| of_module(module, what)).collect()
}

fn of_module((package, binary, module): &(&str, &str, String), what: &'static str) -> Simulation {
    Simulation {
        name: format!("{package}/{module}"),
        what,
        test: shell::cargo(&["test", "-p", package, "--test", binary, "--locked"]),
        folder: shell::root().join("crates").join(package),
        filter: format!("{module}::"),
    }
}

/// The modules of integration binaries whose text is one of those: package, binary, and the module's path in tests' names.
fn seeded_modules(tree: &Tree, is_one: impl Fn(&str) -> bool) -> Vec<(&str, &str, String)> {
    let mut found = Vec::new();
    for (path, _) in tree.below("crates/", ".rs").filter(|(_, text)| is_one(text)) {
        let parts: Vec<&str> = path
            .trim_end_matches(".rs")
            .trim_end_matches("/mod")
            .split('/')
            .collect();
        if let ["crates", package, "tests", binary, module @ ..] = &parts[..] {
            found.push((*package, *binary, module.join("::")));
        }
    }
    found
}

impl Simulation {
    /// Whether it is one of this package, whose name may be said without `larder-`.
    fn is_of(&self, package: &str) -> bool {
        let own = self.name.split('/').next().unwrap_or_default();
        own == package || own.strip_prefix("larder-") == Some(package)
    }

    fn run(self, first: u64, time: Duration) -> Result<(), Failure> {
        let binaries = self.binaries()?;
        let watch = Stopwatch::start();
        let mut tried = 0_u64;
        for seed in seeds_for(first, time) {
            for binary in &binaries {
                self.try_seed(binary, seed)?;
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

    fn try_seed(&self, binary: &Path, seed: u64) -> Result<(), Failure> {
        let mut command = Command::new(binary);
        command
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder);
        command
            .env("LARDER_SEED", seed.to_string())
            .args([&self.filter, "--quiet"]);
        let output = command
            .output()
            .map_err(|error| Failure::new(format!("start {}: {error}", self.name)))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        if test::tests_run(&printed) == 0 {
            return Err(Failure::new(format!(
                "{}: no test ran, which proves nothing",
                self.name
            )));
        }
        if output.status.success() {
            // What a test says past its runner is for whoever runs it by hand.
            printed
                .lines()
                .filter_map(|line| line.find("seed [").and_then(|at| line.get(at..)))
                .for_each(say);
            return Ok(());
        }
        say(&printed);
        say(&String::from_utf8_lossy(&output.stderr));
        let again = format!("cargo xtask sim {} --seed {seed} --minutes 0", self.name);
        Err(Failure::new(format!(
            "{} failed with seed {seed}; to repeat it: {again}",
            self.name
        )))
    }

    /// Builds the tests and gives the paths of their programs.
    fn binaries(&self) -> Result<Vec<PathBuf>, Failure> {
        let own: Vec<_> = self
            .test
            .get_args()
            .take_while(|argument| *argument != "--")
            .map(OsStr::to_owned)
            .collect();
        let mut build = shell::cargo(&[]);
        build
            .args(own)
            .args(["--no-run", "--message-format=json-render-diagnostics"]);
        build.envs(
            self.test
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        say(&format!("{}: building its tests", self.name));
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
    fn simulations_are_found_by_what_they_draw_from() {
        let seeded = "for_each_seed(8, |seed| {})";
        let tree = Tree::of(&[
            ("crates/kit/src/seed.rs", "pub fn for_each_seed(count: u64) {}"),
            ("crates/kit/tests/it/log.rs", seeded),
            ("crates/kit/tests/it/deep/er.rs", seeded),
            ("crates/kit/tests/it/words.rs", "nothing"),
            ("crates/core/tests/model/main.rs", "#![cfg(larder_shuttle)]"),
        ]);
        let names: Vec<String> = simulations(&tree).into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["kit/deep::er", "kit/log", "core/model"]);
    }

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
