//! `cargo xtask test`: every test, with nothing to prepare.
//!
//! In this order: the tests of the workspace, the examples in the documentation, and the tests under each model checker,
//! built with its `--cfg` into a target directory of its own. No test needs a server yet, so none is started. A suite that
//! takes more than ten minutes to run fails; a single test of more than five seconds is listed.

use crate::mutation::CFGS;
use crate::shell::{self, Failure, Stopwatch, say, spoken, stream, with_cfg};
use crate::tree::Tree;
use std::process::Command;
use std::time::Duration;

/// A test that takes longer is listed.
const SLOW: Duration = Duration::from_secs(5);

/// How long all tests together may run, without building them.
const SUITE_MAX: Duration = Duration::from_secs(600);

/// Runs everything; all parts run even if one fails.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    if let Some(unknown) = arguments.first() {
        return Err(Failure::usage(format!(
            "test takes no arguments (`{unknown}`): use `cargo test` to choose"
        )));
    }
    let watch = Stopwatch::start();
    let mut suite = Suite::default();
    suite.part(&mut workspace())?;
    suite.part(&mut shell::cargo(&[
        "test",
        "--workspace",
        "--doc",
        "--locked",
        "--no-fail-fast",
    ]))?;
    for (cfg, package, binary) in model_suites(&Tree::load()?) {
        suite.part(&mut model(cfg, &package, &binary))?;
    }
    suite.tell(watch.elapsed())
}

/// The tests of the workspace but the documentation's. The times of single tests are an unstable option of the harness, which
/// only looks at this variable; it is set when tests run, not when code is built, so that nothing is built twice.
fn workspace() -> Command {
    let mut command = shell::cargo(&[
        "test",
        "--workspace",
        "--lib",
        "--bins",
        "--tests",
        "--examples",
        "--locked",
    ]);
    command.arg("--no-fail-fast");
    if cfg!(unix) {
        command.args([
            "--config",
            "target.'cfg(all())'.runner = ['env', 'RUSTC_BOOTSTRAP=1']",
        ]);
        command.args(["--", "-Zunstable-options", "--report-time"]);
    }
    command
}

/// The tests of one binary under a model checker, with all that they print about schedules.
pub(crate) fn model(cfg: &str, package: &str, binary: &str) -> Command {
    let folder = target_dir(cfg);
    let mut command = shell::cargo(&[
        "test",
        "-p",
        package,
        "--test",
        binary,
        "--locked",
        "--target-dir",
        &folder,
    ]);
    command.args(["--", "--nocapture"]);
    with_cfg(&mut command, cfg);
    command
}

/// Where the build output under a model checker lies, from the root: beside the usual one, so that neither throws the other away.
pub(crate) fn target_dir(cfg: &str) -> String {
    format!("target/{}", cfg.trim_start_matches("larder_"))
}

/// The test binaries that are empty unless built for a model checker: their `main.rs` says `#![cfg(…)]`.
pub(crate) fn model_suites(tree: &Tree) -> Vec<(&'static str, String, String)> {
    let mut found = Vec::new();
    for cfg in CFGS {
        let gate = format!("#![cfg({cfg})]");
        for (path, text) in tree.below("crates/", "/main.rs") {
            let parts: Vec<&str> = path.split('/').collect();
            if let ["crates", package, "tests", binary, "main.rs"] = parts[..]
                && text.lines().any(|line| line.trim() == gate)
            {
                found.push((cfg, package.to_owned(), binary.to_owned()));
            }
        }
    }
    found
}

/// How many tests a run of `cargo test` started, over all its binaries.
pub(crate) fn tests_run(output: &str) -> u64 {
    let counts = output.lines().filter_map(|line| {
        let count = line.trim().strip_prefix("running ")?;
        count
            .strip_suffix(" tests")
            .or_else(|| count.strip_suffix(" test"))?
            .parse::<u64>()
            .ok()
    });
    counts.sum()
}

/// What is known of the parts that have run.
#[derive(Default)]
struct Suite {
    tally: Tally,
    failed: Vec<String>,
}

impl Suite {
    fn part(&mut self, command: &mut Command) -> Result<(), Failure> {
        let tally = &mut self.tally;
        let status = stream(command, |line| {
            say(line);
            tally.line(line);
        })?;
        self.failed.extend(
            shell::demand(command, status)
                .err()
                .map(|failure| failure.message),
        );
        Ok(())
    }

    fn tell(mut self, elapsed: Duration) -> Result<(), Failure> {
        self.tally.slow.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        for (name, time) in &self.tally.slow {
            say(&format!("slow: {name} took {}", spoken(*time)));
        }
        let Tally {
            passed,
            failed,
            running,
            ..
        } = self.tally;
        say(&format!(
            "{passed} passed, {failed} failed; {} of running, {} in all",
            spoken(running),
            spoken(elapsed)
        ));
        self.verdict()
    }

    /// Fails if a part did, if nothing ran, or if the suite has become too slow.
    fn verdict(mut self) -> Result<(), Failure> {
        if self.tally.passed + self.tally.failed == 0 {
            self.failed.push("no test ran".to_owned());
        }
        if self.tally.running > SUITE_MAX {
            self.failed
                .push(format!("the suite may run {} at most", spoken(SUITE_MAX)));
        }
        if self.failed.is_empty() {
            Ok(())
        } else {
            Err(Failure::new(self.failed.join("\n")))
        }
    }
}

/// Counts and times, read from what test harnesses print.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    running: Duration,
    slow: Vec<(String, Duration)>,
}

impl Tally {
    fn line(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let number = |word: &str| {
                let before = result.split(word).next().unwrap_or_default();
                before
                    .rsplit([' ', '.'])
                    .find(|part| !part.is_empty())
                    .and_then(|part| part.parse().ok())
                    .unwrap_or(0)
            };
            self.passed += number(" passed");
            self.failed += number(" failed");
            self.running += result
                .split("finished in ")
                .nth(1)
                .and_then(seconds)
                .unwrap_or_default();
        } else if let Some((name, time)) = timed(line).filter(|(_, time)| *time > SLOW) {
            self.slow.push((name.to_owned(), time));
        }
    }
}

/// `test fence::reads ... ok <5.123s>`
fn timed(line: &str) -> Option<(&str, Duration)> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let (_, time) = rest.rsplit_once('<')?;
    Some((name, seconds(time.trim_end_matches('>'))?))
}

fn seconds(text: &str) -> Option<Duration> {
    let number: f64 = text.trim().trim_end_matches('s').parse().ok()?;
    Duration::try_from_secs_f64(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_over_all_binaries() {
        assert_eq!(
            tests_run("\nrunning 1 test\ntest a ... ok\n\nrunning 12 tests\n"),
            13
        );
        assert_eq!(tests_run("\nrunning 0 tests\n\ntest result: ok. 0 passed\n"), 0);
        assert_eq!(tests_run("error: could not compile\nrunning wild\n"), 0);
    }

    #[test]
    fn results_are_added_up() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a::b ... ok <6.250s>",
            "test a::c ... FAILED <0.010s>",
            "test d - should panic ... ok",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out; finished in 6.26s",
            "test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.50s",
        ] {
            tally.line(line);
        }
        assert_eq!((tally.passed, tally.failed), (42, 1));
        assert_eq!(tally.running, Duration::from_millis(6760));
        assert_eq!(tally.slow, [("a::b".to_owned(), Duration::from_millis(6250))]);
    }

    #[test]
    fn model_suites_are_found_by_their_gate() {
        let tree = Tree::of(&[
            (
                "crates/a/tests/model/main.rs",
                "//! Schedules.\n#![cfg(larder_shuttle)]\n",
            ),
            (
                "crates/a/tests/orderings/main.rs",
                "//! Orderings.\n#![cfg(larder_loom)]\n",
            ),
            ("crates/a/tests/it/main.rs", "//! All.\n"),
        ]);
        let expected = [
            ("larder_shuttle", "a", "model"),
            ("larder_loom", "a", "orderings"),
        ];
        let found = model_suites(&tree);
        assert_eq!(
            found
                .iter()
                .map(|(cfg, p, b)| (*cfg, p.as_str(), b.as_str()))
                .collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn a_suite_fails_that_runs_nothing_or_too_long() {
        let suite = |passed, seconds| Suite {
            tally: Tally {
                passed,
                running: Duration::from_secs(seconds),
                ..Tally::default()
            },
            failed: Vec::new(),
        };
        assert!(suite(1, 600).verdict().is_ok(), "one test passed in time");
        assert!(
            suite(0, 0).verdict().is_err(),
            "nothing ran, which proves nothing"
        );
        assert!(suite(1, 601).verdict().is_err(), "it ran too long");
    }
}
