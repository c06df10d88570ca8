//! [`Output`]: results on standard output, everything else on standard error; whoever hangs up is no fault.
//!
//! Errors are on standard error in words, and with `--json` one object on standard output as well. [`Progress`] tells of work that takes
//! its time: a bar on a terminal, a line now and then elsewhere.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::fault::{Exit, Fault};
use crate::terminal;

/// Work that takes less than this shows no bar.
const BAR_AFTER: Duration = Duration::from_secs(1);
/// Where there is no terminal, a line tells this often how far it is.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Where notes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereto {
    Terminal,
    /// To a file, or to another process.
    Elsewhere,
}

/// How results are given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    /// Without colours, whatever is written to.
    pub(crate) plain: bool,
}

impl Output {
    /// A result.
    pub(crate) fn say(self, text: &str) -> Result<(), Fault> {
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// A result for people: on a terminal, lines that are too long go on in the next, between words.
    pub(crate) fn say_folded(self, text: &str) -> Result<(), Fault> {
        if std::io::stdout().is_terminal() {
            self.say(&folded(text, terminal::columns()))
        } else {
            self.say(text)
        }
    }

    /// Something to know.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            drop(writeln!(std::io::stderr(), "{text}"));
        }
    }

    /// Why it did not work.
    pub(crate) fn fault(self, exit: Exit, text: &str) {
        if self.json {
            drop(self.say(&problem(exit, text).to_string()));
        }
        drop(writeln!(std::io::stderr(), "larder: {text}"));
    }

    /// Where notes go.
    pub(crate) fn whereto(self) -> Whereto {
        if std::io::stderr().is_terminal() {
            Whereto::Terminal
        } else {
            Whereto::Elsewhere
        }
    }

    /// The same of work that is done on several threads.
    pub(crate) fn steps(self, what: &'static str, all: impl Into<Option<u64>>) -> Steps {
        Steps {
            done: AtomicU64::new(0),
            progress: Mutex::new(self.progress(what, all)),
        }
    }

    /// Work of so many steps that begins now; of how many, need not be known.
    pub(crate) fn progress(self, what: &'static str, all: impl Into<Option<u64>>) -> Progress {
        let all = all.into();
        let now = Instant::now();
        Progress {
            output: self,
            what,
            all,
            began: now,
            told: now,
            bar: None,
        }
    }
}

/// A fault as an object: what HTTP would answer, but for what only a request has. `error` and `exit` say the same as `detail` and `code`.
pub(crate) fn problem(exit: Exit, text: &str) -> serde_json::Value {
    let (code, title) = exit.named();
    serde_json::json!({
        "type": "about:blank",
        "title": title,
        "detail": text,
        "code": code,
        "error": text,
        "exit": exit.number(),
    })
}

/// Lines of at most so many letters; what goes on is moved in. A word that is longer than that stays whole.
fn folded(text: &str, columns: usize) -> String {
    let fold = |line: &str| {
        let mut done = String::new();
        let mut length = 0;
        for (place, word) in line.split(' ').enumerate() {
            let letters = word.chars().count();
            if length > 0 && length + letters + 1 > columns {
                done.push_str("\n   ");
                length = 3;
            }
            if place > 0 {
                done.push(' ');
                length += 1;
            }
            done.push_str(word);
            length += letters;
        }
        done
    };
    let lines: Vec<String> = text.lines().map(fold).collect();
    lines.join("\n")
}

/// How far some work is. What it has drawn goes when it is over.
pub(crate) struct Progress {
    output: Output,
    what: &'static str,
    all: Option<u64>,
    began: Instant,
    told: Instant,
    bar: Option<ProgressBar>,
}

/// What is due of a progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Line,
    Bar,
}

impl Progress {
    /// So many steps are done.
    pub(crate) fn set(&mut self, done: u64) {
        if self.output.quiet {
            return;
        }
        let now = Instant::now();
        match self.due(now, self.output.whereto()) {
            Due::Nothing => {}
            Due::Line => {
                self.told = now;
                let of = self.all.map_or_else(String::new, |all| format!(" of {all}"));
                self.output.note(&format!("{}: {done}{of}", self.what));
            }
            Due::Bar => {
                let bar = self.bar.get_or_insert_with(|| bar(self.what, self.all));
                bar.set_prefix(left(now - self.began, done, self.all));
                bar.set_position(done);
            }
        }
    }

    fn due(&self, now: Instant, whereto: Whereto) -> Due {
        let is_terminal = whereto == Whereto::Terminal;
        if is_terminal && now - self.began >= BAR_AFTER {
            Due::Bar
        } else if !is_terminal && now - self.told >= LINE_EVERY {
            Due::Line
        } else {
            Due::Nothing
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How far work is that is done on several threads. What it has drawn goes when it is over.
pub(crate) struct Steps {
    done: AtomicU64,
    progress: Mutex<Progress>,
}

impl Steps {
    /// So many more steps are done.
    pub(crate) fn add(&self, steps: u64) {
        let done = self
            .done
            .fetch_add(steps, Ordering::Relaxed)
            .saturating_add(steps);
        // Whoever finds it taken has just been told for.
        if let Ok(mut progress) = self.progress.try_lock() {
            progress.set(done);
        }
    }
}

/// How long the rest takes, if it goes on as it did from the beginning.
fn left(taken: Duration, done: u64, all: Option<u64>) -> String {
    let rest = all.map_or(0, |all| all.saturating_sub(done));
    let nanos = taken.as_nanos().saturating_mul(u128::from(rest)) / u128::from(done.max(1));
    let seconds = nanos.div_ceil(1_000_000_000);
    if seconds < 120 {
        format!("{seconds} s")
    } else {
        format!("{} min", seconds.div_ceil(60))
    }
}

fn bar(what: &'static str, all: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(all, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(match all {
        Some(_) => "{msg} [{bar:30}] {pos} of {len}, {prefix} left",
        None => "{msg} {spinner} {pos}",
    });
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("# "));
    }
    bar.set_message(what);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contract: S106 (partial: bars after a second, lines every five)
    #[test]
    fn what_takes_long_is_told() {
        let output = Output {
            json: false,
            quiet: false,
            plain: true,
        };
        let mut progress = output.progress("work", 10);
        let began = progress.began;
        let after = |seconds: f64| began + Duration::from_secs_f64(seconds);
        let due = |seconds: f64| {
            [Whereto::Elsewhere, Whereto::Terminal].map(|whereto| progress.due(after(seconds), whereto))
        };
        assert_eq!(due(0.9), [Due::Nothing, Due::Nothing]);
        assert_eq!(due(1.0), [Due::Nothing, Due::Bar]);
        assert_eq!(due(4.9), [Due::Nothing, Due::Bar]);
        assert_eq!(due(5.0), [Due::Line, Due::Bar]);
        progress.told = after(5.0);
        assert_eq!(progress.due(after(9.9), Whereto::Elsewhere), Due::Nothing);
        assert_eq!(progress.due(after(10.0), Whereto::Elsewhere), Due::Line);
    }

    #[test]
    fn long_lines_are_folded_between_words() {
        for (text, expected) in [
            ("ab cd", "ab cd"),
            ("ab cdefg hijklmnopq", "ab cdefg\n    hijklmnopq"),
            ("ab   cd ef gh", "ab   cd ef\n    gh"),
            ("x\n\n y", "x\n\n y"),
        ] {
            assert_eq!(folded(text, 10), expected);
        }
    }

    /// Fields are only ever added.
    #[test]
    fn a_fault_is_a_problem_object() {
        let problem = problem(Exit::Conflict, "shop is not empty");
        let expected = serde_json::json!({
            "type": "about:blank",
            "title": "something is in the way",
            "detail": "shop is not empty",
            "code": "conflict",
            "error": "shop is not empty",
            "exit": 6,
        });
        assert_eq!(problem, expected);
    }

    #[test]
    fn what_is_left_is_told_by_what_was_done() {
        for (seconds, done, all, text) in [
            (2, 1, Some(4), "6 s"),
            (10, 0, Some(3), "30 s"),
            (1, 3, Some(4), "1 s"),
            (1, 4, Some(4), "0 s"),
            (1, 5, Some(4), "0 s"),
            (10, 1, Some(13), "2 min"),
            (1, 1, Some(u64::MAX), "307445734561825861 min"),
            (1, 7, None, "0 s"),
        ] {
            assert_eq!(left(Duration::from_secs(seconds), done, all), text);
        }
    }
}
