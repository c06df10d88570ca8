//! The compiler, asked what it has against a file that uses the crate.
//!
//! What it is expected to say stands in the file: below a line with a fault, a comment `//~` with carets under the place,
//! and the message after them. Only places and messages are compared, which are the derive's and the traits' own; how a
//! compiler prints them, and what it adds, differs from one to the next.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, str};

use serde_json::Value;

/// Where the package is.
pub(super) const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

/// An error at a place in one line: line and columns are counted from one, the end is beyond it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fault {
    line: u64,
    columns: (u64, u64),
    message: String,
}

impl Fault {
    /// The faults that the marks of a source show, in the order of their places.
    pub(super) fn marked(source: &str) -> BTreeSet<Self> {
        let mut faults = BTreeSet::new();
        let mut marked = 0;
        for (line, number) in source.lines().zip(1..) {
            if !line.trim_start().starts_with("//~") {
                marked = number;
                continue;
            }
            let start = line.find('^').expect("carets in a mark");
            let rest = &line[start..];
            let message = rest.trim_start_matches('^');
            let column = |bytes: usize| u64::try_from(bytes).unwrap() + 1;
            faults.insert(Self {
                line: marked,
                columns: (column(start), column(start + rest.len() - message.len())),
                message: message.trim().to_owned(),
            });
        }
        faults
    }

    /// The error in a message of the compiler; none if it is no error, or has no place.
    fn told(message: &Value) -> Option<Self> {
        if message["level"] != "error" {
            return None;
        }
        let spans = message["spans"].as_array()?;
        let place = spans.iter().find(|span| span["is_primary"] == true)?;
        assert_eq!(place["line_start"], place["line_end"], "a place in one line");
        Some(Self {
            line: place["line_start"].as_u64()?,
            columns: (place["column_start"].as_u64()?, place["column_end"].as_u64()?),
            message: message["message"].as_str()?.to_owned(),
        })
    }
}

/// The compiler, and where the built crate is.
pub(super) struct Compiler {
    crate_file: PathBuf,
    folders: BTreeSet<PathBuf>,
}

impl Compiler {
    /// Builds the crate as plain as it can be. It is built without a warning.
    pub(super) fn without_default_features() -> Self {
        let cargo = env::var_os("CARGO").expect("cargo runs the tests");
        let mut check = Command::new(cargo);
        check
            .current_dir(PACKAGE)
            .args(["check", "--lib", "--locked", "--offline"]);
        check.args(["--no-default-features", "--message-format=json"]);
        let output = check.output().expect("cargo can be started");
        let messages = json_lines(&output.stdout);
        assert!(output.status.success(), "{}", shown(&output));
        let said = messages
            .iter()
            .filter(|message| message["reason"] == "compiler-message");
        let own = said.filter(|message| message["target"]["name"] == "larder_pool");
        assert_eq!(own.collect::<Vec<_>>(), Vec::<&Value>::new(), "no warning");
        let mut crate_file = None;
        let mut folders = BTreeSet::new();
        for artifact in messages
            .iter()
            .filter(|message| message["reason"] == "compiler-artifact")
        {
            for file in artifact["filenames"].as_array().into_iter().flatten() {
                let file = PathBuf::from(file.as_str().expect("a path"));
                folders.extend(file.parent().map(Path::to_owned));
                let metadata = file.extension().is_some_and(|extension| extension == "rmeta");
                if metadata && artifact["target"]["name"] == "larder_pool" {
                    crate_file = Some(file);
                }
            }
        }
        Self {
            crate_file: crate_file.expect("cargo names what it has built"),
            folders,
        }
    }

    /// All errors in a file, in the order of their places.
    pub(super) fn faults(&self, file: &Path) -> BTreeSet<Fault> {
        let folder = tempfile::tempdir().expect("a folder for what is built");
        let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args([
            "--edition=2024",
            "--crate-type=lib",
            "--emit=metadata",
            "--error-format=json",
        ]);
        rustc.arg("--out-dir").arg(folder.path());
        rustc
            .arg("--extern")
            .arg(joined("larder_pool=", &self.crate_file));
        for folder in &self.folders {
            rustc.arg("-L").arg(joined("dependency=", folder));
        }
        rustc.arg(file).env("CARGO_MANIFEST_DIR", PACKAGE);
        let output = rustc.output().expect("rustc can be started");
        let faults: BTreeSet<Fault> = json_lines(&output.stderr)
            .iter()
            .filter_map(Fault::told)
            .collect();
        assert_eq!(output.status.success(), faults.is_empty(), "{}", shown(&output));
        faults
    }
}

fn joined(word: &str, path: &Path) -> OsString {
    let mut joined = OsString::from(word);
    joined.push(path);
    joined
}

fn json_lines(bytes: &[u8]) -> Vec<Value> {
    let text = str::from_utf8(bytes).expect("text");
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn shown(output: &Output) -> String {
    let (said, complained) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(said),
        String::from_utf8_lossy(complained)
    )
}
