//! What `--help` says of each command, word for word; and the manual pages.

use expect_test::{ExpectFile, expect_file};

use super::{left, run};

fn check(arguments: &[&str], expected: &ExpectFile) {
    let folder = tempfile::tempdir().unwrap();
    let (code, help, notes) = run(folder.path(), arguments);
    assert_eq!((code, notes.as_str()), (Some(0), ""));
    expected.assert_eq(&help);
}

/// Contract: S109 (partial: `--help`)
#[test]
fn help_says_it_word_for_word() {
    check(&["--help"], &expect_file!["help/larder.txt"]);
    check(&["demo", "--help"], &expect_file!["help/demo.txt"]);
    check(&["replay", "--help"], &expect_file!["help/replay.txt"]);
    check(&["completions", "--help"], &expect_file!["help/completions.txt"]);
    check(&["man", "--help"], &expect_file!["help/man.txt"]);
}

/// Every command says what it takes, with a default where there is one, and has examples, exit codes and environment.
///
/// Contract: S109 (partial: what help must have)
#[test]
fn help_has_all_parts() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["demo", "replay", "completions", "man"] {
        let (_, help, _) = run(folder.path(), &[command, "--help"]);
        for part in ["Examples:", "Exit codes:", "Environment:"] {
            assert!(help.contains(part), "{command}: {part}");
        }
        let example = format!("\n  larder {command} ");
        assert!(help.matches(&example).count() >= 2, "{command}: two examples");
    }
}

/// Contract: S109 (partial: manual pages)
#[test]
fn manual_pages_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let at = pages.to_str().unwrap();
    let (code, out, error) = run(folder.path(), &["man", at]);
    assert!(code == Some(5) && out.is_empty() && error.contains(at), "{error}");
    std::fs::create_dir(&pages).unwrap();
    let (code, out, error) = run(folder.path(), &["man", at]);
    assert_eq!((code, out.as_str(), error.as_str()), (Some(0), "", ""));
    let (_, out, _) = run(folder.path(), &["man", at, "--json"]);
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(said["directory"], at);
    let mut written = left(&pages);
    written.sort();
    assert_eq!(
        written,
        [
            "larder-completions.1",
            "larder-demo.1",
            "larder-man.1",
            "larder-replay.1",
            "larder.1"
        ]
    );
    let page = std::fs::read_to_string(pages.join("larder-demo.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("contrast"), "{page}");
}
