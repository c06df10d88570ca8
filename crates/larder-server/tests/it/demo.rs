//! The demo: its verdict, what it finds, what it leaves behind.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use expect_test::expect_file;
use serde_json::Value;

use super::{larder, left, run};

pub(super) const SMALL: [&str; 7] = [
    "demo",
    "--seconds",
    "3",
    "--customers",
    "2000",
    "--products",
    "500",
];

pub(super) fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SMALL.iter().copied().chain(more.iter().copied()).collect()
}

/// Processes whose command line names a folder.
pub(super) fn processes_of(folder: &Path) -> usize {
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
    // What it missed, what of it was to be replayed, and how it did before and after.
    let killed = &verdict["killed"];
    assert_eq!(&verdict["kills"][0], killed);
    let (behind, replayed) = (killed["behind"].as_u64(), killed["replayed"].as_u64());
    assert!(replayed.is_some() && replayed <= behind, "{verdict}");
    for field in ["hit_ratio_before", "hit_ratio_after"] {
        let ratio = killed[field].as_f64().unwrap();
        assert!(ratio > 0.2 && ratio < 1.0, "{field}: {verdict}");
    }
    assert!(
        verdict["hit_ratio"].as_f64().unwrap() > 0.5 && verdict["lag_p50"].as_f64().unwrap() > 0.0,
        "{verdict}"
    );
    // Not a terminal: a line a second.
    assert!(
        notes.lines().count() >= 3 && notes.contains("STALE 0") && !notes.contains('\x1b'),
        "{notes}"
    );
    let line = notes.lines().nth(1).unwrap();
    for column in [
        "1 of 3 s", "running", "reads", "writes", "hits", "read p50", "lag p50", "p99", "checked",
    ] {
        assert!(line.contains(column), "{column}: {line}");
    }
    assert!(left(folder.path()).is_empty());
}

/// A promise that is broken on purpose is found, whichever and with whatever seed.
///
/// Contract: S131 (partial: reads by id and token), S133 (partial: evidence is explained), S134 (partial: sources and loaders)
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
            // What the node knew of the row: where it came from, what was invalidated, how far it had come.
            for part in [
                "A moment later node ",
                "invalidated",
                "its follower has applied position ",
            ] {
                assert!(out.contains(part), "{part}: {out}");
            }
            assert!(notes.is_empty(), "{notes}");
        }
    }
    assert!(left(folder.path()).is_empty());
}

/// The checker is given every read over loopback, every read of a writer after its own commit, and one in sixteen of the others.
///
/// Contract: S131 (partial: how much is checked)
#[test]
fn one_read_in_sixteen_is_checked_and_all_from_outside() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, notes) = run(folder.path(), &with(&["--json", "--quiet", "--kill", "none"]));
    assert_eq!(code, Some(0), "{out}{notes}");
    let verdict: Value = serde_json::from_str(&out).unwrap();
    let figure = |field: &str| verdict[field].as_f64().unwrap();
    let all = figure("reads_over_loopback") + figure("writes");
    let (sampled, expected) = (figure("checked") - all, figure("reads") / 16.0);
    assert!(expected > 1_000.0, "{verdict}");
    // Six times the deviation of so many draws, and what was under way at the end.
    let tolerance = 6.0 * expected.sqrt() + 64.0;
    assert!((sampled - expected).abs() < tolerance, "{sampled} for {expected}");
}

/// The fields of an object, and of what kind each is, a line each.
fn shape(value: &Value, name: &str) -> String {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(field, value)| shape(value, &format!("{name}.{field}")))
            .collect(),
        Value::Array(values) => match values.first() {
            Some(first) => shape(first, &format!("{name}[]")),
            None => format!("{name}[]\n"),
        },
        Value::Null => format!("{name}: null\n"),
        Value::Bool(_) => format!("{name}: bool\n"),
        Value::Number(_) => format!("{name}: number\n"),
        Value::String(_) => format!("{name}: string\n"),
    }
}

/// The same load over a plain cache has stale reads, which are told beside ours and are not ours. With some seeds nobody reads in so short a time what
/// was lost; of several in a row, some are read.
///
/// Contract: S134 (partial: contrast), S107 (partial: fields of the verdict)
#[test]
fn a_plain_cache_has_stale_reads() {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = with(&["--quiet", "--json", "--contrast", "--writers", "8", "--seed", "1"]);
    (arguments[4], arguments[6]) = ("300", "100");
    for seed in ["1", "2", "3", "4", "5"] {
        *arguments.last_mut().unwrap() = seed;
        let (code, out, notes) = run(folder.path(), &arguments);
        let verdict: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (code, &verdict["stale"]),
            (Some(0), &0.into()),
            "{verdict}{notes}"
        );
        let plain = |field: &str| verdict["contrast"][field].as_u64().unwrap();
        assert_eq!(
            plain("checked"),
            verdict["checked"].as_u64().unwrap(),
            "the same reads"
        );
        let (lost, messages) = (plain("messages_lost"), plain("messages"));
        assert!(lost > 0 && lost * 20 < messages, "{verdict}");
        // Fields are only ever added.
        expect_file!["help/demo.json.txt"].assert_eq(&shape(&verdict, "verdict"));
        if plain("stale") > 0 {
            return;
        }
    }
    panic!("no read of the plain cache was stale");
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

/// What writers do, by what they leave in the database: rows are changed, created, deleted and created again; one transaction in twenty leaves nothing.
///
/// Contract: S129 (partial: rows, orders and rollbacks over SQLite)
#[test]
fn writers_do_what_a_shop_does() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("shop");
    let (code, out, notes) = run(
        folder.path(),
        &with(&["--dir", own.to_str().unwrap(), "--keep", "--json"]),
    );
    assert_eq!(code, Some(0), "{notes}");
    let verdict: Value = serde_json::from_str(&out).unwrap();
    let [writes, rollbacks] = ["writes", "rollbacks"].map(|field| verdict[field].as_u64().unwrap());
    assert!(
        (writes / 40..writes / 10).contains(&rollbacks),
        "{rollbacks} rolled back, {writes} written"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let counts = runtime.unwrap().block_on(async {
        let file = sqlx::sqlite::SqliteConnectOptions::new().filename(own.join("shop.db"));
        let database = sqlx::SqlitePool::connect_with(file).await.unwrap();
        let mut counts = Vec::new();
        for sql in [
            "SELECT count(*) FROM orders",
            "SELECT count(*) FROM history WHERE version > 1 AND deleted = 0",
            "SELECT count(*) FROM history WHERE deleted = 1",
            "SELECT count(*) FROM history AS again JOIN history AS gone USING (kind, id) \
             WHERE gone.deleted = 1 AND again.deleted = 0 AND again.version = gone.version + 1",
            "SELECT count(DISTINCT kind) FROM history WHERE version > 1 AND kind < 3",
            // What was rolled back left no gap in the versions of a row.
            "SELECT count(*) FROM (SELECT max(version) - count(*) AS gap FROM history GROUP BY kind, id) WHERE gap <> 0",
        ] {
            let count: i64 = sqlx::query_scalar(sql).fetch_one(&database).await.unwrap();
            counts.push(count);
        }
        counts
    });
    let [orders, changed, deleted, again, kinds, gaps] = counts[..] else {
        panic!("{counts:?}")
    };
    assert!(
        orders > 0 && changed > 0 && deleted > 0 && again > 0,
        "{counts:?}"
    );
    assert_eq!((kinds, gaps), (2, 0), "{counts:?}");
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
