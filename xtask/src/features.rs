//! `cargo xtask features`: every crate builds with none of its features, with each alone, with those that are on by default, and with all.
//!
//! Which crates and features there are is asked of cargo, so that a new one is checked from its first day. It checks libraries, and runs
//! nothing: a combination that does not compile, or of which the compiler or a lint has something to say, is a fault. Build output
//! is shared with the other chores.

use crate::json::Json;
use crate::shell::{self, Failure, Stopwatch, root, say, spoken};
use crate::tools;
use std::path::Path;
use std::process::Command;

/// Nobody depends on it but tests, which the lints build with the features that they use.
const TESTKIT: &str = "larder-testkit";

/// A library, with some of its features.
#[derive(Debug, PartialEq, Eq)]
struct Combination {
    package: String,
    features: Features,
}

#[derive(Debug, PartialEq, Eq)]
enum Features {
    None,
    Alone(String),
    All,
}

/// Checks every combination, and tells all that fail.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    if let Some(unknown) = arguments.first() {
        return Err(Failure::usage(format!(
            "features takes no arguments (`{unknown}`)"
        )));
    }
    tools::component("clippy", "clippy")?;
    let watch = Stopwatch::start();
    let combinations = combinations(&metadata()?, &root());
    if combinations.is_empty() {
        return Err(Failure::new("cargo knows of no crate with features"));
    }
    let mut failed = Vec::new();
    for combination in &combinations {
        if shell::run(&mut combination.command()).is_err() {
            failed.push(combination.shown());
        }
    }
    let count = combinations.len();
    say(&format!("{count} combinations, {}", spoken(watch.elapsed())));
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("does not build: {}", failed.join("; "))))
    }
}

fn metadata() -> Result<Json, Failure> {
    let mut command = shell::cargo(&["metadata", "--no-deps", "--format-version", "1", "--locked"]);
    let printed = shell::output_of(&mut command).ok_or_else(|| Failure::new("cargo metadata failed"))?;
    Json::parse(&printed).ok_or_else(|| Failure::new("cargo metadata printed no JSON"))
}

/// The libraries in `crates/` that have features, but for the testkit: each with none, each alone, and all.
fn combinations(metadata: &Json, root: &Path) -> Vec<Combination> {
    let mut found = Vec::new();
    for package in metadata.field("packages").map(Json::items).unwrap_or_default() {
        let text = |name| package.field(name).and_then(Json::text).unwrap_or_default();
        // Packages that lie deeper play the users of a crate in its tests.
        let folder = Path::new(text("manifest_path")).parent().and_then(Path::parent);
        let names = || package.field("features").into_iter().flat_map(Json::names);
        let is_meant = folder == Some(&root.join("crates")) && text("name") != TESTKIT;
        if !is_meant || !has_library(package) || names().next().is_none() {
            continue;
        }
        let alone = names().map(|name| Features::Alone(name.to_owned()));
        let all = std::iter::once(Features::None)
            .chain(alone)
            .chain([Features::All]);
        found.extend(all.map(|features| Combination {
            package: text("name").to_owned(),
            features,
        }));
    }
    found
}

fn has_library(package: &Json) -> bool {
    let targets = package.field("targets").map(Json::items).unwrap_or_default();
    let mut kinds = targets
        .iter()
        .flat_map(|target| target.field("kind").map(Json::items).unwrap_or_default());
    kinds.any(|kind| kind.text() == Some("lib"))
}

impl Combination {
    fn command(&self) -> Command {
        let mut command = shell::cargo(&["clippy", "-p", &self.package, "--lib", "--locked"]);
        match &self.features {
            Features::None => command.arg("--no-default-features"),
            Features::Alone(name) => command.args(["--no-default-features", "--features", name]),
            Features::All => command.arg("--all-features"),
        };
        command.args(["--", "-D", "warnings"]);
        command
    }

    fn shown(&self) -> String {
        let package = &self.package;
        match &self.features {
            Features::None => format!("{package} without features"),
            Features::Alone(name) => format!("{package} with `{name}` alone"),
            Features::All => format!("{package} with all features"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// None, each alone, and all, of every library in `crates/` that has features.
    ///
    /// Contract: S2 (partial: each builds alone, of the features there are)
    #[test]
    fn every_feature_is_checked_alone() {
        let package = |name: &str, folder: &str, kind: &str, features: &str| {
            format!(
                r#"{{"name": "{name}", "manifest_path": "/w/{folder}/Cargo.toml",
                "targets": [{{"kind": ["test"]}}, {{"kind": ["{kind}"]}}], "features": {{{features}}}}}"#
            )
        };
        let packages = [
            package(
                "a",
                "crates/a",
                "lib",
                r#""y": [], "default": ["x"], "x": ["dep:x"]"#,
            ),
            package("plain", "crates/plain", "lib", ""),
            package("program", "crates/program", "bin", r#""x": []"#),
            package("user", "crates/a/tests/user", "lib", r#""x": []"#),
            package(TESTKIT, "crates/larder-testkit", "lib", r#""x": []"#),
            package("xtask", "xtask", "lib", r#""x": []"#),
        ];
        let metadata = Json::parse(&format!(r#"{{"packages": [{}]}}"#, packages.join(",")));
        let found = combinations(&metadata.expect("this is JSON"), Path::new("/w"));
        let shown: Vec<String> = found.iter().map(Combination::shown).collect();
        let expected = [
            "a without features",
            "a with `default` alone",
            "a with `x` alone",
            "a with `y` alone",
            "a with all features",
        ];
        assert_eq!(shown, expected);
        let arguments = |at: usize| {
            let command = found[at].command();
            let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
            words.collect::<Vec<_>>().join(" ")
        };
        let alone = "clippy -p a --lib --locked --no-default-features --features x -- -D warnings";
        assert_eq!(arguments(2), alone);
        assert_eq!(
            arguments(4),
            "clippy -p a --lib --locked --all-features -- -D warnings"
        );
    }

    #[test]
    fn the_features_of_this_workspace_are_found() {
        let found = combinations(&metadata().expect("cargo runs this test"), &root());
        let of_facade = |name: &str| Combination {
            package: "larder".to_owned(),
            features: Features::Alone(name.to_owned()),
        };
        for name in ["pool", "outbox", "outbox-sqlite", "uuid"] {
            assert!(found.contains(&of_facade(name)), "{name}: {found:?}");
        }
    }
}
