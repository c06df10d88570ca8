//! [`Screen`]: what is shown while it runs: a table that is drawn anew on a terminal, a line a second elsewhere.
//!
//! A line of the table has at most 79 letters, and none is longer than the terminal is wide.

use std::io::Write as _;
use std::time::Duration;

use super::figures::{Figures, NodeFigures, percent, percentile};
use super::process::NAMES;
use super::words::Tally;
use crate::Output;
use crate::output::Whereto;
use crate::terminal;

const KEYS: &str = "k kills a node  p pauses one  d locks the database  w writes a burst  q ends";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const FAINT: &str = "\x1b[2m";
const USUAL: &str = "\x1b[0m";

/// How notes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Not at all.
    Nothing,
    /// A line a second.
    Lines,
    /// A table, drawn anew.
    Table {
        /// With what a colour begins and ends, or with nothing.
        is_coloured: bool,
    },
}

pub(crate) struct Screen {
    shown: Shown,
    /// Lines that are to be drawn over.
    drawn: usize,
    lags_seen: [usize; 2],
}

/// What a second was like.
pub(crate) struct Second<'a> {
    pub(crate) phase: &'a str,
    pub(crate) at: Duration,
    pub(crate) all: Duration,
    pub(crate) checked: u64,
    pub(crate) stale: u64,
    /// Stale reads of the plain cache beside, if there is one.
    pub(crate) plain: Option<u64>,
    pub(crate) are_keys_heard: bool,
}

/// A second of one node, or of both.
struct Row {
    reads: u64,
    writes: u64,
    hits: f64,
    read: [Duration; 2],
    lag: [Duration; 2],
}

impl Row {
    fn of(second: &Tally, lags: &mut [u64]) -> Self {
        Row {
            reads: second.reads,
            writes: second.writes,
            hits: percent(second.hits, second.reads),
            read: [second.time(0.5), second.time(0.99)],
            lag: [percentile(lags, 0.5), percentile(lags, 0.99)],
        }
    }

    fn columns(&self, name: &str, applied: &str) -> String {
        let [[read, read99], [lag, lag99]] = [self.read, self.lag].map(|times| times.map(short));
        format!(
            "{name:<9}{:>9}{:>9}{:>7.1}{read:>9}{read99:>9}{lag:>9}{lag99:>9}{applied:>9}",
            self.reads, self.writes, self.hits
        )
    }
}

impl Screen {
    pub(crate) fn new(output: Output) -> Self {
        let shown = match output.whereto() {
            _ if output.quiet => Shown::Nothing,
            Whereto::Elsewhere => Shown::Lines,
            Whereto::Terminal => Shown::Table {
                is_coloured: !output.plain,
            },
        };
        Screen {
            shown,
            drawn: 0,
            lags_seen: [0; 2],
        }
    }

    pub(crate) fn second(&mut self, figures: &mut Figures, second: &Second<'_>) {
        let mut lags = [Vec::new(), Vec::new()];
        let seen = self.lags_seen.iter_mut().zip(&mut lags);
        for (node, (seen, lags)) in figures.nodes.iter().zip(seen) {
            lags.extend_from_slice(node.lags.get(*seen..).unwrap_or_default());
            *seen = node.lags.len();
        }
        let mut both = Tally::default();
        for node in &figures.nodes {
            both.add(&node.second);
        }
        let all = Row::of(&both, &mut lags.concat());
        match self.shown {
            Shown::Nothing => {}
            Shown::Lines => self.draw(&[line(&all, second)]),
            Shown::Table { is_coloured } => {
                let paint = Paint { is_coloured };
                let lines = table(&paint, &all, &figures.nodes, &mut lags, second);
                self.draw(&lines);
            }
        }
        for node in &mut figures.nodes {
            node.second = Tally::default();
        }
    }

    /// Leaves what was drawn, so that what follows comes after it.
    pub(crate) fn clear(&mut self) {
        self.drawn = 0;
    }

    fn draw(&mut self, lines: &[String]) {
        let is_terminal = matches!(self.shown, Shown::Table { .. });
        let mut text = String::new();
        if is_terminal && self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\x1b[J", self.drawn));
        }
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn = if is_terminal { lines.len() } else { 0 };
        let mut out = std::io::stderr().lock();
        // Nobody may be looking.
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }
}

/// Colours, where they are wanted.
struct Paint {
    is_coloured: bool,
}

impl Paint {
    /// As many letters as the terminal is wide, one of them in a colour if it is wanted.
    fn line(&self, colour: &str, text: &str) -> String {
        let most = terminal::columns().saturating_sub(1);
        let text: String = text.chars().take(most).collect();
        if self.is_coloured && !colour.is_empty() {
            format!("{colour}{text}{USUAL}")
        } else {
            text
        }
    }
}

fn table(
    paint: &Paint,
    all: &Row,
    nodes: &[NodeFigures; 2],
    lags: &mut [Vec<u64>; 2],
    second: &Second<'_>,
) -> Vec<String> {
    let plain = second
        .plain
        .map_or_else(String::new, |stale| format!("  plain cache {stale}"));
    let (at, whole) = (second.at.as_secs(), second.all.as_secs());
    let head = format!(
        "{at:>3} of {whole} s  {:<8}  checked {}  STALE READS {}{plain}",
        second.phase, second.checked, second.stale
    );
    let colour = if second.stale > 0 { RED } else { GREEN };
    let titles = format!(
        "{:<9}{:>9}{:>9}{:>7}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "", "reads/s", "writes/s", "hits %", "read p50", "p99", "lag p50", "p99", "applied"
    );
    let mut lines = vec![
        paint.line(colour, &head),
        paint.line(FAINT, &titles),
        paint.line("", &all.columns("both", "")),
    ];
    for ((name, node), lags) in NAMES.iter().zip(nodes).zip(lags) {
        let (state, colour) = match (node.is_up, node.is_paused) {
            (true, false) => ("up", ""),
            (true, true) => ("paused", RED),
            (false, _) => ("DOWN", RED),
        };
        let row = Row::of(&node.second, lags);
        let columns = row.columns(&format!("{name} {state}"), &node.applied.to_string());
        lines.push(paint.line(colour, &columns));
    }
    if second.are_keys_heard {
        lines.push(paint.line(FAINT, KEYS));
    }
    lines
}

fn line(all: &Row, second: &Second<'_>) -> String {
    let [[read, read99], [lag, lag99]] = [all.read, all.lag].map(|times| times.map(short));
    let plain = second
        .plain
        .map_or_else(String::new, |stale| format!("  PLAIN {stale}"));
    format!(
        "{:>3} of {} s  {:<8} reads {:>9}/s  writes {:>5}/s  hits {:>5.1} %  read p50 {read} p99 {read99}  lag p50 {lag} p99 {lag99}  checked {}  STALE {}{plain}",
        second.at.as_secs(),
        second.all.as_secs(),
        second.phase,
        all.reads,
        all.writes,
        all.hits,
        second.checked,
        second.stale,
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Contract: S130 (partial: no line wraps)
    #[test]
    fn no_line_of_the_table_is_longer_than_a_narrow_terminal() {
        let most = Duration::from_millis(9_999);
        let row = Row {
            reads: 99_999_999,
            writes: 9_999_999,
            hits: 100.0,
            read: [most; 2],
            lag: [most; 2],
        };
        assert_eq!(row.columns("a paused", "99999999").chars().count(), 79);
        assert!(KEYS.len() < 80);
    }
}
