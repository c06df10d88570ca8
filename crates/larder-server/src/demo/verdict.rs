//! [`Verdict`]: how it went, for people and as JSON.

use std::time::Duration;

use serde::Serialize;

use super::checker::{Checker, Evidence};
use super::process::NAMES;
use super::screen::short;
use super::shop::{CUSTOMER, PRODUCT};
use crate::Output;
use crate::fault::Fault;

/// How a demo went. Times are in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) seconds: f64,
    pub(crate) seed: u64,
    pub(crate) sabotage: Option<&'static str>,
    pub(crate) reads: u64,
    pub(crate) reads_over_loopback: u64,
    pub(crate) writes: u64,
    pub(crate) rollbacks: u64,
    pub(crate) failures: u64,
    pub(crate) hit_ratio: f64,
    pub(crate) read_p50: f64,
    pub(crate) read_p99: f64,
    pub(crate) lag_p50: f64,
    pub(crate) lag_p99: f64,
    pub(crate) checked: u64,
    pub(crate) stale: u64,
    /// Entries that were resident at the end, and of them those that were not as the database has them.
    pub(crate) residents: u64,
    pub(crate) residents_wrong: u64,
    /// Commits that were acknowledged and are not in the database.
    pub(crate) lost: u64,
    /// Nodes that had not applied every commit ten seconds after the last.
    pub(crate) behind: u64,
    pub(crate) killed: Option<Killed>,
    pub(crate) evidence: Vec<String>,
}

/// What became of the node that was killed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Killed {
    pub(crate) node: &'static str,
    /// From its start until it served again; none if it did not.
    pub(crate) ready_after: Option<f64>,
    pub(crate) hit_ratio_before: f64,
    /// In the first second after it served again.
    pub(crate) hit_ratio_after: f64,
}

impl Verdict {
    pub(crate) fn is_good(&self) -> bool {
        let is_back = self
            .killed
            .as_ref()
            .is_none_or(|killed| killed.ready_after.is_some());
        // Where most of it failed, nothing was shown.
        let has_run = self.checked > 0 && self.failures <= self.writes / 2 + 16;
        has_run
            && self.stale == 0
            && self.residents_wrong == 0
            && self.lost == 0
            && self.behind == 0
            && is_back
    }

    pub(crate) fn print(&self, output: Output) -> Result<(), Fault> {
        if output.json {
            return output.say(&serde_json::to_string_pretty(self)?);
        }
        let mut lines = vec![String::new()];
        lines.extend(self.traffic());
        lines.extend(self.checks());
        lines.push(String::new());
        let word = if self.is_good() {
            "everything that was read was fresh"
        } else {
            "something was wrong"
        };
        lines.push(word.to_owned());
        output.say(&lines.join("\n"))
    }

    fn traffic(&self) -> Vec<String> {
        let time = |seconds: f64| short(Duration::from_secs_f64(seconds));
        let (hits, p50, p99) = (self.hit_ratio * 100.0, time(self.read_p50), time(self.read_p99));
        let line = |what: &str, figure: String, more: String| format!("{what:<14} {figure:>12}   {more}");
        let mut lines = vec![
            line(
                "reads",
                self.reads.to_string(),
                format!("{hits:.1} % from memory, p50 {p50}, p99 {p99}"),
            ),
            line(
                "over loopback",
                self.reads_over_loopback.to_string(),
                "half of them with the token of a commit".to_owned(),
            ),
            line(
                "writes",
                self.writes.to_string(),
                format!("{} rolled back, {} failed", self.rollbacks, self.failures),
            ),
            line(
                "lag",
                time(self.lag_p50),
                format!(
                    "from commit to applied on the other node; p99 {}",
                    time(self.lag_p99)
                ),
            ),
        ];
        if let Some(killed) = &self.killed {
            let back = killed.ready_after.map_or_else(
                || "did not come back".to_owned(),
                |after| format!("served again {} after its start", time(after)),
            );
            let (before, after) = (killed.hit_ratio_before * 100.0, killed.hit_ratio_after * 100.0);
            let more = format!(
                "{back}; hits {before:.1} % before, {after:.1} % in the first second after (without a disk tier not judged)"
            );
            lines.push(line(&format!("node {}", killed.node), "killed".to_owned(), more));
        }
        lines
    }

    fn checks(&self) -> Vec<String> {
        let line = |what: &str, figure: u64, more: String| {
            format!("{what:<14} {figure:>12}   {more}").trim_end().to_owned()
        };
        let mut lines = vec![
            line(
                "checked",
                self.checked,
                "reads, against the history in the database".to_owned(),
            ),
            line(
                "resident",
                self.residents,
                format!(
                    "at the end, {} not as the database has them",
                    self.residents_wrong
                ),
            ),
            line(
                "lost",
                self.lost,
                format!("acknowledged commits; {} nodes did not catch up", self.behind),
            ),
            line("STALE READS", self.stale, String::new()),
        ];
        if let Some(first) = self.evidence.first() {
            lines.push(format!("\nfirst evidence: {first}"));
        }
        if let Some(sabotage) = self.sabotage {
            let found = if self.is_good() {
                "the checker did NOT find it"
            } else {
                "the checker found it"
            };
            lines.push(format!("{sabotage} broke a promise on purpose: {found}"));
        }
        lines
    }
}

/// The stale reads that a checker has kept, of a trace's rows.
pub(crate) fn evidence_of(checker: &Checker) -> Vec<String> {
    let all = checker.evidence().iter();
    all.map(|evidence| {
        let read = &evidence.read;
        let due = evidence.due.map_or(0, |due| due.version);
        format!(
            "row {:?} was read at {:?}: {}; version {due} was due",
            read.row, read.version, evidence.broken
        )
    })
    .collect()
}

/// A stale read in words.
pub(crate) fn explained(evidence: &Evidence) -> String {
    let read = &evidence.read;
    let (kind, id) = read.row;
    let kind = match kind {
        CUSTOMER => "customer",
        PRODUCT => "product",
        _ => "order",
    };
    let node = NAMES.get(read.node).copied().unwrap_or("?");
    let what = read.version.map_or_else(
        || "as absent".to_owned(),
        |version| format!("at version {version}"),
    );
    let token = read
        .token
        .map(|token| format!(", with the token of position {token}"))
        .unwrap_or_default();
    let due = evidence.due.map_or_else(String::new, |due| {
        let state = if due.deleted { "was deleted as" } else { "had" };
        format!(
            "; the row {state} version {} since position {}",
            due.version, due.position
        )
    });
    format!(
        "node {node} read {kind} {id} {what}: {}. It had applied position {}{token}{due}.",
        evidence.broken, read.applied
    )
}
