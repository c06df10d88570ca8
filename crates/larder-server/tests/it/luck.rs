//! The demo when what it needs is taken away, and when nobody listens.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::demo::{SMALL, processes_of, with};
use super::{larder, left, run};

/// Waits until something is so: nobody says when.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let (_said, heard) = std::sync::mpsc::channel::<()>();
    for _ in 0..200 {
        if is_so() {
            return;
        }
        assert!(heard.recv_timeout(Duration::from_millis(50)).is_err());
    }
    panic!("{what} did not come to be");
}

/// The processes that another has started.
fn children_of(process: u32) -> Vec<String> {
    let found = Command::new("pgrep")
        .args(["-P", &process.to_string()])
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    found.lines().map(str::to_owned).collect()
}

fn signal(signal: &str, process: &str) {
    let sent = Command::new("kill").args([signal, process]).status();
    assert!(sent.unwrap().success());
}

/// A node that is stopped cannot notice that whoever started it was killed; the system ends it.
///
/// Contract: S133 (partial: no child outlives it)
#[test]
fn no_node_outlives_a_demo_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let child = larder(folder.path(), &with(&["--kill", "none"]))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(notes.any(|line| line.unwrap().contains("STALE")));
    let nodes = children_of(child.id());
    assert_eq!(nodes.len(), 2);
    signal("-STOP", &nodes[0]);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the end of the nodes", || processes_of(folder.path()) == 0);
}

/// The first Ctrl-C waits for whoever reads the results; the second does not.
///
/// Contract: S108 (partial: the second Ctrl-C)
#[test]
fn the_second_ctrl_c_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_reader, mut writer) = std::io::pipe().unwrap();
    // It holds that much, and nobody reads it.
    let size = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
    writer.write_all(&vec![b' '; size]).unwrap();
    let mut child = larder(folder.path(), &SMALL)
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(notes.any(|line| line.unwrap().contains("2 of 3 s")));
    wait_until("the end of the nodes", || children_of(child.id()).is_empty());
    let id = child.id().to_string();
    signal("-INT", &id);
    assert_eq!(child.try_wait().unwrap(), None, "it waits");
    wait_until("the end", || {
        let _ = Command::new("kill")
            .args(["-INT", &id])
            .stderr(Stdio::null())
            .status();
        children_are_over(&id)
    });
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// Contract: S107 (partial: an interruption)
#[test]
fn an_interruption_is_told_as_an_object() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = larder(folder.path(), &with(&["--json"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut notes = BufReader::new(child.stderr.take().unwrap());
    notes.read_line(&mut line).unwrap();
    signal("-INT", &child.id().to_string());
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130));
    let problem: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(
        (&problem["code"], &problem["exit"]),
        (&"interrupted".into(), &130.into())
    );
}

/// A process has ended, and its parent has not asked how.
fn children_are_over(id: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = state.rsplit_once(") ").map(|(_, rest)| rest.starts_with('Z'));
    state.unwrap_or(true)
}

/// Whoever hangs up, on the results or on the notes, is no fault, and nothing is left.
///
/// Contract: S106 (partial: a closed pipe, of a demo)
#[test]
fn a_demo_that_nobody_listens_to_ends_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = larder(folder.path(), &SMALL)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!((left(folder.path()), processes_of(folder.path())), (vec![], 0));
}

/// Runs a demo, and does something to its directory once it runs.
fn disturbed(folder: &Path, more: &[&str], disturb: impl FnOnce(&Path)) -> (Option<i32>, String, String) {
    let own = folder.join("shop");
    let mut arguments = with(&["--dir", own.to_str().unwrap()]);
    arguments.extend(more);
    let mut child = larder(folder, &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("STALE") {
        line.clear();
        assert!(notes.read_line(&mut line).unwrap() > 0);
    }
    disturb(&own);
    let mut rest = String::new();
    notes.read_to_string(&mut rest).unwrap();
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let code = child.wait().unwrap().code();
    assert_eq!((left(folder), processes_of(folder)), (vec![], 0), "{rest}");
    (code, out, rest)
}

/// A database that is deleted while it runs: the node that starts again says what it could not open.
///
/// Contract: S108 (partial: could not run), S107 (partial: problem objects)
#[test]
fn a_database_that_is_deleted_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, notes) = disturbed(folder.path(), &["--json"], |own| {
        std::fs::remove_file(own.join("shop.db")).unwrap();
    });
    assert_eq!(code, Some(3), "{out}{notes}");
    assert!(
        notes.contains("node a: ") && notes.contains("unable to open database file"),
        "{notes}"
    );
    let problem: Value = serde_json::from_str(&out).unwrap();
    for (field, value) in [
        ("code", "could_not_run"),
        ("type", "about:blank"),
        ("title", "it could not run"),
    ] {
        assert_eq!(problem[field], value, "{problem}");
    }
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("node a has ended by itself")
    );
    assert_eq!(
        (&problem["error"], &problem["exit"]),
        (&problem["detail"], &3.into())
    );
    // A whole directory that goes is no fault to remove.
    let (code, out, notes) = disturbed(folder.path(), &["--kill", "none"], |own| {
        std::fs::remove_dir_all(own).unwrap();
    });
    assert_eq!(code, Some(1), "{out}{notes}");
    assert!(
        out.contains("something was wrong: 2 nodes did not catch up"),
        "{out}"
    );
    assert!(!notes.contains("could not be removed"), "{notes}");
}

/// Faults of usage are objects too, and what a person reads is the same.
///
/// Contract: S107 (partial: usage)
#[test]
fn usage_is_told_as_an_object() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        ["demo", "--kill", "c", "--json"],
        ["--json", "demo", "--seconds", "2"],
    ] {
        let (code, out, notes) = run(folder.path(), &arguments);
        assert_eq!(code, Some(2));
        let problem: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (&problem["code"], &problem["exit"]),
            (&"bad_request".into(), &2.into())
        );
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.starts_with("invalid value") && notes.contains(detail),
            "{detail}: {notes}"
        );
    }
}
