//! The demo on a terminal: the table, the keys, and the mode that the terminal is left in.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use pty_process::Size;
use pty_process::blocking::{Command, Pts, Pty};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::Value;

use super::left;

/// Whatever is waited for is there within this, or never.
const WITHIN: Duration = Duration::from_secs(20);

/// The binary on a terminal of its own: standard output is elsewhere.
struct Terminal {
    child: Child,
    pty: Arc<Pty>,
    pts: Pts,
    screen: vt100::Parser,
    /// Everything that was written to it.
    raw: String,
    written: Receiver<Vec<u8>>,
}

impl Terminal {
    fn new(folder: &Path, columns: u16, arguments: &[&str]) -> Self {
        // Empty is as good as not set.
        Self::with_no_color("", folder, columns, arguments)
    }

    fn with_no_color(no_color: &str, folder: &Path, columns: u16, arguments: &[&str]) -> Self {
        let (pty, pts) = pty_process::blocking::open().unwrap();
        pty.resize(Size::new(24, columns)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder"))
            .args(arguments)
            .env("TMPDIR", folder)
            .env("TERM", "xterm")
            .env("NO_COLOR", no_color)
            .stdout(Stdio::piped());
        let child = command.spawn_borrowed(&pts).unwrap();
        let pty = Arc::new(pty);
        let (told, written) = channel();
        let from = Arc::clone(&pty);
        std::thread::spawn(move || {
            let mut bytes = vec![0; 4_096];
            while let Ok(length) = (&*from).read(&mut bytes) {
                if length == 0 || told.send(bytes[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal {
            child,
            pty,
            pts,
            screen: vt100::Parser::new(24, columns, 0),
            raw: String::new(),
            written,
        }
    }

    fn shown(&self) -> String {
        self.screen.screen().contents()
    }

    /// Looks on until something is shown.
    fn until(&mut self, what: &str, is_shown: impl Fn(&str) -> bool) -> String {
        loop {
            let Ok(bytes) = self.written.recv_timeout(WITHIN) else {
                panic!("{what} was never shown: {}", self.shown());
            };
            self.raw.push_str(&String::from_utf8_lossy(&bytes));
            self.screen.process(&bytes);
            let shown = self.shown();
            for row in 0..24 {
                assert!(!self.screen.screen().row_wrapped(row), "row {row} wraps: {shown}");
            }
            if is_shown(&shown) {
                return shown;
            }
        }
    }

    /// Looks on until the table of the next second is drawn.
    fn until_next(&mut self) -> String {
        let before = head_of(&self.shown());
        self.until("the next second", |shown| {
            let head = head_of(shown);
            shown.contains("k kills") && head.is_some() && head != before
        })
    }

    fn press(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    /// Whether single keys are read, without an echo.
    fn is_changed(&self) -> bool {
        let modes = tcgetattr(&*self.pty).unwrap().local_modes;
        let lines = LocalModes::ICANON | LocalModes::ECHO;
        assert!(modes.contains(LocalModes::ISIG), "Ctrl-C is a signal");
        assert!(!modes.intersects(lines) || modes.contains(lines));
        !modes.contains(lines)
    }

    /// Waits until it has ended; the exit code and what was said.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        let code = self.child.wait().unwrap().code();
        assert!(!self.is_changed(), "the terminal is as it was");
        drop(self.pts);
        (code, said)
    }
}

const SMALL: [&str; 9] = [
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

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SMALL.iter().copied().chain(more.iter().copied()).collect()
}

fn verdict(said: &str) -> Value {
    serde_json::from_str(said).unwrap()
}

/// The first line of the table.
fn head_of(shown: &str) -> Option<String> {
    let mut heads = shown.lines().filter(|line| line.contains(" of 60 s"));
    heads.next().map(str::to_owned)
}

/// The figures of a row of the table.
fn row<'a>(shown: &'a str, name: &str) -> Vec<&'a str> {
    let row = shown.lines().find(|line| line.starts_with(name));
    row.map(|row| row.split_whitespace().collect())
        .unwrap_or_default()
}

/// The table has every column and a row for each node, and is drawn in place; no line is longer than the terminal.
///
/// Contract: S130 (partial: without a disk tier)
#[test]
fn a_table_is_drawn_in_place() {
    for columns in [80, 100, 40] {
        let folder = tempfile::tempdir().unwrap();
        let mut terminal = Terminal::new(folder.path(), columns, &with(&["--json"]));
        let first = head_of(&terminal.until_next()).unwrap();
        let shown = terminal.until_next();
        assert!(!shown.contains(&first), "{first}: {shown}");
        assert_eq!(shown.matches(" of 60 s").count(), 1, "{shown}");
        if columns >= 80 {
            for title in [
                "running",
                "checked",
                "STALE READS 0",
                "reads/s",
                "writes/s",
                "hits %",
                "read p50",
                "lag p50",
                "p99",
                "applied",
                "q ends",
            ] {
                assert!(shown.contains(title), "{title}: {shown}");
            }
            assert_eq!(shown.matches("reads/s").count(), 1, "{shown}");
            for name in ["both", "a up", "b up"] {
                let reads = row(&shown, name);
                let reads = reads.iter().find_map(|word| word.parse::<u64>().ok());
                assert!(reads.is_some_and(|reads| reads > 0), "{name}: {shown}");
            }
        }
        terminal.press("q");
        let (code, said) = terminal.end();
        assert_eq!(code, Some(0), "{said}");
    }
}

/// A node that was paused for longer than the bound may serve nothing of before: its reads are checked, and none is stale.
///
/// Contract: S135 (partial: what a paused node may serve), S133 (partial: of a paused node)
#[test]
fn a_key_pauses_a_node() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::new(folder.path(), 80, &with(&["--json"]));
    terminal.until("the table", |shown| shown.contains("b up"));
    assert!(terminal.is_changed());
    terminal.press("p");
    for _ in 0..3 {
        terminal.until("a paused node", |shown| shown.contains("b paused"));
    }
    let shown = terminal.shown();
    assert!(
        shown.contains("paused ") && row(&shown, "b paused")[2] == "0",
        "{shown}"
    );
    assert!(row(&shown, "a up")[2] != "0", "the other serves on: {shown}");
    terminal.press("p");
    terminal.until("a node that goes on", |shown| {
        shown.contains("b up") && row(shown, "b up")[2] != "0"
    });
    // It may also be paused at the end.
    terminal.press("ppq");
    let (code, said) = terminal.end();
    let verdict = verdict(&said);
    assert_eq!(code, Some(0), "{verdict}");
    assert_eq!(
        (&verdict["pauses"], &verdict["stale"], &verdict["behind"]),
        (&2.into(), &0.into(), &0.into())
    );
    assert!(left(folder.path()).is_empty());
}

/// Each key does what it says, in turn.
///
/// Contract: S135
#[test]
fn keys_kill_pause_lock_and_write() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::new(folder.path(), 80, &with(&["--json"]));
    terminal.until("the table", |shown| shown.contains("b up"));
    terminal.press("w");
    terminal.until_next();
    terminal.press("kp");
    terminal.until("a paused node", |shown| shown.contains("b paused"));
    terminal.press("pk");
    let are_back = |shown: &str| shown.contains("k kills") && shown.contains("running");
    terminal.until("both nodes", are_back);
    terminal.press("d");
    let locked = |shown: &str| shown.contains("locked") && row(shown, "both").get(2) == Some(&"0");
    terminal.until("a second without a write", locked);
    terminal.press("q");
    let (code, said) = terminal.end();
    let verdict = verdict(&said);
    assert_eq!(code, Some(0), "{verdict}");
    let kills = verdict["kills"].as_array().unwrap();
    let nodes: Vec<&Value> = kills.iter().map(|killed| &killed["node"]).collect();
    assert_eq!(nodes, ["a", "b"]);
    // A hundred rows in each transaction of a burst.
    let burst = verdict["burst_writes"].as_u64().unwrap();
    assert!(burst >= 100 && burst.is_multiple_of(100), "{verdict}");
    for field in ["pauses", "locks", "bursts"] {
        assert_eq!(verdict[field], 1, "{field}: {verdict}");
    }
}

/// Ctrl-C is a signal, and the terminal is as it was found.
///
/// Contract: S135 (partial: the terminal's mode), S108 (partial: Ctrl-C on a terminal)
#[test]
fn ctrl_c_leaves_the_terminal_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::new(folder.path(), 80, &with(&[]));
    terminal.until("the table", |shown| shown.contains("b up"));
    assert!(terminal.is_changed());
    terminal.press("\x03");
    let (code, _) = terminal.end();
    assert_eq!(code, Some(130));
    assert!(left(folder.path()).is_empty());
    // A fault: the database goes, and the node that is killed cannot come back.
    let own = folder.path().join("shop");
    let mut terminal = Terminal::new(folder.path(), 80, &with(&["--dir", own.to_str().unwrap()]));
    terminal.until("the table", |shown| shown.contains("b up"));
    std::fs::remove_file(own.join("shop.db")).unwrap();
    terminal.press("k");
    let (code, _) = terminal.end();
    assert_eq!(code, Some(3));
}

/// Work above a second has a bar on a terminal. Colours are left out where nobody wants them.
///
/// Contract: S106 (partial: bars and colours)
#[test]
fn bars_and_colours() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::new(folder.path(), 80, &["demo", "--customers", "5000000"]);
    terminal.until("a bar", |shown| {
        shown.contains("preparing rows [") && shown.contains("of 5005000")
    });
    terminal.press("\x03");
    assert_eq!(terminal.end().0, Some(130));
    for (more, no_color, is_coloured) in [
        (None, "", true),
        (None, "1", false),
        (Some("--no-color"), "", false),
    ] {
        let arguments = with(more.as_slice());
        let mut terminal = Terminal::with_no_color(no_color, folder.path(), 80, &arguments);
        terminal.until("the table", |shown| shown.contains("k kills"));
        terminal.press("q");
        assert_eq!(terminal.raw.contains("\x1b[3"), is_coloured, "{:?}", terminal.raw);
        assert_eq!(terminal.end().0, Some(0));
    }
    assert!(left(folder.path()).is_empty());
}

/// Whatever takes its time shows how far it is, and what is shown goes when it is over.
///
/// Contract: S106 (partial: bars of replay)
#[test]
fn a_replay_shows_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let keys = (0..100_000_u32).map(|at| format!("{}\n", at.wrapping_mul(2_654_435_761) % 10_007));
    std::fs::write(&path, keys.collect::<String>()).unwrap();
    let mut terminal = Terminal::new(
        folder.path(),
        100,
        &[
            "replay",
            path.to_str().unwrap(),
            "--writes",
            "1%",
            "--limit",
            "30000",
        ],
    );
    for what in ["points of curves", "driven accesses"] {
        terminal.until(what, |shown| {
            let line = shown.lines().find(|line| line.starts_with(&format!("{what} [")));
            line.is_some_and(|line| line.contains(" of ") && line.trim_end().ends_with(" left"))
        });
    }
    assert_eq!(terminal.child.wait().unwrap().code(), Some(0));
    while let Ok(bytes) = terminal.written.recv_timeout(Duration::from_millis(200)) {
        terminal.screen.process(&bytes);
    }
    let shown = terminal.shown();
    assert!(
        shown.contains("100000 accesses of 10007 keys") && !shown.contains('['),
        "{shown}"
    );
}
