//! `cargo xtask mutate [--list] [id…]`: applies each mutation to a copy of the tree and demands that its test fails.
//!
//! A mutation is caught when the code builds, its test runs, and the test fails; a compile error, a run without a test, and a
//! test that does not end are no catch. The copy lies in `target/mutate/`; the user's own files are never touched. The
//! build output of its dependencies is shared with `cargo xtask test`, and all of it is kept between runs, so that each
//! mutation rebuilds only what it changes.

use crate::mutation::{self, Mutation};
use crate::shell::{self, Ended, Failure, Stopwatch, root, say, spoken};
use crate::test;
use crate::tree::{Tree, listed};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A test that takes longer is taken for one that hangs.
const TEST_LIMIT: Duration = Duration::from_secs(600);

/// Runs the mutations that are named, or all.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let mut faults = Vec::new();
    let all = mutation::mutations(&Tree::load()?, &mut faults);
    if !faults.is_empty() {
        return Err(Failure::new(faults.join("\n")));
    }
    let list = arguments.iter().any(|argument| argument == "--list");
    let named: Vec<&String> = arguments
        .iter()
        .filter(|argument| *argument != "--list")
        .collect();
    if let Some(unknown) = named
        .iter()
        .find(|id| !all.iter().any(|mutation| mutation.id == ***id))
    {
        return Err(Failure::usage(format!("there is no mutations/{unknown}.patch")));
    }
    let chosen: Vec<&Mutation> = all
        .iter()
        .filter(|m| named.is_empty() || named.contains(&&m.id))
        .collect();
    if list {
        for mutation in chosen {
            let cfg = mutation.cfg.map_or(String::new(), |cfg| format!(" under {cfg}"));
            say(&format!(
                "{}: {}\n    caught by: cargo test {}{cfg}",
                mutation.id,
                mutation.why,
                mutation.breaks.join(" ")
            ));
        }
        return Ok(());
    }
    try_all(&chosen)
}

fn try_all(chosen: &[&Mutation]) -> Result<(), Failure> {
    let watch = Stopwatch::start();
    let mut copy = Copy::fresh()?;
    // All tests first and all mutations after: so the unchanged code is built once, not once between any two mutations.
    for mutation in chosen {
        copy.try_unchanged(mutation)?;
    }
    let mut lost = Vec::new();
    for mutation in chosen {
        let own = Stopwatch::start();
        say(&format!("{} …", mutation.id));
        let verdict = copy.try_one(mutation)?;
        say(&format!(
            "{}: {} ({})",
            mutation.id,
            verdict.told(mutation),
            spoken(own.elapsed())
        ));
        if !matches!(verdict, Verdict::Caught(_)) {
            lost.push(mutation.id.as_str());
        }
    }
    say(&format!(
        "{} mutations, {} not caught, {}",
        chosen.len(),
        lost.len(),
        spoken(watch.elapsed())
    ));
    if lost.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("not caught: {}", lost.join(", "))))
    }
}

/// What became of one mutation.
enum Verdict {
    /// Its test failed; the lines in which the model says when.
    Caught(Vec<String>),
    Survived,
    NotApplied(String),
    NotBuilt(String),
    NotRun,
    Hung,
    /// The test fails, or does not run, without the mutation.
    BrokenBefore(String),
}

impl Verdict {
    fn told(&self, mutation: &Mutation) -> String {
        match self {
            Self::Caught(lines) => {
                let by = format!("caught by {}", mutation.breaks.join(" "));
                lines.iter().fold(by, |told, line| format!("{told}\n    {line}"))
            }
            Self::Survived => format!("SURVIVED {}", mutation.breaks.join(" ")),
            Self::NotApplied(reason) => format!("DOES NOT APPLY: {reason}"),
            Self::NotBuilt(reason) => format!("DOES NOT BUILD, which proves nothing\n{reason}"),
            Self::NotRun => format!("NO TEST RAN for {}", mutation.breaks.join(" ")),
            Self::Hung => format!("its test did not end within {}", spoken(TEST_LIMIT)),
            Self::BrokenBefore(reason) => format!("its test does not pass WITHOUT it: {reason}"),
        }
    }
}

/// What makes two mutations' tests the same: the arguments and the cfg.
type TestKey = (Vec<String>, Option<&'static str>);

impl Mutation {
    fn test_key(&self) -> TestKey {
        (self.breaks.clone(), self.cfg)
    }
}

/// The copy of the tree that is mutated.
struct Copy {
    tree: PathBuf,
    home: PathBuf,
    /// For each test: why it does not pass on the unchanged copy, or nothing if it does.
    sound: HashMap<TestKey, Option<String>>,
}

/// The files that a mutation touches, as they were: nothing for one that was not there. The user may go on editing the
/// tree, so they are not taken from it again.
struct Before(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Before {
    fn of(tree: &Path, mutation: &Mutation) -> Self {
        let paths = mutation
            .files
            .iter()
            .chain(&mutation.added)
            .map(|path| tree.join(path));
        Self(
            paths
                .map(|path| (path.clone(), std::fs::read(path).ok()))
                .collect(),
        )
    }

    fn restore(self) -> Result<(), Failure> {
        for (path, bytes) in self.0 {
            let done = match bytes {
                Some(bytes) => std::fs::write(&path, bytes),
                None if path.exists() => std::fs::remove_file(&path),
                None => Ok(()),
            };
            done.map_err(|error| Failure::new(format!("restore {}: {error}", path.display())))?;
        }
        Ok(())
    }
}

/// How a run of a test ended.
enum TestRun {
    Passed,
    Failed(String),
    NotBuilt(String),
    NotRun,
    Hung,
}

impl Copy {
    fn fresh() -> Result<Self, Failure> {
        let home = root().join("target/mutate");
        let copy = Self {
            tree: home.join("tree"),
            home,
            sound: HashMap::new(),
        };
        mirror(&root(), &copy.tree)?;
        Ok(copy)
    }

    /// Runs the test of a mutation on the unchanged copy, unless that was done for another with the same test.
    fn try_unchanged(&mut self, mutation: &Mutation) -> Result<(), Failure> {
        let key = mutation.test_key();
        if self.sound.contains_key(&key) {
            return Ok(());
        }
        say(&format!("without mutation: {}", mutation.breaks.join(" ")));
        let reason = match self.test(mutation)? {
            TestRun::Passed => None,
            TestRun::NotRun => Some("no test ran".to_owned()),
            TestRun::Hung => Some("it did not end".to_owned()),
            TestRun::Failed(output) | TestRun::NotBuilt(output) => Some(tail(&output)),
        };
        self.sound.insert(key, reason);
        Ok(())
    }

    fn try_one(&self, mutation: &Mutation) -> Result<Verdict, Failure> {
        if let Some(Some(reason)) = self.sound.get(&mutation.test_key()) {
            return Ok(Verdict::BrokenBefore(reason.clone()));
        }
        let before = Before::of(&self.tree, mutation);
        let applied = self.apply(mutation);
        let verdict = match applied {
            Err(reason) => Ok(Verdict::NotApplied(reason)),
            Ok(()) => self.test(mutation).map(|run| match run {
                TestRun::Failed(output) => Verdict::Caught(model_lines(&output)),
                TestRun::Passed => Verdict::Survived,
                TestRun::NotBuilt(output) => Verdict::NotBuilt(tail(&output)),
                TestRun::NotRun => Verdict::NotRun,
                TestRun::Hung => Verdict::Hung,
            }),
        };
        before.restore()?;
        verdict
    }

    /// Applies the patch in the copy. The copy lies inside the repository and is ignored there, so git must not look for one.
    fn apply(&self, mutation: &Mutation) -> Result<(), String> {
        let mut git = Command::new("git");
        git.current_dir(&self.tree)
            .env("GIT_CEILING_DIRECTORIES", &self.home);
        git.args(["apply", "--whitespace=nowarn"])
            .arg(root().join(&mutation.path));
        let output = git.output().map_err(|error| format!("start git: {error}"))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }

    fn test(&self, mutation: &Mutation) -> Result<TestRun, Failure> {
        let log = self.home.join("log.txt");
        let mut build = self.cargo(mutation, &log)?;
        build.args(build_arguments(&mutation.breaks));
        match shell::finish_within(&mut build, TEST_LIMIT)? {
            Ended::With(status) if status.success() => {}
            Ended::With(_) => return Ok(TestRun::NotBuilt(shell::read(&log)?)),
            Ended::Stopped => return Ok(TestRun::NotBuilt("the build did not end".to_owned())),
        }
        let mut test = self.cargo(mutation, &log)?;
        test.args(&mutation.breaks);
        let ended = shell::finish_within(&mut test, TEST_LIMIT)?;
        let bytes =
            std::fs::read(&log).map_err(|error| Failure::new(format!("read {}: {error}", log.display())))?;
        let output = String::from_utf8_lossy(&bytes).into_owned();
        Ok(match ended {
            Ended::Stopped => TestRun::Hung,
            Ended::With(_) if test::tests_run(&output) == 0 => TestRun::NotRun,
            Ended::With(status) if status.success() => TestRun::Passed,
            Ended::With(_) => TestRun::Failed(output),
        })
    }

    /// `cargo test` in the copy, with the build output of its cfg and everything that it prints in `log`.
    fn cargo(&self, mutation: &Mutation, log: &Path) -> Result<Command, Failure> {
        let fail = |error: std::io::Error| Failure::new(format!("write {}: {error}", log.display()));
        let file = std::fs::File::create(log).map_err(fail)?;
        let again = file.try_clone().map_err(fail)?;
        let mut cargo = shell::cargo(&["test", "--quiet", "--no-fail-fast"]);
        // `--quiet` of cargo hides only what it says itself; the tests' own lines and compile errors stay.
        // Never that of the tree itself: cargo tells two workspaces with one layout apart by nothing, and would go on to take what was built of the copy for
        // what the tree says.
        let output = mutation.cfg.map_or("target/tests".to_owned(), test::target_dir);
        let output = output.replacen("target/", "target/mutate/", 1);
        cargo
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", root().join(output));
        cargo.stdout(file).stderr(again);
        if let Some(cfg) = mutation.cfg {
            shell::with_cfg(&mut cargo, cfg);
        }
        Ok(cargo)
    }
}

/// The arguments that only build what `breaks` would run.
fn build_arguments(breaks: &[String]) -> Vec<String> {
    let own = breaks.iter().take_while(|argument| *argument != "--");
    own.cloned().chain(["--no-run".to_owned()]).collect()
}

fn model_lines(output: &str) -> Vec<String> {
    output
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("model:"))
        .map(str::to_owned)
        .collect()
}

fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Makes `to` hold exactly the files of `from`. A file that is the same already keeps its time, so that cargo does not
/// build it again; the build output lies elsewhere.
fn mirror(from: &Path, to: &Path) -> Result<(), Failure> {
    let wanted: Vec<String> = listed(from)?
        .into_iter()
        .filter(|path| from.join(path).is_file())
        .collect();
    for path in &wanted {
        let (source, target) = (from.join(path), to.join(path));
        let fail = |error: std::io::Error| Failure::new(format!("copy {path}: {error}"));
        let bytes = std::fs::read(&source).map_err(fail)?;
        if std::fs::read(&target).is_ok_and(|there| there == bytes) {
            continue;
        }
        let folder = target.parent().map_or(Ok(()), std::fs::create_dir_all);
        folder
            .and_then(|()| std::fs::write(&target, bytes))
            .map_err(fail)?;
    }
    let mut found = Vec::new();
    files_below(to, to, &mut found)
        .map_err(|error| Failure::new(format!("list {}: {error}", to.display())))?;
    for extra in found.iter().filter(|path| wanted.binary_search(path).is_err()) {
        std::fs::remove_file(to.join(extra))
            .map_err(|error| Failure::new(format!("remove {extra}: {error}")))?;
    }
    Ok(())
}

fn files_below(base: &Path, folder: &Path, found: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files_below(base, &path, found)?;
        } else if let Ok(relative) = path.strip_prefix(base) {
            let parts: Vec<_> = relative
                .components()
                .map(|part| part.as_os_str().to_string_lossy())
                .collect();
            found.push(parts.join("/"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_model_says_is_kept() {
        assert_eq!(
            model_lines("noise\nmodel: m1: fell at schedule 17\n  model: m2\n"),
            ["model: m1: fell at schedule 17", "model: m2"]
        );
    }

    #[test]
    fn a_build_leaves_out_what_is_for_the_test_binary() {
        let breaks: Vec<String> = ["--test", "it", "x", "--", "--exact"].map(str::to_owned).to_vec();
        assert_eq!(build_arguments(&breaks), ["--test", "it", "x", "--no-run"]);
    }
}
