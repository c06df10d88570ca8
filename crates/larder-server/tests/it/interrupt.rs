//! Commands that are told to end, wherever they are: exit code 130, and nothing is left. Whoever hangs up is no fault.
#![cfg(target_os = "linux")]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{larder, left};

fn spawned(folder: &Path, arguments: &[&str]) -> Child {
    larder(folder, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the process has said that it takes Ctrl-C itself.
fn wait_until_it_listens(child: &mut Child) {
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))
            .unwrap();
        // The second bit is that of SIGINT.
        if u64::from_str_radix(caught.trim(), 16).unwrap() & 2 != 0 {
            return;
        }
        assert_eq!(child.try_wait().unwrap(), None, "it has ended");
        std::thread::yield_now();
    }
}

fn interrupt(mut child: Child) {
    let pid = child.id().to_string();
    // Waiting would close it, and then there is an end to read to.
    let _stdin = child.stdin.take();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    let status = child.wait().unwrap();
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!((status.code(), out.as_str()), (Some(130), ""));
}

/// So many accesses of ever other keys.
fn trace(folder: &Path, accesses: u32) -> String {
    let mut text = String::new();
    for at in 0..accesses {
        writeln!(text, "{}", at.wrapping_mul(2_654_435_761) % 20_011).unwrap();
    }
    let path = folder.join("keys");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Waits for a line of notes.
fn wait_for(child: &mut Child, note: &str) {
    let lines = BufReader::new(child.stderr.as_mut().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    assert!(lines.any(|line| line.contains(note)), "it has ended");
}

/// Contract: S108 (partial: interrupted while reading and simulating)
#[test]
fn reading_and_simulating_can_be_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    // Its standard input stays open, so it reads for ever.
    let mut child = spawned(folder.path(), &["replay", "-"]);
    wait_until_it_listens(&mut child);
    interrupt(child);
    let path = trace(folder.path(), 100_000);
    let capacities: Vec<String> = (100..2_000).map(|capacity| capacity.to_string()).collect();
    let mut child = spawned(
        folder.path(),
        &["replay", &path, "--capacity", &capacities.join(",")],
    );
    wait_until_it_listens(&mut child);
    wait_for(&mut child, "100000 accesses of");
    interrupt(child);
    assert_eq!(left(folder.path()), ["keys"]);
}

/// Contract: S108 (partial: interrupted while driving), S138 (partial: nothing is left)
#[test]
fn a_drive_can_be_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let path = trace(folder.path(), 60_000);
    let arguments = ["replay", &path, "--capacity", "10", "--writes", "50%"];
    let mut child = spawned(folder.path(), &arguments);
    wait_for(&mut child, "driving 60000 accesses");
    interrupt(child);
    assert_eq!(left(folder.path()), ["keys"], "nothing is left behind");
}

/// Contract: S106 (partial: a closed pipe)
#[test]
fn nobody_need_read_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = trace(folder.path(), 1_000);
    for form in ["--json", "--csv", "--quiet"] {
        let mut child = spawned(folder.path(), &["replay", &path, form]);
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        let error = String::from_utf8(done.stderr).unwrap();
        assert!(
            done.status.code() == Some(0) && !error.contains("larder:"),
            "{form}: {error}"
        );
    }
}
