//! `cargo xtask bench [--write] [name…]`: runs the comparisons in `bench/`, and with `--write` keeps what they said.
//!
//! A benchmark prints a line for each measurement, its fields separated by tabs:
//! `row`, benchmark, case, Larder's value, unit, peer, the peer's value, their ratio, target, and `met`, `missed` or `info`.
//! A program that lacks what it measures with says so in a line `skipped` and why, and prints no row.
//! A missed target is reported and fails nothing: a busy machine misses some. `docs/benchmarks.md` is made of these lines and
//! of what they were measured on, a section for each program; nobody edits it. A program that was not run, or that measured
//! nothing, keeps its section.

use crate::shell::{self, Failure, output_of, root, say, stream, write};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

const PAGE: &str = "docs/benchmarks.md";

/// What is said of missed targets, copied into the page.
const MISSED: &str = "bench/missed.md";

/// One measurement.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    cells: Vec<String>,
}

const HEADINGS: [&str; 9] = [
    "benchmark",
    "case",
    "Larder",
    "unit",
    "peer",
    "the peer's",
    "ratio",
    "target",
    "verdict",
];

/// Where a row names its peer.
const PEER: usize = 4;

impl Row {
    /// Reads a line of a benchmark; a line of another kind is none.
    fn parse(line: &str) -> Option<Result<Self, String>> {
        let cells: Vec<String> = line
            .strip_prefix("row\t")?
            .split('\t')
            .map(|cell| cell.trim().to_owned())
            .collect();
        let verdict = cells.last().map(String::as_str);
        let right = cells.len() == HEADINGS.len() && matches!(verdict, Some("met" | "missed" | "info"));
        Some(if right {
            Ok(Self { cells })
        } else {
            Err(format!("this is no row of a benchmark: {line}"))
        })
    }

    fn is(&self, verdict: &str) -> bool {
        self.cells.last().is_some_and(|cell| cell == verdict)
    }

    /// Whether a peer of this name is in it.
    fn names(&self, peer: &str) -> bool {
        let cell = self.cells.get(PEER).map_or("", String::as_str);
        cell.split([' ', ',']).any(|word| word == peer)
    }

    fn shown(&self) -> String {
        let cells: Vec<String> = self.cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |", cells.join(" | "))
    }
}

/// Runs the benchmarks that are named, or all.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let keep = arguments.iter().any(|argument| argument == "--write");
    let named: BTreeSet<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "--write")
        .collect();
    let all = names(&root().join("bench/src/bin"))?;
    if let Some(unknown) = named.iter().find(|name| !all.contains(**name)) {
        let known = all.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(Failure::usage(format!(
            "there is no benchmark `{unknown}`; those there are: {known}"
        )));
    }
    let mut measured = BTreeMap::new();
    for name in all
        .iter()
        .filter(|name| named.is_empty() || named.contains(name.as_str()))
    {
        measured.insert(name.as_str(), measure(name)?);
    }
    let rows: Vec<&Row> = measured.values().flatten().collect();
    let missed: Vec<&Row> = rows.iter().copied().filter(|row| row.is("missed")).collect();
    for row in &missed {
        say(&format!("missed: {}", row.shown()));
    }
    say(&format!(
        "{} measurements, {} targets met, {} missed",
        rows.len(),
        rows.iter().filter(|r| r.is("met")).count(),
        missed.len()
    ));
    if keep {
        // Kept by hand: what each missed target is due to, and what will be tried next.
        let notes = std::fs::read_to_string(root().join(MISSED)).unwrap_or_default();
        let old = std::fs::read_to_string(root().join(PAGE)).unwrap_or_default();
        let mut sections = sections(&old, &all);
        let circumstances = Circumstances::now();
        for (name, rows) in measured.iter().filter(|(_, rows)| !rows.is_empty()) {
            sections.insert(name, section(rows, &circumstances.of(rows)));
        }
        write(&root().join(PAGE), &page(&sections, &notes))?;
        say(&format!("wrote {PAGE}"));
    }
    Ok(())
}

/// The benchmarks: the programs of `bench/`.
fn names(folder: &Path) -> Result<BTreeSet<String>, Failure> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: BTreeSet<String> = files
        .filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned()))
        .collect();
    if names.is_empty() {
        Err(Failure::usage("bench/ has no benchmark yet"))
    } else {
        Ok(names)
    }
}

fn measure(name: &str) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    let mut wrong = Vec::new();
    let mut skipped = false;
    let mut command = shell::cargo(&["run", "--release", "--locked", "--bin", name]);
    let status = stream(command.current_dir(root().join("bench")), |line| {
        say(line);
        skipped |= line.starts_with("skipped\t");
        match Row::parse(line) {
            Some(Ok(row)) => rows.push(row),
            Some(Err(fault)) => wrong.push(fault),
            None => {}
        }
    })?;
    shell::demand(&command, status)?;
    if rows.is_empty() && !skipped {
        wrong.push(format!("{name} measured nothing"));
    }
    if wrong.is_empty() {
        Ok(rows)
    } else {
        Err(Failure::new(wrong.join("\n")))
    }
}

/// What the numbers were measured on.
struct Circumstances {
    /// A line a fact.
    facts: Vec<String>,
    /// The manifest of `bench/` and its lock file.
    files: [String; 2],
}

impl Circumstances {
    fn now() -> Self {
        let git = |arguments: &[&str]| output_of(Command::new("git").current_dir(root()).args(arguments));
        let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
        let clean = git(&["status", "--porcelain", "--", ":!docs/benchmarks.md"])
            .is_some_and(|changes| changes.is_empty());
        let changed = if clean {
            ""
        } else {
            ", with changes that are not committed"
        };
        let rustc = output_of(Command::new("rustc").arg("--version")).unwrap_or_else(|| "unknown".to_owned());
        let cores = std::thread::available_parallelism()
            .map_or_else(|_| "unknown".to_owned(), |count| count.to_string());
        let processor = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let processor = processor.unwrap_or_else(|| "processor unknown".to_owned());
        let (system, kind) = (std::env::consts::OS, std::env::consts::ARCH);
        let bench = |name: &str| std::fs::read_to_string(root().join("bench").join(name)).unwrap_or_default();
        Self {
            facts: vec![
                format!("Commit: {commit}{changed}"),
                format!("Machine: {system} {kind}, {processor}"),
                format!("Cores: {cores}"),
                format!("Compiler: {rustc}, release"),
            ],
            files: [bench("Cargo.toml"), bench("Cargo.lock")],
        }
    }

    /// With the peers that stand in these rows.
    fn of(&self, rows: &[Row]) -> Vec<String> {
        let [manifest, lock] = &self.files;
        let peers = peers(manifest, lock).filter(|(name, _)| rows.iter().any(|row| row.names(name)));
        let peers = peers.map(|(name, version)| format!("Peer: {name} {version}"));
        self.facts.iter().cloned().chain(peers).collect()
    }
}

/// The engines that Larder is compared with: what the manifest of `bench/` names, in the versions of its lock file.
fn peers<'a>(manifest: &str, lock: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let wanted = |name: &str| {
        !name.starts_with("larder")
            && manifest
                .lines()
                .any(|line| line.split([' ', '=', '.']).next() == Some(name))
    };
    lock.split("[[package]]").filter_map(move |package| {
        let field = |key: &str| {
            let line = package.lines().find(|line| line.starts_with(key))?;
            line.split('"').nth(1)
        };
        Some((field("name = ")?, field("version = ")?)).filter(|(name, _)| wanted(name))
    })
}

/// What stands under the heading of one program.
fn section(rows: &[Row], facts: &[String]) -> String {
    let mut text = String::new();
    for fact in facts {
        text.push_str(&format!("- {fact}\n"));
    }
    text.push_str(&format!(
        "\n| {} |\n|{}\n",
        HEADINGS.join(" | "),
        " --- |".repeat(HEADINGS.len())
    ));
    for row in rows {
        text.push_str(&row.shown());
        text.push('\n');
    }
    text
}

/// The sections that a page has of these programs.
fn sections<'a>(page: &str, names: &'a BTreeSet<String>) -> BTreeMap<&'a str, String> {
    let parts = page.split("\n## ").skip(1);
    let named = parts.filter_map(|part| {
        let (heading, text) = part.split_once('\n')?;
        let name = names.get(heading.trim())?;
        Some((name.as_str(), format!("{}\n", text.trim())))
    });
    named.collect()
}

fn page(sections: &BTreeMap<&str, String>, missed: &str) -> String {
    let mut text = String::from(
        "# Benchmarks\n\nWritten by `cargo xtask bench --write`; do not edit. Medians of 5 alternating rounds in one run. A missed target is\n\
         shown as missed. The contracts say what is measured and why.\n",
    );
    for (name, section) in sections {
        text.push_str(&format!("\n## {name}\n\n{section}"));
    }
    if sections.values().any(|section| section.contains("| missed |\n")) {
        text.push_str(&format!("\n## Missed targets\n\n{}\n", missed.trim()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_nine_fields_and_a_verdict() {
        let good = "row\tfence_check\thot\t3.1\tns\tquick_cache\t12.0\t0.26\t<= 0.3\tmet";
        let row = Row::parse(good).expect("a row").expect("well formed");
        assert!(row.is("met"));
        assert_eq!(
            row.shown(),
            "| fence_check | hot | 3.1 | ns | quick_cache | 12.0 | 0.26 | <= 0.3 | met |"
        );
        assert_eq!(Row::parse("warming up"), None);
        assert!(
            matches!(Row::parse("row\ta\tb\tmet"), Some(Err(_))),
            "fields are missing"
        );
        assert!(
            matches!(Row::parse(&good.replace("met", "great")), Some(Err(_))),
            "this is no verdict"
        );
    }

    #[test]
    fn the_page_tells_what_was_measured_and_on_what() {
        let row = Row::parse("row\ta\tb|c\t1\tns\t-\t-\t-\t-\tinfo")
            .expect("a row")
            .expect("well formed");
        let text = page(&[("fence", section(&[row], &["Cores: 2".to_owned()]))].into(), "");
        assert!(text.contains("\n\n## fence\n\n- Cores: 2\n\n|"), "{text}");
        assert!(
            text.ends_with("| a | b\\|c | 1 | ns | - | - | - | - | info |\n"),
            "{text}"
        );
    }

    #[test]
    fn a_program_that_was_not_run_keeps_its_section() {
        let names = BTreeSet::from(["fence".to_owned(), "pool".to_owned()]);
        let kept = "- Cores: 2\n\n| a | 1 | missed |\n".to_owned();
        let old = page(&[("fence", kept.clone()), ("gone", kept.clone())].into(), "Why.");
        assert!(old.ends_with("\n\n## Missed targets\n\nWhy.\n"), "{old}");
        let mut found = sections(&old, &names);
        assert_eq!(found, [("fence", kept.clone())].into());
        found.insert("pool", "- Cores: 4\n".to_owned());
        let both = [("fence", kept), ("pool", "- Cores: 4\n".to_owned())];
        assert_eq!(sections(&page(&found, ""), &names), both.into());
    }

    #[test]
    fn only_peers_that_were_measured_are_named() {
        let row = |peer: &str| {
            let line = format!("row\ta\tb\t1\tns\t{peer}\t2\t0.5\t-\tinfo");
            Row::parse(&line).expect("a row").expect("well formed")
        };
        assert!(row("moka with a time to live").names("moka"));
        assert!(row("papaya, 2 threads").names("papaya"));
        assert!(!row("itself").names("moka") && !row("mokas").names("moka"));
    }

    #[test]
    fn peers_are_read_from_the_lock_file() {
        let lock = "[[package]]\nname = \"moka\"\nversion = \"0.12.1\"\n\n[[package]]\nname = \"libc\"\nversion = \"0.2.1\"\n";
        let manifest = "[dependencies]\nlarder-core.workspace = true\nmoka = { version = \"0.12\" }\n";
        assert_eq!(peers(manifest, lock).collect::<Vec<_>>(), [("moka", "0.12.1")]);
    }
}
