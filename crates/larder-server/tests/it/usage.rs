//! What every command does with its arguments.

use super::{larder, run};

/// Contract: S108 (partial: usage), S109 (partial: help and completions)
#[test]
fn what_is_not_known_is_usage() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        vec![],
        vec!["nothing"],
        vec!["demo", "--seconds", "2"],
        vec!["demo", "--seconds", "3", "--quick"],
        vec!["demo", "--sabotage", "all"],
        vec!["demo", "--writers", "0"],
    ] {
        let (code, out, error) = run(folder.path(), &arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {error}");
        assert!(
            error.contains("Usage") || error.contains("--help"),
            "{arguments:?}: {error}"
        );
    }
    let (code, help, _) = run(folder.path(), &["demo", "--help"]);
    assert_eq!(code, Some(0));
    for part in [
        "Examples:",
        "Exit codes:",
        "--seconds",
        "[default: 30]",
        "--kill",
        "--keep",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let (code, text, _) = run(folder.path(), &["completions", shell]);
        assert!(
            code == Some(0) && text.contains("demo") && !text.contains("panicked"),
            "{shell}"
        );
    }
}

/// Contract: S106 (partial: a closed pipe)
#[test]
fn a_closed_pipe_ends_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = larder(folder.path(), &["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), done.stderr), (Some(0), Vec::new()));
}
