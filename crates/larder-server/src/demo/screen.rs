//! [`Screen`]: what is shown while it runs: a table that is drawn anew on a terminal, a line a second elsewhere.

use std::io::Write as _;
use std::time::Duration;

use super::figures::{Figures, percent, percentile};
use super::process::NAMES;
use super::words::Tally;

pub(crate) struct Screen {
    is_terminal: bool,
    is_quiet: bool,
    /// Lines that are to be drawn over.
    drawn: usize,
    lags_seen: usize,
    prepared: u64,
}

/// What a second was like.
pub(crate) struct Second<'a> {
    pub(crate) phase: &'a str,
    pub(crate) at: Duration,
    pub(crate) all: Duration,
    pub(crate) checked: u64,
    pub(crate) stale: u64,
}

impl Screen {
    pub(crate) fn new(is_terminal: bool, is_quiet: bool) -> Self {
        Screen {
            is_terminal,
            is_quiet,
            drawn: 0,
            lags_seen: 0,
            prepared: 0,
        }
    }

    pub(crate) fn preparing(&mut self, done: u64, all: u64) {
        let tenth = done * 10 / all.max(1);
        if self.is_quiet || (!self.is_terminal && tenth == self.prepared && done < all) {
            return;
        }
        self.prepared = tenth;
        if !self.is_terminal {
            if done == all {
                self.draw(&[format!("prepared {all} rows")]);
            }
            return;
        }
        let full = usize::try_from(done * 30 / all.max(1)).unwrap_or(30);
        let bar = format!(
            "preparing  [{}{}] {done} of {all} rows",
            "#".repeat(full),
            " ".repeat(30 - full)
        );
        self.draw(&[bar]);
    }

    pub(crate) fn second(&mut self, figures: &mut Figures, second: &Second<'_>) {
        if self.is_quiet {
            return;
        }
        let mut both = Tally::default();
        for node in &figures.nodes {
            both.add(&node.second);
        }
        let mut lags = figures.lags.get(self.lags_seen..).unwrap_or_default().to_vec();
        self.lags_seen = figures.lags.len();
        let head = format!(
            "{:>3} of {} s  {:<8} reads {:>9}/s  writes {:>5}/s  hits {:>5.1} %  read p50 {} p99 {}  lag p50 {} p99 {}  checked {}  STALE {}",
            second.at.as_secs(),
            second.all.as_secs(),
            second.phase,
            both.reads,
            both.writes,
            percent(both.hits, both.reads),
            short(both.time(0.5)),
            short(both.time(0.99)),
            short(percentile(&mut lags, 0.5)),
            short(percentile(&mut lags, 0.99)),
            second.checked,
            second.stale,
        );
        let mut lines = vec![head];
        if self.is_terminal {
            for (name, node) in NAMES.iter().zip(&figures.nodes) {
                lines.push(format!(
                    "      node {name}  {:<8} reads {:>9}/s  writes {:>5}/s  hits {:>5.1} %  applied {}",
                    if node.is_up { "up" } else { "DOWN" },
                    node.second.reads,
                    node.second.writes,
                    percent(node.second.hits, node.second.reads),
                    node.applied,
                ));
            }
        }
        for node in &mut figures.nodes {
            node.second = Tally::default();
        }
        self.draw(&lines);
    }

    /// Leaves what was drawn, so that what follows comes after it.
    pub(crate) fn clear(&mut self) {
        self.drawn = 0;
    }

    fn draw(&mut self, lines: &[String]) {
        let mut text = String::new();
        if self.is_terminal && self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\x1b[J", self.drawn));
        }
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn = if self.is_terminal { lines.len() } else { 0 };
        let mut out = std::io::stderr().lock();
        // Nobody may be looking.
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }
}

/// A time in four or five letters.
pub(crate) fn short(time: Duration) -> String {
    let nanos = time.as_nanos();
    match nanos {
        0 => "-".to_owned(),
        1..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{} us", nanos / 1_000),
        1_000_000..10_000_000_000 => format!("{:.1} ms", time.as_secs_f64() * 1_000.0),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}
