//! The demo: its verdict, what it finds, what it leaves behind.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{larder, left, run};

const SMALL: [&str; 7] = [
    "demo",
    "--seconds",
    "3",
    "--customers",
    "2000",
    "--products",
    "500",
];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SMALL.iter().copied().chain(more.iter().copied()).collect()
}

/// Processes whose command line names a folder.
fn processes_of(folder: &Path) -> usize {
    let pattern = folder.to_str().unwrap();
    let found = Command::new("pgrep")
        .args(["-f", "-c", "--", pattern])
        .output()
        .unwrap();
    String::from_utf8(found.stdout).unwrap().trim().parse().unwrap()
}

/// Two processes, one of which is killed, serve no stale read, and nothing of it is left.
///
/// Contract: S128 (partial: without a console), S132 (partial: without a log), S133 (partial: without a disk tier)
#[test]
fn a_demo_ends_with_a_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, notes) = run(folder.path(), &with(&["--json"]));
    assert_eq!(code, Some(0), "{out}{notes}");
    let verdict: Value = serde_json::from_str(&out).unwrap();
    for (field, least) in [
        ("checked", 1_000),
        ("writes", 50),
        ("reads", 10_000),
        ("residents", 100),
        ("reads_over_loopback", 100),
    ] {
        assert!(verdict[field].as_u64().unwrap() >= least, "{field}: {verdict}");
    }
    for field in ["stale", "residents_wrong", "lost", "behind"] {
        assert_eq!(verdict[field], 0, "{field}: {verdict}");
    }
    assert_eq!(verdict["killed"]["node"], "a");
    assert!(
        verdict["killed"]["ready_after"].as_f64().unwrap() < 2.0,
        "{verdict}"
    );
    assert!(
        verdict["hit_ratio"].as_f64().unwrap() > 0.5 && verdict["lag_p50"].as_f64().unwrap() > 0.0,
        "{verdict}"
    );
    // Not a terminal: a line a second.
    assert!(
        notes.lines().count() >= 3 && notes.contains("STALE 0") && !notes.contains('\x1b'),
        "{notes}"
    );
    assert!(left(folder.path()).is_empty());
}

/// A promise that is broken on purpose is found, whichever and with whatever seed.
///
/// Contract: S131 (partial: reads by id and token), S134 (partial: sources and loaders)
#[test]
fn each_sabotage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    for sabotage in ["drop-invalidation", "old-loader"] {
        for seed in ["1", "2", "3"] {
            let (code, out, notes) = run(
                folder.path(),
                &with(&["--quiet", "--seed", seed, "--sabotage", sabotage]),
            );
            assert_eq!(code, Some(1), "{sabotage} {seed}: {out}{notes}");
            assert!(
                out.contains("first evidence: node ") && out.contains("the checker found it"),
                "{out}"
            );
            assert!(notes.is_empty(), "{notes}");
        }
    }
    assert!(left(folder.path()).is_empty());
}

/// Ctrl-C at any moment, and being told to end: its own exit code, no process and no directory left behind.
///
/// Contract: S133 (partial: after Ctrl-C), S108 (partial: interrupted)
#[test]
fn an_interrupted_demo_leaves_nothing() {
    for (wait, signal) in [
        (0, "-INT"),
        (150, "-INT"),
        (1_500, "-INT"),
        (300, "-TERM"),
        (300, "-HUP"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let long = [
            "demo",
            "--seconds",
            "60",
            "--customers",
            "2000",
            "--products",
            "500",
            "--kill",
            "none",
        ];
        let mut child = larder(folder.path(), &long);
        let mut child = child
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut notes = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        notes.read_line(&mut line).unwrap();
        // Nobody says anything: that is how long it takes until the time is over.
        let (_said, heard) = std::sync::mpsc::channel::<()>();
        assert!(heard.recv_timeout(Duration::from_millis(wait)).is_err());
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let status = child.wait().unwrap();
        let mut rest = String::new();
        notes.read_to_string(&mut rest).unwrap();
        assert_eq!(status.code(), Some(130), "{line}{rest}");
        assert_eq!(
            (left(folder.path()), processes_of(folder.path())),
            (vec![], 0),
            "{signal} after {wait} ms"
        );
    }
}

/// A directory of one's own is used, kept if that is asked for, and never taken if there is something in it.
///
/// Contract: S133 (partial: `--keep`), S108 (partial: conflict)
#[test]
fn a_directory_is_kept_if_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("shop");
    let own = own.to_str().unwrap();
    let (code, _, notes) = run(folder.path(), &with(&["--dir", own, "--keep"]));
    assert_eq!(code, Some(0), "{notes}");
    assert!(notes.contains(own) && left(Path::new(own)).contains(&"shop.db".to_owned()));
    let (code, out, error) = run(folder.path(), &with(&["--dir", own, "--json"]));
    assert_eq!(code, Some(6), "{error}");
    let problem: Value = serde_json::from_str(&out).unwrap();
    assert!(
        problem["error"].as_str().unwrap().ends_with("is not empty"),
        "{problem}"
    );
    assert!(
        left(Path::new(own)).contains(&"shop.db".to_owned()),
        "what was there is there"
    );
    // One that was there stays, and so does what somebody has put into it.
    let there = folder.path().join("there");
    std::fs::create_dir(&there).unwrap();
    let mut child = larder(
        folder.path(),
        &with(&["--quiet", "--dir", there.to_str().unwrap()]),
    );
    let mut child = child.stdout(Stdio::null()).spawn().unwrap();
    while !there.join("shop.db").exists() {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::yield_now();
    }
    std::fs::write(there.join("notes"), "precious").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(left(&there), ["notes"]);
    let made = folder.path().join("made");
    let (code, _, notes) = run(
        folder.path(),
        &with(&["--quiet", "--dir", made.to_str().unwrap()]),
    );
    assert!(code == Some(0) && !made.exists(), "{notes}");
    let (code, _, error) = run(folder.path(), &with(&["--dir", "/proc/nowhere"]));
    assert!(
        code == Some(3) && error.contains("/proc/nowhere"),
        "{code:?} {error}"
    );
}

/// A node that is stopped answers nobody: the demo ends all the same, and says that something was wrong.
///
/// Contract: S133 (partial: a node that hangs)
#[test]
fn a_node_that_hangs_holds_up_no_demo() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = larder(folder.path(), &with(&["--kill", "none"]));
    let mut child = child
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    // It runs.
    assert!(notes.any(|line| line.unwrap().contains("STALE")));
    let nodes = Command::new("pgrep")
        .args(["-P", &child.id().to_string()])
        .output()
        .unwrap();
    let nodes = String::from_utf8(nodes.stdout).unwrap();
    let node = nodes.lines().next().unwrap();
    assert!(
        Command::new("kill")
            .args(["-STOP", node])
            .status()
            .unwrap()
            .success()
    );
    notes.for_each(drop);
    let done = child.wait_with_output().unwrap();
    let out = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(1), "{out}");
    assert!(out.contains("1 nodes did not catch up"), "{out}");
    assert_eq!((left(folder.path()), processes_of(folder.path())), (vec![], 0));
}
